"""Short ways to say what a check found. Pure; a finding is one line, a pass has no remedy."""

from __future__ import annotations

from vdibench.records import Check, Outcome

__all__ = ["failed", "mebibytes", "no_data", "not_applicable", "passed"]


def passed(name: str, finding: str, evidence: str = "") -> Check:
    """It is as it should be."""
    return Check(name, Outcome.PASS, _line(finding), _line(evidence))


def failed(name: str, finding: str, evidence: str, remedy: str) -> Check:
    """It is not, and this helps."""
    return Check(name, Outcome.FAIL, _line(finding), _line(evidence), _line(remedy))


def no_data(name: str, finding: str, evidence: str, remedy: str) -> Check:
    """It applies and could not be found out."""
    return Check(name, Outcome.NO_DATA, _line(finding), _line(evidence), _line(remedy))


def not_applicable(name: str, reason: str) -> Check:
    """The profile rules it out before anything is looked at."""
    return Check(name, Outcome.NOT_APPLICABLE, _line(reason))


def mebibytes(size_bytes: float) -> str:
    """A size as text."""
    return f"{size_bytes / (1 << 20):,.0f} MiB"


def _line(text: str) -> str:
    return " ".join(text.split())
