"""A capacity plan as one HTML file and as CSV. Pure: text out; who asked for a file writes it."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Mapping

import vdibench
from vdibench.analysis.capacity import Plan, TemplatePlan
from vdibench.analysis.prices import Cost
from vdibench.analysis.scalability import Extrapolation
from vdibench.report import formats
from vdibench.report.capacity_assumptions import assumptions, warnings
from vdibench.report.capacity_charts import day_chart, users_chart
from vdibench.report.capacity_tables import (
    beyond_lines,
    cost_table,
    day_table,
    logins_table,
    plan_lead,
    plan_table,
    sources_table,
)
from vdibench.report.document import page_template, style_sheet
from vdibench.report.sections import Section

__all__ = ["plan_csv", "plan_page", "plan_sections"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def plan_sections(
    plan: Plan, cost: Cost | None = None, beyond: Mapping[str, Extrapolation] | None = None
) -> list[Section]:
    """The sections of a plan's page, in order; figures are drawn here."""
    parts: list[Section] = []
    section = _section(parts, "Plan", "plan")
    for line in warnings(plan):
        section.lack(line)
    section.tabulate(plan_table(plan, cost))
    section.draw(users_chart(plan), "plan-users")
    if cost is not None:
        _section(parts, "Cost", "cost").tabulate(cost_table(cost))
    section = _section(parts, "Over the day", "day")
    section.draw(day_chart(plan), "plan-day")
    section.tabulate(day_table(plan))
    _section(parts, "Login peaks", "logins").tabulate(logins_table(plan))
    _section(parts, "Where the numbers come from", "sources").tabulate(sources_table(plan))
    if beyond:
        section = _section(parts, "Beyond what was measured", "beyond")
        for line in beyond_lines(beyond):
            section.lack(line)
    section = _section(parts, "Assumptions", "assumptions")
    for line in assumptions(plan, cost):
        section.say(line)
    return parts


def plan_page(
    plan: Plan,
    cost: Cost | None = None,
    beyond: Mapping[str, Extrapolation] | None = None,
    *,
    command: str = "",
    written_unix_seconds: float | None = None,
) -> str:
    """The page as text; everything from outside is escaped.

    :param command: that made it, for the record.
    """
    parts = plan_sections(plan, cost, beyond)
    pictures = {block.file: block.chart.png() for part in parts for block in part.blocks if block.chart is not None}
    return page_template("capacity.html.j2").render(
        title=f"Plan for {formats.counted(plan.terms.users, 'user')}",
        lead=f"{plan_lead(plan)}.",
        synthetic=plan.synthetic,
        command=formats.clean(command),
        written=formats.instant(written_unix_seconds) if written_unix_seconds is not None else "",
        sections=parts,
        pictures={name: f"data:image/png;base64,{base64.b64encode(data).decode()}" for name, data in pictures.items()},
        version=vdibench.__version__,
        css=style_sheet(),
    )


def plan_csv(plan: Plan, cost: Cost | None = None) -> str:
    """One row a template in plain numbers for a spreadsheet; an empty cell is not known."""
    rows = [_row(one, cost) for one in plan.templates]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row(one: TemplatePlan, cost: Cost | None) -> dict[str, object]:
    source, each = one.template.measured, one.template.sessions_each
    row: dict[str, object] = {
        "template": _safe(one.template.name),
        "run": _safe(source.run),
        "measured_utc": formats.instant(source.started_unix_seconds).removesuffix(" UTC"),
        "gpu": _safe(source.gpu),
        "synthetic": source.synthetic,
        "per": source.unit,
        "knee_lower": source.lower,
        "knee_upper": source.upper,
        "limited_by": _safe(source.limited_by),
        "users": one.users,
        "peak_sessions": one.peak,
        "sessions_with_headroom": one.sessions,
        "sessions_each": each.conservative,
        "sessions_each_at_most": each.optimistic,
        "needed": one.carriers.conservative,
        "needed_at_least": one.carriers.optimistic,
        "nodes": one.nodes.conservative,
        "nodes_at_least": one.nodes.optimistic,
        "spare_nodes": one.spare,
        "gpus": one.gpus.conservative,
        "gpus_at_least": one.gpus.optimistic,
        "logins_per_minute": _rounded(one.logins.per_minute),
        "logins_measured_per_minute_each": _rounded(one.logins.measured.per_minute if one.logins.measured else None),
        "logins": str(one.logins.standing),
    }
    if cost is not None:
        amount = cost.templates[one.template.name]
        row["currency"] = _safe(cost.prices.currency)
        row["cost_per_month"] = round(amount.conservative, 2)
        row["cost_per_month_at_least"] = None if amount.optimistic is None else round(amount.optimistic, 2)
        row["cost_per_user_month"] = round(amount.conservative / one.users, 4) if one.users else None
    return row


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _safe(text: str) -> str:
    """A cell that a spreadsheet takes for text, never for a formula."""
    clean = formats.clean(text)
    return f"'{clean}" if clean.startswith(_FORMULA) else clean


def _section(parts: list[Section], title: str, anchor: str) -> Section:
    parts.append(Section(title, anchor))
    return parts[-1]
