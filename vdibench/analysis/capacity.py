"""GPUs and nodes for a number of users, from knees that were measured. Pure; exact arithmetic, whole things only.

The interval of a knee is carried through: its lower bound gives the conservative number of GPUs, which is the plan;
its upper bound gives the optimistic one, below which the plan cannot fall. Where no upper bound is known, nothing is
known of how many fewer would do.

Rounding is always up, for each template by itself: to whole sessions, whole GPUs and whole nodes. Templates share
neither GPUs nor nodes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from vdibench.analysis.logins import Burst, LoginCheck, check_logins
from vdibench.analysis.occupancy import ALL_DAY, DayProfile
from vdibench.errors import ParameterError

__all__ = ["Bounds", "Measured", "Plan", "Template", "TemplatePlan", "Terms", "allot", "plan", "plan_at"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """A number that is planned, and the least that it may turn out to be; None: nothing is known of the latter."""

    conservative: int
    optimistic: int | None

    def __add__(self, other: Bounds) -> Bounds:
        known = self.optimistic is not None and other.optimistic is not None
        low = (self.optimistic or 0) + (other.optimistic or 0)
        return Bounds(self.conservative + other.conservative, low if known else None)

    def times(self, factor: int) -> Bounds:
        """Both, so many times; none of anything is none."""
        if not factor:
            return Bounds(0, 0)
        return Bounds(self.conservative * factor, None if self.optimistic is None else self.optimistic * factor)

    def plus(self, number: int) -> Bounds:
        """Both, and so many more."""
        return Bounds(self.conservative + number, None if self.optimistic is None else self.optimistic + number)

    def shared_by(self, number: int) -> Bounds:
        """How many groups of ``number`` hold them."""
        return _bounds(
            -(-self.conservative // number), None if self.optimistic is None else -(-self.optimistic // number)
        )


def _bounds(planned: int, least: int | None) -> Bounds:
    """Of one or none it is known that fewer will not do."""
    return Bounds(planned, planned if least is None and planned <= 1 else least)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one stored run says of how many sessions fit.

    :param run: the run's name.
    :param started_unix_seconds: when it was measured.
    :param gpus: in the host that the knee belongs to; 0 without a GPU, and then a session's place is on the host.
    :param gpu: their product name; empty when the run does not say it.
    :param lower: largest number of sessions known to be good, at least 1.
    :param upper: largest number that may still be good; None when no level was bad.
    :param trials: repetitions that the knee rests on.
    :param rule: how trials decided levels, in words; empty when the run does not say it.
    :param error_rate: chance of calling a bad level good by that rule; None where the rule states none.
    :param contradicting: levels that were good although a smaller one was bad.
    :param burst: how fast sessions were seen to start; None when nothing was measured of it.
    :param limited_by: the resource that limits, in words; empty when it is not known.
    :param limit_sentence: what is known of that.
    :param synthetic: the desktops were a replayed trace.
    :param facts: what a session was, in words: picture, workload, encoder, host.
    """

    run: str
    started_unix_seconds: float
    gpus: int
    gpu: str
    lower: int
    upper: int | None
    levels: int = 0
    trials: int = 0
    rule: str = ""
    error_rate: float | None = None
    contradicting: tuple[int, ...] = ()
    burst: Burst | None = None
    limited_by: str = ""
    limit_sentence: str = ""
    synthetic: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """What the knee is a number of sessions on: ``GPU`` or ``host``."""
        return "GPU" if self.gpus == 1 else "host"


