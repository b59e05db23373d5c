"""A control verb that only Selkies 1.6 has; the rest of its grammar is :mod:`vdibench.selkies.control`'s. Sans-I/O."""

from __future__ import annotations

__all__ = ["resize_switch"]


def resize_switch(width: int, height: int, *, on: bool) -> str:
    """Allow resizing and take a size in pixels at once, or forbid it. The server remembers it over restarts."""
    return f"_arg_resize,{'true' if on else 'false'},{width}x{height}"
