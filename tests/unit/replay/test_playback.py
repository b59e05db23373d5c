"""A session's course: everything leaves once and in order, never early, in the rhythm of the recording."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdibench.replay.playback import CLOCK_RATE, SKIP_SECONDS, Due, Playback
from vdibench.replay.trace import Provenance, Trace, TraceFrame

PROVENANCE = Provenance("a test", True, "", "", "x264", 64, 64, 50, 0, "", -1, 0.0, "0")
INTERVAL = 0.02
# Slices of several packets each.
UNIT = b"\0\0\0\1\x65" + bytes(4999)


def trace(frames: int = 5, packets: int = 6, delay: float = 0.004, spread: float = 0.006) -> Trace:
    made = [
        TraceFrame(n * INTERVAL, n * INTERVAL + delay, n * INTERVAL + delay + spread, packets, n == 0, UNIT)
        for n in range(frames)
    ]
    return Trace(PROVENANCE, made)


def taken(playback: Playback, now: float) -> list[Due]:
    found = []
    while (part := playback.take(now)) is not None:
        found.append(part)
    return found


@given(steps=st.lists(st.floats(0.0001, 0.05), min_size=1, max_size=200), phase=st.floats(0, 1))
def test_everything_leaves_once_in_order_and_never_early(steps: list[float], phase: float) -> None:
    source = trace()
    playback = Playback(source, 10.0, phase=phase, timestamp=5)
    now, expected, frames = 10.0, (0, 0), 0
    for step in steps:
        now += step
        due = playback.due
        parts = taken(playback, now)
        assert bool(parts) == (due <= now)
        for part in parts:
            assert (part.frame, part.begin) == expected
            assert part.end > part.begin
            assert part.ends == (part.end == len(source.payloads[part.frame]))
            frames += part.ends
            expected = ((part.frame + 1) % len(source.frames), 0) if part.ends else (part.frame, part.end)
        assert playback.due > now
    assert playback.frames == frames


def test_pace_and_time_stamps_are_those_of_the_recording() -> None:
    source = trace()
    playback = Playback(source, 0.0, timestamp=1000)
    ends: list[tuple[float, int]] = []
    now = 0.0
    while len(ends) < 12:
        now = playback.due
        ends += [(now, part.timestamp) for part in taken(playback, now) if part.ends]
    assert [after[0] - before[0] for before, after in itertools.pairwise(ends)] == pytest.approx([INTERVAL] * 11)
    assert {(after[1] - before[1]) for before, after in itertools.pairwise(ends)} == {1800}
    # A report at the instant of a frame's capture states that frame's time stamp.
    assert playback.timestamp_at(ends[0][0] - 0.006 - 0.004) == pytest.approx(ends[0][1], abs=1)


def test_a_request_for_a_key_frame_jumps_to_the_beginning_in_the_same_rhythm() -> None:
    made = trace()
    # The key frame takes longer than the others, as real ones do.
    frames = (dataclasses.replace(made.frames[0], captured=-0.011), *made.frames[1:])
    source = Trace(PROVENANCE, frames)
    playback = Playback(source, 0.0, timestamp=2**32 - 2000)
    stamps: list[int] = []
    numbers: list[int] = []
    while len(numbers) < 9:
        for part in taken(playback, playback.due):
            if part.ends:
                numbers.append(part.frame)
                stamps.append(part.timestamp)
                if len(numbers) == 3:
                    playback.restart()
    # Asked for after the frame that was in hand had left: one more, then the first.
    assert numbers[:5] == [0, 1, 2, 3, 0]
    gaps = [((after - before) & 0xFFFFFFFF) / CLOCK_RATE for before, after in itertools.pairwise(stamps)]
    assert min(gaps) > 0.9 * INTERVAL, "time stamps never run backwards"
    assert gaps[3] == pytest.approx(source.seconds / len(source.frames), abs=1e-4)


def test_after_a_pause_nothing_is_made_up_for() -> None:
    source = trace()
    playback = Playback(source, 0.0)
    first = [part for part in taken(playback, 0.0) if not part.begin]
    late = 10 * SKIP_SECONDS
    parts = taken(playback, late)
    assert len(parts) <= 2, "no burst"
    assert playback.late == pytest.approx(late, rel=0.1)
    while (following := taken(playback, playback.due)) and not any(part.frame == 1 for part in following):
        pass
    stamp = next(part.timestamp for part in following if part.frame == 1)
    assert (stamp - first[0].timestamp) / CLOCK_RATE > late - 2 * INTERVAL, "time stamps go on with the clock"


def test_whole_frames_leave_when_their_last_packet_did() -> None:
    playback = Playback(trace(), 0.0, whole=True)
    began = playback.due
    (part,) = taken(playback, began)
    assert (part.begin, part.end, part.ends) == (0, 1, True)
    assert playback.due - began == pytest.approx(INTERVAL)


@pytest.mark.parametrize("phase", [0.0, 0.25, 0.9])
def test_phases_spread_sessions_over_an_interval(phase: float) -> None:
    assert Playback(trace(), 3.0, phase=phase).due == pytest.approx(3.0 + phase * INTERVAL * 1.0, abs=INTERVAL * 0.3)
