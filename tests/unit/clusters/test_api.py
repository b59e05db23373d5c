"""What an API server says, by one that says little."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from kubernetes import client

from vdibench.clusters.api import KINDS, Api, path_of
from vdibench.clusters.connection import Cluster
from vdibench.clusters.ownership import RUN_LABEL, Owner, apply, marked, sweep
from vdibench.errors import AuthenticationError, TargetUnavailable, UsageError

from .answering import Answering, carries, connected, serving

PODS = path_of("Pod", "vdi-sessions")


class Server(ThreadingHTTPServer):
    """Knows pods by their path, and nothing else."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str, dict[str, list[str]], str]] = []
        self.refusing = 0
        self.lines: list[bytes] = []


class Handler(Answering):
    server: Server

    def _answer(self) -> None:
        address = urlsplit(self.path)
        query = parse_qs(address.query)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, address.path, query, self.headers.get("Content-Type", "")))
        if self.server.refusing:
            self._say(self.server.refusing, {"message": "pods is forbidden"})
        elif "watch" in query:
            self._stream()
        elif not address.path.startswith(PODS):
            self._say(404, {"message": "the server could not find the requested resource"})
        elif self.command == "PATCH":
            self.server.objects[address.path] = json.loads(body)
            self._say(201, self.server.objects[address.path])
        elif address.path == PODS:
            self._collection(query)
        else:
            found = self.server.objects.get(address.path)
            self._say(200 if found else 404, found or {"message": "not found"})

    do_GET = do_PATCH = do_DELETE = _answer  # noqa: N815  # http.server's names

    def _collection(self, query: dict[str, list[str]]) -> None:
        selector = query.get("labelSelector", [""])[0]
        chosen = {path: one for path, one in self.server.objects.items() if carries(one, selector)}
        if self.command == "DELETE":
            for path in chosen:
                del self.server.objects[path]
        self._say(200, {"metadata": {"resourceVersion": "7"}, "items": list(chosen.values())})

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in (*self.server.lines, b""):
            self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    with serving(found):
        yield found


@pytest.fixture
def api(server: Server, tmp_path: Path) -> Iterator[Api]:
    with connected(server, tmp_path / "kubeconfig") as found:
        yield found


def pod(name: str, run: str = "", owner: Owner | None = None) -> dict[str, Any]:
    one: dict[str, Any] = {"kind": "Pod", "metadata": {"name": name, "namespace": "vdi-sessions", "labels": {}}}
    return marked(one, run, owner) if owner else one


def test_objects_are_applied_by_the_server_and_strictly(server: Server, api: Api) -> None:
    (made,) = apply(api, [pod("a")], "r1", Owner.current())
    assert made["metadata"]["labels"][RUN_LABEL] == "r1"
    ((command, path, query, kind),) = server.asked
    assert (command, path, kind) == ("PATCH", f"{PODS}/a", "application/apply-patch+yaml")
    assert query == {"fieldManager": ["vdibench"], "fieldValidation": ["Strict"]}


def test_what_is_not_there_is_none(api: Api) -> None:
    assert api.get(f"{PODS}/none") is None
    assert api.items(path_of("Secret", "vdi-sessions")) == []
    assert not api.delete("/api/v1/persistentvolumes/none")


def test_a_cluster_without_the_platform_is_told_apart(api: Api) -> None:
    (secret,) = ({**pod("s"), "kind": "Secret"},)
    with pytest.raises(UsageError, match="has no namespace vdi-sessions, or does not know Secret"):
        apply(api, [secret], "r1", Owner.current())
    assert apply(api, [{**pod("m"), "kind": "PodMonitor"}], "r1", Owner.current()) == []


@pytest.mark.parametrize(
    ("status", "error"), [(403, AuthenticationError), (401, AuthenticationError), (422, TargetUnavailable)]
)
def test_a_refusal_has_the_servers_words(server: Server, api: Api, status: int, error: type[Exception]) -> None:
    server.refusing = status
    with pytest.raises(error, match="pods is forbidden"):
        api.items(PODS)


def test_a_server_that_is_not_there() -> None:
    configuration = client.Configuration()
    configuration.host, configuration.retries = "http://127.0.0.1:9", False
    kept = client.ApiClient(configuration)
    with pytest.raises(TargetUnavailable, match="broke off get"):
        Api(Cluster("test", kept, "v1", Path("none"))).items(PODS)
    kept.close()


def test_lines_come_whole_wherever_they_were_cut(server: Server, api: Api) -> None:
    server.lines = [b'{"a": 1}\n{"b"', b": 2}\n", b"end"]
    assert list(api.lines(PODS, {"watch": "true"})) == ['{"a": 1}', '{"b": 2}', "end"]


def test_only_what_nobody_owns_any_more_is_swept(server: Server, api: Api) -> None:
    here = Owner.current()
    gone = Owner(here.place, here.pid, f"{here.identity}0")
    elsewhere = Owner("another boot", 1, "x")
    for name, run, owner in (("a", "living", here), ("b", "dead", gone), ("c", "dead", gone), ("d", "far", elsewhere)):
        server.objects[f"{PODS}/{name}"] = pod(name, run, owner)
    server.objects[f"{PODS}/users"] = pod("users")
    found = sweep(api)
    assert (found.removed, found.others) == (("dead",), ("far", "living"))
    assert {path.rpartition("/")[2] for path in server.objects} == {"a", "d", "users"}
    assert sweep(api).removed == ()


def test_every_kind_of_a_session_has_its_place() -> None:
    assert set(KINDS) == {
        "VDISession",
        "IngressRoute",
        "Middleware",
        "PodMonitor",
        "Service",
        "Pod",
        "Secret",
        "PersistentVolumeClaim",
        "NetworkPolicy",
    }
    assert path_of("Pod", "n", "a") == "/api/v1/namespaces/n/pods/a"
