"""The native receiver over real sockets: what it reads, what it adds up, what it leaves to Python, what it survives."""

from __future__ import annotations

import gc
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from vdibench_native import Keys, Receiver, Run, floor

from vdibench.client.datagrams import prepare
from vdibench.client.native import Run as Described
from vdibench.client.native import native_module, receiver_name
from vdibench.errors import UsageError

TYPE, SSRC = 97, 7


class Line:
    """A receiver with one socket, and the other end of it."""

    def __init__(self, family: int = socket.AF_INET) -> None:
        self.host = "127.0.0.1" if family == socket.AF_INET else "::1"
        self.ours, self.theirs = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
        for one in (self.ours, self.theirs):
            one.bind((self.host, 0))
        prepare(self.ours)
        self.theirs.connect(self.ours.getsockname())
        self.receiver = Receiver()
        self.lane = self.receiver.add(self.ours.fileno(), self.take)
        self.lane.touch([TYPE])

    def take(self, events: Any) -> None:
        """Only its identity matters."""

    def read(self, *datagrams: bytes) -> list[Any]:
        for one in datagrams:
            self.theirs.send(one)
        found: list[Any] = []
        while (ready := self.receiver.round()) is not None:
            for take, events in ready:
                assert take == self.take
                found += events
        return found

    def close(self) -> None:
        self.receiver.close()
        self.ours.close()
        self.theirs.close()


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def line(request: Any) -> Iterator[Line]:
    made = Line(request.param)
    yield made
    made.close()


def packet(
    sequence: int, timestamp: int, *, marker: bool = False, payload: bytes = b"payload", first: int = 0x80
) -> bytes:
    kind = TYPE | (0x80 if marker else 0)
    return struct.pack("!BBHII", first, kind, sequence & 0xFFFF, timestamp, SSRC) + payload


def arm(line: Line, sequence: int, timestamp: int, *, opened: bool = False, **changed: Any) -> None:
    arguments = {"ssrc": SSRC, "payload_type": TYPE, "overhead": 0, "checked": sequence, "whole": True} | changed
    line.lane.arm(sequence, timestamp, open=opened, **arguments)


def test_everything_that_waits_as_it_came(line: Line) -> None:
    sent = [b"\x00%d" % index + bytes(index * 7) for index in range(200)]
    before = time.time()
    found = line.read(*sent)
    assert [data for data, *_ in found] == sent
    assert {address for _, _, address, _ in found} == {line.theirs.getsockname()[:2]}
    assert all(before - 1 < arrival < time.time() + 1 for _, arrival, *_ in found)
    assert line.receiver.round() is None


def test_empty_and_oversized_datagrams(line: Line) -> None:
    assert [len(data) for data, *_ in line.read(b"", b"x" * 9000, b"x")] == [0, 2048, 1]


def test_frames_are_added_up(line: Line) -> None:
    arm(line, 0xFFFE, 100)
    frame = [packet(0xFFFE + n, 1600, marker=n == 3, payload=bytes(10 + n)) for n in range(4)]
    (run,) = line.read(*frame)
    assert isinstance(run, Run)
    described = Described(*run)
    assert described._replace(first_arrival_unix_seconds=0, last_arrival_unix_seconds=0) == Described(
        0xFFFE, 1600, 4, 46, 10, 0, 0, True, True, b"", b"", False
    )
    assert 0 <= described.last_arrival_unix_seconds - described.first_arrival_unix_seconds < 5
    assert line.lane.armed


def test_a_frame_over_several_rounds_is_one_run(line: Line) -> None:
    arm(line, 0, 100)
    assert line.read(packet(0, 1600), packet(1, 1600)) == []
    assert line.read(packet(2, 1600)) == []
    (run,) = line.read(packet(3, 1600, marker=True))
    assert (run.packets, run.begins, run.ends) == (4, True, True)


def test_a_sum_can_be_asked_for(line: Line) -> None:
    arm(line, 0, 100)
    assert line.lane.sum() is None
    line.read(packet(0, 1600), packet(1, 1600))
    part = line.lane.sum()
    assert part is not None
    assert (part.packets, part.begins, part.ends) == (2, True, False)
    (rest,) = line.read(packet(2, 1600, marker=True))
    assert (rest.packets, rest.begins, rest.ends) == (1, False, True)
    line.read(packet(3, 3100))
    last = line.lane.disarm()
    assert last is not None
    assert last.sequence == 3
    assert not line.lane.armed
    assert line.lane.disarm() is None


