"""From edges and what was found at them to rows and one verdict. Pure.

No answer is a denial only where an answer was possible: somebody who may must have got one. Refused or silent, both
are denied; engines differ in that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vdibench.conformance.edges import Edge, Expected, Source
from vdibench.records import Outcome, worst

__all__ = ["NO_ENGINE", "NO_POLICIES", "Judgement", "Opening", "Row", "Try", "judge"]

NO_ENGINE = "no policy engine enforces on this cluster"
NO_POLICIES = "there are no policies in the sessions' namespace"

_DENIALS = ("refused", "timeout")
_COUNTED = (Outcome.PASS, Outcome.FAIL)


@dataclass(frozen=True, slots=True)
class Try:
    """What one try of the probe found.

    :param word: ``answered``, ``other``, ``refused``, ``timeout`` or ``error``.
    :param detail: what was said, or what went wrong.
    :param seconds: how long it took.
    """

    word: str
    detail: str = ""
    seconds: float = 0.0

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Try:
        """From the probe's answer."""
        return cls(str(document["word"]), str(document["detail"]), float(document["seconds"]))


Found = Mapping[tuple[str, Source], Sequence[Try]]


@dataclass(frozen=True, slots=True)
class Opening:
    """For how long a new session reached what it must not.

    :param open_seconds: from its program's start to the last answer; 0: there was none.
    :param still_open: also the last try was answered.
    :param watched_seconds: how long it tried.
    """

    open_seconds: float
    still_open: bool
    watched_seconds: float

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Opening:
        """From the stand-in's answer."""
        return cls(float(document["open_seconds"]), bool(document["still_open"]), float(document["watched_seconds"]))

    def __str__(self) -> str:
        if self.still_open:
            return f"a new session was open for all of the {self.watched_seconds:g} s watched"
        if not self.open_seconds:
            return "a new session was never open"
        return f"a new session was open for {self.open_seconds * 1000:.0f} ms"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report.

    :param found: what the probes from the edge's source found, counted.
    :param finding: what that means, where it does not speak for itself.
    """

    edge: Edge
    found: str
    outcome: Outcome
    finding: str = ""

    @property
    def counts(self) -> bool:
        """Whether it has a part in the verdict: what a cluster need not have, and has not, has none."""
        return self.edge.expected is not Expected.EXEMPT and (self.edge.required or self.outcome in _COUNTED)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on a cluster's policies.

    :param sentence: what is to be said first.
    :param remedy: what to do; empty for a pass.
    :param opening: None when it could not be watched.
    :param policies: how many the sessions' namespace has; None: not known.
    """

    outcome: Outcome
    sentence: str
    remedy: str
    rows: tuple[Row, ...]
    opening: Opening | None = None
    policies: int | None = None

    @property
    def enforced(self) -> bool | None:
        """Whether at least one forbidden edge is denied, and would not be without a policy; None where nothing tells.

        Where there is no policy, an open edge says nothing of an engine.
        """
        found = {row.outcome for row in self.rows if row.edge.expected is Expected.DENIED}
        if Outcome.PASS in found:
            return True
        return False if Outcome.FAIL in found and self.policies != 0 else None

    @property
    def absent(self) -> tuple[Row, ...]:
        """Forbidden edges to what this cluster does not have."""
        return tuple(row for row in self.rows if not row.counts and row.edge.expected is not Expected.EXEMPT)

    @property
    def exempt(self) -> tuple[Row, ...]:
        """What is open or not, whatever policies say."""
        return tuple(row for row in self.rows if row.edge.expected is Expected.EXEMPT)


def judge(
    edges: Iterable[Edge], found: Found, opening: Opening | None = None, *, policies: int | None = None
) -> Judgement:
    """Compare what was found with what should be.

    :param policies: how many the sessions' namespace has; None: not known.
    """
    rows = tuple(_row(edge, found) for edge in edges)
    outcome = worst(row.outcome for row in rows if row.counts)
    sentence, remedy = _said(rows, outcome, policies)
    return Judgement(outcome, sentence, remedy, rows, opening, policies)


