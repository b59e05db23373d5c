"""RTP of one session onto its socket: in C where ``vdibench_native`` is there, else packet by packet here. I/O.

Both protect packets as the session's DTLS negotiated, never wait, and say what the socket had no room for.
"""

from __future__ import annotations

import importlib
import secrets
import socket
import struct
from collections.abc import Sequence
from typing import Any, Protocol

__all__ = ["HAS_NATIVE", "PythonSender", "Sender", "native_sender"]

_HEADER = struct.Struct("!BBHII")
_EXPORTER = b"EXTRACTOR-dtls_srtp"  # RFC 5764 §4.2


def _native() -> Any:
    try:
        found = importlib.import_module("vdibench_native")
    except ImportError:
        return None
    return found if hasattr(found, "Sender") and getattr(found, "HAS_SRTP", True) else None


_NATIVE = _native()

HAS_NATIVE = _NATIVE is not None
"""Whether packets can be sent by the native module."""


class Sender(Protocol):
    """Sends the payloads of frames."""

    def send(self, payloads: Sequence[bytes], timestamp: int, marker_last: bool) -> tuple[int, int, int]:
        """Send at once.

        :param timestamp: RTP time stamp of the frame.
        :param marker_last: the last of them ends the frame.
        :return: packets sent, bytes of their payload, and packets for which the socket had no room.
        :raises OSError: the socket is gone.
        """


def native_sender(dtls: Any, udp: socket.socket, address: tuple[str, int], ssrc: int, payload_type: int) -> Any:
    """A native sender with the keys of a connected :class:`aiortc.RTCDtlsTransport`; None where there is none for them.

    :param udp: must stay open as long as the sender is used.
    """
    if _NATIVE is None:
        return None
    chosen = dtls._ssl.get_selected_srtp_profile()
    profile = next(one for one in dtls._srtp_profiles if one.openssl_profile == chosen)
    material = dtls._ssl.export_keying_material(_EXPORTER, 2 * (profile.key_length + profile.salt_length))
    key = bytes(profile.get_key_and_salt(material, 1 if dtls._role == "server" else 0))
    try:
        return _NATIVE.Sender(udp.fileno(), *address[:2], key, profile.libsrtp_profile, ssrc, payload_type)
    except ValueError:  # a profile that it does not know, or that OpenSSL refuses here
        return None


class PythonSender:
    """The same without the native module.

    :param protect: makes SRTP of a packet.
    """

    def __init__(
        self, protect: Any, udp: socket.socket, address: tuple[str, int], ssrc: int, payload_type: int
    ) -> None:
        self._protect = protect
        self._udp = udp
        self._address = address
        self._ssrc = ssrc
        self._payload_type = payload_type
        # RFC 3711 §3.3.1: a start in the lower half keeps a receiver that joins late from guessing the roll-over wrong.
        self._sequence = secrets.randbelow(1 << 15)

    def send(self, payloads: Sequence[bytes], timestamp: int, marker_last: bool) -> tuple[int, int, int]:
        """Send at once; see :class:`Sender`."""
        packets = size = refused = 0
        last = len(payloads) - 1
        for number, payload in enumerate(payloads):
            kind = self._payload_type | (0x80 if marker_last and number == last else 0)
            header = _HEADER.pack(0x80, kind, self._sequence, timestamp, self._ssrc)
            self._sequence = (self._sequence + 1) & 0xFFFF
            try:
                self._udp.sendto(self._protect(header + payload), self._address)
            except BlockingIOError:
                refused += 1
            else:
                packets += 1
                size += len(payload)
        return packets, size, refused
