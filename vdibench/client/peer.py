"""The WebRTC peer of one session: aiortc for ICE, DTLS, SDP and data channels; sockets and media are our own.

What is private of aiortc and aioice is used on instances and never on classes, so that other users of them in the
process see nothing. Of a transceiver: its codecs, header extensions and source, and its receiver's ``receive`` is
silenced, which would start a decoder. Of the transports: see :mod:`vdibench.client.udp` and
:mod:`vdibench.client.reception`. ``tests/unit/client/test_aiortc_contract.py`` fails when a release changes any of it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCRtpHeaderExtensionParameters,
    RTCSessionDescription,
)
from aiortc.sdp import candidate_from_sdp

from vdibench.client.assembly import AssembledFrame
from vdibench.client.connection import CandidatePair, Counters
from vdibench.client.meter import StreamMeter
from vdibench.client.mode import Mode
from vdibench.client.native import native_module, receiver_name
from vdibench.client.payload import DECODERS
from vdibench.client.reception import MediaReception
from vdibench.client.route import Route
from vdibench.client.rtp import ABS_CAPTURE_TIME, VIDEO_TIMING
from vdibench.client.streams import MediaSection
from vdibench.client.udp import HostSockets
from vdibench.errors import ProtocolViolation, TargetUnavailable
from vdibench.selkies import (
    IceServer,
    candidate_address,
    candidate_addresses,
    rewrite_candidate,
    rewrite_candidates,
    without_candidates,
)

__all__ = ["MediaPeer", "PeerObserver"]

_PROTECTION = {"rtx", "red", "ulpfec", "flexfec-03"}
# What a desktop says of its frames' instants; it sends only what was negotiated, and aiortc asks for neither.
_WANTED = {"video": (ABS_CAPTURE_TIME, VIDEO_TIMING), "audio": ()}
# Estimates that we would have to make, and do not: a desktop that waits for them would slow down.
_UNKEPT_FEEDBACK = {"goog-remb", "transport-cc"}
_VIDEO_CLOCK, _AUDIO_CLOCK = 90_000, 48_000


@dataclass(frozen=True, slots=True)
class PeerObserver:
    """What the session wants to hear; all called in the event loop.

    :param first_packet: instant at which the first video packet arrived.
    :param frame: each assembled video frame.
    :param state: ``iceConnectionState`` and ``connectionState`` changes, as (kind, state).
    :param channel_open: label of a data channel that opened.
    :param message: payload of a data channel message.
    :param audio: each audio payload, its RTP time stamp (48 kHz) and its arrival, in the modes that decrypt everything.
    """

    first_packet: Callable[[float], None]
    frame: Callable[[AssembledFrame], None]
    state: Callable[[str, str], None]
    channel_open: Callable[[str], None]
    message: Callable[[str | bytes], None]
    audio: Callable[[bytes, int, float], None] | None = None


class MediaPeer:
    """One peer connection, answering the desktop's offer.

    :param servers: STUN and TURN servers; aiortc uses the first of each.
    :param relay_only: use no path but a TURN relay.
    :param route: the way of the packets; None for the direct one.
    :param mode: how much of the video is looked at.
    :param native: whether the native receiver reads; None for where it is there.
    :param authenticate: decrypt every video packet in the modes that do not.
    :raises UsageError: the native receiver is wanted and not there.
    """

    def __init__(
        self,
        servers: tuple[IceServer, ...],
        *,
        relay_only: bool,
        observer: PeerObserver,
        route: Route | None = None,
        mode: Mode = Mode.DECODE,
        native: bool | None = None,
        authenticate: bool = False,
    ) -> None:
        module = native_module(native) if mode in {Mode.METER, Mode.SAMPLED} else None
        if authenticate and module is not None and not module.HAS_SRTP:
            module = None
        self.receiver = receiver_name(module)
        """What reads the sockets: ``native 0.1.0``, or ``python``."""
        self._observer = observer
        self._route = route
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
        listener = observer.audio if mode in {Mode.DEPACKETISE, Mode.DECODE} else None
        self.reception = MediaReception(
            mode, observer.frame, observer.first_packet, listener, native=module, authenticate=authenticate
        )
        self._patient = mode is Mode.METER
        if mode is Mode.SAMPLED:
            self.reception.hurry = self._hurry
        self._sockets: list[HostSockets] = []
        self._ice: Any = None
        self._pair: CandidatePair | None = None
        self._pc.add_listener("iceconnectionstatechange", self._ice_state)
        self._pc.add_listener("connectionstatechange", self._connection_state)
        self._pc.add_listener("datachannel", self._add_channel)
        self._unheard = StreamMeter(_VIDEO_CLOCK), StreamMeter(_AUDIO_CLOCK)

    def _hurry(self, hurried: bool) -> None:
        self._patient = not hurried
        for sockets in self._sockets:
            sockets.set_patient(self._patient)

    def _ice_state(self) -> None:
        self._observer.state("ice", self._pc.iceConnectionState)

    def _connection_state(self) -> None:
        self._observer.state("connection", self._pc.connectionState)

    def _add_channel(self, channel: RTCDataChannel) -> None:
        # An incoming channel of aiortc is open when it is announced.
        self._channels[channel.label] = channel
        channel.add_listener("message", self._observer.message)
        self._observer.channel_open(channel.label)

    # connecting

    async def answer(self, offer: str) -> str:
        """Take the offer, which may have video, audio and data in any combination, and return our answer's SDP.

        :raises TargetUnavailable: video in it, but no H.264 and no VP8.
        :raises ProtocolViolation: not an offer that can be answered.
        """
        codecs = _video_codecs(offer)
        if codecs and not set(codecs) & set(DECODERS):
            raise TargetUnavailable(
                f"the desktop offers neither H.264 nor VP8 video ({', '.join(codecs)})",
                "set SELKIES_ENCODER=h264enc there",
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
        if self._route is not None:
            offer = rewrite_candidates(
                offer, {address: await self._route.udp(*address) for address in candidate_addresses(offer)}
            )
        await self._pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        sections: dict[str, MediaSection] = {}
        dtls: Any = None
        transceivers: list[Any] = self._pc.getTransceivers()
        for transceiver in transceivers:
            transceiver.receiver.receive = _receive_nothing
            # The first video and audio sections are the desktop's; later ones would take our camera and microphone.
            if transceiver.kind not in sections:
                sections[transceiver.kind] = _negotiate(transceiver, offer)
                dtls = dtls or transceiver.receiver.transport
        if dtls is None and self._pc.sctp is not None:
            dtls = self._pc.sctp.transport
        if dtls is not None:
            self._ice = dtls.transport._connection
            self.reception.start(dtls, sections.get("video"), sections.get("audio"))
        for connection in self._connections(transceivers):
            self._sockets.append(
                HostSockets(
                    connection,
                    self.reception.datagram,
                    self._route,
                    patient=self._patient,
                    adder=self.reception if self.reception.native is not None else None,
                )
            )
        await self._pc.setLocalDescription(await self._pc.createAnswer())
        answer = str(self._pc.localDescription.sdp)
        return without_candidates(answer) if self._route is not None and self._route.hides_client else answer

    def _connections(self, transceivers: list[Any]) -> list[Any]:
        """The ICE connections behind the sections; one where they are bundled."""
        transports = [transceiver.receiver.transport for transceiver in transceivers]
        if self._pc.sctp is not None:
            transports.append(self._pc.sctp.transport)
        return list(dict.fromkeys(transport.transport._connection for transport in transports))

    async def add_candidate(self, candidate: dict[str, Any]) -> None:
        """Take a trickled candidate (W3C ``RTCIceCandidateInit``); what is none of ours to use is passed over."""
        text = str(candidate.get("candidate", ""))
        address = candidate_address(text)
        if address is None:
            return
        if self._route is not None:
            text = rewrite_candidate(text, {address: await self._route.udp(*address)})
        try:
            parsed = candidate_from_sdp(text.partition(":")[2])
        except (AssertionError, IndexError, ValueError):
            return
        index = candidate.get("sdpMLineIndex")
        parsed.sdpMLineIndex = index if isinstance(index, int) else 0
        await self._pc.addIceCandidate(parsed)

    # what is known of it

    @property
    def video(self) -> StreamMeter:
        """Counters of the video stream as first sent."""
        return self.reception.video.meter if self.reception.video is not None else self._unheard[0]

    @property
    def audio(self) -> StreamMeter:
        """Counters of the audio stream."""
        return self.reception.audio.meter if self.reception.audio is not None else self._unheard[1]

    @property
    def video_codec(self) -> str:
        """Name as in SDP; empty before the first packet."""
        return self.reception.video.codec if self.reception.video is not None else ""

    @property
    def audio_codec(self) -> str:
        """Name as in SDP; empty before the first packet."""
        return self.reception.audio.codec if self.reception.audio is not None else ""

    @property
    def nack_count(self) -> int:
        """Requests for lost packets that were sent."""
        return self.reception.video.nack_count if self.reception.video is not None else 0

    @property
    def pli_count(self) -> int:
        """Requests for key frames that were sent, those of the sampling included."""
        return self.reception.video.pli_count if self.reception.video is not None else 0

    @property
    def repaired_count(self) -> int:
        """Lost packets that came when they were sent again."""
        return self.reception.video.repaired_count if self.reception.video is not None else 0

    @property
    def socket_drops(self) -> int:
        """Datagrams that this host's kernel threw away because a socket's buffer was full."""
        return sum(sockets.drops for sockets in self._sockets)

    def read(self) -> Counters:
        """The counters of both streams now; those of a stream that is not there are 0."""
        video, audio = self.video.read(), self.audio.read()
        return Counters(
            packets_received=video.packets_received,
            packets_lost=video.packets_lost,
            bytes_received=video.bytes_received,
            jitter_seconds=video.jitter_seconds,
            nack_count=self.nack_count,
            pli_count=self.pli_count,
            audio_packets_received=audio.packets_received,
            audio_packets_lost=audio.packets_lost,
            socket_drops=self.socket_drops,
        )

    def pair(self) -> CandidatePair | None:
        """The nominated pair of the media transport, once ICE has one; the last one, when it has closed."""
        nominated = self._ice._nominated.get(1) if self._ice is not None else None
        if nominated is None:
            return self._pair
        here, there = nominated.local_candidate, nominated.remote_candidate
        self._pair = CandidatePair(here.type, f"{here.host}:{here.port}", there.type, f"{there.host}:{there.port}")
        return self._pair

    # talking back

    def send(self, text: str, channel: str = "input") -> None:
        """Send a control verb.

        :raises ConnectionError: the channel is not open.
        """
        target = self._channels.get(channel)
        if target is None or target.readyState != "open":
            raise ConnectionError(f"data channel {channel!r} is not open")
        target.send(text)

    async def request_key_frame(self) -> None:
        """Ask for a key frame by PLI (RFC 4585 §6.3.1)."""
        if self.reception.video is not None:
            self.reception.video.request_key_frame()

    async def close(self) -> None:
        """Close the peer connection."""
        self.reception.close()
        await self._pc.close()


async def _receive_nothing(_: Any) -> None:
    """In the place of a receiver's ``receive``: it would start a thread that decodes, and tasks that report."""