def _row(edge: Edge, found: Found) -> Row:
    if edge.missing:
        outcome = Outcome.NOT_APPLICABLE if edge.expected is Expected.EXEMPT else Outcome.NO_DATA
        return Row(edge, "", outcome, edge.missing)
    tries = found.get((edge.name, edge.source), ())
    seen = _counted(tries)
    if not tries or all(one.word == "error" for one in tries):
        said = tries[0].detail if tries else "the probe did not say"
        outcome = Outcome.NOT_APPLICABLE if edge.expected is Expected.EXEMPT else Outcome.NO_DATA
        return Row(edge, seen, outcome, f"not tried: {said}")
    if edge.expected is Expected.EXEMPT:
        is_open = any(one.word == "answered" for one in tries)
        return Row(edge, seen, Outcome.NOT_APPLICABLE, "open" if is_open else "shut")
    proof = _proof(edge, found)
    if edge.expected is Expected.ALLOWED:
        return _of_allowed(edge, tries, seen, proof)
    return _of_denied(edge, tries, seen, proof)


def _of_allowed(edge: Edge, tries: Sequence[Try], seen: str, proof: Source | None) -> Row:
    failed = [one for one in tries if one.word != "answered"]
    if not failed:
        return Row(edge, seen, Outcome.PASS)
    finding = failed[0].detail
    if proof is not None:
        finding += f"; from {proof} it answers"
    elif edge.controls:
        finding += f"; nor does it answer from {' or '.join(edge.controls)}"
    return Row(edge, seen, Outcome.FAIL, finding)


def _of_denied(edge: Edge, tries: Sequence[Try], seen: str, proof: Source | None) -> Row:
    words = {one.word for one in tries}
    if "answered" in words:
        said = next(one.detail for one in tries if one.word == "answered")
        return Row(edge, seen, Outcome.FAIL, said)
    if not words <= set(_DENIALS):
        said = next(one.detail for one in tries if one.word not in _DENIALS)
        return Row(edge, seen, Outcome.NO_DATA, f"not what was asked for: {said}")
    if proof is None:
        whence = " or ".join(edge.controls) or "anywhere"
        return Row(edge, seen, Outcome.NO_DATA, f"nothing answers there from {whence} either")
    return Row(edge, seen, Outcome.PASS, f"from {proof} it answers")


def _proof(edge: Edge, found: Found) -> Source | None:
    """From where the destination does answer."""
    for source in edge.controls:
        if any(one.word == "answered" for one in found.get((edge.name, source), ())):
            return source
    return None


def _counted(tries: Sequence[Try]) -> str:
    numbers = Counter(one.word for one in tries)
    return ", ".join(f"{word} {number} of {len(tries)}" for word, number in numbers.items())


def _said(rows: Sequence[Row], outcome: Outcome, policies: int | None) -> tuple[str, str]:
    counted = [row for row in rows if row.counts]
    denied = [row for row in counted if row.edge.expected is Expected.DENIED]
    opened = [row for row in denied if row.outcome is Outcome.FAIL]
    blocked = [row for row in counted if row.edge.expected is Expected.ALLOWED and row.outcome is Outcome.FAIL]
    unknown = [row for row in counted if row.outcome is Outcome.NO_DATA]
    if opened and not any(row.outcome is Outcome.PASS for row in denied):
        also = f"; not open, and should be: {_names(blocked)}" if blocked else ""
        if policies == 0:
            return f"{NO_POLICIES}: every forbidden edge is open ({len(opened)}){also}", "apply manifests/security"
        return (
            f"{NO_ENGINE}: every forbidden edge that leads somewhere is open ({len(opened)}){also}",
            "start K3s without --disable-network-policy, or install a network that enforces NetworkPolicies",
        )
    if outcome is Outcome.FAIL:
        parts = []
        if opened:
            parts.append(f"open, and should not be: {_names(opened)}")
        if blocked:
            parts.append(f"not open, and should be: {_names(blocked)}")
        remedy = "compare the policies of the cluster with manifests/security: kubectl get networkpolicies -A -o yaml"
        return "; ".join(parts), remedy
    if outcome is Outcome.PASS:
        return f"all {len(counted)} edges are as the policies say", ""
    if not counted:
        return "no edge could be tried", "apply the platform's manifests (manifests/README.md)"
    return (
        f"{len(unknown)} of {len(counted)} edges could not be judged: {_names(unknown)}",
        "mend what each of them lacks, and check again",
    )


def _names(rows: Iterable[Row]) -> str:
    return ", ".join(row.edge.name for row in rows)
