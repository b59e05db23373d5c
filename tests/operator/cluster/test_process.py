"""The operator as a process, kopf and all, against a server that plays the API server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

import vdi_operator
from vdi_operator.children import names

from .api_server import Fault, Server, session, until
from .standin import Standin
from .test_controller import condition, made, names_of, serve

ROOT = Path(vdi_operator.__file__).parents[1]
WHERE = re.compile(r"health and metrics at (http://\S+)")


class Process:
    """A running operator and its log."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []

    async def read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            try:
                self.lines.append(json.loads(line))
            except ValueError:
                self.lines.append({"level": "raw", "message": line.decode()})

    @property
    def url(self) -> str:
        found = [match for line in self.lines if (match := WHERE.search(str(line["message"])))]
        return found[0][1] if found else ""

    def complaints(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["level"] not in ("info", "debug")]


@asynccontextmanager
async def running(api: Server, checker: str, folder: Path) -> AsyncIterator[Process]:
    (folder / "secret").write_text("north\n")
    (folder / "kubeconfig").write_text(
        yaml.safe_dump(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": api.url}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
            }
        )
    )
    settings = {
        "checkerUrl": checker,
        "relayAddresses": ["192.0.2.10"],
        "turnSecretFile": str(folder / "secret"),
    }
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "vdi_operator.main", "run"),
        *("--settings", str(folder / "settings.yaml"), "--kubeconfig", str(folder / "kubeconfig")),
        *("--listen", "127.0.0.1:0"),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    found = Process(process)
    reading = asyncio.create_task(found.read())
    try:
        yield found
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading


async def probed(process: Process, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as http, http.get(process.url + path) as response:
        return response.status, await response.text()


@pytest.fixture
async def process(api: Server, url: str, tmp_path: Path) -> AsyncIterator[Process]:
    api.put("vditemplates", {"metadata": {"name": "cad"}, "spec": {"image": "registry.test/desktop:2.1.0"}})
    async with running(api, url, tmp_path) as found:
        await until(lambda: found.url, "it listens")
        # kopf's own watch of the sessions is the last one.
        await until(lambda: len(api.asked("GET", "vdisessions", watch=True)) == 1, f"kopf watches: {found.lines}")
        yield found


async def test_from_a_wish_to_a_url_and_to_an_end(process: Process, api: Server, standin: Standin) -> None:
    assert await probed(process, "/readyz") == (200, "ok\n")
    assert await probed(process, "/healthz") == (200, "ok\n")
    api.put("vdisessions", session("cad-7"))
    await until(lambda: made(api, "cad-7"), "all children are made")
    serve(api, "cad-7")
    await until(lambda: condition(api, "cad-7", "Ready").get("status") == "True", "it is ready")
    status, metrics = await probed(process, "/metrics")
    assert status == 200
    assert 'vdi_sessions{state="ready"} 1.0' in metrics
    assert 'vdi_session_start_seconds_count{phase="total"} 1.0' in metrics
    # kopf writes nothing into a session: no finalizer, no annotation.
    metadata = api.objects[("vdisessions", "cad-7")]["metadata"]
    assert "finalizers" not in metadata
    assert "annotations" not in metadata
    api.remove("vdisessions", "cad-7")
    await until(
        lambda: not [key for key in api.objects if key[0] in ("pods", "services", "secrets")], "nothing is left"
    )
    assert ("persistentvolumeclaims", names.home_name("alice")) in api.objects
    process.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.process.wait(), 20.0) == 0
    assert process.complaints() == []
    text = json.dumps(process.lines)
    assert standin.seen[0][0]["password"] not in text, "no password in a log"


async def test_a_session_that_vanished_unheard_is_noticed(process: Process, api: Server) -> None:
    for name, user in (("cad-7", "alice"), ("cad-8", "bob")):
        api.put("vdisessions", session(name, user=user))
    await until(lambda: made(api, "cad-7") and ("pods", names_of("cad-8", "bob")["pods"]) in api.objects)
    # While kopf's watch is away the session goes, and its version becomes too old to tell.
    api.compact()
    api.remove_unheard("vdisessions", "cad-7")
    api.cut()
    lists = len(api.asked("GET", "vdisessions"))
    await until(lambda: len(api.asked("GET", "vdisessions")) >= lists + 2, "kopf's list, and ours behind it")
    pods = names_of("cad-7")["pods"]
    api.remove("pods", pods)
    api.remove("pods", names_of("cad-8", "bob")["pods"])
    await until(
        lambda: (
            condition(api, "cad-8", "Ready").get("reason") == "Restarting"
            or ("pods", names_of("cad-8", "bob")["pods"]) in api.objects
        ),
        "the other one is looked after",
    )
    assert ("pods", pods) not in api.objects, "nothing is made for who is gone"


async def test_a_server_that_does_not_know_sessions_yet_is_waited_for(process: Process, api: Server) -> None:
    # kopf ends by an answer that it does not expect, and the server has only just started.
    api.undiscovered = True
    api.faults.append(Fault("GET", "/vdisessions", 404, "NotFound"))
    looks = len([one for one in api.seen if one.path == "/apis"])
    api.cut()
    await until(lambda: [line for line in process.complaints() if "kopf ended" in line["message"]], "kopf ends")
    await until(lambda: len([one for one in api.seen if one.path == "/apis"]) > looks, "it is looked for")
    api.undiscovered = False
    await until(lambda: len(api.asked("GET", "vdisessions", watch=True)) == 3, "kopf watches again")
    api.put("vdisessions", session("cad-7"))
    await until(lambda: made(api, "cad-7"), "a session is seen")


async def test_ctrl_c_ends_it_too(process: Process) -> None:
    process.process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.process.wait(), 20.0) == 0
    assert process.complaints() == []
