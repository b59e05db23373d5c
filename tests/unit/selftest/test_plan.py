"""The plan: windows alternate, times add up, people can read what will be done."""

from __future__ import annotations

import pytest

from vdibench.client import Mode
from vdibench.selftest.plan import ENGINE_SESSIONS, FULL, QUICK, Plan, with_engine
from vdibench.selkies import Dialect


@pytest.mark.parametrize("plan", [QUICK, FULL], ids=lambda plan: plan.kind)
def test_every_delay_stands_between_two_windows_without(plan: Plan) -> None:
    assert plan.windows[::2] == (0.0,) * (len(plan.delays) + 1)
    assert plan.windows[1::2] == plan.delays


def test_quick_one_is_quick_and_full_one_is_whole() -> None:
    assert QUICK.seconds < 35
    assert FULL.seconds < 10 * 60
    assert FULL.delays == (0.02, 0.05, 0.1)
    assert set(FULL.dialects) == {Dialect.SELKIES_2_WEBRTC, Dialect.SELKIES_2_WEBSOCKET}
    assert (FULL.freezes, FULL.freeze_seconds, FULL.freezes * FULL.freeze_period_seconds) == (10, 0.3, 60.0)
    assert {step.mode for step in FULL.cost} == set(Mode)


def test_engine_means_many_sessions_where_many_are_meant() -> None:
    plan = with_engine(FULL)
    sessions = {step.mode: step.sessions for step in plan.cost}
    assert sessions[Mode.METER] == ENGINE_SESSIONS
    assert sessions[Mode.DECODE] < ENGINE_SESSIONS
    assert [(step.name, step.sessions) for step in plan.many] == [("meter-native", 40), ("meter-native-decrypt", 40)]
    assert plan.seconds > FULL.seconds
    assert plan.lines()[-1].count("meter") == 3


def test_lines_say_what_will_be_done() -> None:
    text = "\n".join(FULL.lines())
    for part in ("selkies-2-webrtc", "selkies-2-websocket", "20, 50, 100 ms", "10 freezes of 300 ms", "1% loss"):
        assert part in text
    assert "key presses" in text
    assert "key presses" not in "\n".join(QUICK.lines())
