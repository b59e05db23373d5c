"""Programs that hand credentials out: real ones, that write down how they were called."""

from __future__ import annotations

import base64
import json
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from vdi_operator.children.kinds import KINDS
from vdi_operator.cluster.access import Access, from_kubeconfig
from vdi_operator.cluster.errors import Unauthorized
from vdi_operator.cluster.kube import Client
from vdi_operator.cluster.programs import NoCredential, Program
from vdi_operator.commands.connection import CommandFailed, connect

from ...protocol.certificates import self_signed
from .api_server import NAMESPACE, Fault, Server, pod
from .conftest import Paused

V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"
POD = KINDS["Pod"]
# Says what lies in ``answer`` beside it, and ends with its first argument.
TEXT = """#!{python}
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
called = {{"info": json.loads(os.environ["KUBERNETES_EXEC_INFO"]), "own": os.environ.get("OWN"), "words": sys.argv[1:]}}
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(called) + "\\n")
sys.stdout.write((here / "answer").read_text())
sys.stderr.write("a warning\\nlog in: the session is over\\n")
sys.exit(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
"""


@dataclass(frozen=True)
class Plugin:
    """A program beside a kubeconfig.

    :param folder: of both.
    """

    folder: Path

    def says(self, version: str = V1, **status: Any) -> None:
        document = {"apiVersion": version, "kind": "ExecCredential", "status": status}
        self.writes(json.dumps(document))

    def writes(self, text: str) -> None:
        (self.folder / "answer").write_text(text)

    def calls(self) -> list[dict[str, Any]]:
        path = self.folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def user(self, **changes: Any) -> dict[str, Any]:
        return {"exec": {"apiVersion": V1, "command": "./plugin", "interactiveMode": "Never", **changes}}

    def kubeconfig(self, user: dict[str, Any], **cluster: Any) -> Path:
        document = {
            "current-context": "lab",
            "contexts": [{"name": "lab", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:8001", **cluster}}],
            "users": [{"name": "u", "user": user}],
        }
        path = self.folder / "kubeconfig"
        path.write_text(yaml.safe_dump(document))
        return path

    def access(self, server: str = "http://127.0.0.1:8001", **changes: Any) -> Access:
        return from_kubeconfig(self.kubeconfig(self.user(**changes), server=server))


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    path = tmp_path / "plugin"
    path.write_text(TEXT.format(python=sys.executable))
    path.chmod(0o755)
    return Plugin(tmp_path)


@pytest.mark.parametrize("version", [V1, V1BETA1])
async def test_its_token_goes_with_each_request(version: str, plugin: Plugin, api: Server) -> None:
    plugin.says(version, token="handed-out")
    api.put("pods", pod("p", "cad-7"))
    access = plugin.access(api.url, apiVersion=version, args=["0", "--for", "us"], env=[{"name": "OWN", "value": "x"}])
    async with Client(access, NAMESPACE) as client:
        await client.get(POD, "p")
        await client.get(POD, "p")
    assert [one.authorization for one in api.seen] == ["Bearer handed-out"] * 2
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    assert plugin.calls() == [{"info": info, "own": "x", "words": ["0", "--for", "us"]}]
    assert "handed-out" not in repr(access)


def test_it_is_told_of_the_cluster_where_it_wants_to_know(plugin: Plugin) -> None:
    plugin.says(token="t")
    (plugin.folder / "ca.pem").write_text("authority")
    extensions = [
        {"name": "another", "extension": {"audience": "nobody"}},
        {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "desks"}},
    ]
    path = plugin.kubeconfig(
        plugin.user(provideClusterInfo=True), extensions=extensions, **{"certificate-authority": "ca.pem"}
    )
    from_kubeconfig(path)
    assert plugin.calls()[0]["info"]["spec"]["cluster"] == {
        "server": "http://127.0.0.1:8001",
        "certificate-authority-data": base64.b64encode(b"authority").decode(),
        "config": {"audience": "desks"},
    }


def test_it_is_found_in_the_path(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin.says(token="t")
    monkeypatch.setenv("PATH", str(plugin.folder))
    assert isinstance(plugin.access(command="plugin").token, Program)
    assert len(plugin.calls()) == 1


@pytest.mark.parametrize("own", [{"token": "own"}, {"tokenFile": "answer"}])
def test_a_token_besides_counts(own: dict[str, str], plugin: Plugin) -> None:
    plugin.writes("own\n")
    access = from_kubeconfig(plugin.kubeconfig(plugin.user() | own))
    assert not isinstance(access.token, Program)
    assert access.token.read() == "own"
    assert plugin.calls() == []


def test_what_has_an_end_is_fetched_anew_before_it(plugin: Plugin) -> None:
    now = 1_800_000_000.0  # 2027-01-15T08:00:00Z
    plugin.says(token="first", expirationTimestamp="2027-01-15T09:00:00Z")
    program = Program.of(plugin.user()["exec"], {}, plugin.folder)
    program.clock = lambda: now
    assert program.read() == "first"
    plugin.says(token="second", expirationTimestamp="2027-01-15T12:30:00.5+01:00")
    now += 3590
    assert program.read() == "first"
    now += 8
    assert program.read() == "second"
    plugin.says(token="third")
    now += 3600 * 2.5
    assert [program.read(), program.read()] == ["third", "third"]
    assert len(plugin.calls()) == 3


async def test_what_the_api_server_refuses_is_fetched_anew(plugin: Plugin, api: Server, paused: Paused) -> None:
    plugin.says(token="revoked")
    api.put("pods", pod("p", "cad-7"))
    api.faults.append(Fault("GET", "/pods/p", 401))
    access = plugin.access(api.url)
    plugin.says(token="good")
    async with Client(access, NAMESPACE, sleep=paused) as client:
        await client.get(POD, "p")
        await client.get(POD, "p")
    assert [one.authorization for one in api.seen] == ["Bearer revoked", "Bearer good", "Bearer good"]
    assert len(plugin.calls()) == 2


async def test_one_that_fails_later_is_told_as_unauthorized(plugin: Plugin, api: Server, paused: Paused) -> None:
    plugin.says(token="revoked")
    api.faults.append(Fault("GET", "/pods/p", 401))
    access = plugin.access(api.url)
    plugin.writes("login page")
    async with Client(access, NAMESPACE, sleep=paused) as client:
        with pytest.raises(Unauthorized, match="gave no credential: its answer is no JSON"):
            await client.get(POD, "p")


ANSWERS = {
    "no JSON": ("<html>", "is no JSON"),
    "another kind": ('{"kind": "Token"}', "is no ExecCredential"),
    "a list": ("[]", "is no ExecCredential"),
    "another version": (
        f'{{"kind": "ExecCredential", "apiVersion": "{V1BETA1}", "status": {{"token": "secret-word"}}}}',
        f"is of '{V1BETA1}', the kubeconfig asks for {V1}",
    ),
    "no status": (f'{{"kind": "ExecCredential", "apiVersion": "{V1}"}}', "has no status"),
}


@pytest.mark.parametrize(("text", "says"), ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_that_is_none(text: str, says: str, plugin: Plugin) -> None:
    plugin.writes(text)
    with pytest.raises(NoCredential) as caught:
        plugin.access()
    assert says in str(caught.value)
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({}, "neither token nor certificate"),
        ({"token": 7}, "neither token nor certificate"),
        ({"token": "t", "clientCertificateData": "c"}, "a certificate without a key"),
        ({"token": "secret-word", "expirationTimestamp": "tomorrow"}, "no instant of RFC 3339"),
    ],
)
def test_a_status_that_is_none(status: dict[str, Any], says: str, plugin: Plugin) -> None:
    plugin.says(**status)
    with pytest.raises(NoCredential) as caught:
        plugin.access()
    assert says in str(caught.value)
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"command": "absent-program"}, "absent-program, which gives the credentials, is not here: install it"),
        ({"command": "absent-program", "installHint": "see\nthe wiki"}, "is not here: see the wiki"),
        ({"command": "./answer"}, "answer, which gives the credentials, is not here"),
        ({"args": ["3"]}, "ended with 3: log in: the session is over"),
        ({"interactiveMode": "Always"}, "at a terminal only"),
    ],
)
def test_one_that_gives_nothing(
    changes: dict[str, Any], says: str, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin.says(token="t")
    monkeypatch.setattr("sys.stdin", None)
    path = plugin.kubeconfig(plugin.user(**changes))
    with pytest.raises(CommandFailed) as caught:
        connect(path, "")
    assert says in caught.value.message
    assert caught.value.message.startswith(str(path))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"command": ""}, "exec.command is missing"),
        ({"apiVersion": "client.authentication.k8s.io/v1alpha1"}, r"v1alpha1', known are .*v1 and .*v1beta1"),
        ({"interactiveMode": "Perhaps"}, "'Perhaps', known are Never"),
    ],
)
def test_a_kubeconfig_that_is_wrong(changes: dict[str, Any], says: str, plugin: Plugin) -> None:
    with pytest.raises(ValueError, match=f"kubeconfig: the user of 'lab': .*{says}"):
        plugin.access(**changes)


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, tuple[Path, Path]]:
    found = {}
    for name in ("server", "first", "second"):
        (tmp_path / name).mkdir()
        found[name] = self_signed(tmp_path / name, subject=name)
    return found


