"""Charts of where the milliseconds go: the stages of a frame, and the two ways of an input. Pure: None without data."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from vdibench.metrics import REGISTRY, Statistic
from vdibench.report import axes as scales
from vdibench.report import formats
from vdibench.report.evidence import Evidence, Source
from vdibench.report.stages import Part, Way, dialect, frame_way, input_parts, lacking
from vdibench.report.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, Chart, chart

__all__ = ["input_stages", "latency_stages"]

_P50, _P95 = Statistic("p", 50.0), Statistic("p", 95.0)
# One colour a stretch of the way, wherever it appears: the desktop's, the network's, the client's.
_COLOURS = {
    "draw_to_capture_seconds": SKY,
    "capture_to_encoded_seconds": BLUE,
    "encoded_to_sent_seconds": PURPLE,
    "sent_to_arrival_seconds": ORANGE,
    "capture_to_arrival_seconds": BLUE,
    "draw_to_arrival_seconds": BLUE,
    "arrival_to_assembled_seconds": GREEN,
    "assembled_to_decoded_seconds": RED,
    "decode_seconds": RED,
    "input_path_seconds": ORANGE,
    "picture_path_seconds": BLUE,
}
_BEGIN = {
    "draw": "the marker was drawn",
    "capture": "the picture was captured",
    "arrival": "the last packet arrived",
    "decode": "the last packet arrived",
    "input": "the event was sent",
}
_ROW = 34


def latency_stages(source: Source, suite: str, *, level: int | None = None) -> Chart | None:
    """The medians of a frame's stages one behind the other, each with its p95; and what cannot be told, and why."""
    evidence = Evidence.of(source)
    way = frame_way(evidence, suite, level=level)
    if not way.parts:
        return None
    known = dialect(evidence, suite)
    at = f" · {formats.counted(level, 'session')}" if level is not None else ""
    return _waterfall(
        f"Where the latency goes · {suite}{at}{f' · {known}' if known else ''}",
        "stages of a frame, one behind the other; display not included",
        "frame",
        way.parts,
        way.whole,
        absent=lacking(evidence, suite, way.parts),
        note=_told(evidence, suite, level, way),
        synthetic=evidence.synthetic,
    )


def input_stages(source: Source, suite: str, *, level: int | None = None) -> Chart | None:
    """The way of an input to the desktop and that of the picture back, medians one behind the other."""
    evidence = Evidence.of(source)
    parts = input_parts(evidence, suite, level=level)
    if not parts:
        return None
    whole = evidence.values("input_to_photon_seconds", suite, level=level)
    return _waterfall(
        f"The two ways of an input · {suite}",
        "key or click sent → the desk drew its answer → that frame was decoded; display not included",
        "event",
        parts,
        Part("input_to_photon_seconds", "sent → decoded (whole)", whole),
        synthetic=evidence.synthetic,
    )


def _told(evidence: Evidence, suite: str, level: int | None, way: Way) -> str:
    """Which frames the stages rest on, where it is not nearly all."""
    if way.told >= 0.9 * way.frames:
        return ""
    whole = evidence.percentile(50.0, "glass_to_glass_seconds", suite, level=level)
    said = f" Only the {formats.count(way.told)} of {formats.count(way.frames)} frames that tell every stage are drawn."
    if any(part.metric == "capture_to_encoded_seconds" for part in way.parts):
        said += " The sender stamps a few a second, so slow seconds weigh more with them."
    whole = evidence.percentile(50.0, "glass_to_glass_seconds", suite, level=level)
    return f"{said} Over all frames the whole has a median of {formats.seconds(whole)}." if whole is not None else said


def _waterfall(
    heading: str,
    short: str,
    noun: str,
    parts: Sequence[Part],
    whole: Part | None,
    *,
    absent: Sequence[tuple[str, str]] = (),
    note: str = "",
    synthetic: bool = False,
) -> Chart:
    """One row a stage: a bar of its median that begins where the medians before it end, and a whisker to its p95."""
    rows = [*parts, *([whole] if whole is not None else [])]
    factor, unit = formats.time_scale([_P95.of(part.values) or 0.0 for part in rows])
    samples = formats.counted(len(parts[0].values), noun)
    lines = len(rows) + len(absent)
    figure, (axes,) = chart(
        heading,
        f"{short} · n = {samples} · bar: median, whisker: p95 · {unit}",
        _caption(parts, whole, samples, unit) + note,
        height=150 + _ROW * lines,
        synthetic=synthetic,
    )
    left, rightmost = 0.0, 0.0
    for row, part in enumerate(rows):
        begin = 0.0 if part is whole else left
        end = _bar(axes, row, part, begin, factor, whole=part is whole)
        rightmost = max(rightmost, end)
        left = begin + factor * (_P50.of(part.values) or 0.0)
    for row, (_, why) in enumerate(absent, start=len(rows)):
        axes.text(0.004 * rightmost, row, why, va="center", ha="left", fontsize=9, color=GREY, style="italic")
    axes.set_yticks(range(lines), labels=[*(part.label for part in rows), *(label for label, _ in absent)])
    for number, label in enumerate(axes.get_yticklabels()):
        label.set_color(GREY if number >= len(rows) else BLACK)
        label.set_fontweight("bold" if number < len(rows) and rows[number] is whole else "normal")
    axes.set_ylim(lines - 0.45, -0.55)
    axes.grid(visible=False, axis="y")
    low = min(0.0, axes.get_xlim()[0]) if any((_P50.of(part.values) or 0.0) < 0 for part in rows) else 0.0
    # Room for the numbers at the right of the longest whisker.
    axes.set_xlim(low, rightmost * 1.37 or 1.0)
    scales.plain_ticks(axes.xaxis, 10)
    axes.set_xlabel(f"time since {_BEGIN[parts[0].metric.partition('_')[0]]} ({unit})")
    return figure


def _bar(axes: Axes, row: int, part: Part, begin: float, factor: float, *, whole: bool) -> float:
    """Draw one stage; where its whisker ends."""
    p50, p95 = factor * (_P50.of(part.values) or 0.0), factor * (_P95.of(part.values) or 0.0)
    colour = GREY if whole else _COLOURS[part.metric]
    # A bar of a few microseconds must still be seen.
    axes.barh(row, p50, left=begin, height=0.62, color=colour, edgecolor=colour, linewidth=1.2, alpha=0.9)
    axes.plot([begin + p50, begin + p95], [row, row], color=BLACK, linewidth=1.1)
    axes.plot([begin + p95], [row], "|", color=BLACK, markersize=9)
    end = max(begin, begin + p50, begin + p95)
    axes.annotate(
        f"p50 {formats.seconds(p50 / factor)}, p95 {formats.seconds(p95 / factor)}",
        (end, row),
        xytext=(7, 0),
        textcoords="offset points",
        va="center",
        fontsize=9,
        color=BLACK,
    )
    return end


def _caption(parts: Sequence[Part], whole: Part | None, samples: str, unit: str) -> str:
    boundary = REGISTRY[whole.metric if whole is not None else parts[-1].metric].boundary
    total = sum(_P50.of(part.values) or 0.0 for part in parts)
    middle = _P50.of(whole.values) if whole is not None else None
    against = f", that of the whole is {formats.seconds(middle)}" if middle is not None else ""
    return (
        f"{boundary} n = {samples}, in {unit}; outliers are kept. The medians add up to "
        f"{formats.seconds(total)}{against}: medians need not add up."
    )
