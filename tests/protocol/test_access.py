"""Ways into real desktops and a real TURN server, and what each refusal says: one line with cause and remedy."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest
from certificates import self_signed
from standin import StandIn
from watching import Samples, until

from vdibench.client import DesktopSession, SessionOptions, open_http
from vdibench.errors import (
    AuthenticationError,
    NotADesktop,
    StreamLost,
    TargetUnavailable,
    VdibenchError,
)
from vdibench.lab import Access, DesktopSpec, Lab, LabSpec
from vdibench.lab.turn import mint
from vdibench.records import Credentials, Desktop, Display, Endpoint, Workload
from vdibench.selkies import Dialect, Role

OPTIONS = SessionOptions(connect_timeout_seconds=10.0)
SMALL = DesktopSpec(display=Display(640, 360, 30), workload=Workload.TEXT, audible=False)
SPECS = {
    "TLS, sub-folder and password": replace(SMALL, access=Access(tls=True, subfolder="/desk")),
    "token": replace(SMALL, basic_auth=False, access=Access(secure=True)),
    "TLS, sub-folder, password and token": replace(
        SMALL, access=Access(tls=True, subfolder="/a/desk-2", secure=True), dialect=Dialect.SELKIES_2_WEBSOCKET
    ),
}
TLS, TOKEN, WEBSOCKET = range(3)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.up(LabSpec(tuple(SPECS.values())), owned=True) as lab:
        yield lab


class ToThisHost:
    """A route that finds every name here, as a hosts file would."""

    hides_client = False

    async def tcp(self, _: str, port: int) -> tuple[str, int]:
        return "127.0.0.1", port

    async def udp(self, host: str, port: int) -> tuple[str, int]:
        return host, port

    def addresses(self) -> list[str] | None:
        return None

    def socket(self, family: int, kind: int) -> socket.socket:
        made = socket.socket(family, kind)
        made.setblocking(False)
        return made


def changed(desktop: Desktop, **changes: Any) -> Desktop:
    return replace(desktop, endpoint=replace(desktop.endpoint, **changes))


async def refusal(desktop: Desktop, options: SessionOptions = OPTIONS) -> VdibenchError:
    with pytest.raises(VdibenchError) as caught:
        async with DesktopSession(desktop, Samples(), options) as session:
            await session.first_frame()
    error = caught.value
    assert error.cause
    assert error.remedy
    assert "\n" not in str(error)
    for secret in (desktop.endpoint.token, desktop.endpoint.credentials and desktop.endpoint.credentials.password):
        assert not secret or secret not in str(error)
    return error


@pytest.mark.parametrize("place", range(len(SPECS)), ids=list(SPECS))
async def test_every_way_in(place: int, lab: Lab, samples: Samples) -> None:
    desktop = lab.desktops[place]
    options = replace(OPTIONS, role=Role.CONTROLLER)
    async with DesktopSession(desktop, samples, options) as session:
        await session.first_frame()
    assert ("dialect", desktop.dialect) in samples.facts
    said = dict(samples.facts)["dialect.statement"]
    assert ("secured by session tokens" in said) == bool(desktop.endpoint.token)


@pytest.mark.parametrize(("place", "source"), [(TOKEN, "data channel"), (WEBSOCKET, "web server")])
async def test_clocks_of_one_host_agree(place: int, source: str, lab: Lab, samples: Samples) -> None:
    options = replace(OPTIONS, role=Role.CONTROLLER, compare_clocks=True)
    found: list[dict[str, Any]] = []
    async with DesktopSession(lab.desktops[place], samples, options):
        await until(lambda: any(values["bound_seconds"] < 0.2 for table, values in samples.rows if table == "clock"))
        found = [values for table, values in samples.rows if table == "clock"]
    for values in found:
        assert values["source"] == source
        assert abs(values["offset_seconds"]) <= values["bound_seconds"]


@pytest.mark.parametrize("place", [TLS, WEBSOCKET])
async def test_an_authority_that_nobody_knows(place: int, lab: Lab, tmp_path: Path, samples: Samples) -> None:
    desktop = lab.desktops[place]
    other, _ = self_signed(tmp_path)
    for file in ("", str(other)):
        error = await refusal(changed(desktop, ca_file=file))
        assert type(error) is TargetUnavailable
        assert "no trusted TLS connection" in error.cause
        assert "issuer certificate" in error.cause
        assert "--ca-file" in error.remedy
    async with DesktopSession(changed(desktop, ca_file="", insecure=True), samples, OPTIONS):
        pass


async def test_a_certificate_for_another_name(lab: Lab) -> None:
    """The authority is known, and the certificate is somebody else's."""
    desktop = lab.desktops[TLS]
    elsewhere = changed(desktop, url=desktop.endpoint.url.replace("127.0.0.1", "desktop.example.com"))
    error = await refusal(elsewhere, replace(OPTIONS, route=ToThisHost()))
    assert type(error) is TargetUnavailable
    assert "not valid for 'desktop.example.com'" in error.cause


