"""A graduation that is refused: every finding at once, and the exit code that they ask for. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from vdibench.errors import VdibenchError
from vdibench.graduation.findings import Finding
from vdibench.graduation.verification import exit_code

__all__ = ["Refused"]


class Refused(VdibenchError):
    """Not shipped, and every reason why.

    :param what: the run or chart that it is about, in words.
    :param findings: at least one.
    """

    def __init__(self, what: str, findings: Sequence[Finding]) -> None:
        assert findings, "refused for nothing"
        self.findings = tuple(findings)
        self.exit_code = exit_code(findings)
        first, more = self.findings[0], len(self.findings) - 1
        rest = f" (and {more} more)" if more else ""
        super().__init__(f"{what} is refused: {first.cause}{rest}", first.remedy)

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: every reason, one a line."""
        return [f"{type(self).__name__}: {finding}" for finding in self.findings]
