"""The WebRTC peer of one session: aiortc for ICE, DTLS, SDP and data channels; reception of media is our own.

Three private attributes of aiortc's receiver are used, each on the instance and never on the class, so that other
users of aiortc in the process see nothing: its packet handler is wrapped (arrival times, counters), its jitter buffer
is replaced (frames complete on the marker bit, audio is counted and not decoded), its feedback is counted.
``tests/unit/client/test_aiortc_contract.py`` fails when a release of aiortc changes them.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.sdp import candidate_from_sdp

from vdibench.client.assembly import AssembledFrame, FrameAssembler, MediaPacket
from vdibench.client.connection import CandidatePair
from vdibench.client.h264 import is_key, opens_access_unit
from vdibench.client.meter import StreamMeter
from vdibench.errors import ProtocolViolation, TargetUnavailable
from vdibench.selkies import IceServer, candidate_address

__all__ = ["MediaPeer", "PeerObserver"]

_VIDEO_CLOCK, _AUDIO_CLOCK = 90_000, 48_000


@dataclass(frozen=True, slots=True)
class PeerObserver:
    """What the session wants to hear; all called in the event loop.

    :param first_packet: instant at which the first video packet was read.
    :param frame: each assembled video frame.
    :param state: ``iceConnectionState`` and ``connectionState`` changes, as (kind, state).
    :param channel_open: label of a data channel that opened.
    :param message: payload of a data channel message.
    """

    first_packet: Callable[[float], None]
    frame: Callable[[AssembledFrame], None]
    state: Callable[[str, str], None]
    channel_open: Callable[[str], None]
    message: Callable[[str | bytes], None]


class MediaPeer:
    """One peer connection, answering the desktop's offer.

    :param servers: STUN and TURN servers; aiortc uses the first of each.
    :param relay_only: use no path but a TURN relay.
    """

    def __init__(self, servers: tuple[IceServer, ...], *, relay_only: bool, observer: PeerObserver) -> None:
        self._observer = observer
        self._pc = RTCPeerConnection(
            RTCConfiguration(
                iceServers=[
                    RTCIceServer(urls=server.url, username=server.username, credential=server.credential)
                    if server.is_turn
                    else RTCIceServer(urls=server.url)
                    for server in servers
                ],
                iceTransportPolicy=RTCIceTransportPolicy.RELAY if relay_only else RTCIceTransportPolicy.ALL,
            )
        )
        self._channels: dict[str, RTCDataChannel] = {}
        self._assembler = FrameAssembler(observer.frame)
        self._video_receiver: Any = None
        self._video_ssrc: int | None = None
        self.video = StreamMeter(_VIDEO_CLOCK)
        self.audio = StreamMeter(_AUDIO_CLOCK)
        self.nack_count = 0
        self.pli_count = 0
        self.video_codec = ""
        self.audio_codec = ""
        self._pc.add_listener("iceconnectionstatechange", self._ice_state)
        self._pc.add_listener("connectionstatechange", self._connection_state)
        self._pc.add_listener("datachannel", self._add_channel)

    def _ice_state(self) -> None:
        self._observer.state("ice", self._pc.iceConnectionState)

    def _connection_state(self) -> None:
        self._observer.state("connection", self._pc.connectionState)

    def _add_channel(self, channel: RTCDataChannel) -> None:
        # An incoming channel of aiortc is open when it is announced.
        self._channels[channel.label] = channel
        channel.add_listener("message", self._observer.message)
        self._observer.channel_open(channel.label)

    async def answer(self, offer: str) -> str:
        """Take the offer, tap its media and return our answer's SDP.

        :raises TargetUnavailable: no H.264 in it.
        :raises ProtocolViolation: not an offer that can be answered.
        """
        codecs = _video_codecs(offer)
        if codecs and "H264" not in codecs:
            raise TargetUnavailable(
                f"the desktop offers no H.264 video ({', '.join(codecs)})", "set SELKIES_ENCODER=h264enc there"
            )
        work = asyncio.get_running_loop().create_task(self._answer(offer))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            # A cancelled aioice leaves its queries to STUN and TURN running: gathering ends by itself in 5 s at most.
            await asyncio.wait({work})
            raise
        except Exception as error:  # aiortc checks an SDP with assertions, index and value errors alike
            raise ProtocolViolation(
                f"the desktop's offer cannot be answered ({type(error).__name__}: {error})",
                "look into the desktop's log, and check its version",
            ) from error

    async def _answer(self, offer: str) -> str:
        await self._pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        retransmissions = {int(number) for number in re.findall(r"^a=rtpmap:(\d+) rtx/", offer, re.MULTILINE)}
        names = dict(re.findall(r"^a=rtpmap:(\d+) ([^\s/]+)/", offer, re.MULTILINE))
        tapped: set[str] = set()
        for transceiver in self._pc.getTransceivers():
            # The first video and audio sections are the desktop's; later ones would take our camera and microphone.
            if transceiver.kind in tapped:
                continue
            tapped.add(transceiver.kind)
            if transceiver.kind == "video":
                self._tap_video(transceiver.receiver, retransmissions, names)
            else:
                self._tap_audio(transceiver.receiver, names)
        await self._pc.setLocalDescription(await self._pc.createAnswer())
        return str(self._pc.localDescription.sdp)

    async def add_candidate(self, candidate: dict[str, Any]) -> None:
        """Take a trickled candidate (W3C ``RTCIceCandidateInit``); what is none of ours to use is passed over."""
        text = str(candidate.get("candidate", ""))
        if candidate_address(text) is None:
            return
        try:
            parsed = candidate_from_sdp(text.partition(":")[2])
        except (AssertionError, IndexError, ValueError):
            return
        index = candidate.get("sdpMLineIndex")
        parsed.sdpMLineIndex = index if isinstance(index, int) else 0
        await self._pc.addIceCandidate(parsed)

    def _tap_video(self, receiver: Any, retransmissions: set[int], names: dict[str, str]) -> None:
        self._video_receiver = receiver
        handle, nack, pli = receiver._handle_rtp_packet, receiver._send_rtcp_nack, receiver._send_rtcp_pli

        async def handle_rtp_packet(packet: Any, arrival_time_ms: int) -> None:
            now = time.time()
            if packet.payload_type not in retransmissions:
                if self._video_ssrc is None:
                    self._observer.first_packet(now)
                if packet.ssrc != self._video_ssrc:
                    self._video_ssrc = packet.ssrc
                    self.video_codec = names.get(str(packet.payload_type), "")
                self.video.add(packet.ssrc, packet.sequence_number, packet.timestamp, len(packet.payload), now)
            await handle(packet, arrival_time_ms=arrival_time_ms)

        async def send_nack(media_ssrc: int, lost: list[int]) -> None:
            self.nack_count += 1
            await nack(media_ssrc, lost)

        async def send_pli(media_ssrc: int) -> None:
            self.pli_count += 1
            await pli(media_ssrc)

        receiver._handle_rtp_packet = handle_rtp_packet
        receiver._send_rtcp_nack = send_nack
        receiver._send_rtcp_pli = send_pli
        receiver._RTCRtpReceiver__jitter_buffer = _AssemblyBuffer(self._assembler)

    def _tap_audio(self, receiver: Any, names: dict[str, str]) -> None:
        handle = receiver._handle_rtp_packet

        async def handle_rtp_packet(packet: Any, arrival_time_ms: int) -> None:
            self.audio_codec = names.get(str(packet.payload_type), "")
            self.audio.add(packet.ssrc, packet.sequence_number, packet.timestamp, len(packet.payload), time.time())
            await handle(packet, arrival_time_ms=arrival_time_ms)

        receiver._handle_rtp_packet = handle_rtp_packet
        receiver._RTCRtpReceiver__jitter_buffer = _NoBuffer()

    def send(self, text: str, channel: str = "input") -> None:
        """Send a control verb.

        :raises ConnectionError: the channel is not open.
        """
        target = self._channels.get(channel)
        if target is None or target.readyState != "open":
            raise ConnectionError(f"data channel {channel!r} is not open")
        target.send(text)

    async def request_key_frame(self) -> None:
        """Ask for an IDR picture by PLI (RFC 4585 §6.3.1)."""
        if self._video_receiver is not None and self._video_ssrc is not None:
            await self._video_receiver._send_rtcp_pli(self._video_ssrc)

    def pair(self) -> CandidatePair | None:
        """The nominated pair of the media transport, once ICE has one."""
        if self._video_receiver is None:
            return None
        nominated = self._video_receiver.transport.transport._connection._nominated.get(1)
        if nominated is None:
            return None
        local, remote = nominated.local_candidate, nominated.remote_candidate
        return CandidatePair(local.type, f"{local.host}:{local.port}", remote.type, f"{remote.host}:{remote.port}")

    async def close(self) -> None:
        """Close the peer connection."""
        await self._pc.close()


def _video_codecs(offer: str) -> list[str]:
    """Codec names of the first video section, in its order, without those that only protect or repeat."""
    section = offer.partition("\nm=video")[2].partition("\nm=")[0]
    names = dict.fromkeys(re.findall(r"^a=rtpmap:\d+ ([^\s/]+)/", section, re.MULTILINE))
    return [name for name in names if name.lower() not in {"rtx", "red", "ulpfec", "flexfec-03"}]


class _AssemblyBuffer:
    """Stands where aiortc keeps its jitter buffer: same call, frames go to our assembler."""

    def __init__(self, assembler: FrameAssembler) -> None:
        self._assembler = assembler

    def add(self, packet: Any) -> tuple[bool, None]:
        payload = packet.payload
        wants_key = self._assembler.add(
            MediaPacket(
                sequence=packet.sequence_number,
                timestamp=packet.timestamp,
                marker=bool(packet.marker),
                arrival_unix_seconds=time.time(),
                payload=packet._data,
                size_bytes=len(payload),
                key=is_key(payload),
                opens=opens_access_unit(payload),
            )
        )
        return wants_key, None


class _NoBuffer:
    """Drops media after it was counted: nothing is decoded."""

    def add(self, packet: Any) -> tuple[bool, None]:
        return False, None
