"""Reception from SRTP packets to frames and back to RTCP, in each mode, with real keys."""

from __future__ import annotations

import asyncio
import random
import struct
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from aiortc import rtp as theirs

from vdibench.client.assembly import AssembledFrame
from vdibench.client.mode import Mode
from vdibench.client.reception import MediaReception
from vdibench.client.rtp import ABS_CAPTURE_TIME, VIDEO_TIMING
from vdibench.client.streams import MediaSection

sys.path.insert(0, str(Path(__file__).parent))

from srtp import Sender, Transport

VIDEO, RTX, AUDIO = 97, 98, 111
OWN = 42
SECTION = MediaSection(OWN, {VIDEO: "H264"}, {RTX: VIDEO}, {ABS_CAPTURE_TIME: 9, VIDEO_TIMING: 6})
TICKS = 1500


class Heard:
    """A reception and everything that it said."""

    def __init__(self, mode: Mode, transport: Transport | None = None, *, listen: bool = False) -> None:
        self.frames: list[AssembledFrame] = []
        self.first: list[float] = []
        self.audio: list[tuple[bytes, int, float]] = []
        self.transport = transport or Transport()
        hear = (lambda *packet: self.audio.append(packet)) if listen else None
        self.reception = MediaReception(mode, self.frames.append, self.first.append, hear)
        self.reception.start(self.transport, SECTION, MediaSection(OWN, {AUDIO: "opus"}))

    def give(self, packets: list[bytes], arrival: float = 1000.0, step: float = 1e-3) -> None:
        for index, packet in enumerate(packets):
            self.reception.datagram(packet, arrival + index * step)

    @property
    def video(self) -> Any:
        assert self.reception.video is not None
        return self.reception.video

    async def sent(self, kind: type[Any]) -> list[Any]:
        """RTCP of one kind that went out."""
        await asyncio.sleep(0)  # the task that sends begins
        await asyncio.sleep(0)  # and ends
        return [found for data in self.transport.sent for found in theirs.RtcpPacket.parse(data) if type(found) is kind]


def frames(
    sender: Sender, count: int, packets: int = 4, *, begin: int = 0, keys: tuple[int, ...] = (0,)
) -> list[bytes]:
    return [
        packet
        for index in range(begin, begin + count)
        for packet in sender.frame(index * TICKS, packets, key=index in keys)
    ]


@pytest.fixture
async def heard() -> Any:
    made: list[Heard] = []

    def make(mode: Mode, transport: Transport | None = None, *, listen: bool = False) -> Heard:
        made.append(Heard(mode, transport, listen=listen))
        return made[-1]

    yield make
    for one in made:
        one.reception.close()


@pytest.mark.parametrize("mode", list(Mode))
async def test_every_frame_is_counted(mode: Mode, heard: Any) -> None:
    one = heard(mode)
    one.give(frames(Sender(7, VIDEO), 5), step=0.001)
    assert [frame.packets for frame in one.frames] == [4] * 5
    assert all(frame.complete for frame in one.frames)
    assert [frame.timestamp for frame in one.frames] == [TICKS * index for index in range(5)]
    assert [frame.first_arrival_unix_seconds for frame in one.frames] == pytest.approx(
        [1000 + 0.004 * index for index in range(5)]
    )
    assert [frame.arrival_unix_seconds for frame in one.frames] == pytest.approx(
        [1000.003 + 0.004 * index for index in range(5)]
    )
    assert one.first == [1000.0]
    assert one.video.codec == "H264"
    reading = one.video.meter.read()
    assert (reading.packets_received, reading.packets_lost) == (20, 0)
    assert sum(frame.size_bytes for frame in one.frames) == reading.bytes_received
    everything = mode in {Mode.DEPACKETISE, Mode.DECODE}
    known = [index for index, frame in enumerate(one.frames) if frame.decodable]
    assert known == ([0, 1, 2, 3, 4] if everything else [0] if mode is Mode.SAMPLED else [])
    assert [index for index, frame in enumerate(one.frames) if frame.key] == ([] if mode is Mode.METER else [0])
    for index, frame in enumerate(one.frames):
        begin = b"\x00\x00\x00\x01" + bytes([0x65 if index == 0 else 0x61])
        whole = begin + b"".join(b"\x88" + f"{frame.timestamp}.{part};".encode() for part in range(4))
        assert frame.data == (whole if index in known else b"")
    assert one.reception.refused_count == 0
    assert one.video.pli_count == one.video.nack_count == 0


