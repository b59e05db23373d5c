from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest

from vdibench.client.clock import ChannelClock, ClockEstimate, ClockEstimator, WebClock
from vdibench.selkies import ControlMessage, decode_control

START = 1_700_000_000.0
OFFSET = 3.2
Way = Callable[[random.Random], float]
WAYS: dict[str, tuple[Way, Way]] = {
    "equal": (lambda _: 0.01, lambda _: 0.01),
    "slow to the client": (lambda _: 0.08, lambda _: 0.002),
    "slow to the desktop": (lambda _: 0.002, lambda _: 0.08),
    "queues": (lambda r: 0.02 + r.expovariate(30), lambda r: 0.005 + r.expovariate(30)),
    "none at all": (lambda _: 0.0, lambda _: 0.0),
}


class Desktop:
    """The server's side of the exchange, as both generations do it: rounded readings, one open ping."""

    def __init__(self, offset: float, drift: float = 0.0) -> None:
        self.offset, self.drift = offset, drift

    def reads(self, ours: float) -> float:
        return ours + self.offset + self.drift * (ours - START)

    def exchange(self, clock: ChannelClock, ours: float, down: float, up: float) -> ClockEstimate | None:
        begun = self.reads(ours)
        assert clock.take(ControlMessage("ping", {"start_time": round(begun, 3)}), ours + down) is None
        ended = self.reads(ours + down + up)
        half = round((ended - begun) / 2 * 1000, 3)
        return clock.take(ControlMessage("latency_measurement", {"latency_ms": half}), ours + 2 * down + up)


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("drift", [0.0, 80e-6, -80e-6])
def test_the_offset_is_within_its_bound(name: str, drift: float) -> None:
    down, up = WAYS[name]
    chance = random.Random(name)
    desktop, estimator = Desktop(OFFSET, drift), ClockEstimator()
    clock, made = ChannelClock(estimator), 0
    for second in range(300):
        ours = START + second + chance.random() / 10
        estimate = desktop.exchange(clock, ours, down(chance), up(chance))
        if estimate is None:
            continue
        made += 1
        truth = desktop.reads(estimate.unix_seconds) - estimate.unix_seconds
        assert abs(estimate.offset_seconds - truth) <= estimate.bound_seconds
    assert made > 250
    assert estimator.steps == 0
    ways = [down(chance) + up(chance) for _ in range(1000)]
    assert estimate is not None
    # Half of the shortest round trip, the rounding, and what a few exchanges of drift cost.
    assert estimate.bound_seconds < min(ways) / 2 + 0.005


def test_each_direction_counts_at_its_best() -> None:
    """No round trip was short, but each way was once: the bound is that of both at their best."""
    estimator = ClockEstimator()
    clock, desktop = ChannelClock(estimator), Desktop(OFFSET)
    desktop.exchange(clock, START, 0.001, 0.3)
    estimate = desktop.exchange(clock, START + 1, 0.3, 0.001)
    assert estimate is not None
    assert estimate.bound_seconds == pytest.approx(0.0016, abs=0.0004)
    assert abs(estimate.offset_seconds - OFFSET) <= estimate.bound_seconds


def test_what_is_known_fades() -> None:
    estimator = ClockEstimator()
    assert estimator.estimate(START) is None
    estimator.observe(1.0, 1.002, START)
    then = estimator.estimate(START + 100)
    assert then is not None
    assert then.offset_seconds == pytest.approx(1.001)
    assert then.bound_seconds == pytest.approx(0.001 + 100 * 100e-6)


def test_a_clock_that_is_set() -> None:
    estimator = ClockEstimator()
    clock, desktop = ChannelClock(estimator), Desktop(OFFSET)
    for second in range(5):
        desktop.exchange(clock, START + second, 0.01, 0.01)
    desktop.offset -= 1.0
    for second in range(5, 10):
        estimate = desktop.exchange(clock, START + second, 0.01, 0.01)
    assert estimate is not None
    assert estimator.steps == 1
    assert abs(estimate.offset_seconds - (OFFSET - 1.0)) <= estimate.bound_seconds < 0.02


def test_a_late_pong_counts_for_nothing() -> None:
    """It would be taken for the answer to the ping that came meanwhile: half a round trip of next to nothing."""
    estimator = ClockEstimator()
    clock = ChannelClock(estimator)
    clock.take(ControlMessage("ping", {"start_time": START + OFFSET}), START + 0.3)
    message = ControlMessage("latency_measurement", {"latency_ms": 1.0})
    assert clock.take(message, START + 0.9) is None
    assert clock.take(message, START + 0.9) is None, "one ping, one answer"
    assert estimator.estimate(START + 1) is None


@pytest.mark.parametrize(
    "data", ["null", "[]", "{}", '{"start_time":"1"}', '{"start_time":true}', '{"start_time":1e999}', "1" * 400]
)
def test_what_is_no_reading(data: str) -> None:
    estimator = ClockEstimator()
    clock = ChannelClock(estimator)
    for kind, key in (("ping", "start_time"), ("latency_measurement", "latency_ms")):
        text = data.replace("start_time", key) if not data.startswith("1") else f'{{"{key}":{data}}}'
        message = decode_control(f'{{"type":"{kind}","data":{text}}}')
        assert message is not None
        assert clock.take(message, START) is None
    assert estimator.estimate(START) is None


def test_a_server_that_answers_faster_than_light_is_not_believed() -> None:
    clock = ChannelClock(ClockEstimator())
    clock.take(ControlMessage("ping", {"start_time": START}), START)
    assert clock.take(ControlMessage("latency_measurement", json.loads('{"latency_ms":-50}')), START + 0.01) is None


def test_limits_that_exclude_everything() -> None:
    with pytest.raises(ValueError, match="exclude everything"):
        ClockEstimator().observe(1.0, 0.0, START)


@pytest.mark.parametrize(("down", "up"), [(0.001, 0.001), (0.08, 0.002), (0.002, 0.08)])
@pytest.mark.parametrize("offset", [OFFSET, -OFFSET, 0.0, 0.9999, 1e-4, 86_400.5])
def test_whole_seconds_tell_parts_of_one(down: float, up: float, offset: float) -> None:
    clock = WebClock(ClockEstimator())
    now, requests = START, 0
    while now < START + 15:
        sent = clock.next_request(now)
        assert now <= sent < now + 7
        now = sent + up + down
        estimate = clock.answered(sent, now, int(sent + up + offset))
        requests += 1
        assert abs(estimate.offset_seconds - offset) <= estimate.bound_seconds
    assert requests < 25
    assert estimate.bound_seconds <= (up + down) / 2 + 0.0015
