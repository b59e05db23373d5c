"""Charts of glass-to-glass and input-to-photon latency. Pure: tables in, a chart or None (nothing measured) out."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from vdibench.metrics import REGISTRY, percentile_bounds
from vdibench.report import axes as scales
from vdibench.report import formats
from vdibench.report.evidence import Evidence, Source
from vdibench.report.style import (
    BLUE,
    GREEN,
    GREY,
    MARKERS,
    ORANGE,
    PALETTE,
    PURPLE,
    Chart,
    chart,
    legend,
    legend_above,
    wide_range,
)

__all__ = ["glass_to_glass_distribution", "glass_to_glass_over_time", "input_to_photon", "latency_by_level"]

_G2G = "glass_to_glass_seconds"
_SHORT = "marker drawn in the desktop → frame decoded at the client; display not included"
_MARKS = ((50.0, GREEN, ":"), (95.0, ORANGE, "--"), (99.0, PURPLE, "-."))
_MOST_SPANS = 300


def glass_to_glass_distribution(source: Source, suite: str, *, level: int | None = None) -> Chart | None:
    """Histogram and cumulated share of glass-to-glass latency, with p50, p95, p99 and the objective."""
    evidence = Evidence.of(source)
    found = evidence.values(_G2G, suite, level=level)
    if found.empty:
        return None
    at = f" · {formats.counted(level, 'session')}" if level is not None else ""
    factor, unit = formats.time_scale(found.tolist())
    ordered = np.sort(found.to_numpy()) * factor
    figure, (top, bottom) = chart(
        f"Glass-to-glass latency · {suite}{at}",
        f"{_SHORT} · n = {formats.count(len(found))} frames · {unit}",
        _caption(len(found), "frames", unit, _G2G),
        height=430,
        synthetic=evidence.synthetic,
        ratios=(1.0, 1.5),
    )
    wide = wide_range(ordered) and ordered[0] > 0
    edges = np.geomspace(ordered[0], ordered[-1], 81) if wide else _edges(ordered)
    top.hist(ordered, bins=edges.tolist(), color=BLUE, alpha=0.85)
    top.set_ylabel("frames")
    scales.plain_ticks(top.yaxis, 4)
    x, y = scales.thinned(ordered)
    bottom.step(x, 100 * y, where="post", color=BLUE, label="_measured")
    for percent, colour, dash in _MARKS:
        value = evidence.percentile(percent, _G2G, suite, level=level)
        if value is not None:
            for one in (top, bottom):
                one.axvline(
                    value * factor, color=colour, linestyle=dash, label=f"p{percent:g}  {formats.seconds(value)}"
                )
    bottom.plot(x[-1:], [100.0], "o", color=BLUE, label=f"max  {formats.seconds(float(found.max()))}", zorder=3)
    for one in (top, bottom):
        scales.limits(one, evidence, _G2G, suite, factor, vertical=True)
    bottom.set_ylim(0, 103)
    bottom.set_ylabel("% of frames, at most")
    bottom.set_xlabel(f"glass-to-glass latency ({unit}), display not included")
    if wide:
        scales.logarithmic(bottom, "x")
    else:
        scales.plain_ticks(bottom.xaxis, 10)
    legend(bottom)
    return figure


def glass_to_glass_over_time(source: Source, suite: str) -> Chart | None:
    """Every frame's glass-to-glass latency at the instant it was decoded; warm-up grey, freezes shaded."""
    evidence = Evidence.of(source)
    found = evidence.values(_G2G, suite)
    if found.empty:
        return None
    warm = _warm_up(evidence, suite)
    factor, unit = formats.time_scale(found.tolist())
    spans = evidence.frozen_spans(suite)
    figure, (axes,) = chart(
        f"Glass-to-glass latency over time · {suite}",
        f"{_SHORT} · one dot a frame, n = {formats.count(len(found))} frames, {formats.count(len(warm))} more while "
        f"warming up (not counted) · freezes shaded: {formats.count(len(spans))} · {unit}",
        _caption(len(found), "frames", unit, _G2G)
        + f" A freeze: {REGISTRY['freezes_per_minute'].boundary.partition(': ')[2]}",
        height=400,
        synthetic=evidence.synthetic,
    )
    origin = min([float(found.index.min()), *warm.index[:1]])
    for begin, end in sorted(spans, key=lambda span: span[0] - span[1])[:_MOST_SPANS]:
        axes.axvspan(begin - origin, end - origin, color=ORANGE, alpha=0.45, linewidth=0.8, zorder=0.5)
    if len(warm):
        axes.plot(warm.index - origin, warm * factor, ".", color=GREY, markersize=2, alpha=0.45)
        axes.plot([], [], ".", color=GREY, markersize=9, label=f"warm-up ({formats.count(len(warm))})")
    _dots(axes, evidence, suite, origin, factor)
    if spans:
        axes.fill_between([], [], color=ORANGE, alpha=0.45, label=f"freeze ({formats.count(len(spans))})")
    both = np.concatenate((found.to_numpy(), warm.to_numpy()))
    scales.limits(axes, evidence, _G2G, suite, factor)
    if wide_range(found.to_numpy()) and both.min() > 0:
        scales.logarithmic(axes, "y")
    else:
        axes.set_ylim(bottom=min(0.0, float(both.min()) * factor))
        scales.plain_ticks(axes.yaxis, 7)
    axes.set_ylabel(f"glass-to-glass ({unit})")
    axes.set_xlabel("time since the first frame shown (s)")
    axes.margins(x=0.01)
    scales.plain_ticks(axes.xaxis, 10)
    legend_above(figure, [axes])
    return figure


