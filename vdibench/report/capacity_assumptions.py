"""What a capacity plan takes for granted, in sentences: whoever buys by it must be able to disagree. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from vdibench.analysis import GOOD_SHARE
from vdibench.analysis.capacity import Measured, Plan, TemplatePlan
from vdibench.analysis.logins import Standing
from vdibench.analysis.prices import Cost
from vdibench.report import formats
from vdibench.report.capacity_tables import clock

__all__ = ["assumptions", "warnings"]


def assumptions(plan: Plan, cost: Cost | None = None) -> list[str]:
    """What the plan rests on beside what was measured, one sentence each."""
    return [*_of_demand(plan), *_of_supply(plan), *(_of_cost(cost) if cost is not None else ())]


def warnings(plan: Plan) -> list[str]:
    """What a reader must not overlook, one sentence each."""
    found = []
    for one in plan.templates:
        name, source = formats.clean(one.template.name), one.template.measured
        if source.synthetic:
            found.append(
                f"{name}: synthetic. Run {source.run} replayed a trace, so this is no capacity of any desktop."
            )
        found.extend(f"{name}: {said}" for said in _of_knee(source))
        if source.upper is None:
            found.append(
                f"{name}: no level of run {source.run} is known to be too much, so fewer {source.unit}s may do; "
                "by how many is not known."
            )
        if one.template.units_per_node > 1 and source.limited_by.startswith("host"):
            found.append(
                f"{name}: {formats.clean(source.limited_by)} was the limit, not the GPU. A node with "
                f"{one.template.gpus_per_node} GPUs needs {one.template.gpus_per_node} times as much of it as the host "
                f"of run {source.run}."
            )
        if one.logins.standing is Standing.BEYOND and one.logins.carriers is not None:
            found.append(
                f"{name}: its login peak is beyond what was measured; it would stay inside on "
                f"{formats.counted(one.logins.carriers, source.unit)}, and "
                f"{formats.count(one.carriers.conservative)} are planned for the sessions."
            )
    return found


def _of_knee(source: Measured) -> Iterator[str]:
    """What makes a knee a weak one."""
    if source.trials <= source.levels:
        yield (
            f"the knee of run {source.run} rests on one trial a level: how much repetitions of it would differ is not "
            "known."
        )
    if source.error_rate is None:
        yield f"the knee of run {source.run} has no error rate: how often its rule calls a bad level good is not known."
    if source.contradicting:
        levels = ", ".join(map(str, source.contradicting))
        yield f"levels that were good although a smaller one was bad, and are not believed: {levels}."


def _of_demand(plan: Plan) -> Iterator[str]:
    day, terms = plan.day, plan.terms
    if len(day.minutes) == 1 and not day.name:
        yield "Every user is there at once: no profile of the day was given."
    else:
        at = clock(day.minutes[plan.present.index(plan.peak)])
        yield (
            f"Who is there when: {formats.clean(day.name)}, {formats.counted(len(day.minutes), 'instant')} of one day; "
            f"each holds until the next one. Most are there from {at} on."
        )
    if len(plan.templates) > 1 and plan.peak < sum(one.peak for one in plan.templates):
        yield "The templates have their peaks at different times, and each has room for its own."
    yield (
        f"Headroom: {float(100 * terms.headroom):g} % more sessions than at the peak, rounded up."
        if terms.headroom
        else "Headroom: none, the peak fills what is planned."
    )
    planned = sum(one.users for one in plan.templates)
    if planned > terms.users:
        yield f"Users are rounded up for each template: {planned:,} are planned for, {terms.users:,} were asked for."
    yield from _of_logins(plan)


def _of_logins(plan: Plan) -> Iterator[str]:
    checks = [one.logins for one in plan.templates]
    if all(check.per_minute is None for check in checks):
        yield "Logins: nothing says how many come in a minute, so nothing is said of login peaks."
        return
    if not all(check.stated for check in checks):
        yield (
            "Logins: the steepest rise of who is there, evenly spread. Whoever leaves meanwhile hides others who come, "
            "and a peak between two instants is not seen."
        )
    yield (
        "Logins spread evenly over the planned GPUs or hosts, spare ones left out. Measured is the largest group, not "
        "above the knee, that started together and whose every session showed a picture; one that took less than a "
        "minute counts as one a minute. Beyond it nothing is known."
    )


def _of_supply(plan: Plan) -> Iterator[str]:
    yield (
        "Planned is with the lower bound of each knee, the largest number of sessions known to be good; the smaller "
        "number in brackets follows from its upper bound."
    )
    yield (
        "A session is good when it keeps every objective of its run that applies; a trial passes when "
        f"{100 * GOOD_SHARE:g} % of its sessions are good."
    )
    yield "Users do what the sessions of the run did: other work, another picture or another encoder carries otherwise."
    for one in plan.templates:
        yield from _of_template(one)
    spare = sum(one.spare for one in plan.templates)
    yield (
        f"Spare: {formats.counted(plan.terms.spare_nodes, 'node')} for each template, beside those that carry the peak."
        if spare
        else "Spare: none, one node less means fewer sessions."
    )
    if len(plan.templates) > 1:
        yield "Templates share neither GPUs nor nodes, and each is rounded up by itself."


def _of_template(one: TemplatePlan) -> Iterator[str]:
    template, source = one.template, one.template.measured
    name = formats.clean(template.name)
    if source.rule:
        yield f"{name}: a number of sessions is {formats.clean(source.rule)}."
    if source.gpus == 0:
        yield f"{name}: measured without a GPU. A node is a host like that one, with no GPU to count."
    elif source.gpus > 1:
        yield f"{name}: a node is a host like the one that was measured, with its {source.gpus} GPUs."
    elif template.gpus_per_node > 1:
        yield (
            f"{name}: a node has {template.gpus_per_node} GPUs, each of which carries what one did alone; that "
            "the processors, memory and network of the node bear it was not measured."
        )
    else:
        yield f"{name}: a node has one GPU."
    if template.capped and template.max_sessions is not None:
        yield f"{name}: at most {formats.counted(template.max_sessions, 'session')} on one {source.unit}, as was asked."
    if source.limit_sentence:
        yield f"{name}: {formats.clean(source.limit_sentence)}"


def _of_cost(cost: Cost) -> Iterator[str]:
    prices = cost.prices
    yield (
        f"Prices: {formats.clean(prices.name)}; every node, spare ones too, is paid for "
        f"{prices.hours_per_month:g} hours a month, whoever is there."
    )
    if cost.per_session_hour is not None:
        yield "An hour of a session: every day of the month is like the profile."
