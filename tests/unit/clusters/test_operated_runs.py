"""What a run leaves on a cluster with an operator: nothing, its users' homes and their volumes included."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from vdibench.clusters.api import VOLUMES, Api, path_of
from vdibench.clusters.ownership import RUN_LABEL, Owner, apply, counts, remove, sweep
from vdibench.clusters.vdisessions import vdisession

from .answering import Answering, carries, connected, serving

RUN, USER = "0a1b2c3d", "vdibench-0a1b2c3d-0"
SESSIONS, CLAIMS = path_of("VDISession", "vdi-sessions"), path_of("PersistentVolumeClaim", "vdi-sessions")


class Server(ThreadingHTTPServer):
    """Keeps objects by their path; a VDISession that goes may leave a home that was just being made."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, dict[str, Any]] = {}
        self.forbidden: tuple[str, ...] = ()
        self.late_home = False

    def home(self, user: str, **labels: str) -> None:
        """As the operator makes one."""
        name = f"vdi-home-{user}"
        self.objects[f"{CLAIMS}/{name}"] = {
            "metadata": {
                "name": name,
                "uid": f"uid-of-{name}",
                "labels": {"vdibench.io/user-slug": user, **labels},
                "annotations": {"vdibench.io/user": user},
            },
            "spec": {"volumeName": f"pv-of-{user}"},
        }
        self.objects[f"{VOLUMES}/pv-of-{user}"] = {
            "metadata": {"name": f"pv-of-{user}", "labels": {}},
            "spec": {"claimRef": {"uid": f"uid-of-{name}"}, "persistentVolumeReclaimPolicy": "Retain"},
        }


class Handler(Answering):
    server: Server

    def _answer(self) -> None:
        address = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        selector = parse_qs(address.query).get("labelSelector", [""])[0]
        path, objects = address.path, self.server.objects
        if any(word in path for word in self.server.forbidden):
            self._say(403, {"message": f"{path} is forbidden"})
        elif self.command == "PATCH":
            self._patch(path, json.loads(body))
        elif path in objects or self._is_one(path):
            found = objects.pop(path, None) if self.command == "DELETE" else objects.get(path)
            self._say(200 if found else 404, found or {"message": "not found"})
        else:
            chosen = [one for one in objects if one.rpartition("/")[0] == path and carries(objects[one], selector)]
            items = [objects[one] for one in chosen]
            if self.command == "DELETE":
                for one in chosen:
                    self._gone(one)
            self._say(200, {"metadata": {}, "items": items})

    do_GET = do_PATCH = do_DELETE = _answer  # noqa: N815  # http.server's names

    def _is_one(self, path: str) -> bool:
        _, _, inside = path.partition("/namespaces/")
        return path.startswith(f"{VOLUMES}/") or inside.count("/") == 2

    def _patch(self, path: str, change: dict[str, Any]) -> None:
        known = self.server.objects.setdefault(path, {}) if "apply" in self.headers["Content-Type"] else None
        known = self.server.objects.get(path) if known is None else known
        if known is None:
            self._say(404, {"message": "not found"})
            return
        for part, values in change.items():
            if isinstance(values, dict):
                for name, value in values.items():
                    inner = known.setdefault(part, {})
                    inner[name] = {**inner.get(name, {}), **value} if isinstance(value, dict) else value
            else:
                known[part] = values
        self._say(200, known)

    def _gone(self, path: str) -> None:
        one = self.server.objects.pop(path)
        if path.startswith(SESSIONS) and self.server.late_home:
            self.server.home(one["spec"]["user"])
        volume = one.get("spec", {}).get("volumeName", "")
        there = self.server.objects.get(f"{VOLUMES}/{volume}", {})
        if there.get("spec", {}).get("persistentVolumeReclaimPolicy") == "Delete":
            del self.server.objects[f"{VOLUMES}/{volume}"]


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    with serving(found):
        yield found


@pytest.fixture
def api(server: Server, tmp_path: Path) -> Iterator[Api]:
    with connected(server, tmp_path / "kubeconfig") as found:
        yield found


def left(server: Server) -> set[str]:
    return {path.rpartition("/")[2] for path in server.objects}


def test_a_run_takes_its_homes_and_volumes_with_it(server: Server, api: Api) -> None:
    apply(api, [vdisession(USER, "desktop")], RUN, Owner.current())
    server.home(USER)
    server.home("alice")
    assert counts(api, f"{RUN_LABEL}={RUN}") == {"VDISession": 1}
    assert remove(api, RUN) == ()
    assert left(server) == {"vdi-home-alice", "pv-of-alice"}
    assert server.objects[f"{VOLUMES}/pv-of-alice"]["spec"]["persistentVolumeReclaimPolicy"] == "Retain"


def test_a_home_that_was_just_being_made_goes_too(server: Server, api: Api) -> None:
    apply(api, [vdisession(USER, "desktop")], RUN, Owner.current())
    server.late_home = True
    remove(api, RUN)
    assert left(server) == set()


def test_a_users_session_is_nobody_elses_to_remove(server: Server, api: Api) -> None:
    """Even where somebody gave the run's label to a session of theirs."""
    apply(api, [vdisession("alice", "desktop")], RUN, Owner.current())
    server.home("alice")
    remove(api, RUN)
    assert {"vdi-home-alice", "pv-of-alice"} <= left(server)


def test_what_a_killed_run_left_goes_with_the_next_one(server: Server, api: Api) -> None:
    here = Owner.current()
    gone = Owner(here.place, here.pid, f"{here.identity}0")
    apply(api, [vdisession(USER, "desktop")], RUN, gone)
    apply(api, [vdisession("vdibench-ffffffff-0", "desktop")], "ffffffff", here)
    server.home(USER)
    found = sweep(api)
    assert (found.removed, found.others) == ((RUN,), ("ffffffff",))
    assert left(server) == {"vdibench-ffffffff-0"}


def test_who_may_not_see_sessions_can_still_run_pods(server: Server, api: Api) -> None:
    server.forbidden = ("vdisessions",)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "vdi-sessions"}}
    apply(api, [pod], RUN, Owner.current())
    assert counts(api, "") == {"Pod": 1}
    assert remove(api, RUN) == ()
    assert left(server) == set()
    assert sweep(api).others == ()
