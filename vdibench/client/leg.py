"""One leg of a ``selkies-1-webrtc`` session: a signalling WebSocket and a peer connection of its own. I/O."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp

from vdibench.client.http import DesktopHttp
from vdibench.client.lifetime import bounded
from vdibench.client.peer import MediaPeer
from vdibench.errors import ProtocolViolation, TargetUnavailable
from vdibench.selkies import (
    SIGNALLING_PATH_1,
    CandidateReceived,
    ComplaintReceived,
    LegSignalling,
    OfferReceived,
    Registered,
    leg_close_reason,
    leg_is_taken,
    repair_offer,
)

__all__ = ["HELLO_SECONDS", "MediaLeg"]

# The server's loop sleeps up to four seconds at a time while nobody is connected.
HELLO_SECONDS = 10.0
# A client that vanished keeps its place for up to 49 s, until the server's pings find it out.
_TAKEN_SECONDS = 55.0
_ASK_AGAIN_SECONDS = 1.0
_ENDS = {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}


class MediaLeg:
    """A leg that is opened by :meth:`run` and ends with it.

    :param signalling: makes a fresh conversation; one is needed for each attempt.
    :param peer: makes the peer connection when an offer comes.
    :param taken: called when another client has this leg, before each new attempt.
    :param complaint: called with what the server complains about.
    """

    def __init__(
        self,
        signalling: Callable[[], LegSignalling],
        peer: Callable[[], Awaitable[MediaPeer]],
        taken: Callable[[], None],
        complaint: Callable[[str], None],
    ) -> None:
        self._make_signalling = signalling
        self._make_peer = peer
        self._taken = taken
        self._complain = complaint
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self.peer: MediaPeer | None = None
        self.registered = asyncio.Event()
        self.offered = asyncio.Event()

    async def run(self, http: DesktopHttp) -> None:
        """Say hello, answer the offer, take candidates, until the server closes.

        :raises VdibenchError: always in the end: what the server meant by closing, or why there is no leg.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _TAKEN_SECONDS
        while True:
            signalling = self._make_signalling()
            code, said = await self._converse(http, signalling)
            if not leg_is_taken(code, said) or loop.time() > deadline:
                raise leg_close_reason(code, said)
            self._taken()
            await asyncio.sleep(_ASK_AGAIN_SECONDS)  # until the server's pings miss who left

    async def _converse(self, http: DesktopHttp, signalling: LegSignalling) -> tuple[int | None, str]:
        """One attempt; returns the code and the text with which the server closed."""
        socket = self._socket = await http.signalling(SIGNALLING_PATH_1)
        await self._flush(socket, signalling)
        while True:
            try:
                async with asyncio.timeout(None if self.registered.is_set() else HELLO_SECONDS):
                    message = await socket.receive()
            except TimeoutError as error:
                raise TargetUnavailable(
                    f"the desktop did not say HELLO to leg {signalling.leg:d} within {HELLO_SECONDS:g} s",
                    "look into the desktop's log: its signalling hangs",
                ) from error
            if message.type in _ENDS:
                said = message.extra if message.type is aiohttp.WSMsgType.CLOSE else ""
                return socket.close_code, str(said or "")
            if message.type is aiohttp.WSMsgType.TEXT:
                await self._take(signalling, message.data)
                await self._flush(socket, signalling)

    async def _take(self, signalling: LegSignalling, frame: str) -> None:
        for event in signalling.receive(frame):
            match event:
                case Registered():
                    self.registered.set()
                case OfferReceived() if self.peer is None:
                    self.offered.set()
                    self.peer = await self._make_peer()
                    signalling.answer(await _answer(self.peer, repair_offer(event.sdp)))
                case CandidateReceived() if self.peer is not None:
                    await self.peer.add_candidate(event.candidate)
                case ComplaintReceived():
                    self._complain(event.text)

    @staticmethod
    async def _flush(socket: aiohttp.ClientWebSocketResponse, signalling: LegSignalling) -> None:
        for frame in signalling.pending():
            await socket.send_str(frame)

    async def close_signalling(self) -> None:
        """Close the WebSocket: the server ends the leg."""
        if self._socket is not None:
            await bounded(self._socket.close)

    async def close_media(self) -> None:
        """Close the peer connection."""
        if self.peer is not None:
            await bounded(self.peer.close)


async def _answer(peer: MediaPeer, offer: str) -> str:
    try:
        return await peer.answer(offer)
    except TargetUnavailable as error:
        if isinstance(error, ProtocolViolation):
            raise
        raise TargetUnavailable(error.cause, "set SELKIES_ENCODER=x264enc there, or another one for H.264") from error
