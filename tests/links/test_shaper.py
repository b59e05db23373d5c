"""The shaper by itself: time is a number here, and every decision can be foretold."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import pytest

from vdibench.errors import ParameterError
from vdibench.links.counters import Tally, media_payload_type
from vdibench.links.profiles import Direction
from vdibench.links.shaper import Drop, Shaper

Fate = tuple[float, int]


def run(shaper: Shaper[int], arrivals: Iterable[float], size: int = 1000) -> tuple[list[Fate], dict[int, Drop]]:
    """Push packets at their times and pop when the shaper says; releases as (time, number), and what was dropped."""
    gone: list[Fate] = []
    dropped: dict[int, Drop] = {}

    def pop_until(end: float) -> None:
        while (due := shaper.due()) is not None and due <= end:
            for release in shaper.pop(due):
                if release.drop is None:
                    gone.append((due, release.item))
                else:
                    dropped[release.item] = release.drop

    for number, at in enumerate(arrivals):
        pop_until(at)
        drop = shaper.push(at, size, number)
        if drop is not None:
            dropped[number] = drop
    pop_until(1e9)
    return gone, dropped


def every(seconds: float, packets: int) -> list[float]:
    return [number * seconds for number in range(packets)]


def test_without_figures_packets_pass_at_once() -> None:
    gone, dropped = run(Shaper(Direction()), every(0.01, 10))
    assert gone == [(at, number) for number, at in enumerate(every(0.01, 10))]
    assert not dropped


def test_delay_is_exact() -> None:
    gone, _ = run(Shaper(Direction(delay_seconds=0.05)), every(0.001, 200))
    for number, (at, item) in enumerate(gone):
        assert item == number
        assert at == pytest.approx(number * 0.001 + 0.05, abs=1e-12)


def test_jitter_stays_within_and_never_reorders() -> None:
    direction = Direction(delay_seconds=0.02, jitter_seconds=0.03)
    arrivals = every(0.000_5, 20_000)
    gone, _ = run(Shaper(direction, seed=3), arrivals)
    assert [item for _, item in gone] == list(range(20_000))
    extra = [at - arrivals[item] - 0.02 for at, item in gone]
    assert min(extra) >= -1e-9
    assert max(extra) <= 0.03 + 1e-9
    assert sum(extra) / len(extra) == pytest.approx(0.015, abs=0.001)
    assert min(extra) < 0.002
    assert max(extra) > 0.028


def test_jitter_reaches_single_packets_after_a_silence() -> None:
    gone, _ = run(Shaper(Direction(jitter_seconds=0.01), seed=3), every(5.0, 2000))
    extra = [at - 5.0 * item for at, item in gone]
    assert sum(extra) / len(extra) == pytest.approx(0.005, abs=0.000_5)


def test_reordering_only_when_asked() -> None:
    gone, _ = run(Shaper(Direction(jitter_seconds=0.03, reorder=True), seed=3), every(0.001, 1000))
    numbers = [item for _, item in gone]
    assert numbers != sorted(numbers)
    assert sorted(numbers) == list(range(1000))


def test_rate_spaces_packets() -> None:
    # 1000 bytes at 8 Mbit/s take a millisecond.
    gone, dropped = run(Shaper(Direction(rate_bps=8e6, queue_seconds=60.0)), [0.0] * 100)
    assert [at for at, _ in gone] == pytest.approx([0.001 * (number + 1) for number in range(100)])
    assert not dropped


def test_a_full_queue_drops_the_newest() -> None:
    gone, dropped = run(Shaper(Direction(rate_bps=8e6, queue_seconds=0.01)), [0.0] * 100)
    assert [item for _, item in gone] == list(range(11))
    assert dropped == dict.fromkeys(range(11, 100), Drop.QUEUE)


def test_an_idle_link_saves_no_rate() -> None:
    gone, _ = run(Shaper(Direction(rate_bps=8e6)), [0.0, 10.0, 10.0])
    assert [at for at, _ in gone] == pytest.approx([0.001, 10.001, 10.002])


@pytest.mark.parametrize(("loss", "burst"), [(0.01, 1.0), (0.2, 1.0), (0.02, 3.0), (0.1, 10.0)])
def test_loss_and_bursts_are_as_asked(loss: float, burst: float) -> None:
    packets = 80_000
    _, dropped = run(Shaper(Direction(loss_ratio=loss, burst_packets=burst), seed=5), every(0.001, packets))
    assert set(dropped.values()) == {Drop.LOSS}
    runs = [len(list(group)) for lost, group in itertools.groupby(n in dropped for n in range(packets)) if lost]
    mean = max(burst, 1.0 / (1.0 - loss))
    # Four standard errors of the number of runs, each of which brings a burst of its own length.
    assert len(dropped) / packets == pytest.approx(loss, rel=4 * math.sqrt(2 * mean / (loss * packets)))
    assert sum(runs) / len(runs) == pytest.approx(mean, rel=0.1)


def test_a_dead_link_passes_nothing() -> None:
    gone, dropped = run(Shaper(Direction(loss_ratio=1.0)), every(0.01, 100))
    assert not gone
    assert len(dropped) == 100


def test_a_seed_is_a_fate() -> None:
    direction = Direction(rate_bps=5e6, delay_seconds=0.01, jitter_seconds=0.01, loss_ratio=0.1, burst_packets=2)
    first, second, other = (run(Shaper(direction, seed), every(0.001, 2000)) for seed in (7, 7, 8))
    assert first == second
    assert first != other


def test_a_freeze_holds_everything_and_lets_it_go_in_order() -> None:
    shaper: Shaper[int] = Shaper(Direction(delay_seconds=0.02))
    shaper.freeze(1.0, 0.3)
    arrivals = every(0.01, 200)
    gone, dropped = run(shaper, arrivals)
    assert not dropped
    assert [item for _, item in gone] == list(range(200))
    for at, item in gone:
        planned = arrivals[item] + 0.02
        assert at == pytest.approx(1.3 if 1.0 <= planned < 1.3 else planned)


def test_a_freeze_that_begins_now_also_holds_what_is_overdue() -> None:
    shaper: Shaper[int] = Shaper(Direction(delay_seconds=0.02))
    shaper.push(0.0, 100, 1)
    shaper.freeze(0.021, 0.3)
    # Asked for a little late, as a busy machine does; and then it must not be asked for without end.
    assert shaper.pop(0.022) == []
    assert shaper.due() == pytest.approx(0.321)
    (release,) = shaper.pop(0.321)
    assert release.due == pytest.approx(0.321)


def test_a_cut_loses_what_comes_and_what_is_under_way() -> None:
    shaper: Shaper[int] = Shaper(Direction(delay_seconds=0.05))
    shaper.cut(1.0, 0.5)
    gone, dropped = run(shaper, every(0.01, 300))
    assert set(dropped.values()) == {Drop.CUT}
    assert sorted(dropped) == list(range(95, 150))
    assert len(gone) == 245


def test_a_cut_holds_a_stream() -> None:
    shaper: Shaper[int] = Shaper(Direction(delay_seconds=0.05))
    shaper.cut(0.0, 1.0)
    shaper.push_stream(0.5, 100, 1)
    shaper.push_stream(0.99, 100, 2)
    assert shaper.due() == 1.0
    assert [release.item for release in shaper.pop(1.0)] == [1]
    assert shaper.due() == pytest.approx(1.04)


def test_a_cut_for_good_never_asks_again_until_restored() -> None:
    shaper: Shaper[int] = Shaper(Direction())
    shaper.cut(0.0)
    shaper.push_stream(1.0, 100, 1)
    assert shaper.due() is None
    shaper.restore(2.0)
    assert shaper.due() == 2.0
    assert [(release.item, release.drop) for release in shaper.pop(2.0)] == [(1, None)]
    assert shaper.push(3.0, 100, 2) is None


def test_a_stream_is_neither_lost_nor_dropped() -> None:
    shaper: Shaper[int] = Shaper(Direction(loss_ratio=1.0, rate_bps=8e6, queue_seconds=0.0))
    for number in range(50):
        shaper.push_stream(0.0, 1000, number)
    gone, _ = run(shaper, [])
    assert [item for _, item in gone] == list(range(50))
    assert gone[-1][0] == pytest.approx(0.05)


def test_a_change_lets_none_overtake() -> None:
    shaper: Shaper[int] = Shaper(Direction(delay_seconds=0.1))
    shaper.push(0.0, 100, 1)
    shaper.change(Direction())
    shaper.push(0.01, 100, 2)
    releases = shaper.pop(0.2)
    assert [(release.item, release.current) for release in releases] == [(1, False), (2, True)]
    assert releases[1].due == pytest.approx(0.1)
    assert shaper.held == 0


@pytest.mark.parametrize(
    ("packet", "kind"),
    [
        (b"\x80\x60" + bytes(10), 96),
        (b"\x90\xe0" + bytes(10), 96),  # marker bit
        (b"\x80\xc8" + bytes(10), None),  # RTCP sender report
        (b"\x00\x01" + bytes(18), None),  # STUN
        (b"\x16\xfe" + bytes(18), None),  # DTLS
        (b"\x80\x60", None),  # too short for RTP
        (b"", None),
    ],
)
def test_media_is_told_from_what_shares_its_port(packet: bytes, kind: int | None) -> None:
    assert media_payload_type(packet) == kind


def test_percentiles_are_of_real_values() -> None:
    tally = Tally()
    assert tally.document()["hold"] == {"count": 0}
    for number in range(1, 101):
        tally.timed(number * 0.001, 0.0)
    hold = tally.document()["hold"]
    assert hold == pytest.approx(
        {"count": 100, "p50_seconds": 0.05, "p95_seconds": 0.095, "p99_seconds": 0.099, "max_seconds": 0.1}
    )


def test_even_losses_come_at_even_distances() -> None:
    shaper: Shaper[int] = Shaper(Direction(loss_ratio=0.01, even=True))
    lost = [number for number in range(10_000) if shaper.push(number / 1_000, 1_000, number) is Drop.LOSS]
    assert len(lost) == pytest.approx(100, abs=2)
    assert {after - before for before, after in itertools.pairwise(lost)} <= {55, 89, 144}, "three distances, no more"
    every_seventh = [number for number in lost if number % 7 == 0]
    assert len(every_seventh) == pytest.approx(100 / 7, abs=4), "each part of the traffic loses its share"


def test_losses_cannot_be_even_and_in_bursts() -> None:
    with pytest.raises(ParameterError, match="evenly and in bursts"):
        Direction(loss_ratio=0.01, even=True, burst_packets=2)
