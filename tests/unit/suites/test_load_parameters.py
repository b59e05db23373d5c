from __future__ import annotations

import pytest

from vdibench.records import Workload
from vdibench.suites import gpu_density, latency_under_load

URL = "url:http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("given", "scenario"),
    [
        ({}, "press"),
        ({"scenario": "office"}, "office"),
        ({"target": URL, "scenario": "office"}, "watch"),  # no input for a desktop that is somebody's
        ({"target": URL, "scenario": "idle"}, "idle"),
        ({"target": URL, "scenario": "office", "take_control": True}, "office"),
    ],
)
def test_only_desktops_of_ours_get_input(given: dict[str, object], scenario: str) -> None:
    assert latency_under_load.Parameters(**given).scenario_here == scenario


def test_the_light_desktop_is_one_more_and_the_last() -> None:
    alone = gpu_density.Parameters(max_desktops=3, workload="text,video")
    beside = gpu_density.Parameters(max_desktops=3, workload="text,video", neighbours=4, victim="window")
    assert (alone.desktops, beside.desktops) == (3, 5)
    wanted = beside.wanted(beside.desktops)
    shown = [wanted.workload(index) for index in range(wanted.desktops)]
    assert shown == [Workload.TEXT, Workload.VIDEO, Workload.TEXT, Workload.VIDEO, Workload.WINDOW]
    assert [alone.wanted(3).workload(index) for index in range(3)] == shown[:3]


def test_more_trials_and_neighbours_are_planned_longer() -> None:
    few = gpu_density.Parameters(search="sweep", trials=1, max_desktops=4)
    many = gpu_density.Parameters(search="sweep", trials=3, max_desktops=4)
    beside = gpu_density.Parameters(search="sweep", trials=3, max_desktops=4, neighbours=2)
    seconds = [gpu_density.planned_seconds(each) for each in (few, many, beside)]
    assert seconds == sorted(set(seconds))
    assert seconds[1] - seconds[0] == pytest.approx(2 * 4 * few.plan.seconds)
