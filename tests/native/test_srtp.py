"""What decrypts and protects, against libsrtp2 as pylibsrtp has it: the same is taken, and the same is refused."""

from __future__ import annotations

import os
import random
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pylibsrtp import Error, Policy, Session
from vdibench_native import Keys, Sender

# Profile of libsrtp: length of a key with its salt.
PROFILES = {1: 30, 2: 30, 7: 28, 8: 44}
WINDOW = 1024

profiles = pytest.mark.parametrize("profile", PROFILES)


def packet(sequence: int, ssrc: int = 7, payload: bytes = b"payload", *, sources: int = 0, words: int = -1) -> bytes:
    """RTP in clear text, with contributing sources and so many words of extension, -1: no extension."""
    head = struct.pack("!BBHII", 0x80 | sources | (words >= 0) << 4, 96, sequence & 0xFFFF, 1000, ssrc)
    more = struct.pack("!HH", 0xBEDE, words) + bytes(4 * words) if words >= 0 else b""
    return head + bytes(4 * sources) + more + payload


def both(profile: int) -> tuple[Session, Session, Keys]:
    """Who protects; who decrypts, theirs and ours."""
    key = os.urandom(PROFILES[profile])
    policies = [
        Policy(key=key, ssrc_type=kind, srtp_profile=profile)
        for kind in (Policy.SSRC_ANY_OUTBOUND, Policy.SSRC_ANY_INBOUND)
    ]
    for policy in policies:
        policy.window_size, policy.allow_repeat_tx = WINDOW, True
    return Session(policies[0]), Session(policies[1]), Keys(key, profile)


def taken(receiver: Session | Keys, data: bytes) -> bytes | None:
    """In clear text, None: refused."""
    try:
        clear: bytes = receiver.unprotect(data)
    except (Error, ValueError):
        return None
    return clear


@profiles
@given(
    streams=st.lists(
        st.tuples(
            st.sampled_from((1, 0xFFFFFFFF)),
            # Mostly the next one; holes, late ones, repeated ones, and what wraps.
            st.one_of(st.just(1), st.integers(-1100, 1100), st.sampled_from((-40000, 30000, 32767, 32768, -32768))),
            st.integers(0, 1268),
            st.integers(0, 15),
            st.integers(-1, 3),
        ),
        min_size=1,
        max_size=60,
    ),
    first=st.sampled_from((0, 1, 500, 0x7FFF, 0x8000, 0xFFF0)),
)
def test_the_same_is_taken_and_the_same_refused(profile, streams, first) -> None:
    sends, theirs, ours = both(profile)
    at: dict[int, int] = {}
    for ssrc, step, size, sources, words in streams:
        at[ssrc] = at.get(ssrc, first - step) + step
        try:
            data = sends.protect(packet(at[ssrc], ssrc, os.urandom(size), sources=sources, words=words))
        except Error:
            continue  # so far behind that it is not sent
        assert taken(ours, data) == taken(theirs, data)


@profiles
def test_the_counter_rolls_over_and_late_ones_are_of_the_round_before(profile: int) -> None:
    sends, _, ours = both(profile)
    made = {n: sends.protect(packet(0xFF00 + n, payload=b"%d" % n)) for n in range(0x400)}
    order = [*range(0x400)]
    late = range(0xF0, 0x104)  # around the first turn
    for n in late:
        order.remove(n)
    order[0x300:0x300] = late
    assert all(taken(ours, made[n]) == packet(0xFF00 + n, payload=b"%d" % n) for n in order)


@profiles
def test_nothing_is_taken_twice_nor_too_late(profile: int) -> None:
    sends, _, ours = both(profile)
    made = [sends.protect(packet(n)) for n in range(2 * WINDOW)]
    assert taken(ours, made[0]) is not None
    assert taken(ours, made[0]) is None
    assert taken(ours, made[-1]) is not None
    assert taken(ours, made[-WINDOW]) is not None
    assert taken(ours, made[-WINDOW]) is None
    assert taken(ours, made[-WINDOW - 1]) is None, "behind the window"


@profiles
def test_no_changed_bit_passes_and_none_is_remembered(profile: int) -> None:
    sends, _, ours = both(profile)
    data = sends.protect(packet(1, payload=bytes(60), sources=1, words=1))
    chance = random.Random(profile)
    for position in range(len(data)):
        forged = bytearray(data)
        forged[position] ^= 1 << chance.randrange(8)
        assert taken(ours, bytes(forged)) is None
    assert taken(ours, data) is not None, "forged ones left no trace"


