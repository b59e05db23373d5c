"""Descriptions are repaired, and candidates moved or hidden, only where it is due and as often as one likes."""

from __future__ import annotations

import pytest
from aiortc.sdp import SessionDescription

from vdibench.selkies import sdp

OFFER = """v=0
o=- 7 0 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE video0 application1
m=video 9 UDP/TLS/RTP/SAVPF 97 96
c=IN IP4 0.0.0.0
a=setup:actpass
a=mid:video0
a=rtcp-mux
a=rtpmap:97 H264/90000
a=fmtp:97 profile-level-id=42e01f;packetization-mode=1
a=rtpmap:96 rtx/90000
a=fmtp:96 apt=97;rtx-time=125
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=setup:actpass
a=mid:application1
a=sctp-port:5000
""".replace("\n", "\r\n")

ANSWER = """v=0
m=video 50001 UDP/TLS/RTP/SAVPF 97
c=IN IP4 192.0.2.1
a=rtcp:9 IN IP4 0.0.0.0
a=setup:passive
a=candidate:1 1 udp 2130706431 192.0.2.1 50001 typ host
a=candidate:2 1 UDP 1694498815 198.51.100.2 50002 typ srflx raddr 192.0.2.1 rport 50001
a=candidate:3 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active
a=candidate:4 1 udp 2130706430 2001:db8::1 50003 typ host
a=end-of-candidates
m=audio 0 UDP/TLS/RTP/SAVPF 111
c=IN IP6 ::
""".replace("\n", "\r\n")

WITHOUT_PARAMETERS = OFFER.replace("a=fmtp:97 profile-level-id=42e01f;packetization-mode=1\r\n", "")


def test_the_desktop_becomes_the_dtls_client_in_every_section() -> None:
    repaired = sdp.repair_offer(OFFER)
    assert repaired == OFFER.replace("actpass", "active")


@pytest.mark.parametrize("offer", [OFFER, WITHOUT_PARAMETERS], ids=["whole", "without parameters"])
def test_a_repaired_offer_is_left_alone(offer: str) -> None:
    repaired = sdp.repair_offer(offer)
    assert sdp.repair_offer(repaired) == repaired


def test_missing_h264_parameters_are_those_of_the_stream() -> None:
    repaired = sdp.repair_offer(WITHOUT_PARAMETERS)
    (video, _) = SessionDescription.parse(repaired).media
    h264 = next(codec for codec in video.rtp.codecs if codec.name == "H264")
    assert h264.parameters["packetization-mode"] == "1"
    assert h264.parameters["profile-level-id"] == "42e01f"
    assert repaired.count("\n") == repaired.count("\r\n")  # no line of another kind


def test_parameters_of_another_payload_type_are_no_substitute() -> None:
    offer = WITHOUT_PARAMETERS.replace("a=fmtp:96", "a=fmtp:977")
    assert "a=fmtp:97 packetization-mode=1" in sdp.repair_offer(offer)


def test_a_description_may_end_with_its_codec() -> None:
    assert sdp.repair_offer("a=rtpmap:97 H264/90000").startswith("a=rtpmap:97 H264/90000\r\na=fmtp:97 ")


def test_another_codec_gets_no_parameters() -> None:
    offer = WITHOUT_PARAMETERS.replace("H264", "VP8")
    assert sdp.repair_offer(offer) == offer.replace("actpass", "active")


def test_udp_candidates_are_listed_once_each() -> None:
    assert sdp.candidate_addresses(ANSWER + ANSWER) == [
        ("192.0.2.1", 50001),
        ("198.51.100.2", 50002),
        ("2001:db8::1", 50003),
    ]


def test_only_known_candidates_move() -> None:
    moved = sdp.rewrite_candidates(ANSWER, {("192.0.2.1", 50001): ("127.0.0.1", 6), ("192.0.2.1", 9): ("x", 1)})
    assert moved == ANSWER.replace("2130706431 192.0.2.1 50001", "2130706431 127.0.0.1 6")


@pytest.mark.parametrize(
    ("candidate", "address"),
    [
        ("candidate:1 1 UDP 2015363327 10.0.0.1 40000 typ host", ("10.0.0.1", 40000)),
        ("candidate:1 1 udp 1 2001:db8::2 1 typ relay raddr :: rport 0", ("2001:db8::2", 1)),
        ("candidate:9 1 TCP 1015021823 10.0.0.1 9 typ host tcptype active", None),
        ("candidate:1 1 UDP 1 10.0.0.1", None),
        ("", None),
    ],
)
def test_one_candidate(candidate: str, address: sdp.Address | None) -> None:
    assert sdp.candidate_address(candidate) == address
    moved = sdp.rewrite_candidate(candidate, {address: ("relay.test", 7)} if address else {})
    assert sdp.candidate_address(moved) == (("relay.test", 7) if address else None)
    assert moved.split()[6:] == candidate.split()[6:]


def test_a_hidden_sender_names_no_address() -> None:
    hidden = sdp.without_candidates(ANSWER)
    assert "192.0.2.1" not in hidden
    assert "50001" not in hidden
    assert "candidate" not in hidden
    assert "m=audio 0 " in hidden  # rejected stays rejected
    assert hidden.count("\n") == ANSWER.count("\n") - 5
    assert sdp.without_candidates(hidden) == hidden
