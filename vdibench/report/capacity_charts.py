"""Charts of a capacity plan: the day against what is carried, and what other numbers of users need. Pure."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from vdibench.analysis.capacity import Bounds, Plan, plan_at
from vdibench.analysis.occupancy import MINUTES_A_DAY
from vdibench.report import axes as scales
from vdibench.report import formats
from vdibench.report.capacity_tables import interval_text, knee_of, unit
from vdibench.report.style import BLACK, BLUE, GREEN, ORANGE, PALETTE, Chart, chart, legend_above

__all__ = ["day_chart", "users_chart"]

_POINTS = 160


def day_chart(plan: Plan) -> Chart | None:
    """Sessions over the day against what the nodes carry without their spare ones; None without a profile."""
    if len(plan.day.minutes) < 2:
        return None
    known = sum(one.carries[0] for one in plan.templates)
    highs = [one.carries[1] for one in plan.templates]
    high = None if None in highs else sum(value for value in highs if value is not None)
    figure, (axes,) = chart(
        f"A day of {formats.counted(plan.terms.users, 'user')}",
        f"{formats.clean(plan.day.name)} · at most {formats.counted(plan.peak, 'session')} at once, "
        f"{formats.counted(known, 'session')} carried without spare nodes · {_sources(plan)}",
        f"Sessions at once over one day, by template, against what the planned nodes carry when the spare ones are "
        f"missing: {formats.count(known)}"
        + ("" if high is None or high == known else f", perhaps {formats.count(high)}")
        + f". Profile: {formats.clean(plan.day.name)}. {_trials(plan)}",
        height=400,
        synthetic=plan.synthetic,
    )
    hours = [minute / 60 for minute in plan.day.minutes]
    # The last instant holds until midnight and on to the first one of the next day.
    first = 0.0 if hours[0] > 0 else None
    grid = [*([first] if first is not None else []), *hours, MINUTES_A_DAY / 60]
    below = np.zeros(len(grid))
    for number, one in enumerate(plan.templates):
        counts = [*([one.day[-1]] if first is not None else []), *one.day, one.day[-1]]
        above = below + np.array(counts, dtype=float)
        colour = PALETTE[number % len(PALETTE)]
        label = formats.shorten(one.template.name, 24) if len(plan.templates) > 1 else "sessions"
        axes.fill_between(grid, below, above, step="post", color=colour, alpha=0.45, linewidth=0, label=label)
        axes.step(grid, above, where="post", color=colour, linewidth=1.2)
        below = above
    if high is not None and high > known:
        axes.axhspan(known, high, color=GREEN, alpha=0.16, zorder=0.4, label="perhaps carried")
    axes.axhline(known, color=GREEN, linestyle=(0, (6, 3)), linewidth=1.6, label="carried without spare nodes")
    axes.set_xlim(0, 24)
    axes.set_xticks(range(0, 25, 2), [f"{hour:02d}" for hour in range(0, 25, 2)])
    axes.set_ylim(0, 1.12 * max(known, plan.peak, 1))
    scales.plain_ticks(axes.yaxis)
    axes.set_xlabel("hour of the day")
    axes.set_ylabel("sessions at once")
    legend_above(figure, [axes])
    return figure


def users_chart(plan: Plan) -> Chart:
    """What other numbers of users need with the same shares, day, headroom and spare nodes."""
    users = plan.terms.users
    counts = sorted({*np.linspace(0, 2 * users, _POINTS).round().astype(int).tolist(), users})
    noun = unit(plan)
    heading = noun[:1].upper() + noun[1:]
    found = [_counted(plan_at(plan, count), noun) for count in counts]
    here = _counted(plan, noun)
    headroom = f"{float(100 * plan.terms.headroom):g} %"
    figure, (axes,) = chart(
        f"{heading} by number of users",
        f"same shares, day, headroom ({headroom}) and spare nodes ({plan.terms.spare_nodes} a template) · "
        f"{formats.counted(users, 'user')}: {interval_text(here)} {noun} · {_sources(plan)}",
        f"{heading}, spare ones included and in whole nodes, by number of users. The upper line is planned with, from "
        "the lower bound of each knee; the band reaches down to what its upper bound would need"
        + ("." if here.optimistic is not None else ", which is not known here: fewer may do.")
        + f" {_trials(plan)}",
        height=400,
        synthetic=plan.synthetic,
    )
    high = [bounds.conservative for bounds in found]
    axes.step(counts, high, where="mid", color=BLUE, linewidth=1.8, label="planned")
    low = [bounds.optimistic for bounds in found]
    if None not in low and low != high:
        known = [value for value in low if value is not None]
        axes.fill_between(
            counts, known, high, step="mid", color=BLUE, alpha=0.16, linewidth=0, label="may turn out to do"
        )
        axes.step(counts, known, where="mid", color=ORANGE, linewidth=1.2, linestyle="--", label="least")
    axes.plot([users], [here.conservative], "o", color=BLACK, markersize=7, zorder=4, label=f"{users:,} users")
    _from_zero(axes, 2 * users, max(high))
    axes.set_xlabel("users")
    axes.set_ylabel(f"{noun}, spare ones included")
    legend_above(figure, [axes])
    return figure


def _counted(plan: Plan, noun: str) -> Bounds:
    return plan.gpus if noun == "GPUs" else plan.nodes


def _trials(plan: Plan) -> str:
    """How many trials the knees rest on; runs that several templates share count once."""
    runs = {one.template.measured.run: one.template.measured.trials for one in plan.templates}
    return f"Sessions for each GPU or host: n = {formats.counted(sum(runs.values()), 'trial')}."


def _from_zero(axes: Axes, across: int, up: int) -> None:
    axes.set_xlim(0, across)
    axes.set_ylim(0, 1.1 * max(up, 1))
    scales.plain_ticks(axes.xaxis)
    scales.plain_ticks(axes.yaxis)


def _sources(plan: Plan) -> str:
    """Which knee of which run, and its day; the first of many templates."""
    one, *others = (template.template for template in plan.templates)
    source = one.measured
    day = formats.instant(source.started_unix_seconds).split(" ")[0]
    more = f" and {len(others)} more" if others else ""
    return f"knee {knee_of(source)}, run {formats.shorten(source.run, 44)} of {day}{more}"
