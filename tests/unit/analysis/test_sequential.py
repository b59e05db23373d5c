"""When trials decide a level: the promised error rates, and what a single trial may and may not do."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from vdibench.analysis import PassedShare, SequentialTest, Trial, rule_of
from vdibench.analysis.trials import needed

TEST = SequentialTest()
PATIENT = settings(deadline=None, max_examples=60)  # a loaded machine is slow and not wrong
EDGE = float(stats.norm.ppf(TEST.holds)) * TEST.deviation  # median margin of a level of which just enough trials pass


def trials(*margins: float | None) -> list[Trial]:
    """Trials of ten sessions; None: one that measured nothing."""
    return [
        Trial(number, 10 if margin is not None and margin >= 0 else 0, 10, measured=margin is not None, margin=margin)
        for number, margin in enumerate(margins)
    ]


def plain(*passed: bool) -> list[Trial]:
    """Trials of which no margin is known."""
    return [Trial(number, 10 if one else 9, 10) for number, one in enumerate(passed)]


def decide(of_level: list[Trial], test: SequentialTest = TEST) -> bool | None:
    return test.judge({1: of_level})[1].good


def rates(median: float, deviation: float, *, outliers: float = 0.0, levels: int = 4000) -> tuple[float, float]:
    """Shares of levels with such trials that are called good, and bad; every level is a search of its own."""
    chance = np.random.default_rng(7)
    margins = chance.normal(median, deviation, (levels, TEST.most_trials))
    margins[chance.random(margins.shape) < outliers] = -1.0
    return called(margins)


def called(margins: np.ndarray) -> tuple[float, float]:
    """The same of levels whose trials are given, a row each."""
    levels = len(margins)
    found = [decide(trials(*np.clip(row, -1, 1))) for row in margins]
    return found.count(True) / levels, found.count(False) / levels


def test_a_level_on_the_edge_is_seldom_called_either() -> None:
    good, bad = rates(EDGE, TEST.deviation)
    assert good <= TEST.alpha
    assert bad <= TEST.beta


def test_a_level_that_only_outliers_fail_is_seldom_called_bad() -> None:
    good, bad = rates(EDGE + TEST.deviation, TEST.deviation, outliers=TEST.outliers)
    assert bad <= TEST.beta
    assert good > 0.3


@pytest.mark.parametrize(("deviation", "most"), [(0.12, 0.05), (0.16, 0.10), (0.24, 0.17)])
def test_trials_that_scatter_more_than_assumed_cost_what_the_design_page_says(deviation: float, most: float) -> None:
    assert rates(float(stats.norm.ppf(TEST.holds)) * deviation, deviation)[0] <= most


@pytest.mark.parametrize(("passing", "most"), [(0.7, 0.38), (0.5, 0.15)])
def test_trials_that_pass_by_chance_are_not_believed_for_their_margins(passing: float, most: float) -> None:
    """What ruins a share of trials shows in no margin of the others: three in a row are what is left of evidence."""
    chance = np.random.default_rng(7)
    good, _ = called(np.where(chance.random((2000, TEST.most_trials)) < passing, 0.5, -0.5))
    assert good <= most


def test_after_a_failed_trial_margins_make_no_level_good() -> None:
    assert decide(trials(-0.5, *[0.9] * 5)) is None
    assert decide(trials(0.9, -0.01, *[0.9] * 4)) is None


def test_where_something_counted_decides_only_pass_and_fail_are_weighed() -> None:
    """Two trials with a margin and one that a count decided: the margins say nothing of the next count."""
    counted = [Trial(number, 10, 10, margin=None if number == 1 else 0.9) for number in range(6)]
    assert decide(counted) is None
    assert decide(trials(*[0.9] * 6)) is True
    lost = [Trial(number, 0, 10, margin=None) for number in range(2)]
    assert decide(lost) is False


def test_clear_levels_are_decided_nearly_always() -> None:
    assert rates(0.6, 0.05, levels=500)[0] > 0.99
    assert rates(-0.4, 0.05, levels=500)[1] > 0.99


@pytest.mark.parametrize("beyond", [0.0, 0.5, 2.0])
def test_every_factor_is_worth_at_most_one_while_the_claim_is_true(beyond: float) -> None:
    """The e-process: the expected factor of one trial, integrated, at the edge and further inside each claim."""
    y = np.linspace(-9, 9, 3601)
    weights = stats.norm.pdf(y) * (y[1] - y[0])

    def expected(shift: float, ruined: float, factors) -> float:
        usual = sum(weight * math.exp(factors(one + shift)) for weight, one in zip(weights, y, strict=True))
        return (1 - ruined) * usual + ruined * math.exp(factors(-50.0))

    def factor(against: str, index: int):
        def of(standing: float) -> float:
            margin = standing * TEST.deviation + EDGE
            trial = Trial(0, 10 if margin >= 0 else 0, 10, margin=margin)
            return getattr(TEST, against)(trial, TEST.deviation)[index]

        return of

    for index in range(1, 3):
        assert expected(-beyond, 0.0, factor("_against_bad", index)) <= 1 + 1e-4
        assert expected(beyond, TEST.outliers, factor("_against_good", index)) <= 1 + 1e-4
    for against, shares in (("_against_bad", (TEST.holds, 0.4)), ("_against_good", (TEST.holds, 0.95))):
        passed, failed = (math.exp(getattr(TEST, against)(one, TEST.deviation)[0]) for one in plain(True, False))
        for share in shares:
            assert share * passed + (1 - share) * failed <= 1 + 1e-9


def test_three_clear_trials_decide_good_and_two_hopeless_ones_bad() -> None:
    assert decide(trials(0.9, 0.9)) is None, "however far they passed"
    assert decide(trials(0.5, 0.5, 0.5)) is True
    assert decide(trials(0.9, 0.9), SequentialTest(most_trials=2)) is True, "more are not allowed"
    assert decide(trials(0.1, 0.1, 0.1)) is None
    assert decide(trials(-0.5, -0.5)) is False


@PATIENT
@given(st.floats(-1, -1e-6))
def test_no_single_failure_decides(margin: float) -> None:
    assert decide(trials(margin)) is None


@PATIENT
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=6), st.integers(0, 5))
def test_trials_that_measured_nothing_change_no_evidence(margins: list[float], at: int) -> None:
    with_gap = [*margins[:at], None, *margins[at:]]
    before, after = (TEST.judge({1: trials(*given)})[1] for given in (margins, with_gap))
    assert (before.good, before.leaning) == (after.good, pytest.approx(after.leaning))
    assert "measured nothing" in TEST.judge({1: trials(None)})[1].reason


@PATIENT
@given(st.lists(st.none() | st.floats(-1, 1), min_size=1, max_size=14))
def test_a_level_is_open_only_while_more_trials_are_allowed(margins: list[float | None]) -> None:
    """Trials that measured nothing are no evidence: they do not use up those that may be made, but they end too."""
    found = TEST.judge({1: trials(*margins)})[1]
    lost = margins.count(None)
    assert found.open == (found.good is None and max(len(margins) - lost, lost) < TEST.most_trials)


def test_trials_that_measured_nothing_leave_as_many_to_decide_with() -> None:
    usual = SequentialTest(most_trials=3)
    [gone] = usual.judge({1: trials(None, 0.5, None, 0.5)}).values()
    assert gone.open
    assert decide(trials(None, 0.5, None, 0.5, 0.5), usual) is True
    [ended] = usual.judge({1: trials(0.5, None, None, None)}).values()
    assert (ended.good, ended.open, ended.reason) == (None, False, "1 of 1 trials passed, 3 measured nothing: given up")


@PATIENT
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=6))
def test_levels_that_always_passed_are_never_bad_by_pass_and_fail_alone(margins: list[float]) -> None:
    if decide(trials(*map(abs, margins))) is False:
        # Every trial passed, but each so narrowly that a fifth of more would fail.
        assert np.mean(np.abs(margins)) < EDGE
    assert decide(trials(*[-abs(one) - 1e-9 for one in margins])) is not True


def test_without_margins_half_takes_five_trials() -> None:
    half = SequentialTest(holds=0.5)
    assert decide(plain(*[True] * 4), half) is None
    assert decide(plain(*[True] * 5), half) is True
    assert decide(plain(*[False] * 4), half) is None
    assert decide(plain(*[False] * 5), half) is False
    assert decide(plain(True, False, True, False, True, False), half) is None


def test_what_passed_trials_show_of_each_other_replaces_the_assumption() -> None:
    alike = {level: trials(*[0.1] * 6) for level in range(1, 8)}
    apart = {level: trials(0.05, 0.65, 0.05, 0.65) for level in range(1, 8)}
    assert TEST.deviation_seen([]) == TEST.deviation
    assert TEST.deviation_seen(alike.values()) < TEST.deviation / 2
    assert TEST.deviation_seen(apart.values()) > 2 * TEST.deviation
    # A trial that failed by far says nothing of how alike the others are.
    ruined = [*trials(0.1, 0.1), Trial(2, 0, 10, margin=-1.0)]
    assert TEST.deviation_seen([ruined]) < TEST.deviation
    assert TEST.judge({8: trials(*[0.3] * 3), **apart})[8].good is None
    assert TEST.judge({8: trials(*[0.3] * 3), **alike})[8].good is True


def test_reasons_are_words() -> None:
    assert TEST.judge({1: trials(0.6)})[1].reason == "1 of 1 trials passed: not confirmed"
    assert TEST.judge({1: trials(0.6, 0.6, 0.6)})[1].reason == "3 of 3 trials passed, the last one 60% inside"
    assert TEST.judge({1: trials(-0.6, -0.6)})[1].reason == "0 of 2 trials passed"
    assert TEST.judge({1: trials(*[0.05, -0.01] * 3)})[1].reason == "3 of 6 trials passed: too close to call"
    assert "80%" in str(TEST)


def test_a_sweep_asks_four_of_five_trials_to_pass() -> None:
    found = PassedShare().judge({1: plain(True, True), 2: plain(True, False), 3: trials(None), 4: []})
    assert [found[level].good for level in (1, 2, 3, 4)] == [True, False, None, None]
    four, five = [True, True, True, False], [True, True, True, True, False]
    found = PassedShare().judge({1: plain(*four), 2: plain(*five), 3: plain(*five[1:], False)})
    assert [found[level].good for level in (1, 2, 3)] == [False, True, False]


@pytest.mark.parametrize(
    "wrong",
    [
        {"holds": 1.0},
        {"holds": 0.0},
        {"alpha": 0.0},
        {"beta": 1.0},
        {"deviation": 0.0},
        {"most_trials": 0},
        {"outliers": 1.0},
        {"fewest": 0},
    ],
)
def test_what_cannot_be_tested_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        SequentialTest(**wrong)  # type: ignore[arg-type]  # one of them is a whole number


def test_the_rule_is_what_parameters_say() -> None:
    assert rule_of({}) == PassedShare()
    assert rule_of({"search": "sweep", "trials": 3}) == PassedShare()
    assert rule_of({"search": "sequential"}) == SequentialTest()
    assert rule_of({"search": "sequential", "trials": 4, "error_rate": 0.1}) == SequentialTest(
        most_trials=4, alpha=0.1, beta=0.1
    )
    assert rule_of({"search": "sequential", "trials": 1}) == PassedShare()
    # What somebody wrote into run.json by hand is not a reason to show no report.
    assert rule_of({"search": "sequential", "trials": "many", "error_rate": 7}) == SequentialTest()


@PATIENT
@given(st.integers(1, 1000))
def test_95_of_100_sessions_are_needed(sessions: int) -> None:
    assert needed(sessions) / sessions >= 0.95 - 1e-9
    assert (needed(sessions) - 1) / sessions < 0.95
    assert [needed(one) for one in (1, 16, 19, 20, 21, 100)] == [1, 16, 19, 19, 20, 95]


def test_stricter_rates_never_decide_earlier() -> None:
    strict, loose = SequentialTest(alpha=0.01, beta=0.01), SequentialTest(alpha=0.2, beta=0.2)
    decided = [[decide(trials(margin), test) for margin in np.linspace(-1, 1, 41)] for test in (strict, TEST, loose)]
    for fewer, more in pairwise(decided):
        assert all(first is None or first == second for first, second in zip(fewer, more, strict=True))
