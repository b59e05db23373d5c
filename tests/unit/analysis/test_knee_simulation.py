"""The search on systems whose knee is known: as `benchmarks/knee_simulation.py` does it, with fewer of them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

PATH = Path(__file__).parents[3] / "benchmarks" / "knee_simulation.py"


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("knee_simulation", PATH)
    assert spec is not None
    assert spec.loader is not None
    before = list(sys.path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["knee_simulation"] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
    return module


@pytest.mark.parametrize("kind", ["1 … 16 sessions", "1 … 64 sessions", "one trial in twenty an outlier"])
def test_the_true_knee_lies_inside_the_bounds_for_half_the_levels(simulation: ModuleType, kind: str) -> None:
    (chosen,) = (one for one in simulation.KINDS if one.name == kind)
    search, _, sweep = simulation.simulate(chosen, 200)
    assert search.inside >= 0.95
    assert search.levels <= 0.5 * sweep.levels
    assert search.trials <= 0.5 * sweep.trials
    assert search.width <= 2 if chosen.largest == 16 else 4.5


def test_the_known_knee_is_what_simulated_trials_show(simulation: ModuleType) -> None:
    """The integral against counting: the share of trials that pass at a few levels around the knee."""
    chance = simulation.np.random.default_rng(1)
    system = simulation.System.drawn(simulation.KINDS[0], chance)
    for level in range(max(1, system.true_knee - 1), system.true_knee + 3):
        passed = [system.trial(level, chance)[0] >= simulation.needed(level) for _ in range(2000)]
        assert sum(passed) / 2000 == pytest.approx(system.passing(level), abs=0.04)
    assert system.passing(system.true_knee) >= 0.8 > system.passing(system.true_knee + 1)


def test_a_margin_says_whether_a_trial_passed(simulation: ModuleType) -> None:
    chance = simulation.np.random.default_rng(2)
    for _ in range(20):
        system = simulation.System.drawn(simulation.KINDS[0], chance)
        for level in (1, 4, 16):
            good, margin = system.trial(level, chance)
            assert (margin >= 0) == (good >= simulation.needed(level))