@dataclass(frozen=True, slots=True)
class Template:
    """A kind of desktop, and who uses it.

    :param share: of all users, 0 to 1.
    :param gpus_per_node: where the knee is per GPU; a host of the run is a node otherwise.
    :param max_sessions: at most so many on one GPU or host, whatever was measured (replicas of time-slicing, a
        licence); None: as many as were good.
    """

    name: str
    measured: Measured
    share: Fraction
    gpus_per_node: int = 1
    max_sessions: int | None = None

    @property
    def sessions_each(self) -> Bounds:
        """Sessions for one GPU or host: what is planned with, and what it may carry at most (None: not known)."""
        lower, upper = self.measured.lower, self.measured.upper
        if self.max_sessions is None:
            return Bounds(lower, upper)
        return Bounds(
            min(lower, self.max_sessions), self.max_sessions if upper is None else min(upper, self.max_sessions)
        )

    @property
    def capped(self) -> bool:
        """Whether ``max_sessions`` is less than what may be good."""
        upper = self.measured.upper
        return self.max_sessions is not None and (upper is None or self.max_sessions < upper)

    @property
    def units_per_node(self) -> int:
        """GPUs of one node where the knee is per GPU; else 1, for the host is the node."""
        return self.gpus_per_node if self.measured.unit == "GPU" else 1

    @property
    def gpus_in_node(self) -> int:
        """GPUs of one node; 0 without."""
        return self.units_per_node * self.measured.gpus


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked for.

    :param headroom: how much more than the peak is to be carried, as a share of the peak.
    :param spare_nodes: nodes beside those that carry, for each template.
    :param logins_per_minute: at the peak; None: as the day says.
    """

    users: int
    headroom: Fraction = Fraction(0)
    spare_nodes: int = 0
    logins_per_minute: Fraction | None = None


@dataclass(frozen=True, slots=True)
class TemplatePlan:
    """What one template needs.

    :param users: rounded up.
    :param day: sessions at each instant of the profile.
    :param sessions: to carry: the peak with headroom.
    :param carriers: GPUs (or hosts) that carry them.
    :param nodes: whole nodes, spare ones included.
    :param gpus: in those nodes.
    :param spare: of those nodes.
    """

    template: Template
    users: int
    day: tuple[int, ...]
    sessions: int
    carriers: Bounds
    nodes: Bounds
    gpus: Bounds
    spare: int
    logins: LoginCheck

    @property
    def peak(self) -> int:
        """Most sessions at once."""
        return max(self.day)

    @property
    def carries(self) -> tuple[int, int | None]:
        """Sessions that the nodes carry without the spare ones: at least, and (None: not known) at most."""
        places = (self.nodes.conservative - self.spare) * self.template.units_per_node
        each = self.template.sessions_each
        return places * each.conservative, None if each.optimistic is None else places * each.optimistic


@dataclass(frozen=True, slots=True)
class Plan:
    """What all templates need together."""

    terms: Terms
    day: DayProfile
    templates: tuple[TemplatePlan, ...]

    @property
    def present(self) -> tuple[int, ...]:
        """Sessions of all templates at each instant."""
        return tuple(sum(counts) for counts in zip(*(one.day for one in self.templates), strict=True))

    @property
    def peak(self) -> int:
        """Most sessions at once; less than the peaks of the templates together when those are not at one time."""
        return max(self.present)

    @property
    def sessions(self) -> int:
        """Sessions to carry."""
        return sum(one.sessions for one in self.templates)

    @property
    def nodes(self) -> Bounds:
        """Whole nodes, spare ones included."""
        return sum((one.nodes for one in self.templates), Bounds(0, 0))

    @property
    def gpus(self) -> Bounds:
        """GPUs in the nodes."""
        return sum((one.gpus for one in self.templates), Bounds(0, 0))

    @property
    def session_hours(self) -> float:
        """Hours of sessions on such a day, all users together."""
        return sum(n * seconds for n, seconds in zip(self.present, self.day.seconds(), strict=True)) / 3600.0

    @property
    def synthetic(self) -> bool:
        """Whether any number rests on replayed traces instead of desktops."""
        return any(one.template.measured.synthetic for one in self.templates)


def allot(users: int | None, parts: Sequence[tuple[str, Fraction | int | None]]) -> tuple[int, dict[str, Fraction]]:
    """Shares of all users for templates that were given a share, a number of users, or nothing (the rest).

    :param parts: names with a Fraction (a share), an int (users) or None; at most one None.
    :returns: the number of all users, and each share; they add up to 1.
    :raises ParameterError: they do not add up.
    """
    counted = sum(value for _, value in parts if isinstance(value, int))
    if users is None:
        if not parts or not all(isinstance(value, int) for _, value in parts):
            raise ParameterError("nothing says how many users there are", "give --users")
        users = counted
    if users < 1:
        raise ParameterError(f"{users} users need nothing", "give at least one")
    shares = {
        name: Fraction(value, users) if isinstance(value, int) else value for name, value in parts if value is not None
    }
    rest = [name for name, value in parts if value is None]
    given = sum(shares.values(), Fraction(0))
    if len(rest) > 1:
        raise ParameterError(f"{' and '.join(rest)} have neither share nor users", "give all but one of them a share")
    if given > 1 or (not rest and given != 1):
        raise ParameterError(
            f"the templates have {float(100 * given):g} % of {users} users",
            "give shares that add up to 1, or leave one out for the rest",
        )
    if rest:
        shares[rest[0]] = 1 - given
    return users, {name: shares[name] for name, _ in parts}


def plan(templates: Sequence[Template], terms: Terms, day: DayProfile = ALL_DAY) -> Plan:
    """What ``terms.users`` need.

    :raises ParameterError: the day does not fit the templates.
    """
    users = {one.name: one.share * terms.users for one in templates}
    present = day.sessions(users)
    logins = _logins(templates, terms, day, users)
    return Plan(
        terms, day, tuple(_of(one, terms, users[one.name], present[one.name], *logins[one.name]) for one in templates)
    )


def _logins(
    templates: Sequence[Template], terms: Terms, day: DayProfile, users: Mapping[str, Fraction]
) -> dict[str, tuple[Fraction | None, bool]]:
    """Logins a minute at each template's peak, and whether they were stated."""
    if terms.logins_per_minute is not None:
        return {one.name: (one.share * terms.logins_per_minute, True) for one in templates}
    found: dict[str, tuple[Fraction | None, bool]] = {}
    for name, (rate, stated) in day.logins(users).items():
        # One instant for all day says nothing of who comes when.
        found[name] = (rate, stated) if stated or len(day.minutes) > 1 else (None, False)
    return found


def plan_at(found: Plan, users: int) -> Plan:
    """The same plan for another number of users: the same shares at the same times."""
    of = {one.template.name: one.template.share * found.terms.users for one in found.templates}
    terms = replace(found.terms, users=users, logins_per_minute=None)
    return plan([one.template for one in found.templates], terms, found.day.relative(of))


def _of(
    template: Template, terms: Terms, users: Fraction, day: tuple[int, ...], logins: Fraction | None, stated: bool
) -> TemplatePlan:
    each = template.sessions_each
    sessions = math.ceil(max(day) * (1 + terms.headroom))
    carriers = _bounds(
        -(-sessions // each.conservative), None if each.optimistic is None else -(-sessions // each.optimistic)
    )
    spare = terms.spare_nodes if sessions else 0
    nodes = carriers.shared_by(template.units_per_node).plus(spare)
    check = check_logins(
        None if logins is None else float(logins),
        stated=stated,
        measured=template.measured.burst,
        carriers=carriers.conservative,
    )
    return TemplatePlan(
        template, math.ceil(users), day, sessions, carriers, nodes, nodes.times(template.gpus_in_node), spare, check
    )
