"""From raw tables to the raw values of a metric. Pure: the same tables give the same values.

Values come from ``steady`` rows only; the life of sessions (:mod:`vdibench.metrics.milestones`) also from warm-ups, but
not from probes. They are never averaged, smoothed or trimmed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from vdibench.metrics import clocks, counters, milestones, pacing
from vdibench.metrics.metric import Metric
from vdibench.metrics.registry import REGISTRY
from vdibench.metrics.windows import PROBE, STEADY, Tables, chosen

__all__ = ["levels", "sessions", "trials", "values"]

_NOT_DESKTOPS = ("client", "host")
_ELEMENT = "element."
# Instants that the desktop stated: its clock may differ from the client's.
_DESKTOP_CLOCK = {
    "frames": frozenset(
        {"marker_unix_seconds", "capture_unix_seconds", "encoded_unix_seconds", "sent_unix_seconds"},
    ),
    "inputs": frozenset({"drawn_unix_seconds"}),
}


class _Choose(Protocol):
    def __call__(self, table: str) -> pd.DataFrame:
        """Rows of the table that count; of ``milestones`` also those of warm-ups."""

    def clock(self) -> pd.DataFrame:
        """Every estimate of the desktops' clocks, whenever it was made."""


_Reduce = Callable[[_Choose], pd.Series]


def values(
    metric: Metric | str,
    tables: Tables,
    *,
    suite: str,
    level: int | None = None,
    trial: int | None = None,
    session: str | None = None,
    phase: str = STEADY,
) -> pd.Series:
    """The raw values of ``metric``, float64, indexed by instant (Unix seconds) or, for phases, by event.

    Empty when nothing was measured, and always for a metric that comes from the analysis of several levels.

    :param tables: by name, with the columns of :data:`vdibench.records.TABLES`.
    :param phase: another than ``steady`` for what no objective looks at, such as probes through a link.
    :raises ObjectiveError: there is no metric of that name.
    """
    known = REGISTRY.named(metric) if isinstance(metric, str) else metric
    reduce = _REDUCERS.get(known.name)
    if reduce is None:
        return pd.Series(dtype=float, name=known.name)

    return reduce(_Rows(tables, suite, level, trial, session, phase)).astype(float).dropna().rename(known.name)


def levels(tables: Tables, suite: str) -> list[int]:
    """The levels of which a suite has steady frames, counters or resources, ascending."""
    return _places(tables, suite, "level", None)


def trials(tables: Tables, suite: str, level: int) -> list[int]:
    """The trials of one level, ascending."""
    return _places(tables, suite, "trial", level)


def sessions(tables: Tables, suite: str, level: int | None = None, trial: int | None = None) -> list[str]:
    """The desktops that a suite watched or tried to, sorted."""
    found: set[str] = set()
    for table in ("frames", "network", "inputs", "milestones"):
        rows = chosen(tables[table], suite=suite, level=level, trial=trial, phase=None)
        found.update(rows["session"].unique())
    return sorted(found.difference(_NOT_DESKTOPS))


