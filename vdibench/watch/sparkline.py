"""A row of bars from numbers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from vdibench.report.formats import seconds

__all__ = ["Sparkline", "sparkline"]

_BARS, _ASCII = "▁▂▃▄▅▆▇█", "_.-=+*%#"


class Sparkline(NamedTuple):
    """Bars from zero to the largest value, and what that is."""

    bars: str
    caption: str


def sparkline(values: Sequence[float | None], width: int, *, ascii_only: bool = False) -> Sparkline:
    """The last ``width`` durations in seconds, oldest first; a gap where nothing was measured."""
    bars = _ASCII if ascii_only else _BARS
    shown = list(values)[-max(1, width) :]
    largest = max((value for value in shown if value is not None), default=0.0)

    def bar(value: float | None) -> str:
        if value is None:
            return " "
        share = value / largest if largest > 0 else 0.0
        return bars[min(len(bars) - 1, max(0, int(share * len(bars))))]

    return Sparkline("".join(bar(value) for value in shown), f"full height {seconds(largest)}" if largest > 0 else "")
