"""One WebRTC session of the replay: aiortc for SDP, ICE, DTLS, reports and the data channel; RTP past its encoder. I/O.

Private of aiortc is, of instances only: the DTLS transport's SSL connection, role and SRTP context, the nominated pair
and its socket, a transceiver's codecs, and of the sender its RTCP handler and the figures that its reports state.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import time
from typing import Any

from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription

from vdibench.replay.departures import DepartureLog
from vdibench.replay.playback import Playback
from vdibench.replay.senders import PythonSender, Sender, native_sender
from vdibench.replay.trace import Trace

__all__ = ["WebRtcReplay"]

# How often what aiortc's own sender reports say is brought up to date; it sends one every 0.5 to 1.5 s.
_STATE_SECONDS = 0.4
_HEADER_BYTES = 12
_TAG_BYTES = {False: 10, True: 16}  # of HMAC-SHA1-80 (RFC 3711) and of GCM (RFC 7714)
_NTP_EPOCH = 2_208_988_800


class _Silent(MediaStreamTrack):
    """A track that never has anything: aiortc's sender stands by and its encoder stays asleep."""

    kind = "video"

    async def recv(self) -> Any:
        await asyncio.get_running_loop().create_future()


class WebRtcReplay:
    """One client's peer connection.

    :param phase: where in a frame's interval this session's frames begin, 0 to 1.
    :param greeting: what the desktop says first on its data channel: kinds and data of messages.
    :param native: send by the native module, where it is there.
    :ivar packets: sent, ``bytes`` their RTP payload, ``refused`` those for which the socket had no room,
        ``overhead_bytes`` of a packet beside its payload.
    :ivar due: when it has something to send, on the loop's clock; infinite before and after its time.
    """

    def __init__(
        self, trace: Trace, *, phase: float, greeting: dict[str, Any], log: bool = False, native: bool = True
    ) -> None:
        self.packets = self.bytes = self.refused = self.overhead_bytes = 0
        self.due = float("inf")
        self.late = 0.0
        self.native = False
        self.departures = DepartureLog() if log else None
        self._wants_native = native
        self._trace = trace
        self._phase = phase
        self._greeting = greeting
        self._playback: Playback | None = None
        self._out: Sender | None = None
        self._udp: socket.socket | None = None
        self._stated = 0.0
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._sender: Any = self._pc.addTransceiver(_Silent(), direction="sendonly").sender
        h264 = [codec for codec in RTCRtpSender.getCapabilities("video").codecs if codec.name in ("H264", "rtx")]
        self._pc.getTransceivers()[0].setCodecPreferences(h264)
        self._channel = self._pc.createDataChannel("input")
        self._channel.on("open", self._greet)
        self._pc.on("connectionstatechange", self._state_changed)
        self._hear: Any = None
        self._listen(self._sender)

    @property
    def connected(self) -> bool:
        """Whether media can be sent."""
        return self._udp is not None

    @property
    def frames(self) -> int:
        """Frames that left until now, whole or not."""
        return self._playback.frames if self._playback is not None else 0

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
        for name, data in self._greeting.items():
            self._channel.send(json.dumps({"type": name, "data": data}))

    def _state_changed(self) -> None:
        if self._pc.connectionState != "connected":
            self._stop()
        elif self._udp is None:
            self._begin()

    def _begin(self) -> None:
        dtls = self._sender.transport
        pair = dtls.transport._connection._nominated[1]
        codecs: Any = self._pc.getTransceivers()[0]._codecs
        payload_type = next(codec.payloadType for codec in codecs if codec.name == "H264")
        udp = pair.protocol.transport.get_extra_info("socket").dup()
        udp.setblocking(False)
        where = (udp, pair.remote_addr, self._sender._ssrc, payload_type)
        out = native_sender(dtls, *where) if self._wants_native else None
        self.native = out is not None
        self._out = out or PythonSender(dtls._tx_srtp.protect, *where)
        self.overhead_bytes = _HEADER_BYTES + _TAG_BYTES[b"AEAD" in dtls._ssl.get_selected_srtp_profile()]
        self._udp = udp
        self._playback = Playback(
            self._trace,
            asyncio.get_running_loop().time(),
            phase=self._phase,
            timestamp=secrets.randbelow(1 << 32),
        )
        self.due = self._playback.due

    def _stop(self) -> None:
        self.due = float("inf")
        self._out = None
        if self._udp is not None:
            self._udp.close()
            self._udp = None

    async def _rtcp(self, packet: Any) -> None:
        if (type(packet).__name__, getattr(packet, "fmt", None)) == ("RtcpPsfbPacket", 1):
            if self._playback is not None:
                self._playback.restart()
        elif type(packet).__name__ != "RtcpRtpfbPacket":  # what is asked for again is not sent again
            await self._hear(packet)

    def send(self, now: float) -> None:
        """Send what is due."""
        playback, out = self._playback, self._out
        if playback is None or out is None:
            return
        payloads = self._trace.payloads
        late = 0.0
        try:
            while (part := playback.take(now)) is not None:
                packets, size, refused = out.send(
                    payloads[part.frame][part.begin : part.end], part.timestamp, part.ends
                )
                self.packets += packets
                self.bytes += size
                self.refused += refused
                late = max(late, playback.late)
                if part.ends and self.departures is not None:
                    self.departures.note(part.timestamp, time.time())
        except OSError:  # the client's socket is gone; signalling tells us next
            self._stop()
            return
        self.late = late
        self.due = playback.due
        if self._trace.timed and now - self._stated >= _STATE_SECONDS:
            self._state(playback)

    def _state(self, playback: Playback) -> None:
        """Have the next sender report say which instant of the RTP clock is which of the wall clock."""
        instant = asyncio.get_running_loop().time()
        self._stated = instant
        figures = self._sender.__dict__
        figures["_RTCRtpSender__ntp_timestamp"] = round((time.time() + _NTP_EPOCH) * 2**32)
        figures["_RTCRtpSender__rtp_timestamp"] = playback.timestamp_at(instant)
        figures["_RTCRtpSender__packet_count"] = self.packets
        figures["_RTCRtpSender__octet_count"] = self.bytes

    async def close(self) -> None:
        """End the peer connection."""
        self._stop()
        await self._pc.close()
