"""The optional distribution ``vdibench-native``: found and used, done without, or insisted on.

It reads sockets and adds packets up, and decides nothing: with it and without it every number is the same.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple, Protocol

from vdibench.errors import UsageError

__all__ = ["Lane", "Run", "native_module", "receiver_name"]

_MISSING = "install it from a checkout (pip install vdibench/load/native; make setup does), or do without"


class Run(NamedTuple):
    """Packets of one frame that came one after the other, added up: the fields of ``vdibench_native.Run``.

    :param first_head: RTP header of the first packet, where it begins a frame and has extensions; else empty.
    :param last_head: that of the last, where it ends a frame and has extensions; else empty.
    :param key: a packet belongs to a key frame; known only with keys.
    """

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


class Lane(Protocol):
    """One socket of the native receiver; see ``vdibench_native.Lane``."""

    keys: Any

    @property
    def drops(self) -> int:
        """Datagrams that the kernel threw away because the socket's buffer was full."""

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
    ) -> None:
        """Add up what follows, as long as each packet is the next one."""

    def sum(self) -> Run | None:
        """What was added up of a frame since the last run, if anything; it goes on adding."""

    def disarm(self) -> Run | None:
        """As :meth:`sum`, and add nothing up any more."""

    def touch(self, types: Any) -> None:
        """Payload types whose packets concern the stream."""


def native_module(wanted: bool | None = None) -> Any:
    """The module ``vdibench_native``, or None.

    :param wanted: None for where it is there, False for never.
    :raises UsageError: it is wanted and not there.
    """
    if wanted is False:
        return None
    try:
        return importlib.import_module("vdibench_native")
    except ImportError as error:
        if wanted:
            raise UsageError(f"the native receiver cannot be used here ({error})", _MISSING) from error
        return None


def receiver_name(module: Any) -> str:
    """What receives, for the record: ``native 0.1.0`` or ``python``."""
    return f"native {module.__version__}" if module is not None else "python"
