"""Whether a pod knows its Secret's password: by what both note of it, and by their times where one notes nothing."""

from __future__ import annotations

import copy

import pytest

from vdi_operator.api.objects import Ref
from vdi_operator.children.secrets import password_minted
from vdi_operator.core import pods

from .cluster import PLACES, Cluster
from .process import Operator, begun, ready, running, settled

POD, AUTH = PLACES["pod"], PLACES["auth"]
NOTE = "vdibench.io/password-minted"
HOUR = 3600.0
CRASHED = {"phase": "Failed", "reason": "Error", "message": "gone"}
# How the API server's clock may be set: so much behind.
SET = pytest.mark.parametrize("behind", [HOUR, -HOUR], ids=["back", "forward"])


def desktops(cluster: Cluster, operator: Operator) -> list[str]:
    """Uids of the pods that there are, one after the other, while half a minute goes by."""
    seen: list[str] = []
    for _ in range(60):
        cluster.tick()
        operator.checked()
        operator.pass_()
        uid = pods.uid(cluster.objects.get(POD))
        if uid and uid not in seen:
            seen.append(uid)
        cluster.now += 0.5
    return seen


def serves(cluster: Cluster, operator: Operator) -> bool:
    """Whether its user can log in."""
    found = ready(settled(operator).status) == ("True", "Published")
    return found and cluster.objects[POD]["password"] == cluster.password()


def forget(cluster: Cluster, *places: Ref) -> None:
    """Take the notes away, as if an earlier operator had made the objects."""
    for place in places:
        del cluster.objects[place]["metadata"]["annotations"][NOTE]


def test_secret_and_pod_are_made_with_the_same_note() -> None:
    cluster, operator = begun()
    operator.pass_()
    assert password_minted(cluster.objects[POD]) == password_minted(cluster.objects[AUTH]) != ""


# A clock is set.
@SET
def test_a_clock_that_is_set_between_secret_and_pod_ends_no_desktop(behind: float) -> None:
    cluster, operator = begun()
    operator.pass_(killed_at=7)
    assert AUTH in cluster.objects
    assert POD not in cluster.objects
    cluster.behind = behind
    cluster.now += 1.0
    operator = operator.restarted()
    assert len(desktops(cluster, operator)) == 1
    assert serves(cluster, operator)
    assert "Restarting" not in [notice.reason for notice in operator.notices]


@SET
def test_a_desktop_that_is_made_again_after_a_clock_was_set_stays(behind: float) -> None:
    cluster, operator = running()
    former = pods.uid(cluster.objects[POD])
    cluster.behind = behind
    cluster.crash(copy.deepcopy(CRASHED))
    before, _ = desktops(cluster, operator)
    assert before == former
    assert serves(cluster, operator)


# The password is another one.
@pytest.mark.parametrize("behind", [0.0, HOUR, -HOUR], ids=["", "back", "forward"])
def test_a_password_that_was_made_anew_needs_another_pod_once(behind: float) -> None:
    cluster, operator = running()
    former, known = pods.uid(cluster.objects[POD]), cluster.password()
    cluster.now += 10
    cluster.behind = behind
    cluster.delete(AUTH)
    before, _ = desktops(cluster, operator)
    assert before == former
    assert serves(cluster, operator)
    assert cluster.password() != known
    assert cluster.session is not None
    assert "attempts" not in cluster.session["status"]
    assert operator.failures == []


# There is no note.
def test_what_an_earlier_operator_made_stays_as_it_is() -> None:
    cluster, operator = running()
    forget(cluster, POD, AUTH)
    before = copy.deepcopy(cluster.objects)
    cluster.now += 10
    operator = operator.restarted()
    assert desktops(cluster, operator) == [pods.uid(before[POD])]
    assert serves(cluster, operator)
    assert cluster.objects == before, "no note is added: its pod would have none to compare it with"


def test_the_next_password_after_an_earlier_operators_is_noted() -> None:
    cluster, operator = running()
    forget(cluster, POD, AUTH)
    former, known = pods.uid(cluster.objects[POD]), cluster.password()
    cluster.now += 10
    cluster.delete(AUTH)
    before, _ = desktops(cluster, operator.restarted())
    assert before == former
    assert password_minted(cluster.objects[POD]) == password_minted(cluster.objects[AUTH]) != ""
    assert cluster.objects[POD]["password"] == cluster.password() != known


@pytest.mark.parametrize("place", [POD, AUTH], ids=str)
def test_a_note_that_somebody_takes_away_is_not_missed(place: Ref) -> None:
    cluster, operator = running()
    forget(cluster, place)
    before = copy.deepcopy(cluster.objects)
    cluster.now += 10
    assert desktops(cluster, operator) == [pods.uid(before[POD])]
    assert serves(cluster, operator)
    assert cluster.objects == before


def test_a_secret_of_an_earlier_operator_gets_its_type_and_the_desktop_stays() -> None:
    cluster, operator = running()
    forget(cluster, POD, AUTH)
    pod, former = pods.uid(cluster.objects[POD]), pods.uid(cluster.objects[AUTH])
    known, since = cluster.password(), cluster.objects[AUTH]["metadata"]["creationTimestamp"]
    cluster.objects[AUTH]["type"] = "Opaque"
    cluster.now += 10
    operator = operator.restarted()
    assert desktops(cluster, operator) == [pod]
    assert serves(cluster, operator)
    made = cluster.objects[AUTH]
    assert (made["type"], pods.uid(made) == former) == ("kubernetes.io/basic-auth", False)
    assert made["metadata"]["annotations"] == {"vdibench.io/password-since": since}
    assert cluster.password() == known
    # The note goes with its password.
    cluster.now += 10
    cluster.delete(AUTH)
    before, _ = desktops(cluster, operator)
    assert before == pod
    assert serves(cluster, operator)
    assert cluster.password() != known
    assert list(cluster.objects[AUTH]["metadata"]["annotations"]) == [NOTE]
