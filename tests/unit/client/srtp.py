"""A sender of SRTP and the receiving end of its transport, for tests of reception: real keys, no network."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from pylibsrtp import Policy, Session

__all__ = ["Sender", "Transport"]

_KEYS = bytes(range(60))


def _session(kind: int, key: bytes) -> Session:
    policy = Policy(key=key, ssrc_type=kind)
    policy.allow_repeat_tx = True
    policy.window_size = 1024
    return Session(policy)


class Transport:
    """What reception uses of aiortc's DTLS transport."""

    def __init__(self, state: str = "connected") -> None:
        self.state = state
        self._rx_srtp = _session(Policy.SSRC_ANY_INBOUND, _KEYS[:30])
        self.sent: list[bytes] = []
        self._listeners: list[Callable[[], None]] = []

    def add_listener(self, event: str, listener: Callable[[], None]) -> None:
        assert event == "statechange"
        self._listeners.append(listener)

    def connect(self) -> None:
        self.state = "connected"
        for listener in self._listeners:
            listener()

    async def _send_rtp(self, packet: bytes) -> None:
        self.sent.append(packet)


class Sender:
    """Makes SRTP packets of one source."""

    def __init__(self, ssrc: int, payload_type: int, key: bytes = _KEYS[:30], sequence: int = 0) -> None:
        self.ssrc = ssrc
        self.payload_type = payload_type
        self.sequence = sequence
        self._srtp = _session(Policy.SSRC_ANY_OUTBOUND, key)

    def packet(self, timestamp: int, payload: bytes, *, marker: bool = False, **special: Any) -> bytes:
        """The next packet; ``sequence`` is another one, ``extensions`` one-byte elements, ``padding`` its length."""
        sequence = special.get("sequence", self.sequence)
        if "sequence" not in special:
            self.sequence = (self.sequence + 1) & 0xFFFF
        extensions, padding = special.get("extensions", b""), special.get("padding", 0)
        first = 0x80 | (0x10 if extensions else 0) | (0x20 if padding else 0)
        data = struct.pack(
            "!BBHII", first, self.payload_type | (0x80 if marker else 0), sequence, timestamp & 0xFFFFFFFF, self.ssrc
        )
        if extensions:
            extensions += bytes(-len(extensions) % 4)
            data += struct.pack("!HH", 0xBEDE, len(extensions) // 4) + extensions
        if padding:
            payload += bytes(padding - 1) + bytes([padding])
        return self._srtp.protect(data + payload)

    def frame(self, timestamp: int, packets: int, *, key: bool = False) -> list[bytes]:
        """An H.264 slice in fragments: what they hold says which they are."""
        kind = 5 if key else 1
        found = []
        for part in range(packets):
            head = bytes([0x7C, kind | (0x80 if part == 0 else 0) | (0x40 if part == packets - 1 else 0), 0x88])
            found.append(self.packet(timestamp, head + f"{timestamp}.{part};".encode(), marker=part == packets - 1))
        return found

    def control(self, packet: bytes) -> bytes:
        """SRTCP."""
        return self._srtp.protect_rtcp(packet)
