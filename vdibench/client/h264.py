"""What an H.264 stream says of itself: NAL unit types in RTP payloads and the sequence parameter set. Pure.

Sources: ITU-T H.264 §7.3.2.1.1 (SPS), Annex E (VUI); RFC 6184 (payload format).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SequenceParameters", "find_sps", "is_key", "opens_access_unit", "parse_sps"]

_IDR, _SPS, _PPS, _AUD, _SEI, _STAP_A, _FU_A = 5, 7, 8, 9, 6, 24, 28
_PROFILES = {66: "Baseline", 77: "Main", 88: "Extended", 100: "High", 110: "High 10", 122: "High 4:2:2"}
# A parameter set takes some dozens of bytes; what a hostile desktop sends is read bit by bit.
_MAX_SPS_BYTES = 1024
_HIGH_PROFILES = {100, 110, 122, 244, 44, 83, 86, 118, 128}


def _types(payload: bytes) -> list[int]:
    """NAL unit types that begin in an RTP payload."""
    if len(payload) < 2:
        return []
    kind = payload[0] & 0x1F
    if kind == _FU_A:
        return [payload[1] & 0x1F] if payload[1] & 0x80 else []
    if kind != _STAP_A:
        return [kind]
    kinds, position = [], 1
    while position + 2 < len(payload):
        kinds.append(payload[position + 2] & 0x1F)
        position += 2 + int.from_bytes(payload[position : position + 2], "big")
    return kinds


def is_key(payload: bytes) -> bool:
    """The RTP payload belongs to an IDR picture or carries a sequence parameter set."""
    if len(payload) >= 2 and payload[0] & 0x1F == _FU_A:
        return payload[1] & 0x1F == _IDR
    return any(kind in (_IDR, _SPS) for kind in _types(payload))


def opens_access_unit(payload: bytes) -> bool:
    """The RTP payload can be the first of a picture: parameter sets, delimiter, SEI, or a slice's first macroblock."""
    kinds = _types(payload)
    if not kinds:
        return False
    if kinds[0] in (_SPS, _PPS, _AUD, _SEI):
        return True
    # first_mb_in_slice is the first Exp-Golomb code after the NAL header: zero is the single bit 1.
    begin = {_FU_A: 2, _STAP_A: 4}.get(payload[0] & 0x1F, 1)
    body = payload[begin : begin + 1]
    return bool(body) and bool(body[0] & 0x80)


@dataclass(frozen=True, slots=True)
class SequenceParameters:
    """The part of an SPS that matters for latency and identity.

    :param profile: name, or the number as text.
    :param level: as ``4.2``.
    :param reorder_frames: ``max_num_reorder_frames``; None when the stream does not say (no VUI restriction), in
        which case a browser's decoder may hold frames back.
    :param buffered_frames: ``max_dec_frame_buffering``; None likewise.
    """

    profile: str
    constraint_flags: int
    level: str
    width: int
    height: int
    reorder_frames: int | None
    buffered_frames: int | None
    picture_order_type: int

    @property
    def reorders(self) -> bool | None:
        """Whether pictures may leave the decoder in another order; None when the stream leaves it open.

        Picture order count type 2 forbids it (§8.2.1.3), with or without VUI.
        """
        if self.picture_order_type == 2:
            return False
        return None if self.reorder_frames is None else self.reorder_frames > 0


class _Bits:
    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def read(self, count: int) -> int:
        if count > self._left:
            raise ValueError("sequence parameter set ends early")
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def unsigned(self) -> int:
        zeros = 0
        while self.read(1) == 0:
            zeros += 1
            if zeros > 32:
                raise ValueError("broken Exp-Golomb code")
        return (1 << zeros) - 1 + self.read(zeros)

    def signed(self) -> int:
        code = self.unsigned()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def find_sps(annex_b: bytes) -> bytes | None:
    """The first sequence parameter set in an Annex B stream, without start code; None when there is none."""
    position = annex_b.find(b"\x00\x00\x01")
    while position >= 0:
        begin = position + 3
        position = annex_b.find(b"\x00\x00\x01", begin)
        if begin < len(annex_b) and annex_b[begin] & 0x1F == _SPS:
            end = len(annex_b) if position < 0 else position
            return annex_b[begin:end].rstrip(b"\x00")
    return None


def parse_sps(nal: bytes) -> SequenceParameters:
    """Read a sequence parameter set (NAL header included, no start code).

    :raises ValueError: broken, truncated, or not over within a kilobyte.
    """
    bits = _Bits(nal[1:_MAX_SPS_BYTES].replace(b"\x00\x00\x03", b"\x00\x00"))
    profile, constraints, level = bits.read(8), bits.read(8), bits.read(8)
    bits.unsigned()  # seq_parameter_set_id
    chroma = 1
    if profile in _HIGH_PROFILES:
        chroma = bits.unsigned()
        if chroma == 3:
            bits.read(1)
        bits.unsigned()
        bits.unsigned()
        bits.read(1)
        if bits.read(1):
            for index in range(8 if chroma != 3 else 12):
                if bits.read(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    bits.unsigned()  # log2_max_frame_num_minus4
    order_type = bits.unsigned()
    if order_type == 0:
        bits.unsigned()
    elif order_type == 1:
        bits.read(1)
        bits.signed()
        bits.signed()
        for _ in range(bits.unsigned()):
            bits.signed()
    bits.unsigned()  # max_num_ref_frames
    bits.read(1)
    width = (bits.unsigned() + 1) * 16
    map_units = bits.unsigned() + 1
    frame_mbs_only = bits.read(1)
    height = map_units * 16 * (2 - frame_mbs_only)
    if not frame_mbs_only:
        bits.read(1)
    bits.read(1)
    if bits.read(1):
        left, right, top, bottom = (bits.unsigned() for _ in range(4))
        unit_x = 1 if chroma in (0, 3) else 2
        unit_y = (2 if chroma == 1 else 1) * (2 - frame_mbs_only)
        width -= (left + right) * unit_x
        height -= (top + bottom) * unit_y
    if width <= 0 or height <= 0:
        raise ValueError("nothing is left of the picture after its cropping")
    reorder, buffered = _restriction(bits) if bits.read(1) else (None, None)
    return SequenceParameters(
        profile=_PROFILES.get(profile, str(profile)),
        constraint_flags=constraints,
        level=f"{level // 10}.{level % 10}",
        width=width,
        height=height,
        reorder_frames=reorder,
        buffered_frames=buffered,
        picture_order_type=order_type,
    )


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _restriction(bits: _Bits) -> tuple[int | None, int | None]:
    """Walk the VUI (§E.1.1) to ``max_num_reorder_frames`` and ``max_dec_frame_buffering``."""
    if bits.read(1) and bits.read(8) == 255:
        bits.read(32)
    if bits.read(1):
        bits.read(1)
    if bits.read(1):
        bits.read(4)
        if bits.read(1):
            bits.read(24)
    if bits.read(1):
        bits.unsigned()
        bits.unsigned()
    if bits.read(1):
        bits.read(65)
    hypothetical = [_skip_hrd(bits) for _ in range(2) if bits.read(1)]
    if hypothetical:
        bits.read(1)
    bits.read(1)
    if not bits.read(1):
        return None, None
    bits.read(1)
    for _ in range(4):
        bits.unsigned()
    return bits.unsigned(), bits.unsigned()


def _skip_hrd(bits: _Bits) -> bool:
    count = bits.unsigned() + 1
    bits.read(8)
    for _ in range(count):
        bits.unsigned()
        bits.unsigned()
        bits.read(1)
    bits.read(20)
    return True
