"""Scenarios: the same user again from the same seed, at the pace that it states, inside the picture."""

from __future__ import annotations

import itertools
import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdibench.errors import ParameterError
from vdibench.load.scenarios import (
    SCENARIOS,
    THINK_SECONDS,
    Click,
    Drag,
    Scroll,
    TypeText,
    Watch,
    inputs_of,
    pixels,
    scenario,
    seconds_of,
    think,
)
from vdibench.records import Display
from vdibench.selkies import keysym_of, takes_shift

HOURS = 60


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_pace_is_the_one_that_it_states(name: str) -> None:
    inputs, seconds = 0, 0.0
    for desktop in range(HOURS):
        passed = 0.0
        for action in SCENARIOS[name].of(f"desktop-{desktop}"):
            inputs, passed = inputs + inputs_of(action), passed + seconds_of(action)
            if passed > 3600:
                break
        seconds += passed
    assert inputs / seconds * 60 == pytest.approx(SCENARIOS[name].inputs_per_minute, rel=0.05)
    assert SCENARIOS[name].sends_input is (inputs > 0)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_user_does_the_same_in_every_run_and_another_one_does_not(name: str) -> None:
    def first(desktop: str, seed: int = 0) -> list[object]:
        return list(itertools.islice(SCENARIOS[name].of(desktop, seed), 50))

    assert first("desktop-1") == first("desktop-1")
    if SCENARIOS[name].sends_input:
        assert first("desktop-1") != first("desktop-2")
        assert first("desktop-1") != first("desktop-1", seed=1)


@given(st.sampled_from(sorted(SCENARIOS)), st.integers(0, 10_000))
def test_what_is_done_can_be_done(name: str, seed: int) -> None:
    for action in itertools.islice(SCENARIOS[name].of("desktop-0", seed), 30):
        assert 0 < seconds_of(action) <= 120
        if isinstance(action, TypeText):
            assert 0 < action.characters_per_second <= 10
            assert all(keysym_of(sign) and not takes_shift(sign) for sign in action.text)
        elif isinstance(action, Scroll):
            assert 1 <= abs(action.steps) <= 10
        elif isinstance(action, Drag | Click):
            places = action.path if isinstance(action, Drag) else [(action.x, action.y)]
            assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in places)


@given(st.floats(-2, 2), st.floats(-2, 2), st.integers(1, 4000), st.integers(1, 4000))
def test_places_are_inside_the_picture(x: float, y: float, width: int, height: int) -> None:
    left, top = pixels(x, y, Display(width, height, 30))
    assert 0 <= left < width
    assert 0 <= top < height


def test_pauses_are_log_normal_between_their_bounds() -> None:
    source = random.Random(1)
    found = [think(source, *THINK_SECONDS) for _ in range(20_000)]
    assert min(found) >= 2.0
    assert max(found) <= 20.0
    assert statistics.median(found) == pytest.approx(math.sqrt(2 * 20), rel=0.03)
    assert sum(pause in THINK_SECONDS for pause in found) / len(found) == pytest.approx(0.0455, abs=0.01)


def test_who_only_watches_touches_nothing() -> None:
    for name in ("watch", "idle"):
        assert all(isinstance(action, Watch) for action in itertools.islice(SCENARIOS[name].of("desktop-0"), 1000))


def test_an_unknown_scenario_names_the_known() -> None:
    with pytest.raises(ParameterError, match=r"'ofice'.*watch, press, office, cad"):
        scenario("ofice")
