"""Limits of regressions: what is understood, and what the error says of what is not."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdibench.analysis.regressions import comparable, default_statistic, parse_limit, parse_wanted
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


def test_every_metric_with_a_direction_says_how_it_is_compared() -> None:
    known = [metric for metric in REGISTRY.values() if comparable(metric)]
    assert len(known) > 30
    assert all(metric.direction is not Direction.NONE for metric in known)
    for metric in known:
        assert parse_limit(f"{metric.name} 5%").statistic == default_statistic(metric)


@given(st.text(max_size=40))
def test_any_text_is_a_limit_or_an_error(text: str) -> None:
    for words in (text, f"glass_to_glass_seconds {text}", f"glass_to_glass_seconds p95 5% {text}"):
        with contextlib.suppress(ParameterError):
            assert parse_limit(words).amount >= 0
