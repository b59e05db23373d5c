"""Charts of how evenly frames arrive. Pure: tables in, a chart or None (nothing measured) out."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from vdibench.metrics import REGISTRY
from vdibench.metrics.pacing import freezes, frequency
from vdibench.metrics.windows import streams
from vdibench.report import axes as scales
from vdibench.report import formats
from vdibench.report.evidence import Evidence, Source
from vdibench.report.style import BLUE, GREY, PALETTE, RED, SKY, Chart, chart, legend_above, limit_line, wide_range

__all__ = ["frame_intervals", "frame_rate"]

_MOST_LINES = 6
_SHORTEST_SHARE = 20


def frame_intervals(source: Source, suite: str, *, level: int | None = None) -> Chart | None:
    """How long the gaps between complete frames were, freezes apart; counts on a logarithmic axis."""
    evidence = Evidence.of(source)
    usual, frozen = _intervals(evidence, suite, level)
    every = np.concatenate((usual, frozen))
    if not len(every):
        return None
    factor, unit = formats.time_scale(every.tolist())
    figure, (axes,) = chart(
        f"Frame intervals · {suite}" + (f" · {formats.counted(level, 'session')}" if level is not None else ""),
        "last packet of a complete frame → last packet of the next; display not included · "
        f"n = {formats.count(len(every))} intervals, {formats.counted(len(frozen), 'freeze')} among them · {unit}",
        f"{REGISTRY['frame_interval_seconds'].boundary} n = {formats.count(len(every))} intervals, in {unit}. "
        f"Freezes: {REGISTRY['freezes_per_minute'].boundary.partition(': ')[2]}",
        height=340,
        synthetic=evidence.synthetic,
    )
    low, high = float(every.min()) * factor, float(every.max()) * factor
    wide = wide_range(every) and low > 0
    shortest = float(np.median(every)) * factor / _SHORTEST_SHARE
    first = ""
    if wide and low < shortest:
        # Packets that were held back arrive together: their intervals say nothing on a logarithmic axis but take it.
        usual, low, first = np.maximum(usual, shortest / factor), shortest, "; shorter ones are in the first bar"
    if wide:
        edges = np.geomspace(low, high, 91)
    elif high > low:
        edges = np.linspace(min(low, 0.0), high, 91)
    else:
        edges = np.linspace(low - 1, high + 1, 21)
    parts = [(usual, BLUE, "interval"), (frozen, RED, "freeze")]
    present = [part for part in parts if len(part[0])]
    axes.hist(
        [found * factor for found, _, _ in present],
        bins=edges.tolist(),
        stacked=True,
        color=[colour for _, colour, _ in present],
        label=[f"{name} ({formats.count(len(found))})" for found, _, name in present],
    )
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.7)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
    asked = evidence.framerate(suite)
    if asked is not None:
        nominal = 1 / asked
        axes.axvline(
            nominal * factor,
            color=GREY,
            linestyle="--",
            label=f"{asked:g} frames/s ({formats.seconds(nominal)})",
        )
    scales.limits(axes, evidence, "frame_interval_seconds", suite, factor, vertical=True)
    if wide:
        scales.logarithmic(axes, "x")
    else:
        scales.plain_ticks(axes.xaxis, 10)
    axes.set_ylabel("intervals (log)")
    axes.set_xlabel(f"interval between frames ({unit}){first}")
    legend_above(figure, [axes])
    return figure


def frame_rate(source: Source, suite: str) -> Chart | None:
    """Complete frames in each second: a line a session, or the range of all where there are many."""
    evidence = Evidence.of(source)
    frames, network = evidence.rows("frames", suite), evidence.rows("network", suite)
    found = frequency(frames, network)
    if found.empty:
        return None
    origin = float(found.index.min())
    figure, (axes,) = chart(
        f"Frame rate · {suite}",
        "complete frames whose last packet arrived within one second, at the client; display not included · "
        f"n = {formats.count(len(found))} seconds of sessions · frames/s",
        f"{REGISTRY['frames_per_second'].boundary} n = {formats.count(len(found))} seconds, in frames per second.",
        height=320,
        synthetic=evidence.synthetic,
    )
    names = evidence.sessions(suite)
    if len(names) <= _MOST_LINES:
        for index, name in enumerate(names):
            one = frequency(frames[frames["session"] == name], network[network["session"] == name])
            if len(one):
                x, y = scales.broken(one, origin)
                marker = "o" if len(one) < 4 else None
                label = formats.shorten(name, 24)
                axes.plot(x, y, color=PALETTE[index], linewidth=1.4, marker=marker, markersize=4, label=label)
    else:
        _range(axes, found, origin, len(names))
    asked = evidence.framerate(suite)
    if asked is not None:
        limit_line(axes, asked, f"asked for: {asked:g} /s", colour=GREY)
    scales.limits(axes, evidence, "frames_per_second", suite, 1.0)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("frames/s")
    axes.set_xlabel("time since the first counted second (s)")
    axes.margins(x=0.01)
    scales.plain_ticks(axes.xaxis, 10)
    scales.plain_ticks(axes.yaxis, 7)
    legend_above(figure, [axes])
    return figure


def _range(axes: Axes, found: pd.Series, origin: float, sessions: int) -> None:
    second = np.floor(found.index.to_numpy(dtype=float) - origin)
    grouped = found.groupby(second)
    for statistic, colour, label in (("max", SKY, "best"), ("median", BLUE, "median"), ("min", RED, "worst")):
        x, y = scales.broken(grouped.agg(statistic), 0.0)
        axes.plot(x, y, color=colour, linewidth=1.3, label=f"{label} of up to {sessions} sessions")


def _intervals(evidence: Evidence, suite: str, level: int | None) -> tuple[np.ndarray, np.ndarray]:
    frames = evidence.rows("frames", suite)
    frames = frames[frames["complete"]]
    if level is not None:
        frames = frames[frames["level"] == level]
    usual, frozen = [np.zeros(0)], [np.zeros(0)]
    for _, rows in streams(frames):
        durations = np.diff(np.sort(rows["arrival_unix_seconds"].to_numpy()))
        mask = freezes(durations)
        usual.append(durations[~mask])
        frozen.append(durations[mask])
    return np.concatenate(usual), np.concatenate(frozen)
