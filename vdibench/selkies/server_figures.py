"""What a Selkies server says of itself, in our units. Pure."""

from __future__ import annotations

from vdibench.selkies.control import ControlMessage

__all__ = ["server_figures"]

# Its name, ours, and what one of its units is in ours. Averages of the second before.
_FIGURES = (
    ("encode_ms", "encode_seconds", 1e-3),
    ("pipeline_ms", "pipeline_seconds", 1e-3),
    ("send_ms", "send_seconds", 1e-3),
    ("rtt_ms", "round_trip_seconds", 1e-3),
    ("encoded_fps", "frames_per_second", 1.0),
)
_BEYOND = 1e9  # nothing that a desktop takes or gives


def server_figures(message: ControlMessage) -> dict[str, float]:
    """The figures of a message by our names; empty for a message that holds none.

    2.x says ``stream_stats`` once a second; the WebRTC dialects of both say ``latency_measurement``, half of the round
    trip of their ping, after each answer to it.

    ``encode_seconds`` is the encoder's share, ``pipeline_seconds`` is from the capture to the end of the encode,
    ``send_seconds`` from the capture until the bytes were handed to the socket. A round trip of zero is none: the
    server has it from acknowledgements, and says 0 before the first.
    """
    if not isinstance(message.data, dict):
        return {}
    if message.type == "latency_measurement":
        half = _known(message.data.get("latency_ms"))
        return {} if half is None else {"round_trip_seconds": 2e-3 * half}
    if message.type != "stream_stats":
        return {}
    stats = message.data.get("stats", message.data)
    if not isinstance(stats, dict):
        return {}
    figures = {}
    for theirs, ours, unit in _FIGURES:
        value = _known(stats.get(theirs))
        if value is not None:
            figures[ours] = value * unit
    return figures


def _known(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value < _BEYOND else None
