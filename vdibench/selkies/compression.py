"""Compressed text of Selkies 2.x: gzip, bounded while it is inflated. Pure."""

from __future__ import annotations

import zlib

from vdibench.errors import ProtocolViolation

__all__ = ["TEXT_LIMIT_BYTES", "inflate_text"]

# Selkies' own limit for a text message, compressed or not.
TEXT_LIMIT_BYTES = 8 * 1024 * 1024
_REMEDY = "check that the server is Selkies 2.x"


def inflate_text(data: bytes) -> str:
    """Inflate one gzip member of UTF-8.

    A small message can stand for gigabytes: inflating stops at :data:`TEXT_LIMIT_BYTES`.

    :raises ProtocolViolation: not gzip, cut short, not UTF-8, followed by more, or beyond the limit.
    """
    inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        text = inflater.decompress(data, TEXT_LIMIT_BYTES + 1)
        if len(text) > TEXT_LIMIT_BYTES:
            raise ProtocolViolation(f"compressed text of more than {TEXT_LIMIT_BYTES} bytes", _REMEDY)
        if not inflater.eof or inflater.unused_data:
            raise ProtocolViolation("compressed text that is cut short, or followed by something else", _REMEDY)
        return text.decode()
    except (zlib.error, UnicodeDecodeError) as error:
        raise ProtocolViolation("binary control message that is not gzip of text", _REMEDY) from error
