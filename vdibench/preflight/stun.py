"""A TURN client for one question, blocking, on one socket: does the server relay for these credentials?

The message codec is aioice's. No event loop, so that it works inside any kernel; call it from a thread of its own.
"""

from __future__ import annotations

import hashlib
import socket
import time
from types import TracebackType
from typing import Any, Literal, Self

from aioice import stun

__all__ = ["Transport", "TurnProbe", "TurnRefused", "passage_seconds"]

Transport = Literal["udp", "tcp"]

_UDP = 0x11000000
_LIFETIME_SECONDS = 60
_RETRY_SECONDS = 0.25
_LARGEST_BYTES = 2048
_ALLOCATION_MISMATCH = 437
_MISMATCHES = 3


class TurnRefused(Exception):
    """The server answered with an error.

    :param code: STUN error code (401 wrong credentials, 437, 486 quota, 508 no capacity …).
    """

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"{code} {reason}".strip())


class TurnProbe:
    """One allocation. A context manager: leaving gives the allocation back.

    :param deadline: on the monotonic clock; requests are repeated until then.
    :param transport: of the way to the server; relayed are datagrams either way.
    :raises OSError: nobody listens there.
    """

    def __init__(
        self, host: str, port: int, user: str, password: str, deadline: float, transport: Transport = "udp"
    ) -> None:
        self.software = ""
        """What the server calls itself in its last answer; empty where it keeps that to itself."""
        self.relay_address: tuple[str, int] | None = None
        self._user = user
        self._password = password
        self._deadline = deadline
        self._key = b""
        self._realm = ""
        self._nonce = b""
        self._stream = transport == "tcp"
        self._received = b""
        self._server = host, port
        self._socket = self._connected()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.relay_address is not None:
                self._request(stun.Method.REFRESH, {"LIFETIME": 0})
        except (OSError, TurnRefused):
            # The server frees it after its lifetime of a minute.
            pass
        finally:
            self._socket.close()

    def bind(self) -> tuple[str, int]:
        """Ask for our own address as the server sees it (STUN Binding).

        :raises TurnRefused: the server refuses.
        :raises OSError: no answer in time, or nobody listens.
        """
        answer = self._request(stun.Method.BINDING, {})
        host, port = answer.attributes["XOR-MAPPED-ADDRESS"]
        return str(host), int(port)

    def allocate(self) -> tuple[str, int]:
        """Ask for a relay address, from another port of ours where the server still keeps an allocation for this one.

        A port that the kernel gives us again may have been another's a moment ago, whose allocation the server keeps
        for a while after its end (RFC 8656, 7.4: 437, Allocation Mismatch).

        :return: its host and port.
        :raises TurnRefused: the server refuses.
        :raises OSError: no answer in time, or nobody listens.
        """
        attributes = {"LIFETIME": _LIFETIME_SECONDS, "REQUESTED-TRANSPORT": _UDP}
        for left in range(_MISMATCHES, -1, -1):
            try:
                answer = self._request(stun.Method.ALLOCATE, attributes)
            except TurnRefused as refused:
                if refused.code != _ALLOCATION_MISMATCH or not left:
                    raise
                # The other one is connected before this one ends, so that it cannot be given the same port.
                former, self._socket = self._socket, self._connected()
                former.close()
                self._key, self._received = b"", b""
            else:
                break
        host, port = answer.attributes["XOR-RELAYED-ADDRESS"]
        self.relay_address = str(host), int(port)
        return self.relay_address

    def permit(self, peer: tuple[str, int]) -> None:
        """Let a peer's datagrams through to us, and ours to it.

        :raises TurnRefused: the server does not relay to that address.
        :raises OSError: no answer in time.
        """
        self._request(stun.Method.CREATE_PERMISSION, {"XOR-PEER-ADDRESS": peer})

    def send(self, peer: tuple[str, int], payload: bytes) -> None:
        """Send a datagram to a permitted peer through the relay. Nobody says whether it arrives."""
        attributes = {"XOR-PEER-ADDRESS": peer, "DATA": payload}
        self._socket.sendall(bytes(stun.Message(stun.Method.SEND, stun.Class.INDICATION, attributes=attributes)))

    def receive(self) -> bytes | None:
        """The next datagram that came through the relay; None when none came within a moment.

        :raises OSError: the time is up, or the connection is gone.
        """
        patience = self._patience()
        try:
            message = stun.parse_message(self._message(patience))
        except (TimeoutError, ValueError):
            return None
        data = message.attributes.get("DATA")
        return data if isinstance(data, bytes) else None

    def relay(self, payload: bytes) -> float:
        """Send a datagram through the relay to a socket of our own, and take it there.

        :return: seconds from sending to arrival.
        :raises TurnRefused: the server does not relay to this host.
        :raises OSError: it did not arrive in time.
        """
        with socket.socket(self._socket.family, socket.SOCK_DGRAM) as peer:
            peer.bind((self._socket.getsockname()[0], 0))
            address = peer.getsockname()[:2]
            self.permit(address)
            while True:
                sent = time.perf_counter()
                self.send(address, payload)
                peer.settimeout(self._patience())
                try:
                    if peer.recv(_LARGEST_BYTES) == payload:
                        return time.perf_counter() - sent
                except TimeoutError:
                    continue

    def _connected(self) -> socket.socket:
        host, port = self._server
        kind = socket.SOCK_STREAM if self._stream else socket.SOCK_DGRAM
        family, _, _, _, address = socket.getaddrinfo(host, port, type=kind)[0]
        connected = socket.socket(family, kind)
        try:
            connected.settimeout(max(_RETRY_SECONDS, self._deadline - time.monotonic()))
            connected.connect(address)
        except OSError:
            connected.close()
            raise
        return connected

    def _request(self, method: stun.Method, attributes: dict[str, Any]) -> stun.Message:
        answer = self._ask(method, attributes)
        if (
            answer.error_code in (401, 438)
            and "NONCE" in answer.attributes
            and (not self._key or answer.error_code == 438)
        ):
            self._nonce = answer.attributes["NONCE"]
            self._realm = answer.attributes.get("REALM", self._realm)
            # The long-term credential mechanism fixes MD5 (RFC 8489, 9.2.2).
            self._key = hashlib.md5(f"{self._user}:{self._realm}:{self._password}".encode()).digest()
            answer = self._ask(method, attributes)
        if answer.message_class == stun.Class.ERROR:
            code, reason = answer.attributes.get("ERROR-CODE", (0, "no code"))
            raise TurnRefused(code, reason)
        return answer

    def _ask(self, method: stun.Method, attributes: dict[str, Any]) -> stun.Message:
        request = stun.Message(method, stun.Class.REQUEST, attributes=dict(attributes))
        if self._key:
            request.attributes |= {"USERNAME": self._user, "REALM": self._realm, "NONCE": self._nonce}
            request.add_message_integrity(self._key)
        self._socket.sendall(bytes(request))
        while True:
            patience = self._patience()
            try:
                answer = stun.parse_message(self._message(patience))
            except TimeoutError:
                # A stream repeats what was lost by itself.
                if not self._stream:
                    self._socket.sendall(bytes(request))
                continue
            except ValueError:
                continue
            if answer.transaction_id == request.transaction_id:
                self.software = str(answer.attributes.get("SOFTWARE", self.software))
                return answer

    def _message(self, patience: float) -> bytes:
        """One message, whole. What came of it on a stream is kept when the patience ends."""
        self._socket.settimeout(patience)
        if not self._stream:
            return self._socket.recv(_LARGEST_BYTES)
        while True:
            header = self._received[: stun.HEADER_LENGTH]
            length = stun.HEADER_LENGTH + int.from_bytes(header[2:4], "big")
            if len(header) == stun.HEADER_LENGTH and len(self._received) >= length:
                message, self._received = self._received[:length], self._received[length:]
                return message
            more = self._socket.recv(_LARGEST_BYTES)
            if not more:
                raise ConnectionResetError("the server closed the connection")
            self._received += more

    def _patience(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        return min(_RETRY_SECONDS, left)


def passage_seconds(sender: TurnProbe, receiver: TurnProbe, payload: bytes) -> float:
    """Send a datagram from one allocation to the other, as a session and its user do at one relay.

    :return: seconds from sending to arrival.
    :raises TurnRefused: the server relays to no address of its own.
    :raises OSError: it did not arrive in time.
    """
    source, target = sender.relay_address, receiver.relay_address
    if source is None or target is None:
        raise ValueError("both ends need an allocation")
    sender.permit(target)
    receiver.permit(source)
    while True:
        sent = time.perf_counter()
        sender.send(target, payload)
        if receiver.receive() == payload:
            return time.perf_counter() - sent
