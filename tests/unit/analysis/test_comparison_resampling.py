"""What resampling says of a difference: nothing between equals, the size of a shift, and no more than it can know."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from vdibench.analysis.resampling import (
    FEWEST_CLUSTERS,
    FEWEST_RELABELLINGS,
    Cluster,
    Method,
    _by_t,
    block_length,
    enough_values,
    shift,
)
from vdibench.metrics import Statistic

P50, P95, AVG = Statistic("p", 50.0), Statistic("p", 95.0), Statistic("avg")


def correlated(random: np.random.Generator, count: int, memory: float) -> np.ndarray:
    noise = random.normal(size=count)
    for at in range(1, count):
        noise[at] = memory * noise[at - 1] + math.sqrt(1 - memory**2) * noise[at]
    return noise


def sessions(seed: int, count: int, *, spread: float = 1.0, added: float = 0.0, frames: int = 100) -> list[Cluster]:
    random = np.random.default_rng(seed)
    return [[20 + random.normal(0, spread) + added + 3 * correlated(random, frames, 0.7)] for _ in range(count)]


@pytest.mark.parametrize("statistic", [P50, P95, AVG], ids=str)
@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 30])
def test_a_side_does_not_differ_from_itself(statistic: Statistic, count: int) -> None:
    side = sessions(1, count)
    found = shift(statistic, side, side)
    assert found.delta == 0
    assert found.p == 1
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high


@pytest.mark.parametrize("statistic", [P50, P95, AVG], ids=str)
@pytest.mark.parametrize(("count", "method"), [(3, Method.T), (5, Method.T), (8, Method.RELABELLING)])
def test_a_shift_is_found_with_its_sign(statistic: Statistic, count: int, method: Method) -> None:
    base, new = sessions(21, count), sessions(121, count, added=10)
    worse, better = shift(statistic, base, new), shift(statistic, new, base)
    assert worse.method is better.method is method
    assert worse.delta == pytest.approx(-better.delta)
    for found in (worse, better):
        assert found.p is not None
        assert found.p < 0.01
        assert found.low is not None
        assert found.high is not None
        assert found.low < math.copysign(10, found.delta) < found.high


def test_few_sessions_speak_only_for_themselves() -> None:
    found = shift(P95, sessions(2, FEWEST_CLUSTERS - 1, frames=400), sessions(3, 9, added=10, frames=400))
    assert found.method is Method.BLOCKS
    assert found.p is not None
    assert found.p < 0.01


def test_two_values_say_nothing() -> None:
    one, other = np.array([1.0]), np.array([2.0])
    found = shift(AVG, [[one]], [[other]])
    assert (found.delta, found.p, found.low, found.method) == (1, None, None, Method.NONE)
    assert shift(AVG, [[one]], [[one]]).p == 1


def test_sides_that_agree_within_themselves_are_counted_not_believed() -> None:
    found = shift(AVG, [[np.array([0.0])]] * 3, [[np.array([6.0])]] * 3)
    assert found.p == pytest.approx(2 / math.comb(6, 3))
    assert found.low is None


def test_the_exact_p_of_eight_against_eight() -> None:
    base = [[np.array([float(number)])] for number in range(8)]
    new = [[np.array([100.0 + number])] for number in range(8)]
    assert math.comb(16, 8) == FEWEST_RELABELLINGS
    assert shift(AVG, base, new).p == pytest.approx(2 / math.comb(16, 8))


def test_one_bad_session_is_no_regression() -> None:
    base = sessions(4, 4, spread=0.5)
    bad = [*sessions(5, 3, spread=0.5), sessions(6, 1, added=40)[0]]
    found = shift(P95, base, bad)
    assert found.delta > 30
    assert found.p is not None
    assert found.p > 0.05


def test_sessions_that_differ_widen_the_interval_however_many_frames_they_have() -> None:
    alike, apart = (
        shift(AVG, sessions(7, 4, spread=spread, frames=2000), sessions(8, 4, spread=spread, frames=2000))
        for spread in (0.0, 4.0)
    )
    assert None not in (alike.low, alike.high, apart.low, apart.high)
    assert apart.high - apart.low > 3 * (alike.high - alike.low)  # type: ignore[operator]  # just asserted


def test_runs_hold_their_sessions_together() -> None:
    """What is shared by the sessions of a run is no evidence of a change, once runs are what is resampled."""
    random = np.random.default_rng(1)
    sides = []
    for _ in range(2):
        side = []
        for _ in range(3):
            common = random.normal(0, 5)
            side.append([common + random.normal(0, 0.2, 50) for _ in range(6)])
        sides.append(side)
    by_session = shift(AVG, *([[series] for run in side for series in run] for side in sides))
    by_run = shift(AVG, *sides)
    assert by_session.p is not None
    assert by_run.p is not None
    assert by_session.p < 0.01 < by_run.p


def test_trials_that_agree_by_luck_are_no_surer_than_their_sessions() -> None:
    """Sessions that differ widely, in trials whose means are alike: the spread of the sessions counts."""
    offsets = np.array([-6.0, -2.0, 2.0, 6.0])
    random = np.random.default_rng(2)
    sides = [
        [[20 + added + offset + random.normal(0, 0.1, 50) for offset in offsets] for _ in range(8)] for added in (0, 1)
    ]
    found = shift(AVG, *sides)
    assert found.low is not None
    assert found.high is not None
    error = math.sqrt(2 * offsets.var(ddof=1) / 32)
    assert found.high - found.low > 3.5 * error


@pytest.mark.parametrize(
    ("base", "new"),
    [
        pytest.param(sessions(10, 24, spread=0.7), sessions(11, 8, spread=3.0), id="few vary more"),
        pytest.param(sessions(12, 3), sessions(13, 40), id="very unlike numbers"),
        pytest.param(sessions(14, 3, frames=5), sessions(15, 3, frames=900), id="very unlike lengths"),
    ],
)
def test_unlike_sides_have_an_answer(base: list[Cluster], new: list[Cluster]) -> None:
    found = shift(P50, base, new)
    assert found.p is not None
    assert 0 < found.p <= 1


def test_false_alarms_keep_their_rate() -> None:
    """Between equals p is below 0.05 in about one case of twenty; of 20 pairs not in more than 4."""
    for count in (3, 8):
        low = [shift(P95, sessions(seed, count), sessions(seed + 5000, count)).p for seed in range(20)]
        assert sum(p is not None and p < 0.05 for p in low) <= 4


@settings(deadline=None, max_examples=20)
@given(
    values=st.lists(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), min_size=1, max_size=9),
    others=st.lists(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), min_size=1, max_size=9),
    percent=st.sampled_from([5.0, 50.0, 95.0, None]),
)
def test_any_values_have_an_answer(values: list[list[float]], others: list[list[float]], percent: float | None) -> None:
    statistic = AVG if percent is None else Statistic("p", percent)
    base, new = ([[np.array(one)] for one in side] for side in (values, others))
    found, again = (shift(statistic, base, new) for _ in range(2))
    assert found == again
    assert found.p is None or 0 <= found.p <= 1
    assert (found.low is None) == (found.high is None)
    if found.low is not None and found.high is not None:
        assert found.low <= found.delta <= found.high


def test_only_what_can_be_resampled_is() -> None:
    side = sessions(1, 3)
    with pytest.raises(ValueError, match="max cannot be resampled"):
        shift(Statistic("max"), side, side)
    with pytest.raises(ValueError, match="without values"):
        shift(AVG, side, [[np.array([])]])


def test_blocks_are_as_long_as_values_remember() -> None:
    random = np.random.default_rng(3)
    forgetful = block_length(random.normal(size=2000))
    lengths = [block_length(correlated(random, 2000, memory)) for memory in (0.5, 0.9)]
    assert forgetful < 5 < lengths[0] < lengths[1] < 3 * math.sqrt(2000) + 1
    assert block_length(np.ones(100)) == 1
    assert block_length(np.array([1.0, 2.0])) == 1


def test_a_percentile_needs_values_beyond_it() -> None:
    assert enough_values(P95, 20)
    assert not enough_values(P95, 19)
    assert enough_values(Statistic("p", 5.0), 20)
    assert enough_values(P50, 2)
    assert enough_values(AVG, 1)
    assert not enough_values(AVG, 0)
    assert not enough_values(Statistic("p", 100.0), 10**9)


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.floats(0.5, 1e4))
def test_t_is_scipys(difference: float, error: float, freedom: float) -> None:
    p, reach = _by_t(difference, error, freedom)
    assert p == pytest.approx(2 * stats.t.sf(abs(difference) / error, freedom), rel=1e-12, abs=1e-300)
    assert reach == pytest.approx(stats.t.ppf(0.975, freedom) * error, rel=1e-12)
