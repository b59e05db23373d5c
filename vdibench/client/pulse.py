"""The pulse of one session: its counters once a second, how late the event loop runs, and whether video still comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from vdibench.client.connection import Counters
from vdibench.client.lag import LoopLag
from vdibench.client.picture import PictureStream
from vdibench.client.sink import NetworkRecord, SampleSink
from vdibench.errors import VdibenchError

__all__ = ["Pulse"]

PERIOD_SECONDS = 1.0
# Packets that come again while we ask are followed by a whole frame: retransmissions, or a key frame.
_FRAME_SECONDS = 1.0


class Pulse:
    """Reports what a session's counters say.

    :param read: gives the counters.
    :param picture: knows when the last frame arrived.
    :param stall_seconds: without a frame for so long the session is over.
    """

    def __init__(
        self,
        session: str,
        sink: SampleSink,
        read: Callable[[], Counters],
        picture: PictureStream,
        stall_seconds: float,
    ) -> None:
        self._session = session
        self._sink = sink
        self._read = read
        self._picture = picture
        self._stall_seconds = stall_seconds

    async def beat(self) -> None:
        """Report until cancelled.

        The lag is the largest one since the last report; see :mod:`vdibench.client.lag`.
        """
        loop = asyncio.get_running_loop()
        with LoopLag.of(loop).watched() as lag:
            while True:
                reported = loop.time()
                await asyncio.sleep(PERIOD_SECONDS)  # counters are read once a second
                self._sink.network(self._session, self._reading(lag.worst_since(reported)))

    async def guard(self, reason: Callable[[float], Awaitable[VdibenchError]]) -> None:
        """Watch for a stall until cancelled, from the first frame on.

        :param reason: asked once the video stalled, with the seconds; its error is raised unless video came meanwhile.
        :raises VdibenchError: no frame for ``stall_seconds``.
        """
        loop = asyncio.get_running_loop()
        while True:
            left = min(self._picture.last_arrival + self._stall_seconds - loop.time(), self._stall_seconds)
            if left > 0:
                await asyncio.sleep(left)  # no stall can be seen before
                continue
            before = self._read().packets_received
            error = await reason(self._stall_seconds)
            if self._read().packets_received > before:
                await asyncio.sleep(_FRAME_SECONDS)  # the frame of these packets
            if loop.time() - self._picture.last_arrival >= self._stall_seconds:
                raise error

    def _reading(self, lag: float) -> NetworkRecord:
        counters = self._read()
        return NetworkRecord(
            unix_seconds=time.time(),
            packets_received=int(counters.packets_received),
            packets_lost=counters.packets_lost,
            bytes_received=int(counters.bytes_received),
            jitter_seconds=counters.jitter_seconds,
            nack_count=counters.nack_count,
            pli_count=counters.pli_count,
            audio_packets_received=int(counters.audio_packets_received),
            event_loop_lag_seconds=lag,
            audio_packets_lost=counters.audio_packets_lost,
            socket_drops=counters.socket_drops,
        )
