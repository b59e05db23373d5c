"""Clients of one process take turns at one desktop."""

from __future__ import annotations

import asyncio
import time

import pytest

from vdibench.client.spacing import SPACING_SECONDS, Spacing
from vdibench.errors import TargetUnavailable


async def test_turns_are_half_a_second_apart() -> None:
    spacing = Spacing()
    instants = []

    async def come(url: str) -> None:
        await spacing.turn(url, 10.0)
        instants.append((url, time.monotonic()))

    began = time.monotonic()
    await asyncio.gather(come("a"), come("a"), come("b"), come("a"))
    at_a = sorted(instant - began for url, instant in instants if url == "a")
    assert at_a == pytest.approx([0.0, SPACING_SECONDS, 2 * SPACING_SECONDS], abs=0.05)
    assert [instant - began for url, instant in instants if url == "b"] == pytest.approx([0.0], abs=0.05)


async def test_the_next_turn_counts_from_the_last_that_was_accepted() -> None:
    spacing = Spacing()
    await spacing.turn("a", 1.0)
    await asyncio.sleep(0.3)  # turns are made by time
    spacing.taken("a")
    assert await spacing.turn("a", 1.0) == pytest.approx(SPACING_SECONDS, abs=0.02)


async def test_a_turn_that_would_come_too_late() -> None:
    spacing = Spacing()
    await spacing.turn("a", 0.1)
    with pytest.raises(TargetUnavailable, match="our turn would come in 1 s") as caught:
        await spacing.turn("a", 0.1)
    assert caught.value.remedy
    # Who did not wait takes nobody's turn.
    assert await spacing.turn("a", 1.0) <= SPACING_SECONDS
