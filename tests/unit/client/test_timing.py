"""Instants on the desktop's clock: which word is believed, and what is made of it."""

from __future__ import annotations

import math

import pytest

from vdibench.client.rtcp import SenderReport
from vdibench.client.rtp import VideoTiming
from vdibench.client.timing import CaptureClock, FrameClock

RATE = 90_000
BEGIN = 1_700_000_000.0
NTP_OF_1970 = 2_208_988_800


def report(seconds: float, ticks: int) -> SenderReport:
    return SenderReport(1, round((BEGIN + seconds + NTP_OF_1970) * 2**32), ticks & 0xFFFFFFFF, 0, 0)


def send_time(unix_seconds: float) -> bytes:
    return (int((unix_seconds + NTP_OF_1970) * 2**18) & 0xFFFFFF).to_bytes(3, "big")


@pytest.mark.parametrize("base", [0, 2**32 - 50_000])
def test_two_reports_that_agree(base: int) -> None:
    clock = CaptureClock(RATE)
    clock.report(report(0, base))
    assert math.isnan(clock.unix_seconds(base)), "one report shows no rate"
    clock.report(report(1, base + RATE))
    assert clock.report_rate == pytest.approx(RATE, rel=1e-4)
    assert clock.unix_seconds((base + RATE + 9000) & 0xFFFFFFFF) == pytest.approx(BEGIN + 1.1, abs=1e-5)
    assert clock.unix_seconds((base + RATE - 9000) & 0xFFFFFFFF) == pytest.approx(BEGIN + 0.9, abs=1e-5)


def test_reports_of_a_doubled_clock_say_nothing() -> None:
    """Debian's GStreamer 1.22.0."""
    clock = CaptureClock(RATE)
    for second in range(5):
        clock.report(report(second, second * 2 * RATE))
        assert math.isnan(clock.unix_seconds(second * RATE))
    assert clock.report_rate == pytest.approx(2 * RATE, rel=1e-4)


def test_reports_at_once_are_one() -> None:
    clock = CaptureClock(RATE)
    clock.report(report(0, 0))
    clock.report(report(0.001, 5 * RATE))
    assert math.isnan(clock.report_rate)


def test_a_frames_own_word_is_believed_at_once_and_grows_old() -> None:
    clock = CaptureClock(RATE)
    clock.captured(9000, BEGIN)
    assert clock.unix_seconds(9000 + RATE) == BEGIN + 1
    assert math.isnan(clock.unix_seconds(9000 + 61 * RATE))


def test_a_clock_that_is_set_back() -> None:
    clock = CaptureClock(RATE)
    for second in range(2):
        clock.report(report(second, second * RATE))
    clock.report(report(-100, 2 * RATE))
    assert math.isnan(clock.unix_seconds(2 * RATE))
    clock.report(report(-99, 3 * RATE))
    assert clock.unix_seconds(3 * RATE) == pytest.approx(BEGIN - 99)


def test_the_stages_of_a_frame() -> None:
    clock = FrameClock(RATE)
    clock.timed(0, VideoTiming(0.001, 0.008, 0.009, 0.010))
    assert math.isnan(clock.frame(0).capture_unix_seconds)
    clock.capture.captured(0, BEGIN)
    clock.timed(0, VideoTiming(0.001, 0.008, 0.009, 0.010))
    timing = clock.frame(0)
    assert timing.capture_unix_seconds == BEGIN
    assert timing.encoded_unix_seconds == pytest.approx(BEGIN + 0.008)
    assert timing.sent_unix_seconds == pytest.approx(BEGIN + 0.010)
    assert math.isnan(clock.frame(0).encoded_unix_seconds), "it was given out"
    clock.timed(0, VideoTiming(0.0, 0.0, 0.009, 0.010))
    assert math.isnan(clock.frame(0).encoded_unix_seconds), "zero is not stated"


def test_send_times_are_believed_when_they_agree_with_the_stages() -> None:
    clock = FrameClock(RATE)
    clock.capture.captured(0, BEGIN)
    clock.sent(0, send_time(BEGIN + 0.0123))
    assert math.isnan(clock.frame(0).sent_unix_seconds), "any clock may be behind it"
    clock.timed(1500, VideoTiming(0.001, 0.008, 0.009, 0.012))
    clock.sent(1500, send_time(BEGIN + 1500 / RATE + 0.0123))
    assert clock.frame(1500).sent_unix_seconds == pytest.approx(BEGIN + 1500 / RATE + 0.0123, abs=1e-5)
    clock.sent(3000, send_time(BEGIN + 3000 / RATE + 0.02))
    assert clock.frame(3000).sent_unix_seconds == pytest.approx(BEGIN + 3000 / RATE + 0.02, abs=1e-5)
    clock.timed(4500, VideoTiming(0.001, 0.008, 0.009, 0.012))
    clock.sent(4500, send_time(BEGIN + 17))
    assert clock.frame(4500).sent_unix_seconds == pytest.approx(BEGIN + 4500 / RATE + 0.012)
    clock.sent(6000, send_time(BEGIN + 17))
    assert math.isnan(clock.frame(6000).sent_unix_seconds)


def test_frames_that_never_come_cost_no_memory() -> None:
    clock = FrameClock(RATE)
    for timestamp in range(10_000):
        clock.timed(timestamp, VideoTiming(0, 0, 0, 0))
        clock.sent(timestamp, b"abc")
    assert len(clock._timings) == len(clock._sent) == 64
