"""Control verbs that only Selkies 1.6 has; the rest of its grammar is :mod:`vdibench.selkies.control`'s. Sans-I/O."""

from __future__ import annotations

__all__ = ["pong", "resize_switch"]


def pong(start_time: float) -> str:
    """Answer a ``ping``; the server measures the round trip by its own clock and states half of it."""
    return f"pong,{start_time:.3f}"


def resize_switch(width: int, height: int, *, on: bool) -> str:
    """Allow resizing and take a size in pixels at once, or forbid it. The server remembers it over restarts."""
    return f"_arg_resize,{'true' if on else 'false'},{width}x{height}"
