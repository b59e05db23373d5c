"""Tables of session starts, network and resources. Pure: text cells with units; absent is said, never zero."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd

from vdibench.metrics import Statistic
from vdibench.report import formats
from vdibench.report.evidence import Evidence, Source
from vdibench.report.stages import word
from vdibench.report.starts import NEW_POD, Start

__all__ = ["audio_table", "network_table", "ready_table", "resources_table", "unready_table"]

_READY = ["suite", "step", "n", "p50", "p95", "max"]
_UNREADY = ["suite", "session", "start", "came to", "why"]
_UNITS = {
    "cpu_cores": ("CPU", "cores"),
    "cpu_steal_cores": ("CPU stolen by the hypervisor", "cores"),
    "cpu_waiting_ratio": ("a task waited for a core", "ratio"),
    "memory_bytes": ("memory", "bytes"),
    "load_average_1m": ("load average, 1 min", ""),
    "gpu_utilization_ratio": ("GPU utilisation", "ratio"),
    "gpu_encoder_utilization_ratio": ("GPU encoder utilisation", "ratio"),
    "gpu_memory_bytes": ("GPU memory", "bytes"),
    "gpu_power_watts": ("GPU power", "watts"),
    "gpu_engine_active_ratio": ("GPU graphics engine active", "ratio"),
    "gpu_sm_active_ratio": ("GPU multiprocessors (SM) active", "ratio"),
    "mig_memory_bytes": ("MIG instance memory", "bytes"),
    "mig_engine_active_ratio": ("MIG instance graphics engine active", "ratio"),
    "mig_sm_active_ratio": ("MIG instance multiprocessors (SM) active", "ratio"),
}


def ready_table(source: Source, suites: Sequence[str] | str) -> pd.DataFrame:
    """Each step of a session's start, and the whole, one row a suite and step; starts of new pods by themselves."""
    evidence = Evidence.of(source)
    rows: list[list[str]] = []
    for suite in (suites,) if isinstance(suites, str) else suites:
        every = evidence.starts(suite)
        for some, what in (
            ([start for start in every if start.of_pod], f", {NEW_POD}"),
            ([start for start in every if not start.of_pod], ""),
        ):
            rows.extend([formats.clean(suite), step + what, *cells] for step, *cells in _steps(some))
    return pd.DataFrame(rows, columns=_READY)


def unready_table(source: Source, suites: Sequence[str] | str) -> pd.DataFrame:
    """Starts without a first frame, one row each: how far it came, and why no further."""
    evidence = Evidence.of(source)
    rows = [
        [
            formats.clean(suite),
            formats.clean(start.session),
            start.where,
            formats.clean(start.reached),
            formats.clean(start.reason) or formats.NO_DATA,
        ]
        for suite in ((suites,) if isinstance(suites, str) else suites)
        for start in evidence.starts(suite)
        if start.ready_seconds is None
    ]
    return pd.DataFrame(rows, columns=_UNREADY)


def _steps(every: Sequence[Start]) -> list[list[str]]:
    """Rows of steps, of the whole, and of what never came to be; none without a start."""
    if not every:
        return []
    steps: dict[str, list[float]] = {}
    for start in every:
        for event, seconds in start.steps:
            steps.setdefault(event, []).append(seconds)
    rows = [[formats.clean(event), *_durations(found)] for event, found in steps.items()]
    ready = [start.ready_seconds for start in every if start.ready_seconds is not None]
    rows.append(["whole, started → first frame", *_durations(ready)])
    if failed := len(every) - len(ready):
        rows.append(["never ready", f"{failed} of {formats.counted(len(every), 'start')}", "", "", ""])
    return rows


def network_table(source: Source, suites: Sequence[str] | str) -> pd.DataFrame:
    """The video stream as it arrived, one row a suite."""
    evidence = Evidence.of(source)
    rows = []
    for suite in (suites,) if isinstance(suites, str) else suites:
        counters = evidence.rows("network", suite)
        if counters.empty:
            continue
        rate = evidence.values("bitrate_bits_per_second", suite)
        jitter = evidence.values("jitter_seconds", suite)
        grown = _growth(counters)
        absent = partial(word, evidence, suite)
        rows.append(
            [
                formats.clean(suite),
                formats.count(len(counters)),
                formats.bits_per_second(Statistic("avg").of(rate)),
                formats.bits_per_second(Statistic("max").of(rate)),
                *_lost(grown, absent("packets_lost_ratio")),
                *_or(absent("jitter_seconds"), jitter.empty, _jitter(jitter)),
                *[_counted(grown[name], absent("jitter_seconds")) for name in ("nack_count", "pli_count")],
            ]
        )
    columns = ["suite", "readings", "mean bit rate", "max bit rate", "packets lost", "loss", "p50 jitter", "p95 jitter"]
    return pd.DataFrame(rows, columns=[*columns, "NACKs", "PLIs"])


