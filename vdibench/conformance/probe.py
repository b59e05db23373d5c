"""Ask destinations from where this file runs, and say what they answered.

One file, standard library only, Python 3.9 or later: it is run inside pods. Standard input: one line of JSON with the
``edges`` to try, ``rounds``, ``timeout_seconds`` of one try and ``pause_seconds`` between two. Standard output: a line
of JSON, edge's name -> its tries. All edges are tried at once; the program ends by itself, whatever they do.

A try is ``answered`` (with content that only the protocol's other end can give; a connection alone is none), ``other``
(something answers that is not what was asked for), ``refused``, ``timeout``, or ``error`` (it could not be made).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ["attempt", "main", "run"]

Edge = dict[str, Any]
Said = tuple[str, str]

READ_BYTES = 65536
SHOWN = 60
RESEND_SECONDS = 0.4
GRACE_SECONDS = 2.0

COOKIE = 0x2112A442
BINDING_REQUEST, BINDING_SUCCESS, BINDING_ERROR = 0x0001, 0x0101, 0x0111

# How engines, kernels and routers say no: a reset, or one of ICMP's unreachables.
REFUSALS = {
    errno.EACCES,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ENOPROTOOPT,
    errno.ENOTCONN,
    errno.EPERM,
    errno.EPIPE,
}


class Link:
    """One socket to a destination, and how far it came.

    :param deadline: on the monotonic clock; everything ends then.
    """

    def __init__(self, edge: Edge, deadline: float) -> None:
        self.connected = False
        self._deadline = deadline
        host, datagrams = edge["host"], edge["protocol"] == "UDP"
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM)
        try:
            # An address, not a name: looking one up could not be ended.
            socket.inet_pton(family, host)
            self.socket.settimeout(self.left())
            self.socket.connect((host, edge["port"]))
        except BaseException:  # an interrupt too: nothing that was begun stays
            self.socket.close()
            raise
        self.connected = not datagrams

    def left(self) -> float:
        """Seconds until the deadline."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        return left

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.socket.settimeout(self.left())
        self.socket.sendall(data)

    def receive(self, limit: int = READ_BYTES, patience: float = float("inf")) -> bytes:
        """What comes next; nothing when the other end has closed."""
        self.socket.settimeout(min(self.left(), patience))
        return self.socket.recv(limit)

    def exactly(self, size: int) -> bytes:
        """So many bytes of a stream, or fewer when it ends before."""
        data = b""
        while len(data) < size:
            piece = self.receive(size - len(data))
            if not piece:
                break
            data += piece
        return data


def ask_http(edge: Edge, link: Link) -> Said:
    """The body must hold what is expected."""
    link.send(f"GET {edge['question'] or '/'} HTTP/1.0\r\nHost: {edge['host']}\r\nConnection: close\r\n\r\n".encode())
    data = b""
    while len(data) < READ_BYTES:
        try:
            piece = link.receive()
        except OSError:
            # Some keep the connection open, some break it off: what came counts.
            if data:
                break
            raise
        if not piece:
            break
        data += piece
    if not data:
        return "refused", "closed without a word"
    head, _, body = data.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0]
    if not re.match(rb"HTTP/1\.[01] \d{3}", status):
        return "other", f"no HTTP: {shown(data)}"
    said = f"{shown(status)}: {shown(body)}"
    return ("answered" if edge["expects"].encode() in body else "other"), said


