"""The peer's answer: what it negotiates, by which way, and that nothing of aiortc changes for others."""

from __future__ import annotations

import asyncio
import copy
import socket
import threading
from collections.abc import AsyncIterator, Callable
from queue import SimpleQueue
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from aiortc.codecs import CODECS, HEADER_EXTENSIONS

from vdibench.client.assembly import AssembledFrame
from vdibench.client.decoder import DecodedFrame, FrameDecoder
from vdibench.client.mode import Mode
from vdibench.client.peer import MediaPeer, PeerObserver
from vdibench.errors import ProtocolViolation, TargetUnavailable

CAPTURE = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
TIMING = "http://www.webrtc.org/experiments/rtp-hdrext/video-timing"


class Way:
    """A route that leads media elsewhere."""

    def __init__(self, to: dict[tuple[str, int], tuple[str, int]] | None = None, *, hides: bool = False) -> None:
        self.hides_client = hides
        self.to = to or {}
        self.asked: list[tuple[str, int]] = []
        self.sockets: list[socket.socket] = []

    async def tcp(self, host: str, port: int) -> tuple[str, int]:
        raise AssertionError("media goes by UDP")

    async def udp(self, host: str, port: int) -> tuple[str, int]:
        self.asked.append((host, port))
        return self.to.get((host, port), (host, port))

    def addresses(self) -> list[str] | None:
        return ["127.0.0.1"]

    def socket(self, family: int, kind: int) -> socket.socket:
        self.sockets.append(socket.socket(family, kind))
        return self.sockets[-1]


@pytest.fixture
async def peer() -> AsyncIterator[Callable[..., MediaPeer]]:
    made: list[MediaPeer] = []

    def make(states: list[tuple[str, str]] | None = None, opened: list[str] | None = None, **options: Any) -> MediaPeer:
        note = states if states is not None else []
        observer = PeerObserver(
            lambda _: None,
            lambda _: None,
            lambda *state: note.append(state),
            (opened if opened is not None else []).append,
            lambda _: None,
        )
        made.append(MediaPeer((), relay_only=False, observer=observer, **options))
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture
async def desktop() -> AsyncIterator[Callable[..., Any]]:
    made: list[RTCPeerConnection] = []

    async def make(*kinds: str) -> RTCPeerConnection:
        made.append(RTCPeerConnection(RTCConfiguration(iceServers=[])))
        for kind in kinds:
            if kind == "application":
                made[-1].createDataChannel("input")
            else:
                made[-1].addTransceiver(kind, "sendonly")
        await made[-1].setLocalDescription(await made[-1].createOffer())
        return made[-1]

    yield make
    for one in made:
        await one.close()


def trickling(pc: RTCPeerConnection) -> str:
    """An offer after which candidates may come."""
    return pc.localDescription.sdp.replace("a=end-of-candidates\r\n", "")


def with_extensions(offer: str) -> str:
    head, video, rest = offer.partition("m=video")
    return head + video + rest.replace("a=mid:", f"a=extmap:6 {TIMING}\r\na=extmap:9/sendonly {CAPTURE}\r\na=mid:", 1)


@pytest.mark.parametrize(
    "kinds",
    [
        ("video", "application"),
        ("audio",),
        ("application",),
        ("video",),
        ("video", "audio", "audio", "video", "application"),
    ],
    ids="-".join,
)
async def test_it_connects_to_whatever_is_offered(kinds: tuple[str, ...], peer: Any, desktop: Any) -> None:
    theirs = await desktop(*kinds)
    states: list[tuple[str, str]] = []
    opened: list[str] = []
    ours = peer(states, opened)
    answer = await ours.answer(theirs.localDescription.sdp)
    assert answer.count("\r\nm=") == len(kinds)
    await theirs.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    async with asyncio.timeout(10):
        while ("connection", "connected") not in states or ("application" in kinds) != bool(opened):  # noqa: ASYNC110  # callbacks
            await asyncio.sleep(0.01)  # a poll, with a deadline above
    assert ours.pair().local_type == "host"
    assert (ours.reception.video is not None, ours.reception.audio is not None) == ("video" in kinds, "audio" in kinds)
    assert ours.video.read().packets_received == ours.audio.read().packets_received == 0
    assert (ours.nack_count, ours.pli_count, ours.repaired_count, ours.socket_drops) == (0, 0, 0, 0)
    assert (ours.video_codec, ours.audio_codec) == ("", "")
    if "application" in kinds:
        ours.send("hello")
        await ours.request_key_frame()


async def test_instants_are_asked_for_and_estimates_are_not_promised(peer: Any, desktop: Any) -> None:
    codecs, extensions = copy.deepcopy(CODECS), copy.deepcopy(HEADER_EXTENSIONS)
    offer = (await desktop("video", "audio", "application")).localDescription.sdp
    assert "goog-remb" in offer
    ours = peer()
    answer = await ours.answer(with_extensions(offer))
    assert f"a=extmap:6 {TIMING}" in answer
    assert f"a=extmap:9 {CAPTURE}" in answer
    assert "goog-remb" not in answer
    assert "a=rtcp-fb:99 nack pli" in answer
    section = ours.reception.video.section
    assert section.extensions[TIMING] == 6
    assert section.extensions[CAPTURE] == 9
    assert section.codecs[99] == "H264"
    assert section.retransmissions[100] == 99
    assert codecs == CODECS
    assert extensions == HEADER_EXTENSIONS
    without = await peer().answer(offer)
    assert "video-timing" not in without


