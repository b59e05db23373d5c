"""Notebook 02 cell by cell through a Jupyter server's kernel, as a person does it; 06 under nbval."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import nbformat
import psutil
import pytest

from vdibench.records import Outcome, RunState
from vdibench.store import Recording, resolve
from vdibench.suites import SUITES, notebooks_folder

pytestmark = pytest.mark.timeout(240)
TOKEN = uuid.uuid4().hex
SHORT = {
    "width": 640,
    "height": 360,
    "framerate": 30,
    "warmup_seconds": 0.5,
    "steady_seconds": 4.0,
    "inputs": 4,
    "starts": 1,
}


@dataclass
class Kernel:
    """A kernel of a Jupyter server, spoken to as the page does."""

    client: aiohttp.ClientSession
    url: str
    id: str
    socket: aiohttp.ClientWebSocketResponse

    async def execute(self, code: str, *, interrupt_after: float = 0.0) -> list[dict[str, Any]]:
        """Run a cell; its outputs, errors included."""
        message = {
            "header": {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": "", "session": "test",
                       "version": "5.3", "date": ""},
            "parent_header": {}, "metadata": {}, "channel": "shell", "buffers": [],
            "content": {"code": code, "silent": False, "store_history": True, "user_expressions": {},
                        "allow_stdin": False, "stop_on_error": True},
        }  # fmt: skip
        await self.socket.send_json(message)
        outputs: list[dict[str, Any]] = []
        interruption = asyncio.create_task(self._interrupt(interrupt_after)) if interrupt_after else None
        async for received in self.socket:
            answer = json.loads(received.data)
            if answer["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            if answer["msg_type"] in {"execute_result", "display_data", "stream", "error"}:
                outputs.append({"type": answer["msg_type"], **answer["content"]})
            if answer["msg_type"] == "status" and answer["content"]["execution_state"] == "idle":
                break
        if interruption is not None:
            await interruption
        return outputs

    async def _interrupt(self, after: float) -> None:
        await asyncio.sleep(after)
        async with self.client.post(f"{self.url}/api/kernels/{self.id}/interrupt") as reply:
            assert reply.status == 204


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Path]:
    """A Jupyter server on the notebooks' folder; the folder in which it says where it listens."""
    runtime = tmp_path / "runtime"
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyter", "server", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0",
         f"--ServerApp.root_dir={notebooks_folder()}"],
        env=os.environ | {"JUPYTER_TOKEN": TOKEN, "JUPYTER_RUNTIME_DIR": str(runtime),
                          "IPYTHONDIR": str(tmp_path / "ipython"), "JUPYTER_CONFIG_DIR": str(tmp_path / "config")},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield runtime
    finally:
        tree = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()
            process.wait()
            for child in psutil.wait_procs(tree, timeout=5)[1]:
                child.kill()