@pytest.mark.parametrize(
    "odd",
    [
        packet(9, 1600),
        packet(2, 1600, first=0xA0),
        packet(2, 1600, first=0x81),
        packet(2, 1600, payload=b""),
        packet(2, 3100),
        packet(2, 1600)[:11] + b"\x09" + b"another source",
    ],
    ids=["hole", "padded", "contributing source", "no payload", "no marker before", "another source"],
)
def test_what_is_odd_comes_after_the_sum_and_disarms(line: Line, odd: bytes) -> None:
    arm(line, 0, 100)
    run, raw, after = line.read(packet(0, 1600), packet(1, 1600), odd, packet(2, 1600))
    assert (run.packets, run.ends) == (2, False)
    assert raw[0] == odd
    assert after[0] == packet(2, 1600)
    assert not line.lane.armed


def test_what_concerns_another_stream_leaves_it_alone(line: Line) -> None:
    arm(line, 0, 100)
    sound = struct.pack("!BBHII", 0x80, 111, 5, 5, 5) + b"sound"
    found = line.read(packet(0, 1600), sound, b"\x00\x01stun", b"\x16dtls", packet(1, 1600, marker=True))
    assert [one[0] for one in found[:3]] == [sound, b"\x00\x01stun", b"\x16dtls"]
    assert found[3].packets == 2


def test_a_report_comes_between(line: Line) -> None:
    """It may set the clock by which what came before was read."""
    arm(line, 0, 100)
    report = b"\x80\xc8\x00\x06" + bytes(24)
    first, raw, second = line.read(packet(0, 1600), report, packet(1, 1600, marker=True))
    assert (first.packets, first.ends, raw[0], second.packets, second.begins) == (1, False, report, 1, False)


def test_one_packet_in_so_many_is_pythons(line: Line) -> None:
    arm(line, 0, 100, checked=0xFFFF & (1 - 0x1000))
    run, raw = line.read(packet(0, 1600), packet(1, 1600))
    assert (run.packets, raw[0]) == (1, packet(1, 1600))


def test_heads_with_extensions(line: Line) -> None:
    arm(line, 0, 100)
    head = struct.pack("!HH", 0xBEDE, 1) + b"\x10\x07\x00\x00"
    parts = [packet(n, 1600, marker=n == 2, first=0x90, payload=head + b"data") for n in range(3)]
    (run,) = line.read(*parts)
    assert (run.first_head, run.last_head, run.size_bytes) == (parts[0][:20], parts[2][:20], 12)
    long = struct.pack("!HH", 0xBEDE, 100) + bytes(400)
    (raw,) = line.read(packet(3, 3100, marker=True, first=0x90, payload=long + b"data"))
    assert len(raw[0]) == 12 + 404 + 4, "a head that is too long to be kept is Python's"


