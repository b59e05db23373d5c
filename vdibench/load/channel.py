"""Messages between processes of one host: msgpack documents behind their length. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

import msgpack

from vdibench.errors import LoadError

__all__ = ["MAX_BYTES", "Unpacker", "packed"]

MAX_BYTES = 16 * 1024 * 1024
"""No message of ours comes near: a longer one means that the two ends lost each other's count."""

_LENGTH = struct.Struct("<I")


def packed(message: Mapping[str, Any]) -> bytes:
    """A message as it goes over the wire.

    :raises LoadError: it is longer than :data:`MAX_BYTES`.
    """
    body: bytes = msgpack.packb(message)
    if len(body) > MAX_BYTES:
        raise LoadError(f"a message of {len(body)} bytes is too long for the channel", "report this as a defect")
    return _LENGTH.pack(len(body)) + body


class Unpacker:
    """Bytes as they come, in whatever pieces, to messages."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Take ``data`` and give the messages that are complete with it.

        :raises LoadError: what came is not such a message.
        """
        self._held += data
        while len(self._held) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._held)
            if length > MAX_BYTES:
                raise LoadError(f"a message claims to be {length} bytes long", "report this as a defect of vdibench")
            end = _LENGTH.size + length
            if len(self._held) < end:
                return
            body = bytes(self._held[_LENGTH.size : end])
            del self._held[:end]
            try:
                message = msgpack.unpackb(body)
            except ValueError as error:
                raise LoadError(f"a message cannot be read: {error}", "report this as a defect of vdibench") from error
            if not isinstance(message, dict):
                raise LoadError("a message is no mapping", "report this as a defect of vdibench")
            yield message
