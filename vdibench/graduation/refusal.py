"""A graduation that is refused: every finding at once, and the exit code that they ask for. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from vdibench.errors import VdibenchError
from vdibench.graduation.findings import Finding
from vdibench.records import EXIT_CODES, Outcome, worst

__all__ = ["Refused", "exit_code"]

# What makes the numbers themselves worthless, or of something else than what is shipped.
_INVALID = frozenset({"schema", "synthetic", "lab", "age", "expired"})
# What was never measured, or not to its end.
_MISSING = frozenset({"state", "suite", "subjects", "capacity"})
# The outcome of the run or of a suite decides by itself.
_JUDGED = frozenset({"outcome", "suite", "policies"})


def exit_code(findings: Sequence[Finding], judged: Sequence[Outcome] = ()) -> int:
    """0 without findings; 97 where the run is no evidence, 99 where something was missed or differs, 98 without data.

    The worst one counts, in the order of a verdict: an invalid run outranks a failure, a failure missing data.

    :param judged: outcomes of what the findings on outcomes are about; where they pass, a finding of that kind is data
        that is missing.
    """
    if not findings:
        return 0
    bad = [outcome for outcome in judged if outcome not in (Outcome.PASS, Outcome.NOT_APPLICABLE)]
    found = []
    for finding in findings:
        if finding.kind in _INVALID:
            found.append(Outcome.INVALID)
        elif finding.kind in _JUDGED and bad:
            found.append(worst(bad))
        elif finding.kind in _MISSING or finding.kind in _JUDGED:
            found.append(Outcome.NO_DATA)
        else:
            found.append(Outcome.FAIL)
    return EXIT_CODES[worst(found)]


class Refused(VdibenchError):
    """Not shipped, and every reason why.

    :param what: the run or chart that it is about, in words.
    :param findings: at least one.
    :param code: of the process, as :func:`exit_code` has it.
    """

    def __init__(self, what: str, findings: Sequence[Finding], code: int) -> None:
        assert findings, "refused for nothing"
        self.findings = tuple(findings)
        self.exit_code = code
        first, more = self.findings[0], len(self.findings) - 1
        rest = f" (and {more} more)" if more else ""
        super().__init__(f"{what} is refused: {first.cause}{rest}", first.remedy)

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: every reason, one a line."""
        return [f"{type(self).__name__}: {finding}" for finding in self.findings]
