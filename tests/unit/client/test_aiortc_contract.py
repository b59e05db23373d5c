"""What we lean on inside aiortc and aioice: that it exists, and that it still behaves as it did.

When one of these fails after an upgrade, look at vdibench/client/peer.py, udp.py and reception.py before anything else.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from typing import Any

import aioice
import pytest
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import StunProtocol, TransportPolicy, server_reflexive_candidate
from aiortc import RTCConfiguration, RTCDtlsTransport, RTCIceTransportPolicy, RTCPeerConnection, RTCRtpReceiver
from aiortc.rtp import RtpPacket


@pytest.fixture
async def pair() -> AsyncIterator[tuple[RTCPeerConnection, RTCPeerConnection]]:
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


async def offered() -> RTCPeerConnection:
    """A receiver that has an offer and did not answer yet."""
    sender, receiver = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
    sender.addTransceiver("video", "sendonly")
    sender.createDataChannel("input")
    await sender.setLocalDescription(await sender.createOffer())
    await receiver.setRemoteDescription(sender.localDescription)
    await sender.close()
    return receiver


def transport(pc: RTCPeerConnection) -> Any:
    return pc.getTransceivers()[0].receiver.transport


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_the_signatures() -> None:
    assert parameters(RTCRtpReceiver.receive) == ["self", "parameters"]
    assert parameters(RTCDtlsTransport._send_rtp) == ["self", "data"]
    assert parameters(aioice.Connection.get_component_candidates) == ["self", "component", "addresses", "timeout"]
    assert parameters(aioice.Connection.data_received) == ["self", "data", "component"]
    assert parameters(StunProtocol) == ["receiver"]
    assert parameters(server_reflexive_candidate) == ["protocol", "stun_server"]
    assert parameters(candidate_foundation) == ["candidate_type", "candidate_transport", "base_address"]
    assert parameters(candidate_priority)[:2] == ["candidate_component", "candidate_type"]
    assert {policy.name for policy in TransportPolicy} == {"ALL", "RELAY"}
    assert RTCIceTransportPolicy.RELAY.value == "relay"


async def test_bundled_sections_share_the_transport_that_gathers() -> None:
    receiver = await offered()
    assert receiver.sctp is not None
    assert receiver.sctp.transport is transport(receiver)
    connection = transport(receiver).transport._connection
    assert isinstance(connection, aioice.Connection)
    assert connection._transport_policy is TransportPolicy.ALL
    assert connection._protocols == []
    assert connection.stun_server is None
    await receiver.close()


async def test_gathering_asks_the_instance_and_takes_its_word() -> None:
    receiver = await offered()
    connection = transport(receiver).transport._connection
    asked: list[tuple[int, list[str]]] = []

    async def gather(component: int, addresses: list[str], timeout: int = 5) -> list[aioice.Candidate]:  # noqa: ASYNC109  # aioice's signature
        asked.append((component, addresses))
        return [aioice.Candidate("1", component, "udp", 1, "192.0.2.1", 7, "host")]

    connection.get_component_candidates = gather
    await receiver.setLocalDescription(await receiver.createAnswer())
    ((component, addresses),) = asked
    assert component == 1
    assert addresses
    assert "192.0.2.1 7 typ host" in receiver.localDescription.sdp
    await receiver.close()


async def test_without_addresses_only_the_turn_server_is_asked() -> None:
    connection = aioice.Connection(ice_controlling=False)
    assert await connection.get_component_candidates(1, []) == []
    await connection.close()


async def test_a_protocol_needs_no_more_of_a_transport() -> None:
    """Made, told of its transport, sends by it, closes it and is told when that is done."""
    connection = aioice.Connection(ice_controlling=False)
    protocol = StunProtocol(connection)
    used: list[Any] = []

    class Transport:
        def sendto(self, data: bytes, address: tuple[str, int]) -> None:
            used.append((data, address))

        def close(self) -> None:
            used.append("close")
            asyncio.get_running_loop().call_soon(protocol.connection_lost, None)

    protocol.connection_made(Transport())
    await protocol.send_data(b"data", ("192.0.2.1", 7))
    given: list[tuple[bytes, int]] = []
    connection.data_received = lambda data, component: given.append((data, component))
    protocol.local_candidate = aioice.Candidate("1", 1, "udp", 1, "192.0.2.1", 7, "host")
    protocol.datagram_received(b"\x80 no STUN", ("192.0.2.2", 8))
    assert given == [(b"\x80 no STUN", 1)], "what a relay delivers comes by the instance"
    await protocol.close()
    assert used == [(b"data", ("192.0.2.1", 7)), "close"]
    await connection.close()


async def test_data_that_is_given_on_reaches_dtls(pair: Any) -> None:
    _, receiver = pair
    connection = transport(receiver).transport._connection
    connection.data_received(b"\x14nonsense", 1)
    async with asyncio.timeout(5):
        while connection._queue.qsize():  # noqa: ASYNC110  # the data pump is aiortc's
            await asyncio.sleep(0.01)  # a poll, with a deadline above
    assert transport(receiver).state == "connected"


async def test_what_is_negotiated_stands_in_the_transceiver() -> None:
    receiver = await offered()
    transceiver: Any = receiver.getTransceivers()[0]
    codecs = {codec.payloadType: codec for codec in transceiver._codecs}
    assert "H264" in {codec.name for codec in codecs.values()}
    for codec in codecs.values():
        if codec.name == "rtx":
            assert codec.parameters["apt"] in codecs
    assert {extension.uri.rpartition("/")[2] for extension in transceiver._headerExtensions} >= {"abs-send-time"}
    assert transceiver.sender._ssrc > 0
    for codec in codecs.values():
        codec.rtcpFeedback = [kind for kind in codec.rtcpFeedback if kind.type != "goog-remb"]
    answer = await receiver.createAnswer()
    assert "goog-remb" not in answer.sdp
    assert f"a=ssrc:{transceiver.sender._ssrc} " in answer.sdp
    await receiver.close()


async def test_keys_are_there_when_the_transport_says_connected() -> None:
    receiver = await offered()
    dtls = transport(receiver)
    assert dtls.state == "new"
    assert dtls._rx_srtp is None
    await receiver.close()


async def test_srtp_both_ways(pair: Any) -> None:
    sender, receiver = pair
    ours, theirs = transport(receiver), transport(sender)
    packet = RtpPacket(payload_type=97, sequence_number=7, timestamp=9000, ssrc=5, payload=b"hello")
    assert ours._rx_srtp.unprotect(theirs._tx_srtp.protect(packet.serialize())) == packet.serialize()
    arrived: list[bytes] = []
    theirs._rx_srtp, session = type("Tap", (), {"unprotect_rtcp": staticmethod(arrived.append)})(), theirs._rx_srtp
    report = bytes.fromhex("80c9000100000001")
    await ours._send_rtp(report)
    async with asyncio.timeout(5):
        while not arrived:  # noqa: ASYNC110  # the data pump is aiortc's
            await asyncio.sleep(0.01)  # a poll, with a deadline above
    assert session.unprotect_rtcp(arrived[0]) == report


async def test_the_nominated_pair(pair: Any) -> None:
    _, receiver = pair
    nominated = transport(receiver).transport._connection._nominated[1]
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
