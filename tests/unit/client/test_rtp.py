"""RTP and RTCP against aiortc's own codecs, the texts of the RFCs by hand, and against what is broken."""

from __future__ import annotations

import struct

import pytest
from aiortc import rtp as theirs
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters

from vdibench.client.rtcp import (
    ReportBlock,
    key_frame_request,
    parse_rtcp,
    receiver_report,
    resend_request,
)
from vdibench.client.rtp import (
    ABS_SEND_TIME,
    RtpError,
    absolute_send_seconds,
    capture_unix_seconds,
    extension,
    is_rtcp,
    ntp_to_unix,
    parse_header,
    payload_of,
    video_timing,
)

NTP_OF_1970 = 2_208_988_800


def packet(*, extensions: bytes = b"", profile: int = 0xBEDE, payload: bytes = b"payload", first: int = 0x80) -> bytes:
    head = struct.pack("!BBHII", first | (0x10 if extensions else 0), 0x80 | 97, 7, 9000, 5)
    if extensions:
        head += struct.pack("!HH", profile, len(extensions) // 4) + extensions
    return head + payload


def test_a_packet_of_aiortc() -> None:
    mapping = theirs.HeaderExtensionsMap()
    mapping.configure(RTCRtpParameters(headerExtensions=[RTCRtpHeaderExtensionParameters(id=3, uri=ABS_SEND_TIME)]))
    made = theirs.RtpPacket(payload_type=97, marker=1, sequence_number=65535, timestamp=2**32 - 1, ssrc=2**32 - 2)
    made.payload = b"0123456789"
    made.csrc = [1, 2, 3]
    made.extensions.abs_send_time = 0x123456
    made.padding_size = 4
    data = made.serialize(mapping)
    header = parse_header(data)
    assert header[:5] == (97, True, 65535, 2**32 - 1, 2**32 - 2)
    assert payload_of(data, header) == made.payload
    assert extension(data, header, 3) == bytes.fromhex("123456")
    assert extension(data, header, 4) is None


def test_extensions_of_both_forms_with_padding_between() -> None:
    one = packet(extensions=b"\x00\x31ab\x00\x52cde\x00\x00\x00")
    header = parse_header(one)
    assert [extension(one, header, i) for i in (3, 5, 4)] == [b"ab", b"cde", None]
    two = packet(extensions=b"\x03\x02ab\x00\x20\x03cde\x21\x00", profile=0x1000)
    header = parse_header(two)
    assert [extension(two, header, i) for i in (3, 0x20, 0x21, 9)] == [b"ab", b"cde", b"", None]
    assert payload_of(two, header) == b"payload"


@pytest.mark.parametrize(
    "elements",
    [b"\x3fab\x00", b"\x3f\x00\x00\x00", b"\xf0\x00\x31a", b"\x00\x00\x00\x3f"],
    ids=["longer than all", "only its length", "reserved 15 ends it", "at the end"],
)
def test_broken_elements_are_no_extension(elements: bytes) -> None:
    data = packet(extensions=elements)
    assert extension(data, parse_header(data), 3) is None


def test_another_profile_has_no_elements() -> None:
    data = packet(extensions=b"\x31ab\x00", profile=0x2000)
    assert extension(data, parse_header(data), 3) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        packet()[:11],
        packet(first=0x40),
        packet(first=0x8F)[:20],
        packet(extensions=b"\x00" * 8)[:14],
        packet(extensions=b"\x00" * 8)[:20],
    ],
    ids=["nothing", "short", "version 1", "sources cut off", "extension header cut off", "extension cut off"],
)
def test_no_rtp(data: bytes) -> None:
    with pytest.raises(RtpError):
        parse_header(data)


@pytest.mark.parametrize("payload", [b"", b"ab\x00", b"ab\x04"], ids=["no count", "zero", "too long"])
def test_padding_that_does_not_fit(payload: bytes) -> None:
    data = packet(first=0xA0, payload=payload)
    with pytest.raises(RtpError):
        payload_of(data, parse_header(data))


def test_padding_alone_is_an_empty_payload() -> None:
    data = packet(first=0xA0, payload=b"\x00\x00\x03")
    assert payload_of(data, parse_header(data)) == b""