def _negotiate(transceiver: Any, offer: str) -> MediaSection:
    """Ask for the extensions that we want, for no feedback that we do not give; return what is agreed."""
    section = offer.partition(f"\nm={transceiver.kind}")[2].partition("\nm=")[0]
    offered = re.findall(r"^a=extmap:(\d+)(?:/\w+)? (\S+)", section, re.MULTILINE)
    agreed = {extension.uri for extension in transceiver._headerExtensions}
    for identifier, uri in offered:
        if uri in _WANTED[transceiver.kind] and uri not in agreed:
            transceiver._headerExtensions.append(RTCRtpHeaderExtensionParameters(id=int(identifier), uri=uri))
    codecs: dict[int, str] = {}
    retransmissions: dict[int, int] = {}
    for codec in transceiver._codecs:
        codec.rtcpFeedback = [kind for kind in codec.rtcpFeedback if kind.type not in _UNKEPT_FEEDBACK]
        if codec.name.lower() == "rtx":
            retransmissions[codec.payloadType] = int(codec.parameters["apt"])
        else:
            codecs[codec.payloadType] = codec.name
    return MediaSection(
        ssrc=transceiver.sender._ssrc,
        codecs=codecs,
        retransmissions=retransmissions,
        extensions={extension.uri: extension.id for extension in transceiver._headerExtensions},
    )


def _video_codecs(offer: str) -> list[str]:
    """Codec names of the first video section, in its order, without those that only protect or repeat."""
    section = offer.partition("\nm=video")[2].partition("\nm=")[0]
    names = dict.fromkeys(re.findall(r"^a=rtpmap:\d+ ([^\s/]+)/", section, re.MULTILINE))
    return [name for name in names if name.lower() not in _PROTECTION]
