"""What a desktop and a network can do to a stream, drawn at random: packets, arrivals, and what happens between."""

from __future__ import annotations

import random
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "client"))

from srtp import Sender

from vdibench.client.rtp import ABS_CAPTURE_TIME, ABS_SEND_TIME, VIDEO_TIMING
from vdibench.client.streams import MediaSection

__all__ = ["AUDIO", "OWN", "SECTION", "Step", "trace"]

VIDEO, OTHER_VIDEO, RTX, AUDIO = 97, 99, 98, 111
OWN = 42
TICKS = 1500
BEGIN = 1000.0
SECTION = MediaSection(
    OWN,
    {VIDEO: "H264", OTHER_VIDEO: "VP8"},
    {RTX: VIDEO},
    {ABS_CAPTURE_TIME: 9, VIDEO_TIMING: 6, ABS_SEND_TIME: 3},
)
_NTP = 2_208_988_800

Step = tuple[str, bytes, float]
"""``packet``, a datagram and its arrival; or ``report``, ``sample``: what a timer does then."""


def _extensions(chance: random.Random, seconds: float) -> bytes:
    found = b""
    if chance.random() < 0.5:
        found += bytes([0x97]) + struct.pack("!Q", int((seconds + _NTP) * 2**32))
    if chance.random() < 0.5:
        found += bytes([0x6C]) + struct.pack("!B6H", 0, 1, chance.randint(0, 9), 3, chance.randint(0, 12), 0, 0)
    if chance.random() < 0.5:
        found += bytes([0x32]) + chance.randbytes(3)
    return found


def _payload(chance: random.Random, part: int, parts: int, *, key: bool, codec: int) -> bytes:
    body = chance.randbytes(chance.randint(1, 20))
    if codec == OTHER_VIDEO:
        return bytes([0x10 if part == 0 else 0, 0 if key else 1]) + body
    if parts == 1:
        return bytes([0x65 if key else 0x61, 0x88]) + body
    if part == 0 and chance.random() < 0.1:
        return bytes([0x78, 0, 2, 0x67, 1, 0, 2, 0x65 if key else 0x61, 0x88])
    edge = (0x80 if part == 0 else 0) | (0x40 if part == parts - 1 else 0)
    return bytes([0x7C, (5 if key else 1) | edge, 0x88]) + body


class _Trace:
    """One drawing.

    :param calm: how much happens: 0 everything, 1 nothing out of the ordinary.
    """

    def __init__(self, chance: random.Random, calm: float) -> None:
        self.chance = chance
        self.calm = calm
        self.found: list[tuple[float, int, str, bytes]] = []
        self.sender = Sender(7, VIDEO, sequence=chance.choice([0, 5, 0x7FF0, 0xFFF0, 0xFFFF]))
        self.again = Sender(8, RTX)
        self.sound = Sender(9, AUDIO)
        self.timestamp = chance.choice([0, 3, 0x7FFFFFFF, 0xFFFFFFFF - 4 * TICKS])

    def happens(self, probability: float) -> bool:
        return self.chance.random() < probability * (1 - self.calm)

    def put(self, due: float, packet: bytes, kind: str = "packet") -> None:
        self.found.append((due, len(self.found), kind, packet))

    def frame(self, index: int) -> None:
        chance, sender, due = self.chance, self.sender, BEGIN + index / 60
        parts = chance.choice([1, 1, 2, 3, 5, 9])
        key = index == 0 or chance.random() < 0.1
        extended = chance.random() < 0.5
        marked = not self.happens(0.03)
        for part in range(parts):
            due += 1e-4
            wanted = extended and (part in (0, parts - 1) or self.happens(0.2))
            special = {"extensions": _extensions(chance, due - 0.01)} if wanted else {}
            if self.happens(0.02):
                special["padding"] = chance.randint(1, 5)
            payload = _payload(chance, part, parts, key=key, codec=sender.payload_type)
            sequence = sender.sequence
            marker = part == parts - 1 and marked
            self.network(due, sender.packet(self.timestamp, payload, marker=marker, **special), sequence, payload)
            self.beside(due)
        if self.happens(0.02):  # padding of its own, as senders probe for bandwidth
            self.put(
                due, sender.packet(self.timestamp, b"", padding=chance.randint(1, 9), marker=chance.random() < 0.5)
            )
        self.timestamp = (self.timestamp + TICKS * (0 if self.happens(0.01) else 1)) & 0xFFFFFFFF

    def network(self, due: float, packet: bytes, sequence: int, payload: bytes) -> None:
        chance = self.chance
        if self.happens(0.02):  # lost, and perhaps sent again
            if chance.random() < 0.6:
                repeated = sequence.to_bytes(2, "big") + payload
                marker = bool(packet[1] & 0x80)
                self.put(
                    due + chance.choice([0.001, 0.02, 0.3]), self.again.packet(self.timestamp, repeated, marker=marker)
                )
            return
        self.put(due + (chance.choice([0.0003, 0.004, 0.3]) if self.happens(0.02) else 0), packet)
        if self.happens(0.02):
            self.put(due + chance.choice([0, 0.002, 0.1]), packet)

    def beside(self, due: float) -> None:
        """What comes between: sound, reports, rubbish, forgeries, timers."""
        chance, sender = self.chance, self.sender
        if chance.random() < 0.1:
            self.put(due, self.sound.packet(int(due * 48_000), chance.randbytes(20)))
        if self.happens(0.02):
            ntp = int((due + _NTP) * 2**32)
            report = struct.pack("!BBHIQIII", 0x80, 200, 6, sender.ssrc, ntp, self.timestamp, 1, 1)
            self.put(due, sender.control(report))
        if self.happens(0.02):
            self.put(due, b"", chance.choice(["report", "report", "sample"]))
        if self.happens(0.02):
            rubbish = chance.randbytes(chance.choice([0, 1, 3, 11, 12, 13, 15, 16, 40]))
            self.put(due, rubbish if chance.random() < 0.5 else b"\x80" + rubbish)
        if self.happens(0.01):  # of the right source and the next sequence number, and not of the desktop
            head = struct.pack("!BBHII", 0x80, sender.payload_type, sender.sequence, self.timestamp, sender.ssrc)
            self.put(due, head + chance.randbytes(40))

    def upheaval(self) -> None:
        """The sender starts anew, jumps, or changes its codec; the link is away for a while."""
        chance, what = self.chance, self.chance.random()
        if what < 0.3:
            self.sender = Sender(chance.choice([7, 17, 18]), VIDEO, sequence=chance.randint(0, 0xFFFF))
            self.timestamp = chance.choice([self.timestamp, chance.randint(0, 0xFFFFFFFF)])
        elif what < 0.6:
            sequence = (self.sender.sequence + chance.choice([2, 50, 600, 0x1100, 0x8000, 0xF000])) & 0xFFFF
            self.sender = Sender(self.sender.ssrc, self.sender.payload_type, sequence=sequence)
        elif what < 0.8:
            self.sender.payload_type = OTHER_VIDEO if self.sender.payload_type == VIDEO else VIDEO
        else:
            self.timestamp = (self.timestamp - 3 * TICKS) & 0xFFFFFFFF


def trace(chance: random.Random, frames: int, calm: float) -> list[Step]:
    """So many frames and what became of them, in order of arrival."""
    drawn = _Trace(chance, calm)
    for index in range(frames):
        drawn.frame(index)
        if drawn.happens(0.02):
            drawn.upheaval()
    return [(kind, packet, due) for due, _, kind, packet in sorted(drawn.found)]
