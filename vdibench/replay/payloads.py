"""RTP payloads of an H.264 access unit (RFC 6184, packetisation mode 1). Pure; sizes are bytes."""

from __future__ import annotations

import re

__all__ = ["PAYLOAD_BYTES", "payloads"]

# What Selkies sends: 900 packets and 8.5 Mbit a second at 1080p60.
PAYLOAD_BYTES = 1180
_FU_A = 28
_START_CODE = re.compile(rb"\x00\x00\x00?\x01")


def payloads(access_unit: bytes, size: int = PAYLOAD_BYTES) -> tuple[bytes, ...]:
    """RTP payloads of one access unit in Annex B form: a NAL unit each, or FU-A fragments of a longer one.

    :param size: of the largest payload, 3 at least.
    """
    found: list[bytes] = []
    for nal in filter(None, _START_CODE.split(access_unit)):
        if len(nal) <= size:
            found.append(nal)
            continue
        indicator, kind = bytes([nal[0] & 0xE0 | _FU_A]), nal[0] & 0x1F
        body, step = nal[1:], size - 2
        for start in range(0, len(body), step):
            first, last = start == 0, start + step >= len(body)
            header = bytes([first << 7 | last << 6 | kind])
            found.append(indicator + header + body[start : start + step])
    return tuple(found)
