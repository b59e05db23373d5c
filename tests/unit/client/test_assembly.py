"""Frames from packets: every case by hand, and random networks against an oracle."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

import pytest

from vdibench.client.assembly import (
    ASK_AGAIN_SECONDS,
    GIVE_UP_SECONDS,
    MAX_PARTS,
    MAX_PENDING,
    AssembledFrame,
    FrameAssembler,
    MediaPacket,
)
from vdibench.client.nack import MAX_HOLE

FRAME_SECONDS = 1 / 60
TICKS = 1500


def stream(
    *sizes: int, keys: tuple[int, ...] = (0,), sequence: int = 100, timestamp: int = 9000, begin: float = 0.0
) -> list[MediaPacket]:
    """Frames of so many packets each, 60 a second, packets of a frame 0.1 ms apart."""
    packets = []
    for index, size in enumerate(sizes):
        for part in range(size):
            packets.append(
                MediaPacket(
                    sequence=(sequence + len(packets)) & 0xFFFF,
                    timestamp=(timestamp + index * TICKS) & 0xFFFFFFFF,
                    marker=part == size - 1,
                    arrival_unix_seconds=begin + index * FRAME_SECONDS + part * 1e-4,
                    payload=b"%d.%d;" % (index, part),
                    size_bytes=10,
                    key=index in keys,
                    opens=part == 0,
                )
            )
    return packets


@dataclass
class Fed:
    """What came of feeding packets: frames, and after which packet a key frame was asked for."""

    frames: list[AssembledFrame]
    asked: list[int]

    @property
    def complete(self) -> list[bool]:
        return [frame.complete for frame in self.frames]

    @property
    def decodable(self) -> list[bool]:
        return [frame.decodable for frame in self.frames]


def feed(packets: list[MediaPacket]) -> Fed:
    fed = Fed([], [])
    assembler = FrameAssembler(fed.frames.append)
    for index, packet in enumerate(packets):
        if assembler.add(packet):
            fed.asked.append(index)
    return fed


def late(packet: MediaPacket, seconds: float) -> MediaPacket:
    return packet._replace(arrival_unix_seconds=packet.arrival_unix_seconds + seconds)


def by_arrival(packets: list[MediaPacket]) -> list[MediaPacket]:
    return sorted(packets, key=lambda packet: packet.arrival_unix_seconds)


def test_a_frame_is_out_with_its_last_packet() -> None:
    frames: list[AssembledFrame] = []
    assembler = FrameAssembler(frames.append)
    for count, packet in enumerate(stream(3, 2)):
        assert assembler.add(packet) is False
        assert len(frames) == [0, 0, 1, 1, 2][count]
    assert frames[0] == AssembledFrame(
        timestamp=9000,
        arrival_unix_seconds=2e-4,
        packets=3,
        size_bytes=30,
        key=True,
        complete=True,
        decodable=True,
        data=b"0.0;0.1;0.2;",
        first_arrival_unix_seconds=0.0,
    )
    assert frames[1].data == b"1.0;1.1;"
    assert not frames[1].key


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_any_order_within_a_frame(order: tuple[int, ...]) -> None:
    packets = stream(1, 4)
    shuffled = [packets[0], *(packets[1 + index] for index in order)]
    fed = feed(shuffled)
    assert fed.complete == [True, True]
    assert fed.frames[1].data == b"1.0;1.1;1.2;1.3;"
    assert fed.frames[1].arrival_unix_seconds == max(packet.arrival_unix_seconds for packet in packets)
    assert fed.asked == []


def test_duplicates_count_once() -> None:
    packets = stream(2, 3, 1)
    fed = feed([packet for packet in packets for _ in range(3)])
    assert [frame.packets for frame in fed.frames] == [2, 3, 1]
    assert fed.complete == [True] * 3


@pytest.mark.parametrize("sequence", [0xFFFF, 0xFFFE, 0xFFFA, 0x7FFE])
def test_sequence_and_time_stamp_wrap_around(sequence: int) -> None:
    packets = stream(3, 3, 3, sequence=sequence, timestamp=2**32 - TICKS)
    fed = feed(packets)
    assert fed.complete == fed.decodable == [True] * 3
    assert [frame.timestamp for frame in fed.frames] == [2**32 - TICKS, 0, TICKS]


def test_a_whole_round_of_sequence_numbers() -> None:
    fed = feed(stream(*[10] * 7_000))
    assert len(fed.frames) == 7_000
    assert all(fed.decodable)
    assert fed.asked == []


def test_after_a_hole_too_wide_to_repair_a_key_frame_is_asked_for_at_once() -> None:
    packets = stream(*[10] * 120, keys=(0, 110))
    arrived = [*packets[:103], *packets[103 + MAX_HOLE + 1 :]]
    fed = feed(arrived)
    assert fed.asked == [103]
    assert fed.complete.count(False) == 2  # the one that was cut off, and the one that was joined in its middle
    assert fed.decodable[-10:] == [True] * 10


def test_a_retransmission_completes_the_frame() -> None:
    """Frames behind the gap wait for it, and come out in order."""
    packets = stream(*[3] * 12)
    packets[4] = late(packets[4], 0.1)
    fed = feed(by_arrival(packets))
    assert fed.complete == fed.decodable == [True] * 12
    assert fed.asked == []
    assert fed.frames[1].arrival_unix_seconds == packets[4].arrival_unix_seconds
    assert fed.frames[2].arrival_unix_seconds < packets[4].arrival_unix_seconds


def test_overlapping_gaps_are_each_as_old_as_themselves() -> None:
    """One packet in ten needs a retransmission that takes 60 ms: there is always a gap, and none is given up."""
    packets = stream(*[4] * 120)
    for index in range(10, 480, 10):
        packets[index] = late(packets[index], 0.06)
    fed = feed(by_arrival(packets))
    assert fed.complete == [True] * 120
    assert fed.asked == []


@pytest.mark.parametrize(("part", "left"), [(0, 2), (1, 2), (2, 2)])
def test_what_is_lost_for_good_is_given_up(part: int, left: int) -> None:
    packets = stream(*[3] * 40, keys=(0, 30))
    lost = packets.pop(3 * 10 + part)
    fed = feed(packets)
    assert fed.complete == [index != 10 for index in range(40)]
    assert fed.decodable == [index < 10 or index >= 30 for index in range(40)]
    assert all(bool(frame.data) == frame.decodable for frame in fed.frames)
    assert fed.frames[10].packets == left
    (asked,) = fed.asked
    waited = packets[asked].arrival_unix_seconds - lost.arrival_unix_seconds
    assert waited == pytest.approx(GIVE_UP_SECONDS, abs=2 * FRAME_SECONDS)


def test_a_whole_frame_lost_tears_no_other() -> None:
    packets = [packet for packet in stream(*[3] * 40) if packet.timestamp != 9000 + 10 * TICKS]
    fed = feed(packets)
    assert fed.complete == [True] * 39
    assert fed.decodable == [index < 10 for index in range(39)]
    assert len(fed.asked) == 1


def test_tail_and_head_lost_tear_both() -> None:
    packets = stream(*[3] * 40)
    del packets[32:34]
    fed = feed(packets)
    assert fed.complete == [index not in (10, 11) for index in range(40)]


def test_a_request_is_repeated_while_no_key_frame_comes() -> None:
    packets = stream(*[2] * 240)
    del packets[10]
    fed = feed(packets)
    instants = [packets[index].arrival_unix_seconds for index in fed.asked]
    assert len(instants) == 4
    for earlier, later in itertools.pairwise(instants):
        assert later - earlier == pytest.approx(ASK_AGAIN_SECONDS, abs=2 * FRAME_SECONDS)


def test_joined_in_the_middle_of_a_frame() -> None:
    fed = feed(stream(3, 3, 3, 3, keys=(0, 2))[1:])
    assert fed.complete == [False, True, True, True]
    assert fed.decodable == [False, False, True, True]
    assert fed.asked == [1]


def test_joined_after_the_key_frame() -> None:
    fed = feed(stream(1, 1, 1, keys=()))
    assert fed.complete == [True] * 3
    assert fed.decodable == [False] * 3
    assert fed.asked == [0]


def padding(sequence: int, timestamp: int, *, marker: bool = False) -> MediaPacket:
    return MediaPacket(sequence, timestamp, marker, 0.0, b"", 0, False, False)


@pytest.mark.parametrize("timestamp", [9000, 9000 + TICKS, 12_345])
@pytest.mark.parametrize("place", range(7))
def test_padding_anywhere_only_keeps_the_sequence(place: int, timestamp: int) -> None:
    packets = stream(3, 3)
    packets = [*packets[:place], padding(0, timestamp), *packets[place:]]
    fed = feed([packet._replace(sequence=200 + index) for index, packet in enumerate(packets)])
    assert [(f.complete, f.decodable, f.packets, f.size_bytes) for f in fed.frames] == [(True, True, 3, 30)] * 2


def test_an_empty_packet_may_carry_the_marker_bit() -> None:
    packets = stream(2, 2)
    for index in (1, 3):
        packets[index] = packets[index]._replace(marker=True, payload=b"", size_bytes=0)
    fed = feed(packets)
    assert fed.complete == [True, True]
    assert [frame.data for frame in fed.frames] == [b"0.0;", b"1.0;"]


def test_a_sender_without_marker_bits() -> None:
    """A frame is then whole when the next one begins."""
    fed = feed([packet._replace(marker=False) for packet in stream(3, 3, 3)])
    assert fed.complete == fed.decodable == [True, True]


@pytest.mark.parametrize("jump", [0x1000, 0x3FFF, 0x7FFF, 0x8000, 0x8001, 0xA000, 0xEF00])
def test_a_sender_that_starts_anew_is_followed(jump: int) -> None:
    """Forwards or backwards: within two packets the new stream is taken, not 32,768 packets later."""
    before = stream(*[3] * 10)
    after = stream(*[3] * 10, sequence=100 + 30 + jump, timestamp=1_000_000, begin=10 * FRAME_SECONDS)
    fed = feed(before + after)
    new = [frame for frame in fed.frames if frame.timestamp >= 1_000_000]
    assert fed.complete[:10] == [True] * 10
    assert len(new) == 10
    assert all(frame.complete for frame in new[1:])
    assert fed.asked


def test_one_stray_packet_starts_nothing() -> None:
    packets = stream(*[3] * 20)
    stray = packets[0]._replace(sequence=(packets[0].sequence - 0x2000) & 0xFFFF)
    fed = feed([*packets[:31], stray, *packets[31:]])
    assert fed.complete == fed.decodable == [True] * 20


def test_memory_is_bounded() -> None:
    packets = [packet._replace(arrival_unix_seconds=0.0) for packet in stream(*[1] * (MAX_PENDING + 10))]
    del packets[5]
    fed = feed(packets)
    assert len(fed.asked) >= 1
    assert len(fed.frames) == len(packets)


@pytest.mark.parametrize("seed", range(60))
def test_random_networks(seed: int) -> None:
    """Loss, retransmission, reordering and duplicates at random, against what an oracle knows of each frame."""
    chance = random.Random(seed)
    sizes = [chance.randint(1, 12) for _ in range(200)]
    keys = (0, *(index for index in range(1, 200) if chance.random() < 0.03))
    packets = stream(*sizes, keys=keys, sequence=chance.randrange(0x10000), timestamp=chance.randrange(2**32))
    rate = chance.choice([0.0, 0.002, 0.01])
    arriving, torn = [], set()
    for packet in packets:
        if packet is not packets[0] and chance.random() < rate:
            torn.add(packet.timestamp)
            continue
        delay = chance.choice([0, 0, 0, 0.002, 0.05]) if packet is not packets[0] else 0
        arriving.append(late(packet, delay))
        if chance.random() < 0.05:
            arriving.append(late(packet, delay + chance.random() * 0.1))
    fed = feed(by_arrival(arriving))

    seen = [frame.timestamp for frame in fed.frames]
    assert len(seen) == len(set(seen)), "a frame comes out once"
    order = {(packets[0].timestamp + index * TICKS) & 0xFFFFFFFF: index for index in range(200)}
    places = [order[timestamp] for timestamp in seen]
    assert places == sorted(places), "frames come out in order"
    for frame in fed.frames:
        index = order[frame.timestamp]
        whole = b"".join(b"%d.%d;" % (index, part) for part in range(sizes[index]))
        if frame.complete and frame.decodable:
            assert frame.data == whole, "what is called decodable is whole"
        if frame.timestamp in torn:
            assert not frame.complete, "what lost a packet is not called complete"
    if not torn:
        assert len(seen) == 200
        assert all(fed.decodable)
        assert fed.asked == []
    lost_since_key = False
    gone = [index for index in range(places[-1]) if index not in set(places)]
    for frame, index in zip(fed.frames, places, strict=True):
        if frame.decodable and not frame.key:
            assert not lost_since_key, "nothing is decodable that refers to a lost frame"
        skipped = any(before == index - 1 for before in gone)
        if frame.key and frame.complete:
            lost_since_key = False
        elif not frame.complete or skipped:
            lost_since_key = True


def test_a_frame_without_end_is_given_up() -> None:
    """It is torn, and so is what is left of it; the next key frame is whole."""
    frames: list[AssembledFrame] = []
    assembler = FrameAssembler(frames.append)
    for packet in stream(2, MAX_PARTS + 10, 3, keys=(0, 2)):
        assembler.add(packet)
    assert [(frame.packets, frame.complete) for frame in frames] == [
        (2, True),
        (MAX_PARTS, False),
        (10, False),
        (3, True),
    ]
    assert [frame.decodable for frame in frames] == [True, False, False, True]
