"""What can be said of an objective, a check or a run. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from types import MappingProxyType

__all__ = ["EXIT_CODES", "Outcome", "worst"]


class Outcome(StrEnum):
    """Five answers; only one of them is good news.

    ``NOT_APPLICABLE`` is decided before the run, from the profile; it is listed and never counted.
    ``NO_DATA`` says that the thing applies and nothing was measured: it never passes.
    """

    PASS = "pass"
    FAIL = "fail"
    NO_DATA = "no data"
    NOT_APPLICABLE = "not applicable"
    INVALID = "invalid"


EXIT_CODES = MappingProxyType(
    {
        Outcome.PASS: 0,
        Outcome.FAIL: 99,
        Outcome.NO_DATA: 98,
        Outcome.NOT_APPLICABLE: 98,
        Outcome.INVALID: 97,
    }
)

# An invalid run outranks a failure: its numbers may be wrong in either direction.
_RANK = (Outcome.INVALID, Outcome.FAIL, Outcome.NO_DATA, Outcome.PASS)


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome of a whole from the outcomes of its parts.

    Nothing at all, or only parts that do not apply, is ``NO_DATA``: an empty run never passes.
    """
    counted = {outcome for outcome in outcomes if outcome is not Outcome.NOT_APPLICABLE}
    for outcome in _RANK:
        if outcome in counted:
            return outcome
    return Outcome.NO_DATA
