"""Metrics that the desktop's server states of itself. Data only."""

from __future__ import annotations

from vdibench.metrics.dialects import NEEDS_TRACER_OR_STATS, STATS, TRACER_ONLY
from vdibench.metrics.metric import Direction, Metric, Provenance, define

__all__ = ["METRICS"]

_LOWER, _HIGHER, _REPORTED = Direction.LOWER, Direction.HIGHER, Provenance.REPORTED

METRICS: tuple[Metric, ...] = (
    define(
        "server_encode_seconds",
        "seconds",
        "reading",
        _LOWER,
        "server",
        "From a frame being handed to the encoder to the encoder returning it: one frame by the tracer, the "
        "mean of a second by the server's statistics.",
        w3c="outbound-rtp.totalEncodeTime",
        provenance=_REPORTED,
        dialects=NEEDS_TRACER_OR_STATS,
    ),
    define(
        "server_pipeline_seconds",
        "seconds",
        "reading",
        _LOWER,
        "server",
        "From a frame being captured to the end of the server's own pipeline: one frame by the tracer, the "
        "mean of a second by the server's statistics.",
        provenance=_REPORTED,
        dialects=NEEDS_TRACER_OR_STATS,
    ),
    define(
        "server_send_seconds",
        "seconds",
        "reading",
        _LOWER,
        "server",
        "From a frame being captured to its last packet having left the server, the mean of a second.",
        provenance=_REPORTED,
        dialects=STATS,
    ),
    define(
        "server_round_trip_seconds",
        "seconds",
        "reading",
        _LOWER,
        "server",
        "From a ping of the server leaving to the client's answer reaching it.",
        provenance=_REPORTED,
    ),
    define(
        "server_frames_per_second",
        "1/second",
        "reading",
        _HIGHER,
        "server",
        "Frames that the server encoded within one second.",
        w3c="outbound-rtp.framesPerSecond",
        provenance=_REPORTED,
        dialects=STATS,
    ),
    define(
        "server_element_seconds",
        "seconds",
        "frame",
        _LOWER,
        "server",
        "From a frame entering an element of the server's GStreamer pipeline to it leaving that element.",
        provenance=_REPORTED,
        dialects=TRACER_ONLY,
    ),
)
