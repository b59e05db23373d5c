"""When a frame is acknowledged."""

from __future__ import annotations

from vdibench.selkies.websocket_acks import ACK_SECONDS, AckClock


def test_the_newest_once_and_how_long_it_was_held() -> None:
    clock = AckClock()
    assert clock.due(0.0) is None
    clock.saw(7, 1.000)
    clock.saw(8, 1.016)
    assert clock.due(1.020) == "CLIENT_FRAME_ACK 8 4"
    assert clock.due(1.070) is None
    clock.saw(9, 1.100)
    assert clock.due(1.120) == "CLIENT_FRAME_ACK 9 20"


def test_an_unchanged_one_each_second() -> None:
    clock = AckClock()
    clock.saw(3, 0.0)
    ticks = [number * ACK_SECONDS for number in range(1, 65)]
    sent = [(now, text) for now in ticks if (text := clock.due(now)) is not None]
    assert [text for _, text in sent] == [
        "CLIENT_FRAME_ACK 3 50",
        "CLIENT_FRAME_ACK 3 1050",
        "CLIENT_FRAME_ACK 3 2050",
        "CLIENT_FRAME_ACK 3 3050",
    ]


def test_a_second_part_of_a_frame_is_no_newer_frame() -> None:
    clock = AckClock()
    clock.saw(3, 0.0)
    assert clock.due(0.05) is not None
    clock.saw(3, 0.06)
    assert clock.due(0.10) is None


def test_nothing_from_before_a_restart() -> None:
    clock = AckClock()
    clock.saw(500, 0.0)
    clock.reset()
    assert clock.due(1.0) is None
    clock.saw(0, 1.0)
    assert clock.due(1.0) == "CLIENT_FRAME_ACK 0 0"


def test_a_clock_that_was_set_back_holds_nothing_negative() -> None:
    clock = AckClock()
    clock.saw(1, 10.0)
    assert clock.due(9.0) == "CLIENT_FRAME_ACK 1 0"
