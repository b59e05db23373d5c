"""One session of the source: aiortc for SDP, ICE, DTLS and the data channel; canned RTP past its encoder. I/O.

Three private attributes of aiortc are read (the transport's SRTP context, the nominated pair and its socket); a packet
costs one encryption and one system call, so that one process can feed many clients.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import struct
from typing import Any

from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription

from vdibench.selftest.canned import CannedStream

__all__ = ["SourceSession"]

_CLOCK_RATE = 90_000
# A frame leaves over half of its interval, as a pacer sends it.
_SPREAD = 0.5
# Behind by more than this, what is late is skipped: a burst to catch up would measure itself.
_SKIP_SECONDS = 0.25
_HEADER = struct.Struct("!BBHII")
_GREETING = (
    ("server_settings", {"settings": {"encoder": {"value": "h264enc"}}}),
    ("system", {"action": 'auth_success,{"role": "controller", "slot": null}'}),
    ("stream_info", {"info": {"encoder": "canned", "hardware": False, "codec": "h264"}}),
)


class _Silent(MediaStreamTrack):
    """A track that never has anything: aiortc's sender stands by and its encoder stays asleep."""

    kind = "video"

    async def recv(self) -> Any:
        await asyncio.get_running_loop().create_future()


class SourceSession:
    """One client's peer connection.

    :param phase: where in a frame's interval this session's frames begin, 0 to 1.
    :ivar packets: sent, ``bytes`` their RTP payload, ``refused`` those for which the socket had no room,
        ``overhead_bytes`` of a packet beside its payload.
    """

    def __init__(self, stream: CannedStream, *, phase: float) -> None:
        self.packets = self.bytes = self.refused = self.overhead_bytes = 0
        self._stream = stream
        self._phase = phase
        self._period = 1 / stream.framerate
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._sender: Any = self._pc.addTransceiver(_Silent(), direction="sendonly").sender
        h264 = [codec for codec in RTCRtpSender.getCapabilities("video").codecs if codec.name in ("H264", "rtx")]
        self._pc.getTransceivers()[0].setCodecPreferences(h264)
        self._channel = self._pc.createDataChannel("input")
        self._channel.on("open", self._greet)
        self._pc.on("connectionstatechange", self._state_changed)
        self._hear: Any = None
        self._listen(self._sender)
        self._protect: Any = None
        self._socket: socket.socket | None = None
        self._address: tuple[str, int] = ("", 0)
        self._due = 0.0
        self._frame = 0
        self._packet = 0
        self._sequence = secrets.randbelow(1 << 16)
        self._timestamp = secrets.randbelow(1 << 32)
        self._payload_type = 0
        self._restart = False

    @property
    def connected(self) -> bool:
        """Whether media can be sent."""
        return self._socket is not None

    def _listen(self, sender: Any) -> None:
        self._hear, sender._handle_rtcp_packet = sender._handle_rtcp_packet, self._rtcp

    async def offer(self) -> str:
        """The offer, all candidates inside."""
        await self._pc.setLocalDescription(await self._pc.createOffer())
        return str(self._pc.localDescription.sdp)

    async def take_answer(self, sdp: str) -> None:
        """Take the client's answer."""
        await self._pc.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    def _greet(self) -> None:
        for name, data in _GREETING:
            self._channel.send(json.dumps({"type": name, "data": data}))

    def _state_changed(self) -> None:
        if self._pc.connectionState != "connected":
            if self._socket is not None:
                self._socket.close()
                self._socket = None
            return
        transport = self._sender.transport
        pair = transport.transport._connection._nominated[1]
        codecs: Any = self._pc.getTransceivers()[0]._codecs
        self._payload_type = next(codec.payloadType for codec in codecs if codec.name == "H264")
        self._protect = transport._tx_srtp.protect
        self._address = pair.remote_addr
        self._due = asyncio.get_running_loop().time() + self._phase * self._period
        self._socket = pair.protocol.transport.get_extra_info("socket").dup()
        self._socket.setblocking(False)

    async def _rtcp(self, packet: Any) -> None:
        if (type(packet).__name__, getattr(packet, "fmt", None)) == ("RtcpPsfbPacket", 1):
            self._restart = True
        elif type(packet).__name__ != "RtcpRtpfbPacket":
            await self._hear(packet)

    def send_due(self, now: float) -> float:
        """Send what is due; returns by how many seconds it was late."""
        if self._socket is None or now < self._due:
            return 0.0
        late = now - self._due
        if late > _SKIP_SECONDS:
            skipped = int(late / self._period)
            self._due += skipped * self._period  # time stamps follow: the client sees a gap, not a burst
            self._timestamp = (self._timestamp + round(skipped * _CLOCK_RATE * self._period)) & 0xFFFFFFFF
        while self._send_frame(now) and now >= self._due:
            pass
        return late

    def _send_frame(self, now: float) -> bool:
        """Send what is due of the frame in hand; whether all of it has left."""
        payloads = self._stream.frames[self._frame]
        step = _SPREAD * self._period / len(payloads)
        while self._packet < len(payloads):
            if self._due + self._packet * step > now:
                return False
            self._send(payloads[self._packet], marker=self._packet == len(payloads) - 1)
            self._packet += 1
        self._next_frame()
        return True

    def _next_frame(self) -> None:
        self._frame = 0 if self._restart else (self._frame + 1) % len(self._stream.frames)
        self._restart = False
        self._packet = 0
        self._due += self._period
        self._timestamp = (self._timestamp + round(_CLOCK_RATE * self._period)) & 0xFFFFFFFF

    def _send(self, payload: bytes, *, marker: bool) -> None:
        if self._socket is None:
            return  # the client went away in the middle of a frame
        kind = self._payload_type | (0x80 if marker else 0)
        header = _HEADER.pack(0x80, kind, self._sequence, self._timestamp, self._sender._ssrc)
        self._sequence = (self._sequence + 1) & 0xFFFF
        packet = self._protect(header + payload)
        self.overhead_bytes = len(packet) - len(payload)
        try:
            self._socket.sendto(packet, self._address)
        except BlockingIOError:
            self.refused += 1
        except OSError:  # the client's socket is gone; signalling tells us next
            self._socket.close()
            self._socket = None
        else:
            self.packets += 1
            self.bytes += len(payload)

    async def close(self) -> None:
        """End the peer connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        await self._pc.close()
