"""What is missing, when it is asked for, and what is known again."""

from __future__ import annotations

import math
import random

import pytest

from vdibench.client.nack import FORGET_SECONDS, MAX_HOLE, MAX_JUMP, MAX_TRIES, USEFUL_SECONDS, Retransmissions


def after(*sequences: int) -> Retransmissions:
    gaps = Retransmissions()
    for sequence in sequences:
        gaps.arrived(sequence, 0.0)
    return gaps


@pytest.mark.parametrize("start", [0, 100, 65534])
def test_in_order_nothing_is_missing(start: int) -> None:
    gaps = Retransmissions()
    assert all(gaps.arrived((start + i) & 0xFFFF, i * 0.001) for i in range(70_000))
    assert not gaps.hole
    assert gaps.due(100.0) == []
    assert gaps.next_due() == math.inf


def test_a_hole_is_asked_for_at_once_then_again_and_at_last_no_more() -> None:
    gaps = after(65533, 2)
    assert gaps.hole
    assert gaps.due(0.0) == [65534, 65535, 0, 1]
    assert gaps.due(0.01) == []
    asked, now = [0.0], 0.0
    while (now := gaps.next_due()) < math.inf and len(asked) < 100:
        assert gaps.due(now) in ([65534, 65535, 0, 1], [])
        asked.append(now)
    assert 2 <= len(asked) <= MAX_TRIES + 1
    assert asked[-1] <= 2 * USEFUL_SECONDS


def test_the_round_trip_is_learnt_from_the_first_answer_only() -> None:
    gaps = after(1, 3)
    gaps.due(0.0)
    assert gaps.repaired(2, 0.04)
    assert gaps.round_trip_seconds == pytest.approx(0.04)
    gaps.arrived(5, 1.0)
    assert gaps.due(1.0) == [4]
    assert gaps.next_due() == pytest.approx(1.06)
    assert gaps.due(1.06) == [4]
    assert gaps.repaired(4, 1.07), "an answer to either question"
    assert gaps.round_trip_seconds == pytest.approx(0.04)


def test_what_came_before_is_not_new() -> None:
    gaps = after(1, 2, 5)
    assert not gaps.arrived(5, 0.0)
    assert not gaps.arrived(2, 0.0)
    assert gaps.arrived(3, 0.0), "late, but new"
    assert not gaps.arrived(3, 0.0)
    assert gaps.repaired(4, 0.0)
    assert not gaps.repaired(4, 0.0)
    assert gaps.arrived(4, 0.1), "it came as first sent after all"
    assert not gaps.arrived(4, 0.1)
    assert not gaps.repaired(77, 0.0)


def test_a_link_that_was_away_is_not_asked_for_packet_by_packet() -> None:
    gaps = after(10, 10 + MAX_HOLE + 2)
    assert not gaps.hole
    assert gaps.due(0.0) == []
    assert gaps.arrived(10 + MAX_HOLE + 3, 0.0)


def test_a_sender_that_starts_anew() -> None:
    gaps = after(60_000)
    assert gaps.arrived(60_000 - MAX_JUMP - 10, 0.0)
    assert gaps.arrived(60_000 - MAX_JUMP - 9, 0.0)
    assert gaps.arrived(60_000 - MAX_JUMP - 8, 0.0)
    assert not gaps.arrived(60_000 - MAX_JUMP - 9, 0.0)
    gaps.arrived(60_000 - MAX_JUMP - 6, 0.0)
    assert gaps.due(0.0) == [60_000 - MAX_JUMP - 7]


def test_old_holes_are_forgotten() -> None:
    gaps = after(1, 3)
    gaps.due(0.0)
    gaps.due(FORGET_SECONDS)
    assert not gaps.repaired(2, FORGET_SECONDS)
    assert not gaps.arrived(2, FORGET_SECONDS)


@pytest.mark.parametrize("seed", range(20))
def test_every_packet_is_new_once(seed: int) -> None:
    """Any order within a hundred packets, any duplicates: a set is the oracle."""
    chance = random.Random(seed)
    start = chance.randrange(2**16)
    sent = [index for index in range(3000) if index == 0 or chance.random() > 0.05]
    sent += chance.sample(sent, 300)
    sent[1:] = sorted(sent[1:], key=lambda index: index + chance.uniform(0, 100))
    gaps, known = Retransmissions(), set()
    for index in sent:
        if index < 0:
            continue
        new = gaps.arrived((start + index) & 0xFFFF, 0.0)
        if index >= sent[0]:
            assert new == (index not in known), index
        known.add(index)
    assert gaps.due(0.0) == [(start + index) & 0xFFFF for index in range(max(known)) if index not in known]