async def test_its_certificate_is_shown_and_renewed(plugin: Plugin, certificates: dict[str, tuple[Path, Path]]) -> None:
    shown = []

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        shown.append(request.transport.get_extra_info("ssl_object").getpeercert(True))
        return web.json_response({"metadata": {"name": "p"}})

    def hands_out(name: str, **more: str) -> None:
        certificate, key = certificates[name]
        plugin.says(clientCertificateData=certificate.read_text(), clientKeyData=key.read_text(), **more)

    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificates["server"])
    tls.verify_mode = ssl.CERT_REQUIRED
    for name in ("first", "second"):
        tls.load_verify_locations(certificates[name][0])
    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        server = f"https://127.0.0.1:{runner.addresses[0][1]}"
        hands_out("first", expirationTimestamp="2027-01-15T09:00:00Z")
        authority = {"certificate-authority": str(certificates["server"][0])}
        access = from_kubeconfig(plugin.kubeconfig(plugin.user(), server=server, **authority))
        assert isinstance(access.token, Program)
        access.token.clock = lambda: 1_800_000_000.0
        async with Client(access, NAMESPACE) as client:
            await client.get(POD, "p")
            hands_out("second")
            access.token.clock = lambda: 1_800_003_600.0
            await client.get(POD, "p")
    finally:
        await runner.cleanup()
    assert shown == [ssl.PEM_cert_to_DER_cert(certificates[name][0].read_text()) for name in ("first", "second")]


def test_a_certificate_with_another_ones_key(plugin: Plugin, certificates: dict[str, tuple[Path, Path]]) -> None:
    certificate, key = certificates["first"][0], certificates["second"][1]
    plugin.says(clientCertificateData=certificate.read_text(), clientKeyData=key.read_text())
    with pytest.raises(NoCredential, match="are no pair"):
        plugin.access("https://127.0.0.1:9")
