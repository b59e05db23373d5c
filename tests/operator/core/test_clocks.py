"""A former process had a clock that was ahead: no pause lasts until what it wrote of the future is over."""

from __future__ import annotations

from vdi_operator.core.instants import moment

from .cluster import PLACES, Cluster
from .process import ready, running, seen, settled

HOUR = 3600.0
FAILED = {"phase": "Failed", "reason": "Error", "message": "gone"}


def test_a_frame_of_the_future_was_seen() -> None:
    cluster, operator = running()
    assert cluster.session is not None
    cluster.session["status"]["stream"]["leftAt"] = moment(cluster.now + HOUR)
    done = operator.restarted().pass_()
    assert done is not None
    assert ready(done.status) == ("True", "Published")


def test_a_restart_of_the_future_is_due() -> None:
    cluster, operator = running()
    cluster.crash(FAILED)
    operator.pass_()
    assert cluster.session is not None
    cluster.session["status"]["restart"]["at"] = moment(cluster.now + HOUR)
    began = cluster.now
    assert ready(settled(operator.restarted()).status) == ("True", "Published")
    assert cluster.now - began < 60.0


def test_a_check_of_the_future_is_made_again() -> None:
    cluster, operator = running()
    cluster.delete(PLACES["pod"])
    cluster.faults.no_frame = True
    while operator.check is None or operator.check.ok:
        cluster.tick()
        operator.checked()
        operator.pass_()
        cluster.now += 0.25
    cluster.faults.no_frame = False
    operator.check = seen(uid(cluster), cluster.now + HOUR)
    began = cluster.now
    assert ready(settled(operator).status) == ("True", "Published")
    assert cluster.now - began < 60.0


def test_what_was_written_a_moment_ahead_still_counts() -> None:
    """Clocks of two hosts, and the microseconds that a status is rounded to: the checker has just left."""
    cluster, operator = running()
    cluster.delete(PLACES["pod"])
    while not (cluster.objects.get(PLACES["pod"]) and operator.asked is not None):
        cluster.tick()
        operator.pass_()
        cluster.now += 0.25
    operator.asked = None
    operator.check = seen(uid(cluster), cluster.now + 0.000001)
    operator.pass_()
    assert cluster.session is not None
    assert ready(cluster.session["status"])[1] != "Published"


def uid(cluster: Cluster) -> str:
    pod = cluster.objects.get(PLACES["pod"])
    return str(pod["metadata"]["uid"]) if pod is not None else ""
