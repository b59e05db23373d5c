"""What we lean on inside aiortc and aioice: that it exists, and that it still behaves as it did.

When one of these fails after an upgrade, look at vdibench/client/peer.py before anything else.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCIceTransportPolicy, RTCPeerConnection
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtcrtpreceiver import RTCRtpReceiver
from aiortc.rtp import RtpPacket

BUFFER = "_RTCRtpReceiver__jitter_buffer"


@pytest.fixture
async def pair() -> Any:
    """A sender of video and a receiver of it, connected."""
    sender, receiver = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
    sender.addTransceiver("video", "sendonly")
    sender.createDataChannel("input")
    await sender.setLocalDescription(await sender.createOffer())
    await receiver.setRemoteDescription(sender.localDescription)
    await receiver.setLocalDescription(await receiver.createAnswer())
    connected = asyncio.Event()
    receiver.on("connectionstatechange", lambda: receiver.connectionState == "connected" and connected.set())
    await sender.setRemoteDescription(receiver.localDescription)
    await asyncio.wait_for(connected.wait(), 10)
    yield sender, receiver
    await sender.close()
    await receiver.close()


def packet(receiver: RTCPeerConnection, payload: bytes = b"\x41\x9a\x00\x00") -> RtpPacket:
    codecs = receiver.getTransceivers()[0].receiver._RTCRtpReceiver__codecs
    payload_type = next(number for number, codec in codecs.items() if codec.name == "H264")
    found = RtpPacket(payload_type=payload_type, sequence_number=7, timestamp=9000, ssrc=5, marker=1)
    found.payload = payload
    return found


def test_the_signatures() -> None:
    assert list(inspect.signature(RTCRtpReceiver._handle_rtp_packet).parameters) == [
        "self",
        "packet",
        "arrival_time_ms",
    ]
    assert list(inspect.signature(RTCRtpReceiver._send_rtcp_nack).parameters) == ["self", "media_ssrc", "lost"]
    assert list(inspect.signature(RTCRtpReceiver._send_rtcp_pli).parameters) == ["self", "media_ssrc"]
    assert list(inspect.signature(JitterBuffer.add).parameters) == ["self", "packet"]
    assert RTCIceTransportPolicy.RELAY.value == "relay"


async def test_an_attribute_of_the_instance_is_what_the_transport_calls(pair: Any) -> None:
    """Packets from the wire go through a handler that was put on the instance, with the arrival time by its name."""
    sender, receiver = pair
    target = receiver.getTransceivers()[0].receiver
    arrived: asyncio.Queue[tuple[Any, int]] = asyncio.Queue()

    async def handle(packet: Any, arrival_time_ms: int) -> None:
        arrived.put_nowait((packet, arrival_time_ms))

    target._handle_rtp_packet = handle
    sent = packet(receiver)
    sent.extensions.mid = "0"
    extensions = sender.getTransceivers()[0].sender._RTCRtpSender__rtp_header_extensions_map
    await sender.getTransceivers()[0].sender.transport._send_rtp(sent.serialize(extensions))
    got, _ = await asyncio.wait_for(arrived.get(), 5)
    assert (got.sequence_number, got.timestamp, got.marker, got.ssrc) == (7, 9000, 1, 5)
    assert got.payload == sent.payload


async def test_the_buffer_gets_depayloaded_packets_and_its_answer_is_obeyed(pair: Any) -> None:
    _, receiver = pair
    target = receiver.getTransceivers()[0].receiver
    assert type(getattr(target, BUFFER)) is JitterBuffer
    taken: list[Any] = []
    plis: list[int] = []

    class Buffer:
        def add(self, packet: Any) -> tuple[bool, None]:
            taken.append(packet)
            return len(taken) == 1, None

    async def send_pli(media_ssrc: int) -> None:
        plis.append(media_ssrc)

    setattr(target, BUFFER, Buffer())
    target._send_rtcp_pli = send_pli
    first, second = packet(receiver), packet(receiver, b"")
    second.sequence_number = 8
    await target._handle_rtp_packet(first, arrival_time_ms=1)
    assert taken[0]._data == b"\x00\x00\x00\x01" + first.payload
    assert plis == [5], "True in the buffer's answer sends one PLI"
    await target._handle_rtp_packet(second, arrival_time_ms=2)
    assert taken[1]._data == b""
    assert plis == [5]


async def test_a_gap_asks_for_retransmission_through_the_instance(pair: Any) -> None:
    _, receiver = pair
    target = receiver.getTransceivers()[0].receiver
    asked: list[tuple[int, list[int]]] = []

    async def send_nack(media_ssrc: int, lost: list[int]) -> None:
        asked.append((media_ssrc, lost))

    target._send_rtcp_nack = send_nack
    for sequence in (7, 10):
        arriving = packet(receiver)
        arriving.sequence_number = sequence
        await target._handle_rtp_packet(arriving, arrival_time_ms=1)
    assert asked == [(5, [8, 9])]


async def test_the_nominated_pair(pair: Any) -> None:
    _, receiver = pair
    connection = receiver.getTransceivers()[0].receiver.transport.transport._connection
    nominated = connection._nominated[1]
    for candidate in (nominated.local_candidate, nominated.remote_candidate):
        assert candidate.type == "host"
        assert candidate.port > 0
        assert candidate.host


async def test_an_incoming_channel_is_open_when_it_is_announced() -> None:
    sender, receiver = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
    announced: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    receiver.on("datachannel", lambda channel: announced.put_nowait((channel.label, channel.readyState)))
    sender.createDataChannel("input")
    await sender.setLocalDescription(await sender.createOffer())
    await receiver.setRemoteDescription(sender.localDescription)
    await receiver.setLocalDescription(await receiver.createAnswer())
    await sender.setRemoteDescription(receiver.localDescription)
    assert await asyncio.wait_for(announced.get(), 10) == ("input", "open")
    await sender.close()
    await receiver.close()
