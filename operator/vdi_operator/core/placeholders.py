"""Which placeholders ought to be, and which one gives way to a session. Pure.

They hold no place in the ledger: what they may have is what nobody holds and nobody waits for, and it is theirs only
until somebody does. So a session waits for them no longer than for their end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from vdi_operator.api.objects import Object
from vdi_operator.api.template import Template
from vdi_operator.children import names
from vdi_operator.children.placeholder import placeholder
from vdi_operator.core import pods
from vdi_operator.core.evidence import refusal, remaining_seconds
from vdi_operator.settings import Settings

__all__ = ["Placeholder", "Plan", "allowed", "chosen", "plan"]


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One that is there.

    :param template: name of its template.
    :param made_as: what it was made as.
    :param node: where it has its place, empty: it has none yet.
    :param ready: it runs, so the image is there.
    :param ended: for good: it was evicted, or its node did not take it.
    :param going: it is being deleted.
    """

    name: str
    uid: str
    template: str
    made_as: str
    created: str = ""
    node: str = ""
    ready: bool = False
    ended: bool = False
    going: bool = False

    @classmethod
    def of(cls, one: Object) -> Placeholder:
        """From its pod."""
        metadata = one["metadata"]
        return cls(
            name=str(metadata["name"]),
            uid=pods.uid(one),
            template=str((metadata.get("labels") or {}).get(names.TEMPLATE_LABEL, "")),
            made_as=str((metadata.get("annotations") or {}).get(names.PLACEHOLDER_ANNOTATION, "")),
            created=str(metadata.get("creationTimestamp") or ""),
            node=pods.node(one),
            # Without a probe of its own it is ready when it runs.
            ready=pods.ready(one),
            ended=pods.ended(one),
            going=pods.going(one),
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What makes it as it ought to be: deletions first.

    :param create: documents of pods.
    :param again_seconds: until time alone changes something, None: it does not.
    """

    create: tuple[Object, ...] = ()
    delete: tuple[Placeholder, ...] = ()
    again_seconds: float | None = None


def allowed(templates: Iterable[Template], settings: Settings, free: Fraction | None, now: float) -> Mapping[str, int]:
    """How many placeholders each template may have now, those without any left out.

    Of what is free, templates take a place each by turns, in the order of their names.

    :param free: parts of GPUs that nobody holds or waits for, None: nobody counts them, so the scheduler does.
    """
    known = {one.name: one for one in sorted(templates, key=lambda one: one.name) if _offers(one, settings, now)}
    given = dict.fromkeys(known, 0)
    turn = list(known)
    while turn:
        left = []
        for name in turn:
            share = _share(known[name])
            if free is not None and share > free:
                continue
            given[name] += 1
            if free is not None:
                free -= share
            if given[name] < known[name].warm_slots:
                left.append(name)
        turn = left
    return {name: count for name, count in given.items() if count}


def plan(
    templates: Sequence[Template],
    settings: Settings,
    free: Fraction | None,
    now: float,
    there: Iterable[Placeholder],
) -> Plan:
    """What to make and what to delete.

    What is not as it would be made now goes, and what has ended; of too many those that hold nothing yet go first, and
    the younger ones before the older.

    :param there: all, those that go included.
    """
    may = allowed(templates, settings, free, now)
    bodies = {one.name: placeholder(one, settings) for one in templates if one.name in may}
    kept: dict[str, list[Placeholder]] = {name: [] for name in may}
    delete: list[Placeholder] = []
    for one in sorted(there, key=lambda one: (not one.ready, not one.node, one.created, one.name)):
        if one.going:
            continue
        body = bodies.get(one.template)
        if body is None or one.ended or one.made_as != _made_as(body) or len(kept[one.template]) == may[one.template]:
            delete.append(one)
        else:
            kept[one.template].append(one)
    create = [bodies[name] for name, count in may.items() for _ in range(count - len(kept[name]))]
    ends = [remaining_seconds(one, settings, now) for one in templates if one.name in may]
    return Plan(tuple(create), tuple(delete), min((left for left in ends if left is not None), default=None))


def chosen(there: Iterable[Placeholder], template: str, node: str) -> Placeholder | None:
    """The placeholder that gives way to a session of a template, None: none has the place that it needs.

    :param node: where the session has to be, empty: anywhere.
    """
    able = [one for one in there if one.template == template and one.node and not one.going and not one.ended]
    fit = [one for one in able if node in ("", one.node)]
    return min(fit, key=lambda one: (not one.ready, one.created, one.name), default=None)


def _offers(template: Template, settings: Settings, now: float) -> bool:
    """Whether it may have any: without a class of their own placeholders would be as important as desktops."""
    if not template.warm_slots or not settings.placeholder_priority_class:
        return False
    return refusal(template, settings, now) is None


def _share(template: Template) -> Fraction:
    if template.gpu is None or template.sessions_per_gpu is None:
        return Fraction(0)
    return Fraction(1, template.sessions_per_gpu)


def _made_as(body: Object) -> str:
    return str(body["metadata"]["annotations"][names.PLACEHOLDER_ANNOTATION])