def ask_tls(edge: Edge, link: Link) -> Said:
    """A finished handshake and a certificate: who it is does not matter, that it came does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    link.socket.settimeout(link.left())
    # The socket is the wrapper's from here on, also when the handshake fails.
    link.socket = secure = context.wrap_socket(link.socket, do_handshake_on_connect=False)
    try:
        secure.do_handshake()
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return "refused", "closed during the handshake"
    except ssl.SSLError as error:
        return "other", f"no TLS: {error.reason or error}"
    certificate = secure.getpeercert(binary_form=True)
    if not certificate:
        return "other", "no certificate"
    return "answered", f"certificate sha256:{hashlib.sha256(certificate).hexdigest()[:16]}"


def ask_stun(edge: Edge, link: Link) -> Said:
    """An answer to our transaction."""
    request = struct.pack("!HHI", BINDING_REQUEST, 0, COOKIE) + os.urandom(12)

    def read(answer: bytes) -> Said | None:
        if len(answer) < 20 or answer[4:20] != request[4:20]:
            return None
        (kind,) = struct.unpack("!H", answer[:2])
        return ("answered", f"STUN {kind:#06x}") if kind in (BINDING_SUCCESS, BINDING_ERROR) else None

    if edge["protocol"] == "UDP":
        return by_datagrams(link, request, read)
    link.send(request)
    head = link.exactly(20)
    if not head:
        return "refused", "closed without a word"
    return read(head) or ("other", f"no answer of STUN: {shown(head)}")


def ask_dns(edge: Edge, link: Link) -> Said:
    """An answer to our question: any, since that there is no such name is one too."""
    name = b"".join(bytes([len(part)]) + part.encode() for part in edge["question"].split(".")) + b"\0"
    question = name + struct.pack("!HH", 1, 1)
    request = os.urandom(2) + struct.pack("!HHHHH", 0x0100, 1, 0, 0, 0) + question

    def read(answer: bytes) -> Said | None:
        if len(answer) < 12 or answer[:2] != request[:2] or not answer[2] & 0x80:
            return None
        # Names compare without case, and some servers play with it.
        if answer[12 : 12 + len(question)].lower() != question.lower():
            return None
        return "answered", f"DNS rcode {answer[3] & 15}, answers {struct.unpack('!H', answer[6:8])[0]}"

    if edge["protocol"] == "UDP":
        return by_datagrams(link, request, read)
    link.send(struct.pack("!H", len(request)) + request)
    size = link.exactly(2)
    if len(size) < 2:
        return "refused", "closed without a word"
    answer = link.exactly(struct.unpack("!H", size)[0])
    return read(answer) or ("other", f"no answer of DNS: {shown(answer)}")


def ask_banner(edge: Edge, link: Link) -> Said:
    """What a server says by itself."""
    data = link.receive(256)
    if not data:
        return "refused", "closed without a word"
    return ("answered" if data.startswith(edge["expects"].encode()) else "other"), shown(data)


def by_datagrams(link: Link, request: bytes, read: Callable[[bytes], Said | None]) -> Said:
    """Ask again and again until an answer to this very question comes: a datagram may be lost."""
    strange, due = b"", 0.0
    while True:
        try:
            if time.monotonic() >= due:
                link.send(request)
                due = time.monotonic() + RESEND_SECONDS
            # Never nought, which would mean not to wait at all.
            answer = link.receive(patience=max(0.001, due - time.monotonic()))
        except OSError as error:
            if not timed_out(error):
                raise
            try:
                link.left()
            except TimeoutError:
                if strange:
                    return "other", f"no answer to the question: {shown(strange)}"
                raise
            continue
        said = read(answer)
        if said:
            return said
        strange = answer


ASK: dict[str, Callable[[Edge, Link], Said]] = {
    "http": ask_http,
    "tls": ask_tls,
    "stun": ask_stun,
    "dns": ask_dns,
    "banner": ask_banner,
}


def attempt(edge: Edge, timeout_seconds: float) -> dict[str, Any]:
    """One try of one edge, as JSON types."""
    began = time.monotonic()
    link = None
    try:
        link = Link(edge, began + timeout_seconds)
        word, detail = ASK[edge["speaks"]](edge, link)
    except OSError as error:
        word, detail = failure(error)
        if link is not None and link.connected:
            detail = f"connected, then {detail}"
    except Exception as error:  # whatever it is, the other edges shall be tried and this one named
        word, detail = "error", f"{type(error).__name__}: {error}"
    finally:
        if link is not None:
            link.socket.close()
    return {"word": word, "detail": detail, "seconds": round(time.monotonic() - began, 4)}


def failure(error: OSError) -> Said:
    """A failed call as a word."""
    if timed_out(error):
        return "timeout", "no answer in time"
    name = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return ("refused" if error.errno in REFUSALS else "error"), name


def timed_out(error: OSError) -> bool:
    """Whether time ran out."""
    return isinstance(error, (TimeoutError, socket.timeout))  # two classes before Python 3.10


def shown(data: bytes) -> str:
    """The beginning of what came, as one line of text."""
    text = data[:SHOWN].decode("latin-1")
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def run(request: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Try all edges at once, each so many times.

    :return: edge's name -> its tries, as far as they came.
    """
    rounds, timeout, pause = request["rounds"], request["timeout_seconds"], request["pause_seconds"]
    found: dict[str, list[dict[str, Any]]] = {edge["name"]: [] for edge in request["edges"]}

    def ask(edge: Edge) -> None:
        for number in range(rounds):
            if number:
                time.sleep(pause)  # a policy that comes late, or goes, shows between the rounds
            found[edge["name"]].append(attempt(edge, timeout))

    threads = [threading.Thread(target=ask, args=(edge,), daemon=True) for edge in request["edges"]]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + rounds * (timeout + pause) + GRACE_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return {name: list(tries) for name, tries in found.items()}


def main() -> int:
    """Answer one request."""
    request = json.loads(sys.stdin.buffer.readline())
    print(json.dumps(run(request)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
