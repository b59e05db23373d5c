"""What the protocol tests watch with: a sink that keeps everything, and waiting for what another thread makes true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from vdibench.client import FrameRecord, InputRecord, NetworkRecord


class Samples:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.frames: list[FrameRecord] = []
        self.inputs: list[InputRecord] = []
        self.networks: list[NetworkRecord] = []
        self.milestones: dict[str, float] = {}
        self.facts: list[tuple[str, str]] = []
        self.rows: list[tuple[str, dict[str, Any]]] = []

    def frame(self, session: str, record: FrameRecord) -> None:
        self.frames.append(record)

    def input(self, session: str, record: InputRecord) -> None:
        self.inputs.append(record)

    def network(self, session: str, record: NetworkRecord) -> None:
        self.networks.append(record)

    def milestone(self, session: str, event: str, unix_seconds: float) -> None:
        assert event not in self.milestones
        self.milestones[event] = unix_seconds

    def fact(self, session: str, key: str, value: str) -> None:
        self.facts.append((key, value))

    def row(self, session: str, table: str, values: Mapping[str, Any]) -> None:
        self.rows.append((table, dict(values)))


class Again(Samples):
    """A sink for a session that begins more than once."""

    def milestone(self, session: str, event: str, unix_seconds: float) -> None:
        self.milestones[event] = unix_seconds


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a condition that another thread or process makes true."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # what changes is in another thread or process
            await asyncio.sleep(0.01)  # the next look
