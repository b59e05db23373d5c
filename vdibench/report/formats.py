"""The only place where base units become text. Pure.

Everything that was not measured (None, NaN, infinity) becomes :data:`NO_DATA`, never a zero. Numbers keep three
significant digits, counts keep all of theirs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeGuard

from vdibench.records import Outcome

__all__ = [
    "NOT_APPLICABLE",
    "NO_DATA",
    "bits_per_second",
    "clean",
    "cores",
    "count",
    "counted",
    "data",
    "duration",
    "expectation",
    "instant",
    "interval",
    "outcome_word",
    "plain",
    "quantity",
    "ratio",
    "seconds",
    "shorten",
    "significant",
    "time_scale",
]

NO_DATA = "no data"
NOT_APPLICABLE = "not applicable"

Number = float | int | None
# Control characters, and the escapes that start with one: a server's words must not steer a terminal.
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_EXPECTATION = re.compile(r"(?P<left>[^<>]*?)(?P<operator>[<>]=?)(?P<bound>.*?)(?P<place>\s+at\s+.*)?")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_ZEROS = re.compile(r"\.0+(?= )|(?<=\.\d)0+(?= )|(?<=\.\d\d)0+(?= )")
_WORDS = {
    Outcome.PASS: "PASS",
    Outcome.FAIL: "FAIL",
    Outcome.NO_DATA: "NO DATA",
    Outcome.NOT_APPLICABLE: "NOT APPLICABLE",
    Outcome.INVALID: "INVALID",
}
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB")
_DECIMAL = ("bit/s", "kbit/s", "Mbit/s", "Gbit/s")


def significant(value: float, digits: int = 3) -> str:
    """``value`` with so many significant digits, thousands grouped, never in exponent form."""
    if value == 0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{places}f}"
    # 9.996 rounds to 10.00: one digit more than asked for.
    if sum(character.isdigit() for character in text.lstrip("-0.,")) > digits and places:
        text = f"{value:,.{places - 1}f}"
    return text


def seconds(value: Number) -> str:
    """A latency or interval: microseconds, milliseconds or seconds."""
    if not _known(value):
        return NO_DATA
    size = abs(value)
    if size == 0:
        return "0 s"
    if size < 0.9995e-3:
        return f"{significant(value * 1e6)} µs"
    if size < 0.9995:
        return f"{significant(value * 1e3)} ms"
    return f"{significant(value)} s"


def duration(value: Number) -> str:
    """The length of a phase or a run: seconds with one place, from a minute on minutes, from an hour on hours."""
    if not _known(value):
        return NO_DATA
    if value < 0:
        return f"−{duration(-value)}"
    if value < 59.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def data(value: Number) -> str:
    """An amount of bytes: B, KiB, MiB, GiB or TiB."""
    return NO_DATA if not _known(value) else _scaled(value, 1024, _BINARY)


def bits_per_second(value: Number) -> str:
    """A bit rate."""
    return NO_DATA if not _known(value) else _scaled(value, 1000, _DECIMAL)


def ratio(value: Number) -> str:
    """A ratio as per cent; a small one keeps its digits, so that one lost packet does not read as none."""
    if not _known(value):
        return NO_DATA
    percent = value * 100
    if percent == 0:
        return "0 %"
    if abs(percent) < 0.001:
        return "< 0.001 %"
    if abs(percent) >= 99.95:
        return f"{percent:,.0f} %" if abs(percent - round(percent)) < 0.05 else f"{percent:,.1f} %"
    return f"{significant(percent, 3)} %"


def cores(value: Number) -> str:
    """Busy processor cores."""
    return NO_DATA if not _known(value) else f"{value:.2f} cores"


def count(value: Number) -> str:
    """A whole number, thousands grouped."""
    return NO_DATA if not _known(value) else f"{round(value):,}"


def counted(number: int, noun: str) -> str:
    """A count with its noun: ``1 frame``, ``2,000 frames``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def plain(value: Number) -> str:
    """A number without a unit."""
    return NO_DATA if not _known(value) else significant(value)


def instant(unix_seconds: Number) -> str:
    """A wall-clock instant in UTC, to the second."""
    if not _known(unix_seconds):
        return NO_DATA
    try:
        return f"{datetime.fromtimestamp(unix_seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return NO_DATA


def interval(low: Number, high: Number, unit: str) -> str:
    """A confidence interval; a bound that the samples cannot give is said to be open."""
    if not _known(low) and not _known(high):
        return "too few samples"
    left = quantity(low, unit) if _known(low) else "open"
    right = quantity(high, unit) if _known(high) else "open"
    return f"{left} … {right}"


_BY_UNIT: Mapping[str, Callable[[Number], str]] = {
    "seconds": seconds,
    "bytes": data,
    "ratio": ratio,
    "cores": cores,
    "watts": lambda value: f"{plain(value)} W",
    "bits/second": bits_per_second,
    "1/second": lambda value: f"{plain(value)} /s",
    "1/minute": lambda value: f"{plain(value)} /min",
    "points": lambda value: f"{plain(value)} of 100",
    "packets": lambda value: f"{count(value)} packet{'' if value == 1 else 's'}",
    "sessions": lambda value: f"{count(value)} session{'' if value == 1 else 's'}",
}


def quantity(value: Number, unit: str) -> str:
    """A value in a base unit of the metric registry, as text with a unit fit to read."""
    if not _known(value):
        return NO_DATA
    form = _BY_UNIT.get(unit)
    return form(value) if form is not None else f"{plain(value)} {unit}".strip()


def expectation(text: str, bound: Number, unit: str) -> str:
    """An expectation with its bound in a unit fit to read: ``p(95) < 0.05`` becomes ``p(95) < 50 ms``.

    A bound that was computed keeps its formula beside it: ``p(5) > 54 /s (0.9 * target)``.
    """
    match = _EXPECTATION.fullmatch(clean(text).strip())
    if match is None or not _known(bound):
        return clean(text)
    formula = "" if _NUMBER.fullmatch(match["bound"].strip()) else f" ({match['bound'].strip()})"
    limit = _ZEROS.sub("", quantity(bound, unit))
    return f"{match['left'].strip()} {match['operator']} {limit}{formula}{match['place'] or ''}"


def outcome_word(outcome: Outcome) -> str:
    """The word for an outcome: never told by colour alone."""
    return _WORDS[outcome]


def time_scale(values: Sequence[float]) -> tuple[float, str]:
    """Factor and unit for an axis of seconds: milliseconds unless a quarter of the values exceeds one second.

    One outlier does not choose the unit in which the others are read.
    """
    known = sorted(abs(value) for value in values if math.isfinite(value))
    return (1.0, "s") if known and known[len(known) * 3 // 4] >= 1.0 else (1e3, "ms")


def shorten(text: str, limit: int) -> str:
    """``text`` with its middle left out beyond ``limit`` characters: names differ at both ends."""
    text = clean(text)
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return f"{text[: limit - 1 - tail]}…{text[len(text) - tail :]}"


def clean(value: Any) -> str:
    """Any text from outside without control characters."""
    return _CONTROL.sub("", str(value))


def _known(value: Number) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _scaled(value: float, base: int, units: Sequence[str]) -> str:
    power = 0
    size = float(value)
    # 1023.9 KiB would be shown as 1,024 KiB.
    while abs(size) >= base - 0.5 and power < len(units) - 1:
        size /= base
        power += 1
    if power == 0 and size == int(size):
        return f"{int(size):,} {units[0]}"
    return f"{significant(size)} {units[power]}"
