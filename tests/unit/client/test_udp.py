"""Own sockets: kernel time stamps, drops, many datagrams at once, the fork of STUN, DTLS and media; real sockets."""

from __future__ import annotations

import asyncio
import functools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from vdibench.client import datagrams
from vdibench.client.datagrams import prepare, reader
from vdibench.client.rounds import MANY, Rounds
from vdibench.client.udp import HostSocket

MEDIA, DTLS, STUN = b"\x80media", b"\x16dtls", b"\x00\x01stun"


class Protocol:
    """What HostSocket uses of aioice's protocol."""

    def __init__(self) -> None:
        self.stun: list[tuple[bytes, tuple[str, int]]] = []
        self.errors: list[Exception] = []
        self.lost = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self.stun.append((data, address))
        if data == b"\x00broken":
            raise IndexError("as aioice raises on attributes that are cut off")

    def error_received(self, error: Exception) -> None:
        self.errors.append(error)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set()


@pytest.fixture
def pair() -> Iterator[Callable[..., tuple[socket.socket, socket.socket]]]:
    """A socket that was prepared, and one that sends to it."""
    opened: list[socket.socket] = []

    def make(family: int = socket.AF_INET) -> tuple[socket.socket, socket.socket]:
        ours, theirs = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
        opened.extend((ours, theirs))
        for one in (ours, theirs):
            one.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        prepare(ours)
        theirs.connect(ours.getsockname())
        return ours, theirs

    yield make
    for one in opened:
        one.close()


READERS = {"at once": reader, "one by one": lambda: datagrams._one_by_one}


@pytest.mark.parametrize("make", READERS.values(), ids=READERS)
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_everything_that_waits(make: Any, family: int, pair: Any) -> None:
    ours, theirs = pair(family)
    read = make()
    assert list(read(ours)) == []
    sent = [b"\x00%d" % index + bytes(index * 7) for index in range(100)]
    for data in sent:
        theirs.send(data)
    found = []
    while batch := list(read(ours)):
        assert len(batch) <= 32
        found += batch
    assert [data for data, *_ in found] == sent
    assert {address for _, _, address, _ in found} == {theirs.getsockname()[:2]}
    assert all(drops == 0 for *_, drops in found)


@pytest.mark.parametrize("make", READERS.values(), ids=READERS)
def test_empty_and_oversized_datagrams(make: Any, pair: Any) -> None:
    ours, theirs = pair()
    for data in (b"", b"x" * 9000, b"x"):
        theirs.send(data)
    assert [len(data) for data, *_ in make()(ours)] == [0, 2048, 1]


@pytest.mark.parametrize("make", READERS.values(), ids=READERS)
def test_the_instant_is_the_kernels(make: Any, pair: Any) -> None:
    """Whoever reads late is not told late arrivals."""
    ours, theirs = pair()
    read, deadline = make(), time.time() + 10
    # Linux begins to stamp in the background once a first socket wants it.
    arrival = now = 0.0
    while now - arrival < 0.01:
        theirs.send(MEDIA)
        threading.Event().wait(0.02)
        now = time.time()
        assert now < deadline
        ((_, arrival, _, _),) = read(ours)
    sent = []
    for _ in range(5):
        sent.append(time.time())
        theirs.send(MEDIA)
        threading.Event().wait(0.01)
    threading.Event().wait(0.05)
    arrivals = [arrival for _, arrival, _, _ in read(ours)]
    assert arrivals == pytest.approx(sent, abs=0.005)


@pytest.mark.parametrize("make", READERS.values(), ids=READERS)
def test_drops_are_counted(make: Any, pair: Any) -> None:
    ours, theirs = pair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for _ in range(50):
        theirs.send(bytes(1000))
    read, kept = make(), 0
    while batch := list(read(ours)):
        kept += len(batch)
    theirs.send(b"x")
    ((_, _, _, drops),) = read(ours)
    assert drops == 50 - kept > 0


async def test_the_fork(pair: Any) -> None:
    ours, theirs = pair()
    protocol, media, other = Protocol(), asyncio.Queue(), asyncio.Queue()
    host = HostSocket(ours, protocol, lambda *packet: media.put_nowait(packet), other.put_nowait)
    assert host.get_extra_info("sockname") == theirs.getpeername()
    for data in (b"", b"\x00broken", STUN, DTLS, b"\x40turn", MEDIA):
        theirs.send(data)
    data, arrival = await asyncio.wait_for(media.get(), 5)
    assert data == MEDIA
    assert abs(arrival - time.time()) < 5
    assert other.get_nowait() == DTLS
    assert other.empty()
    assert protocol.stun == [(b"\x00broken", theirs.getsockname()), (STUN, theirs.getsockname())]
    host.sendto(b"answer", theirs.getsockname())
    assert theirs.recv(100) == b"answer"
    host.sendto(b"nowhere", ("256.0.0.1", 1))
    assert len(protocol.errors) == 1
    host.close()
    host.close()
    assert host.is_closing()
    await asyncio.wait_for(protocol.lost.wait(), 5)
    host.sendto(b"late", theirs.getsockname())
    assert ours.fileno() < 0


