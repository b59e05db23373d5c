"""What is said of a watched desktop: session facts, readings, the summary. Pure; base units; None is "not measured".

The field names are the keys of ``vdibench watch --json`` (docs/howto/watch.md): they are only ever added to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

__all__ = ["Down", "Reading", "SessionFacts", "Summary", "to_json"]


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """One connection.

    :param encoder: encoder in use; the server tells it to controllers only.
    :param encoder_setting: encoder that the server is set to.
    :param hardware: whether the encoder in use is hardware; told to controllers only.
    :param nominal_frames_per_second: rate that the server is set to.
    :param candidate_pair: nominated ICE pair, local → remote.
    :param relay: whether it leads through a TURN relay.
    :param session_ready_seconds: from the first request to the first decoded frame.
    :param clock_bound_seconds: how far the two clocks may be apart: 0 on one host, None when unknown.
    """

    kind: ClassVar[str] = "session"

    unix_seconds: float
    url: str
    role: str
    dialect: str
    codec: str | None
    profile: str | None
    level: str | None
    encoder: str | None
    encoder_setting: str | None
    encoder_reason: str | None
    hardware: bool | None
    width: int | None
    height: int | None
    nominal_frames_per_second: float | None
    candidate_pair: str | None
    relay: bool | None
    session_ready_seconds: float | None
    clock_bound_seconds: float | None
    version: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What happened between the previous reading and this one.

    :param unix_seconds: end of the interval.
    :param glass_to_glass_samples: frames whose marker was new; without any the latencies are None.
    :param frozen_for_seconds: how long the picture has stood still now, when that is a freeze.
    :param event_loop_lag_seconds: largest delay of this client's event loop: what it may add to every latency.
    :param decoder_backlog_frames: frames that wait for this client's decoder.
    :param trustworthy: this client was fast enough for its latencies to be believed.
    """

    kind: ClassVar[str] = "reading"

    unix_seconds: float
    interval_seconds: float
    glass_to_glass_samples: int
    glass_to_glass_p50_seconds: float | None
    glass_to_glass_p95_seconds: float | None
    glass_to_glass_max_seconds: float | None
    clock_bound_seconds: float | None
    frames: int
    frames_per_second: float | None
    nominal_frames_per_second: float | None
    freezes: int
    frozen_seconds: float
    frozen_for_seconds: float
    decode_p95_seconds: float | None
    bitrate_bits_per_second: float | None
    packets_received: int
    packets_lost: int | None
    packets_lost_ratio: float | None
    jitter_seconds: float | None
    nack_count: int | None
    pli_count: int | None
    audio_packets_per_second: float | None
    inputs_sent: int
    inputs_lost: int
    input_to_photon_p50_seconds: float | None
    input_to_photon_max_seconds: float | None
    event_loop_lag_seconds: float | None
    decoder_backlog_frames: int
    trustworthy: bool


@dataclass(frozen=True, slots=True)
class Down:
    """A connection that failed or was lost, and when the next one will be tried."""

    kind: ClassVar[str] = "down"

    unix_seconds: float
    error: str
    retry_seconds: float


@dataclass(frozen=True, slots=True)
class Summary:
    """The whole watch. Percentiles are at most 1 % above the true value; counts and maxima are exact.

    :param seconds: from start to end; ``watched_seconds`` of them with a picture.
    :param reconnects: connections tried after the first.
    :param error: what ended the watch, or None when the user did.
    """

    kind: ClassVar[str] = "summary"

    unix_seconds: float
    seconds: float
    watched_seconds: float
    readings: int
    reconnects: int
    glass_to_glass_samples: int
    glass_to_glass_p50_seconds: float | None
    glass_to_glass_p95_seconds: float | None
    glass_to_glass_p99_seconds: float | None
    glass_to_glass_max_seconds: float | None
    clock_bound_seconds: float | None
    frames: int
    frames_per_second: float | None
    freezes: int
    frozen_seconds: float
    packets_received: int
    packets_lost: int | None
    packets_lost_ratio: float | None
    inputs_sent: int
    inputs_lost: int
    input_to_photon_p50_seconds: float | None
    input_to_photon_p95_seconds: float | None
    input_to_photon_max_seconds: float | None
    event_loop_lag_max_seconds: float | None
    error: str | None


def to_json(record: SessionFacts | Reading | Down | Summary) -> str:
    """One line of ``--json``; times to the microsecond."""
    return json.dumps({"kind": record.kind} | _rounded(asdict(record)), allow_nan=False)


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in values.items()}
