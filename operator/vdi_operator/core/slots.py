"""Who has a place on a GPU, who waits for one, and who is next. Pure.

A session holds one part in ``sessionsPerGPU`` of a GPU, and all of them together no more than there are GPUs. Parts are
fractions: three thirds are a whole. Which GPU a pod gets is the device plugin's choice, so parts are counted over all
GPUs and not fitted into each.
"""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, islice

from vdi_operator.api.reasons import Reason
from vdi_operator.api.template import Template
from vdi_operator.core.decision import Blocked
from vdi_operator.core.world import SlotFact

__all__ = ["UNCOUNTED", "Book", "Claim", "admit", "refusal"]

# Of a session whose template has a capacity that nobody can hold it to.
UNCOUNTED = "capacity is not enforced, as the number of GPUs is unknown: set gpus or readNodes"


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """A session that wants a place. They sort as they stand in line: the oldest first, then by name."""

    created_unix_seconds: float
    name: str
    template: str = field(compare=False)


def admit(held: Fraction, line: Iterable[tuple[str, Fraction]], gpus: int) -> Iterator[str]:
    """Who of a line gets a place: from its head on, until somebody does not fit.

    Nobody overtakes: else who needs much of a GPU would never get it where others need little.

    :param held: parts of GPUs that are held.
    :param line: names in their order, each with the part that it needs.
    """
    for name, share in line:
        held += share
        if held > gpus:
            return
        yield name


def refusal(template: Template, slot: SlotFact | None) -> Blocked | None:
    """Why a session has to wait for a place, None: it has one or needs none."""
    if slot is None or slot.admitted:
        return None
    per = template.sessions_per_gpu
    run = template.evidence.run if template.evidence is not None else ""
    gpus = f"{slot.gpus} GPU" if slot.gpus == 1 else f"{slot.gpus} GPUs"
    source = f"template {template.name}: {per} per GPU" + (f" by run {run}" if run else "")
    said = f"{slot.taken} of {slot.places} sessions on {gpus} ({source}); position {slot.position} of {slot.waiting}"
    return Blocked(Reason.CAPACITY_REACHED, said)


class Book:
    """Holders and line, by names. What is decided is written down before anybody else asks.

    Shares are looked up when they count: a template that changes its capacity changes it for those who run, too.

    :param share: part of a GPU that a session of a template holds, 0: nobody counts.
    """

    def __init__(self, share: Callable[[str], Fraction]) -> None:
        self._share = share
        self._holders: dict[str, str] = {}
        self._by_template: Counter[str] = Counter()
        self._line: list[Claim] = []
        self._claims: dict[str, Claim] = {}

    def holds(self, name: str) -> bool:
        """Whether a session has a place."""
        return name in self._holders

    def waits(self, name: str) -> bool:
        """Whether a session stands in line."""
        return name in self._claims

    def held(self) -> Fraction:
        """Parts of GPUs that are held."""
        parts = (count * self._share(template) for template, count in self._by_template.items())
        return sum(parts, Fraction(0))

    def wanted(self) -> Fraction:
        """Parts of GPUs that are waited for."""
        return sum((self._share(claim.template) for claim in self._line), Fraction(0))

    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._line)

    def line(self) -> list[str]:
        """Names in their order."""
        return [claim.name for claim in self._line]

    def next(self, gpus: int) -> list[str]:
        """Who in line may have a place now."""
        return list(admit(self.held(), map(self._part, self._line), gpus))

    def look(self, claim: Claim, gpus: int) -> SlotFact:
        """How a session stands, whether or not it is in line. Nothing is written down."""
        if self.holds(claim.name):
            return self._fact(claim, gpus)
        place = bisect.bisect_left(self._line, claim)
        # What stands there by its name is a former session's.
        before = (self._part(one) for one in islice(self._line, place) if one.name != claim.name)
        entering = list(admit(self.held(), chain(before, [self._part(claim)]), gpus))
        if claim.name in entering:
            return self._fact(claim, gpus)
        # Those before it who fit are as good as in: their passes are on their way.
        return self._fact(claim, gpus, entering, place + 1 - len(entering))

    def hold(self, claim: Claim) -> bool:
        """A session has a place from now on.

        :returns: whether somebody else may have one now: it held one of another template.
        """
        self._leave_line(claim.name)
        before = self._holders.get(claim.name)
        if before != claim.template:
            self._release(claim.name)
            self._holders[claim.name] = claim.template
            self._by_template[claim.template] += 1
        return before not in (None, claim.template)

    def wait(self, claim: Claim) -> bool:
        """A session stands in line from now on, and has no place.

        :returns: whether somebody else may have one instead.
        """
        freed = self._release(claim.name)
        known = self._claims.get(claim.name)
        if known is not None and (known, known.template) != (claim, claim.template):
            freed = self._leave_line(claim.name) or freed
        if claim.name not in self._claims:
            self._claims[claim.name] = claim
            bisect.insort(self._line, claim)
        return freed

    def leave(self, name: str) -> bool:
        """A session has no place and wants none.

        :returns: whether somebody else may have one instead.
        """
        released, left = self._release(name), self._leave_line(name)
        return released or left

    def _part(self, claim: Claim) -> tuple[str, Fraction]:
        return claim.name, self._share(claim.template)

    def _fact(self, claim: Claim, gpus: int, entering: Sequence[str] = (), position: int = 0) -> SlotFact:
        share, soon = self._share(claim.template), [self._claims[name] for name in entering]
        held = sum((self._share(one.template) for one in soon), self.held())
        new = 1 if position and claim.name not in self._claims else 0
        return SlotFact(
            admitted=position == 0,
            gpus=gpus,
            taken=math.ceil(held / share) if share else 0,
            places=math.floor(gpus / share) if share else 0,
            position=position,
            waiting=len(self._line) + new - len(soon),
        )

    def _release(self, name: str) -> bool:
        template = self._holders.pop(name, None)
        if template is None:
            return False
        self._by_template[template] -= 1
        if not self._by_template[template]:
            del self._by_template[template]
        return True

    def _leave_line(self, name: str) -> bool:
        claim = self._claims.pop(name, None)
        if claim is None:
            return False
        place = bisect.bisect_left(self._line, claim)
        del self._line[place]
        return True
