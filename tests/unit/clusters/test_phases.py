from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdibench.clusters.phases import STEPS, Observation, complaint, outlook, session_phases

from .recorded import BEGUN, CLAIM, CREATING, FIRST, FULL, PLACED, POD, READY, RUNNING, UNPLACED, event, pod, seen

GIVEN = {"admitted": 0.06, "routed": 6.40, "first_frame": 6.90}


def phases(observations: list[Observation], **after: float):
    instants = {f"{step}_unix_seconds": BEGUN + seconds for step, seconds in after.items()}
    return session_phases(POD, CLAIM, observations, begun_unix_seconds=BEGUN, **instants)


def test_a_first_start_is_told_apart() -> None:
    found = phases(FIRST, **GIVEN).seconds
    assert list(found) == list(STEPS)
    expected = (0.06, 2.84, 0.12, 0.29, 0.0, 0.35, 1.99, 0.75, 0.50)
    assert found == {step: pytest.approx(value, abs=1e-5) for step, value in zip(STEPS, expected, strict=True)}
    assert phases(FIRST, **GIVEN).total_seconds == pytest.approx(6.90, abs=1e-5)


def test_an_image_that_has_to_come_takes_its_time() -> None:
    pulled = [
        *FIRST[:5],
        seen(3.20, event("Pulling", 'Pulling image "registry.example.com/vdi/desktop@sha256:1"')),
        seen(9.70, event("Pulled", "Successfully pulled image in 6.5s (6.5s including waiting)")),
        seen(10.0, RUNNING),
        seen(12.0, READY),
    ]
    found = phases(pulled, admitted=0.06).seconds
    assert found["prepared"] == pytest.approx(0.18, abs=1e-5)
    assert found["image"] == pytest.approx(6.5, abs=1e-5)
    assert (found["routed"], found["first_frame"]) == (None, None)


def test_a_home_that_is_there_takes_no_time() -> None:
    bound = [seen(0.01, FIRST[2].one), seen(0.07, PLACED), *FIRST[5:]]
    found = phases(bound, admitted=0.06).seconds
    assert found["admitted"] == pytest.approx(0.06, abs=1e-5)
    assert found["home_bound"] == 0.0
    assert found["scheduled"] == pytest.approx(0.01, abs=1e-5)


def test_what_nobody_saw_is_unknown_and_in_the_next_step() -> None:
    found = phases([seen(3.66, RUNNING), seen(5.65, READY)], first_frame=6.0)
    assert [step for step, seconds in found.seconds.items() if seconds is None] == [
        "admitted",
        "home_bound",
        "prepared",
        "image",
        "routed",
    ]
    # A pod that runs has a node: it was scheduled by then.
    assert found.seconds["scheduled"] == pytest.approx(3.66, abs=1e-5)
    assert found.seconds["container_started"] == 0.0
    assert found.total_seconds == pytest.approx(6.0, abs=1e-5)


def test_another_sessions_objects_say_nothing() -> None:
    other = {**READY, "metadata": {"name": "vdi-session-somebody"}}
    assert all(seconds is None for seconds in phases([seen(1.0, other)]).seconds.values())


@given(
    st.lists(st.tuples(st.floats(-5, 60), st.sampled_from([one.one for one in FIRST])), max_size=20),
    st.dictionaries(st.sampled_from(sorted(GIVEN)), st.floats(-5, 60)),
)
def test_the_phases_add_up_to_the_whole(told: list, after: dict[str, float]) -> None:
    found = phases([seen(seconds, one) for seconds, one in told], **after)
    known = [instant for instant in found.reached.values() if instant is not None]
    assert known == sorted(known)
    assert all(seconds is None or seconds >= 0 for seconds in found.seconds.values())
    assert found.total_seconds == pytest.approx((known[-1] if known else BEGUN) - BEGUN, abs=1e-5)
    assert math.isfinite(found.total_seconds)


def test_the_outlook_of_each_state() -> None:
    assert not outlook({}).reason
    assert outlook(UNPLACED).reason == FULL.rstrip(".")
    assert not outlook(UNPLACED).scheduled
    assert outlook(CREATING).scheduled
    assert not outlook(CREATING).hopeless
    assert outlook(READY).ready


@pytest.mark.parametrize(
    ("waiting", "hopeless"),
    [
        ({"reason": "ErrImageNeverPull", "message": 'Container image "x" is not present.'}, True),
        ({"reason": "ImagePullBackOff", "message": "Back-off pulling image"}, False),
        ({"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}, True),
    ],
)
def test_a_container_that_waits_says_why(waiting: dict[str, str], hopeless: bool) -> None:
    ended = {"terminated": {"reason": "Error", "exitCode": 2}}
    container = {"name": "desktop", "state": {"waiting": waiting}, "lastState": ended}
    found = outlook(pod({"type": "PodScheduled", "status": "True"}, containers=(container,), node="real-1"))
    assert found.hopeless is hopeless
    assert found.reason.startswith(waiting["reason"])
    assert "desktop: Error, exit status 2" in found.reason


def test_a_pod_that_ended_is_not_waited_for() -> None:
    ended = {**READY, "status": {"phase": "Failed", "containerStatuses": []}}
    assert outlook(ended).hopeless
    assert outlook(ended).reason == "its pod has ended"


def test_a_home_that_cannot_be_made_is_told_by_its_warnings() -> None:
    def warning(name: str, message: str, kind: str = "Warning") -> Observation:
        one = event("ProvisioningFailed", message)
        return seen(1.0, {**one, "type": kind, "involvedObject": {"kind": "PersistentVolumeClaim", "name": name}})

    told = [warning(CLAIM, "first"), warning("another", "not ours"), warning(CLAIM, "no such account.")]
    assert complaint((POD, CLAIM), told) == "ProvisioningFailed: no such account"
    assert complaint((POD, CLAIM), [warning(CLAIM, "all is well", "Normal")]) == ""
    assert complaint((POD,), told) == ""
