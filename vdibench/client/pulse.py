"""The pulse of one session: its counters once a second, how late the event loop runs, and whether video still comes."""

from __future__ import annotations

import asyncio
import time

from vdibench.client.peer import MediaPeer
from vdibench.client.picture import PictureStream
from vdibench.client.sink import NetworkRecord, SampleSink
from vdibench.errors import StreamLost

__all__ = ["beat"]

PERIOD_SECONDS = 1.0
_LAG_STEP_SECONDS = 0.02


async def beat(session: str, sink: SampleSink, peer: MediaPeer, picture: PictureStream, stall_seconds: float) -> None:
    """Report until cancelled.

    The lag is the largest delay with which the event loop woke this task, in steps of 20 ms: what it adds to every
    instant that is taken in the loop.

    :raises StreamLost: no frame for ``stall_seconds``.
    """
    loop = asyncio.get_running_loop()
    lag, reported = 0.0, loop.time()
    while True:
        before = loop.time()
        await asyncio.sleep(_LAG_STEP_SECONDS)
        now = loop.time()
        lag = max(lag, now - before - _LAG_STEP_SECONDS)
        if now - reported >= PERIOD_SECONDS:
            reported = now
            sink.network(session, _reading(peer, lag))
            lag = 0.0
        if now - picture.last_arrival > stall_seconds:
            raise StreamLost(
                f"no video for {stall_seconds:g} s although the connection stands",
                "check the desktop's encoder and the relay",
            )


def _reading(peer: MediaPeer, lag: float) -> NetworkRecord:
    video = peer.video.read()
    return NetworkRecord(
        unix_seconds=time.time(),
        packets_received=video.packets_received,
        packets_lost=video.packets_lost,
        bytes_received=video.bytes_received,
        jitter_seconds=video.jitter_seconds,
        nack_count=peer.nack_count,
        pli_count=peer.pli_count,
        audio_packets_received=peer.audio.read().packets_received,
        event_loop_lag_seconds=lag,
    )