async def test_https_and_http_taken_for_each_other(lab: Lab) -> None:
    encrypted, plain = lab.desktops[TLS], lab.desktops[TOKEN]
    error = await refusal(changed(encrypted, url=encrypted.endpoint.url.replace("https:", "http:")))
    assert type(error) is NotADesktop
    assert "https://" in error.remedy
    error = await refusal(changed(plain, url=plain.endpoint.url.replace("http:", "https:")))
    assert type(error) is TargetUnavailable
    assert "does not speak TLS" in error.cause


async def test_a_password_that_is_wrong_or_missing(lab: Lab) -> None:
    desktop = lab.desktops[TLS]
    error = await refusal(changed(desktop, credentials=None))
    assert type(error) is AuthenticationError
    assert "wants a user and a password" in error.cause
    error = await refusal(changed(desktop, credentials=Credentials("lab", "guessed")))
    assert type(error) is AuthenticationError
    assert "refused user 'lab'" in error.cause
    assert "guessed" not in str(error)


@pytest.mark.parametrize("place", [TOKEN, WEBSOCKET])
async def test_a_token_that_is_wrong_or_missing(place: int, lab: Lab) -> None:
    desktop = lab.desktops[place]
    error = await refusal(changed(desktop, token=""))
    assert type(error) is AuthenticationError
    assert "is in secure mode and wants a session token" in error.cause
    assert "VDIBENCH_TOKEN" in error.remedy
    error = await refusal(changed(desktop, token="guessed"))
    assert type(error) is AuthenticationError
    assert "refused" in error.cause
    assert "token" in error.cause
    assert error.exit_code == 2


@pytest.mark.parametrize("place", [TOKEN, WEBSOCKET])
async def test_a_token_that_is_revoked_while_watched(place: int, lab: Lab, samples: Samples) -> None:
    desktop = lab.desktops[place]
    kept = {desktop.endpoint.token: {"role": "controller", "slot": None, "mk_control": True}}
    try:
        async with DesktopSession(desktop, samples, replace(OPTIONS, role=Role.CONTROLLER)) as session:
            await session.first_frame()
            await provision(lab, desktop, {"another": {"role": "viewer"}})
            with pytest.raises(AuthenticationError, match=r"revoked our .*token"):
                await session.watch(10)
    finally:
        await provision(lab, desktop, kept)


