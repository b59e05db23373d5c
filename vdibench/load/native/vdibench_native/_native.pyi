from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from typing_extensions import Buffer

HAS_SRTP: bool
"""Whether it was built with OpenSSL; without, whatever has to do with keys raises NotImplementedError."""

class Run(NamedTuple):
    """Packets of one frame that came one after the other, added up; of Python it is a struct sequence."""

    sequence: int
    timestamp: int
    packets: int
    size_bytes: int
    first_size_bytes: int
    first_arrival_unix_seconds: float
    last_arrival_unix_seconds: float
    begins: bool
    ends: bool
    first_head: bytes
    last_head: bytes
    key: bool

Datagram = tuple[bytes, float, tuple[str, int] | None, int]
"""Data, arrival, the sender's host and port (of STUN only), and what the socket had dropped when the kernel said so."""

Event = Datagram | Run | OSError

class Keys:
    """What decrypts one peer's media; its lanes share it."""

    def __new__(cls, key: Buffer, profile: int) -> Keys: ...
    def unprotect(self, packet: Buffer) -> bytes: ...

class Lane:
    """One socket in a receiver."""

    keys: Keys | None
    @property
    def armed(self) -> bool: ...
    @property
    def drops(self) -> int: ...
    def arm(
        self,
        sequence: int,
        timestamp: int,
        ssrc: int,
        payload_type: int,
        overhead: int,
        checked: int,
        open: bool,
        whole: bool,
        avoid: int = -1,
        codec: str = "",
    ) -> None: ...
    def sum(self) -> Run | None: ...
    def disarm(self) -> Run | None: ...
    def touch(self, types: Iterable[int]) -> None: ...
    def feed(self, data: Buffer, arrival: float) -> list[Event]: ...

class Receiver:
    """Many sockets, read together."""

    journal: list[Any] | None
    def add(self, fd: int, take: Callable[[list[Event]], object]) -> Lane: ...
    def remove(self, fd: int) -> None: ...
    def round(self) -> list[tuple[Callable[[list[Event]], object], list[Event]]] | None: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...

class Sender:
    """One source of RTP."""

    sequence: int
    def __new__(
        cls, fd: int, host: str, port: int, key: Buffer, profile: int, ssrc: int, payload_type: int
    ) -> Sender: ...
    def send(
        self, payloads: Sequence[Buffer], timestamp: int, marker_last: bool, extension: Buffer = b""
    ) -> tuple[int, int, int]: ...
    def close(self) -> None: ...

def floor(sockets: Sequence[int], seconds: float, mode: str, rest_seconds: float = 0.004) -> dict[str, float]: ...
