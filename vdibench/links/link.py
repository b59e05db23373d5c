"""One link inside the relay: a shaper, a tally for each direction, and the flows that share them. I/O by its flows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from vdibench.links.counters import Tally
from vdibench.links.profiles import LinkProfile
from vdibench.links.shaper import Shaper

__all__ = ["Flow", "Lane", "Link", "Packet"]

# What a datagram's payload travels with: IPv4 and UDP headers.
_UDP_HEADER_BYTES = 28
# A full segment of TCP over Ethernet is 1500 bytes for 1448.
_TCP_OVERHEAD = 1500 / 1448
_FORWARDING_SEED = 0x9E3779B9


@dataclass(frozen=True, slots=True)
class Packet:
    """What a lane holds: the bytes, and who sends them on; ``datagram`` tells UDP from a part of a TCP stream."""

    data: bytes
    send: Callable[[bytes], None]
    datagram: bool


class Flow(Protocol):
    """What goes over a link between a listening port and one address."""

    address: tuple[str, int]

    def close(self) -> None:
        """Close every socket of it."""


class Lane:
    """One direction: packets of all flows go through the same queue."""

    def __init__(self, shaper: Shaper[Packet]) -> None:
        self.shaper = shaper
        self.tally = Tally()
        self._arrived = 0.0

    def take(self, packet: Packet, arrived: float) -> None:
        """A datagram came in at ``arrived`` by the loop's clock."""
        self.tally.arrived(len(packet.data))
        # Sockets are read one after the other: between two of them time must not run backwards.
        self._arrived = arrived = max(self._arrived, arrived)
        drop = self.shaper.push(arrived, len(packet.data) + _UDP_HEADER_BYTES, packet)
        if drop is not None:
            self.tally.drop(drop, packet.data)
            return
        # What need not wait does not wait either until the rest of a burst is read.
        due = self.shaper.due()
        if due is not None and due <= (now := time.monotonic()):
            self.let_go(now)

    def take_stream(self, packet: Packet) -> None:
        """A part of a TCP stream came in."""
        self._arrived = arrived = max(self._arrived, time.monotonic())
        self.shaper.push_stream(arrived, int(len(packet.data) * _TCP_OVERHEAD), packet)

    def let_go(self, now: float) -> None:
        """Send what is due."""
        for release in self.shaper.pop(now):
            packet = release.item
            if release.drop is not None:
                self.tally.drop(release.drop, packet.data)
                continue
            packet.send(packet.data)
            if not packet.datagram:
                self.tally.stream_bytes += len(packet.data)
                continue
            self.tally.let_go(packet.data)
            if release.current:
                sent = time.monotonic()
                self.tally.timed(sent - release.arrived, sent - release.due)


class Link:
    """A schedule of the loop's; its flows are opened by the process."""

    def __init__(self, profile: LinkProfile, seed: int) -> None:
        self.down = Lane(Shaper(profile.down, seed))
        self.up = Lane(Shaper(profile.up, seed ^ _FORWARDING_SEED))
        self.flows: list[Flow] = []

    def due(self) -> float | None:
        """When the next packet is due."""
        down, up = self.down.shaper.due(), self.up.shaper.due()
        return up if down is None else down if up is None else min(down, up)

    def run(self, now: float) -> None:
        """Let go what is due."""
        self.down.let_go(now)
        self.up.let_go(now)

    def change(self, profile: LinkProfile) -> None:
        """Other figures from now on; hold times begin anew."""
        for lane, direction in ((self.down, profile.down), (self.up, profile.up)):
            lane.shaper.change(direction)
            lane.tally.forget_times()

    @property
    def round_trip_seconds(self) -> float:
        """Of a small packet, at present."""
        return self.down.shaper.direction.delay_seconds + self.up.shaper.direction.delay_seconds

    def document(self) -> dict[str, Any]:
        """What it did, for JSON."""
        return {"down": self.down.tally.document(), "up": self.up.tally.document()}

    def close(self) -> None:
        """Close every flow."""
        for flow in self.flows:
            flow.close()