def test_forged_packets_are_pythons() -> None:
    """With keys only what they fit is added up."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "client"))
    from srtp import Sender

    line = Line()
    try:
        key = os.urandom(30)
        line.lane.keys = Keys(key, 1)
        theirs = Sender(SSRC, TYPE, key=key)
        arm(line, 0, 100, overhead=10, codec="H264")
        good = [theirs.packet(1600, b"\x65\x88picture"), theirs.packet(1600, b"\x65\x08rest", marker=True)]
        run, raw = line.read(*good, packet(2, 3100, payload=bytes(40)))
        assert (run.packets, run.size_bytes, run.key) == (2, 15, True)
        assert raw[2:] == (None, 0)
        assert line.lane.keys.unprotect(theirs.packet(3100, b"clear"))[12:] == b"clear"
        with pytest.raises(ValueError, match="decrypt"):
            line.lane.keys.unprotect(good[0])
        line.lane.keys = None
        with pytest.raises(TypeError):
            line.lane.keys = "keys"  # type: ignore[assignment]  # what is tried
    finally:
        line.close()


def test_drops_are_counted(line: Line) -> None:
    line.ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for index in range(200):
        line.theirs.send(packet(index, 100, payload=bytes(1000)))
    received = len(line.read())
    line.read(packet(1, 1))  # the count comes with the next datagram
    assert line.lane.drops == 200 - received > 0


def test_a_socket_whose_other_end_is_gone(line: Line) -> None:
    line.ours.connect(line.theirs.getsockname())
    line.theirs.close()
    line.ours.send(b"into the void")
    found: list[Any] = []
    deadline = time.monotonic() + 5
    while not found and time.monotonic() < deadline:
        found = line.read()
    (error,) = found
    assert isinstance(error, ConnectionRefusedError)
    assert line.read() == []


def test_the_journal_has_every_datagram(line: Line) -> None:
    line.receiver.journal = []
    arm(line, 0, 100)
    sent = [packet(0, 1600), b"\x16dtls", packet(1, 1600, marker=True)]
    line.read(*sent)
    assert [(fd, data) for fd, data, _ in line.receiver.journal] == [(line.ours.fileno(), data) for data in sent]
    line.receiver.journal = None
    line.read(b"x")


def test_misuse_is_refused(line: Line) -> None:
    fd = line.ours.fileno()
    with pytest.raises(ValueError, match="already"):
        line.receiver.add(fd, print)
    assert [data for data, *_ in line.read(b"x")] == [b"x"], "the first lane is still there"
    with pytest.raises(OSError):
        line.receiver.add(9999, print)
    with pytest.raises(ValueError, match="whole"):
        arm(line, 0, 100, whole=False)
    with pytest.raises(ValueError, match="overhead"):
        arm(line, 0, 100, overhead=-1)
    arm(line, 0, 100)
    line.read(packet(0, 1600))
    with pytest.raises(ValueError, match="take what"):
        arm(line, 0, 100)
    with pytest.raises(ValueError, match="7 bits"):
        line.lane.touch([128])
    with pytest.raises(TypeError):
        type(line.lane)()
    line.receiver.remove(fd)
    with pytest.raises(KeyError):
        line.receiver.remove(fd)
    assert line.read(b"x") == []
    line.receiver.close()
    line.receiver.close()
    for call in (line.receiver.round, lambda: line.receiver.add(fd, print)):
        with pytest.raises(ValueError, match="closed"):
            call()


def test_a_socket_that_was_closed_first_and_lives_on_in_a_copy(line: Line) -> None:
    fd = line.ours.fileno()
    copy = line.ours.dup()
    with copy:
        line.ours.close()
        line.receiver.remove(fd)
        line.lane = None
        gc.collect()
        line.theirs.send(b"for nobody")
        assert line.receiver.round() == []


def test_nothing_is_left_behind() -> None:
    """Receivers in circles with their callbacks, dropped with sockets in them."""
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    for _ in range(50):
        line = Line()
        line.read(b"x")
        line.ours.close()
        line.theirs.close()
        del line
    gc.collect()
    assert len(list(descriptors.iterdir())) == before


@pytest.mark.parametrize("mode", ["recvfrom", "recvmmsg"])
def test_the_floor_reads_everything(mode: str) -> None:
    pairs = [Line() for _ in range(3)]
    try:
        for one in pairs:
            for index in range(20):
                one.theirs.send(packet(index, 0))
        said = floor([one.ours.fileno() for one in pairs], 0.2, mode)
        assert (said["packets"], said["bytes"]) == (60, 60 * 19)
        assert said["seconds"] >= 0.2
        assert 0 < said["cpu_seconds"] <= said["seconds"]
    finally:
        for one in pairs:
            one.close()


def test_the_floor_takes_no_nonsense() -> None:
    for arguments in (([], 1, "blocking"), ([], -1, "recvfrom"), ([], float("nan"), "recvfrom")):
        with pytest.raises(ValueError):
            floor(*arguments)
    with pytest.raises(OSError):
        floor([9999], 0.1, "recvfrom")


def test_whether_it_is_used() -> None:
    assert receiver_name(native_module()) == receiver_name(native_module(True)) == "native 0.1.0"
    assert receiver_name(native_module(False)) == "python"


def test_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vdibench_native", None)
    assert native_module() is None
    with pytest.raises(UsageError, match=r"pip install vdibench/load/native"):
        native_module(True)


COLLECTED = """
import gc, socket, sys
from vdibench_native import Receiver
try:
    import _testcapi
except ImportError:  # a Python that was packaged without what tests it
    _testcapi = None

receiver, pair = Receiver(), [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
pair[0].bind(("127.0.0.1", 0))
pair[1].sendto(b"x", pair[0].getsockname())
lane = receiver.add(pair[0].fileno(), print)
# Lists in use: the next one is no old one that is used again, so that making it may collect garbage, or fail.
lists = [[] for _ in range(1000)]
references = sys.getrefcount(lane)
round = receiver.round
if _testcapi is not None:
    _testcapi.set_nomemory(0, 1)
    try:
        round()
    except MemoryError:
        pass
    finally:
        _testcapi.remove_mem_hooks()
assert sys.getrefcount(lane) == references

def collecting(phase, info):
    global lane
    if phase == "start" and lane is not None:
        receiver.remove(pair[0].fileno())
        lane = None

gc.callbacks.append(collecting)
gc.disable()
for _ in range(1000):
    lists.append([])
gc.set_threshold(1)
gc.enable()
found = round()
gc.disable()
print("collected", lane, found)
"""


def test_a_socket_that_is_taken_out_while_a_round_begins() -> None:
    """Making the round's list may fail, and may collect garbage that takes out the only socket that has something."""
    done = subprocess.run([sys.executable, "-c", COLLECTED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "collected None []\n"), done.stderr
