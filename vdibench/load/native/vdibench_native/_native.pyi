from collections.abc import Sequence

from typing_extensions import Buffer

HAS_SRTP: bool

class Sender:
    sequence: int
    def __new__(
        cls, fd: int, host: str, port: int, key: Buffer, profile: int, ssrc: int, payload_type: int
    ) -> Sender: ...
    def send(
        self, payloads: Sequence[Buffer], timestamp: int, marker_last: bool, extension: Buffer = b""
    ) -> tuple[int, int, int]: ...
    def close(self) -> None: ...