def latency_by_level(source: Source, suite: str) -> Chart | None:
    """Percentiles of glass-to-glass latency against the number of sessions, with the bounds of p95."""
    evidence = Evidence.of(source)
    by_level = {level: evidence.values(_G2G, suite, level=level) for level in evidence.levels(suite)}
    by_level = {level: found for level, found in by_level.items() if len(found)}
    if not by_level:
        return None
    every = np.concatenate([found.to_numpy() for found in by_level.values()])
    total = len(every)
    ks = list(by_level)
    p99 = [evidence.percentile(99.0, _G2G, suite, level=k) or 0.0 for k in ks]
    factor, unit = formats.time_scale(p99)
    figure, (axes,) = chart(
        f"Glass-to-glass latency by number of sessions · {suite}",
        f"{_SHORT} · n = {formats.count(total)} frames over {len(ks)} level{'s' * (len(ks) != 1)} · {unit} · "
        "bars: 95\u00a0% bounds of p95",
        _caption(total, "frames", unit, _G2G) + " The bars are distribution-free 95 % bounds of p95.",
        height=380,
        synthetic=evidence.synthetic,
    )
    for (percent, colour, dash), marker in zip(_MARKS, MARKERS, strict=False):
        points = [factor * (evidence.percentile(percent, _G2G, suite, level=k) or 0.0) for k in ks]
        axes.plot(ks, points, color=colour, linestyle=dash, marker=marker, label=f"p{percent:g}")
    for k, found in by_level.items():
        low, high = percentile_bounds(found, 0.95)
        if low is not None and high is not None:
            axes.vlines(k, low * factor, high * factor, color=ORANGE, linewidth=1.6)
            axes.plot([k, k], [low * factor, high * factor], "_", color=ORANGE, markersize=16, markeredgewidth=1.6)
    scales.limits(axes, evidence, _G2G, suite, factor)
    smallest = min(evidence.percentile(50.0, _G2G, suite, level=k) or 0.0 for k in ks)
    if smallest > 0 and max(p99) > 12 * smallest:
        scales.logarithmic(axes, "y")
    else:
        axes.set_ylim(bottom=min(0.0, float(axes.get_ylim()[0])) if every.min() < 0 else 0.0)
        scales.plain_ticks(axes.yaxis, 7)
    scales.integer_ticks(axes.xaxis, ks)
    axes.set_xlim(min(ks) - 0.4, max(ks) + 0.4)
    axes.set_ylabel(f"glass-to-glass ({unit})")
    axes.set_xlabel("sessions running together")
    legend_above(figure, [axes])
    return figure


