"""GPUs and nodes for users: whole, never fewer for more, and as uncertain as what was measured."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vdibench.analysis.capacity import Bounds, Measured, Plan, Template, Terms, allot, plan, plan_at
from vdibench.analysis.occupancy import EVERYBODY, Column, DayProfile, Kind
from vdibench.errors import ParameterError

PATIENT = settings(deadline=None, max_examples=60)  # a loaded machine is slow and not wrong

HALF = Fraction(1, 2)


def source(lower: int = 8, upper: int | None = 8, gpus: int = 1) -> Measured:
    return Measured("run", 1e9, gpus, "NVIDIA L4" if gpus else "", lower, upper)


@st.composite
def sources(draw: st.DrawFn) -> Measured:
    lower = draw(st.integers(1, 24))
    upper = draw(st.none() | st.integers(lower, lower + 12))
    return source(lower, upper, draw(st.integers(0, 3)))


@st.composite
def templates(draw: st.DrawFn) -> list[Template]:
    weights = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    return [
        Template(
            f"t{number}",
            draw(sources()),
            Fraction(weight, sum(weights)),
            draw(st.integers(1, 8)),
            draw(st.none() | st.integers(1, 30)),
        )
        for number, weight in enumerate(weights)
    ]


@st.composite
def days(draw: st.DrawFn) -> DayProfile:
    minutes = sorted(draw(st.sets(st.integers(0, 1439), min_size=1, max_size=12)))
    shares = tuple(Fraction(draw(st.integers(0, 100)), 100) for _ in minutes)
    return DayProfile("day.csv", tuple(minutes), (Column(EVERYBODY, Kind.SHARE, shares),))


def terms(users: int) -> st.SearchStrategy[Terms]:
    return st.builds(
        Terms,
        users=st.just(users),
        headroom=st.integers(0, 200).map(lambda percent: Fraction(percent, 100)),
        spare_nodes=st.integers(0, 3),
    )


USERS = st.integers(1, 5000)


def no_less(more: Bounds, less: Bounds) -> bool:
    optimistic = more.optimistic is None or less.optimistic is None or more.optimistic >= less.optimistic
    return more.conservative >= less.conservative and optimistic


def test_the_sums_of_a_plan_that_can_be_done_by_hand() -> None:
    """500 users, 70 % at once, a fifth more, 8 to 10 a GPU, 4 GPUs a node, one node spare."""
    day = DayProfile("d", (0, 540), (Column(EVERYBODY, Kind.SHARE, (Fraction(1, 10), Fraction(7, 10))),))
    found = plan([Template("office", source(8, 10), Fraction(1), 4)], Terms(500, Fraction(1, 5), 1), day)
    (one,) = found.templates
    assert (one.users, one.day, one.peak, one.sessions) == (500, (50, 350), 350, 420)
    assert one.carriers == Bounds(53, 42)
    assert one.nodes == Bounds(15, 12)
    assert one.gpus == Bounds(60, 48)
    assert one.carries == (14 * 4 * 8, 14 * 4 * 10)
    assert found.session_hours == pytest.approx(50 * 9 + 350 * 15)


def test_a_host_without_a_gpu_is_a_node() -> None:
    (one,) = plan([Template("t", source(2, 3, gpus=0), Fraction(1), 4)], Terms(10)).templates
    assert (one.carriers, one.nodes, one.gpus) == (Bounds(5, 4), Bounds(5, 4), Bounds(0, 0))


def test_a_host_with_several_gpus_is_a_node_too() -> None:
    (one,) = plan([Template("t", source(5, 5, gpus=4), Fraction(1))], Terms(11)).templates
    assert (one.carriers, one.nodes, one.gpus) == (Bounds(3, 3), Bounds(3, 3), Bounds(12, 12))


def test_without_an_upper_bound_nothing_is_known_of_how_many_fewer_would_do() -> None:
    (one,) = plan([Template("t", source(8, None), Fraction(1))], Terms(100)).templates
    assert (one.carriers, one.nodes, one.gpus) == (Bounds(13, None), Bounds(13, None), Bounds(13, None))
    (capped,) = plan([Template("t", source(8, None), Fraction(1), 1, 8)], Terms(100)).templates
    assert capped.carriers == Bounds(13, 13), "no more than eight were asked for, so there is nothing to find out"


@pytest.mark.parametrize(("most", "each"), [(4, Bounds(4, 4)), (9, Bounds(8, 9)), (20, Bounds(8, 10))])
def test_a_cap_lowers_what_was_measured_and_never_raises_it(most: int, each: Bounds) -> None:
    template = Template("t", source(8, 10), Fraction(1), max_sessions=most)
    assert template.sessions_each == each
    assert template.capped is (most < 10)


@PATIENT
@given(templates(), days(), st.data())
def test_more_users_never_need_less(kinds: list[Template], day: DayProfile, data: st.DataObject) -> None:
    users = data.draw(USERS)
    asked = data.draw(terms(users))
    fewer, more = plan(kinds, asked, day), plan(kinds, replace(asked, users=users + data.draw(USERS)), day)
    assert no_less(more.nodes, fewer.nodes)
    assert no_less(more.gpus, fewer.gpus)
    assert more.peak >= fewer.peak


@PATIENT
@given(templates(), days(), st.data())
def test_more_headroom_never_needs_less(kinds: list[Template], day: DayProfile, data: st.DataObject) -> None:
    asked = data.draw(terms(data.draw(USERS)))
    more = replace(asked, headroom=asked.headroom + Fraction(data.draw(st.integers(1, 100)), 100))
    assert no_less(plan(kinds, more, day).gpus, plan(kinds, asked, day).gpus)
    assert no_less(plan(kinds, more, day).nodes, plan(kinds, asked, day).nodes)


@PATIENT
@given(templates(), days(), st.data())
def test_spare_nodes_are_added_exactly(kinds: list[Template], day: DayProfile, data: st.DataObject) -> None:
    asked = data.draw(terms(data.draw(USERS)))
    without, spare = plan(kinds, replace(asked, spare_nodes=0), day), plan(kinds, asked, day)
    used = sum(one.sessions > 0 for one in spare.templates)
    assert spare.nodes == without.nodes.plus(asked.spare_nodes * used)
    for one, base in zip(spare.templates, without.templates, strict=True):
        assert one.nodes.conservative - base.nodes.conservative == one.spare
        assert one.carriers == base.carriers


@PATIENT
@given(templates(), days(), st.data())
def test_the_interval_holds_the_plan_and_the_plan_holds_the_sessions(
    kinds: list[Template], day: DayProfile, data: st.DataObject
) -> None:
    found = plan(kinds, data.draw(terms(data.draw(USERS))), day)
    for one in found.templates:
        for bounds in (one.carriers, one.nodes, one.gpus):
            assert bounds.optimistic is None or 0 <= bounds.optimistic <= bounds.conservative
        assert one.carries[0] >= one.sessions, "also when the spare nodes are missing"
        assert one.sessions >= one.peak * (1 + found.terms.headroom)
        assert one.sessions < one.peak * (1 + found.terms.headroom) + 1
        each = one.template.sessions_each.conservative
        assert (one.carriers.conservative - 1) * each < max(one.sessions, 1), "not one more than needed"


@PATIENT
@given(templates(), days(), st.data())
def test_templates_sum_up(kinds: list[Template], day: DayProfile, data: st.DataObject) -> None:
    """Each template by itself, with its share of the users, needs what it needs among others."""
    asked = data.draw(terms(data.draw(USERS)))
    found = plan(kinds, asked, day)
    assert found.gpus.conservative == sum(one.gpus.conservative for one in found.templates)
    assert found.peak <= sum(one.peak for one in found.templates)
    for one in found.templates:
        exact = one.template.share * asked.users
        assert one.users == math.ceil(exact)
        if exact.denominator == 1:
            alone = plan([replace(one.template, share=Fraction(1))], replace(asked, users=int(exact)), day)
            assert alone.templates[0].nodes == one.nodes
            assert alone.templates[0].day == one.day


@PATIENT
@given(templates(), days(), st.data())
def test_another_number_of_users_keeps_shares_and_times(
    kinds: list[Template], day: DayProfile, data: st.DataObject
) -> None:
    asked = data.draw(terms(data.draw(USERS)))
    found = plan(kinds, asked, day)
    again = plan_at(found, asked.users)
    assert [one.nodes for one in again.templates] == [one.nodes for one in found.templates]
    assert plan_at(found, 0).nodes == Bounds(0, 0)
    twice = plan_at(found, 2 * asked.users)
    assert no_less(twice.nodes, found.nodes)


def test_absolute_counts_scale_with_the_users() -> None:
    day = DayProfile("d", (0, 540), (Column(EVERYBODY, Kind.USERS, (Fraction(10), Fraction(300))),))
    found: Plan = plan([Template("t", source(), Fraction(1))], Terms(500), day)
    assert found.peak == 300
    assert plan_at(found, 1000).peak == 600


def test_three_users_of_two_halves_are_two_and_two() -> None:
    found = plan([Template(name, source(), HALF) for name in ("a", "b")], Terms(3))
    assert [one.users for one in found.templates] == [2, 2]
    assert found.peak == 4


@pytest.mark.parametrize(
    ("users", "parts", "expected"),
    [
        (500, [("a", None)], {"a": Fraction(1)}),
        (500, [("a", Fraction(3, 5)), ("b", None)], {"a": Fraction(3, 5), "b": Fraction(2, 5)}),
        (500, [("a", Fraction(3, 5)), ("b", 200)], {"a": Fraction(3, 5), "b": Fraction(2, 5)}),
        (None, [("a", 300), ("b", 100)], {"a": Fraction(3, 4), "b": Fraction(1, 4)}),
        (300, [("a", 300), ("b", None)], {"a": Fraction(1), "b": Fraction(0)}),
    ],
)
def test_shares_are_allotted(users, parts, expected) -> None:
    assert allot(users, parts)[1] == expected


@pytest.mark.parametrize(
    ("users", "parts", "told"),
    [
        (500, [("a", None), ("b", None)], "a and b have neither"),
        (500, [("a", Fraction(3, 5))], "have 60 % of 500"),
        (500, [("a", Fraction(3, 5)), ("b", Fraction(3, 5))], "have 120 %"),
        (500, [("a", 501)], "have 100.2 %"),
        (None, [("a", Fraction(1))], "nothing says how many users"),
        (None, [("a", 0)], "0 users need nothing"),
    ],
)
def test_shares_that_do_not_add_up_are_refused(users, parts, told) -> None:
    with pytest.raises(ParameterError, match=told):
        allot(users, parts)


def test_a_template_that_nobody_uses_needs_nothing_not_even_a_spare_node() -> None:
    found = plan([Template("a", source(), Fraction(1)), Template("b", source(), Fraction(0))], Terms(10, spare_nodes=2))
    assert found.templates[1].nodes == Bounds(0, 0)
    assert found.templates[0].nodes == Bounds(4, 4)
