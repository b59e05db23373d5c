"""The entrypoint of the desktop's image, without a container: real X server, sound server, desk and Selkies."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import psutil
import pytest

import vdibench

from .waiting import PATIENCE, until

ROOT = Path(vdibench.__file__).parents[1]
ENTRYPOINT = ROOT / "manifests" / "session" / "image" / "entrypoint.py"


class Container:
    """One run of the entrypoint in folders and on a display of its own."""

    def __init__(self, place: Path, **variables: str) -> None:
        self.place = place
        self.environment = {
            **os.environ,
            "HOME": str(place / "home"),
            "XDG_RUNTIME_DIR": str(place / "run"),
            "DISPLAY": f":{_free_display()}",
            "SCREEN": "640x480",
            "SELKIES_ADDR": "127.0.0.1",
            "SELKIES_PORT": str(_free_port()),
            "SELKIES_ENABLE_BASIC_AUTH": "false",
            "VDIBENCH_DESK": "1",
            "VDIBENCH_DESK_PROGRAM": str(ROOT / "vdibench" / "desk" / "desk.py"),
            "VDIBENCH_DESK_OPTIONS": "--session-id 3",
            "VDIBENCH_RTC_FILE": str(place / "secret" / "rtc.json"),
            **variables,
        }
        self.port = int(self.environment["SELKIES_PORT"])
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        with (self.place / "log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ENTRYPOINT)], env=self.environment, stderr=log, stdout=log, text=True
            )

    @property
    def log(self) -> str:
        return (self.place / "log").read_text()

    def ready(self) -> None:
        def healthy() -> bool:
            assert self.process.poll() is None, self.log
            return self.get("/api/health")[0] == 200

        until(healthy, "an answer to /api/health")

    def get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 0, b""
        finally:
            connection.close()

    def part(self, word: str) -> psutil.Process:
        """The direct child whose command line has this word."""
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if any(word in Path(item).name for item in child.cmdline()))

    def ends(self) -> int:
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """All at once, as when a container is killed."""
        if self.process is None or self.process.poll() is not None:
            return
        entrypoint = psutil.Process(self.process.pid)
        entrypoint.suspend()  # so that it does not tidy up after the first
        for process in [*entrypoint.children(recursive=True), entrypoint]:
            process.kill()
        self.process.wait()


def _free_display() -> int:
    numbers = random.sample(range(200, 900), 50)
    return next(
        number
        for number in numbers
        if not Path(f"/tmp/.X{number}-lock").exists() and not Path(f"/tmp/.X11-unix/X{number}").exists()
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def place() -> Iterator[Path]:
    # Sockets go below it, and their paths must stay short.
    folder = Path(tempfile.mkdtemp(prefix="vdi-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def container(place: Path) -> Iterator[Callable[..., Container]]:
    made: list[Container] = []

    def make(**variables: str) -> Container:
        made.append(Container(place, **variables))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.kill()
        Path(f"/tmp/.X11-unix/X{one.environment['DISPLAY'][1:]}").unlink(missing_ok=True)


async def _stream(client: aiohttp.ClientWebSocketResponse) -> None:
    """Ask for video until some comes: from then on Selkies uses the X server."""
    settings = {"displayId": "primary", "initialClientWidth": 640, "initialClientHeight": 480, "tabId": "one"}
    async for message in client:
        if message.type is aiohttp.WSMsgType.TEXT and '"server_settings"' in message.data:
            encoding = {"encoder": "h264enc", "framerate": 30, "video_bitrate": 2000}
            await client.send_str("SETTINGS," + json.dumps(settings | encoding))
        if message.type is aiohttp.WSMsgType.BINARY:
            return


async def test_asked_to_end_it_says_goodbye_first(container: Callable[..., Container]) -> None:
    desktop = container()
    await asyncio.to_thread(desktop.ready)
    assert desktop.part("Xvfb").cmdline()[1] == desktop.environment["DISPLAY"]
    assert "640x480x24" in desktop.part("Xvfb").cmdline()
    assert "--session-id" in desktop.part("desk.py").cmdline()
    url = f"http://127.0.0.1:{desktop.port}/api/websockets"
    async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=1 << 26) as client:
        async with asyncio.timeout(PATIENCE):
            await _stream(client)
            desktop.process.send_signal(signal.SIGTERM)
            async for _ in client:
                pass
        assert client.close_code == 4000
    assert await asyncio.to_thread(desktop.ends) == 0, desktop.log
    assert "asked to end by SIGTERM" in desktop.log


@pytest.mark.parametrize(("word", "name"), [("selkies", "selkies"), ("Xvfb", "xvfb"), ("desk.py", "desk")])
def test_a_part_that_ends_by_itself_fails_the_session(
    container: Callable[..., Container], word: str, name: str
) -> None:
    desktop = container()
    desktop.ready()
    desktop.part(word).kill()
    assert desktop.ends() == 1
    assert f"session: {name} ended with status -9" in desktop.log


def test_what_a_killed_container_left_is_no_obstacle(container: Callable[..., Container], place: Path) -> None:
    first = container()
    first.ready()
    number = first.environment["DISPLAY"][1:]
    first.kill()
    left = [Path(f"/tmp/.X11-unix/X{number}"), place / "run" / "pulse" / "native", place / "run" / "rtc.json"]
    assert all(path.exists() for path in left)
    # In a new container the process numbers start again, so a lock may name one that lives.
    lock = Path(f"/tmp/.X{number}-lock")
    lock.write_text(f"{os.getpid():10d}\n")
    second = container(DISPLAY=f":{number}")
    second.ready()
    second.process.terminate()
    assert second.ends() == 0
    assert not lock.exists()
    assert not left[0].exists()


def test_a_display_in_use_is_left_alone(container: Callable[..., Container], tmp_path: Path) -> None:
    desktop = container()
    desktop.ready()
    other = Container(tmp_path, DISPLAY=desktop.environment["DISPLAY"])
    other.start()
    assert other.ends() == 2
    assert "another session uses display" in other.log
    assert desktop.get("/api/health")[0] == 200
    assert desktop.process.poll() is None


def test_a_stuck_selkies_is_not_waited_for_longer_than_the_pod_gives(container: Callable[..., Container]) -> None:
    desktop = container()
    desktop.ready()
    desktop.part("selkies").suspend()
    parts = psutil.Process(desktop.process.pid).children(recursive=True)
    desktop.process.terminate()
    assert desktop.ends() == 0
    assert not any(part.is_running() and part.name() in ("Xvfb", "pulseaudio", "python") for part in parts)


def test_a_start_can_be_ended(container: Callable[..., Container]) -> None:
    desktop = container()
    until(lambda: psutil.Process(desktop.process.pid).children(), "the X server")
    desktop.process.terminate()
    assert desktop.ends() == 0


@pytest.mark.parametrize(
    ("variable", "value"),
    [("SCREEN", "wide"), ("SCREEN", "0x480"), ("DISPLAY", "host:1"), ("VDIBENCH_DESK_OPTIONS", "'")],
)
def test_a_wrong_variable_is_named(container: Callable[..., Container], variable: str, value: str) -> None:
    desktop = container(**{variable: value})
    assert desktop.ends() == 2
    assert f"session: {variable}" in desktop.log


def _rtc(port: int) -> str:
    turn = {"urls": [f"turn:127.0.0.1:{port}?transport=udp"], "username": "user", "credential": "secret"}
    return json.dumps({"lifetimeDuration": "3600s", "iceServers": [turn]})


def _mount(place: Path, version: str, content: str) -> None:
    """As the kubelet writes a Secret: the file is a link into a folder that is exchanged as a whole."""
    secret = place / "secret"
    (secret / version).mkdir(parents=True)
    (secret / version / "rtc.json").write_text(content)
    (secret / "new").symlink_to(version)
    (secret / "new").rename(secret / "..data")
    if not (secret / "rtc.json").is_symlink():
        (secret / "rtc.json").symlink_to("..data/rtc.json")


def test_the_rtc_configuration_follows_its_secret(container: Callable[..., Container], place: Path) -> None:
    _mount(place, "..1", _rtc(1111))
    desktop = container(SELKIES_MODE="webrtc")
    desktop.ready()
    until(lambda: b"127.0.0.1:1111" in desktop.get("/api/turn")[1], "the first TURN server")
    copy = place / "run" / "rtc.json"
    assert not copy.is_symlink()
    assert copy.stat().st_mode & 0o777 == 0o600
    _mount(place, "..2", _rtc(2222))
    until(lambda: b"127.0.0.1:2222" in desktop.get("/api/turn")[1], "the second TURN server")
    assert copy.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [None, "", "[]", '{"iceServers": null}', "{"])
def test_without_a_configuration_no_public_server_is_named(
    container: Callable[..., Container], place: Path, content: str | None
) -> None:
    if content is not None:
        _mount(place, "..1", content)
    desktop = container(SELKIES_MODE="webrtc", VDIBENCH_DESK="")
    desktop.ready()
    until(lambda: desktop.get("/api/turn")[0] == 200, "an answer to /api/turn")
    assert json.loads(desktop.get("/api/turn")[1])["iceServers"] == []
    assert ("is no RTC configuration" in desktop.log) == (content is not None)
