"""Reading many UDP datagrams at once, each with the instant at which the kernel got it. I/O, never blocks.

On 64-bit Linux one ``recvmmsg`` reads up to 32 datagrams, through buffers that all sockets of a thread share: a third
to a half of the cost of reading them one by one. Elsewhere they are read one by one. Instants are Unix seconds of this
host's wall clock: the kernel's where it tells them, else the instant of reading. Linux begins to note them in the
background, within milliseconds of a host's first socket that asks.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator

__all__ = ["Datagram", "prepare", "reader"]

# Linux's numbers, which Python's socket module does not name.
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS, _SO_RXQ_OVFL = 33, 35, 40
_BUFFER_BYTES = 4 << 20

_COUNT, _SIZE, _NAME, _CONTROL = 32, 2048, 32, 128
_VECTOR = struct.Struct("QQ")  # struct iovec, LP64
_HEADER = struct.Struct("QI4xQQQQi4xI4x")  # struct mmsghdr, LP64
_LENGTH = 14  # its msg_len, counted in 32-bit words
_CONTROL_LENGTH = 5  # its msg_controllen, counted in 64-bit words
_HEADER_WORDS, _HEADER_LONGS = _HEADER.size // 4, _HEADER.size // 8
_CMSG = struct.Struct("=Qii")
_INSTANT = struct.Struct("=qq")
_STAMPED = struct.Struct("=Qiiqq")
_ALONE = 32  # bytes of a control buffer that holds a time stamp and nothing else
_SOCKET = int(socket.SOL_SOCKET)
_PORT = struct.Struct("!H")


Datagram = tuple[bytes, float, tuple[str, int] | None, int]
"""Data, arrival, its sender's host and port (None where the reader did not look), and how many datagrams the socket
had thrown away before it when the kernel said so, else 0. No named tuple: one is made for each packet."""

Reader = Callable[[socket.socket], Iterable[Datagram]]


def prepare(udp: socket.socket) -> None:
    """Ask for a large buffer, kernel time stamps and the count of what the socket drops, where they exist."""
    udp.setblocking(False)
    if sys.platform != "linux":
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        return
    try:
        udp.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    except PermissionError:  # above the system's limit only for root
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    for option in (_SO_TIMESTAMPNS, _SO_RXQ_OVFL):
        udp.setsockopt(socket.SOL_SOCKET, option, 1)


def reader() -> Reader:
    """The fastest way of reading on this system; the same for all sockets of this thread."""
    if sys.platform == "linux" and struct.calcsize("P") == 8 and sys.byteorder == "little":
        if not hasattr(_OF_THREAD, "batch"):
            _OF_THREAD.batch = _Batch()
        read: Reader = _OF_THREAD.batch.read
        return read
    return _one_by_one


_OF_THREAD = threading.local()


def _address(name: bytes | bytearray | memoryview, begin: int) -> tuple[str, int]:
    """A sockaddr_in or sockaddr_in6."""
    (port,) = _PORT.unpack_from(name, begin + 2)
    if int.from_bytes(name[begin : begin + 2], sys.byteorder) == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, name[begin + 4 : begin + 8]), port
    return socket.inet_ntop(socket.AF_INET6, name[begin + 8 : begin + 24]), port


class _Batch:
    """Buffers of ``recvmmsg``, and the call. Not for two threads at once."""

    def __init__(self) -> None:
        call = ctypes.CDLL(None, use_errno=True).recvmmsg
        call.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p]
        call.restype = ctypes.c_int
        self._call = call
        self._headers = bytearray(_COUNT * _HEADER.size)
        self._data = bytearray(_COUNT * _SIZE)
        self._names = bytearray(_COUNT * _NAME)
        self._control = bytearray(_COUNT * _CONTROL)
        self._vectors = bytearray(_COUNT * _VECTOR.size)
        self._begin = _start(self._headers)
        data, names, control, vectors = map(_start, (self._data, self._names, self._control, self._vectors))
        for i in range(_COUNT):
            vector = vectors + i * _VECTOR.size
            _VECTOR.pack_into(self._vectors, i * _VECTOR.size, data + i * _SIZE, _SIZE)
            fields = (names + i * _NAME, _NAME, vector, 1, control + i * _CONTROL, _CONTROL, 0, 0)
            _HEADER.pack_into(self._headers, i * _HEADER.size, *fields)
        self._fresh = bytes(self._headers)
        self._lengths = memoryview(self._headers).cast("I")
        self._longs = memoryview(self._headers).cast("Q")
        self._view = memoryview(self._data)

    def read(self, udp: socket.socket) -> Iterable[Datagram]:
        """Everything that waits, at most one batch; a socket with more is readable again at once."""
        self._headers[:] = self._fresh
        count = self._call(udp.fileno(), self._begin, _COUNT, socket.MSG_DONTWAIT, None)
        if count < 0:
            number = ctypes.get_errno()
            if number in (errno.EAGAIN, errno.EINTR):
                return ()
            raise OSError(number, "recvmmsg failed")
        found: list[Datagram] = []
        view, lengths, longs, control = self._view, self._lengths, self._longs, self._control
        for i in range(count):
            begin = i * _SIZE
            data = bytes(view[begin : begin + lengths[i * _HEADER_WORDS + _LENGTH]])
            _, level, kind, seconds, nanoseconds = _STAMPED.unpack_from(control, i * _CONTROL)
            # Nearly always the time stamp stands alone, and only STUN is answered to where it came from; its first
            # byte is below 4 (RFC 7983).
            if longs[i * _HEADER_LONGS + _CONTROL_LENGTH] == _ALONE and kind == _SO_TIMESTAMPNS and level == _SOCKET:
                arrival, drops = seconds + nanoseconds * 1e-9, 0
            else:
                size = longs[i * _HEADER_LONGS + _CONTROL_LENGTH]
                arrival, drops = self._ancillary(i * _CONTROL, i * _CONTROL + min(size, _CONTROL))
            address = _address(self._names, i * _NAME) if data and data[0] < 4 else None
            found.append((data, arrival, address, drops))
        return found

    def _ancillary(self, position: int, end: int) -> tuple[float, int]:
        arrival, drops = time.time(), 0
        while position + _CMSG.size <= end:
            length, level, kind = _CMSG.unpack_from(self._control, position)
            if length < _CMSG.size:
                break
            if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
                seconds, nanoseconds = _INSTANT.unpack_from(self._control, position + _CMSG.size)
                arrival = seconds + nanoseconds * 1e-9
            elif level == socket.SOL_SOCKET and kind == _SO_RXQ_OVFL:
                (drops,) = struct.unpack_from("=I", self._control, position + _CMSG.size)
            position += (length + 7) & ~7
        return arrival, drops


def _start(buffer: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def _one_by_one(udp: socket.socket) -> Iterator[Datagram]:
    for _ in range(_COUNT):
        try:
            data, ancillary, _, address = udp.recvmsg(_SIZE, _CONTROL)
        except (BlockingIOError, InterruptedError):
            return
        arrival, drops = time.time(), 0
        for level, kind, value in ancillary:
            if sys.platform != "linux" or level != socket.SOL_SOCKET:
                continue
            if kind == _SO_TIMESTAMPNS and len(value) == _INSTANT.size:
                seconds, nanoseconds = _INSTANT.unpack(value)
                arrival = seconds + nanoseconds * 1e-9
            elif kind == _SO_RXQ_OVFL and len(value) == 4:
                drops = int.from_bytes(value, sys.byteorder)
        yield data, arrival, (address[0], address[1]), drops
