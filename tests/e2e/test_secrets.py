"""The canary: no password, token or TURN credential in any file of a run, in output, or in process arguments."""

from __future__ import annotations

import asyncio
import base64
import threading
from pathlib import Path

import pytest

from vdibench.client import open_http
from vdibench.lab import Lab
from vdibench.records import TABLES
from vdibench.store import Recording, resolve

from .commands import command_lines, short_run, start

pytestmark = pytest.mark.timeout(180)


async def turn_credentials(lab: Lab) -> set[str]:
    async with open_http(lab.desktops[0].endpoint) as http:
        return {server.credential for server in await http.ice_servers() if server.credential}


def test_no_secret_is_written_or_said(tmp_path: Path, lab: Lab) -> None:
    credentials = lab.desktops[0].endpoint.credentials
    assert credentials is not None
    turn = asyncio.run(turn_credentials(lab))
    assert turn, "the lab must have TURN credentials, or this test shows nothing"
    secrets = {credentials.password, *turn}
    secrets.add(base64.b64encode(f"{credentials.user}:{credentials.password}".encode()).decode())

    seen: set[str] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.1):
            seen.update(command_lines())

    looking = threading.Thread(target=look)
    looking.start()
    process = start(
        "run", "02", "--target", f"lab:{lab.name}", *short_run(steady_seconds="2.0"),
        cwd=tmp_path,
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=150)
    finally:
        process.kill()
        process.wait()
        stop.set()
        looking.join()
    folder = resolve(tmp_path / "results", "latest")
    recording = Recording.open(folder)
    assert len(recording.table("frames")) > 50, err
    assert any("vdibench" in line for line in seen)

    texts = {"stdout": out, "stderr": err, "arguments": "\n".join(seen)}
    texts |= {f"table {name}": recording.table(name).to_csv() for name in TABLES}
    for path in folder.rglob("*"):
        if path.is_file():
            texts[path.name] = path.read_bytes().decode("latin-1")
    found = [(where, secret[:2]) for where, text in texts.items() for secret in secrets if secret in text]
    assert found == []
