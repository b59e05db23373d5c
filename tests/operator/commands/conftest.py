"""An API server in a thread of its own, a kubeconfig that leads there, and the command line in this process."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from click.testing import CliRunner, Result

from vdi_operator.main import cli

from ..cluster.api_server import Object, Server

NAMESPACE = "vdi-sessions"
PASSWORD = "nobody-guesses-this"


class Cluster(Server):
    """What the tests of the requests have, with logs of pods, from a thread of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.logs: dict[str, str] = {}
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="api-server")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Any request."""
        if request.method == "GET" and request.path.endswith("/log"):
            name = request.path.split("/")[-2]
            for fault in self.faults:
                if fault.path == "/log":
                    return web.json_response({"message": fault.message, "code": fault.status}, status=fault.status)
            return web.Response(text=self.logs[f"{name}/previous" if "previous" in request.query else name])
        return await super().answer(request)

    def __enter__(self) -> Cluster:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive()

    def later(self, act: Callable[[], Any]) -> None:
        """Do something to it while it serves."""
        self._loop.call_soon_threadsafe(act)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self.answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        try:
            await self._stop.wait()
        finally:
            await runner.cleanup()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster() as found:
        yield found


@pytest.fixture
def kubeconfig(cluster: Cluster, tmp_path: Path) -> Path:
    """With a context ``lab``, which is the current one."""
    path = tmp_path / "kubeconfig"
    document = {
        "current-context": "lab",
        "contexts": [{"name": "lab", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": cluster.url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture
def invoke(kubeconfig: Path) -> Callable[..., Result]:
    """Run the command line as ``vdi-operator WORDS``."""

    def run(*words: str) -> Result:
        return CliRunner().invoke(cli, [words[0], "--kubeconfig", str(kubeconfig), *words[1:]])

    return run


@pytest.fixture
def environment(kubeconfig: Path) -> dict[str, str]:
    """Of a process of its own."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "KUBECONFIG": str(kubeconfig)}


def condition(kind: str, status: str, reason: str, message: str = "") -> Object:
    """Of a session's status."""
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-11-29T12:00:00Z",
        "observedGeneration": 1,
    }


def with_status(one: Object, *conditions: Object, **status: Any) -> Object:
    """A session with that status."""
    return one | {"status": {"conditions": list(conditions), **status}}