@pytest.mark.parametrize("seed", range(15))
async def test_what_the_headers_say_is_what_decrypting_says(seed: int, heard: Any) -> None:
    """Random loss, repair, duplicates and disorder: each mode counts and times alike."""
    chance = random.Random(seed)
    sender, again = Sender(7, VIDEO, sequence=65_400), Sender(8, RTX, sequence=9)
    packets: list[tuple[float, bytes]] = []
    for index in range(150):
        for part, packet in enumerate(sender.frame(index * TICKS, chance.randint(1, 9), key=index % 60 == 0)):
            due = index / 60 + part * 1e-3
            (sequence,) = struct.unpack_from("!H", packet, 2)
            fate = chance.random()
            if fate > 0.04 or (index, part) == (0, 0):
                packets.append((due + (0.02 if fate > 0.98 else 0), packet))
            elif fate > 0.01:
                head = bytes([0x7C, 0x01, 0x88])  # what it held does not matter
                marker = bool(packet[1] & 0x80)
                osn = sequence.to_bytes(2, "big")
                packets.append((due + 0.05, again.packet(index * TICKS, osn + head + b"again", marker=marker)))
            if chance.random() < 0.03:
                packets.append((due + 0.03, packet))
    packets.sort(key=lambda item: item[0])
    found = {}
    for mode in (Mode.METER, Mode.SAMPLED, Mode.DEPACKETISE):
        one = heard(mode)
        for due, packet in packets:
            one.reception.datagram(packet, 1000 + due)
        reading = one.video.meter.read()
        found[mode] = (
            (reading.packets_received, reading.packets_lost, round(reading.jitter_seconds, 9)),
            one.video.repaired_count,
            one.video.nack_count,
            [
                (f.timestamp, f.packets, f.complete, f.first_arrival_unix_seconds, f.arrival_unix_seconds)
                for f in one.frames
            ],
        )
    assert found[Mode.METER][0][1] > 0
    assert found[Mode.METER][1] > 0
    assert found[Mode.METER][:3] == found[Mode.SAMPLED][:3] == found[Mode.DEPACKETISE][:3]
    # Where several packets in a row are gone for good, headers do not tell whether what follows opens a frame.
    whole, headers = found[Mode.DEPACKETISE][3], found[Mode.METER][3]
    assert headers == found[Mode.SAMPLED][3]
    assert [f[:2] for f in headers] == [f[:2] for f in whole]
    different = [(a, b) for a, b in zip(headers, whole, strict=True) if a != b]
    assert len(different) <= 1
    assert all((a[2], b[2]) == (False, True) for a, b in different)


async def test_a_forged_source_is_not_believed(heard: Any) -> None:
    for mode in Mode:
        one = heard(mode)
        one.give(frames(Sender(7, VIDEO), 2))
        one.give(frames(Sender(666, VIDEO, key=bytes(30)), 2))
        one.give(frames(Sender(666, RTX, key=bytes(30)), 2))
        one.give([b"\x80", b"\x80\x61", b"\x80\xc8", b"\x80" * 3000, b"\x80\xe1" + bytes(2000)])
        assert one.video.ssrc == 7
        assert len(one.frames) == 2
        assert one.video.meter.read().packets_received == 8
        assert one.reception.refused_count >= 16


@pytest.mark.parametrize("mode", [Mode.METER, Mode.SAMPLED])
async def test_the_roll_over_counter_stays_right_without_decrypting(mode: Mode, heard: Any) -> None:
    """Two rounds of the sequence, most of it never decrypted, then a key frame that must be."""
    one = heard(mode)
    sender = Sender(7, VIDEO, sequence=60_000)
    for index in range(9000):
        one.give(sender.frame(index * TICKS, 16))
    one.video.sample()
    one.give(frames(sender, 3, begin=9000, keys=(9001,)))
    assert one.reception.refused_count == 0
    assert one.video.meter.read().packets_received == 9000 * 16 + 12
    assert one.video.meter.read().packets_lost == 0
    assert all(frame.complete for frame in one.frames)
    assert [frame.timestamp for frame in one.frames if frame.key] == ([9001 * TICKS] if mode is Mode.SAMPLED else [])