@profiles
@given(data=st.binary(max_size=80))
def test_noise_is_refused(profile, data) -> None:
    assert taken(both(profile)[2], data) is None


@pytest.mark.parametrize("size", [0, 11, 12, 20, 27, 28, 2048, 2049, 5000])
@profiles
def test_what_is_too_short_or_too_long(profile: int, size: int) -> None:
    assert taken(both(profile)[2], b"\x90" + bytes(max(0, size - 1)) if size else b"") is None


@profiles
def test_an_extension_that_is_longer_than_the_packet(profile: int) -> None:
    head = struct.pack("!BBHIIHH", 0x90, 96, 1, 0, 7, 0xBEDE, 0xFFFF)
    assert taken(both(profile)[2], head + bytes(100)) is None


def test_a_payload_of_nothing() -> None:
    for profile in PROFILES:
        sends, _, ours = both(profile)
        assert taken(ours, sends.protect(packet(5, payload=b""))) == packet(5, payload=b"")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as to,
    ):
        for one in (near, to):
            one.bind(("127.0.0.1", 0))
            one.settimeout(5)
        yield near, to


@profiles
def test_theirs_takes_what_ours_protects_over_a_turn(pair: tuple[socket.socket, socket.socket], profile: int) -> None:
    key = os.urandom(PROFILES[profile])
    sender = Sender(pair[0].fileno(), *pair[1].getsockname(), key, profile, 7, 96)
    sender.sequence = 0xFFFE
    theirs = Session(Policy(key=key, ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=profile))
    for number in range(5):
        sender.send([b"%d" % number], 1, False, extension=b"\x10\x07")
        assert theirs.unprotect(pair[1].recv(2048))[20:] == b"%d" % number


def test_a_source_that_was_silent_for_longest_makes_room() -> None:
    sends, _, ours = both(8)
    made = {ssrc: sends.protect(packet(9, ssrc)) for ssrc in range(257)}
    sound = [sends.protect(packet(number, 999)) for number in range(258)]
    for ssrc, data in made.items():
        assert taken(ours, data) is not None
        assert taken(ours, sound[ssrc]) is not None, "one that goes on is kept"
    assert taken(ours, sound[0]) is None
    assert taken(ours, made[256]) is None
    assert taken(ours, made[0]) is not None, "it was forgotten, and begins anew"


@pytest.mark.parametrize("size", [2048, 2047])
@profiles
def test_datagrams_as_long_as_can_be(pair: tuple[socket.socket, socket.socket], profile: int, size: int) -> None:
    key, room = os.urandom(PROFILES[profile]), 12 + 20
    sender = Sender(pair[0].fileno(), *pair[1].getsockname(), key, profile, 7, 96)
    payload = os.urandom(size - room)
    sender.send([payload], 1, False)
    head = struct.pack("!BBHII", 0x80, 96, 0, 1, 7)
    assert taken(Keys(key, profile), pair[1].recv(4096)) == head + payload
    with pytest.raises(ValueError, match="does not fit"):
        sender.send([bytes(2048 - room + 1)], 1, False)


@profiles
def test_padding_is_left_as_it_is(profile: int) -> None:
    sends, _, ours = both(profile)
    padded = bytes([0xA0]) + packet(3, payload=b"x" + bytes(2) + b"\x03")[1:]
    assert taken(ours, sends.protect(padded)) == padded


@profiles
def test_a_step_back_that_nobody_would_take(pair: tuple[socket.socket, socket.socket], profile: int) -> None:
    sender = Sender(pair[0].fileno(), *pair[1].getsockname(), os.urandom(PROFILES[profile]), profile, 7, 96)
    sender.sequence = 5000
    sender.send([b"x"], 1, False)
    sender.sequence = 5000 - WINDOW
    with pytest.raises(OSError, match="does not protect"):
        sender.send([b"x"], 1, False)
    sender.sequence = 5001 - WINDOW
    assert sender.send([b"x"], 1, False)[0] == 1


@pytest.mark.parametrize(
    ("profile", "size", "said"), [(3, 30, "1, 2, 7 and 8"), (8, 28, "44 bytes"), (1, 0, "30 bytes")]
)
def test_keys_that_are_none(profile: int, size: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Keys(bytes(size), profile)
