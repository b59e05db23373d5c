"""How many of the users are there when: the profile of a day, from a table as a spreadsheet writes it. Pure.

A profile is a list of instants of one day; each holds until the next one, the last one until the first one of the
next day. Shares and counts are exact fractions, so that rounding up to whole sessions never depends on how a decimal
is stored. Times are minutes of the day, rates are logins a minute.
"""

from __future__ import annotations

import csv
import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from vdibench.errors import ParameterError

__all__ = ["ALL_DAY", "EVERYBODY", "MINUTES_A_DAY", "Column", "DayProfile", "Kind", "parse_day"]

MINUTES_A_DAY = 1440
EVERYBODY = ""  # a column that is not about one template
_TIME_COLUMNS = ("time", "hour")
_CLOCK = re.compile(r"(\d{1,2})[:.](\d{2})(?:[:.]\d{2})?")
_HOUR = re.compile(r"\d{1,2}")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
_REMEDY = "write a table with the columns time and share, one row an instant: 09:00,0.6"


class Kind(StrEnum):
    """What the numbers of a column are."""

    SHARE = "share"  # of the users, 0 to 1
    USERS = "users"  # present at once
    LOGINS = "logins"  # a minute


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a profile: of one template, or of everybody (``template`` empty)."""

    template: str
    kind: Kind
    values: tuple[Fraction, ...]


@dataclass(frozen=True, slots=True)
class DayProfile:
    """Who is there over one day.

    :param name: where it comes from, for the record.
    :param minutes: instants in minutes of the day, ascending.
    :param columns: one value an instant each; at most one share or users column, and one of logins, a template.
    """

    name: str
    minutes: tuple[int, ...]
    columns: tuple[Column, ...]

    def sessions(self, users: Mapping[str, Fraction]) -> dict[str, tuple[int, ...]]:
        """Sessions of each template at each instant, rounded up to whole ones.

        :param users: of each template.
        :raises ParameterError: the profile says nothing of a template, or has more users than there are.
        """
        self._known(users)
        return {name: self._present(name, users) for name in users}

    def logins(self, users: Mapping[str, Fraction]) -> dict[str, tuple[Fraction, bool]]:
        """Most logins a minute of each template, and whether the profile states them.

        Where it does not, they are what the rise from one instant to the next takes at least, evenly spread: who
        leaves in that time hides others who come, and a peak inside the interval is not seen.
        """
        found = {}
        for name, count in users.items():
            column = self._column(name, (Kind.LOGINS,))
            if column is not None:
                part = _part(name, users) if column.template == EVERYBODY else Fraction(1)
                found[name] = (max(column.values) * part, True)
            else:
                found[name] = (self._steepest(self._exact(name, users, count)), False)
        return found

    def relative(self, users: Mapping[str, Fraction]) -> DayProfile:
        """The same day in shares of ``users``: what scales with their number."""
        columns = []
        for name, count in users.items():
            exact = self._exact(name, users, count)
            columns.append(Column(name, Kind.SHARE, tuple(value / count if count else count for value in exact)))
        return DayProfile(self.name, self.minutes, tuple(columns))

    def seconds(self) -> tuple[float, ...]:
        """How long each instant holds, in seconds."""
        after = (*self.minutes[1:], self.minutes[0] + MINUTES_A_DAY)
        return tuple(60.0 * (end - begin) for begin, end in zip(self.minutes, after, strict=True))

    def _present(self, name: str, users: Mapping[str, Fraction]) -> tuple[int, ...]:
        return tuple(math.ceil(value) for value in self._exact(name, users, users[name]))

    def _exact(self, name: str, users: Mapping[str, Fraction], count: Fraction) -> tuple[Fraction, ...]:
        column = self._column(name, (Kind.SHARE, Kind.USERS))
        if column is None:
            raise ParameterError(
                f"{self.name} does not say how many users of {name!r} are there",
                f"give it a column {name} share, or one named share for all",
            )
        if column.kind is Kind.SHARE:
            return tuple(value * count for value in column.values)
        whole = sum(users.values(), Fraction(0)) if column.template == EVERYBODY else count
        if max(column.values) > whole:
            raise ParameterError(
                f"{self.name} has {float(max(column.values)):g} users at once, and there are {float(whole):g}",
                "give more users, or shares of them instead of their number",
            )
        part = _part(name, users) if column.template == EVERYBODY else Fraction(1)
        return tuple(value * part for value in column.values)

    def _column(self, name: str, kinds: Sequence[Kind]) -> Column | None:
        """The column of one template, or else of everybody."""
        for template in (name, EVERYBODY):
            for column in self.columns:
                if column.template == template and column.kind in kinds:
                    return column
        return None

    def _steepest(self, present: Sequence[Fraction]) -> Fraction:
        """The steepest rise in users a minute, midnight included; 0 when nobody ever comes."""
        steepest = Fraction(0)
        for index, value in enumerate(present):
            minutes = (self.minutes[index] - self.minutes[index - 1]) % MINUTES_A_DAY
            if minutes:
                steepest = max(steepest, (value - present[index - 1]) / minutes)
        return steepest

    def _known(self, users: Mapping[str, Fraction]) -> None:
        for column in self.columns:
            if column.template not in (EVERYBODY, *users):
                near = difflib.get_close_matches(column.template, users, 1)
                remedy = f"did you mean {near[0]!r}?" if near else f"the templates are: {', '.join(users)}"
                raise ParameterError(f"{self.name} has a column of {column.template!r}, which is no template", remedy)


ALL_DAY = DayProfile("", (0,), (Column(EVERYBODY, Kind.SHARE, (Fraction(1),)),))


def _part(name: str, users: Mapping[str, Fraction]) -> Fraction:
    whole = sum(users.values(), Fraction(0))
    return users[name] / whole if whole else Fraction(0)


def parse_day(text: str, name: str) -> DayProfile:
    """A day from the text of a CSV file, separated by commas, semicolons or tabs.

    The first column is ``time`` (09:30) or ``hour`` (9); then ``share`` (0.6 or 60%) or ``users``, and where wanted
    ``logins`` (a minute). ``NAME share``, ``NAME users`` and ``NAME logins`` are about one template.

    :param name: of the file, for messages and the record.
    :raises ParameterError: what is wrong, with its line.
    """
    lines = [line for line in text.lstrip("\ufeff").splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise ParameterError(f"{name} is empty", _REMEDY)
    separator = next((sign for sign in (";", "\t") if sign in lines[0]), ",")
    try:
        head, *rows = csv.reader(lines, delimiter=separator, strict=True)
    except csv.Error as error:
        raise ParameterError(f"{name} is no table: {error}", _REMEDY) from error
    head = [" ".join(cell.split()) for cell in head]
    if head[0].lower() not in _TIME_COLUMNS:
        raise ParameterError(f"the first column of {name} is {head[0]!r}, not time or hour", _REMEDY)
    wanted = [_heading(cell, name) for cell in head[1:]]
    _check_headings(wanted, name)
    found: dict[int, tuple[Fraction, ...]] = {}
    for number, row in enumerate(rows, start=2):
        where = f"{name}, row {number}"
        if len(row) != len(head):
            raise ParameterError(
                f"{where} has {len(row)} cells, the first row {len(head)}", "write decimals as 0.6, or separate by ';'"
            )
        minute = _minute(row[0].strip(), where)
        if minute in found:
            raise ParameterError(f"{where} is a second row for {row[0].strip()}", "leave one of them out")
        found[minute] = tuple(
            _value(cell.strip(), kind, where) for cell, (_, kind) in zip(row[1:], wanted, strict=True)
        )
    if not found:
        raise ParameterError(f"{name} has no row", _REMEDY)
    minutes = tuple(sorted(found))
    columns = (
        Column(template, kind, tuple(found[minute][index] for minute in minutes))
        for index, (template, kind) in enumerate(wanted)
    )
    return DayProfile(name, minutes, tuple(columns))


def _heading(cell: str, name: str) -> tuple[str, Kind]:
    template, _, last = cell.rpartition(" ")
    try:
        return template, Kind(last.lower())
    except ValueError:
        raise ParameterError(
            f"{name} has a column {cell!r}", "name columns share, users or logins, with a template before: office share"
        ) from None


def _check_headings(wanted: Iterable[tuple[str, Kind]], name: str) -> None:
    seen: set[tuple[str, bool]] = set()
    for template, kind in wanted:
        of = f" of {template!r}" if template else ""
        key = (template, kind is Kind.LOGINS)
        if key in seen:
            raise ParameterError(f"{name} says twice how many{of} there are", "keep one column")
        seen.add(key)
    if all(logins for _, logins in seen):
        raise ParameterError(f"{name} does not say how many users are there", _REMEDY)


def _minute(cell: str, where: str) -> int:
    clock = _CLOCK.fullmatch(cell)
    if clock is not None and int(clock[1]) < 24 and int(clock[2]) < 60:
        return int(clock[1]) * 60 + int(clock[2])
    if _HOUR.fullmatch(cell) and int(cell) < 24:
        return int(cell) * 60
    raise ParameterError(f"{where}: {cell!r} is no time of day", "write 09:30, or an hour from 0 to 23")


def _value(cell: str, kind: Kind, where: str) -> Fraction:
    percent = cell.endswith("%")
    digits = cell.removesuffix("%").strip()
    if not _NUMBER.fullmatch(digits):
        raise ParameterError(f"{where}: {cell!r} is no number", "write 0.6 or 60% for a share, 300 for users")
    value = Fraction(digits.replace(",", ".")) / (100 if percent else 1)
    if kind is Kind.SHARE and value > 1:
        raise ParameterError(
            f"{where}: a share of {cell} is more than everybody", "write 0.6 or 60%, or name the column users"
        )
    if kind is not Kind.SHARE and percent:
        raise ParameterError(f"{where}: {cell} in a column of {kind}", "write a number, or name the column share")
    # 1.000 or 1,200 is a thousand to whoever wrote it, and one to us.
    separated = re.fullmatch(r"\d+[.,]\d{3}", digits) is not None
    if kind is Kind.LOGINS and separated:
        raise ParameterError(f"{where}: {cell} may be thousands or a fraction", "write 1200, or 1.2")
    if kind is Kind.USERS and (separated or value.denominator != 1):
        raise ParameterError(f"{where}: {cell} is no number of users", "write whole numbers without separators: 1200")
    return value