def input_to_photon(source: Source, suite: str) -> Chart | None:
    """Cumulated share of input-to-photon latency of key presses and of clicks."""
    evidence = Evidence.of(source)
    kinds = {kind: evidence.values(f"{kind}_to_photon_seconds", suite) for kind in ("key", "click")}
    kinds = {kind: found for kind, found in kinds.items() if len(found)}
    if not kinds:
        return None
    every = np.concatenate([found.to_numpy() for found in kinds.values()])
    factor, unit = formats.time_scale(every.tolist())
    lost = int(evidence.values("input_loss_ratio", suite).sum())
    unseen = f" · {formats.count(lost)} more never seen" if lost else ""
    figure, (axes,) = chart(
        f"Input-to-photon latency · {suite}",
        "key or click sent → first decoded frame whose patch changed; display not included · "
        f"n = {formats.count(len(every))} events{unseen} · {unit}",
        _caption(len(every), "events", unit, "input_to_photon_seconds"),
        height=340,
        synthetic=evidence.synthetic,
    )
    for (kind, found), colour, dash, marker in zip(kinds.items(), PALETTE, ("-", "--"), MARKERS, strict=False):
        ordered = np.sort(found.to_numpy()) * factor
        p50 = evidence.percentile(50.0, f"{kind}_to_photon_seconds", suite)
        p95 = evidence.percentile(95.0, f"{kind}_to_photon_seconds", suite)
        x, y = scales.thinned(ordered)
        axes.step(
            x,
            100 * y,
            where="post",
            color=colour,
            linestyle=dash,
            marker=marker if len(ordered) <= 400 else None,
            markersize=3.5,
            label=f"{kind}  p50 {formats.seconds(p50)}, p95 {formats.seconds(p95)}, n = {len(found)}",
        )
    for metric in ("key_to_photon_seconds", "click_to_photon_seconds", "input_to_photon_seconds"):
        scales.limits(axes, evidence, metric, suite, factor, vertical=True)
    axes.set_ylim(0, 103)
    if wide_range(every) and every.min() > 0:
        scales.logarithmic(axes, "x")
    else:
        scales.plain_ticks(axes.xaxis, 10)
    axes.set_ylabel("% of events, at most")
    axes.set_xlabel(f"input-to-photon latency ({unit}), display not included")
    legend(axes)
    return figure


def _dots(axes: Axes, evidence: Evidence, suite: str, origin: float, factor: float) -> None:
    """The frames, coloured by level where there are several, with the level written above its stretch."""
    levels = evidence.levels(suite)
    for index, level in enumerate(levels):
        found = evidence.values(_G2G, suite, level=level)
        colour = PALETTE[index % len(PALETTE)] if len(levels) > 1 else BLUE
        label = f"{level} session{'s' * (level != 1)}" if len(levels) > 1 else f"frame ({formats.count(len(found))})"
        axes.plot(found.index - origin, found * factor, ".", color=colour, markersize=2.4, alpha=0.6)
        axes.plot([], [], ".", color=colour, markersize=9, label=label)


def _warm_up(evidence: Evidence, suite: str) -> pd.Series:
    rows = evidence.rows("frames", suite, "warmup")
    rows = rows[~rows["marker_repeated"]]
    found = rows["decoded_unix_seconds"] - rows["marker_unix_seconds"]
    return pd.Series(found.to_numpy(), index=rows["decoded_unix_seconds"].to_numpy()).dropna().sort_index()


def _edges(ordered: np.ndarray) -> np.ndarray:
    low, high = float(ordered[0]), float(ordered[-1])
    if high - low < 1e-9:
        half = max(abs(low) * 0.05, 0.05)
        return np.linspace(low - half, high + half, 21)
    return np.linspace(low, high, 81)


def _caption(samples: int, what: str, unit: str, metric: str) -> str:
    return f"{REGISTRY[metric].boundary} n = {formats.count(samples)} {what}, in {unit}; outliers are kept."
