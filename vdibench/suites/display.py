"""What a notebook cell shows: findings, figures, a verdict. Text and pictures come from the report."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

import pandas as pd

from vdibench.records import Check, SuiteVerdict, Verdict
from vdibench.report import Chart, objectives_table, outcome_word

__all__ = ["Figures", "Findings", "Judgement", "findings_table"]


def findings_table(checks: Iterable[Check]) -> pd.DataFrame:
    """One row a check, as text."""
    columns = ["check", "outcome", "finding", "evidence", "remedy"]
    rows = [[check.name, outcome_word(check.outcome), check.finding, check.evidence, check.remedy] for check in checks]
    return pd.DataFrame(rows, columns=columns)


class Findings(tuple[Check, ...]):
    """A few checks; displays as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "\n".join(f"{check.outcome}: {check.name}: {check.finding}" for check in self)

    def _repr_html_(self) -> str:
        return _table(findings_table(self))


class Figures:
    """Figures one below the other, each with its caption. A figure without data is left out and named."""

    def __init__(self, charts: Iterable[tuple[str, Chart | None]]) -> None:
        self._charts = tuple(charts)

    @property
    def drawn(self) -> Sequence[Chart]:
        """The figures that had data."""
        return [chart for _, chart in self._charts if chart is not None]

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {'drawn' if chart is not None else 'no data'}" for name, chart in self._charts)

    def _repr_html_(self) -> str:
        return "".join(self._figure(name, chart) for name, chart in self._charts)

    @staticmethod
    def _figure(name: str, chart: Chart | None) -> str:
        if chart is None:
            return f"<p>{html.escape(name)}: no data</p>"
        picture = base64.b64encode(chart.png()).decode()
        heading, caption = html.escape(chart.heading), html.escape(chart.caption)
        return (
            f'<figure><img width="900" alt="{heading}" src="data:image/png;base64,{picture}"/><p>{caption}</p></figure>'
        )


class Judgement:
    """A verdict with every objective."""

    def __init__(self, verdict: SuiteVerdict | Verdict, note: str = "") -> None:
        self.verdict = verdict
        self._note = note

    def __repr__(self) -> str:
        return f"verdict: {self.verdict.outcome}"

    def _repr_html_(self) -> str:
        if isinstance(self.verdict, SuiteVerdict):
            reasons: tuple[str, ...] = self.verdict.reasons
        else:
            reasons = tuple(f"{suite.suite}: {suite.outcome}" for suite in self.verdict.suites)
        said = "".join(f"<p>{html.escape(reason)}</p>" for reason in reasons)
        headline = html.escape(self._note) or f"verdict: {self.verdict.outcome}"
        return f"<p><b>{headline}</b></p>{said}{_table(objectives_table(self.verdict))}"


def _table(frame: pd.DataFrame) -> str:
    return str(frame.to_html(index=False, escape=True, border=0))
