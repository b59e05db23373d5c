"""The video stream of a peer connection, packet by packet. No I/O: what is to be sent goes to ``send``.

Where headers are enough, packets in the middle of a frame are only added up: by the native receiver's lane, where there
is one, which is armed at the very places where adding up would begin here, and also between frames while nothing is
missing. The sums are the same.
"""

from __future__ import annotations

import asyncio
import math
import struct
import time
from collections.abc import Callable

from vdibench.client.assembly import AssembledFrame, FrameAssembler, MediaPacket
from vdibench.client.meter import StreamMeter
from vdibench.client.mode import Mode
from vdibench.client.nack import Retransmissions
from vdibench.client.native import Lane, Run
from vdibench.client.payload import DECODERS, PayloadPart, depacketise
from vdibench.client.rtcp import key_frame_request, resend_request
from vdibench.client.rtp import (
    ABS_CAPTURE_TIME,
    ABS_SEND_TIME,
    VIDEO_TIMING,
    RtpError,
    RtpHeader,
    capture_unix_seconds,
    extension,
    parse_header,
    payload_of,
    video_timing,
)
from vdibench.client.streams import CHECK_EVERY, MediaSection, MediaStream, Unprotect
from vdibench.client.timing import FrameClock

__all__ = ["VideoStream"]

_MASK = 0xFFFF
_VIDEO_CLOCK = 90_000
_SHORTEST_WAIT_SECONDS = 0.002

_NOTHING, _OPENS = PayloadPart(b"", False, False), PayloadPart(b"", False, True)
_FIXED = struct.Struct("!BBHII").unpack_from


class _Run:
    """Packets in the middle of a frame, in order, that are only added up.

    :ivar sequence: of the next one; negative when there is nothing to go on with.
    """

    __slots__ = ("arrival_unix_seconds", "packets", "sequence", "size_bytes")

    def __init__(self) -> None:
        self.sequence = -1
        self.packets = self.size_bytes = 0
        self.arrival_unix_seconds = 0.0


