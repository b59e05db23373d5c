"""Clocks that somebody sets.

A former process had one that was ahead: no pause lasts until what it wrote of the future is over. The wall's is set and
the operator's follows slowly: what other hosts compare with theirs goes by the wall's.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from vdi_operator.children.secrets import turn_expiry
from vdi_operator.core.instants import moment

from .cluster import PLACES, SETTINGS, Cluster
from .process import ready, reason, running, seen, settled
from .test_evidence import graduated

HOUR, DAY = 3600.0, 86_400.0
LIFE = SETTINGS.turn_lifetime_seconds
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


@pytest.mark.parametrize("ahead", [-3 * DAY, -DAY, HOUR, 0.7 * DAY, DAY, 30 * DAY])
def test_turn_credentials_are_good_by_the_clock_of_the_relay(ahead: float) -> None:
    cluster, operator = running()
    cluster.ahead = ahead
    status = settled(operator).status
    assert ready(status) == ("True", "Published")
    expiry = turn_expiry(cluster.objects[PLACES["rtc"]])
    assert expiry is not None
    assert expiry - (cluster.now + ahead) >= LIFE / 2 - 1.0
    assert status["turnExpiresAt"] == moment(expiry).replace(".000000Z", "Z")


def test_credentials_of_a_start_are_minted_by_the_wall() -> None:
    cluster, operator = running()
    for mode in ("Suspended", "Running"):
        cluster.edit_session(operatingMode=mode)
        settled(operator)
        if mode == "Suspended":
            cluster.delete(PLACES["rtc"])
            cluster.ahead = 10 * DAY
    minted = turn_expiry(cluster.objects[PLACES["rtc"]])
    assert minted == pytest.approx(cluster.now + 10 * DAY + LIFE, abs=60.0)


def test_a_clock_that_is_set_is_noticed_within_the_hour() -> None:
    _, operator = running()
    decision = operator.pass_()
    assert decision is not None
    assert decision.look_again_seconds == HOUR


def test_the_last_hour_of_credentials_is_waited_for_as_it_is() -> None:
    cluster, operator = running()
    expiry = turn_expiry(cluster.objects[PLACES["rtc"]])
    assert expiry is not None
    cluster.ahead = expiry - LIFE / 2 - 60.0 - cluster.now
    decision = operator.pass_()
    assert decision is not None
    assert decision.look_again_seconds == pytest.approx(60.0)


def test_evidence_expires_by_the_wall() -> None:
    cluster, operator = running()
    operator.settings = replace(SETTINGS, require_evidence=True)
    cluster.template = graduated(expires=cluster.now + DAY)
    assert reason(settled(operator).status, "Admitted") == ("True", "Accepted")
    cluster.ahead = DAY
    assert reason(settled(operator).status, "Admitted") == ("False", "EvidenceExpired")


def test_a_life_does_not_end_because_a_clock_was_set() -> None:
    cluster, operator = running(lifetime="8h")
    cluster.ahead = DAY
    assert ready(settled(operator).status) == ("True", "Published")


def uid(cluster: Cluster) -> str:
    pod = cluster.objects.get(PLACES["pod"])
    return str(pod["metadata"]["uid"]) if pod is not None else ""
