"""``vdi-operator migrate``: every object once, nothing by a dry run, and no word of it being done before it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web

from vdi_operator.api.schema import definitions
from vdi_operator.commands import migrate
from vdi_operator.commands.migrate import Plan, plan, storage_hash

from ..cluster.api_server import Fault, Object, session
from .conftest import Cluster

NEW, OLD = "v1alpha2", "v1alpha1"
SESSIONS = "vdisessions.vdibench.io"
KINDS = {"vdisessions": "VDISession", "vditemplates": "VDITemplate"}


class Storing(Cluster):
    """With two versions of the kinds: what is written is stored in the new one, and changes only by that."""

    def __init__(self) -> None:
        super().__init__()
        self.follows = True
        self.anew: set[str] = set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == f"/apis/vdibench.io/{NEW}":
            version = NEW if self.follows else OLD
            found = [
                {"name": plural, "kind": kind, "storageVersionHash": storage_hash(kind, version)}
                for plural, kind in KINDS.items()
            ]
            return web.json_response({"resources": found})
        response = await super().answer(request)
        *_, plural, name = request.path.split("/")
        written = request.method == "PATCH" and response.status == 200 and "dryRun" not in request.query
        if written and plural in KINDS and name not in self.anew:
            self.anew.add(name)
            return web.json_response(self.put(plural, self.objects[plural, name]))
        return response


@pytest.fixture
def cluster() -> Iterator[Storing]:
    with Storing() as made:
        for one in definitions():
            made.put("customresourcedefinitions", upgraded(one))
        for name in ("alice", "bob", "carol"):
            made.put("vdisessions", session(name))
        yield made


def upgraded(definition: Object, stored: tuple[str, ...] = (OLD, NEW)) -> Object:
    """A definition after its upgrade: both versions are served, the new one is stored."""
    (version,) = definition["spec"]["versions"]
    versions = [{**version, "storage": False}, {**version, "name": NEW}]
    return {**definition, "spec": {**definition["spec"], "versions": versions}, "status": {"storedVersions": [*stored]}}


def recorded(cluster: Cluster, name: str = SESSIONS) -> list[str]:
    found: list[str] = cluster.objects["customresourcedefinitions", name]["status"]["storedVersions"]
    return found


def test_what_a_definition_asks_for() -> None:
    template, one = definitions()
    assert plan(upgraded(one)) == Plan(SESSIONS, "VDISession", "vdisessions", NEW, (OLD, NEW))
    assert not plan(upgraded(template)).done
    assert plan(upgraded(template, (NEW,))).done
    assert plan({**one, "status": {"storedVersions": [OLD]}}).done


def test_all_are_written_and_recorded(cluster: Storing, invoke: Any) -> None:
    before = {name: one["spec"] for (kind, name), one in cluster.objects.items() if kind == "vdisessions"}
    done = invoke("migrate")
    assert done.exit_code == 0, done.output
    assert cluster.anew == {"alice", "bob", "carol"}
    assert recorded(cluster) == recorded(cluster, "vditemplates.vdibench.io") == [NEW]
    assert f"{SESSIONS}: stored as {OLD}, {NEW}; to be {NEW}" in done.output
    assert f"{SESSIONS}: 3 looked at, 3 of them written anew" in done.output
    assert before == {name: one["spec"] for (kind, name), one in cluster.objects.items() if kind == "vdisessions"}
    for one in cluster.asked("PATCH", "vdisessions"):
        assert set(one.body["metadata"]) == {"uid", "resourceVersion"}, "that very object, and nothing of it is changed"
        assert set(one.body) == {"metadata"}


def test_a_second_time_there_is_nothing_to_do(cluster: Storing, invoke: Any) -> None:
    invoke("migrate")
    asked = len(cluster.asked("PATCH", "vdisessions"))
    done = invoke("migrate")
    assert done.exit_code == 0
    assert f"{SESSIONS}: all are stored as {NEW}" in done.output
    assert len(cluster.asked("PATCH", "vdisessions")) == asked


def test_what_was_interrupted_goes_on(cluster: Storing, invoke: Any) -> None:
    cluster.faults += [Fault("PATCH", "vdisessions/bob", 400, "BadRequest", "not now", times=1)]
    assert invoke("migrate").exit_code == 1
    assert cluster.anew == {"alice"}
    assert recorded(cluster) == [OLD, NEW]
    done = invoke("migrate")
    assert done.exit_code == 0, done.output
    assert f"{SESSIONS}: 3 looked at, 2 of them written anew" in done.output
    assert recorded(cluster) == [NEW]


def test_a_dry_run_writes_nothing(cluster: Storing, invoke: Any) -> None:
    cluster.faults += [Fault("PATCH", "vdisessions/bob", 422, "Invalid", "spec.user: Too long")]
    done = invoke("migrate", "--dry-run")
    assert done.exit_code == 1
    assert cluster.anew == set()
    assert recorded(cluster) == [OLD, NEW]
    assert all(one.query["dryRun"] == "All" for one in cluster.asked("PATCH", "vdisessions"))
    assert "VDISession vdi-sessions/bob is not taken as it is: spec.user: Too long" in done.output
    assert f"{SESSIONS}: 2 would be taken; nothing was written" in done.output
    assert cluster.asked("PATCH", "customresourcedefinitions") == []


def test_what_is_not_taken_keeps_the_old_version(cluster: Storing, invoke: Any) -> None:
    cluster.faults += [Fault("PATCH", "vdisessions/bob", 422, "Invalid", "spec.user: Too long")]
    done = invoke("migrate")
    assert done.exit_code == 1
    assert cluster.anew == {"alice", "carol"}, "the others are written all the same"
    assert recorded(cluster) == [OLD, NEW]
    assert recorded(cluster, "vditemplates.vdibench.io") == [NEW]
    assert "1 objects are not taken as they are" in done.output


@pytest.mark.parametrize(("status", "reason"), [(409, "Conflict"), (404, "NotFound")])
def test_what_somebody_else_wrote_or_deleted_is_done(cluster: Storing, invoke: Any, status: int, reason: str) -> None:
    cluster.faults += [Fault("PATCH", "vdisessions/bob", status, reason)]
    assert invoke("migrate").exit_code == 0
    assert recorded(cluster) == [NEW]


def test_the_api_server_has_to_know_of_it_first(cluster: Storing, invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "_KNOWN_SECONDS", 0.1)
    monkeypatch.setattr(migrate, "_LOOK_SECONDS", 0.01)
    cluster.follows = False
    done = invoke("migrate")
    assert done.exit_code == 1
    assert f"the API server does not say that it stores {NEW}" in done.output
    assert cluster.anew == set()


def test_a_list_that_goes_stale_is_begun_again(cluster: Storing, invoke: Any) -> None:
    cluster.page = 2
    cluster.faults += [Fault("GET", "v1alpha2/vdisessions", 410, "Expired", "the list is too old", times=2)]
    done = invoke("migrate")
    assert done.exit_code == 0, done.output
    assert cluster.anew == {"alice", "bob", "carol"}
    assert recorded(cluster) == [NEW]


def test_whoever_has_no_right_is_told_which(cluster: Storing, invoke: Any) -> None:
    said = "customresourcedefinitions is forbidden: User alice cannot get"
    cluster.faults += [Fault("GET", "customresourcedefinitions", 403, "Forbidden", said)]
    done = invoke("migrate")
    assert done.exit_code == 1
    assert said in done.output
    cluster.faults += [Fault("PATCH", f"{SESSIONS}/status", 403, "Forbidden", "cannot patch the status")]
    done = invoke("migrate")
    assert done.exit_code == 1
    assert "cannot patch the status" in done.output
    assert recorded(cluster) == [OLD, NEW]


def test_a_cluster_without_the_definitions(cluster: Storing, invoke: Any) -> None:
    cluster.remove("customresourcedefinitions", "vditemplates.vdibench.io")
    done = invoke("migrate")
    assert done.exit_code == 1
    assert "the cluster has no definition vditemplates.vdibench.io" in done.output
