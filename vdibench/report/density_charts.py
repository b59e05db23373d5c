"""The chart of a density search. Pure: tables and objectives in, a chart or None (no level was decided) out."""

from __future__ import annotations

from matplotlib.axes import Axes

from vdibench.analysis import GOOD_SHARE, Knee, Level
from vdibench.report import axes as scales
from vdibench.report import formats
from vdibench.report.evidence import Evidence, Source
from vdibench.report.style import BLUE, GREEN, GREY, ORANGE, RED, Chart, chart, legend_above, limit_line

__all__ = ["density_curve", "knee_text"]

_G2G = "glass_to_glass_seconds"


def density_curve(source: Source, suite: str = "gpu_density") -> Chart | None:
    """Share of good sessions and p95 of glass-to-glass latency against the number of sessions, with the knee."""
    evidence = Evidence.of(source)
    tried = [level for level in evidence.tried(suite) if any(trial.measured for trial in level.trials)]
    if not tried:
        return None
    found = evidence.knee(suite)
    ks = [level.level for level in tried]
    p95 = {k: evidence.percentile(95.0, _G2G, suite, level=k) for k in ks}
    shown = {k: value for k, value in p95.items() if value is not None}
    course = _course(tried)
    frames = sum(len(evidence.values(_G2G, suite, level=k)) for k in shown)
    count = sum(len(level.trials) for level in tried)
    figure, panels = chart(
        f"Density · {suite}",
        f"good session: inside every objective that applies · {knee_text(found)} · "
        f"n = {count} trials of {len(ks)} level{'s' * (len(ks) != 1)}, {formats.count(frames)} frames; "
        "display not included in glass-to-glass",
        "Share of sessions that kept every objective in one trial (a dot a trial), and p95 of glass-to-glass latency "
        f"(marker drawn → frame decoded; the display is not included), by sessions running together. "
        f"n = {count} trials, {formats.count(frames)} frames; per cent and milliseconds. "
        f"{'Below: the trials in the order in which they were made. ' if course else ''}"
        f"{knee_text(found).capitalize()}.",
        height=320 + 150 * bool(shown) + 140 * bool(course),
        synthetic=evidence.synthetic,
        ratios=(*[1.0] * (1 + bool(shown)), *[0.85] * bool(course)),
    )
    _good(panels[0], tried)
    for axes in panels:
        _bounds(axes, found, max(ks), label=axes is panels[0])
    if shown:
        factor, unit = formats.time_scale(list(shown.values()))
        below = panels[1]
        points = [value * factor for value in shown.values()]
        below.plot(list(shown), points, color=ORANGE, marker="s", label="p95 glass-to-glass")
        scales.limits(below, evidence, _G2G, suite, factor)
        if min(points) > 0 and max(points) > 12 * min(points):
            scales.logarithmic(below, "y")
        else:
            below.set_ylim(bottom=0)
            below.set_ylim(top=below.get_ylim()[1] * 1.08)
            scales.plain_ticks(below.yaxis, 6)
        below.set_ylabel(f"p95 ({unit})")
    if course:
        _in_order(panels[-1], course)
    scales.integer_ticks(panels[-1].xaxis, ks)
    panels[-1].set_xlim(min(ks) - 0.5, max(ks) + 0.5)
    panels[-1].set_xlabel("sessions running together")
    legend_above(figure, panels)
    return figure


def knee_text(found: Knee | None) -> str:
    """The knee in words, with both bounds."""
    if found is None:
        return "knee: no data, no level was decided"
    if found.upper is None:
        return f"knee: at least {found.lower}, no level was bad"
    if found.lower == 0 and any(level.good is None for level in found.levels if level.level <= found.upper):
        return f"knee: at most {found.upper}, no level is known to be good"
    if found.lower == 0:
        return f"knee: none, even {found.upper + 1} was bad"
    if found.lower == found.upper:
        return f"knee: {found.lower} (bounds {found.lower} … {found.upper})"
    return f"knee: {found.lower} … {found.upper}"


def _good(axes: Axes, tried: list[Level]) -> None:
    worst = []
    for level in tried:
        shares = [100 * trial.good / trial.sessions for trial in level.trials if trial.measured and trial.sessions]
        axes.plot([level.level] * len(shares), shares, "o", color=BLUE, markersize=6, alpha=0.75, zorder=3)
        worst.append(min(shares, default=float("nan")))
    axes.plot([], [], "o", color=BLUE, label="one trial")
    axes.plot([level.level for level in tried], worst, color=BLUE, linewidth=1.2, label="worst trial")
    limit_line(axes, 100 * GOOD_SHARE, f"good level: {100 * GOOD_SHARE:g} %", colour=GREY)
    axes.set_ylim(-4, 108)
    axes.set_yticks([0, 25, 50, 75, 100])
    axes.set_ylabel("good sessions (%)")


def _course(tried: list[Level]) -> list[tuple[int, bool]]:
    """Level of each trial and whether it passed, in the order in which they were made; none where that is no news."""
    made = [
        (trial.at, level.level, trial.passed)
        for level in tried
        for trial in level.trials
        if trial.measured and trial.at is not None
    ]
    course = [(level, passed) for _, level, passed in sorted(made)]
    return course if [level for level, _ in course] != sorted(level for level, _ in course) else []


def _in_order(axes: Axes, course: list[tuple[int, bool]]) -> None:
    axes.plot([level for level, _ in course], range(1, len(course) + 1), color=GREY, linewidth=1.0, zorder=2)
    for passed, colour, marker, name in ((True, BLUE, "o", "trial passed"), (False, RED, "X", "trial failed")):
        mine = [(level, number) for number, (level, kept) in enumerate(course, start=1) if kept is passed]
        if mine:
            levels, numbers = zip(*mine, strict=True)
            axes.plot(levels, numbers, marker, color=colour, markersize=6, zorder=3, label=name)
    axes.set_ylim(len(course) + 0.8, 0.2)
    scales.integer_ticks(axes.yaxis, [1, *range(5, len(course) + 1, 5)])
    axes.set_ylabel("order of trials")


def _bounds(axes: Axes, found: Knee | None, highest: int, *, label: bool) -> None:
    if found is None:
        return
    high = found.upper if found.upper is not None else highest
    name = "knee lies here" if label else "_knee"
    if high > found.lower:
        axes.axvspan(max(found.lower, 0.0), high, color=GREEN, alpha=0.16, zorder=0.4, label=name)
    elif found.lower:
        axes.axvline(found.lower, color=GREEN, linewidth=7, alpha=0.25, zorder=0.4, label=name)
    if found.upper is not None:
        axes.axvline(
            found.upper + 1, color=RED, linestyle=":", linewidth=1.4, label="first bad level" if label else "_bad"
        )
