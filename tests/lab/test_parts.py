"""Waiting for a part: its end and a cancellation are never missed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from vdibench.lab.parts import Part, PartFailed


def part(tmp_path: Path) -> Part:
    (tmp_path / "thing.log").write_text("first\n\nlast words\n\n")
    return Part("desktop-0", "thing", tmp_path / "thing.log", "look at it")


@pytest.mark.parametrize("turns", range(8))
async def test_cancellation_is_never_lost(tmp_path: Path, turns: int) -> None:
    """Wherever the wait is when the cancellation comes, up to the very end."""
    awaited = asyncio.Event()
    waiting = asyncio.ensure_future(part(tmp_path).ready("a sign", awaited.wait()))
    await asyncio.sleep(0)  # one turn of the loop: the wait begins
    awaited.set()
    for _ in range(turns):
        await asyncio.sleep(0)  # one turn of the loop
    if waiting.cancel():
        with pytest.raises(asyncio.CancelledError):
            await waiting
    else:
        assert waiting.result() is True


async def test_end_while_it_is_awaited(tmp_path: Path) -> None:
    thing = part(tmp_path)
    waiting = asyncio.ensure_future(thing.ready("a sign", asyncio.Event().wait()))
    await asyncio.sleep(0)  # one turn of the loop: the wait begins
    thing.ended(-11)
    expected = r"^desktop-0: thing was killed by signal 11, last line of thing.log: last words: look at it$"
    with pytest.raises(PartFailed, match=expected):
        await waiting
    with pytest.raises(PartFailed, match="was killed by signal 11"):
        await thing.ready("a later sign", asyncio.Event().wait())


async def test_late(tmp_path: Path) -> None:
    thing = part(tmp_path)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await thing.ready("a sign", asyncio.Event().wait())
    assert str(thing.late(0.01)).startswith("desktop-0: thing is not ready after 0.01 s (waiting for a sign), last")
