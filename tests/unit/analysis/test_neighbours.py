"""What busy neighbours cost a light user: who is who comes from facts, what changed from trials."""

from __future__ import annotations

import numpy as np
import pytest

from vdibench.analysis.fairness import fairness
from vdibench.analysis.neighbours import NEIGHBOUR, ROLE, SUITE, VICTIM, WORKLOAD, neighbours

FPS = 20


def who(roles: dict[str, str], workloads: dict[str, str]):
    return [
        {"suite": SUITE, "session": session, "key": key, "value": value}
        for key, table in ((ROLE, roles), (WORKLOAD, workloads))
        for session, value in table.items()
    ]


def frames(session: str, level: int, trial: int, latency: float, chance, *, suite: str = SUITE, fps: int = FPS):
    begin = 1e9 + 1000 * level + 100 * trial
    return [
        {
            "suite": suite,
            "level": level,
            "trial": trial,
            "session": session,
            "arrival_unix_seconds": begin + at / fps + latency,
            "marker_unix_seconds": begin + at / fps,
            "decoded_unix_seconds": begin + at / fps + latency * float(np.exp(chance.normal(0, 0.05))),
        }
        for at in range(10 * fps)
    ]


def run(latency, counts=(0, 1, 2), trials: int = 3, victim: str = "desktop-9"):
    chance = np.random.default_rng(1)
    rows = []
    for count in counts:
        for trial in range(trials):
            of_trial = latency(count) * float(np.exp(chance.normal(0, 0.02)))
            rows += frames(victim, count + 1, trial, of_trial, chance)
            for number in range(count):
                rows += frames(f"desktop-{number}", count + 1, trial, 0.05, chance)
    return rows


FACTS = who(
    {"desktop-9": VICTIM, "desktop-0": NEIGHBOUR, "desktop-1": NEIGHBOUR},
    {"desktop-9": "idle", "desktop-0": "video", "desktop-1": "video"},
)


def test_a_cell_is_the_change_against_being_alone_with_its_interval(tables) -> None:
    cells = neighbours(tables(frames=run(lambda count: 0.02 * (1 + count)), facts=FACTS))
    assert [(cell.victim, cell.beside, cell.neighbours, cell.metric) for cell in cells] == [
        ("idle", "video", 1, "glass_to_glass_seconds"),
        ("idle", "video", 1, "frames_per_second"),
        ("idle", "video", 2, "glass_to_glass_seconds"),
        ("idle", "video", 2, "frames_per_second"),
    ]
    for cell, relative in zip(cells[::2], (1.0, 2.0), strict=True):
        assert cell.relative == pytest.approx(relative, abs=0.15)
        assert (cell.trials, cell.alone) == (3, 3)
        assert 0 < cell.shift.low < cell.shift.delta < cell.shift.high
    assert cells[1].relative == pytest.approx(0.0, abs=0.01)


def test_neighbours_that_cost_nothing_are_no_finding(tables) -> None:
    cells = neighbours(tables(frames=run(lambda _: 0.02), facts=FACTS))
    for cell in cells[::2]:
        assert cell.shift.low < 0 < cell.shift.high


def test_without_the_victim_alone_there_is_nothing_to_hold_against(tables) -> None:
    assert neighbours(tables(frames=run(lambda count: 0.02, counts=(1, 2)), facts=FACTS)) == ()


def test_without_facts_nobody_is_a_victim(tables) -> None:
    assert neighbours(tables(frames=run(lambda count: 0.02))) == ()
    assert neighbours(tables()) == ()


def test_several_victims_have_trials_of_their_own(tables) -> None:
    chance = np.random.default_rng(1)
    rows = run(lambda count: 0.02 * (1 + count), counts=(0, 1))
    for count in (0, 1):
        for trial in (10, 11, 12):
            rows += frames("desktop-8", count + 1, trial, 0.03, chance)
            for number in range(count):
                rows += frames(f"desktop-{number}", count + 1, trial, 0.05, chance)
    facts = FACTS + who({"desktop-8": VICTIM}, {"desktop-8": "text"})
    cells = neighbours(tables(frames=rows, facts=facts))
    changes = {(cell.victim, cell.metric): cell.relative for cell in cells}
    assert changes["idle", "glass_to_glass_seconds"] == pytest.approx(1.0, abs=0.15)
    assert changes["text", "glass_to_glass_seconds"] == pytest.approx(0.0, abs=0.05)


def test_neighbours_of_several_kinds_have_no_common_name(tables) -> None:
    facts = FACTS + who({}, {"desktop-1": "3d"})
    cells = neighbours(tables(frames=run(lambda count: 0.02), facts=facts))
    assert {(cell.neighbours, cell.beside) for cell in cells} == {(1, "video"), (2, "")}


def test_a_victim_without_markers_still_has_a_frame_rate(tables) -> None:
    rows = [{**row, "marker_unix_seconds": None} for row in run(lambda count: 0.02)]
    cells = neighbours(tables(frames=rows, facts=FACTS))
    by_metric = {cell.metric: cell for cell in cells if cell.neighbours == 1}
    assert by_metric["glass_to_glass_seconds"].shift is None
    assert by_metric["glass_to_glass_seconds"].relative is None
    assert by_metric["frames_per_second"].relative == pytest.approx(0.0, abs=0.01)


def test_one_trial_a_side_speaks_of_these_trials_only(tables) -> None:
    cells = neighbours(tables(frames=run(lambda count: 0.02 * (1 + count), trials=1), facts=FACTS))
    assert {cell.shift.method for cell in cells[::2]} == {"blocks"}


def test_fairness_is_that_of_the_least_even_trial_and_names_the_worst(tables) -> None:
    chance = np.random.default_rng(2)
    rows = []
    for trial, late in ((0, 0.02), (1, 0.06)):
        rows += frames("desktop-0", 2, trial, 0.02, chance, suite="gpu_density")
        rows += frames("desktop-1", 2, trial, late, chance, suite="gpu_density", fps=FPS if trial == 0 else 10)
    (level,) = fairness(tables(frames=rows), "gpu_density")
    assert (level.level, level.sessions, level.trials) == (2, 2, 2)
    assert level.latency == pytest.approx((0.02 + 0.06) ** 2 / (2 * (0.02**2 + 0.06**2)), abs=0.01)
    assert level.frame_rate == pytest.approx((20 + 10) ** 2 / (2 * (20**2 + 10**2)), abs=0.01)
    assert (level.worst.session, level.worst.trial) == ("desktop-1", 1)
    assert level.worst.seconds == pytest.approx(0.06, rel=0.15)


def test_a_session_that_showed_nothing_got_nothing(tables) -> None:
    chance = np.random.default_rng(2)
    made = tables(
        frames=frames("desktop-0", 2, 0, 0.02, chance, suite="gpu_density"),
        network=[
            {"suite": "gpu_density", "level": 2, "session": "desktop-1", "unix_seconds": 1e9 + at} for at in (1, 9)
        ],
    )
    (level,) = fairness(made, "gpu_density")
    assert level.frame_rate == pytest.approx(0.5)
    assert fairness(tables(), "gpu_density") == ()
