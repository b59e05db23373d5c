"""Who has a place on a GPU, who waits for one, and who is next. Pure.

A session holds one part in ``sessionsPerGPU`` of a GPU, and all of them together no more than there are GPUs. Parts are
fractions: three thirds are a whole. Which GPU a pod gets is the device plugin's choice, so parts are counted over all
GPUs and not fitted into each. What is held on a node whose GPUs do not count does not count either.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from vdi_operator.api.reasons import Reason
from vdi_operator.api.template import Template
from vdi_operator.core.decision import Blocked, Queue
from vdi_operator.core.line import Claim, Line
from vdi_operator.core.world import SlotFact

__all__ = ["UNCOUNTED", "Book", "Claim", "admit", "refusal"]

# Of a session whose template has a capacity that nobody can hold it to.
UNCOUNTED = "capacity is not enforced, as the number of GPUs is unknown: set gpus or readNodes"


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
    return Blocked(Reason.CAPACITY_REACHED, said, queue=Queue(slot.position, slot.waiting))


@dataclass(frozen=True, slots=True)
class _Holder:
    template: str
    user: str
    at: str


class Book:
    """Holders and line, by names. What is decided is written down before anybody else asks.

    Shares are looked up when they count: a template that changes its capacity changes it for those who run, too.

    :param share: part of a GPU that a session of a template holds, 0: nobody counts.
    :param aside: nodes whose GPUs are not among those that there are.
    """

    def __init__(self, share: Callable[[str], Fraction], aside: Callable[[], Collection[str]] = tuple) -> None:
        self._share = share
        self._aside = aside
        self._holders: dict[str, _Holder] = {}
        self._by_template: Counter[str] = Counter()
        # Node -> those of its holders.
        self._by_node: dict[str, Counter[str]] = {}
        self._line = Line()

    def holds(self, name: str) -> bool:
        """Whether a session has a place."""
        return name in self._holders

    def waits(self, name: str) -> bool:
        """Whether a session stands in line."""
        return name in self._line

    def held(self) -> Fraction:
        """Parts of GPUs that are held."""
        return self._sum(self._by_template)

    def counted(self) -> Fraction:
        """Parts that are held of those GPUs that there are."""
        aside = (self._by_node[node] for node in self._aside() if node in self._by_node)
        return self.held() - sum(map(self._sum, aside), Fraction(0))

    def wanted(self) -> Fraction:
        """Parts of GPUs that are waited for."""
        return self._sum(self._line.templates)

    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._line)

    def line(self) -> list[str]:
        """Names as they stand."""
        return self._line.names()

    def next(self, gpus: int) -> list[str]:
        """Who in line may have a place now."""
        return list(self._entering(gpus))

    def look(self, claim: Claim, gpus: int) -> SlotFact:
        """How a session stands, whether or not it is in line. Nothing is written down."""
        if self.holds(claim.name):
            return self._fact(claim, gpus, [])
        # What stands there by its name is a former session's, or it was another claim.
        known = self._line.get(claim.name)
        if known == claim:
            return self._stands(claim, gpus)
        self._line.remove(claim.name)
        self._line.add(claim)
        try:
            return self._stands(claim, gpus)
        finally:
            self._line.remove(claim.name)
            if known is not None:
                self._line.add(known)

    def hold(self, claim: Claim, at: str = "") -> bool:
        """A session has a place from now on.

        :param at: on this node, empty: on whichever.
        :returns: whether others than before may have one now: it held one of another template, or holds one that does
            not count any more, or the line says so.
        """
        before, after = self._holders.get(claim.name), _Holder(claim.template, claim.user, at)
        if before == after:
            self._line.remove(claim.name)
            return False
        if before is not None and (before.template, before.user) == (claim.template, claim.user):
            self._line.remove(claim.name)
            self._drop(claim.name, before)
            self._keep(claim.name, after)
            return at in self._aside()
        self._release(claim.name)
        turn = self._line.take(claim)
        self._keep(claim.name, after)
        return before is not None or turn

    def wait(self, claim: Claim) -> bool:
        """A session stands in line from now on, and has no place.

        :returns: whether somebody else may have one instead.
        """
        freed, known = self._release(claim.name), self._line.get(claim.name)
        if known == claim:
            return freed
        freed = self._line.remove(claim.name) or freed
        self._line.add(claim)
        return freed

    def rename(self, name: str, other: str) -> None:
        """What a session holds, if anything, is another one's from now on."""
        holder = self._holders.pop(name, None)
        if holder is not None:
            self._holders[other] = holder

    def leave(self, name: str) -> bool:
        """A session has no place and wants none.

        :returns: whether somebody else may have one instead.
        """
        released, left = self._release(name), self._line.remove(name)
        return released or left

    def _entering(self, gpus: int) -> Iterator[str]:
        parts = ((claim.name, self._share(claim.template)) for claim in self._line.order())
        return admit(self.counted(), parts, gpus)

    def _stands(self, claim: Claim, gpus: int) -> SlotFact:
        if self.counted() + self._sum(self._line.templates) <= gpus:
            return self._fact(claim, gpus, [])  # all of them fit, so nobody has to be looked at one by one
        entering: list[str] = []
        for name in self._entering(gpus):
            if name == claim.name:
                return self._fact(claim, gpus, [])
            entering.append(name)
        # Those who fit are as good as in: their passes are on their way.
        before = sum(self._line.before(name, claim.name) for name in entering)
        return self._fact(claim, gpus, entering, self._line.index(claim.name) + 1 - before)

    def _fact(self, claim: Claim, gpus: int, entering: list[str], position: int = 0) -> SlotFact:
        share, soon = self._share(claim.template), [self._line.get(name) for name in entering]
        held = sum((self._share(one.template) for one in soon if one is not None), self.counted())
        own = 1 if position == 0 and claim.name in self._line else 0
        return SlotFact(
            admitted=position == 0,
            gpus=gpus,
            taken=math.ceil(held / share) if share else 0,
            places=math.floor(gpus / share) if share else 0,
            position=position,
            waiting=len(self._line) - len(soon) - own,
        )

    def _sum(self, templates: Counter[str]) -> Fraction:
        return sum((count * self._share(template) for template, count in templates.items()), Fraction(0))

    def _release(self, name: str) -> bool:
        holder = self._holders.get(name)
        if holder is None:
            return False
        self._drop(name, holder)
        self._line.give_back(holder.user)
        return True

    def _keep(self, name: str, holder: _Holder) -> None:
        self._holders[name] = holder
        self._by_template[holder.template] += 1
        if holder.at:
            self._by_node.setdefault(holder.at, Counter())[holder.template] += 1

    def _drop(self, name: str, holder: _Holder) -> None:
        del self._holders[name]
        _less(self._by_template, holder.template)
        if holder.at:
            _less(self._by_node[holder.at], holder.template)
            if not self._by_node[holder.at]:
                del self._by_node[holder.at]


def _less(counts: Counter[str], key: str) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