async def provision(lab: Lab, desktop: Desktop, table: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {lab.master_token(desktop.id)}"}
    async with (
        aiohttp.ClientSession(headers=headers) as client,
        client.post(f"{desktop.endpoint.url}/api/tokens", json=table, ssl=False) as reply,
    ):
        assert reply.status == 200


async def test_a_viewers_token_makes_no_controller(lab: Lab, samples: Samples) -> None:
    """The token's role wins over what a client says of itself."""
    desktop = lab.desktops[TOKEN]
    kept = {desktop.endpoint.token: {"role": "controller", "slot": None, "mk_control": True}}
    await provision(lab, desktop, {**kept, "looker": {"role": "viewer"}})
    looker, options = changed(desktop, token="looker"), replace(OPTIONS, role=Role.CONTROLLER)
    async with DesktopSession(looker, samples, options) as session:
        await session.first_frame()
        await until(lambda: "system:auth_success" in session.messages)
    assert json.loads(session.messages["system:auth_success"].argument)["role"] == "viewer"


async def test_a_subfolder_that_is_not_there(lab: Lab) -> None:
    below, root = lab.desktops[TLS], lab.desktops[TOKEN]
    error = await refusal(changed(below, url=below.endpoint.url.removesuffix("/desk")))
    assert type(error) is NotADesktop
    assert "its sub-folder included" in error.remedy
    error = await refusal(changed(root, url=root.endpoint.url + "/desk"))
    assert type(error) is NotADesktop
    assert error.remedy == f"a desktop answers at {root.endpoint.url}: give that address"


async def test_a_page_that_moved_into_a_subfolder() -> None:
    async def move(request: aiohttp.web.BaseRequest) -> aiohttp.web.Response:
        if request.path == "/":
            return aiohttp.web.Response(status=302, headers={"Location": "/desk/"})
        return aiohttp.web.Response(status=404)

    server = aiohttp.web.ServerRunner(aiohttp.web.Server(move))
    await server.setup()
    site = aiohttp.web.TCPSite(server, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{server.addresses[0][1]}"
    try:
        error = await refusal(Desktop("desktop-0", Endpoint(url)))
    finally:
        await server.cleanup()
    assert error.cause == f"{url} is a redirect to /desk/"
    assert error.remedy == f"give the address that it redirects to, {url}/desk/"


async def test_a_door_that_is_shut() -> None:
    async def shut(_: aiohttp.web.BaseRequest) -> aiohttp.web.Response:
        return aiohttp.web.Response(status=403)

    server = aiohttp.web.ServerRunner(aiohttp.web.Server(shut))
    await server.setup()
    site = aiohttp.web.TCPSite(server, "127.0.0.1", 0)
    await site.start()
    try:
        error = await refusal(Desktop("desktop-0", Endpoint(f"http://127.0.0.1:{server.addresses[0][1]}")))
    finally:
        await server.cleanup()
    assert type(error) is AuthenticationError
    assert "does not let us in (HTTP 403)" in error.cause


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_through_the_relay_only(transport: str, lab: Lab, samples: Samples) -> None:
    options = replace(OPTIONS, relay_only=True, relay_transport=transport)
    async with DesktopSession(lab.desktops[TLS], samples, options) as session:
        await session.first_frame()
        assert session.pair is not None
        assert session.pair.local_type == "relay"
        assert {server.transport for server in session.connection.ice_servers if server.is_turn} == {transport}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_credentials_of_the_relay_that_have_expired(
    transport: str, lab: Lab, stand_in: Callable[..., StandIn]
) -> None:
    assert lab.turn is not None
    host, port = lab.turn
    user, password = mint(lab.secrets[0], "somebody", int(time.time()) - 60)
    entry = {"urls": f"turn:{host}:{port}?transport={transport}", "username": user, "credential": password}
    server = stand_in(ice_servers=[entry])
    began = asyncio.get_running_loop().time()
    error = await refusal(Desktop("desktop-0", Endpoint(server.url)), replace(OPTIONS, relay_only=True))
    assert asyncio.get_running_loop().time() - began < 6
    assert type(error) is TargetUnavailable
    assert not isinstance(error, StreamLost)
    assert "through the TURN relay" in error.cause
    assert "credentials' expiry" in error.remedy


async def test_no_connection_outlives_its_session(lab: Lab) -> None:
    """A WebSocket over TLS waits for the server's goodbye after it was closed."""
    endpoint = lab.desktops[TLS].endpoint
    port = urlsplit(endpoint.url).port
    for _ in range(5):
        async with open_http(endpoint) as http:
            await (await http.signalling()).close()
        assert [
            each for each in psutil.Process().net_connections("tcp") if each.raddr and each.raddr.port == port
        ] == []


async def test_what_the_desktop_hands_out_is_not_for_strangers(lab: Lab) -> None:
    """The relay's credentials are behind the same door as the picture."""
    for place, changes in ((TLS, {"credentials": None}), (TOKEN, {"token": ""})):
        async with open_http(changed(lab.desktops[place], **changes).endpoint) as http:
            with pytest.raises(AuthenticationError):
                await http.ice_servers()


def test_the_command_takes_token_and_authority_outside_its_arguments(lab: Lab, tmp_path: Path) -> None:
    endpoint = lab.desktops[WEBSOCKET].endpoint
    file = tmp_path / "token"
    file.write_text(endpoint.token + "\n")
    ours = {"VDIBENCH_USER", "VDIBENCH_PASSWORD", "VDIBENCH_TOKEN"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment |= {"VDIBENCH_CA_FILE": endpoint.ca_file}
    program = [str(Path(sys.executable).with_name("vdibench")), "watch", endpoint.url]
    for more, named in (["--token-file", str(file)], {}), ([], {"VDIBENCH_TOKEN": endpoint.token}):
        done = run([*program, "--count", "1", "--json", *more], environment | named)
        assert done.returncode == 0, done.stderr
        assert '"dialect": "selkies-2-websocket"' in done.stdout.replace('":"', '": "')
        assert endpoint.token not in done.stdout + done.stderr
    done = run([*program, "--insecure"], environment)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "vdibench: warning: certificates are not checked (--insecure)"
    assert "wants a session token: set VDIBENCH_TOKEN or give --token-file" in done.stderr.splitlines()[-1]


def run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
