"""Binary messages of ``selkies-2-websocket``: video, audio, compressed text. Sans-I/O; numbers are big-endian.

The first byte names the kind. Lengths are checked before anything is cut out, and compressed text is bounded while it
is inflated: a hostile server costs no more memory than it sends, plus
:data:`vdibench.selkies.compression.TEXT_LIMIT_BYTES`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vdibench.errors import ProtocolViolation
from vdibench.selkies.compression import inflate_text

__all__ = [
    "AudioPacket",
    "BinaryMessage",
    "CompressedText",
    "UnknownMessage",
    "VideoChunk",
    "parse_binary",
]

_AUDIO, _JPEG, _VIDEO, _TEXT = 0x01, 0x03, 0x04, 0x05
_VIDEO_HEADER = struct.Struct(">BBHHHHH")
_JPEG_HEADER = struct.Struct(">BBHH")
_KEY, _LONG_TERM = 0x01, 0x08
# FFmpeg's names of the decoders, by the high nibble of the second byte.
_CODECS = {1: "h264", 2: "vp8", 3: "vp9", 4: "libdav1d", 5: "hevc"}

_QUIET, _REDUNDANCY = 0x80, 0x7F
_RED_FOLLOWS = 0x80
# Start of frame of the baseline, extended and progressive kinds (ITU-T T.81 table B.1).
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE_MARKERS = frozenset(range(0xD0, 0xD9)) | {0x01}
# The frame header stands behind some tables; nobody walks through megabytes of padding for it.
_JPEG_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class VideoChunk:
    """A stripe of a frame, or a whole one.

    :param codec: FFmpeg's name of the decoder.
    :param key: it can be decoded by itself.
    :param long_term: the encoder keeps it as an anchor to refer to after losses.
    :param frame_id: 16 bits, counts frames and wraps; all stripes of a frame share it.
    :param top: first row of the stripe, in pixels; each ``top`` is an encoded stream of its own.
    :param reference: id of the frame that it refers to; its own id says that nobody knows.
    """

    codec: str
    key: bool
    long_term: bool
    frame_id: int
    top: int
    width: int
    height: int
    reference: int
    data: bytes


@dataclass(frozen=True, slots=True)
class AudioPacket:
    """A packet of 10 ms of Opus.

    :param quiet: the server marks it as silence.
    :param timestamp: RTP time stamp (48 kHz); None without redundancy.
    :param redundant: earlier packets again, oldest first (RFC 2198).
    """

    data: bytes
    quiet: bool = False
    timestamp: int | None = None
    redundant: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class CompressedText:
    """A text message that was compressed on the way."""

    text: str


@dataclass(frozen=True, slots=True)
class UnknownMessage:
    """A kind that this version does not know; to be ignored."""

    kind: int


BinaryMessage = VideoChunk | AudioPacket | CompressedText | UnknownMessage


def parse_binary(message: bytes) -> BinaryMessage:
    """Read one binary message.

    :raises ProtocolViolation: of a known kind, but cut short or otherwise not what Selkies 2.x sends.
    """
    if not message:
        raise _violation("an empty binary message")
    kind = message[0]
    if kind == _VIDEO:
        return _video(message)
    if kind == _AUDIO:
        return _audio(message)
    if kind == _JPEG:
        return _jpeg(message)
    if kind == _TEXT:
        return CompressedText(inflate_text(message[1:]))
    return UnknownMessage(kind)


def _violation(what: str) -> ProtocolViolation:
    return ProtocolViolation(f"the desktop sent {what}", "check that the server is Selkies 2.x in WebSocket mode")


def _video(message: bytes) -> VideoChunk:
    if len(message) <= _VIDEO_HEADER.size:
        raise _violation(f"a video message of {len(message)} bytes, too short for its header")
    _, flags, frame_id, top, width, height, reference = _VIDEO_HEADER.unpack_from(message)
    codec = _CODECS.get(flags >> 4)
    if codec is None:
        raise _violation(f"video of an unknown codec (number {flags >> 4})")
    return VideoChunk(
        codec,
        bool(flags & _KEY),
        bool(flags & _LONG_TERM),
        frame_id,
        top,
        width,
        height,
        reference,
        message[_VIDEO_HEADER.size :],
    )


def _jpeg(message: bytes) -> VideoChunk:
    if len(message) <= _JPEG_HEADER.size:
        raise _violation(f"a JPEG message of {len(message)} bytes, too short for its header")
    _, _, frame_id, top = _JPEG_HEADER.unpack_from(message)
    data = message[_JPEG_HEADER.size :]
    width, height = _jpeg_size(data)
    return VideoChunk("mjpeg", True, False, frame_id, top, width, height, frame_id, data)


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels, from the frame header (ITU-T T.81 B.2.2)."""
    position, end = 2, min(len(data), _JPEG_HEAD_BYTES)
    if data[:2] != b"\xff\xd8":
        raise _violation("a JPEG message that is none")
    while position + 4 <= end and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1  # fill byte
        elif marker in _STANDALONE_MARKERS:
            position += 2
        elif marker in _FRAME_MARKERS and position + 9 <= len(data):
            height, width = struct.unpack_from(">HH", data, position + 5)
            return width, height
        else:
            position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    raise _violation("a JPEG message without a frame header")


def _audio(message: bytes) -> AudioPacket:
    if len(message) < 2:
        raise _violation("an audio message of one byte")
    quiet, blocks = bool(message[1] & _QUIET), message[1] & _REDUNDANCY
    if not blocks:
        return AudioPacket(message[2:], quiet)
    headers_end = 6 + 4 * blocks
    if len(message) <= headers_end:
        raise _violation(f"an audio message of {len(message)} bytes, too short for {blocks} redundant blocks")
    (timestamp,) = struct.unpack_from(">I", message, 2)
    redundant, start = [], headers_end + 1
    for position in range(6, headers_end, 4):
        header = struct.unpack_from(">I", message, position)[0]
        length = header & 0x3FF
        if not message[position] & _RED_FOLLOWS or start + length > len(message):
            raise _violation("an audio message whose redundant blocks do not fit it")
        redundant.append(message[start : start + length])
        start += length
    if message[headers_end] & _RED_FOLLOWS:
        raise _violation("an audio message with more redundant blocks than it says")
    return AudioPacket(message[start:], quiet, timestamp, tuple(redundant))
