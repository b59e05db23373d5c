"""Checks as a notebook cell or a terminal shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vdibench.records import Check

__all__ = ["Findings"]


class Findings(Sequence[Check]):
    """A few checks; displays as a table."""

    def __init__(self, checks: Sequence[Check]) -> None:
        self._checks = tuple(checks)

    def __len__(self) -> int:
        return len(self._checks)

    def __getitem__(self, index: int) -> Check:  # type: ignore[override]
        return self._checks[index]

    def __iter__(self) -> Iterator[Check]:
        return iter(self._checks)

    def __repr__(self) -> str:
        return "\n".join(f"{check.outcome}: {check.name}: {check.finding}" for check in self._checks)

    def _repr_html_(self) -> str:
        from vdibench.report import checks_table  # the report draws in pandas: not needed to hold findings

        return str(checks_table(self._checks).to_html(index=False))
