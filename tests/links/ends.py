"""What stands at both ends of a link in the tests: a pair of UDP sockets; a TCP server that says everything back."""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType
from typing import Self

from vdibench.links import RelayRoute

RTP = b"\x80\x60"
SIZE_BYTES = 1200


def rtp(number: int) -> bytes:
    """An RTP packet of payload type 96 that carries its number."""
    return (RTP + number.to_bytes(4, "big")).ljust(SIZE_BYTES, b"\0")


def number_of(packet: bytes) -> int:
    return int.from_bytes(packet[2:6], "big")


class DatagramPair:
    """A client and a server that know each other through a route only."""

    def __init__(self, route: RelayRoute) -> None:
        self.server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.server.bind(("127.0.0.1", 0))
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.client.connect(route.open(*self.server.getsockname(), udp=True))
        for end in (self.server, self.client):
            end.settimeout(5.0)

    def __enter__(self) -> Self:
        self.client.send(b"hello")
        word, self.seen_as = self.server.recvfrom(100)
        assert word == b"hello"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.close()
        self.client.close()

    def down(self, packet: bytes) -> None:
        """Send from the server to the client."""
        self.server.sendto(packet, self.seen_as)

    def drained(self, quiet_seconds: float) -> list[bytes]:
        """What the client got, until nothing more comes."""
        self.client.settimeout(quiet_seconds)
        packets = []
        try:
            while True:
                packets.append(self.client.recv(2000))
        except TimeoutError:
            self.client.settimeout(5.0)
            return packets

    def one_way(self, packets: int = 1) -> list[float]:
        """Send packets down one after the other; the seconds that each took."""
        took = []
        for number in range(packets):
            began = time.monotonic()
            self.down(rtp(number))
            self.client.recv(2000)
            took.append(time.monotonic() - began)
        return took


class EchoServer:
    """Says back whatever it is told, connection by connection, and ends when the other side has."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listener.getsockname()
        self._threads: list[threading.Thread] = []
        self.connections: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._serve(self._accept)
        return self

    def _serve(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            self._serve(self._echo, connection)

    def _echo(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            thread.join(5.0)
            assert not thread.is_alive()