class VideoStream(MediaStream):
    """The desktop's picture.

    :param emit: called with each frame in order.
    :param send: sends an RTCP packet.
    :param first_packet: called once, with the arrival of the first packet.
    :param authenticate: decrypt every packet where the mode does not: forged ones count for nothing, and key frames
        are known.
    """

    def __init__(
        self,
        section: MediaSection,
        mode: Mode,
        unprotect: Unprotect,
        emit: Callable[[AssembledFrame], None],
        send: Callable[[bytes], None],
        first_packet: Callable[[float], None],
        *,
        authenticate: bool = False,
    ) -> None:
        super().__init__(section, unprotect)
        self._meter = StreamMeter(_VIDEO_CLOCK)
        self.clock = FrameClock(_VIDEO_CLOCK)
        self.nack_count = 0
        self.pli_count = 0
        self.repaired_count = 0
        self._send = send
        self._first_packet: Callable[[float], None] | None = first_packet
        self._decrypts = mode in {Mode.DEPACKETISE, Mode.DECODE}
        self._samples = mode is Mode.SAMPLED
        self._checks = authenticate and not self._decrypts
        self._lane: Lane | None = None
        self._assembler = FrameAssembler(emit, self.clock.frame, headers_only=not self._decrypts)
        self._gaps = Retransmissions()
        self._timestamp = -1
        self._hunting = False
        self._sampled = -1
        self._again: asyncio.TimerHandle | None = None
        self._run = _Run()
        self._capture = section.extensions.get(ABS_CAPTURE_TIME, 0)
        self._timing = section.extensions.get(VIDEO_TIMING, 0)
        self._sending = section.extensions.get(ABS_SEND_TIME, 0)

    @property
    def meter(self) -> StreamMeter:
        """Counters of what was first sent."""
        self._account()
        if self._lane is not None and (more := self._lane.sum()) is not None:
            self.take_run(more)
        return self._meter

    def continues(self, packet: bytes, arrival: float) -> bool:
        """Take the next packet of a frame that is only counted; False when it is anything else. Not to be called where
        every packet is authenticated.

        Most packets are neither the first nor the last of a frame, and nothing in them is looked at: they are added up
        and accounted for with the next packet that is different. This halves the cost of a header-only stream.
        """
        run = self._run
        if run.sequence < 0 or len(packet) < 16:
            return False
        first, second, sequence, timestamp, ssrc = _FIXED(packet)
        if (
            sequence != run.sequence
            or timestamp != self._timestamp
            or second != self._payload_type
            or ssrc != self.ssrc
            or first & 0xEF != 0x80
            or (sequence - self._checked) & _MASK >= CHECK_EVERY
        ):
            return False
        size = len(packet) - self._overhead - (12 if first == 0x80 else 16 + 4 * (packet[14] << 8 | packet[15]))
        if size <= 0:
            return False
        run.sequence = (sequence + 1) & _MASK
        run.packets += 1
        run.size_bytes += size
        run.arrival_unix_seconds = arrival
        return True

    def arm(self, lane: Lane) -> None:
        """Let the native receiver add up what follows, where nothing but adding up is left to be done."""
        run, gaps = self._run, self._gaps
        if self._lane is not None or self.ssrc < 0:
            return
        whole, opened = not self._hunting and not gaps.hole and self._assembler.intact, run.sequence >= 0
        sequence = run.sequence if opened else gaps.next
        if not opened and not (whole and self._assembler.stands((sequence - 1) & _MASK)):
            return
        run.sequence = -1
        self._lane = lane
        lane.arm(
            sequence,
            self._timestamp,
            self.ssrc,
            self._payload_type,
            self._overhead,
            self._checked,
            opened,
            whole,
            self._sampled,
            self.codec,
        )

    def disarm(self, lane: Lane) -> None:
        """Take what the lane added up, if it is the one that was armed."""
        if self._lane is lane:
            self._end_run()

    def take_run(self, run: Run) -> None:
        """Account for what a lane added up."""
        if self._run.packets:
            self._account()
        (sequence, timestamp, packets, size, first_size, first, last, begins, ends, head, tail, key) = run
        if sequence != self._gaps.next:
            self._take_apart(run)
            return
        self._gaps.passed(packets)
        if begins:
            self._timestamp = timestamp
            self._meter.add_frame(timestamp, packets, size, first)
            if head:
                self._read_times(head, parse_header(head))
        else:
            self._meter.add_more(packets, size)
        if tail and not (begins and packets == 1):
            self._read_times(tail, parse_header(tail))
        self._assembler.add_run(timestamp, packets, size, first_size, (first, last), begins=begins, ends=ends, key=key)

    def _take_apart(self, run: Run) -> None:
        """Take what a lane added up packet by packet: it is not what comes next. Another socket of the session was read
        in the same round, and heard first.

        Of packets between the first and the last nobody knows size and arrival: they have the mean, and the last one's.
        """
        self._end_run()
        (begin, timestamp, packets, size, first_size, first, last, _, ends, head, tail, key) = run
        share, more = divmod(size - first_size, max(1, packets - 1))
        for number in range(packets):
            sequence, marker = (begin + number) & _MASK, ends and number == packets - 1
            arrival = first if number == 0 else last
            own = first_size if number == 0 else share + (number <= more)
            if not self._gaps.arrived(sequence, arrival):
                continue
            self._meter.add(self.ssrc, sequence, timestamp, own, arrival)
            self._timestamp = timestamp
            for known in (head,) * (number == 0) + (tail,) * marker:
                if known:
                    self._read_times(known, parse_header(known))
            self._assemble(MediaPacket(sequence, timestamp, marker, arrival, b"", own, key, False))
            if self._gaps.hole:
                self._ask_again(arrival)

    def _end_run(self) -> None:
        """Account for what was added up, here and by a lane, and add up no more."""
        self._account()
        self._run.sequence = -1
        if self._lane is not None:
            lane, self._lane = self._lane, None
            more = lane.disarm()
            if more is not None:
                self.take_run(more)

    def _account(self) -> None:
        """Account for what was added up here."""
        run = self._run
        if run.packets:
            self._gaps.passed(run.packets)
            self._meter.add_more(run.packets, run.size_bytes)
            self._assembler.add_more(run.packets, run.size_bytes, run.arrival_unix_seconds)
            run.packets = run.size_bytes = 0

    def take(self, packet: bytes, header: RtpHeader, arrival: float) -> None:
        """One packet as first sent."""
        self._end_run()
        payload_type, marker, sequence, timestamp, ssrc, begin, extensions, _, padded = header
        clear: bytes | None = None
        payload, opens = b"", False
        if ssrc != self.ssrc:
            clear = self._adopt(packet, header)
            if clear is None:
                return
            opens = True
            self._gaps = Retransmissions()
            self._hunting = self._samples
            if self._first_packet is not None:
                self._first_packet(arrival)
                self._first_packet = None
        elif self._decrypts or self._checks or padded or (sequence - self._checked) & _MASK >= CHECK_EVERY:
            clear = self._check(packet, sequence)
            if clear is None:
                return  # forged, or a duplicate
        if not self._gaps.arrived(sequence, arrival):
            return
        if payload_type != self._payload_type:
            self._payload_type = payload_type
            self.codec = self.section.codecs[payload_type]
            self._assembler.codec = DECODERS.get(self.codec, "")
        if clear is None:
            size = len(packet) - begin - self._overhead
        else:
            try:
                payload = payload_of(clear, header)
            except RtpError:
                return
            size = len(payload)
        self._meter.add(ssrc, sequence, timestamp, size, arrival)
        begins = timestamp != self._timestamp
        self._timestamp = timestamp
        if extensions and (marker or begins):
            self._read_times(packet, header)
        part = _OPENS if opens else _NOTHING
        if self._decrypts:
            part = self._part(payload)
        elif self._samples and (timestamp == self._sampled or (begins and self._hunting)):
            part = self._sample(packet, header, clear, opens)
        elif self._checks:
            part = PayloadPart(b"", self._part(payload).key, opens)
        self._assemble(MediaPacket(sequence, timestamp, marker, arrival, part.data, size, part.key, part.opens))
        if self._gaps.hole:
            self._ask_again(arrival)
        elif not self._decrypts and not marker and timestamp != self._sampled and self._assembler.follows(sequence):
            self._run.sequence = (sequence + 1) & _MASK

    def take_retransmission(self, packet: bytes, header: RtpHeader, arrival: float) -> None:
        """One packet that is sent again (RFC 4588); always decrypted, since it says only inside what it repeats."""
        self._end_run()
        clear = self._unprotect(packet)
        original = self.section.retransmissions[header.payload_type]
        if clear is None or original not in self.section.codecs or self.ssrc < 0:
            return
        try:
            payload = payload_of(clear, header)
        except RtpError:
            return
        sequence = int.from_bytes(payload[:2], "big")
        if len(payload) < 2 or not self._gaps.repaired(sequence, arrival):
            return  # a probe for bandwidth, or it came after all
        self.repaired_count += 1
        if header.extension:
            self._read_times(packet, header)
        payload = payload[2:]
        part = _NOTHING
        if self._decrypts or header.timestamp == self._sampled:
            part = self._part(payload, self.section.codecs[original])
        elif self._checks:
            part = PayloadPart(b"", self._part(payload, self.section.codecs[original]).key, False)
        self._assemble(
            MediaPacket(
                sequence, header.timestamp, header.marker, arrival, part.data, len(payload), part.key, part.opens
            )
        )

    def _part(self, payload: bytes, codec: str = "") -> PayloadPart:
        if not payload:
            return _NOTHING
        try:
            return depacketise(codec or self.codec, payload)
        except RtpError:
            # Nothing of it can be shown. The decoder finds the hole and asks for a key frame.
            return _NOTHING

    def _sample(self, packet: bytes, header: RtpHeader, clear: bytes | None, opens: bool) -> PayloadPart:
        """Decrypt for once: to see whether a key frame begins here, or because it is one that was asked for."""
        clear = clear or self._check(packet, header.sequence)
        if clear is None:
            return _OPENS if opens else _NOTHING
        try:
            part = self._part(payload_of(clear, header))
        except RtpError:
            return _OPENS if opens else _NOTHING
        if header.timestamp != self._sampled:
            if not part.key:
                return _OPENS if opens else _NOTHING
            self._sampled, self._hunting = header.timestamp, False
        return part

    def _read_times(self, packet: bytes, header: RtpHeader) -> None:
        if self._capture and (value := extension(packet, header, self._capture)) is not None:
            captured = capture_unix_seconds(value)
            if captured is not None:
                self.clock.capture.captured(header.timestamp, captured)
        if not header.marker:
            return
        if self._timing and (value := extension(packet, header, self._timing)) is not None:
            timing = video_timing(value)
            if timing is not None:
                self.clock.timed(header.timestamp, timing)
        if self._sending and (value := extension(packet, header, self._sending)) is not None:
            self.clock.sent(header.timestamp, value)

    def _assemble(self, packet: MediaPacket) -> None:
        if self._assembler.add(packet):
            self.request_key_frame()

    def _ask_again(self, now: float) -> None:
        lost = self._gaps.due(now)
        if lost:
            self.nack_count += 1
            self._send(resend_request(self.section.ssrc, self.ssrc, lost))
        due = self._gaps.next_due()
        if due < math.inf and self._again is None:
            wait = max(_SHORTEST_WAIT_SECONDS, due - now)
            self._again = asyncio.get_running_loop().call_later(wait, self._timed_out)

    def _timed_out(self) -> None:
        self._again = None
        self._ask_again(time.time())

    def request_key_frame(self) -> None:
        """Ask for a key frame; nothing before the first packet."""
        if self.ssrc >= 0:
            self.pli_count += 1
            self._send(key_frame_request(self.section.ssrc, self.ssrc))

    def sample(self) -> None:
        """Ask for a key frame and decrypt it when it comes."""
        self._end_run()
        self._hunting = True
        self.request_key_frame()

    def close(self) -> None:
        """Ask for nothing any more."""
        if self._again is not None:
            self._again.cancel()
