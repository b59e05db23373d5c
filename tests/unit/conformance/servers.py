"""Servers on loopback that probes are tried against; each ends with its block."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from vdibench.lab.cluster.pki import wildcard

HOST = "127.0.0.1"


@contextlib.contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[int]:
    """Serve in a thread; gives the port."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def saying(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server that does this with each connection, then closes it."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):  # the probe has gone
                talk(self.request)

    with serving(socketserver.ThreadingTCPServer((HOST, 0), Handler)) as port:
        yield port


@contextlib.contextmanager
def answering(answer: Callable[[bytes], bytes | None]) -> Iterator[int]:
    """A UDP server that answers each datagram with this, or not at all."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, link = self.request
            if (said := answer(data)) is not None:
                link.sendto(said, self.client_address)

    with serving(socketserver.UDPServer((HOST, 0), Handler)) as port:
        yield port


@contextlib.contextmanager
def tls(folder: Path) -> Iterator[int]:
    """A TLS server, which says nothing more than who it is."""
    _, certificate, key = wildcard("vdi.test")
    files = folder / "tls.crt", folder / "tls.key"
    for file, text in zip(files, (certificate, key), strict=True):
        file.write_bytes(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)

    def talk(link: socket.socket) -> None:
        with context.wrap_socket(link, server_side=True) as secure:
            secure.recv(1)

    with saying(talk) as port:
        yield port


@contextlib.contextmanager
def silent(kind: socket.SocketKind = socket.SOCK_STREAM) -> Iterator[int]:
    """A port at which one gets connected and hears nothing."""
    with socket.socket(socket.AF_INET, kind) as link:
        link.bind((HOST, 0))
        if kind == socket.SOCK_STREAM:
            link.listen()
        yield link.getsockname()[1]


@contextlib.contextmanager
def refusing(kind: socket.SocketKind = socket.SOCK_STREAM) -> Iterator[int]:
    """A port that is taken, at which nobody listens."""
    with socket.socket(socket.AF_INET, kind) as link:
        link.bind((HOST, 0))
        port = link.getsockname()[1]
        if kind == socket.SOCK_DGRAM:
            # A datagram's port answers by itself only when nothing is bound there.
            link.close()
        yield port


def names(query: bytes) -> bytes:
    """What a DNS server says to a question for an address: 10.96.0.1."""
    question = query[12:]
    record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 5, 4) + bytes([10, 96, 0, 1])
    return query[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + question + record


def over_tcp(answer: Callable[[bytes], bytes]) -> Callable[[socket.socket], None]:
    """The same over TCP, where a length precedes each message."""

    def talk(link: socket.socket) -> None:
        (size,) = struct.unpack("!H", link.recv(2, socket.MSG_WAITALL))
        said = answer(link.recv(size, socket.MSG_WAITALL))
        link.sendall(struct.pack("!H", len(said)) + said)

    return talk
