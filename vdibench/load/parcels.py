"""Part files on their way from a worker elsewhere: cut into pieces, put together again. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vdibench.errors import ProtocolViolation

__all__ = ["LARGEST_BYTES", "PIECE_BYTES", "Assembly", "pieces"]

PIECE_BYTES = 1_000_000
"""Larger messages would keep Locust's own waiting."""

LARGEST_BYTES = 64_000_000
"""A part of an engine is two seconds of it, a few hundred kilobytes: what is larger is not one of ours."""

_REMEDY = "use the same version of vdibench on every host of a load"


def pieces(name: str, data: bytes) -> Iterator[dict[str, Any]]:
    """A part's messages, one at least.

    :param name: its file's name.
    """
    count = max(1, -(-len(data) // PIECE_BYTES))
    for index in range(count):
        yield {
            "name": name,
            "index": index,
            "count": count,
            "data": data[index * PIECE_BYTES : (index + 1) * PIECE_BYTES],
        }


class Assembly:
    """The pieces of one worker's parts. Pieces of a part come in order, and a part may come anew from its begin."""

    def __init__(self) -> None:
        self._name = ""
        self._held: list[bytes] = []

    def add(self, piece: Mapping[str, Any]) -> tuple[str, bytes] | None:
        """Take a piece; gives name and content when it was the last.

        :raises ProtocolViolation: it is none, or not the next.
        """
        name, index, count, data = (piece.get(key) for key in ("name", "index", "count", "data"))
        if not (
            isinstance(name, str) and isinstance(index, int) and isinstance(count, int) and isinstance(data, bytes)
        ):
            raise ProtocolViolation("a worker sent a piece of samples that is none", _REMEDY)
        if index == 0:
            self._name, self._held = name, []
        if name != self._name or index != len(self._held) or not index < count:
            raise ProtocolViolation(f"a worker sent piece {index} of {name!r} out of turn", _REMEDY)
        self._held.append(data)
        if sum(map(len, self._held)) > LARGEST_BYTES:
            self._held = []
            raise ProtocolViolation(f"a worker sent more than {LARGEST_BYTES} bytes as {name!r}", _REMEDY)
        if index + 1 < count:
            return None
        whole, self._held = b"".join(self._held), []
        return name, whole
