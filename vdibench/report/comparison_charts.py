"""The chart of a comparison: every difference with its interval, as a share of its base. Pure."""

from __future__ import annotations

import numpy as np

from vdibench.analysis.comparison import Comparison, Difference, Finding
from vdibench.report import axes as scales
from vdibench.report import formats
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
    """The change of each metric relative to its base, with its 95 % interval; None where none has one.

    What changed comes first; of the rest as many as can be read.
    """
    shown = [one for one in found.differences if one.finding in _LOOK and one.base and None not in (one.low, one.high)]
    ordered = sorted(shown, key=lambda one: (list(_LOOK).index(one.finding), -abs(_share(one.delta, one))))[:_MOST_ROWS]
    if not ordered:
        return None
    synthetic = "synthetic: desktops replayed from a trace · " if found.synthetic else ""
    left_out = f", {len(shown) - len(ordered)} with smaller changes left out" if len(shown) > len(ordered) else ""
    figure, (axes,) = chart(
        "What changed, against base",
        f"{synthetic}change of each statistic as % of base · bars: 95\u00a0% intervals by resampling whole sessions "
        f"(time within them where there are too few) · {formats.counted(len(ordered), 'metric')}{left_out}",
        "Change of each metric's statistic, new less base, as a share of base, with 95 % intervals that are not "
        "corrected for their number; the findings are.",
        height=130 + 24 * len(ordered),
    )
    for finding, (colour, marker) in _LOOK.items():
        rows = [(place, one) for place, one in enumerate(ordered) if one.finding is finding]
        if not rows:
            continue
        places = [place for place, _ in rows]
        middle = np.array([_share(one.delta, one) for _, one in rows])
        low, high = (
            np.array([_share(side, one) for _, one in rows for side in [getattr(one, name)]])
            for name in ("low", "high")
        )
        axes.errorbar(
            middle,
            places,
            xerr=np.array([middle - low, high - middle]),
            fmt=marker,
            color=colour,
            capsize=3,
            markersize=5,
            linewidth=1.3,
            label=str(finding),
        )
    axes.axvline(0, color=GREY, linewidth=1.2, zorder=1)
    levels = len({(one.suite, one.level) for one in ordered}) > 1
    axes.set_yticks(range(len(ordered)), labels=[_label(one, levels=levels) for one in ordered])
    axes.set_ylim(len(ordered) - 0.4, -0.6)
    axes.set_xlabel("change (% of base)")
    scales.plain_ticks(axes.xaxis, 9)
    legend_above(figure, [axes])
    return figure


def _share(value: float | None, one: Difference) -> float:
    assert value is not None
    assert one.base
    return 100 * value / abs(one.base)


def _label(one: Difference, *, levels: bool) -> str:
    place = f" · {formats.shorten(one.suite, 18)} {one.level}" if levels else ""
    return f"{one.metric} {one.statistic}{place}"