@pytest.mark.parametrize("count", [1, MANY - 1, MANY, 3 * MANY])
async def test_rounds_bring_everything(count: int, pair: Any) -> None:
    """Patient sockets, few or many; some leave while others go on, some become impatient."""
    pairs = [pair() for _ in range(count)]
    got: list[list[bytes]] = [[] for _ in range(count)]
    hosts = [
        HostSocket(ours, Protocol(), lambda data, _, mine=mine: mine.append(data), lambda _: None, patient=True)
        for (ours, _), mine in zip(pairs, got, strict=True)
    ]
    sent = 0

    async def send(upto: int) -> None:
        nonlocal sent
        for sent in range(sent + 1, upto + 1):  # noqa: B020  # it counts on
            for host, (_, theirs) in zip(hosts, pairs, strict=True):
                if not host.is_closing():
                    theirs.send(b"\x80%d" % sent)
            await asyncio.sleep(0.001)  # the senders' pace

    async def all_got(number: int) -> None:
        async with asyncio.timeout(5):
            while not all(  # noqa: ASYNC110  # what is waited for is a callback's
                host.is_closing() or mine[-1:] == [b"\x80%d" % number] for host, mine in zip(hosts, got, strict=True)
            ):
                await asyncio.sleep(0.001)  # a poll, with a deadline above

    await send(20)
    await all_got(20)
    await asyncio.sleep(0.02)  # quiet: they are waited for again
    hosts[0].set_patient(False)
    hosts[0].set_patient(False)
    await send(40)
    await all_got(40)
    hosts[0].set_patient(True)
    hosts[-1].close()
    await send(50)
    await all_got(50)
    assert all(mine == [b"\x80%d" % (n + 1) for n in range(len(mine))] for mine in got)
    for host in hosts:
        host.close()
    assert not Rounds.of(asyncio.get_running_loop())._readers


async def test_many_sockets_wake_the_loop_seldom(pair: Any) -> None:
    pairs = [pair() for _ in range(8)]
    calls = 0
    rounds = Rounds.of(asyncio.get_running_loop())
    plain = rounds._round

    def counted() -> bool:
        nonlocal calls
        calls += 1
        return plain()

    rounds._round = counted
    arrivals: list[float] = []
    hosts = [
        HostSocket(ours, Protocol(), lambda _, arrival: arrivals.append(arrival), lambda _: None, patient=True)
        for ours, _ in pairs
    ]
    begin = time.time()
    for index in range(200):
        pairs[index % 8][1].send(MEDIA)
        await asyncio.sleep(0.0005)  # the senders' pace
    took = time.time() - begin
    async with asyncio.timeout(5):
        while len(arrivals) < 200:  # noqa: ASYNC110  # what is waited for is a callback's
            await asyncio.sleep(0.001)  # a poll, with a deadline above
    assert calls < 100
    gaps = [b - a for a, b in zip(sorted(arrivals), sorted(arrivals)[1:], strict=False)]
    assert sorted(gaps)[len(gaps) // 2] == pytest.approx(took / 200, rel=0.5), "rest does not show in the arrivals"
    for host in hosts:
        host.close()


async def test_a_reader_that_raises_leaves_the_others_alone(pair: Any) -> None:
    loop = asyncio.get_running_loop()
    told: asyncio.Queue[BaseException] = asyncio.Queue()
    heard: asyncio.Queue[int] = asyncio.Queue()
    loop.set_exception_handler(lambda _, context: told.put_nowait(context["exception"]))
    rounds = Rounds.of(loop)
    sockets = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(MANY + 1)]

    def read(index: int, _: object) -> None:
        sockets[index][0].recv(10)
        if index == 1:
            raise ValueError("broken")
        heard.put_nowait(index)

    try:
        for index, (ours, _) in enumerate(sockets):
            rounds.add(ours.fileno(), functools.partial(read, index))
        async with asyncio.timeout(5):
            for _ in range(3):
                for _, theirs in sockets:
                    theirs.send(b"x")
                assert str(await told.get()) == "broken"
                assert {await heard.get() for _ in range(MANY)} == set(range(MANY + 1)) - {1}
    finally:
        for ours, theirs in sockets:
            rounds.remove(ours.fileno())
            ours.close()
            theirs.close()
