"""Opus for real: how long packets are, what is missing between them, and where clicks are in what the decoder gives."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from vdibench.client.audio import (
    AudioContinuity,
    AudioPacket,
    click_onsets,
    click_template,
    decode_opus,
    heard_clicks,
    opus_seconds,
)
from vdibench.desk.desk import CLICK_LEAD, SOUND_RATE, click_sample

RATE = 48_000
# Opus looks ahead by this much in its low-delay mode, and shifts sound by it (RFC 6716 §2).
LOOK_AHEAD = 0.0025


def opus(samples: np.ndarray, milliseconds: int = 10) -> list[bytes]:
    """Encode mono samples as Selkies does: stereo, low delay, variable rate."""
    codec = av.CodecContext.create("libopus", "w")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate, codec.layout, codec.format, codec.bit_rate = RATE, "stereo", "flt", 128_000
    codec.time_base = Fraction(1, RATE)
    codec.options = {"application": "lowdelay", "frame_duration": str(milliseconds)}
    size = RATE * milliseconds // 1000
    found = []
    for start in range(0, len(samples) - size + 1, size):
        both = np.repeat(samples[start : start + size].astype(np.float32), 2)[None, :]
        frame = av.AudioFrame.from_ndarray(both, format="flt", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
        found += [bytes(packet) for packet in codec.encode(frame)]
    return found


def tone(seconds: float, level: float) -> np.ndarray:
    return level * np.sin(2 * np.pi * 220 * np.arange(round(seconds * RATE)) / RATE)


def with_clicks(sound: np.ndarray, places: list[int], level: float) -> np.ndarray:
    click = click_template()
    for place in places:
        sound[place : place + len(click)] += level * click
    return sound


@pytest.mark.parametrize("milliseconds", [5, 10, 20])
def test_a_packet_says_how_long_it_sounds(milliseconds: int) -> None:
    assert {opus_seconds(packet) for packet in opus(tone(0.2, 0.1), milliseconds)} == {milliseconds / 1000}


@pytest.mark.parametrize(
    ("payload", "seconds"),
    [
        (b"", 0.0),
        (b"\x00", 0.01),
        (b"\x19", 0.12),
        (b"\x63", 0.0),
        (b"\x63\x06", 0.06),
        (b"\x68", 0.02),
        (b"\x80", 0.0025),
    ],
)
def test_lengths_of_the_other_kinds(payload: bytes, seconds: float) -> None:
    assert opus_seconds(payload) == pytest.approx(seconds)


def test_the_desk_plays_the_template() -> None:
    samples = np.frombuffer(click_sample(), "<i2") / 32767
    lead = round(CLICK_LEAD * SOUND_RATE)
    assert not samples[:lead].any()
    assert samples[lead : lead + len(click_template())] == pytest.approx(0.5 * click_template(), abs=1e-4)


@pytest.mark.parametrize("level", [0.5, 0.003], ids=["loud", "quiet"])
def test_clicks_are_found_to_a_tenth_of_a_millisecond(level: float) -> None:
    rng = np.random.default_rng(1)
    places = [int(place) for place in np.cumsum(rng.integers(round(0.7 * RATE), round(1.3 * RATE), 6))]
    packets = opus(with_clicks(tone(9, level / 250), places, level))
    arrivals = 1000 + 0.01 * np.arange(len(packets)) + rng.uniform(0, 0.004, len(packets))
    heard = heard_clicks(AudioPacket(*row) for row in zip(packets, range(len(packets)), arrivals, strict=True))
    shifted = np.array(places) / RATE + LOOK_AHEAD
    expected = arrivals[(shifted / 0.01).astype(int)] + shifted % 0.01
    assert heard == pytest.approx(list(expected), abs=1e-4)


def test_speech_like_noise_and_silence_hold_no_click() -> None:
    rng = np.random.default_rng(2)
    noise = np.convolve(rng.standard_normal(2 * RATE), np.hanning(64) / 32, "same") * 0.1
    assert len(click_onsets(noise.astype(np.float32))) == 0
    assert len(click_onsets(np.zeros(RATE, np.float32))) == 0
    assert len(click_onsets(np.zeros(3, np.float32))) == 0


def test_what_is_not_opus_is_left_out() -> None:
    good = opus(tone(0.1, 0.1))
    packets = [AudioPacket(data, -1, float(at)) for at, data in enumerate([good[0], b"", b"\xff" * 3, *good[1:]])]
    samples, starts, arrivals = decode_opus(packets)
    assert len(samples) >= 0.09 * RATE
    assert len(starts) == len(arrivals) <= len(packets)
    assert decode_opus([])[0].size == 0


def stream(count: int, *, without: range = range(0), stamped: bool = True, late: float = 0.0) -> list[AudioPacket]:
    """Packets of 10 ms, some of them missing; those after the gap ``late`` later."""
    payload = opus(tone(0.03, 0.1))[1]
    return [
        AudioPacket(
            payload, (2**32 - 4800 + 480 * n) % 2**32 if stamped else -1, 1000.001 + 0.01 * n + late * (n > 150)
        )
        for n in range(count)
        if n not in without
    ]


def missing(packets: list[AudioPacket]) -> float:
    continuity = AudioContinuity()
    for packet in packets:
        continuity.add(packet)
    continuity.end()
    assert sum(second.packets for second in continuity.seconds) == len(packets)
    assert sum(second.received_seconds for second in continuity.seconds) == pytest.approx(len(packets) / 100)
    return sum(second.missing_seconds for second in continuity.seconds)


@pytest.mark.parametrize("stamped", [True, False])
def test_a_whole_stream_misses_nothing(stamped: bool) -> None:
    assert missing(stream(400, stamped=stamped)) == 0


@pytest.mark.parametrize("lost", [1, 7, 30])
def test_lost_packets_are_missing_to_the_millisecond(lost: int) -> None:
    assert missing(stream(400, without=range(150, 150 + lost))) == pytest.approx(lost / 100)


def test_without_time_stamps_sound_that_is_never_made_up_is_missing() -> None:
    assert missing(stream(400, without=range(150, 180), stamped=False)) == pytest.approx(0.3, abs=0.011)


def test_without_time_stamps_a_stall_that_is_made_up_is_not_missing() -> None:
    packets = stream(400, stamped=False)
    stalled = [
        AudioPacket(
            one.payload, -1, max(one.arrival_unix_seconds, 1001.9) if 110 <= n < 190 else one.arrival_unix_seconds
        )
        for n, one in enumerate(packets)
    ]
    assert missing(stalled) == 0


def test_a_packet_out_of_order_is_not_missing() -> None:
    packets = stream(300)
    packets[150], packets[151] = packets[151], packets[150]
    assert missing(packets) == pytest.approx(0)


@pytest.mark.parametrize("stamped", [True, False])
def test_a_long_pause_is_silence(stamped: bool) -> None:
    assert missing(stream(500, without=range(150, 300), stamped=stamped)) == 0


def test_each_second_is_told_once() -> None:
    continuity = AudioContinuity()
    told = [second for packet in stream(350) if (second := continuity.add(packet)) is not None]
    assert [second.packets for second in told] == [100, 100, 100]
    assert continuity.end() is not None
    assert continuity.end() is None
