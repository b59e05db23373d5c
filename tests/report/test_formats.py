"""Base units become text in one way, and what was not measured never becomes a number."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vdibench.metrics import REGISTRY
from vdibench.records import Outcome
from vdibench.report import formats


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 s"),
        (0.0000123, "12.3 µs"),
        (0.0009996, "1.00 ms"),
        (0.0213449, "21.3 ms"),
        (0.09996, "100 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.00 s"),
        (12.34, "12.3 s"),
        (1234.5, "1,234 s"),
        (-0.004, "-4.00 ms"),
        (np.float64(0.05), "50.0 ms"),
    ],
)
def test_seconds(value: float, text: str) -> None:
    assert formats.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (1023, "1,023 B"),
        (1024, "1.00 KiB"),
        (1024**2 - 1, "1.00 MiB"),
        (410e6, "391 MiB"),
        (16 * 2**30, "16.0 GiB"),
        (5e15, "4,547 TiB"),
    ],
)
def test_bytes(value: float, text: str) -> None:
    assert formats.data(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.5, "50.0 %"),
        (0.00013, "0.0130 %"),
        (1e-7, "< 0.001 %"),
        (0.9999, "100 %"),
        (1.5, "150 %"),
    ],
)
def test_ratio(value: float, text: str) -> None:
    assert formats.ratio(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.04, "0.0 s"),
        (59.9, "59.9 s"),
        (59.96, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
        (7384, "2 h 03 min"),
        (-61, "−1 min 01 s"),
    ],
)
def test_duration(value: float, text: str) -> None:
    assert formats.duration(value) == text


@pytest.mark.parametrize("absent", [None, math.nan, math.inf, -math.inf, np.float64("nan")])
@pytest.mark.parametrize("unit", sorted({metric.unit for metric in REGISTRY.values()} | {"", "of a kind unknown"}))
def test_absent_is_said_in_every_unit(absent: float | None, unit: str) -> None:
    assert formats.quantity(absent, unit) == formats.NO_DATA


def test_absent_is_said_by_every_form() -> None:
    for form in (
        formats.seconds,
        formats.data,
        formats.ratio,
        formats.cores,
        formats.count,
        formats.plain,
        formats.duration,
    ):
        assert form(None) == formats.NO_DATA
        assert form(math.nan) == formats.NO_DATA
    assert formats.instant(None) == formats.NO_DATA
    assert formats.instant(1e30) == formats.NO_DATA
    assert formats.interval(None, math.nan, "seconds") == "too few samples"
    assert formats.interval(0.02, None, "seconds") == "20.0 ms … open"


@pytest.mark.parametrize("metric", REGISTRY)
def test_every_unit_of_the_register_is_known(metric: str) -> None:
    unit = REGISTRY[metric].unit
    text = formats.quantity(2.0, unit)
    assert text != formats.NO_DATA
    assert not text.endswith(unit) or unit in ("cores", "sessions", "packets")


@pytest.mark.parametrize(
    ("text", "bound", "unit", "shown"),
    [
        ("p(95) < 0.050", 0.05, "seconds", "p(95) < 50 ms"),
        ("p(5) > 0.9 * target", 54.0, "1/second", "p(5) > 54 /s (0.9 * target)"),
        ("avg > 0.80 at knee", 0.8, "ratio", "avg > 80 % at knee"),
        ("knee_lower_bound >= 8 at gpu", 8.0, "sessions", "knee_lower_bound >= 8 sessions at gpu"),
        ("max <= 0.2505", 0.2505, "seconds", "max <= 250 ms"),
        ("p(95) < 0.050", None, "seconds", "p(95) < 0.050"),
        ("passes", None, "", "passes"),
    ],
)
def test_expectation_has_its_bound_in_a_readable_unit(text: str, bound: float | None, unit: str, shown: str) -> None:
    assert formats.expectation(text, bound, unit) == shown


def test_every_outcome_has_a_word_of_its_own() -> None:
    assert len({formats.outcome_word(outcome) for outcome in Outcome}) == len(Outcome)


def test_long_names_keep_both_ends() -> None:
    name = "alpha" + "x" * 60 + "omega"
    short = formats.shorten(name, 20)
    assert len(short) == 20
    assert short.startswith("alpha")
    assert short.endswith("omega")
    assert formats.shorten("short", 20) == "short"


def test_text_from_outside_cannot_steer_a_terminal() -> None:
    assert formats.clean("a\x1b[31mred\x1b[0m\rb\x07\u202etxt") == "aredbtxt"
    assert formats.clean("line\nline\ttab — ok") == "line\nline\ttab — ok"
