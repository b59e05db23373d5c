from __future__ import annotations

import dataclasses

import pytest

from vdibench.records import Outcome, Run, RunState
from vdibench.store.standing import in_force


@pytest.mark.parametrize(
    ("others", "said"),
    [(["a"], "at the same time: a"), (list("abcde"), "a, b, c, d, e"), (list("abcdefg"), "a, b, c, d, e and 2 more")],
)
def test_runs_beside_it_are_named_as_far_as_a_line_holds_them(run: Run, others: list[str], said: str) -> None:
    busy = dataclasses.replace(run, state=RunState.FINISHED, contention=tuple(others))
    verdict = in_force(busy, None)
    assert verdict.outcome is Outcome.INVALID
    assert verdict.suites[0].reasons[0].endswith(said)
