"""What a hostile server or exporter can hand to us, one function for each parser: bytes in, nothing out.

A target returns, or raises :class:`Violation` when a parser does what none may do: raise something else than it says,
give out more than it was given, or keep more than its bound. Time and memory are bounded by whoever calls.
"""

from __future__ import annotations

import functools
import math
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import vdibench_native
from pylibsrtp import Error, Policy, Session

from vdibench.client.assembly import MAX_PENDING, AssembledFrame, FrameAssembler, MediaPacket
from vdibench.client.h264 import find_sps, is_key, opens_access_unit, parse_sps
from vdibench.client.payload import depacketise
from vdibench.client.rtcp import parse_rtcp
from vdibench.client.rtp import (
    RtpError,
    capture_unix_seconds,
    extension,
    is_rtcp,
    parse_header,
    payload_of,
    video_timing,
)
from vdibench.errors import VdibenchError
from vdibench.selkies import (
    Probe,
    Role,
    Signalling,
    classify,
    close_reason,
    decode_control,
    parse_rtc_configuration,
)
from vdibench.selkies.compression import inflate_text
from vdibench.selkies.sdp import candidate_addresses, repair_offer, rewrite_candidates, without_candidates
from vdibench.selkies.signalling_1 import Leg, LegSignalling
from vdibench.selkies.websocket import StreamWishes, WebSocketConversation
from vdibench.selkies.websocket_frames import AudioPacket, CompressedText, VideoChunk, parse_binary
from vdibench.selkies.websocket_pictures import PictureCollector
from vdibench.telemetry.dcgm import NAMES, Scopes, parse, reading

__all__ = ["ANY", "TARGETS", "Violation", "seeds"]

# All targets in one: the first byte chooses. For a short run, which has no time to start a process for each.
ANY = "any"

# What text may grow to when it was compressed; see vdibench.selkies.compression.
INFLATED_BYTES = 8 << 20


class Violation(AssertionError):
    """A parser broke its contract."""


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise Violation(what)


def rtp(data: bytes) -> None:
    """Header, every extension, payload, and its H.264 and VP8 depacketisers."""
    is_rtcp(data)
    try:
        header = parse_header(data)
        for identifier in range(1, 16):
            value = extension(data, header, identifier)
            if value is not None:
                _require(len(value) <= len(data), "an extension larger than its packet")
                capture_unix_seconds(value)
                video_timing(value)
        payload = payload_of(data, header)
        _require(len(payload) <= len(data), "a payload larger than its packet")
        for codec in ("H264", "VP8"):
            depacketise(codec, payload)
    except RtpError:
        return


