"""Distributions that are added up say what the concatenated samples say, within their resolution."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vdibench.load.histograms import Distribution, merged

RESOLUTION = 1e-3
MICROSECOND = 1e-6
PERCENTS = (1.0, 25.0, 50.0, 90.0, 95.0, 99.0, 99.9, 100.0)

durations = st.lists(
    st.one_of(
        st.floats(0.0, 3600.0),
        st.floats(0.0, 0.1),  # where most of ours are
        st.sampled_from([0.0, 0.002047, 0.002048, 0.002049, 0.016666, 1.0, 3600.0]),  # ends of buckets
    ),
    max_size=200,
)


def exact(values: np.ndarray, percent: float) -> float:
    """By nearest rank, as an HDR histogram counts."""
    rank = max(1, math.floor(percent / 100 * len(values) + 0.5))
    return float(np.sort(values)[rank - 1])


def near(found: float, true: float) -> bool:
    return abs(found - true) <= RESOLUTION * true + MICROSECOND


@settings(deadline=None)
@given(st.lists(durations, min_size=4, max_size=4).filter(any))
def test_merged_percentiles_of_four_workers_are_those_of_all_samples(workers: list[list[float]]) -> None:
    parts = []
    for samples in workers:
        distribution = Distribution()
        distribution.add(np.array(samples))
        parts.append({"frame_interval_seconds": distribution.text()})
    whole = merged(parts)["frame_interval_seconds"]
    samples = np.concatenate([np.array(samples, dtype=float) for samples in workers])
    assert len(whole) == len(samples)
    found = whole.percentiles(PERCENTS)
    for percent in PERCENTS:
        true = exact(samples, percent)
        assert near(found[percent], true), (percent, found[percent], true)
        assert found[percent] == whole.percentile(percent)


@settings(deadline=None)
@given(durations)
def test_counting_many_at_once_is_counting_each(samples: list[float]) -> None:
    at_once, one_by_one = Distribution(), Distribution()
    at_once.add(np.array(samples))
    for sample in samples:
        one_by_one.add(np.array([sample]))
    assert len(at_once) == len(one_by_one) == len(samples)
    for percent in PERCENTS:
        assert at_once.percentile(percent) == pytest.approx(one_by_one.percentile(percent), nan_ok=True)


def test_what_was_not_measured_is_not_counted() -> None:
    distribution = Distribution()
    distribution.add(np.array([math.nan, 0.02, math.nan]))
    assert len(distribution) == 1


def test_nothing_counted_has_no_percentile() -> None:
    assert math.isnan(Distribution().percentile(50))
    assert math.isnan(Distribution().percentiles([50])[50])


def test_clocks_that_differ_give_nothing_below_zero() -> None:
    distribution = Distribution()
    distribution.add(np.array([-0.5, 0.01]))
    assert distribution.percentile(1) == 0
    assert len(distribution) == 2


def test_what_is_longer_than_an_hour_counts_as_an_hour() -> None:
    distribution = Distribution()
    distribution.add(np.array([7200.0]))
    assert distribution.percentile(50) == pytest.approx(3600, rel=RESOLUTION)


@pytest.mark.parametrize("text", ["", "nonsense", "HISTFAAAABl42pNpmSzMwMDAxAABzFCaEUoz2X+AMABGGAMy"])
def test_a_text_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="HDR"):
        Distribution.read(text)
