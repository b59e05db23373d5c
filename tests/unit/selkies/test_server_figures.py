"""What a server says of itself, in our units."""

from __future__ import annotations

from typing import Any

import pytest

from vdibench.selkies import ControlMessage, decode_control
from vdibench.selkies.server_figures import server_figures


def test_recorded(recorded_websocket: dict[str, list[dict[str, Any]]]) -> None:
    texts = [frame["text"] for frame in recorded_websocket["controller"] if "stream_stats" in frame.get("text", "")]
    first, *_ = (decode_control(text) for text in texts)
    assert first is not None
    assert server_figures(first) == pytest.approx(
        {"encode_seconds": 0.00382, "pipeline_seconds": 0.00385, "send_seconds": 0.0042, "frames_per_second": 59.9}
    )


def test_milliseconds_become_seconds() -> None:
    stats = {"encode_ms": 4, "pipeline_ms": 5.0, "send_ms": 6.5, "rtt_ms": 12, "encoded_fps": 30}
    assert server_figures(ControlMessage("stream_stats", {"stats": stats})) == pytest.approx(
        {
            "encode_seconds": 0.004,
            "pipeline_seconds": 0.005,
            "send_seconds": 0.0065,
            "round_trip_seconds": 0.012,
            "frames_per_second": 30.0,
        }
    )


def test_half_a_round_trip_becomes_a_whole_one() -> None:
    message = decode_control('{"type": "latency_measurement", "data": {"latency_ms": 0.809}}')
    assert message is not None
    assert server_figures(message) == pytest.approx({"round_trip_seconds": 0.001618})


@pytest.mark.parametrize(
    "message",
    [
        ControlMessage("latency_measurement", {"latency_ms": 0.0}),
        ControlMessage("latency_measurement", 3.0),
        ControlMessage("stream_stats", {"stats": {"encode_ms": float("inf"), "send_ms": float("nan"), "rtt_ms": -1}}),
        ControlMessage("stream_stats", {"stats": {"encode_ms": 10**400}}),
        ControlMessage("stream_info", {"stats": {"encode_ms": 4}}),
        ControlMessage("stream_stats", None),
        ControlMessage("stream_stats", {"stats": []}),
        ControlMessage("stream_stats", {"stats": {"encode_ms": "4", "rtt_ms": 0.0, "send_ms": True}}),
    ],
)
def test_what_is_no_figure(message: ControlMessage) -> None:
    assert server_figures(message) == {}