def test_instants() -> None:
    ntp = (NTP_OF_1970 + 1_700_000_000 << 32) | 0x8000_0000
    assert ntp_to_unix(ntp) == 1_700_000_000.5
    assert capture_unix_seconds(ntp.to_bytes(8, "big")) == 1_700_000_000.5
    assert capture_unix_seconds(ntp.to_bytes(8, "big") + bytes(8)) == 1_700_000_000.5
    assert capture_unix_seconds(bytes(7)) is None
    timing = video_timing(struct.pack("!B6H", 1, 2, 9, 10, 11, 0, 0))
    assert timing is not None
    assert timing == (0.002, 0.009, 0.010, 0.011)
    assert video_timing(struct.pack("!B6H", 255, 2, 9, 10, 11, 0, 0)) is None
    assert video_timing(bytes(12)) is None


@pytest.mark.parametrize("sent", [1_700_000_000.0, 1_700_000_031.75, 1_700_000_063.99])
@pytest.mark.parametrize("away", [-20.0, 0.0, 31.0])
def test_the_sending_instant_is_the_nearest(sent: float, away: float) -> None:
    value = (int((sent + NTP_OF_1970) * 2**18) & 0xFFFFFF).to_bytes(3, "big")
    assert absolute_send_seconds(value, sent + away) == pytest.approx(sent, abs=1e-5)
    assert absolute_send_seconds(b"ab", sent) is None


def test_which_is_rtcp() -> None:
    assert is_rtcp(key_frame_request(1, 2))
    assert is_rtcp(receiver_report(1, []))
    assert not is_rtcp(packet())
    assert not is_rtcp(b"\x80")


# RTCP


def test_a_sender_report_of_aiortc() -> None:
    info = theirs.RtcpSenderInfo(ntp_timestamp=2**64 - 5, rtp_timestamp=77, packet_count=3, octet_count=4)
    data = bytes(theirs.RtcpSdesPacket()) + bytes(theirs.RtcpSrPacket(ssrc=9, sender_info=info))
    (report,) = parse_rtcp(data)
    assert report == (9, 2**64 - 5, 77, 3, 4)
    assert report.middle == 0xFFFFFFFF


@pytest.mark.parametrize("cut", range(1, 28))
def test_a_report_cut_off(cut: int) -> None:
    info = theirs.RtcpSenderInfo(ntp_timestamp=1, rtp_timestamp=77, packet_count=3, octet_count=4)
    with pytest.raises(RtpError):
        parse_rtcp(bytes(theirs.RtcpSrPacket(ssrc=9, sender_info=info))[:cut])


def test_a_report_that_lies_about_its_length() -> None:
    with pytest.raises(RtpError):
        parse_rtcp(b"\x80\xc8\x00\x01" + bytes(4))
    with pytest.raises(RtpError):
        parse_rtcp(b"\x00\xc8\x00\x06" + bytes(24))


def test_a_report_that_aiortc_reads() -> None:
    block = ReportBlock(5, 300, -3, 2**32 + 1, 7, 8, 2**33)
    (read,) = theirs.RtcpPacket.parse(receiver_report(1, [block, block._replace(ssrc=6, cumulative_lost=2**30)]))
    assert isinstance(read, theirs.RtcpRrPacket)
    assert [(one.ssrc, one.packets_lost, one.highest_sequence) for one in read.reports] == [
        (5, -3, 1),
        (6, 2**23 - 1, 1),
    ]
    assert (read.reports[0].fraction_lost, read.reports[0].jitter, read.reports[0].lsr) == (300 & 0xFF, 7, 8)


@pytest.mark.parametrize(
    "lost",
    [[1], [1, 2, 17], [1, 18], [65535, 0, 14, 15], list(range(65000, 65536)) + list(range(600)), [5, 5]],
)
def test_a_request_that_aiortc_reads(lost: list[int]) -> None:
    (read,) = theirs.RtcpPacket.parse(resend_request(1, 2, lost))
    assert isinstance(read, theirs.RtcpRtpfbPacket)
    assert (read.fmt, read.ssrc, read.media_ssrc) == (theirs.RTCP_RTPFB_NACK, 1, 2)
    assert read.lost == list(dict.fromkeys(lost))
    (picture,) = theirs.RtcpPacket.parse(key_frame_request(1, 2))
    assert isinstance(picture, theirs.RtcpPsfbPacket)
    assert (picture.fmt, picture.ssrc, picture.media_ssrc) == (theirs.RTCP_PSFB_PLI, 1, 2)
