"""Limits of regressions: what is understood, and what the error says of what is not."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdibench.analysis.regressions import comparable, default_statistic, doubt, parse_limit, parse_wanted
from vdibench.analysis.resampling import Cluster
from vdibench.errors import ParameterError
from vdibench.metrics import REGISTRY, Direction, Statistic


@pytest.mark.parametrize(
    ("text", "statistic", "amount", "relative"),
    [
        ("glass_to_glass_seconds p95 5%", "p(95)", 0.05, True),
        ("glass_to_glass_seconds 5%", "p(95)", 0.05, True),
        ("glass_to_glass_seconds p(50) 5ms", "p(50)", 0.005, False),
        ("glass_to_glass_seconds p99 +0.005", "p(99)", 0.005, False),
        ("glass_to_glass_seconds mean 250us", "avg", 250e-6, False),
        ("frames_per_second p5 -2", "p(5)", 2.0, False),
        ("frames_per_second 2", "avg", 2.0, False),
        ("frames_per_second p5 -10%", "p(5)", 0.1, True),
        ("client_memory_bytes avg 64MiB", "avg", 64 * 2**20, False),
        ("session_failure_ratio avg 0", "avg", 0.0, False),
    ],
)
def test_limits_are_understood(text: str, statistic: str, amount: float, relative: bool) -> None:
    limit = parse_limit(text)
    assert (str(limit.statistic), limit.relative) == (statistic, relative)
    assert limit.amount == pytest.approx(amount)
    assert limit.covers("any", 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a limit is empty"),
        ("glass_to_glas_seconds p95 5%", "did you mean 'glass_to_glass_seconds'?"),
        ("glass_to_glass_seconds", "does not say how much"),
        ("glass_to_glass_seconds p95", "does not say how much"),
        ("glass_to_glass_seconds median 5%", "'median' in 'glass_to_glass_seconds median 5%' is not a statistic"),
        ("glass_to_glass_seconds max 5%", "write p95, p50, p5 or avg"),
        ("glass_to_glass_seconds p100 5%", "'p100'"),
        ("glass_to_glass_seconds p95 five", "'five' in"),
        ("glass_to_glass_seconds p95 5min", "is not an amount of seconds: write a number with % (of the base), s, ms"),
        (
            "glass_to_glass_seconds p95 -5ms",
            "would be an improvement: lower is better: write how much may be lost: +5ms",
        ),
        ("frames_per_second p5 +2", "would be an improvement: higher is better: write how much may be lost: -2"),
        ("frames_per_second p5 2ms", "is not an amount of 1/second"),
        ("gpu_utilization_ratio avg 5%", "neither more nor less of it is better"),
        ("session_phase_seconds p95 5%", "its values are of several things"),
        ("sessions_per_host 1", "a run has one value of it"),
        ("clock_bound_seconds 1ms", "how exact the measuring was"),
        ("glass_to_glass_seconds p95 5% at knee", "'at knee' at the end"),
        ("glass_to_glass_seconds p95 5% at level two", "'at level two' at the end"),
        ("glass_to_glass_seconds p95 5% in", "'in' at the end"),
    ],
)
def test_errors_name_the_word_and_what_is_allowed(text: str, said: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_limit(text)
    assert said in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_place_narrows() -> None:
    limit = parse_limit("glass_to_glass_seconds p95 5% at level 3 in gpu_density")
    assert limit.covers("gpu_density", 3)
    assert not limit.covers("gpu_density", 2)
    assert not limit.covers("latency_under_load", 3)
    assert parse_wanted("frames_per_second in gpu_density").statistic == Statistic("avg")


def test_worse_is_what_the_registry_says() -> None:
    latency, rate = parse_limit("glass_to_glass_seconds p95 10%"), parse_limit("frames_per_second p5 -2")
    assert latency.exceeded(0.020, 0.0221)
    assert not latency.exceeded(0.020, 0.0219)
    assert not latency.exceeded(0.020, 0.001)
    assert rate.exceeded(60, 57.9)
    assert not rate.exceeded(60, 58)
    assert not rate.exceeded(30, 60)
    assert parse_limit("freezes_per_minute avg 10%").exceeded(0, 0.1)
    assert not parse_limit("freezes_per_minute avg 10%").exceeded(0, 0)


def trials(seed: int, count: int, share: float, value: float = 0.020) -> list[Cluster]:
    """Trials of two sessions whose values are ``share`` above ``value``; trials differ by 1 %, frames by more."""
    random = np.random.default_rng(seed)
    common = value * (1 + share + random.normal(0, 0.01, count))
    return [[middle + random.normal(0, 0.05 * value, 60) for _ in range(2)] for middle in common]


def failed(text: str, share: float, *, value: float, count: int) -> int:
    """In how many of so many pairs a true loss of ``share`` is said to exceed the limit."""
    limit = parse_limit(text)
    found = 0
    for seed in range(count):
        base, new = trials(seed, 4, 0.0, value), trials(seed + 1000, 4, share, value)
        p = doubt(limit, float(np.mean(np.concatenate([one for cluster in base for one in cluster]))), base, new)
        found += p is not None and p < 0.05
    return found


@pytest.mark.parametrize(
    ("text", "value", "sign"),
    [
        ("glass_to_glass_seconds avg 5%", 0.020, 1),
        ("frames_per_second avg 5%", 30.0, -1),
        ("frames_per_second avg -1.5", 30.0, -1),
    ],
)
def test_a_true_loss_just_within_the_limit_seldom_fails_and_twice_the_limit_does(
    text: str, value: float, sign: int
) -> None:
    """1 in 20 at most, and a few more by luck."""
    assert failed(text, sign * 0.049, value=value, count=20) <= 3
    assert failed(text, sign * 0.10, value=value, count=8) >= 6
    assert failed(text, -sign * 0.10, value=value, count=2) == 0


def test_what_may_be_lost_of_nothing_is_nothing() -> None:
    limit = parse_limit("freezes_per_minute avg 10%")
    base = [[np.zeros(5)] for _ in range(4)]
    p = doubt(limit, 0.0, base, [[np.ones(5)] for _ in range(4)])
    assert p is not None
    assert p < 0.05
    assert doubt(limit, 0.0, base[:2], base[:2]) is None


def test_every_metric_with_a_direction_says_how_it_is_compared() -> None:
    known = [metric for metric in REGISTRY.values() if comparable(metric)]
    assert len(known) > 30
    assert all(metric.direction is not Direction.NONE for metric in known)
    for metric in known:
        assert parse_limit(f"{metric.name} 5%").statistic == default_statistic(metric)


@given(st.text(max_size=40))
def test_any_text_is_a_limit_or_an_error(text: str) -> None:
    for words in (text, f"glass_to_glass_seconds {text}", f"glass_to_glass_seconds p95 5% {text}"):
        with contextlib.suppress(ParameterError):  # the one error that text may give
            assert parse_limit(words).amount >= 0
