"""``vdi-operator open`` as a process: with only a kubeconfig, over TLS by the session's own name, until its end."""

from __future__ import annotations

import asyncio
import base64
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from vdi_operator.commands.connection import CommandFailed
from vdi_operator.commands.open import over, upstream

from ..cluster.api_server import Fault, session
from .conftest import PASSWORD, condition, with_status
from .upstream import USER, Desktop

# The certificates of the protocol tests.
sys.path.insert(0, str(Path(__file__).parents[2] / "protocol"))

from certificates import self_signed

URL = "https://cad-7.vdi.test/"
SECRET = "vdi-session-auth-cad-7"


def ready_session(**spec: Any) -> dict[str, Any]:
    ready = condition("Ready", "True", "Published", URL)
    return with_status(session("cad-7", **spec), ready, url=URL, credentialsSecretRef={"name": SECRET})


def secret(**texts: str) -> dict[str, Any]:
    return {
        "metadata": {"name": SECRET},
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()},
    }


@pytest.fixture
def opened(cluster, environment, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command for a session that is ready, with its desktop behind TLS at another address."""
    certificate, key = self_signed(tmp_path, hosts=["cad-7.vdi.test"], addresses=[])
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    cluster.put("vdisessions", ready_session())
    cluster.put("secrets", secret(username=USER, password=PASSWORD))
    with ExitStack() as stack:
        desktop = stack.enter_context(Desktop(tls))

        def start(*words: str) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "vdi_operator.main", "open", "cad-7", "--no-browser", *words]
            command += ["--connect", f"127.0.0.1:{desktop.port}", "--authority", str(certificate)]
            process = stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
            )
            stack.callback(process.kill)
            return process

        yield start


def link_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    link = process.stdout.readline().strip()
    if not link:
        assert process.stderr is not None
        raise AssertionError(process.stderr.read())
    return link


async def page(link: str) -> tuple[int, str]:
    """Use the link, then ask for the page; what the page is."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        async with browser.get(link) as answer:
            if answer.status != 200:
                return answer.status, await answer.text()
        async with browser.get(link.partition("/vdi-open/")[0] + "/") as answer:
            return answer.status, await answer.text()


def test_a_session_is_opened_until_its_user_ends_it(opened) -> None:
    process = opened()
    link = link_of(process)
    assert asyncio.run(page(link)) == (200, "page /")
    again, said = asyncio.run(page(link))
    assert (again, "was used already" in said) == (410, True)
    arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes() + Path(f"/proc/{process.pid}/environ").read_bytes()
    process.send_signal(signal.SIGINT)
    rest, complaints = process.communicate(timeout=30)
    assert process.returncode == 0, complaints
    assert PASSWORD not in arguments.decode() + link + rest + complaints
    assert "within 60 s" in complaints


@pytest.mark.parametrize("change", ["suspended", "deleted"])
def test_it_ends_with_its_session(opened, cluster, change: str) -> None:
    process = opened()
    assert asyncio.run(page(link_of(process)))[0] == 200
    if change == "suspended":
        cluster.later(lambda: cluster.put("vdisessions", ready_session(operatingMode="Suspended")))
    else:
        cluster.later(lambda: cluster.remove("vdisessions", "cad-7"))
    _, complaints = process.communicate(timeout=30)
    assert process.returncode == 0
    assert f"the session was {change}" in complaints


def test_a_link_that_nobody_uses(opened) -> None:
    process = opened("--seconds", "1")
    _, complaints = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "the link was not used within 1 s" in complaints


def test_a_session_that_is_not_ready(cluster, invoke) -> None:
    cluster.put("vdisessions", with_status(session("cad-7"), condition("Ready", "False", "NoFreeSlice", "0/1 nodes")))
    done = invoke("open", "cad-7", "--no-browser")
    assert done.exit_code == 1
    assert "cad-7 is not ready (NoFreeSlice: 0/1 nodes): see vdi-operator explain cad-7" in done.output
    assert not cluster.asked("GET", "secrets")


def idle_session() -> dict[str, Any]:
    return with_status(session("cad-7"), condition("Ready", "False", "Idle", "nobody has been at it"))


def test_a_session_that_was_stopped_is_started_again(cluster, environment, tmp_path: Path) -> None:
    cluster.put("vdisessions", idle_session())
    cluster.put("secrets", secret(username=USER, password=PASSWORD))
    command = [sys.executable, "-m", "vdi_operator.main", "open", "cad-7", "--no-browser", "--seconds", "1"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            wanted = time.monotonic() + 60.0
            while not cluster.asked("PATCH", "vdisessions"):
                assert time.monotonic() < wanted, "nobody started it again"
                time.sleep(0.02)  # the server only keeps what it was asked
            (patch,) = cluster.asked("PATCH", "vdisessions")
            cluster.later(lambda: cluster.put("vdisessions", ready_session()))
            link = link_of(process)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert link.startswith("http://127.0.0.1:")
    assert "cad-7 was stopped because nobody was at it; it is started again" in said
    assert list(patch.body) == ["metadata"]
    assert list(patch.body["metadata"]["annotations"]) == ["vdibench.io/wake"], "its spec stays as it is"


def test_who_may_not_start_it_again_is_told_so(cluster, invoke) -> None:
    cluster.put("vdisessions", idle_session())
    cluster.faults.append(Fault("PATCH", "/vdisessions/", 403, "Forbidden", "vdisessions cad-7 is forbidden"))
    done = invoke("open", "cad-7", "--no-browser")
    assert done.exit_code == 1
    assert "you may not: vdisessions cad-7 is forbidden: ask an administrator" in done.output


def test_a_start_that_fails_again_is_told(cluster, invoke) -> None:
    one = with_status(session("cad-7"), condition("Ready", "False", "QuotaExceeded", "exceeded quota"))
    # As the operator finds it in the moment after it was woken.
    cluster.put("vdisessions", idle_session())
    answer, put = cluster._one, cluster.put

    def fails(request: Any, plural: str, name: str, below: str, body: Any) -> Any:
        if request.method == "PATCH":
            put("vdisessions", one)
        return answer(request, plural, name, below, body)

    cluster._one = fails
    done = invoke("open", "cad-7", "--no-browser")
    assert done.exit_code == 1
    assert "cad-7 is not ready (QuotaExceeded: exceeded quota)" in done.output


def test_who_may_not_read_the_secret_is_told_so(cluster, invoke) -> None:

    cluster.put("vdisessions", ready_session())
    cluster.faults.append(Fault("GET", "/secrets/", 403, "Forbidden", f'secrets "{SECRET}" is forbidden'))
    done = invoke("open", "cad-7", "--no-browser")
    assert done.exit_code == 1
    assert f'you may not: secrets "{SECRET}" is forbidden: ask an administrator' in done.output


def test_a_secret_that_opens_nothing() -> None:
    for broken in (
        secret(username=USER),
        secret(),
        {"metadata": {"name": SECRET}, "data": {"username": "%", "password": "%"}},
    ):
        with pytest.raises(CommandFailed, match=f"Secret {SECRET} has no username and password"):
            upstream(URL, broken)
    assert upstream(URL, secret(username=USER, password=PASSWORD)).url == "https://cad-7.vdi.test"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, ""),
        ({"metadata": {"uid": "another"}}, "deleted"),
        ({"metadata": {"uid": "u", "deletionTimestamp": "2026-11-29T12:00:00Z"}}, "deleted"),
        ({"spec": {"operatingMode": "Suspended"}}, "suspended"),
        ({"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "Expired"}]}}, "lifetime is over"),
        ({"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "Idle"}]}}, "nobody was at it"),
        ({"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "Restarting"}]}}, ""),
    ],
)
def test_when_a_session_is_over(changed: dict[str, Any], said: str) -> None:
    found = over({"metadata": {"uid": "u"}, "spec": {"operatingMode": "Running"}, **changed}, "u")
    assert (said in found) if said else (found == "")
    assert over(None, "u") == "the session was deleted"