async def test_media_may_overtake_the_end_of_the_handshake(heard: Any) -> None:
    one = heard(Mode.DECODE, Transport("connecting"))
    one.give(frames(Sender(7, VIDEO), 2))
    assert one.frames == []
    one.transport.connect()
    assert [frame.decodable for frame in one.frames] == [True, True]
    assert one.first == [1000.0]


async def test_a_hole_is_asked_for_and_repaired(heard: Any) -> None:
    one = heard(Mode.DECODE)
    sender, again = Sender(7, VIDEO), Sender(8, RTX)
    packets = frames(sender, 3)
    one.give([packet for index, packet in enumerate(packets) if index not in (5, 6)])
    (request,) = await one.sent(theirs.RtcpRtpfbPacket)
    assert (request.ssrc, request.media_ssrc, request.lost) == (OWN, 7, [5, 6])
    assert len(one.frames) == 1
    clear = Sender(7, VIDEO)
    for lost in (5, 6):
        part = lost - 4
        head = bytes([0x7C, 0x01, 0x88]) + f"{TICKS}.{part};".encode()
        one.reception.datagram(again.packet(TICKS, lost.to_bytes(2, "big") + head), 1000.05)
    assert [frame.decodable for frame in one.frames] == [True] * 3
    assert b"1500.1;\x881500.2;\x881500.3;" in one.frames[1].data
    assert one.frames[1].arrival_unix_seconds == 1000.05
    assert one.video.repaired_count == 2
    assert one.video.meter.read().packets_lost == 2, "they did not arrive as first sent"
    one.reception.datagram(again.packet(TICKS, b"\x00\x05" + bytes(9)), 1000.06)
    one.reception.datagram(again.packet(TICKS, b"", padding=9), 1000.06)
    assert one.video.repaired_count == 2
    assert clear.sequence == 0


async def test_no_answer_is_asked_for_again_but_not_for_ever(heard: Any) -> None:
    one = heard(Mode.METER)
    packets = frames(Sender(7, VIDEO), 2)
    now = asyncio.get_running_loop().time
    begin = now()
    one.give(packets[:5] + packets[6:], time.time())
    await asyncio.sleep(0.5)  # its requests are made by time
    requests = await one.sent(theirs.RtcpRtpfbPacket)
    assert 2 <= len(requests) == one.video.nack_count <= 8
    assert all(request.lost == [5] for request in requests)
    await asyncio.sleep(0.2)  # long enough for one more request, had it come
    assert len(await one.sent(theirs.RtcpRtpfbPacket)) == len(requests)
    assert now() - begin < 5


async def test_reports(heard: Any) -> None:
    one = heard(Mode.METER)
    sender, sound = Sender(7, VIDEO, sequence=65_530), Sender(9, AUDIO)
    packets = frames(sender, 5)
    one.give(packets[:9] + packets[10:])
    one.give([sound.packet(index * 960, b"opus") for index in (0, 1)])
    info = theirs.RtcpSenderInfo(ntp_timestamp=0x0123456789ABCDEF, rtp_timestamp=0, packet_count=0, octet_count=0)
    one.reception.datagram(sender.control(bytes(theirs.RtcpSrPacket(ssrc=7, sender_info=info))), 1000.0)
    one.reception._report()
    (report,) = await one.sent(theirs.RtcpRrPacket)
    assert report.ssrc == OWN
    blocks = {block.ssrc: block for block in report.reports}
    assert blocks[7].packets_lost == 1
    assert blocks[7].fraction_lost == 256 // 20
    assert blocks[7].highest_sequence == 65_530 + 19
    assert blocks[7].lsr == 0x456789AB
    assert blocks[9].lsr == blocks[9].packets_lost == 0
    one.reception._report()
    assert (await one.sent(theirs.RtcpRrPacket))[-1].reports[0].fraction_lost == 0


