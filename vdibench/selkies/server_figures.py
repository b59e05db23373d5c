"""What a Selkies 2.x server says of itself once a second (``stream_stats``), in our units. Pure."""

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


def server_figures(message: ControlMessage) -> dict[str, float]:
    """The figures of a ``stream_stats`` message by our names; empty for any other message.

    ``encode_seconds`` is the encoder's share, ``pipeline_seconds`` is from the capture to the end of the encode,
    ``send_seconds`` from the capture until the bytes were handed to the socket. A round trip of zero is none: the
    server has it from acknowledgements, and says 0 before the first.
    """
    if message.type != "stream_stats" or not isinstance(message.data, dict):
        return {}
    stats = message.data.get("stats", message.data)
    if not isinstance(stats, dict):
        return {}
    figures = {}
    for theirs, ours, unit in _FIGURES:
        value = stats.get(theirs)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            figures[ours] = value * unit
    return figures