def rtcp(data: bytes) -> None:
    """Sender reports in a compound packet."""
    try:
        reports = parse_rtcp(data)
    except RtpError:
        return
    _require(len(reports) <= len(data) // 8 + 1, "more reports than bytes for them")


def h264(data: bytes) -> None:
    """NAL units and the sequence parameter set."""
    is_key(data)
    opens_access_unit(data)
    for nal in (find_sps(data), data):
        if nal:
            try:
                found = parse_sps(nal)
            except ValueError:
                continue
            _require(found.width > 0 and found.height > 0, "a picture without a size")


def assembly(data: bytes) -> None:
    """A stream of packets with any sequence numbers, time stamps, markers and arrival times."""
    frames: list[AssembledFrame] = []
    assembler = FrameAssembler(frames.append)
    sequence, timestamp, now, given = 0, 0, 0.0, 0
    for at in range(0, len(data) - 5, 6):
        step, ticks, flags, size, late = struct.unpack_from("!bBBHB", data, at)
        sequence = (sequence + step * (257 if flags & 16 else 1)) & 0xFFFF
        timestamp = (timestamp + ticks) & 0xFFFFFFFF
        now += late / 100
        size %= 1500
        given += size
        assembler.add(
            MediaPacket(
                sequence=sequence,
                timestamp=timestamp,
                marker=bool(flags & 1),
                arrival_unix_seconds=now,
                payload=bytes(size),
                size_bytes=size,
                key=bool(flags & 2),
                opens=bool(flags & 4),
            )
        )
        _require(len(assembler._pending) <= MAX_PENDING, "more packets wait than may")
    _require(sum(len(one.data) for one in frames) <= given, "frames larger than their packets")


def binary(data: bytes) -> None:
    """A binary WebSocket message."""
    try:
        found = parse_binary(data)
    except VdibenchError:
        return
    if isinstance(found, CompressedText):
        try:
            inflate_text(data[1:])
        except VdibenchError:
            return
    elif isinstance(found, VideoChunk | AudioPacket):
        _require(len(found.data) <= len(data), "more than was sent")


def pictures(data: bytes) -> None:
    """Stripes in any order, of any codec and size."""
    collector = PictureCollector()
    now, given = 0.0, 0
    for at in range(0, len(data) - 11, 12):
        now += 0.004
        message = b"\x04" + data[at + 1 : at + 12] + b"\x00\x00\x00\x01\x65" + data[at : at + 8]
        given += len(message)
        try:
            found = parse_binary(message)
        except VdibenchError:
            continue
        if isinstance(found, VideoChunk):
            collector.add(found, now, now)
    collector.flush()


def conversation(data: bytes) -> None:
    """Text of the WebSocket dialect, line by line, and how it may close."""
    talk = WebSocketConversation(Role.CONTROLLER, "tab", StreamWishes((1920, 1080), "h264enc", 60, 8_000_000))
    for line in data.decode(errors="replace").split("\n"):
        try:
            talk.receive(line)
        except VdibenchError:
            break
        _require(len(talk.pending()) <= 8, "one message is answered by many")
    talk.close_reason(int.from_bytes(data[:2], "big"), data[2:].decode(errors="replace"))


def signalling(data: bytes) -> None:
    """Text of WebRTC signalling of both generations, line by line."""
    lines = data.decode(errors="replace").split("\n")
    for talk in (Signalling(Role.CONTROLLER, "tab"), LegSignalling(Leg.VIDEO)):
        talk.pending()
        for line in lines:
            try:
                talk.receive(line)
            except VdibenchError:
                break
    close_reason(int.from_bytes(data[:2], "big"), lines[0])


def control(data: bytes) -> None:
    """A control message, text or compressed."""
    for payload in (data, data.decode(errors="replace")):
        try:
            message = decode_control(payload)
        except VdibenchError:
            continue
        if message is not None:
            str(message.action + message.argument)


def pages(data: bytes) -> None:
    """The bodies of health pages and of the RTC configuration."""
    text = data.decode(errors="replace")
    for path in ("/api/status", "/api/health", "/health"):
        classify([Probe(path, 200, text, text)])
    try:
        parse_rtc_configuration(text)
    except VdibenchError:
        return


def sdp(data: bytes) -> None:
    """A session description: repaired once is repaired for good, and no candidate stays."""
    text = data.decode(errors="replace")
    repaired = repair_offer(text)
    _require(repair_offer(repaired) == repaired, "a repaired offer is repaired again")
    moved = dict.fromkeys(candidate_addresses(repaired), ("127.0.0.1", 9))
    rewrite_candidates(repaired, moved)
    _require(not candidate_addresses(without_candidates(repaired)), "a candidate is left")


class _Fed:
    """A receiver of ``vdibench_native``, and the socket that feeds it over loopback; made once."""

    def __init__(self) -> None:
        self.receiver = vdibench_native.Receiver()
        self._ours, self._theirs = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self._ours.bind(("127.0.0.1", 0))
        self._theirs.connect(self._ours.getsockname())
        self.lane = self.receiver.add(self._ours.fileno(), lambda _: None)
        self.lane.touch([97, 98])

    def deliver(self, datagrams: list[bytes]) -> list[Any]:
        for one in datagrams:
            self._theirs.send(one)
        return [event for _, events in self.receiver.round() or () for event in events]


@functools.cache
def _fed() -> _Fed:
    return _Fed()


# Of libsrtp, with the length of a key and its salt.
_PROFILES = ((1, 30), (2, 30), (7, 28), (8, 44))


def _protected(datagrams: list[bytes], key: bytes, profile: int) -> Iterator[bytes]:
    policy = Policy(key=key, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile)
    policy.allow_repeat_tx = True
    sends = Session(policy)
    for one in datagrams:
        try:
            yield sends.protect(one)
        except (Error, TypeError, ValueError):  # no RTP, or more than it has room for
            yield one


def native(data: bytes) -> None:
    """Datagrams at an armed lane of the native receiver: each comes out as it was, or is counted once."""
    if len(data) < 12:
        return
    fed, datagrams, position = _fed(), [], 12
    while position < len(data) and len(datagrams) < 32:
        size = data[position] * (8 if data[position] & 1 else 1)
        datagrams.append(data[position + 1 : position + 1 + size])
        position += 1 + size
    sequence, timestamp, ssrc, how = struct.unpack_from("!HIIB", data)
    profile, size = _PROFILES[how >> 3 & 3]
    keys = vdibench_native.Keys(bytes(size), profile) if how & 4 and vdibench_native.HAS_SRTP else None
    if keys is not None and how & 32:  # else nothing but noise would ever be decrypted
        datagrams = list(_protected(datagrams, bytes(size), profile))
    fed.lane.keys = keys
    fed.lane.arm(
        sequence, timestamp, ssrc, 97, how & 31, sequence, bool(how & 1), True, -1, "H264" if how & 2 else "VP8"
    )
    events = fed.deliver(datagrams)
    last = fed.lane.disarm()
    runs = [event for event in [*events, last] if isinstance(event, vdibench_native.Run)]
    raw = [event for event in events if not isinstance(event, vdibench_native.Run)]
    _require(len(raw) + sum(run.packets for run in runs) == len(datagrams), "a datagram that vanished or doubled")
    _require(all(event[0] in datagrams for event in raw), "a datagram that changed")
    _require(sum(run.size_bytes for run in runs) <= sum(map(len, datagrams)), "more payload than there was")


def dcgm(data: bytes) -> None:
    """The text of a DCGM exporter: no sample that it does not hold, one figure or refusal by device and resource."""
    try:
        samples = parse(data.decode(errors="replace"), 1.0)
    except VdibenchError:
        return
    _require(len(samples) <= data.count(b"\n") + 1, "more samples than lines")
    for one in samples:
        _require(one.labels["__name__"] in NAMES and not math.isnan(one.value), "a sample that is none of ours")
    found = reading(samples)
    said = [*found.figures, *found.refusals]
    places = {(one.device.uuid, one.device.instance, one.resource) for one in said}
    _require(len(places) == len(said), "a device has a figure twice")
    _require(all(0 <= one.value < math.inf for one in found.figures), "a figure that cannot be")
    scopes = Scopes()
    named = {scopes.of(one.device) for one in said}
    _require(len(named) == len({place[:2] for place in places}), "two devices share a name")


TARGETS: dict[str, Callable[[bytes], None]] = {
    one.__name__: one
    for one in (
        rtp,
        rtcp,
        h264,
        assembly,
        binary,
        pictures,
        conversation,
        signalling,
        control,
        pages,
        sdp,
        native,
        dcgm,
    )
}


def _any(data: bytes) -> None:
    if data:
        list(TARGETS.values())[data[0] % (len(TARGETS) - 1)](data[1:])


TARGETS[ANY] = _any


def seeds(name: str) -> list[bytes]:
    """Inputs to start from: what broke once, and what real servers said."""
    if name == ANY:
        return [bytes([at]) + seed for at, one in enumerate(TARGETS) if one != ANY for seed in seeds(one)]
    data = Path(__file__).parent.parent / "data"
    found = [path.read_bytes() for path in sorted((data / "fuzz" / name).glob("*"))]
    for path in sorted(data.glob("dcgm/*.prom" if name == dcgm.__name__ else "selkies-*/*")):
        if path.is_file() and path.stat().st_size <= 64 << 10:
            found.append(path.read_bytes())
    return found
