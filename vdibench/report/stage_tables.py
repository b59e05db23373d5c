"""Tables of a frame's stages, of an input's two ways, and of what the server states of itself. Pure: text cells."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from vdibench.metrics import REGISTRY, Statistic
from vdibench.report import formats
from vdibench.report.evidence import Evidence, Source
from vdibench.report.stages import INPUT_LABELS, LABELS, absence, word
from vdibench.slo import LEVELED
from vdibench.telemetry.gstreamer import Stage, stage

__all__ = ["elements_table", "input_paths_table", "server_table", "stages_table"]

_NUMBERS = ["n", "p50", "p95", "p99", "max"]
# What we measured ourselves that comes nearest to what the server states; they need not have the same ends.
_OURS = {
    "server_encode_seconds": "capture_to_encoded_seconds",
    "server_pipeline_seconds": "capture_to_encoded_seconds",
    "server_send_seconds": "capture_to_arrival_seconds",
    "server_frames_per_second": "frames_per_second",
}
_STATED = {
    "server_encode_seconds": "encoding",
    "server_pipeline_seconds": "capture → end of its pipeline",
    "server_send_seconds": "capture → last packet sent",
    "server_round_trip_seconds": "round trip of its ping",
    "server_frames_per_second": "frames encoded",
}
_OURS_LABEL = {**LABELS, "frames_per_second": "complete frames"}


def stages_table(source: Source, suites: Sequence[str] | str) -> pd.DataFrame:
    """Each stage of a frame, one row a suite, level and stage; one that was not measured says why."""
    evidence = Evidence.of(source)
    rows = [
        [where, LABELS[metric], *_cells(evidence, suite, level, metric, "frame")]
        for suite in _listed(suites)
        for where, level in _places(evidence, suite)
        if any(len(evidence.values(metric, suite, level=level)) for metric in LABELS)
        for metric in LABELS
    ]
    return pd.DataFrame(rows, columns=["suite", "stage", *_NUMBERS, "why not"])


def input_paths_table(source: Source, suites: Sequence[str] | str) -> pd.DataFrame:
    """The way of an input to the desktop and that of the picture back, one row a suite, level and way."""
    evidence = Evidence.of(source)
    rows = [
        [where, label, *_cells(evidence, suite, level, metric, "event")]
        for suite in _listed(suites)
        for where, level in _places(evidence, suite)
        if len(evidence.values("input_path_seconds", suite, level=level))
        for metric, label in INPUT_LABELS.items()
    ]
    return pd.DataFrame(rows, columns=["suite", "way", *_NUMBERS, "why not"])


def server_table(source: Source, suites: Sequence[str] | str) -> pd.DataFrame:
    """What the desktop's server states of itself, beside the nearest that was measured here, one row a figure."""
    evidence = Evidence.of(source)
    rows = []
    for suite in _listed(suites):
        if not any(len(evidence.values(metric, suite)) for metric in _STATED):
            continue
        for metric, label in _STATED.items():
            found = evidence.values(metric, suite)
            rows.append(
                [
                    formats.clean(suite),
                    label,
                    formats.count(len(found)),
                    *(_statistic(found, metric, statistic) for statistic in ("p(50)", "p(95)", "max")),
                    _ours(evidence, suite, metric),
                ]
                if len(found)
                else [
                    formats.clean(suite),
                    label,
                    "",
                    word(evidence, suite, metric),
                    "",
                    "",
                    _ours(evidence, suite, metric),
                ]
            )
    return pd.DataFrame(rows, columns=["suite", "stated by the server", "n", "p50", "p95", "max", "measured here"])


def elements_table(source: Source, suites: Sequence[str] | str) -> pd.DataFrame:
    """What each element of the server's GStreamer pipeline took, by its tracer, the longest first."""
    evidence = Evidence.of(source)
    rows = []
    for suite in _listed(suites):
        found = evidence.values("server_element_seconds", suite)
        medians = found.groupby(level=0).median().sort_values(ascending=False)
        for element in medians.index:
            mine = found[found.index == element]
            numbers = [_statistic(mine, "server_element_seconds", text) for text in ("p(50)", "p(95)", "max")]
            rows.append(
                [formats.clean(suite), _stage(element), formats.clean(element), formats.count(len(mine)), *numbers]
            )
    return pd.DataFrame(rows, columns=["suite", "stage", "element", "n", "p50", "p95", "max"])


def _stage(element: str) -> str:
    found = stage(element)
    return str(found) if found is not Stage.OTHER else ""


def _cells(evidence: Evidence, suite: str, level: int, metric: str, noun: str) -> list[str]:
    found = evidence.values(metric, suite, level=level)
    if found.empty:
        return ["", word(evidence, suite, metric), "", "", "", absence(evidence, suite, metric)]
    statistics = [_statistic(found, metric, text) for text in ("p(50)", "p(95)", "p(99)", "max")]
    return [formats.counted(len(found), noun), *statistics, ""]


def _ours(evidence: Evidence, suite: str, metric: str) -> str:
    nearest = _OURS.get(metric)
    found = evidence.values(nearest, suite) if nearest is not None else pd.Series(dtype=float)
    if nearest is None or found.empty:
        return ""
    return f"{_OURS_LABEL[nearest]} p50 {_statistic(found, nearest, 'p(50)')}"


def _statistic(found: pd.Series, metric: str, text: str) -> str:
    return formats.quantity(Statistic.parse(text).of(found), REGISTRY[metric].unit)


def _places(evidence: Evidence, suite: str) -> list[tuple[str, int]]:
    levels = evidence.levels(suite)
    name = formats.clean(suite)
    if levels == [1] and suite not in LEVELED:
        return [(name, 1)]
    return [(f"{name}, {formats.counted(level, 'session')}", level) for level in levels]


def _listed(suites: Sequence[str] | str) -> Sequence[str]:
    return (suites,) if isinstance(suites, str) else suites
