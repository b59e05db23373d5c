"""What a lab's desktops are: as asked, apart from each other, and closed to everybody else."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import stat
import struct
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import aioice.turn
import psutil
import pytest

import vdibench.desk
from vdibench.errors import LabError
from vdibench.lab import Lab, LabSpec
from vdibench.lab.traces import marked_processes, read_mark
from vdibench.records import Desktop

from .footprints import SMALL


def get(desktop: Desktop, path: str, password: str | None = None) -> tuple[int, str]:
    assert desktop.endpoint.credentials is not None
    request = urllib.request.Request(desktop.endpoint.url + path)
    if password is not None:
        token = base64.b64encode(f"{desktop.endpoint.credentials.user}:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def password_of(desktop: Desktop) -> str:
    assert desktop.endpoint.credentials is not None
    return desktop.endpoint.credentials.password


def cookie_of(lab: Lab, desktop: Desktop) -> bytes:
    return (lab.directory / desktop.id / "xauthority").read_bytes()[-16:]


def x_setup(screen: str, cookie: bytes) -> tuple[bool, bytes]:
    """Open an X display: whether it lets us in, and its answer."""
    kind = b"MIT-MAGIC-COOKIE-1" if cookie else b""
    request = struct.pack("<BxHHHH2x", ord("l"), 11, 0, len(kind), len(cookie))
    request += kind + bytes(-len(kind) % 4) + cookie
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(f"/tmp/.X11-unix/X{screen.removeprefix(':')}")
        connection.sendall(request)
        answer = connection.recv(8, socket.MSG_WAITALL)
        rest = struct.unpack_from("<H", answer, 6)[0] * 4
        return answer[0] == 1, connection.recv(rest, socket.MSG_WAITALL)


def screen_size(setup: bytes) -> tuple[int, int]:
    """Pixels of the first screen in an X server's answer (its part after the first 8 bytes)."""
    vendor, formats = struct.unpack_from("<H", setup, 16)[0], setup[21]
    first = 32 + vendor + (-vendor % 4) + 8 * formats
    width, height = struct.unpack_from("<HH", setup, first + 20)
    return width, height


def test_records_say_what_was_asked(lab: Lab) -> None:
    assert [desktop.id for desktop in lab.desktops] == ["desktop-0", "desktop-1"]
    for desktop in lab.desktops:
        assert desktop.owned
        assert desktop.display == SMALL.display
        assert desktop.workload == SMALL.workload
        assert desktop.encoder == "h264enc"
        assert desktop.marker_id is not None
        assert 0 < desktop.marker_id < 0x10000
        assert {psutil.Process(pid).name() for pid in desktop.pids} >= {"Xvfb", "pulseaudio", "selkies"}
        assert len(desktop.pids) == 4
    first, second = lab.desktops
    assert first.marker_id != second.marker_id
    assert password_of(first) != password_of(second)
    assert not set(first.pids) & set(second.pids)


def test_status(lab: Lab) -> None:
    status = lab.status()
    assert (status.state, status.owned, status.failure) == ("running", True, "")
    assert status in Lab.all()
    for desktop, record in zip(status.desktops, lab.desktops, strict=True):
        assert desktop.state == "running"
        assert desktop.url == record.endpoint.url
        assert desktop.pids == record.pids
        assert {part.state for part in desktop.parts} == {"running"}
    assert json.dumps(status.to_json())
    assert password_of(lab.desktops[0]) not in json.dumps(status.to_json())


def test_find_gives_the_same_lab(lab: Lab) -> None:
    found = Lab.find("shared")
    assert found.desktops == lab.desktops
    assert found.turn == lab.turn


def test_find_what_is_not_there() -> None:
    with pytest.raises(LabError, match="no lab named 'nowhere': bring it up with 'vdibench lab up --name nowhere'"):
        Lab.find("nowhere")


def test_name_taken(lab: Lab) -> None:
    with pytest.raises(LabError, match=r"'shared' is already up: .*lab down --name shared' or choose another --name"):
        Lab.up(LabSpec((SMALL,)), name="shared", owned=True)
    assert lab.status().state == "running"


def test_both_answer_and_want_their_own_password(lab: Lab) -> None:
    first, second = lab.desktops
    for desktop in lab.desktops:
        assert get(desktop, "/api/health") == (200, "OK")
        assert get(desktop, "/api/webrtc/signaling", password_of(desktop))[0] == 204
        assert get(desktop, "/api/webrtc/signaling", "wrong")[0] == 401
        assert get(desktop, "/api/webrtc/signaling")[0] == 401
    assert get(first, "/api/webrtc/signaling", password_of(second))[0] == 401


