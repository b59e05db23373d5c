"""The chart of a comparison: each difference with its interval, as a share of base; in words where that is 0. Pure."""

from __future__ import annotations

import math

import numpy as np

from vdibench.analysis.comparison import Comparison, Difference, Finding
from vdibench.report import axes as scales
from vdibench.report import formats
from vdibench.report.comparison_tables import signed
from vdibench.report.style import BLUE, GREEN, GREY, ORANGE, RED, Chart, chart, legend_above

__all__ = ["difference_chart"]

_MOST_ROWS = 30
_LOOK = {
    Finding.WORSE: (RED, "s"),
    Finding.BETTER: (GREEN, "D"),
    Finding.UNDECIDED: (ORANGE, "^"),
    Finding.NO_DIFFERENCE: (BLUE, "o"),
}


def difference_chart(found: Comparison) -> Chart | None:
    """The change of each metric relative to its base, with its 95 % interval; None where there is none to show.

    What was 0 in base has no share: its change stands there in words. What changed comes first; of the rest as many
    as can be read.
    """
    shown = [one for one in found.differences if _drawable(one)]
    ordered = sorted(shown, key=lambda one: (list(_LOOK).index(one.finding), -abs(_share(one.delta, one))))[:_MOST_ROWS]
    if not ordered:
        return None
    synthetic = "synthetic: desktops replayed from a trace · " if found.synthetic else ""
    left_out = f", {len(shown) - len(ordered)} with smaller changes left out" if len(shown) > len(ordered) else ""
    figure, (axes,) = chart(
        "What changed, against base",
        f"{synthetic}change of each statistic as % of base, in its unit where base is 0 · bars: 95\u00a0% intervals by "
        "resampling whole trials or runs (time within them where there are too few) · "
        f"{formats.counted(len(ordered), 'metric')}{left_out}",
        "Change of each metric's statistic, new less base, as a share of base, with 95 % intervals that are not "
        "corrected for their number; the findings are. Where base is 0 there is no share, and the change is written.",
        height=130 + 24 * len(ordered),
    )
    for finding, (colour, marker) in _LOOK.items():
        rows = [(place, one) for place, one in enumerate(ordered) if one.finding is finding and one.base]
        if not rows:
            continue
        middle = np.array([_share(one.delta, one) for _, one in rows])
        low, high = (
            np.array([_share(side, one) for _, one in rows for side in [getattr(one, name)]])
            for name in ("low", "high")
        )
        axes.errorbar(
            middle,
            [place for place, _ in rows],
            xerr=np.array([middle - low, high - middle]),
            fmt=marker,
            color=colour,
            capsize=3,
            markersize=5,
            linewidth=1.3,
            label=str(finding),
        )
    for place, one in enumerate(ordered):
        if not one.base:
            axes.annotate(
                _in_words(one),
                (0, place),
                (6, 0),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
                color=_LOOK[one.finding][0],
            )
    axes.axvline(0, color=GREY, linewidth=1.2, zorder=1)
    levels = len({(one.suite, one.level) for one in ordered}) > 1
    axes.set_yticks(range(len(ordered)), labels=[_label(one, levels=levels) for one in ordered])
    axes.set_ylim(len(ordered) - 0.4, -0.6)
    axes.set_xlabel("change (% of base)")
    scales.plain_ticks(axes.xaxis, 9)
    legend_above(figure, [axes])
    return figure


def _drawable(one: Difference) -> bool:
    """Whether it has an interval; or a change from 0, which needs none to be told."""
    if one.finding not in _LOOK or one.delta is None:
        return False
    return None not in (one.low, one.high) if one.base else one.delta != 0


def _share(value: float | None, one: Difference) -> float:
    assert value is not None
    return 100 * value / abs(one.base) if one.base else math.copysign(math.inf, value)


def _in_words(one: Difference) -> str:
    interval = "" if one.low is None else f" ({signed(one.low, one.unit)} … {signed(one.high, one.unit)})"
    return f"{signed(one.delta, one.unit)}{interval}, base is 0: {one.finding}"


def _label(one: Difference, *, levels: bool) -> str:
    place = f" · {formats.shorten(one.suite, 18)} {one.level}" if levels else ""
    return f"{one.metric} {one.statistic}{place}"