def audio_table(source: Source, suites: Sequence[str] | str) -> pd.DataFrame:
    """The audio stream as it arrived, one row a suite; a desktop that is silent may send none."""
    evidence = Evidence.of(source)
    rows = []
    for suite in (suites,) if isinstance(suites, str) else suites:
        counters = evidence.rows("network", suite)
        if counters.empty:
            continue
        packets = evidence.values("audio_packets_per_second", suite)
        late = evidence.values("audio_to_video_offset_seconds", suite)
        absent = word(evidence, suite, "audio_packets_lost_ratio")
        rows.append(
            [
                formats.clean(suite),
                formats.quantity(Statistic("p", 50.0).of(packets), "1/second"),
                *_lost(_growth(counters), absent, "audio_packets_received", "audio_packets_lost"),
                formats.seconds(Statistic("p", 50.0).of(late)),
            ]
        )
    return pd.DataFrame(
        rows, columns=["suite", "audio packets, p50", "packets lost", "loss", "audio behind video, p50"]
    )


def resources_table(source: Source, suites: Sequence[str] | str) -> pd.DataFrame:
    """What desktops, the measuring side, the host and GPUs used, one row a suite, scope and resource."""
    evidence = Evidence.of(source)
    rows = []
    for suite in (suites,) if isinstance(suites, str) else suites:
        readings = evidence.rows("resources", suite)
        if readings.empty:
            continue
        scope = readings["session"].map(_scope)
        for name, mine in sorted(readings.groupby(scope), key=lambda item: _ORDER.index(str(item[0]))):
            for resource, group in mine.groupby("resource"):
                label, unit = _UNITS.get(str(resource), (formats.clean(resource), ""))
                found = group["value"].dropna()
                rows.append(
                    [
                        formats.clean(suite),
                        str(name),
                        label,
                        formats.count(len(found)),
                        formats.quantity(Statistic("avg").of(found), unit),
                        formats.quantity(Statistic("p", 95.0).of(found), unit),
                        formats.quantity(Statistic("max").of(found), unit),
                    ]
                )
        rows.extend(_absent(evidence, suite, set(readings["resource"])))
    return pd.DataFrame(rows, columns=["suite", "of", "resource", "readings", "mean", "p95", "max"])


_GPU = ("gpu_utilization_ratio", "gpu_encoder_utilization_ratio", "gpu_memory_bytes")
_ORDER = ("one desktop", "measuring side", "whole host", "GPU", "MIG instance")


def _scope(session: str) -> str:
    if session.startswith("gpu-"):
        return _ORDER[4 if "/" in session else 3]
    return {"client": _ORDER[1], "host": _ORDER[2]}.get(session, _ORDER[0])


def _absent(evidence: Evidence, suite: str, present: set[str]) -> list[list[str]]:
    """GPU figures that were not read: not applicable without a GPU in the profile, no data with one."""
    gpu = bool(evidence.run.context.get("gpu")) if evidence.run is not None else False
    word = formats.NO_DATA if gpu else formats.NOT_APPLICABLE
    missing = [resource for resource in _GPU if resource not in present]
    if len(missing) == len(_GPU):
        return [[formats.clean(suite), _ORDER[3], "all", "0" if gpu else "", word, word, word]]
    return [[formats.clean(suite), _ORDER[3], _UNITS[one][0], "0", word, word, word] for one in missing]


def _durations(found: list[float]) -> list[str]:
    series = pd.Series(found, dtype=float)
    return [
        formats.count(len(series)),
        formats.seconds(Statistic("p", 50.0).of(series)),
        formats.seconds(Statistic("p", 95.0).of(series)),
        formats.seconds(Statistic("max").of(series)),
    ]


_COUNTERS = (
    "packets_received",
    "packets_lost",
    "nack_count",
    "pli_count",
    "audio_packets_received",
    "audio_packets_lost",
    "socket_drops",
)


def _growth(counters: pd.DataFrame) -> dict[str, int | None]:
    """How much each cumulative counter grew over the streams' windows; a counter that fell began anew.

    None for a counter that no stream has: a WebSocket loses nothing and asks for nothing again.
    """
    grown: dict[str, int | None] = {}
    ordered = counters.sort_values("unix_seconds")
    for name in _COUNTERS:
        known = ordered[ordered[name].notna()]
        grown[name] = None if known.empty else 0
        for _, stream in known.groupby(["level", "trial", "session"], observed=True):
            steps = stream[name].diff().dropna()
            same = stream["packets_received"].diff().dropna() >= 0
            grown[name] = (grown[name] or 0) + int(steps[same].sum())
    return grown


def _lost(
    grown: dict[str, int | None], absent: str, received: str = "packets_received", lost: str = "packets_lost"
) -> list[str]:
    came, gone = grown[received], grown[lost]
    if came is None or gone is None:
        return [absent, absent]
    expected = came + gone
    if expected <= 0:
        return [formats.NO_DATA, formats.NO_DATA]
    return [f"{formats.count(gone)} of {formats.count(expected)}", formats.ratio(gone / expected)]


def _counted(number: int | None, absent: str) -> str:
    return absent if number is None else formats.count(number)


def _jitter(found: pd.Series) -> list[str]:
    return [formats.seconds(Statistic("p", percent).of(found)) for percent in (50.0, 95.0)]


def _or(absent: str, missing: bool, cells: list[str]) -> list[str]:
    return [absent] * len(cells) if missing else cells
