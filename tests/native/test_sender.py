"""The native sender against pylibsrtp's own unprotect, over real sockets."""

from __future__ import annotations

import gc
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pylibsrtp import Policy, Session
from vdibench_native import HAS_SRTP, Sender

from vdibench.client.rtp import parse_header

SSRC, TYPE = 0xDEADBEEF, 97
# Profile of libsrtp: length of a key with its salt.
PROFILES = {1: 30, 2: 30, 7: 28, 8: 44}


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def pair(request: Any) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A socket to send from, and one that gets it."""
    host = "127.0.0.1" if request.param == socket.AF_INET else "::1"
    with socket.socket(request.param, socket.SOCK_DGRAM) as ours, socket.socket(request.param, socket.SOCK_DGRAM) as to:
        for one in (ours, to):
            one.bind((host, 0))
            one.settimeout(5)
        to.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        yield ours, to


def sender(pair: Any, *, key: bytes = b"", profile: int = 0, **changed: Any) -> Sender:
    ours, to = pair
    host, port = to.getsockname()[:2]
    arguments = {"fd": ours.fileno(), "host": host, "port": port, "ssrc": SSRC, "payload_type": TYPE} | changed
    return Sender(key=key, profile=profile, **arguments)


def test_it_was_built_with_srtp() -> None:
    """Set-up sees to OpenSSL's headers: a build without them is a set-up that failed."""
    assert HAS_SRTP


def test_headers_in_clear_text(pair: Any) -> None:
    one = sender(pair)
    one.sequence = 0xFFFE
    payloads = [bytes([n]) * (n + 1) for n in range(5)]
    assert one.send(payloads, 0xFFFFFFF0, True) == (5, 15, 0)
    found = [pair[1].recv(4096) for _ in payloads]
    assert [packet[12:] for packet in found] == payloads
    headers = [parse_header(packet) for packet in found]
    assert [header.sequence for header in headers] == [0xFFFE, 0xFFFF, 0, 1, 2]
    assert [header.marker for header in headers] == [False] * 4 + [True]
    assert {(header.timestamp, header.ssrc, header.payload_type) for header in headers} == {(0xFFFFFFF0, SSRC, TYPE)}
    assert one.sequence == 3
    assert one.send([b"x"], 1, False) == (1, 1, 0)
    assert not parse_header(pair[1].recv(4096)).marker


@pytest.mark.parametrize("profile", PROFILES)
def test_protected_as_the_receiver_expects(pair: Any, profile: int) -> None:
    key = os.urandom(PROFILES[profile])
    one = sender(pair, key=key, profile=profile)
    one.sequence = 0xFFF0
    theirs = Session(Policy(key=key, ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=profile))
    payloads = [os.urandom(1200) for _ in range(130)]
    assert one.send(payloads, 5, True) == (130, 130 * 1200, 0)
    assert [theirs.unprotect(pair[1].recv(4096))[12:] for _ in payloads] == payloads


@pytest.mark.parametrize("elements", [b"\x10\x07", b"\x12abc", b"\x1f" + bytes(16)])
def test_an_extension_is_padded(pair: Any, elements: bytes) -> None:
    sender(pair).send([b"payload"], 5, True, extension=elements)
    packet = pair[1].recv(4096)
    header = parse_header(packet)
    assert (header.profile, packet[header.begin :]) == (0xBEDE, b"payload")
    inside = packet[header.extension : header.begin]
    assert inside == elements + bytes(-len(elements) % 4)
    assert struct.unpack_from("!H", packet, 14)[0] == len(inside) // 4


def test_an_error_of_the_socket_is_told() -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with near, far:
        one = Sender(near.fileno(), "127.0.0.1", 9, b"", 0, SSRC, TYPE)
        with pytest.raises(OSError):
            one.send([b"x"], 0, False)  # such a socket knows no such address


def test_what_is_refused_is_counted(pair: Any) -> None:
    one = sender(pair)
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
    packets, size, refused = one.send([bytes(1200)] * 500, 0, True)
    assert packets + refused == 500
    assert size == packets * 1200
    assert one.sequence == 500  # what was refused is lost, as in the network


def test_the_number_is_its_own(pair: Any) -> None:
    """The caller's descriptor may be closed and belong to something else."""
    one = sender(pair)
    pair[0].close()
    assert one.send([b"x"], 0, True) == (1, 1, 0)
    assert pair[1].recv(100)[12:] == b"x"
    one.close()
    one.close()
    with pytest.raises(ValueError, match="closed"):
        one.send([b"x"], 0, True)


def test_no_descriptor_is_left(pair: Any) -> None:
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    for _ in range(50):
        sender(pair, key=bytes(30), profile=1)
    gc.collect()
    assert len(list(descriptors.iterdir())) == before


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"host": "localhost"}, "numeric"),
        ({"port": 0}, "port"),
        ({"port": 65536}, "port"),
        ({"payload_type": 128}, "7 bits"),
        ({"ssrc": 1 << 32}, "32"),
        ({"profile": 99, "key": bytes(30)}, "profile 99"),
        ({"profile": 1, "key": bytes(29)}, "30 bytes"),
    ],
)
def test_what_it_does_not_take(pair: Any, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sender(pair, **changed)


def test_payloads_that_do_not_fit(pair: Any) -> None:
    one = sender(pair)
    with pytest.raises(ValueError, match="does not fit"):
        one.send([bytes(2048)], 0, True)
    with pytest.raises(TypeError):
        one.send(["text"], 0, True)  # type: ignore[list-item]  # what is tried
    with pytest.raises(ValueError, match="255"):
        one.send([b"x"], 0, True, extension=bytes(256))
    with pytest.raises(ValueError, match="16 bits"):
        one.sequence = 65536
    with pytest.raises(OSError):
        sender(pair, fd=-1)