def await_address(runtime: Path) -> str:
    """Where the server listens, once it does: it says where before it can be reached."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for info in runtime.glob("jpserver-*.json"):
            said = json.loads(info.read_text())
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", said["port"]), timeout=1):
                return str(said["url"]).rstrip("/")
        time.sleep(0.1)
    pytest.fail("the Jupyter server cannot be reached")


@pytest.fixture
async def kernel(server: Path) -> AsyncIterator[Kernel]:
    """One kernel of the server."""
    url = await asyncio.to_thread(await_address, server)
    headers = {"Authorization": f"token {TOKEN}"}
    async with aiohttp.ClientSession(headers=headers) as client:
        async with client.post(f"{url}/api/kernels", json={"name": "python3"}) as reply:
            identity = (await reply.json())["id"]
        channels = f"{url}/api/kernels/{identity}/channels"
        async with client.ws_connect(channels, headers=headers, max_msg_size=0) as socket:
            yield Kernel(client, url, identity, socket)
        async with client.delete(f"{url}/api/kernels/{identity}"):
            pass


def cells(results: Path, **changes: Any) -> list[str]:
    """The code of notebook 02, its parameters edited as a person edits them."""
    notebook = nbformat.read(SUITES["stream_validation"].path, as_version=4)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    edits = SHORT | {"results": str(results)} | changes
    code[0] += "".join(f"\n{name} = {value!r}" for name, value in edits.items())
    return code


async def test_02_cell_by_cell(kernel: Kernel, tmp_path: Path) -> None:
    shown = []
    for source in cells(tmp_path / "results"):
        outputs = await kernel.execute(source)
        assert not [output for output in outputs if output["type"] == "error"], outputs
        shown.append([output for output in outputs if output["type"] == "execute_result"])
    # Parameters, import and opening show nothing; every check, the figures and the verdict do.
    assert all(outputs and "text/html" in outputs[0]["data"] for outputs in shown[3:])
    assert "verdict: " in shown[-1][0]["data"]["text/html"]
    recording = Recording.open(resolve(tmp_path / "results", "latest"))
    assert recording.run.state is RunState.FINISHED
    checks = recording.table("checks")
    # VMAF needs an ffmpeg of its own, which Debian does not have; a desktop of the lab has no policies around it.
    outcomes = checks[checks.name != "vmaf"].set_index("name").outcome
    assert outcomes.pop("policies") == "not applicable"
    assert set(outcomes) == {"pass"}
    # Four seconds are too few for the objectives, and too little data is never a pass; a busy machine says so instead.
    (suite,) = recording.verdict.suites
    assert suite.outcome is Outcome.NO_DATA or (
        suite.outcome is Outcome.INVALID and all("this machine is overloaded" in reason for reason in suite.reasons)
    )


async def test_02_interrupted_keeps_samples_and_ends_its_desktop(kernel: Kernel, tmp_path: Path) -> None:
    def desktops() -> int:
        return len([item for item in psutil.process_iter(["name"]) if item.info["name"] == "Xvfb"])

    before = desktops()
    code = cells(tmp_path / "results", steady_seconds=60.0)
    watching = next(index for index, source in enumerate(code) if "check_frame_rate" in source)
    for source in code[:watching]:
        assert not [output for output in await kernel.execute(source) if output["type"] == "error"]
    assert desktops() == before + 1
    outputs = await kernel.execute(code[watching], interrupt_after=4.0)
    assert [output["ename"] for output in outputs if output["type"] == "error"] == ["KeyboardInterrupt"]
    assert desktops() == before
    recording = Recording.open(resolve(tmp_path / "results", "latest"))
    assert recording.run.state is RunState.INTERRUPTED
    assert (recording.table("frames").phase == "steady").sum() > 30
    # The next cell says what to do instead of failing somewhere inside.
    (error,) = [output for output in await kernel.execute(code[watching + 1]) if output["type"] == "error"]
    assert error["ename"] == "UsageError"
    assert "run the notebook from its first cell" in error["evalue"]
    assert len(error["traceback"]) == 1


async def test_05_shows_each_step_and_refuses_with_every_reason(kernel: Kernel, tmp_path: Path) -> None:
    notebook = nbformat.read(SUITES["graduation"].path, as_version=4)
    outputs: list[list[dict[str, Any]]] = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            code = cell.source.replace('run: str = "latest"', 'run: str = "reference"')
            outputs.append(await kernel.execute(code.replace("build/chart", f"{tmp_path}/chart")))
    errors = [output for cell in outputs for output in cell if output["type"] == "error"]
    # A lab's run is no evidence for GPU nodes: only the step that writes refuses, and says all at once.
    assert [error["ename"] for error in errors] == ["Refused"]
    assert all(line.startswith("Refused: ") for line in errors[0]["traceback"])
    shown = [output for cell in outputs for output in cell if output["type"] == "execute_result"]
    assert len(shown) == 6
    assert not (tmp_path / "chart").exists()


def test_06_runs_from_the_reference_run_under_nbval(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax", "--noconftest",
         f"--rootdir={tmp_path}", "-c", os.devnull, "--nbval-cell-timeout=60",
         str(SUITES["capacity_report"].path)],
        cwd=notebooks_folder(), capture_output=True, text=True, timeout=120, check=False,
        # nbval leaves its kernel's connection file in the temporary folder.
        env=os.environ | {"IPYTHONDIR": str(tmp_path / "ipython"), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
                          "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
