"""Which placeholders there are to be: never in anybody's way, as many as are wanted where there is room, no churn."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdi_operator.api.evidence import Evidence
from vdi_operator.api.objects import Object
from vdi_operator.api.template import Template
from vdi_operator.children.placeholder import placeholder
from vdi_operator.core.placeholders import Placeholder, Plan, allowed, chosen, plan
from vdi_operator.settings import Settings

NOW = 1_800_000_000.0
SETTINGS = Settings(placeholder_priority_class="low")


def offer(name: str = "cad", warm_slots: int = 2, **changes: Any) -> Template:
    given: dict[str, Any] = {"uid": f"t-{name}", "generation": 1, "image": f"registry.test/{name}:1"}
    return Template(name=name, warm_slots=warm_slots, **{**given, **changes})


def evidence(**changes: Any) -> Evidence:
    plain = Evidence("run-1", "a" * 64, "b" * 64, NOW - 100.0, NOW + 50.0, lab=False)
    return replace(plain, **changes)


def there(body: Object, name: str = "p-1", **state: Any) -> Placeholder:
    """As if it had been made; running unless the test says otherwise."""
    one = Placeholder.of({**body, "metadata": {**body["metadata"], "name": name, "uid": f"u-{name}"}})
    return replace(one, **{"node": "n1", "ready": True, **state})


def made(of: Template, name: str = "p-1", **state: Any) -> Placeholder:
    return there(placeholder(of, SETTINGS), name, **state)


def kept(found: Plan) -> bool:
    return (found.create, found.delete) == ((), ())


# how many


def test_as_many_as_wanted_where_nobody_counts() -> None:
    assert allowed([offer("b", 2), offer("a", 3), offer("c", 0)], SETTINGS, None, NOW) == {"a": 3, "b": 2}


def test_no_more_than_is_free() -> None:
    cad = offer(warm_slots=5, sessions_per_gpu=8)
    assert allowed([cad], SETTINGS, Fraction(3, 8), NOW) == {"cad": 3}
    assert allowed([cad], SETTINGS, Fraction(0), NOW) == {}
    assert allowed([cad], SETTINGS, Fraction(1), NOW) == {"cad": 5}


def test_what_is_free_goes_by_turns_and_who_needs_less_gets_the_rest() -> None:
    big, small = offer("big", 4, sessions_per_gpu=2), offer("small", 9, sessions_per_gpu=8)
    # A half and an eighth, and then no other half fits.
    assert allowed([small, big], SETTINGS, Fraction(1), NOW) == {"big": 1, "small": 4}


def test_uncounted_ones_do_not_ask_the_ledger() -> None:
    without = offer("soft", 2, gpu=None, hardware_encoding=False, sessions_per_gpu=4)
    assert allowed([without, offer("open", 1)], SETTINGS, Fraction(0), NOW) == {"open": 1, "soft": 2}


def test_without_a_class_of_their_own_there_are_none() -> None:
    assert allowed([offer()], Settings(), None, NOW) == {}


@pytest.mark.parametrize(
    ("found", "count"),
    [
        (None, 0),
        (evidence(), 2),
        (evidence(expires_unix_seconds=NOW), 0),
        (evidence(spec="c" * 64), 0),
        (evidence(lab=True), 0),
    ],
    ids=["missing", "valid", "expired", "edited", "lab"],
)
def test_a_template_that_is_refused_has_none(found: Evidence | None, count: int) -> None:
    strict = replace(SETTINGS, require_evidence=True)
    template = offer(evidence=found, spec_digest="b" * 64)
    assert allowed([template], strict, None, NOW).get("cad", 0) == count


# what is made and what goes


def test_what_is_missing_is_made() -> None:
    cad = offer()
    body = placeholder(cad, SETTINGS)
    assert plan([cad], SETTINGS, None, NOW, []) == Plan(create=(body, body))
    assert plan([cad], SETTINGS, None, NOW, [made(cad)]) == Plan(create=(body,))


def test_as_it_ought_to_be_nothing_is_done() -> None:
    cad = offer()
    assert kept(plan([cad], SETTINGS, None, NOW, [made(cad), made(cad, "p-2", ready=False)]))


@pytest.mark.parametrize(
    "state", [{"made_as": "another"}, {"ended": True}, {"template": "gone"}], ids=["outdated", "ended", "no template"]
)
def test_what_is_not_as_it_would_be_made_is_made_anew(state: dict[str, Any]) -> None:
    cad = offer(warm_slots=1)
    one = made(cad, **state)
    assert plan([cad], SETTINGS, None, NOW, [one]) == Plan(create=(placeholder(cad, SETTINGS),), delete=(one,))


def test_what_goes_is_left_to_go_and_counts_no_more() -> None:
    cad = offer(warm_slots=1)
    assert plan([cad], SETTINGS, None, NOW, [made(cad, going=True)]) == Plan(create=(placeholder(cad, SETTINGS),))


def test_of_too_many_those_that_hold_nothing_go_first_then_the_younger() -> None:
    cad = offer(warm_slots=1)
    old = made(cad, "b", created="2026-11-29T10:00:00Z")
    young = made(cad, "a", created="2026-11-29T11:00:00Z")
    starting = made(cad, "c", created="2026-11-29T09:00:00Z", ready=False)
    waiting = made(cad, "d", created="2026-11-29T09:00:00Z", ready=False, node="")
    assert plan([cad], SETTINGS, None, NOW, [waiting, young, starting, old]).delete == (young, starting, waiting)
    two = replace(cad, warm_slots=2)
    assert plan([two], SETTINGS, None, NOW, [waiting, starting, old]).delete == (waiting,)


def test_when_a_session_holds_the_last_place_none_is_left() -> None:
    cad = offer(warm_slots=2, sessions_per_gpu=2)
    both = [made(cad, "p-1"), made(cad, "p-2")]
    assert kept(plan([cad], SETTINGS, Fraction(1), NOW, both))
    assert plan([cad], SETTINGS, Fraction(1, 2), NOW, both).delete == (both[1],)
    assert plan([cad], SETTINGS, Fraction(0), NOW, both).delete == tuple(both)


def test_evidence_that_ends_is_looked_at_then() -> None:
    strict = replace(SETTINGS, require_evidence=True)
    cad = offer(evidence=evidence(), spec_digest="b" * 64)
    assert plan([cad], strict, None, NOW, []).again_seconds == 50.0
    assert plan([cad], SETTINGS, None, NOW, []).again_seconds is None
    assert plan([cad], strict, None, NOW + 60.0, [made(cad)]).delete == (made(cad),)


# which one gives way


def test_one_of_the_template_that_has_its_place_gives_way() -> None:
    cad, other = offer(), offer("other")
    ready, starting = made(cad, "b"), made(cad, "a", ready=False)
    assert chosen([made(other, "0"), starting, ready], "cad", "") == ready
    assert chosen([starting], "cad", "") == starting, "its slice counts more than its image"
    waits = [made(cad, node="", ready=False), made(cad, going=True), made(cad, ended=True), made(other)]
    assert chosen(waits, "cad", "") is None


def test_on_the_homes_node_or_none() -> None:
    cad = offer()
    here, elsewhere = made(cad, "a", node="n1"), made(cad, "b", node="n2")
    assert chosen([here, elsewhere], "cad", "n2") == elsewhere
    assert chosen([here], "cad", "n2") is None, "it would make room where the desktop cannot go"


def test_a_placeholder_is_read_from_its_pod() -> None:
    body = placeholder(offer(), SETTINGS)
    conditions = [{"type": "Ready", "status": "True"}]
    metadata = {**body["metadata"], "name": "p-1", "uid": "u-1", "creationTimestamp": "2026-11-29T12:00:00Z"}
    pod = {
        **body,
        "metadata": metadata,
        "spec": {**body["spec"], "nodeName": "n1"},
        "status": {"phase": "Running", "conditions": conditions},
    }
    made_as = body["metadata"]["annotations"]["vdibench.io/placeholder"]
    whole = Placeholder("p-1", "u-1", "cad", made_as, "2026-11-29T12:00:00Z", "n1", ready=True)
    assert Placeholder.of(pod) == whole
    going = {**pod, "metadata": {**metadata, "deletionTimestamp": "2026-11-29T12:01:00Z"}}
    assert Placeholder.of(going) == replace(whole, ready=False, going=True)
    assert Placeholder.of({**pod, "status": {"phase": "Failed"}}) == replace(whole, ready=False, ended=True)


# always

TEMPLATES = st.lists(
    st.builds(
        offer,
        st.sampled_from("abcd"),
        st.integers(0, 6),
        sessions_per_gpu=st.none() | st.integers(1, 8),
    ),
    max_size=4,
    unique_by=lambda one: one.name,
)
FREE = st.none() | st.fractions(0, 4, max_denominator=8)
STATES = st.fixed_dictionaries(
    {"ready": st.booleans(), "node": st.sampled_from(["", "n1", "n2"]), "ended": st.booleans(), "going": st.booleans()}
)


@given(TEMPLATES, FREE)
def test_never_more_than_is_free_and_never_less_than_fits(templates: list[Template], free: Fraction | None) -> None:
    found = allowed(templates, SETTINGS, free, NOW)
    by_name = {one.name: one for one in templates}
    assert all(0 < count <= by_name[name].warm_slots for name, count in found.items())
    shares = {one.name: Fraction(1, one.sessions_per_gpu) if one.sessions_per_gpu else Fraction(0) for one in templates}
    used = sum((shares[name] * count for name, count in found.items()), Fraction(0))
    short = [one for one in templates if found.get(one.name, 0) < one.warm_slots]
    if free is None:
        assert not short
    else:
        assert used <= free
        assert all(used + shares[one.name] > free for one in short), "whoever lacks one does not fit"


@given(TEMPLATES, FREE, st.lists(st.tuples(st.sampled_from("abcdx"), STATES), max_size=12))
def test_one_step_is_enough(
    templates: list[Template], free: Fraction | None, state: list[tuple[str, dict[str, Any]]]
) -> None:
    found = [made(offer(name), f"p-{number}", **one) for number, (name, one) in enumerate(state)]
    first = plan(templates, SETTINGS, free, NOW, found)
    assert not [one for one in first.delete if one.going], "nothing is deleted twice"
    left = [one for one in found if one not in first.delete and not one.going]
    after = [*left, *(there(body, f"n-{number}", ready=False, node="") for number, body in enumerate(first.create))]
    assert kept(plan(templates, SETTINGS, free, NOW, after))
    counts = {name: sum(one.template == name for one in after) for name in "abcdx"}
    assert {name: count for name, count in counts.items() if count} == allowed(templates, SETTINGS, free, NOW)
