"""``vdi-operator purge-home``: only what nobody uses, only on a person's word, and what remains is said."""

from __future__ import annotations

from typing import Any

import pytest

from vdi_operator.commands import purge_home

from ..cluster.api_server import Fault, session

CLAIM = "vdi-home-alice"


def claim(**changes: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": CLAIM, "annotations": {"vdibench.io/user": "alice"}},
        "spec": {"volumeName": "pv-1", "storageClassName": "vdi-home", "resources": {"requests": {"storage": "20Gi"}}},
        "status": {"capacity": {"storage": "21Gi"}},
        **changes,
    }


def volume(policy: str = "Retain") -> dict[str, Any]:
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n1"]}]}
    return {
        "metadata": {"name": "pv-1"},
        "spec": {
            "persistentVolumeReclaimPolicy": policy,
            "local": {"path": "/opt/homes/pv-1"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
        },
    }


@pytest.fixture
def home(cluster):
    cluster.put("persistentvolumeclaims", claim())
    cluster.put("persistentvolumes", volume())
    return cluster


def test_it_is_shown_and_kept_without_a_word_of_consent(home, invoke) -> None:
    done = invoke("purge-home", "alice")
    assert done.exit_code == 1
    for line in (
        "vdi-home-alice of alice",
        "21Gi, class vdi-home",
        "pv-1, reclaim policy Retain",
        "/opt/homes/pv-1",
        "n1",
    ):
        assert line in done.output
    assert "nothing was deleted: give --yes" in done.output
    assert home.asked("DELETE", "persistentvolumeclaims") == []


def test_with_it_the_claim_goes_and_what_remains_is_told(home, invoke) -> None:
    done = invoke("purge-home", "alice", "--yes")
    assert done.exit_code == 0, done.output
    assert ("persistentvolumeclaims", CLAIM) not in home.objects
    (asked,) = home.asked("DELETE", "persistentvolumeclaims")
    assert asked.body["preconditions"]["uid"], "that very claim, and no later one of its name"
    assert "volume pv-1 REMAINS WITH ITS DATA (/opt/homes/pv-1 on n1)" in done.output
    assert "kubectl patch pv pv-1 -p" in done.output
    assert ("persistentvolumes", "pv-1") in home.objects


def test_a_volume_that_goes_with_its_claim(home, invoke) -> None:
    home.put("persistentvolumes", volume("Delete"))
    done = invoke("purge-home", "alice", "--yes")
    assert "volume pv-1 and its data go with it" in done.output


def test_a_home_in_use_is_left_alone(home, invoke) -> None:
    home.put("vdisessions", session("cad-7", operatingMode="Suspended"))
    home.put("vdisessions", session("other", user="bob"))
    done = invoke("purge-home", "alice", "--yes")
    assert done.exit_code == 1
    assert "alice has cad-7: delete that first" in done.output
    assert ("persistentvolumeclaims", CLAIM) in home.objects


def test_a_claim_of_somebody_else_is_left_alone(cluster, invoke) -> None:
    metadata = {"name": CLAIM, "annotations": {"vdibench.io/user": "mallory"}}
    cluster.put("persistentvolumeclaims", claim(metadata=metadata))
    done = invoke("purge-home", "alice", "--yes")
    assert done.exit_code == 1
    assert "home of mallory" in done.output
    assert ("persistentvolumeclaims", CLAIM) in cluster.objects


def test_who_may_not_see_volumes_is_told_that_one_may_remain(home, invoke) -> None:
    home.faults.append(Fault("GET", "/persistentvolumes/", 403, "Forbidden", "persistentvolumes is forbidden"))
    done = invoke("purge-home", "alice", "--yes")
    assert done.exit_code == 0, done.output
    assert "pv-1, which you may not read (persistentvolumes is forbidden)" in done.output
    assert "volume pv-1 may remain with its data" in done.output


def test_a_user_without_a_home(cluster, invoke) -> None:
    done = invoke("purge-home", "Alice Example", "--yes")
    assert done.exit_code == 1
    assert "there is no home of Alice Example" in done.output


def test_a_claim_that_something_keeps_is_told(home, invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge_home, "_GONE_SECONDS", 0.0)
    done = invoke("purge-home", "alice", "--yes")
    assert done.exit_code == 1
    assert "something still uses it" in done.output


def test_only_sessions_of_that_very_home_hold_it() -> None:
    found = purge_home.holders([session("a", user="alice"), session("b", user="Alice")], "alice")
    assert found == ["a"]


FRESH = "vdi-fresh-home-alice"


@pytest.fixture
def both(home):
    """A user with a temporary home beside the own one."""
    metadata = {"name": FRESH, "annotations": {"vdibench.io/user": "alice"}}
    home.put("persistentvolumeclaims", claim(metadata=metadata, spec={"storageClassName": "vdi-home"}))
    return home


def test_a_temporary_home_goes_with_the_own_one(both, invoke) -> None:
    shown = invoke("purge-home", "alice")
    assert shown.exit_code == 1
    assert "vdi-home-alice of alice" in shown.output
    assert "vdi-fresh-home-alice of alice" in shown.output
    done = invoke("purge-home", "alice", "--yes")
    assert done.exit_code == 0, done.output
    assert {name for kind, name in both.objects if kind == "persistentvolumeclaims"} == set()


def test_a_temporary_home_goes_alone_on_request(both, invoke) -> None:
    done = invoke("purge-home", "alice", "--fresh", "--yes")
    assert done.exit_code == 0, done.output
    assert {name for kind, name in both.objects if kind == "persistentvolumeclaims"} == {CLAIM}
    again = invoke("purge-home", "alice", "--fresh", "--yes")
    assert again.exit_code == 1
    assert "there is no home of alice (PersistentVolumeClaim vdi-fresh-home-alice)" in again.output


def test_a_temporary_home_of_somebody_else_keeps_both(both, invoke) -> None:
    metadata = {"name": FRESH, "annotations": {"vdibench.io/user": "bob"}}
    both.put("persistentvolumeclaims", claim(metadata=metadata))
    done = invoke("purge-home", "alice", "--yes")
    assert done.exit_code == 1
    assert "claim vdi-fresh-home-alice says that it is the home of bob" in done.output
    assert {name for kind, name in both.objects if kind == "persistentvolumeclaims"} == {CLAIM, FRESH}
