"""The language of one objective: ``p(95) < 0.050``, ``p(5) > 0.9 * target``, ``avg > 0.80 at knee``. Pure.

::

    expectation = aggregation operator bound { "at" place }
    aggregation = "p(" N ")" | "avg" | "min" | "max" | "count" | "knee_lower_bound"
    operator    = "<" | "<=" | ">" | ">="
    bound       = number | [ number "*" ] "target"          target: the frame rate that was asked for
    place       = "knee" | "highest" | "level" N | "gpu"    gpu: only where there is one

Numbers are in the metric's base unit. Errors name the word that was not understood and what is allowed.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches

from vdibench.errors import ObjectiveError
from vdibench.metrics import Statistic

__all__ = [
    "FIRST_LEVEL",
    "KNEE_LOWER_BOUND",
    "TARGET",
    "Expectation",
    "Place",
    "parse_expectation",
    "parse_place",
    "unknown",
]

KNEE_LOWER_BOUND = "knee_lower_bound"
TARGET = "target"

_AGGREGATIONS = ("p(N)", "avg", "min", "max", "count", KNEE_LOWER_BOUND)
_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_LISTED = 10  # more names than that hide the nearest one
_PLACES = ("knee", "highest", "level N", "gpu")
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_WHOLE = re.compile(r"\s*(?P<aggregation>\w+\s*(?:\([^)]*\))?)\s*(?P<operator>[^\s\w(.+-]*)\s*(?P<rest>.*)", re.DOTALL)
_BOUND = re.compile(
    rf"(?:(?P<factor>{_NUMBER})\s*\*\s*(?P<target>\w+)|(?P<number>{_NUMBER})(?P<unit>[^\s*]*)|(?P<word>\w+))\s*(?P<rest>.*)",
    re.DOTALL,
)
_AT = re.compile(r"at\s+(?P<place>level\s+\S+|\S+)\s*(?P<rest>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Place:
    """Which level of a suite an objective looks at.

    :param kind: ``level``, ``knee`` or ``highest``.
    :param level: of ``level``.
    """

    kind: str = "level"
    level: int = 1

    def __str__(self) -> str:
        return f"level {self.level}" if self.kind == "level" else self.kind


FIRST_LEVEL = Place()


@dataclass(frozen=True, slots=True)
class Expectation:
    """One parsed expression.

    :param text: as written.
    :param statistic: None for ``knee_lower_bound``.
    :param bound: the number, or the factor when ``relative``.
    :param relative: the bound is ``bound * target``.
    :param at: None when the expression names no level.
    :param gpu: the expression says ``at gpu``.
    """

    text: str
    statistic: Statistic | None
    operator: str
    bound: float
    relative: bool = False
    at: Place | None = None
    gpu: bool = False

    def limit(self, target: float | None) -> float | None:
        """The number to compare with; None when it depends on a target that is not known."""
        if not self.relative:
            return self.bound
        return None if target is None else self.bound * target

    def holds(self, observed: float, limit: float) -> bool:
        """Whether ``observed`` is on the right side of ``limit``."""
        return _OPERATORS[self.operator](observed, limit)


def parse_expectation(text: str) -> Expectation:
    """Understand one expression.

    :raises ObjectiveError: it is not in the language.
    """
    match = _WHOLE.fullmatch(text)
    if match is None:
        raise ObjectiveError(f"{text!r} is not an expectation", "write one like 'p(95) < 0.050'")
    statistic = _statistic(match["aggregation"].strip())
    if match["operator"] not in _OPERATORS:
        bad = match["operator"] or match["rest"].strip() or "nothing"
        raise ObjectiveError(f"{bad!r} in {text!r} is not an operator", f"use one of {', '.join(_OPERATORS)}")
    bound = _BOUND.fullmatch(match["rest"])
    if bound is None:
        raise ObjectiveError(f"{text!r} has no number after {match['operator']!r}", "write one like 'p(95) < 0.050'")
    value, relative = _value(text, bound)
    parsed = Expectation(" ".join(text.split()), statistic, match["operator"], value, relative)
    return _placed(text, parsed, bound["rest"])


def parse_place(text: str) -> Place:
    """Understand ``knee``, ``highest`` or ``level N``.

    :raises ObjectiveError: anything else.
    """
    words = text.split()
    if words in (["knee"], ["highest"]):
        return Place(words[0])
    if len(words) == 2 and words[0] == "level" and words[1].isdecimal() and int(words[1]) > 0:
        return Place("level", int(words[1]))
    raise unknown("place", text, _PLACES[:-1])


def unknown(what: str, word: str, allowed: Iterable[str]) -> ObjectiveError:
    """The error for a word that is not among the allowed ones, with the nearest."""
    names = list(allowed)
    near = get_close_matches(word, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else ""
    if not near or len(names) <= _LISTED:
        hint += f"{' ' if hint else ''}allowed: {', '.join(names)}"
    else:
        hint += f" one of {len(names)} in docs/reference/{what}s.md is allowed"
    return ObjectiveError(f"{word!r} is not a known {what}", hint)


def _statistic(text: str) -> Statistic | None:
    compact = "".join(text.split())
    if compact == KNEE_LOWER_BOUND:
        return None
    if re.fullmatch(r"p\d+(\.\d+)?", compact):
        raise ObjectiveError(f"{text!r} is not a known aggregation", f"did you mean 'p({compact[1:]})'?")
    try:
        statistic = Statistic.parse(compact)
    except ValueError as error:
        if compact.startswith("p("):
            raise ObjectiveError(f"{text!r} is not a percentile", "write one above 0 and up to 100: p(95)") from error
        raise unknown("aggregation", text, _AGGREGATIONS) from error
    if statistic.kind == "rate":
        raise unknown("aggregation", text, _AGGREGATIONS)
    return statistic


def _value(text: str, bound: re.Match[str]) -> tuple[float, bool]:
    word = bound["target"] or bound["word"]
    if word is not None:
        if word != TARGET:
            raise unknown("bound", word, (TARGET, "a number"))
        return float(bound["factor"] or 1.0), True
    if bound["unit"]:
        raise ObjectiveError(
            f"{bound['number'] + bound['unit']!r} in {text!r} is not a number",
            "write the number alone, in the metric's base unit (0.050 for 50 ms, 0.01 for 1 %)",
        )
    return float(bound["number"]), False


def _placed(text: str, parsed: Expectation, rest: str) -> Expectation:
    while rest:
        match = _AT.fullmatch(rest)
        if match is None:
            raise ObjectiveError(
                f"{rest.strip()!r} at the end of {text!r} is not understood", "only 'at PLACE' follows"
            )
        place, rest = match["place"], match["rest"]
        if place == "gpu":
            parsed = replace(parsed, gpu=True)
        elif parsed.at is not None:
            raise ObjectiveError(f"{text!r} names two levels", "name one")
        else:
            try:
                parsed = replace(parsed, at=parse_place(place))
            except ObjectiveError as error:
                raise unknown("place", place, _PLACES) from error
    return parsed
