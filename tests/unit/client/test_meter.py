"""Counters against an independent calculation from the text of RFC 3550, and the limits of each."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

import pytest

from vdibench.client.meter import StreamMeter

CLOCK = 90_000


@dataclass(frozen=True)
class Packet:
    sequence: int  # not wrapped
    timestamp: int  # not wrapped
    arrival: float
    size: int = 1000


def metered(packets: list[Packet], ssrc: int = 1, meter: StreamMeter | None = None) -> StreamMeter:
    meter = meter or StreamMeter(CLOCK)
    for packet in packets:
        meter.add(ssrc, packet.sequence % 2**16, packet.timestamp % 2**32, packet.size, packet.arrival)
    return meter


def interarrival_jitter(packets: list[Packet]) -> float:
    """RFC 3550 §6.4.1: J += (|D(i-1,i)| - J) / 16, in seconds; packets in order, one for each time stamp."""
    jitter = 0.0
    transits = [packet.arrival - packet.timestamp / CLOCK for packet in packets]
    for before, now in itertools.pairwise(transits):
        jitter += (abs(now - before) - jitter) / 16
    return jitter


def lost(packets: list[Packet]) -> int:
    """RFC 3550 appendix A.3: expected minus received, never below zero here."""
    sequences = [packet.sequence for packet in packets]
    return max(0, max(sequences) - sequences[0] + 1 - len(sequences))


def paced(count: int, *, first: int = 0, stamp: int = 0, step: int = 1500) -> list[Packet]:
    return [Packet(first + i, stamp + i * step, 1000.0 + i * step / CLOCK) for i in range(count)]


def test_nothing_yet() -> None:
    reading = StreamMeter(CLOCK).read()
    assert (reading.packets_received, reading.packets_lost, reading.bytes_received) == (0, 0, 0)
    assert reading.jitter_seconds == 0


def test_perfect_pacing_has_neither_loss_nor_jitter() -> None:
    reading = metered(paced(1000)).read()
    assert reading.packets_received == 1000
    assert reading.packets_lost == 0
    assert reading.bytes_received == 1_000_000
    assert reading.jitter_seconds == pytest.approx(0, abs=1e-9)


def test_packets_of_one_frame_add_no_jitter() -> None:
    """They leave paced, over milliseconds, with one time stamp."""
    packets = []
    for frame in range(100):
        for part in range(5):
            packets.append(Packet(len(packets), frame * 1500, frame / 60 + part * 0.002))
    assert metered(packets).read().jitter_seconds == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_loss_and_jitter_of_random_streams(seed: int) -> None:
    chance = random.Random(seed)
    start = chance.choice([0, 65_000, 32_000])
    stamp = chance.choice([0, 2**32 - 100_000])
    packets = [
        Packet(packet.sequence, packet.timestamp, packet.arrival + chance.uniform(0, 0.01), chance.randint(1, 1200))
        for packet in paced(3000, first=start, stamp=stamp)
        if packet.sequence == start or chance.random() > 0.02
    ]
    reading = metered(packets).read()
    assert reading.packets_received == len(packets)
    assert reading.packets_lost == lost(packets) > 0
    assert reading.bytes_received == sum(packet.size for packet in packets)
    assert reading.jitter_seconds == pytest.approx(interarrival_jitter(packets), rel=1e-6)
    assert 0.001 < reading.jitter_seconds < 0.01


def test_alternating_transit_converges_to_its_deviation() -> None:
    packets = [Packet(p.sequence, p.timestamp, p.arrival + 0.004 * (p.sequence % 2)) for p in paced(500)]
    assert metered(packets).read().jitter_seconds == pytest.approx(0.004, rel=0.01)


def test_reordering_is_no_loss() -> None:
    packets = paced(100)
    packets[50], packets[51] = packets[51], packets[50]
    assert metered(packets).read().packets_lost == 0


def test_a_late_packet_repairs_the_count_and_says_nothing_of_jitter() -> None:
    packets = paced(100)
    late = Packet(packets[50].sequence, packets[50].timestamp, packets[70].arrival + 0.001)
    without = packets[:50] + packets[51:71] + packets[71:]
    meter = metered(without[:70])
    assert meter.read().packets_lost == 1
    metered([late], meter=meter)
    assert meter.read().packets_lost == 0
    metered(without[70:], meter=meter)
    assert meter.read().jitter_seconds == pytest.approx(0, abs=1e-9)


def test_duplicates_never_make_loss_negative() -> None:
    packets = [packet for packet in paced(50) for _ in range(2)]
    reading = metered(packets).read()
    assert reading.packets_received == 100
    assert reading.packets_lost == 0


def test_a_packet_from_before_the_first_is_no_loss() -> None:
    packets = paced(10)
    assert metered([packets[1], packets[0], *packets[2:]]).read().packets_lost == 0


def test_many_rounds_of_the_sequence() -> None:
    packets = [packet for packet in paced(140_000, step=10) if packet.sequence % 1000 != 999]
    assert metered(packets).read().packets_lost == 139


def test_a_new_source_starts_its_own_sequence_and_keeps_what_was_counted() -> None:
    first = [packet for packet in paced(100) if packet.sequence not in (10, 11)]
    second = [packet for packet in paced(100, first=40_000, stamp=7_000_000) if packet.sequence != 40_050]
    meter = metered(first)
    metered(second, ssrc=2, meter=meter)
    reading = meter.read()
    assert reading.packets_lost == 3
    assert reading.packets_received == 98 + 99
    assert reading.jitter_seconds == pytest.approx(0, abs=1e-9)


def test_a_sequence_that_starts_anew_far_behind_keeps_what_was_lost() -> None:
    """The same source, so it is no new stream by its name; two packets in a row tell (RFC 3550 appendix A.1)."""
    meter = metered([*paced(50, first=30_000), *paced(50, first=30_060, stamp=90_000)])
    assert meter.read().packets_lost == 10
    again = [*paced(40, first=20_000, stamp=500_000), *paced(60, first=20_045, stamp=600_000)]
    reading = metered(again, meter=meter).read()
    assert (reading.packets_received, reading.packets_lost) == (200, 15)
    block = meter.report(0, 0)
    assert block is not None
    assert (block.cumulative_lost, block.highest_sequence) == (5, 20_104)


def test_one_packet_from_far_behind_is_only_late() -> None:
    meter = metered([*paced(50, first=30_000), *paced(1, first=20_000), *paced(50, first=30_055)])
    reading = metered(paced(1, first=20_001), meter=meter).read()
    assert (reading.packets_received, reading.packets_lost) == (102, 3)