def _places(tables: Tables, suite: str, column: str, level: int | None) -> list[int]:
    found: set[int] = set()
    for table in ("frames", "network", "inputs", "resources"):
        found.update(int(value) for value in chosen(tables[table], suite=suite, level=level)[column].unique())
    return sorted(found)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of one suite and phase and, where given, of one level, trial and session."""

    tables: Tables
    suite: str
    level: int | None
    trial: int | None
    session: str | None
    phase: str

    def __call__(self, table: str) -> pd.DataFrame:
        phase = None if table == "milestones" else self.phase
        rows = chosen(
            self.tables[table],
            suite=self.suite,
            level=self.level,
            trial=self.trial,
            session=self.session,
            phase=phase,
        )
        return rows if self.phase == PROBE else rows[rows["phase"] != PROBE]

    def clock(self) -> pd.DataFrame:
        known = self.tables.get("clock")
        if known is None:
            return pd.DataFrame({"session": []})
        # A connection may outlast a level: what was learnt of its clock holds at the next one too.
        return chosen(known, suite=self.suite, session=self.session, phase=None)


def _between(table: str, start: str, end: str, **where: object) -> _Reduce:
    stated = _DESKTOP_CLOCK[table]
    foreign = {column: column in stated for column in (start, end)}

    def reduce(choose: _Choose) -> pd.Series:
        rows = choose(table)
        for column, value in where.items():
            rows = rows[rows[column] == value]
        first, last = rows[start].to_numpy(dtype=float), rows[end].to_numpy(dtype=float)
        if foreign[start] != foreign[end]:
            ahead = clocks.offsets(choose.clock(), rows, first if foreign[end] else last)
            first, last = (first, last - ahead) if foreign[end] else (first - ahead, last)
        return pd.Series(last - first, index=last)

    return reduce


def _column(table: str, column: str, at: str) -> _Reduce:
    def reduce(choose: _Choose) -> pd.Series:
        rows = choose(table)
        return pd.Series(rows[column].to_numpy(), index=rows[at].to_numpy())

    return reduce


def _stated(name: str) -> _Reduce:
    def reduce(choose: _Choose) -> pd.Series:
        rows = choose("server")
        rows = rows[rows["name"] == name]
        return pd.Series(rows["value"].to_numpy(), index=rows["unix_seconds"].to_numpy())

    return reduce


def _elements(choose: _Choose) -> pd.Series:
    rows = choose("server")
    rows = rows[rows["name"].str.startswith(_ELEMENT)]
    names = rows["name"].str.removeprefix(_ELEMENT).str.removesuffix("_seconds")
    return pd.Series(rows["value"].to_numpy(), index=names.to_numpy())


def _frame_sizes(choose: _Choose) -> pd.Series:
    rows = choose("frames")
    rows = rows[rows["complete"]]
    return pd.Series(rows["size_bytes"].to_numpy(), index=rows["arrival_unix_seconds"].to_numpy())


def _input_loss(choose: _Choose) -> pd.Series:
    rows = choose("inputs")
    return pd.Series(rows["photon_unix_seconds"].isna().to_numpy(), index=rows["sent_unix_seconds"].to_numpy())


def _freeze_rate(choose: _Choose) -> pd.Series:
    totals = pacing.totals(choose("frames"), choose("network"))
    return 60.0 * totals["freezes"] / totals["seconds"]


def _freeze_duration(choose: _Choose) -> pd.Series:
    return pacing.totals(choose("frames"), choose("network"))["frozen_seconds"]


def _ready(choose: _Choose) -> pd.Series:
    starts = milestones.attempts(choose("milestones"))
    return pd.Series(starts["ready_seconds"].to_numpy(), index=starts["started_unix_seconds"].to_numpy())


def _failure(choose: _Choose) -> pd.Series:
    starts = milestones.attempts(choose("milestones"))
    lost = starts["ready_seconds"].isna() | starts["failed"]
    return pd.Series(lost.to_numpy(), index=starts["started_unix_seconds"].to_numpy())


def _phases(choose: _Choose) -> pd.Series:
    steps = milestones.phases(choose("milestones"))
    return pd.Series(steps["seconds"].to_numpy(), index=steps["event"].to_numpy())


def _resource(resource: str, scope: str) -> _Reduce:
    def reduce(choose: _Choose) -> pd.Series:
        rows = choose("resources")
        rows = rows[rows["resource"] == resource]
        gpu = rows["session"].str.startswith("gpu-")
        if scope == "desktop":
            rows = rows[~gpu & ~rows["session"].isin(_NOT_DESKTOPS)]
        else:
            rows = rows[gpu] if scope == "gpu" else rows[rows["session"] == scope]
        return pd.Series(rows["value"].to_numpy(), index=rows["unix_seconds"].to_numpy())

    return reduce


_REDUCERS: dict[str, _Reduce] = {
    "glass_to_glass_seconds": _between("frames", "marker_unix_seconds", "decoded_unix_seconds", marker_repeated=False),
    "draw_to_arrival_seconds": _between(
        "frames", "marker_unix_seconds", "arrival_unix_seconds", marker_repeated=False, complete=True
    ),
    "capture_to_arrival_seconds": _between("frames", "capture_unix_seconds", "arrival_unix_seconds", complete=True),
    "draw_to_capture_seconds": _between("frames", "marker_unix_seconds", "capture_unix_seconds", marker_repeated=False),
    "capture_to_encoded_seconds": _between("frames", "capture_unix_seconds", "encoded_unix_seconds"),
    "encoded_to_sent_seconds": _between("frames", "encoded_unix_seconds", "sent_unix_seconds"),
    "sent_to_arrival_seconds": _between("frames", "sent_unix_seconds", "arrival_unix_seconds", complete=True),
    "first_to_last_packet_seconds": _between(
        "frames", "first_arrival_unix_seconds", "arrival_unix_seconds", complete=True
    ),
    "arrival_to_assembled_seconds": _between("frames", "arrival_unix_seconds", "assembled_unix_seconds"),
    "assembled_to_decoded_seconds": _between("frames", "assembled_unix_seconds", "decoded_unix_seconds"),
    "decode_seconds": _between("frames", "arrival_unix_seconds", "decoded_unix_seconds"),
    "input_to_photon_seconds": _between("inputs", "sent_unix_seconds", "photon_unix_seconds"),
    "key_to_photon_seconds": _between("inputs", "sent_unix_seconds", "photon_unix_seconds", kind="key"),
    "click_to_photon_seconds": _between("inputs", "sent_unix_seconds", "photon_unix_seconds", kind="click"),
    "input_path_seconds": _between("inputs", "sent_unix_seconds", "drawn_unix_seconds"),
    "picture_path_seconds": _between("inputs", "drawn_unix_seconds", "photon_unix_seconds"),
    "input_loss_ratio": _input_loss,
    "frames_per_second": lambda choose: pacing.frequency(choose("frames"), choose("network")),
    "frame_interval_seconds": lambda choose: pacing.intervals(choose("frames")),
    "freezes_per_minute": _freeze_rate,
    "freeze_duration_seconds": _freeze_duration,
    "frame_size_bytes": _frame_sizes,
    "bitrate_bits_per_second": lambda choose: counters.rate(choose("network"), "bytes_received", 8.0),
    "packets_lost_ratio": lambda choose: counters.loss(choose("network")),
    "jitter_seconds": _column("network", "jitter_seconds", "unix_seconds"),
    "socket_drops": lambda choose: counters.growth(choose("network"), "socket_drops"),
    "audio_packets_per_second": lambda choose: counters.rate(choose("network"), "audio_packets_received"),
    "audio_packets_lost_ratio": lambda choose: counters.loss(
        choose("network"), "audio_packets_received", "audio_packets_lost"
    ),
    "audio_to_video_offset_seconds": _column("synchronisation", "offset_seconds", "unix_seconds"),
    "audio_missing_ratio": lambda choose: counters.missing(choose("audio")),
    "ssim_ratio": _column("pictures", "ssim_ratio", "marker_unix_seconds"),
    "vmaf_score": _column("pictures", "vmaf_score", "marker_unix_seconds"),
    "event_loop_lag_seconds": _column("network", "event_loop_lag_seconds", "unix_seconds"),
    "clock_bound_seconds": _column("clock", "bound_seconds", "unix_seconds"),
    "server_encode_seconds": _stated("encode_seconds"),
    "server_pipeline_seconds": _stated("pipeline_seconds"),
    "server_send_seconds": _stated("send_seconds"),
    "server_round_trip_seconds": _stated("round_trip_seconds"),
    "server_frames_per_second": _stated("frames_per_second"),
    "server_element_seconds": _elements,
    "session_ready_seconds": _ready,
    "session_phase_seconds": _phases,
    "session_failure_ratio": _failure,
    "desktop_cpu_cores": _resource("cpu_cores", "desktop"),
    "client_cpu_cores": _resource("cpu_cores", "client"),
    "desktop_memory_bytes": _resource("memory_bytes", "desktop"),
    "client_memory_bytes": _resource("memory_bytes", "client"),
    "gpu_utilization_ratio": _resource("gpu_utilization_ratio", "gpu"),
    "gpu_encoder_utilization_ratio": _resource("gpu_encoder_utilization_ratio", "gpu"),
    "gpu_memory_bytes": _resource("gpu_memory_bytes", "gpu"),
    "gpu_power_watts": _resource("gpu_power_watts", "gpu"),
    "gpu_engine_active_ratio": _resource("gpu_engine_active_ratio", "gpu"),
    "gpu_sm_active_ratio": _resource("gpu_sm_active_ratio", "gpu"),
    "mig_memory_bytes": _resource("mig_memory_bytes", "gpu"),
    "mig_engine_active_ratio": _resource("mig_engine_active_ratio", "gpu"),
    "mig_sm_active_ratio": _resource("mig_sm_active_ratio", "gpu"),
}
