"""A capacity plan as tables and sentences for a planner. Pure: text cells, ready to show.

Every interval is written with what is planned first and the least that it may turn out to be beside it: ``63 (50 …
63)``. Where nothing is known of the latter it says ``at most``.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from vdibench.analysis.capacity import Bounds, Measured, Plan, Template
from vdibench.analysis.logins import LoginCheck
from vdibench.analysis.occupancy import MINUTES_A_DAY
from vdibench.analysis.prices import Amount, Cost
from vdibench.analysis.scalability import Extrapolation
from vdibench.report import formats

__all__ = [
    "beyond_lines",
    "clock",
    "cost_table",
    "day_table",
    "interval_text",
    "knee_of",
    "logins_table",
    "plan_lead",
    "plan_table",
    "sources_table",
    "unit",
]

_PAIR = ["", "value"]


def plan_lead(plan: Plan) -> str:
    """The plan in one sentence."""
    users = formats.counted(plan.terms.users, "user")
    peak = formats.counted(plan.peak, "session")
    nodes = f"{interval_text(plan.nodes)} node{'' if plan.nodes.conservative == 1 else 's'}"
    gpus = (
        f" with {interval_text(plan.gpus)} GPU{'' if plan.gpus.conservative == 1 else 's'}"
        if plan.gpus.conservative
        else ""
    )
    return f"{users}, at most {peak} at once: {nodes}{gpus}"


def plan_table(plan: Plan, cost: Cost | None = None) -> pd.DataFrame:
    """One row a template, and one for all of them where there are several."""
    rows = [
        [
            formats.clean(one.template.name),
            formats.count(one.users),
            f"{formats.count(one.peak)} at {clock(plan.day.minutes[one.day.index(one.peak)])}"
            if len(plan.day.minutes) > 1
            else formats.count(one.peak),
            formats.count(one.sessions),
            f"{_each(one.template)} per {one.template.measured.unit}",
            f"{interval_text(one.carriers)} {_plural(one.template.measured.unit, one.carriers.conservative)}",
            interval_text(one.nodes),
            formats.count(one.spare),
            interval_text(one.gpus) if one.gpus.conservative else "none",
            *([money(cost.templates[one.template.name], cost.prices.currency)] if cost is not None else []),
        ]
        for one in plan.templates
    ]
    if len(rows) > 1:
        gpus = interval_text(plan.gpus) if plan.gpus.conservative else "none"
        spare = sum(one.spare for one in plan.templates)
        whole = [money(cost.per_month, cost.prices.currency)] if cost is not None else []
        counts = [plan.terms.users, plan.peak, plan.sessions]
        rows.append(
            ["all", *map(formats.count, counts), "", "", interval_text(plan.nodes), formats.count(spare), gpus, *whole]
        )
    columns = ["template", "users", "at the peak", "to carry", "sessions each", "needed", "nodes", "of them spare"]
    return pd.DataFrame(rows, columns=[*columns, "GPUs in nodes", *(["per month"] if cost is not None else [])])


def sources_table(plan: Plan) -> pd.DataFrame:
    """Where each number of sessions comes from, and when it was measured."""
    rows = []
    for one in plan.templates:
        source = one.template.measured
        facts = source.facts
        session = [facts.get(name, "") for name in ("picture asked for", "workload", "scenario", "dialect")]
        rows.append(
            [
                formats.clean(one.template.name),
                formats.clean(source.run) + (" (synthetic)" if source.synthetic else ""),
                formats.instant(source.started_unix_seconds),
                _place(source),
                knee_of(source),
                f"{formats.counted(source.trials, 'trial')} of {formats.counted(source.levels, 'level')}",
                formats.clean(source.limited_by) or "undetermined",
                ", ".join(formats.clean(word) for word in session if word) or formats.NO_DATA,
            ]
        )
    columns = ["template", "run", "measured", "on", "knee", "rests on", "limited by", "a session"]
    return pd.DataFrame(rows, columns=columns)


def logins_table(plan: Plan) -> pd.DataFrame:
    """The login peak of each template against how fast sessions were seen to start."""
    return pd.DataFrame(
        [
            [
                formats.clean(one.template.name),
                _rate(one.logins.per_minute) + (" (stated)" if one.logins.stated else _least(one.logins)),
                _rate(one.logins.each_per_minute),
                _burst(one.logins),
                formats.NO_DATA if one.logins.carriers is None else formats.count(one.logins.carriers),
                str(one.logins.standing),
            ]
            for one in plan.templates
        ],
        columns=["template", "logins at the peak", "for each GPU or host", "measured", "GPUs or hosts it takes", "so"],
    )


def cost_table(cost: Cost) -> pd.DataFrame:
    """What the plan costs, one row a figure."""
    currency = cost.prices.currency
    rows = [
        ["per month", money(cost.per_month, currency)],
        ["per user and month", money(cost.per_user_month, currency)],
        ["per user and hour paid for", money(cost.per_user_hour, currency)],
    ]
    if cost.per_session_hour is not None:
        rows.append(["per hour of a session", money(cost.per_session_hour, currency)])
    source = ", ".join(formats.clean(part) for part in (cost.prices.name, cost.prices.source) if part)
    rows.append(["prices from", source])
    rows.append(["prices as of", formats.clean(cost.prices.as_of) or "the file does not say it"])
    return pd.DataFrame(rows, columns=_PAIR)


def day_table(plan: Plan) -> pd.DataFrame:
    """Sessions at each instant of the day, against what the nodes carry without their spare ones."""
    known = sum(one.carries[0] for one in plan.templates)
    several = len(plan.templates) > 1
    rows = []
    for index, minute in enumerate(plan.day.minutes):
        each = [formats.count(one.day[index]) for one in plan.templates] if several else []
        whole = plan.present[index]
        rows.append([clock(minute), *each, formats.count(whole), formats.ratio(whole / known) if known else "0 %"])
    names = [formats.clean(one.template.name) for one in plan.templates] if several else []
    return pd.DataFrame(rows, columns=["from", *names, "sessions", "of what is carried"])


def beyond_lines(beyond: Mapping[str, Extrapolation]) -> list[str]:
    """What the scalability law says of each template, one sentence each, marked as what it is."""
    lines = []
    for name, found in beyond.items():
        about = f"{formats.counted(found.trials, 'trial')} of {formats.counted(found.levels, 'level')}"
        head = f"Extrapolated, {formats.clean(name)}:"
        if found.law is None or found.sessions is None or found.low is None or found.high is None:
            lines.append(f"{head} {formats.NO_DATA}, {found.refusal} ({about}).")
            continue
        lines.append(
            f"{head} {formats.counted(found.sessions, 'session')} ({found.low} … {found.high}, 95 %) would each still "
            f"get {formats.quantity(found.wanted, '1/second')} by the universal scalability law, from {about} "
            f"(σ {found.law.contention:.3g}, κ {found.law.coherency:.3g}, off by {formats.ratio(found.error)}). "
            "It looks at the frame rate alone, and no number of this plan rests on it."
        )
    return lines


def interval_text(bounds: Bounds) -> str:
    """A planned number with the least that it may turn out to be."""
    planned = formats.count(bounds.conservative)
    if bounds.optimistic is None:
        return f"{planned} (at most)" if bounds.conservative else planned
    if bounds.optimistic == bounds.conservative:
        return planned
    return f"{planned} ({formats.count(bounds.optimistic)} … {planned})"


def money(amount: Amount, currency: str) -> str:
    """An amount with the least that it may turn out to be; the currency as it was written."""
    planned = f"{_figure(amount.conservative)} {formats.clean(currency)}"
    if amount.optimistic is None:
        return f"{planned} (at most)"
    low = _figure(amount.optimistic)
    return planned if low == _figure(amount.conservative) else f"{planned} ({low} … {_figure(amount.conservative)})"


def knee_of(source: Measured) -> str:
    """The knee that a run found, in words."""
    if source.upper is None:
        return f"at least {formats.count(source.lower)} per {source.unit}"
    if source.upper == source.lower:
        return f"{formats.count(source.lower)} per {source.unit}"
    return f"{formats.count(source.lower)} … {formats.count(source.upper)} per {source.unit}"


def unit(plan: Plan) -> str:
    """What the plan counts: GPUs where every template has them, else nodes."""
    return "GPUs" if all(one.template.gpus_in_node for one in plan.templates) else "nodes"


def clock(minute: int) -> str:
    """A minute of the day as time."""
    hours, minutes = divmod(minute % MINUTES_A_DAY, 60)
    return f"{hours:02d}:{minutes:02d}"


def _each(template: Template) -> str:
    each = template.sessions_each
    capped = ", capped" if template.capped else ""
    if each.optimistic is None:
        return f"at least {formats.count(each.conservative)}"
    if each.optimistic == each.conservative:
        return f"{formats.count(each.conservative)}{capped}"
    return f"{formats.count(each.conservative)} … {formats.count(each.optimistic)}{capped}"


def _place(source: Measured) -> str:
    if source.gpus == 0:
        return f"host without GPU: {formats.clean(source.facts.get('processor', formats.NO_DATA))}"
    name = formats.clean(source.gpu) or "a GPU that the run does not name"
    return name if source.gpus == 1 else f"host with {source.gpus} GPUs: {name}"


def _rate(value: float | None) -> str:
    return formats.NO_DATA if value is None else formats.quantity(value, "1/minute")


def _least(check: LoginCheck) -> str:
    return " at least" if check.per_minute is not None else ""


def _burst(check: LoginCheck) -> str:
    found = check.measured
    if found is None:
        return formats.NO_DATA
    return (
        f"{formats.counted(found.sessions, 'session')} in {formats.seconds(found.seconds)} "
        f"({_rate(found.per_minute)}; ready p95 {formats.seconds(found.ready_p95_seconds)})"
    )


def _figure(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:,.2f}" if value >= 1 or value == 0 else formats.significant(value)


def _plural(noun: str, number: int) -> str:
    return noun if number == 1 else f"{noun}s"
