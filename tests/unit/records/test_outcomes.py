"""How outcomes add up, and which exit codes they have."""

from __future__ import annotations

import itertools

import pytest

from vdibench.records import EXIT_CODES, TABLES, Credentials, Outcome, worst


@pytest.mark.parametrize(
    ("outcomes", "whole"),
    [
        ([], Outcome.NO_DATA),
        ([Outcome.NOT_APPLICABLE], Outcome.NO_DATA),
        ([Outcome.NOT_APPLICABLE, Outcome.PASS], Outcome.PASS),
        ([Outcome.PASS, Outcome.NO_DATA], Outcome.NO_DATA),
        ([Outcome.NO_DATA, Outcome.FAIL], Outcome.FAIL),
        ([Outcome.FAIL, Outcome.INVALID], Outcome.INVALID),
    ],
)
def test_the_worst_decides(outcomes: list[Outcome], whole: Outcome) -> None:
    assert all(worst(order) is whole for order in itertools.permutations(outcomes))


def test_only_a_pass_exits_with_0() -> None:
    assert {outcome for outcome in Outcome if EXIT_CODES[outcome] == 0} == {Outcome.PASS}
    assert EXIT_CODES == {"pass": 0, "fail": 99, "no data": 98, "not applicable": 98, "invalid": 97}


@pytest.mark.parametrize("outcomes", list(itertools.product(Outcome, repeat=3)), ids=str)
def test_a_whole_passes_only_when_a_part_passed_and_none_did_worse(outcomes: tuple[Outcome, ...]) -> None:
    passes = worst(outcomes) is Outcome.PASS
    assert passes == (set(outcomes) - {Outcome.NOT_APPLICABLE} == {Outcome.PASS})


@pytest.mark.parametrize("table", list(TABLES.values()), ids=lambda table: table.name)
def test_every_table_starts_with_its_place_and_names_no_column_twice(table) -> None:
    assert table.names[:5] == ("suite", "level", "trial", "phase", "session")
    assert len(set(table.names)) == len(table.names)


def test_a_password_is_not_in_a_repr() -> None:
    assert "hunter2" not in repr(Credentials("user", "hunter2"))
