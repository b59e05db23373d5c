"""Percentiles of raw values, and bounds that hold as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from vdibench.metrics import Statistic, percentile_bounds


@pytest.mark.parametrize("text", ["p(95)", "p(99.9)", "avg", "min", "max", "count", "rate"])
def test_a_statistic_reads_as_it_is_written(text: str) -> None:
    assert str(Statistic.parse(text)) == text


@pytest.mark.parametrize("text", ["p95", "p(0)", "p(101)", "p(-1)", "mean", "", "p()", "avg(3)"])
def test_what_is_no_statistic_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Statistic.parse(text)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20, 100, 101])
@pytest.mark.parametrize("percent", [1, 5, 50, 90, 95, 99, 100])
def test_a_percentile_is_a_value_that_was_measured(count: int, percent: int) -> None:
    numbers = np.random.default_rng(count).random(count)
    rank = max(math.ceil(percent * count / 100), 1)
    assert Statistic.parse(f"p({percent})").of(pd.Series(numbers)) == np.sort(numbers)[rank - 1]


def test_the_others() -> None:
    values = pd.Series([4.0, 1.0, 1.0], index=[10.0, 11.0, 14.0])
    expected = {"avg": 2.0, "min": 1.0, "max": 4.0, "count": 3.0, "rate": 0.5}
    assert {name: Statistic.parse(name).of(values) for name in expected} == expected
    assert Statistic.parse("rate").of(values.iloc[:1]) is None


@pytest.mark.parametrize(("q", "count"), [(0.95, 100), (0.95, 400), (0.5, 25), (0.05, 200), (0.99, 1000)])
def test_bounds_hold_the_true_percentile_as_often_as_they_say(q: float, count: int) -> None:
    chance = np.random.default_rng(7)
    true = -math.log(1 - q)  # of an exponential distribution
    held = 0
    for _ in range(1000):
        low, high = percentile_bounds(pd.Series(chance.exponential(size=count)), q)
        held += (low is None or low <= true) and (high is None or true <= high)
    assert held >= 935, "promised 950 of 1000, less three standard deviations"
    assert held <= 995, "the bounds are needlessly wide"


def test_too_few_values_have_no_upper_bound() -> None:
    values = pd.Series(np.arange(30.0))
    low, high = percentile_bounds(values, 0.95)
    assert high is None
    assert low is not None
    assert percentile_bounds(values.iloc[:0], 0.95) == (None, None)
    assert percentile_bounds(values.iloc[:1], 0.5) == (None, None)
    with pytest.raises(ValueError):
        percentile_bounds(values, 1.0)


def test_bounds_close_in_on_the_percentile() -> None:
    values = pd.Series(np.arange(1_000_000) / 1e6)
    low, high = percentile_bounds(values, 0.95)
    assert 0.949 < low < 0.95 < high < 0.951
