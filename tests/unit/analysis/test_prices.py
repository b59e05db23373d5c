"""Costs: the sums, the interval, and price files that cannot be understood."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vdibench.analysis.capacity import Measured, Plan, Template, Terms, plan
from vdibench.analysis.occupancy import ALL_DAY, DayProfile, parse_day
from vdibench.analysis.prices import Amount, cost, parse_prices
from vdibench.errors import ParameterError

PATIENT = settings(deadline=None, max_examples=60)  # a loaded machine is slow and not wrong

FILE = """schema: 1
currency: EUR
source: offer 4711
as_of: 2026-11-01
hours_per_month: 500
node_per_month: 100
gpu_per_hour: 0.5
templates:
  cad: {gpu_per_hour: 2, user_per_month: 7}
"""


def _plan(upper: int | None = 10, day: DayProfile = ALL_DAY) -> Plan:
    office = Template("office", Measured("r", 1e9, 1, "L4", 8, upper), Fraction(4, 5), 4)
    cad = Template("cad", Measured("s", 1e9, 1, "L40S", 4, 4), Fraction(1, 5), 2)
    return plan([office, cad], Terms(100, spare_nodes=1), day)


def test_the_sums_that_can_be_done_by_hand() -> None:
    """Office: 80 sessions, 8 to 10 a GPU, 4 GPUs a node, a spare one: 4 (3) nodes. CAD: 20, 4 a GPU, 2 a node: 4."""
    found = cost(_plan(), parse_prices(FILE, "prices.yaml"))
    office = Amount(4 * 100 + 16 * 0.5 * 500, 3 * 100 + 12 * 0.5 * 500)
    cad = Amount(4 * 100 + 8 * 2 * 500 + 20 * 7, 4 * 100 + 8 * 2 * 500 + 20 * 7)
    assert found.templates == {"office": office, "cad": cad}
    assert found.per_month == Amount(4400 + 8540, 3300 + 8540)
    assert found.per_user_month == Amount(129.4, 118.4)
    assert found.per_user_hour.conservative == pytest.approx(129.4 / 500)
    assert found.per_session_hour is None, "nothing says when anybody is there"
    assert (found.prices.source, found.prices.as_of) == ("offer 4711", "2026-11-01")


def test_an_hour_of_a_session_costs_more_the_less_are_there() -> None:
    day = parse_day("hour,share\n0,0\n8,1\n16,0\n", "d")
    found = cost(_plan(day=day), parse_prices(FILE, "p"))
    assert found.per_session_hour is not None
    assert found.per_session_hour.conservative == pytest.approx(12940 / (100 * 8 * 365 / 12))


def test_without_an_upper_bound_the_least_cost_is_not_known() -> None:
    found = cost(_plan(upper=None), parse_prices(FILE, "p"))
    assert found.per_month.optimistic is None
    assert found.per_user_month.optimistic is None
    assert found.templates["cad"].optimistic is not None


@PATIENT
@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(0, 3), st.integers(1, 20), st.integers(0, 8))
def test_more_users_never_cost_less_and_the_interval_holds_what_is_planned(
    users: int, more: int, spare: int, lower: int, wider: int
) -> None:
    prices = parse_prices(FILE.partition("templates")[0], "p")
    template = Template("t", Measured("r", 1e9, 1, "", lower, lower + wider), Fraction(1), 4)
    few, many = (cost(plan([template], Terms(count, spare_nodes=spare)), prices) for count in (users, users + more))
    for found in (few, many):
        assert found.per_month.optimistic is not None
        assert 0 < found.per_month.optimistic <= found.per_month.conservative
        assert found.per_user_month.conservative == pytest.approx(found.per_user_hour.conservative * 500)
    assert many.per_month.conservative >= few.per_month.conservative


REFUSED = {
    "currency: EUR\nnode_per_month: 1\n": "is no price file",
    "schema: 2\ncurrency: EUR\nnode_per_month: 1\n": "is no price file",
    "[1]": "is no price file",
    "schema: [": "is no YAML",
    "schema: 1\nnode_per_month: 1\n": "does not say the currency",
    "schema: 1\ncurrency: 3\nnode_per_month: 1\n": "does not say the currency",
    "schema: 1\ncurrency: EUR\n": "has no price",
    "schema: 1\ncurrency: EUR\nnode_per_month: 0\n": "has no price",
    "schema: 1\ncurrency: EUR\nnode_per_mont: 1\n": "unknown price 'node_per_mont'",
    "schema: 1\ncurrency: EUR\nnode_per_month: 1 EUR\n": "node_per_month is '1 EUR'",
    "schema: 1\ncurrency: EUR\nnode_per_month: -1\n": "node_per_month is -1",
    "schema: 1\ncurrency: EUR\nnode_per_month: .nan\n": "node_per_month is nan",
    "schema: 1\ncurrency: EUR\nnode_per_month: true\n": "node_per_month is True",
    "schema: 1\ncurrency: EUR\nnode_per_month:\n": "node_per_month is None",
    "schema: 1\ncurrency: EUR\nnode_per_month: 1\nhours_per_month: 745\n": "a month of 745 hours",
    "schema: 1\ncurrency: EUR\nnode_per_month: 1\nhours_per_month: 0\n": "a month of 0 hours",
    "schema: 1\ncurrency: EUR\nnode_per_month: 1\ntemplates: 3\n": "'templates' is no table",
    "schema: 1\ncurrency: EUR\nnode_per_month: 1\ntemplates: {cad: 3}\n": "'templates' is no table",
    "schema: 1\ncurrency: EUR\ntemplates: {cad: {gpu: 3}}\n": "unknown price 'gpu'",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_understood_is_one_error_with_a_remedy(text: str) -> None:
    with pytest.raises(ParameterError, match=REFUSED[text]) as caught:
        parse_prices(text, "prices.yaml")
    assert caught.value.remedy
    assert "prices.yaml" in caught.value.cause


def test_prices_of_a_template_that_is_not_planned_are_refused() -> None:
    with pytest.raises(ParameterError, match="prices of 'cad', which is no template"):
        cost(
            plan([Template("office", Measured("r", 1e9, 1, "", 8, 8), Fraction(1))], Terms(1)), parse_prices(FILE, "p")
        )
