"""Expressions are understood, or refused with the word that was not."""

from __future__ import annotations

import pytest

from vdibench.errors import ObjectiveError
from vdibench.metrics import Statistic
from vdibench.slo import Place, parse_expectation, parse_place


@pytest.mark.parametrize(
    ("text", "statistic", "operator", "bound", "relative", "at", "gpu"),
    [
        ("p(95) < 0.050", "p(95)", "<", 0.05, False, None, False),
        ("avg > 0.80 at knee", "avg", ">", 0.8, False, Place("knee"), False),
        ("p(5) > 0.9 * target", "p(5)", ">", 0.9, True, None, False),
        ("p(5)>0.9*target", "p(5)", ">", 0.9, True, None, False),
        ("min >= target at highest", "min", ">=", 1.0, True, Place("highest"), False),
        ("knee_lower_bound >= 8 at gpu", None, ">=", 8.0, False, None, True),
        ("max <= 1e-3 at level 4 at gpu", "max", "<=", 0.001, False, Place("level", 4), True),
        ("  count >  -1 ", "count", ">", -1.0, False, None, False),
        ("p( 99.9 ) < .5", "p(99.9)", "<", 0.5, False, None, False),
    ],
)
def test_expressions(text, statistic, operator, bound, relative, at, gpu) -> None:
    parsed = parse_expectation(text)
    assert parsed.statistic == (Statistic.parse(statistic) if statistic else None)
    assert (parsed.operator, parsed.bound, parsed.relative) == (operator, bound, relative)
    assert (parsed.at, parsed.gpu) == (at, gpu)
    assert parsed.text == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "bad", "hint"),
    [
        ("p95 < 3", "'p95'", "did you mean 'p(95)'?"),
        ("ave < 3", "'ave'", "did you mean 'avg'?"),
        ("median < 3", "'median'", "allowed: p(N), avg"),
        ("rate < 3", "'rate'", "allowed: p(N), avg"),
        ("p(0) < 3", "'p(0)'", "above 0 and up to 100"),
        ("p(x) < 3", "'p(x)'", "above 0 and up to 100"),
        ("avg << 3", "'<<'", "use one of <, <=, >, >="),
        ("avg = 3", "'='", "use one of <, <=, >, >="),
        ("avg 3", "'3'", "use one of <, <=, >, >="),
        ("avg", "'nothing'", "use one of"),
        ("avg <", "no number after '<'", "p(95) < 0.050"),
        ("p(95) < 50ms", "'50ms'", "base unit"),
        ("max < 5%", "'5%'", "0.01 for 1 %"),
        ("min > 0.9 * tagret", "'tagret'", "did you mean 'target'?"),
        ("min > fast", "'fast'", "allowed: target, a number"),
        ("avg < 3 at nee", "'nee'", "did you mean 'knee'?"),
        ("avg < 3 at level 0", "'level 0'", "allowed: knee, highest, level N, gpu"),
        ("avg < 3 at level", "'level'", "level N"),
        ("avg < 3 foo", "'foo'", "at PLACE"),
        ("avg < 3 at", "'at'", "at PLACE"),
        ("avg < 3 at knee at highest", "two levels", "name one"),
        ("", "''", "p(95) < 0.050"),
        ("< 3", "'< 3'", "p(95) < 0.050"),
    ],
)
def test_what_is_not_understood_is_named_with_what_is_allowed(text: str, bad: str, hint: str) -> None:
    with pytest.raises(ObjectiveError) as caught:
        parse_expectation(text)
    assert bad in caught.value.cause
    assert hint in caught.value.remedy
    assert caught.value.exit_code == 2


def test_places() -> None:
    assert [str(parse_place(text)) for text in ("knee", "highest", "level 12")] == ["knee", "highest", "level 12"]
    for text in ("gpu", "level", "level -1", "level x", "", "knee 3"):
        with pytest.raises(ObjectiveError):
            parse_place(text)


@pytest.mark.parametrize(
    ("operator", "holds"),
    [
        ("<", [True, False, False]),
        ("<=", [True, True, False]),
        (">", [False, False, True]),
        (">=", [False, True, True]),
    ],
)
def test_operators_at_their_edge(operator: str, holds: list[bool]) -> None:
    expectation = parse_expectation(f"avg {operator} 2")
    assert [expectation.holds(observed, 2.0) for observed in (1.0, 2.0, 3.0)] == holds


def test_a_relative_bound_needs_its_target() -> None:
    assert parse_expectation("p(5) > 0.9 * target").limit(60.0) == 54.0
    assert parse_expectation("p(5) > 0.9 * target").limit(None) is None
    assert parse_expectation("p(5) > 54").limit(None) == 54.0