async def test_what_the_desktop_says_of_its_instants(heard: Any) -> None:
    for mode in (Mode.METER, Mode.DECODE):
        one = heard(mode)
        sender = Sender(7, VIDEO)
        ntp = (2_208_988_800 + 1_700_000_000) << 32
        capture = b"\x97" + ntp.to_bytes(8, "big")
        timing = b"\x6c" + struct.pack("!B6H", 1, 2, 9, 10, 11, 0, 0)
        one.give(
            [
                sender.packet(0, b"\x65\x88a", extensions=capture),
                sender.packet(0, b"\x65\x08b", extensions=timing, marker=True),
                sender.packet(TICKS, b"\x61\x88c", marker=True),
            ]
        )
        first, second = (frame.timing for frame in one.frames)
        assert first.capture_unix_seconds == 1_700_000_000
        assert first.encoded_unix_seconds == pytest.approx(1_700_000_000.009)
        assert first.sent_unix_seconds == pytest.approx(1_700_000_000.011)
        assert second.capture_unix_seconds == pytest.approx(1_700_000_000 + 1 / 60)
        assert second.encoded_unix_seconds != second.encoded_unix_seconds


@pytest.mark.parametrize("mode", list(Mode))
async def test_padding_only_keeps_the_sequence_whole(mode: Mode, heard: Any) -> None:
    one = heard(mode)
    sender = Sender(7, VIDEO)
    packets = [*sender.frame(0, 3, key=True), *[sender.packet(0, b"", padding=200) for _ in range(3)]]
    one.give([*packets, *sender.frame(TICKS, 3)])
    assert [(frame.packets, frame.complete) for frame in one.frames] == [(3, True), (3, True)]
    assert one.video.nack_count == 0
    assert one.video.meter.read().bytes_received == sum(frame.size_bytes for frame in one.frames)


async def test_audio_is_counted_and_heard_where_somebody_listens(heard: Any) -> None:
    for listen in (False, True):
        one = heard(Mode.DECODE, listen=listen)
        sound = Sender(9, AUDIO)
        packets = [sound.packet(index * 960, b"opus %d" % index) for index in range(10)]
        one.give([*packets[:4], packets[5], packets[5], *packets[6:]])
        assert one.reception.audio is not None
        assert one.reception.audio.codec == "opus"
        reading = one.reception.audio.meter.read()
        assert (reading.packets_received, reading.packets_lost) == (9, 1)
        assert [packet[:2] for packet in one.audio] == (
            [(b"opus %d" % index, index * 960) for index in range(10) if index != 4] if listen else []
        )


async def test_sampling_decrypts_a_key_frame_when_it_comes(heard: Any) -> None:
    one = heard(Mode.SAMPLED)
    hurried: list[bool] = []
    one.reception.hurry = hurried.append
    sender = Sender(7, VIDEO)
    one.give(frames(sender, 10, keys=(0, 5)))
    assert [frame.timestamp for frame in one.frames if frame.decodable] == [0], "the second was not asked for"
    one.reception._sample()
    (request,) = await one.sent(theirs.RtcpPsfbPacket)
    assert (request.ssrc, request.media_ssrc) == (OWN, 7)
    one.give(frames(sender, 10, begin=10, keys=(13, 16)))
    assert [frame.timestamp for frame in one.frames if frame.decodable] == [0, 13 * TICKS]
    assert hurried == [False, True, False]
    assert one.video.pli_count == 1


async def test_a_torn_frame_asks_for_a_key_frame_once(heard: Any) -> None:
    for mode in (Mode.METER, Mode.DECODE):
        one = heard(mode)
        sender = Sender(7, VIDEO)
        packets = frames(sender, 60)
        one.give(packets[:41] + packets[42:], step=0.004)
        await asyncio.sleep(0)  # the task that sends begins
        assert [index for index, frame in enumerate(one.frames) if not frame.complete] == [10]
        assert one.video.pli_count == 1


async def test_after_closing_nothing_happens(heard: Any) -> None:
    one = heard(Mode.DECODE)
    packets = frames(Sender(7, VIDEO), 2)
    one.give(packets[:4])
    one.reception.close()
    one.give(packets[4:])
    one.video.request_key_frame()
    await asyncio.sleep(0)  # a task that sent would begin
    assert len(one.frames) == 1
    assert one.transport.sent == []
