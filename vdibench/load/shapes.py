"""How many users there are when: steps, ramp, login storm, soak, spike. Pure; times in seconds from the start.

The text forms, as ``vdibench load --shape`` takes them::

    steps:1,2,4,8@30s        each number for so long
    ramp:50@5m               evenly up to it, in stairs of their own level
    storm:100@10/s+60s       all at once, as far as the rate allows; then held
    soak:20@30m              one number for long
    spike:5,20@60s           few, many, few, each for so long

A shape is a row of stages. What is measured in a stage belongs to its level, the number of its users, so that each
can be judged; a level that comes twice is another trial of it.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from vdibench.errors import ParameterError

__all__ = ["FORMS", "Shape", "Stage", "parse_shape", "soak"]

FORMS: Mapping[str, str] = MappingProxyType(
    {
        "steps": "steps:1,2,4,8@30s",
        "ramp": "ramp:50@5m",
        "storm": "storm:100@10/s+60s",
        "soak": "soak:20@30m",
        "spike": "spike:5,20@60s",
    }
)

# Beyond them a typing error is likelier than a plan.
MAX_USERS = 10_000
MAX_SECONDS = 7 * 86_400.0
# A ramp's stairs: enough to see a curve, long enough for a percentile each.
_STAIRS = 10
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)([a-z]*)")


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch with one number of users.

    :param spawn_rate: users a second while their number changes; 0 for what the caller prefers.
    :param seconds: from the beginning of the change to the end of the stage.
    """

    users: int
    seconds: float
    spawn_rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Shape:
    """Stages one after the other.

    :param text: as it was typed.
    """

    text: str
    stages: tuple[Stage, ...]

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def peak(self) -> int:
        """The largest number of users."""
        return max(stage.users for stage in self.stages)

    @property
    def trials(self) -> tuple[int, ...]:
        """For each stage how often its number of users was there before."""
        seen: Counter[int] = Counter()
        found = []
        for stage in self.stages:
            found.append(seen[stage.users])
            seen[stage.users] += 1
        return tuple(found)

    def at(self, seconds: float) -> tuple[int, float] | None:
        """Users that should be there, and users a second to get there; None when it is over.

        :param seconds: since the start; what is before it is the first stage.
        """
        end = 0.0
        for stage in self.stages:
            end += stage.seconds
            if seconds < end:
                return stage.users, stage.spawn_rate or float(stage.users)
        return None


def soak(users: int, seconds: float) -> Shape:
    """The shape of a plain number of users for a while.

    :raises ParameterError: a number that cannot be.
    """
    return _checked(Shape(f"soak:{users}@{seconds:g}s", (Stage(users, seconds),)))


def parse_shape(text: str) -> Shape:
    """Read a shape.

    :raises ParameterError: another form, or numbers that cannot be; the message names the forms.
    """
    kind, colon, rest = text.strip().partition(":")
    read = _READERS.get(kind)
    if not colon or read is None:
        raise ParameterError(f"{text!r} is no shape", f"use one of {', '.join(FORMS.values())}")
    try:
        stages = read(rest)
    except ValueError as error:
        raise ParameterError(f"shape {text!r}: {error}", f"write it like {FORMS[kind]}") from None
    return _checked(Shape(text.strip(), stages))


def _checked(shape: Shape) -> Shape:
    if shape.peak > MAX_USERS:
        raise ParameterError(f"shape {shape.text!r} has {shape.peak} users", f"stay below {MAX_USERS}")
    if shape.seconds > MAX_SECONDS:
        raise ParameterError(f"shape {shape.text!r} lasts {shape.seconds / 86400:.1f} days", "stay below a week")
    if not all(stage.users >= 1 and stage.seconds > 0 for stage in shape.stages):
        raise ParameterError(f"shape {shape.text!r} has a stage of nothing", "give users and seconds above 0")
    return shape


def _steps(rest: str) -> tuple[Stage, ...]:
    counts, held = _split(rest, "@")
    return tuple(Stage(users, _seconds(held)) for users in _users(counts))


def _ramp(rest: str) -> tuple[Stage, ...]:
    count, held = _split(rest, "@")
    (peak,) = _users(count, 1)
    seconds = _seconds(held)
    stairs = min(_STAIRS, peak)
    heights = [math.ceil(peak * step / stairs) for step in range(1, stairs + 1)]
    rises = [after - before for before, after in itertools.pairwise([0, *heights])]
    each = seconds / stairs
    # Within a stair its users come evenly, over its first half: the other half measures them all.
    return tuple(
        Stage(height, each, rise / (each / 2) if each else 0.0) for height, rise in zip(heights, rises, strict=True)
    )


def _storm(rest: str) -> tuple[Stage, ...]:
    count, how = _split(rest, "@")
    rate_text, held = _split(how, "+")
    (users,) = _users(count, 1)
    number, per, unit = rate_text.strip().partition("/")
    if (per, unit) != ("/", "s"):
        raise ValueError(f"{rate_text!r} is no rate")
    rate = _number(number, "users a second")
    if rate <= 0:
        raise ValueError(f"a rate of {rate:g} brings nobody")
    return (Stage(users, users / rate + _seconds(held), rate),)


def _soak(rest: str) -> tuple[Stage, ...]:
    count, held = _split(rest, "@")
    (users,) = _users(count, 1)
    return (Stage(users, _seconds(held)),)


def _spike(rest: str) -> tuple[Stage, ...]:
    counts, held = _split(rest, "@")
    few, many = _users(counts, 2)
    if few >= many:
        raise ValueError(f"{few} is not fewer than {many}")
    seconds = _seconds(held)
    return tuple(Stage(users, seconds) for users in (few, many, few))


_READERS: Mapping[str, Callable[[str], tuple[Stage, ...]]] = MappingProxyType(
    {"steps": _steps, "ramp": _ramp, "storm": _storm, "soak": _soak, "spike": _spike}
)


def _split(text: str, sign: str) -> tuple[str, str]:
    before, found, after = text.partition(sign)
    if not found:
        raise ValueError(f"there is no {sign!r} in {text!r}")
    return before, after


def _users(text: str, wanted: int | None = None) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if not (word.isascii() and word.isdecimal()) or not 1 <= int(word[:9]) <= 10**9 - 1:
            raise ValueError(f"{word!r} is no number of users")
    if wanted is not None and len(words) != wanted:
        raise ValueError(f"{len(words)} numbers of users where {wanted} belong")
    return [int(word[:9]) for word in words]


def _number(text: str, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is no number of {what}")
    return number


def _seconds(text: str) -> float:
    found = _NUMBER.fullmatch(text.strip())
    if found is None or found[2] not in _UNITS or float(found[1]) <= 0:
        raise ValueError(f"{text!r} is no duration such as 30s, 5m or 2h")
    return float(found[1]) * _UNITS[found[2]]
