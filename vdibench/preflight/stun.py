"""A TURN client for one question, blocking, on one UDP socket: does the server relay for these credentials?

The message codec is aioice's. No event loop, so that it works inside any kernel; call it from a thread of its own.
"""

from __future__ import annotations

import hashlib
import socket
import time
from types import TracebackType
from typing import Any, Self

from aioice import stun

__all__ = ["TurnProbe", "TurnRefused"]

_UDP = 0x11000000
_LIFETIME_SECONDS = 60
_RETRY_SECONDS = 0.25


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
    """

    def __init__(self, host: str, port: int, user: str, password: str, deadline: float) -> None:
        self._user = user
        self._password = password
        self._deadline = deadline
        self._key = b""
        self._realm = ""
        self._nonce = b""
        self._allocated = False
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._allocated:
                self._request(stun.Method.REFRESH, {"LIFETIME": 0})
        except (OSError, TurnRefused):
            # The server frees it after its lifetime of a minute.
            pass
        finally:
            self._socket.close()

    def allocate(self) -> tuple[str, int]:
        """Ask for a relay address.

        :return: its host and port.
        :raises TurnRefused: the server refuses.
        :raises OSError: no answer in time, or nobody listens.
        """
        answer = self._request(stun.Method.ALLOCATE, {"LIFETIME": _LIFETIME_SECONDS, "REQUESTED-TRANSPORT": _UDP})
        self._allocated = True
        host, port = answer.attributes["XOR-RELAYED-ADDRESS"]
        return str(host), int(port)

    def relay(self, payload: bytes) -> float:
        """Send a datagram through the relay to a socket of our own, and take it there.

        :return: seconds from sending to arrival.
        :raises TurnRefused: the server does not relay to this host.
        :raises OSError: it did not arrive in time.
        """
        with socket.socket(self._socket.family, socket.SOCK_DGRAM) as peer:
            peer.bind((self._socket.getsockname()[0], 0))
            address = peer.getsockname()[:2]
            self._request(stun.Method.CREATE_PERMISSION, {"XOR-PEER-ADDRESS": address})
            while True:
                sent = time.perf_counter()
                self._socket.send(
                    bytes(
                        stun.Message(
                            stun.Method.SEND,
                            stun.Class.INDICATION,
                            attributes={"XOR-PEER-ADDRESS": address, "DATA": payload},
                        )
                    )
                )
                peer.settimeout(self._patience())
                try:
                    if peer.recv(2048) == payload:
                        return time.perf_counter() - sent
                except TimeoutError:
                    continue

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
        while True:
            self._socket.send(bytes(request))
            self._socket.settimeout(self._patience())
            try:
                answer = stun.parse_message(self._socket.recv(2048))
            except (TimeoutError, ValueError):
                continue
            if answer.transaction_id == request.transaction_id:
                return answer

    def _patience(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        return min(_RETRY_SECONDS, left)
