"""Charts of a session's start and of the machines' resources. Pure: tables in, a chart or None out."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from vdibench.metrics import REGISTRY
from vdibench.report import axes as scales
from vdibench.report import formats
from vdibench.report.evidence import Evidence, Source
from vdibench.report.starts import NEW_POD, Start
from vdibench.report.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, Chart, chart, legend_above

__all__ = ["resources_over_time", "session_ready_phases"]

_MOST_BARS = 16
# One colour a step of the way, wherever it appears; hatches part neighbours for those who see no hue. First those of a
# new pod, then the client's own.
_STEPS = {
    "admitted": ("#332288", ""),
    "home_bound": ("#999933", "//"),
    "scheduled": ("#88CCEE", ""),
    "prepared": ("#882255", "\\\\"),
    "image": ("#117733", ""),
    "container_started": ("#DDCC77", ".."),
    "ready": ("#AA4499", ""),
    "routed": ("#44AA99", "//"),
    "reachable": ("#56B4E9", ""),
    "signalled": ("#0072B2", ""),
    "offered": ("#009E73", "//"),
    "ice_connected": ("#F0E442", ""),
    "connected": ("#E69F00", "\\\\"),
    "channel_open": ("#D55E00", ""),
    "first_packet": ("#CC79A7", ".."),
    "first_frame": ("#6a737d", ""),
}
_OTHER = ("#c6cbd1", "xx")
# What the legend of the steps takes beside the two lines that any start needs.
_LEGEND_COLUMNS, _LEGEND_PIXELS = 6, 17
_LINES = (("desktops", BLUE, "-"), ("client", ORANGE, "--"), ("host", GREY, ":"))
_GPU = (
    ("gpu_utilization_ratio", "GPU", GREEN, "-"),
    ("gpu_encoder_utilization_ratio", "GPU encoder", PURPLE, "--"),
)


def session_ready_phases(source: Source, suite: str) -> Chart | None:
    """A bar a session's start, made of its steps up to the first decoded frame; the slowest where there are many."""
    evidence = Evidence.of(source)
    every = evidence.starts(suite)
    if not every:
        return None
    slowest = sorted(every, key=lambda start: (start.ready_seconds is None, start.seconds))[-_MOST_BARS:]
    shown = [start for start in every if start in slowest]
    failed = sum(start.ready_seconds is None for start in every)
    some = "" if len(shown) == len(every) else f", the {len(shown)} slowest shown"
    present = {event for start in shown for event, _ in start.steps}
    lines = -(-len(present) // _LEGEND_COLUMNS)
    pods = f" A {NEW_POD}'s start is that of the session's first object." if any(one.of_pod for one in every) else ""
    figure, (axes,) = chart(
        f"Session ready, by step · {suite}",
        "session started → first decoded frame; display not included · "
        f"n = {formats.counted(len(every), 'start')}{some}, {formats.count(failed)} never ready · s",
        f"{REGISTRY['session_phase_seconds'].boundary} n = {formats.counted(len(every), 'start')}, in seconds.{pods}",
        height=158 + 26 * len(shown) + _LEGEND_PIXELS * max(0, lines - 2),
        synthetic=evidence.synthetic,
    )
    places = len({(start.level, start.trial) for start in every}) > 1
    for row, start in enumerate(shown):
        left = 0.0
        for event, seconds in start.steps:
            colour, hatch = _STEPS.get(event, _OTHER)
            axes.barh(row, seconds, left=left, height=0.7, color=colour, hatch=hatch, edgecolor="white", linewidth=0.6)
            left += seconds
        text = formats.seconds(start.ready_seconds) if start.ready_seconds is not None else "never ready"
        axes.annotate(text, (left, row), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9)
    for event in [*(step for step in _STEPS if step in present), *sorted(present - set(_STEPS))]:
        colour, hatch = _STEPS.get(event, _OTHER)
        axes.barh(0, 0, color=colour, hatch=hatch, edgecolor="white", label=formats.shorten(event, 20))
    axes.set_yticks(range(len(shown)), labels=[_name(start, places=places) for start in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, max(1.14 * max(start.seconds for start in shown), 1e-3))
    axes.grid(False, axis="y")
    scales.plain_ticks(axes.xaxis, 10)
    axes.set_xlabel("time since the session was started (s)")
    legend_above(figure, [axes])
    return figure


def resources_over_time(source: Source, suite: str) -> Chart | None:
    """Busy cores and memory of the desktops together, of the measuring side and of the host; GPU where there is one."""
    evidence = Evidence.of(source)
    rows = evidence.rows("resources", suite)
    kinds = {kind for kind in ("cpu_cores", "memory_bytes") if (rows["resource"] == kind).any()}
    gpus = [line for line in _GPU if (rows["resource"] == line[0]).any()]
    panels = [kind for kind in ("cpu_cores", "memory_bytes") if kind in kinds] + (["gpu"] if gpus else [])
    if not panels:
        return None
    origin = float(rows["unix_seconds"].min())
    readings = rows["unix_seconds"].nunique()
    figure, axes = chart(
        f"Resources over time · {suite}",
        f"read beside the stream on this host · n = {formats.count(readings)} readings · cores, GiB"
        + (", %" if gpus else ""),
        f"{REGISTRY['desktop_cpu_cores'].boundary} {REGISTRY['desktop_memory_bytes'].boundary} "
        f"n = {formats.count(readings)} readings; desktops are summed; what was not read is left out, never zero.",
        height=100 + 150 * len(panels) + 60,
        synthetic=evidence.synthetic,
        ratios=[1.0] * len(panels),
    )
    for one, panel in zip(axes, panels, strict=True):
        if panel == "gpu":
            _gpu_panel(one, rows, gpus, origin)
        else:
            _scope_panel(one, rows[rows["resource"] == panel], panel, origin)
        one.margins(x=0.01)
        one.set_ylim(bottom=0)
        scales.plain_ticks(one.yaxis, 5)
    scales.plain_ticks(axes[-1].xaxis, 10)
    axes[-1].set_xlabel("time since the first reading (s)")
    legend_above(figure, axes)
    return figure


def _scope_panel(axes: Axes, rows: pd.DataFrame, kind: str, origin: float) -> None:
    factor, label = (1.0, "CPU (cores)") if kind == "cpu_cores" else (2.0**-30, "memory (GiB)")
    for scope, colour, dash in _LINES:
        if scope == "desktops":
            mine = rows[~rows["session"].isin(["client", "host"]) & ~rows["session"].str.startswith("gpu-")]
            count = mine["session"].nunique()
            name = f"desktops together (up to {count})" if count != 1 else "desktop"
        else:
            mine = rows[rows["session"] == scope]
            name = "measuring side" if scope == "client" else "whole host"
        if mine.empty:
            continue
        series = mine.groupby("unix_seconds")["value"].sum() * factor
        _line(axes, series, origin, colour, dash, name)
    axes.set_ylabel(label)


def _gpu_panel(axes: Axes, rows: pd.DataFrame, lines: list[tuple[str, str, str, str]], origin: float) -> None:
    for kind, name, colour, dash in lines:
        mine = rows[rows["resource"] == kind]
        for index, (device, group) in enumerate(mine.groupby("session")):
            label = f"{name} ({device})"
            shade = colour if index == 0 else (SKY, BLACK)[index % 2]
            _line(axes, 100 * group.groupby("unix_seconds")["value"].mean(), origin, shade, dash, label)
    axes.set_ylabel("GPU (%)")


def _line(axes: Axes, series: pd.Series, origin: float, colour: str, dash: str, label: str) -> None:
    x, y = scales.broken(series, origin)
    marker = "o" if len(series) < 4 else None
    axes.plot(x, y, color=colour, linestyle=dash, marker=marker, markersize=4, linewidth=1.6, label=label)


def _name(start: Start, *, places: bool) -> str:
    name = formats.shorten(start.session, 26)
    return f"{name} · {start.where}" if places else name