async def test_aiortc_starts_no_decoder_and_no_thread(peer: Any, desktop: Any) -> None:
    theirs = await desktop("video", "audio")
    states: list[tuple[str, str]] = []
    before = {thread.name for thread in threading.enumerate()}
    answer = await peer(states).answer(theirs.localDescription.sdp)
    await theirs.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    async with asyncio.timeout(10):
        while ("connection", "connected") not in states:  # noqa: ASYNC110  # a callback
            await asyncio.sleep(0.01)  # a poll, with a deadline above
    await asyncio.sleep(0.05)  # a decoder would have started by then
    assert not [n for n in {thread.name for thread in threading.enumerate()} - before if "decoder" in n]


async def test_vp8_is_received_and_decoded(desktop: Any) -> None:
    frames: asyncio.Queue[AssembledFrame] = asyncio.Queue()
    observer = PeerObserver(lambda _: None, frames.put_nowait, lambda *_: None, lambda _: None, lambda _: None)
    ours = MediaPeer((), relay_only=False, observer=observer)
    theirs = await desktop()
    sender = theirs.addTrack(VideoStreamTrack())
    theirs.getTransceivers()[0].setCodecPreferences(
        [codec for codec in sender.getCapabilities("video").codecs if codec.name in ("VP8", "rtx")]
    )
    await theirs.setLocalDescription(await theirs.createOffer())
    answer = await ours.answer(theirs.localDescription.sdp)
    await theirs.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    decoded: SimpleQueue[DecodedFrame] = SimpleQueue()
    decoder = FrameDecoder(decoded.put, lambda: None, lambda _: None)
    for index in range(3):
        frame = await asyncio.wait_for(frames.get(), 10)
        assert (frame.codec, frame.complete, frame.key) == ("vp8", True, index == 0)
        decoder.add(frame)
    decoder.close()
    assert [decoded.get().width for _ in range(3)] == [640] * 3
    assert ours.video_codec == "VP8"
    await ours.close()


@pytest.mark.parametrize("hides", [False, True])
async def test_a_route_leads_both_ways(hides: bool, peer: Any, desktop: Any) -> None:
    offer = trickling(await desktop("video", "application"))
    line = next(line for line in offer.split("\r\n") if line.startswith("a=candidate:"))
    host, port = line.split()[4], int(line.split()[5])
    way = Way({(host, port): ("127.0.0.1", 9), ("192.0.2.77", 7): ("127.0.0.2", 8)}, hides=hides)
    ours = peer(route=way, mode=Mode.METER)
    answer = await ours.answer(offer)
    assert (host, port) in way.asked
    assert ("a=candidate:" in answer) is not hides
    assert len(way.sockets) == 1
    assert way.sockets[0].getsockname()[0] == "127.0.0.1"
    await ours.add_candidate({"candidate": "candidate:1 1 UDP 1 192.0.2.77 7 typ host", "sdpMLineIndex": 0})
    remote = [(one.host, one.port) for one in ours._ice.remote_candidates]
    assert ("127.0.0.1", 9) in remote
    assert ("127.0.0.2", 8) in remote
    assert (host, port) not in remote


@pytest.mark.parametrize(
    "candidate",
    [
        {},
        {"candidate": ""},
        {"candidate": "candidate:1 1 TCP 1 192.0.2.1 7 typ host tcptype active", "sdpMLineIndex": 0},
        {"candidate": "candidate:1 1 UDP 1 192.0.2.1 99999999999 typ host", "sdpMLineIndex": 0},
        {"candidate": "candidate:1 1 UDP x 192.0.2.1 7 typ host", "sdpMLineIndex": 0},
        {"candidate": "candidate:1 1 UDP 1 nonsense 7 typ host", "sdpMLineIndex": 0},
        {"candidate": "candidate:1 1 UDP 1 192.0.2.1 7 typ nonsense", "sdpMLineIndex": 0},
        {"candidate": "candidate:1 1 UDP 1 192.0.2.1 7", "sdpMLineIndex": 0},
        {"candidate": "candidate:1 1 UDP 1 192.0.2.1 7 typ host", "sdpMLineIndex": 77},
        {"candidate": ["candidate:1 1 UDP 1 192.0.2.1 7 typ host"], "sdpMLineIndex": None},
    ],
)
async def test_candidates_that_are_none(candidate: dict[str, Any], peer: Any, desktop: Any) -> None:
    ours = peer()
    await ours.answer(trickling(await desktop("video")))
    before = list(ours._ice.remote_candidates)
    await ours.add_candidate(candidate)
    assert list(ours._ice.remote_candidates) == before


async def test_offers_that_cannot_be_answered(peer: Any, desktop: Any) -> None:
    offer = (await desktop("video")).localDescription.sdp
    other = offer.replace("H264", "H265").replace("VP8", "AV1")
    with pytest.raises(TargetUnavailable, match=r"neither H\.264 nor VP8 video \(AV1, H265\)"):
        await peer().answer(other)
    with pytest.raises(ProtocolViolation, match="cannot be answered"):
        await peer().answer("v=0\r\nm=nonsense\r\n")
