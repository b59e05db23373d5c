"""The relay with real datagrams: held as long as asked, lost as counted, frozen, cut, slowed."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Callable

import pytest

from vdibench.errors import ParameterError, TargetUnavailable
from vdibench.links import DirectionCounters, Relay, RelayRoute, profile

from .ends import SIZE_BYTES, DatagramPair, number_of, rtp

MakeRoute = Callable[..., RelayRoute]
MakePair = Callable[[RelayRoute], DatagramPair]


@pytest.mark.parametrize("milliseconds", [0, 20, 50, 100])
def test_delay_is_held_to_a_fraction_of_a_millisecond(route: MakeRoute, pair: MakePair, milliseconds: int) -> None:
    link = route()
    ends = pair(link)
    untouched = statistics.median(ends.one_way(30))
    link.set_profile(profile(f"down.delay={milliseconds}ms"))
    held = statistics.median(ends.one_way(30))
    # What the ends see has their own waking up in it, which a busy machine delays; what the relay did has not.
    assert held - untouched == pytest.approx(milliseconds / 1e3, abs=0.004)
    hold = link.counters().down.hold
    assert hold.count == 30
    assert hold.p50_seconds == pytest.approx(milliseconds / 1e3, abs=0.001)
    assert hold.p50_seconds <= hold.p95_seconds <= hold.p99_seconds <= hold.max_seconds


def test_packets_are_not_sent_early(route: MakeRoute, pair: MakePair) -> None:
    ends = pair(route("down.delay=20ms"))
    assert min(ends.one_way(30)) >= 0.02


def test_lost_packets_are_exactly_those_counted(route: MakeRoute, pair: MakePair) -> None:
    link = route("down.loss=10%,down.delay=5ms")
    ends = pair(link)
    for number in range(2000):
        ends.down(rtp(number))
        if number % 50 == 0:
            time.sleep(0.001)  # no more than a socket's buffer holds
    got = [number_of(packet) for packet in ends.drained(0.5)]
    down = link.counters().down
    assert got == sorted(got)
    assert down.packets == 2000
    assert down.dropped == {"loss": 2000 - len(got), "queue": 0, "cut": 0, "socket": 0}
    assert down.media_dropped == {96: 2000 - len(got)}
    assert down.media_passed == {96: len(got)}
    assert down.passed == len(got)
    assert down.media_lost == 2000 - len(got)
    assert 120 <= down.media_lost <= 280
    assert down.bytes == 2000 * SIZE_BYTES


def test_the_same_seed_loses_the_same_packets(route: MakeRoute, pair: MakePair) -> None:
    fates = []
    for seed in (5, 5, 6):
        ends = pair(route("down.loss=30%", seed))
        for number in range(200):
            ends.down(rtp(number))
        fates.append([number_of(packet) for packet in ends.drained(0.2)])
    assert fates[0] == fates[1] != fates[2]


def test_only_the_direction_asked_for_suffers(route: MakeRoute, pair: MakePair) -> None:
    link = route("down.loss=100%")
    ends = pair(link)
    ends.client.send(b"again")
    assert ends.server.recv(100) == b"again"
    ends.down(rtp(1))
    assert ends.drained(0.1) == []
    counters = link.counters()
    assert counters.up.passed == 2
    assert counters.down.dropped["loss"] == 1
    assert counters.up.hold.count == 2


def test_a_freeze_holds_all_and_lets_it_go_in_order(route: MakeRoute, pair: MakePair) -> None:
    link = route("delay=5ms")
    ends = pair(link)
    began = time.time()
    begins = link.freeze(0.3, after=0.1)
    assert begins == pytest.approx(began + 0.1, abs=0.05)

    def send() -> None:
        for number in range(60):
            ends.down(rtp(number))
            time.sleep(0.01)  # the sender's pace

    sender = threading.Thread(target=send)
    sender.start()
    arrivals = []
    for number in range(60):
        assert number_of(ends.client.recv(2000)) == number
        arrivals.append(time.time())
    sender.join()
    gap, after = max((after - before, after) for before, after in itertools.pairwise(arrivals))
    assert gap == pytest.approx(0.3, abs=0.03)
    assert after == pytest.approx(begins + 0.3, abs=0.01)
    assert link.counters().down.dropped == {"loss": 0, "queue": 0, "cut": 0, "socket": 0}


def test_a_cut_loses_what_is_sent_meanwhile(route: MakeRoute, pair: MakePair) -> None:
    link = route()
    ends = pair(link)
    link.cut(0.2)
    ends.down(rtp(1))
    assert ends.drained(0.3) == []
    ends.down(rtp(2))
    assert number_of(ends.client.recv(2000)) == 2
    assert link.counters().down.dropped["cut"] == 1


def test_a_cut_for_good_lasts_until_restored(route: MakeRoute, pair: MakePair) -> None:
    link = route()
    ends = pair(link)
    link.cut()
    ends.down(rtp(1))
    assert ends.drained(0.1) == []
    link.restore()
    ends.down(rtp(2))
    assert number_of(ends.client.recv(2000)) == 2


def test_rate_limits_what_gets_through(route: MakeRoute, pair: MakePair) -> None:
    link = route("down.rate=8Mbit,down.queue=50ms")
    ends = pair(link)
    began = time.monotonic()
    for number in range(200):
        ends.down(rtp(number))
    sending = time.monotonic() - began
    took = []
    ends.client.settimeout(0.3)
    try:
        while ends.client.recv(2000):
            took.append(time.monotonic())
    except TimeoutError:
        pass  # nothing more comes
    down = link.counters().down
    assert down.passed == len(took)
    assert down.passed + down.dropped["queue"] == 200
    # A packet of 1228 bytes takes 1.228 ms; 50 ms of them wait, and while they are sent some go already.
    each = (SIZE_BYTES + 28) * 8 / 8e6
    assert 0.05 / each - 1 <= down.passed <= (0.05 + sending + 0.02) / each + 2
    assert took[-1] - began == pytest.approx(down.passed * each, abs=0.03)


def test_a_profile_can_change_in_mid_stream(route: MakeRoute, pair: MakePair) -> None:
    link = route()
    ends = pair(link)
    for milliseconds in (40, 0, 20):
        link.set_profile(profile(f"down.delay={milliseconds}ms"))
        took = ends.one_way(10)
        assert min(took) >= milliseconds / 1e3
        hold = link.counters().down.hold
        assert hold.count == 10
        assert hold.p50_seconds == pytest.approx(milliseconds / 1e3, abs=0.003)
    assert link.counters().down.passed == 30


def test_links_of_one_relay_are_apart(route: MakeRoute, pair: MakePair) -> None:
    slow, fast = route("down.delay=50ms"), route()
    slow_ends, fast_ends = pair(slow), pair(fast)
    slow.cut(after=10.0)
    assert statistics.median(fast_ends.one_way(10)) < 0.02
    assert statistics.median(slow_ends.one_way(5)) > 0.05
    assert (slow.counters().down.passed, fast.counters().down.passed) == (5, 10)


def test_clients_of_one_flow_are_apart(route: MakeRoute, pair: MakePair) -> None:
    link = route()
    ends = pair(link)
    other = DatagramPair.__new__(DatagramPair)
    other.server, other.client = ends.server, ends.client.__class__(ends.client.family, ends.client.type)
    other.client.settimeout(5.0)
    other.client.connect(ends.client.getpeername())
    with other:
        assert other.seen_as != ends.seen_as
        other.down(b"to the second")
        ends.down(b"to the first")
        assert other.client.recv(100) == b"to the second"
        assert ends.client.recv(100) == b"to the first"


def test_the_same_question_has_the_same_answer(route: MakeRoute) -> None:
    link = route()
    first = link.open("127.0.0.1", 9, udp=True)
    assert link.open("127.0.0.1", 9, udp=True) == first
    assert link.open("127.0.0.1", 9, udp=False) != first
    assert link.open("127.0.0.1", 10, udp=True) != first
    assert link.addresses() == ["127.0.0.1"]
    assert link.hides_client
    assert link.behind(f"{first[0]}:{first[1]}") == "127.0.0.1:9"
    assert link.behind("192.0.2.1:9") == "192.0.2.1:9"


async def test_a_route_is_asked_without_blocking_the_loop(route: MakeRoute) -> None:
    link = route()
    assert await link.udp("localhost", 9) == link.open("localhost", 9, udp=True)
    assert (await link.tcp("localhost", 9))[0] == "127.0.0.1"
    with pytest.raises(TargetUnavailable, match=r"no-such-host\.invalid has no address"):
        await link.udp("no-such-host.invalid", 9)


def test_a_port_without_a_server_is_as_silent_as_a_network(route: MakeRoute, pair: MakePair) -> None:
    link = route()
    ends = pair(link)
    ends.server.close()
    for _ in range(5):
        ends.client.send(b"anybody?")
        assert ends.drained(0.02) == []
    assert link.counters().up.passed == 6


def test_large_datagrams_pass_whole(route: MakeRoute, pair: MakePair) -> None:
    ends = pair(route())
    ends.down(bytes(60_000))
    assert ends.client.recv(65535) == bytes(60_000)


@pytest.mark.parametrize(("seconds", "after"), [(0.0, 0.0), (-1.0, 0.0), (float("inf"), 0.0), (1.0, -1.0)])
def test_interruptions_that_cannot_be_are_refused(route: MakeRoute, seconds: float, after: float) -> None:
    link = route()
    with pytest.raises(ParameterError):
        link.freeze(seconds, after=after)
    with pytest.raises(ParameterError):
        link.cut(seconds, after=after)


def test_a_closed_route_passes_nothing_and_still_counts(route: MakeRoute, pair: MakePair, relay: Relay) -> None:
    link, other = route(), route()
    ends = pair(link)
    link.close()
    ends.down(rtp(1))
    assert ends.drained(0.05) == []
    assert link.counters().up == link.counters().up
    assert isinstance(link.counters().down, DirectionCounters)
    assert link.counters().up.passed == 1
    assert len(pair(other).one_way(1)) == 1
