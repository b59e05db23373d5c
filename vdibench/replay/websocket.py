"""One WebSocket session of the replay: ``selkies-2-websocket`` as its owner's page sees it, frames of a trace. I/O.

Each frame is one message, sent in one piece when its last packet left in the recording. Nothing waits for a client that
does not read: what would pile up beyond a limit is left out and counted as refused.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import struct
import time
from typing import Any

from aiohttp import WSMsgType, web

from vdibench.replay.departures import DepartureLog
from vdibench.replay.playback import Playback
from vdibench.replay.trace import Trace

__all__ = ["TOO_FAST", "WebSocketReplay"]

TOO_FAST = 4029
"""Selkies' close code for a connection too soon after another one from the same address."""

# What may wait for a client, four seconds at 8 Mbit/s; Selkies holds frames back long before.
LIMIT_BYTES = 4 << 20
# The transport never tells its writer to pause: LIMIT_BYTES is what holds.
_NEVER_BYTES = 1 << 30
_HEADER = struct.Struct(">BBHHHHH")
_VIDEO, _H264 = 0x04, 0x10
_MASK = 0xFFFF
# Selkies answers requests of the display's owner four times a second.
_ASKED_SECONDS = 0.25


class WebSocketReplay:
    """One client's socket, already prepared.

    :param phase: where in a frame's interval this session's frames begin, 0 to 1.
    :param greeting: what the desktop says once the client has said its settings: kinds and data of messages.
    :ivar packets: messages with video that were sent, ``bytes`` what was in them, ``refused`` those that were left
        out, ``frames`` both together.
    :ivar due: when it has something to send, on the loop's clock; infinite before and after its time.
    """

    native = False
    overhead_bytes = 0

    def __init__(
        self,
        trace: Trace,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        *,
        phase: float,
        greeting: dict[str, Any],
        log: bool = False,
    ) -> None:
        self.packets = self.bytes = self.refused = self.frames = 0
        self.due = float("inf")
        self.late = 0.0
        self.departures = DepartureLog() if log else None
        self._trace = trace
        self._socket = socket
        self._transport = transport
        self._phase = phase
        self._greeting = greeting
        self._playback: Playback | None = None
        self._identifier = 0
        self._restarted = 0.0
        transport.set_write_buffer_limits(high=_NEVER_BYTES)

    @property
    def connected(self) -> bool:
        """Whether video is sent."""
        return self._playback is not None and not self._socket.closed

    async def converse(self) -> None:
        """Greet, obey, until the client leaves."""
        socket, came = self._socket, self._trace.provenance
        layout = {"x": 0, "y": 0, "w": came.width, "h": came.height}
        roster = {"type": "display_config_update", "displays": ["primary"], "layouts": {"primary": layout}}
        settings = {
            "encoder": {"value": "h264enc"},
            "framerate": {"value": [8, 240], "default": came.framerate},
            "video_bitrate": {"value": [100, 1_000_000], "default": came.bitrate_bps // 1000},
        }
        await socket.send_str("MODE websockets")
        await socket.send_str(f"DISPLAY_CONFIG_UPDATE,{json.dumps(roster)}")
        await socket.send_str(json.dumps({"type": "server_settings", "settings": settings}))
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._obey(message.data)
        finally:
            self._stop()

    async def _obey(self, text: str) -> None:
        verb = text.partition(",")[0]
        if verb in ("SETTINGS", "START_VIDEO"):
            await self._begin()
        elif verb == "STOP_VIDEO":
            self._stop()
            await self._socket.send_str("VIDEO_STOPPED")
        elif verb == "REQUEST_KEYFRAME":
            self._restart()

    async def _begin(self) -> None:
        if self._playback is not None:
            await self._socket.send_str("PIPELINE_RESETTING primary")
            self._restart()
            return
        came = self._trace.provenance
        size = {"type": "stream_resolution", "width": came.width, "height": came.height, "displayId": "primary"}
        await self._socket.send_str(json.dumps(size))
        for name, data in self._greeting.items():
            await self._socket.send_str(json.dumps({"type": name, **data}))
        self._playback = Playback(self._trace, asyncio.get_running_loop().time(), phase=self._phase, whole=True)
        # Selkies counts from 0 here. Elsewhere in each session, a log of departures is that of one session.
        self._identifier = secrets.randbelow(1 << 16)
        self.due = self._playback.due

    def _restart(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._playback is not None and now - self._restarted >= _ASKED_SECONDS:
            self._restarted = now
            self._playback.restart()

    def _stop(self) -> None:
        self._playback = None
        self.due = float("inf")

    async def send(self, now: float) -> None:
        """Send what is due; never waits."""
        playback = self._playback
        if playback is None:
            return
        late = 0.0
        while (part := playback.take(now)) is not None:
            late = max(late, playback.late)
            await self._send(part.frame)
        self.late = late
        self.due = playback.due

    async def _send(self, number: int) -> None:
        frame, came = self._trace.frames[number], self._trace.provenance
        identifier = self._identifier & _MASK
        self._identifier += 1
        self.frames += 1
        # A key frame refers to itself. One after a frame that was left out would refer to what never came.
        refers = identifier if frame.key else (identifier - 1) & _MASK
        header = _HEADER.pack(_VIDEO, _H264 | frame.key, identifier, 0, came.width & _MASK, came.height & _MASK, refers)
        if self._transport.get_write_buffer_size() > LIMIT_BYTES:
            self.refused += 1
            return
        try:
            await self._socket.send_bytes(header + frame.access_unit)
        except (ConnectionError, RuntimeError):  # it is closing, and its reader is about to say so
            self._stop()
            return
        self.packets += 1
        self.bytes += len(header) + len(frame.access_unit)
        if self.departures is not None and not self._transport.get_write_buffer_size():
            self.departures.note(identifier, time.time())

    async def close(self) -> None:
        """End it as Selkies ends its sessions when it stops."""
        self._stop()
        await self._socket.close(code=4000, message=b"server shutdown")
