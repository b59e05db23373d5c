"""Scales and ticks that several charts share. Draws on the axes it is given; base units in, scaled numbers out."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from vdibench.report import formats
from vdibench.report.evidence import Evidence
from vdibench.report.style import limit_line

__all__ = ["broken", "integer_ticks", "limits", "logarithmic", "plain_ticks", "thinned"]

_MOST_POINTS = 3000


def logarithmic(axes: Axes, which: str) -> None:
    """A logarithmic scale labelled 1, 2, 5, 10 in plain numbers."""
    axis: Axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    decades = np.log10(max(high, 1e-12)) - np.log10(max(low, 1e-12))
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2.6 else (1.0,), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def plain_ticks(axis: Axis, most: int = 8) -> None:
    """At most so many round ticks, thousands grouped, no offset or exponent."""
    axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))


def integer_ticks(axis: Axis, values: list[int]) -> None:
    """A tick at each value, thinned where there are many."""
    step = max(1, -(-len(values) // 20))
    axis.set_ticks(values[::step], labels=[str(value) for value in values[::step]])
    axis.set_minor_locator(NullLocator())


def limits(axes: Axes, evidence: Evidence, metric: str, suite: str, factor: float, *, vertical: bool = False) -> None:
    """The lines of the objectives on a metric, two of one bound only once."""
    drawn: set[float] = set()
    for result in evidence.objectives(metric, suite):
        if result.bound is None or result.bound in drawn:
            continue
        drawn.add(result.bound)
        limit_line(
            axes,
            result.bound * factor,
            f"objective {formats.expectation(result.expect, result.bound, result.unit)}",
            vertical=vertical,
        )


def thinned(ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorted values and the share of all that does not exceed each: few enough to draw, every extreme kept."""
    count = len(ordered)
    shares = np.arange(1, count + 1) / count
    if count <= _MOST_POINTS:
        return ordered, shares
    even = np.linspace(0, count - 1, _MOST_POINTS - 200).astype(int)
    chosen = np.unique(np.concatenate((even, np.arange(100), np.arange(count - 100, count))))
    return ordered[chosen], shares[chosen]


def broken(series: pd.Series, origin: float) -> tuple[np.ndarray, np.ndarray]:
    """A series over time as a line that breaks where readings stop: seconds since ``origin``, and values."""
    ordered = series.sort_index()
    times = ordered.index.to_numpy(dtype=float) - origin
    numbers = ordered.to_numpy(dtype=float)
    if len(times) < 3:
        return times, numbers
    steps = np.diff(times)
    gaps = np.flatnonzero(steps > 2.5 * float(np.median(steps))) + 1
    return np.insert(times, gaps, times[gaps - 1]), np.insert(numbers, gaps, np.nan)