def test_nothing_listens_beyond_loopback(lab: Lab) -> None:
    addresses = {
        (connection.laddr.ip, connection.laddr.port)
        for pid in marked_processes(read_mark(lab.directory))
        for connection in psutil.Process(pid).net_connections("inet")
    }
    assert {ip for ip, _ in addresses} == {"127.0.0.1"}
    assert lab.turn is not None
    ports = {desktop.endpoint.url.rpartition(":")[2] for desktop in lab.desktops} | {str(lab.turn[1])}
    assert len(ports) == 3
    assert ports <= {str(port) for _, port in addresses}


def test_each_display_lets_only_its_own_cookie_in(lab: Lab) -> None:
    first, second = lab.desktops
    screens = [desktop.screen for desktop in lab.status().desktops]
    assert len(set(screens)) == 2
    for screen, own, other in ((screens[0], first, second), (screens[1], second, first)):
        allowed, setup = x_setup(screen, cookie_of(lab, own))
        assert allowed
        assert own.display is not None
        assert screen_size(setup) == (own.display.width, own.display.height)
        assert not x_setup(screen, cookie_of(lab, other))[0]
        assert not x_setup(screen, b"")[0]


async def test_turn_is_ours_alone_and_works(lab: Lab) -> None:
    assert lab.turn is not None
    host, port = lab.turn
    users = set()
    for desktop in lab.desktops:
        status, body = get(desktop, "/api/turn", password_of(desktop))
        assert status == 200
        stun, turn = json.loads(body)["iceServers"]
        assert stun["urls"] == [f"stun:{host}:{port}"]
        assert turn["urls"] == [f"turn:{host}:{port}?transport={kind}" for kind in ("udp", "tcp")]
        users.add(turn["username"])
        transport, _ = await aioice.turn.create_turn_endpoint(
            asyncio.DatagramProtocol,
            server_addr=(host, port),
            username=turn["username"],
            password=turn["credential"],
        )
        relayed = transport.get_extra_info("sockname")
        assert relayed[0] == host
        assert 17000 <= relayed[1] < 30000
        transport.close()
    assert len(users) == 2
    assert get(lab.desktops[0], "/api/turn")[0] == 401


def test_secrets_stay_in_private_files(lab: Lab) -> None:
    document = json.loads((lab.directory / "state.json").read_text())
    secrets = [*document["secrets"], *(password_of(desktop) for desktop in lab.desktops)]
    for desktop in lab.desktops:
        rtc = json.loads((lab.directory / desktop.id / "rtc" / "rtc.json").read_text())
        secrets.append(rtc["iceServers"][1]["credential"])
    assert all(len(secret) >= 16 for secret in secrets)
    assert stat.S_IMODE(lab.directory.stat().st_mode) == 0o700
    for process in psutil.process_iter():
        try:
            line = "\0".join(process.cmdline())
        except psutil.Error:
            continue
        assert not [secret for secret in secrets if secret in line]
    holders = set()
    for path in lab.directory.rglob("*"):
        if path.is_file() and any(secret.encode() in path.read_bytes() for secret in secrets):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
            holders.add(path.name)
    assert holders == {"state.json", "rtc.json", "turnserver.conf"}


def test_log_tail(lab: Lab) -> None:
    assert "Selkies server running" in "\n".join(lab.log_tail("desktop-1", "selkies"))
    assert len(lab.log_tail("turn", "coturn", lines=3)) == 3
    assert lab.log_tail("desktop-9", "selkies") == ()


def test_home_of_the_user_is_not_touched(lab: Lab) -> None:
    for desktop in lab.desktops:
        for pid in desktop.pids:
            environment = psutil.Process(pid).environ()
            for name in ("HOME", "TMPDIR", "XDG_RUNTIME_DIR"):
                assert Path(environment[name]).is_relative_to(lab.directory)


def test_a_guest_runs_on_the_desktop(lab: Lab) -> None:
    environment = lab.environment("desktop-1")
    desk = Path(vdibench.desk.__file__).with_name("desk.py")
    command = [sys.executable, str(desk), "--duration", "0.1"]
    subprocess.run(command, env=environment, check=True, timeout=30)
    assert environment["DISPLAY"] == lab.status().desktops[1].screen
    with pytest.raises(LabError, match="has no 'desktop-7': choose from desktop-0, desktop-1"):
        lab.environment("desktop-7")
