"""One manual check: what was asked, what was found, what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from vdibench.records.outcome import Outcome

__all__ = ["Check"]


@dataclass(frozen=True, slots=True)
class Check:
    """A finding that a person can act on.

    :param name: stable identifier, ``snake_case``.
    :param outcome: pass, fail, no data or not applicable.
    :param finding: what was found, in one line with its numbers and units.
    :param evidence: where the finding comes from (a command, a message, a file), in one line.
    :param remedy: what to do when it is not a pass; empty otherwise.
    """

    name: str
    outcome: Outcome
    finding: str
    evidence: str = ""
    remedy: str = ""
