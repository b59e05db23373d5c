"""Every metric of vdibench: name, unit, direction, provenance and boundary. Data only."""

from __future__ import annotations

from vdibench.metrics.metric import Direction, Metric, Provenance, Registry

__all__ = ["REGISTRY"]

REGISTRY = Registry()

_LOWER, _HIGHER, _NONE = Direction.LOWER, Direction.HIGHER, Direction.NONE
_MEASURED, _DERIVED = Provenance.MEASURED, Provenance.DERIVED


def _add(
    name: str,
    unit: str,
    kind: str,
    direction: Direction,
    table: str,
    boundary: str,
    *,
    w3c: str = "",
    provenance: Provenance = _MEASURED,
    one_way: bool = False,
    gpu: bool = False,
) -> None:
    REGISTRY.register(Metric(name, unit, kind, direction, w3c, provenance, boundary, table, one_way, gpu))


_add(
    "glass_to_glass_seconds",
    "seconds",
    "frame",
    _LOWER,
    "frames",
    "From the marker being drawn in the desktop to the first frame that shows it being decoded at the client; "
    "the display is not included.",
    one_way=True,
)
_add(
    "decode_seconds",
    "seconds",
    "frame",
    _LOWER,
    "frames",
    "From the last packet of a frame being read from the socket to its picture coming out of the decoder.",
)
_add(
    "input_to_photon_seconds",
    "seconds",
    "event",
    _LOWER,
    "inputs",
    "From a key press or click being handed to the data channel to the first decoded frame whose echo patch changed; "
    "the display is not included.",
)
_add(
    "key_to_photon_seconds",
    "seconds",
    "event",
    _LOWER,
    "inputs",
    "As input_to_photon_seconds, key presses only.",
)
_add(
    "click_to_photon_seconds",
    "seconds",
    "event",
    _LOWER,
    "inputs",
    "As input_to_photon_seconds, clicks only.",
)
_add(
    "input_loss_ratio",
    "ratio",
    "event",
    _LOWER,
    "inputs",
    "From a key press or click being sent to the end of the wait for it: 1 when no frame showed it, else 0.",
    provenance=_DERIVED,
)
_add(
    "frames_per_second",
    "1/second",
    "second",
    _HIGHER,
    "frames",
    "Complete frames whose last packet arrived within one second of a session's steady window; a second without is 0.",
    w3c="inbound-rtp.framesPerSecond",
)
_add(
    "frame_interval_seconds",
    "seconds",
    "frame",
    _LOWER,
    "frames",
    "From the last packet of a complete frame to the last packet of the next.",
)
_add(
    "freezes_per_minute",
    "1/minute",
    "session",
    _LOWER,
    "frames",
    "Freezes over a session's steady window: an interval between frames of at least max(3 x mean of the last 30, "
    "that mean + 150 ms), at arrival instead of at rendering.",
    w3c="inbound-rtp.freezeCount",
    provenance=_DERIVED,
)
_add(
    "freeze_duration_seconds",
    "seconds",
    "session",
    _LOWER,
    "frames",
    "The sum of the intervals that were freezes over a session's steady window; 0 when none was.",
    w3c="inbound-rtp.totalFreezesDuration",
    provenance=_DERIVED,
)
_add(
    "frame_size_bytes",
    "bytes",
    "frame",
    _NONE,
    "frames",
    "RTP payload of one complete frame.",
)
_add(
    "bitrate_bits_per_second",
    "bits/second",
    "reading",
    _NONE,
    "network",
    "RTP payload of the video stream received from one reading of the counters to the next.",
    w3c="inbound-rtp.bytesReceived",
    provenance=_DERIVED,
)
_add(
    "packets_lost_ratio",
    "ratio",
    "session",
    _LOWER,
    "network",
    "Video packets that did not arrive as first sent, of all that were sent, over a session's steady window.",
    w3c="inbound-rtp.packetsLost",
    provenance=_DERIVED,
)
_add(
    "jitter_seconds",
    "seconds",
    "reading",
    _LOWER,
    "network",
    "RFC 3550 interarrival jitter of the video stream at one reading of the counters.",
    w3c="inbound-rtp.jitter",
)
_add(
    "audio_packets_per_second",
    "1/second",
    "reading",
    _NONE,
    "network",
    "RTP packets of the audio stream received from one reading of the counters to the next.",
    w3c="inbound-rtp.packetsReceived",
    provenance=_DERIVED,
)
_add(
    "event_loop_lag_seconds",
    "seconds",
    "reading",
    _LOWER,
    "network",
    "The largest delay of the measuring client's own event loop from one reading to the next: what it may add to "
    "every latency.",
)
_add(
    "session_ready_seconds",
    "seconds",
    "session",
    _LOWER,
    "milestones",
    "From the start of a session to its first decoded frame; sessions that never show one are in "
    "session_failure_ratio.",
)
_add(
    "session_phase_seconds",
    "seconds",
    "session",
    _LOWER,
    "milestones",
    "From one milestone of a session's start to the next, up to its first decoded frame.",
)
_add(
    "session_failure_ratio",
    "ratio",
    "session",
    _LOWER,
    "milestones",
    "From the start of a session to its end: 1 when no frame was decoded or a failure ended it, else 0.",
    provenance=_DERIVED,
)
for _who, _what in (("desktop", "one desktop's processes"), ("client", "the measuring side's processes")):
    _add(
        f"{_who}_cpu_cores",
        "cores",
        "reading",
        _LOWER,
        "resources",
        f"Busy processor cores of {_what} from one reading to the next.",
    )
    _add(
        f"{_who}_memory_bytes",
        "bytes",
        "reading",
        _LOWER,
        "resources",
        f"Memory held by {_what} at one reading.",
    )
_add(
    "gpu_utilization_ratio",
    "ratio",
    "reading",
    _NONE,
    "resources",
    "Share of the time between two readings in which the GPU ran a kernel, as its driver says.",
    gpu=True,
)
_add(
    "gpu_encoder_utilization_ratio",
    "ratio",
    "reading",
    _NONE,
    "resources",
    "Use of the GPU's video encoder between two readings, as its driver says.",
    gpu=True,
)
_add(
    "gpu_memory_bytes",
    "bytes",
    "reading",
    _NONE,
    "resources",
    "Frame buffer of the GPU in use at one reading, as its driver says.",
    gpu=True,
)
_add(
    "sessions_per_host",
    "sessions",
    "run",
    _HIGHER,
    "",
    "The largest number of sessions on one host at which at least 95 % were good, trial after trial.",
    provenance=_DERIVED,
)
_add(
    "sessions_per_gpu",
    "sessions",
    "run",
    _HIGHER,
    "",
    "The largest number of sessions on one GPU at which at least 95 % were good, trial after trial.",
    provenance=_DERIVED,
    gpu=True,
)
