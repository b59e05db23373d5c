"""Selkies 1.6 itself, from a checkout that the environment variable SELKIES16_HOME names."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from free_ports import free_port

HOME_VARIABLE = "SELKIES16_HOME"
# Its event loop sleeps for seconds before it answers.
START_SECONDS = 40.0


def program() -> Path | None:
    """The program in the checkout's own virtual environment; None when no checkout is named."""
    home = os.environ.get(HOME_VARIABLE)
    if not home:
        return None
    found = Path(home) / ".venv" / "bin" / "selkies-gstreamer"
    assert found.is_file(), f"{HOME_VARIABLE} has no {found.relative_to(home)}"
    return found


@contextmanager
def original(display: str, folder: Path) -> Iterator[str]:
    """Run it on a display until the end of the block; gives its URL."""
    executable = program()
    assert executable is not None
    port = free_port()
    pulse = folder / "pulse"
    pulse.mkdir(mode=0o700)
    (folder / "web").mkdir()
    environment = {
        **os.environ,
        "DISPLAY": display,
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(pulse),
        "PULSE_SERVER": f"unix:{pulse}/native",
        "SELKIES_ADDR": "127.0.0.1",
        "SELKIES_PORT": str(port),
        "SELKIES_WEB_ROOT": str(folder / "web"),
        "SELKIES_JSON_CONFIG": str(folder / "clients.json"),
        "SELKIES_RTC_CONFIG_JSON": str(folder / "rtc.json"),
        "SELKIES_JS_SOCKET_PATH": str(folder),
        "SELKIES_ENCODER": "x264enc",
        "SELKIES_FRAMERATE": "30",
        "SELKIES_VIDEO_BITRATE": "4000",
        "SELKIES_ENABLE_BASIC_AUTH": "false",
        "SELKIES_TURN_SHARED_SECRET": "",
    }
    (folder / "rtc.json").write_text('{"iceServers": []}')
    sound = [
        *("pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1"),
        *("-L", "module-null-sink sink_name=output rate=48000"),
        *("-L", f"module-native-protocol-unix auth-anonymous=1 socket={pulse}/native"),
    ]
    with (folder / "log").open("wb") as log:
        processes = [
            subprocess.Popen(command, env=environment, stdout=log, stderr=log) for command in (sound, [str(executable)])
        ]
        try:
            url = f"http://127.0.0.1:{port}"
            _await_health(url, processes[1], folder / "log")
            yield url
        finally:
            for process in reversed(processes):
                process.terminate()
            for process in processes:
                process.wait(20)


def _await_health(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            with urllib.request.urlopen(url + "/health", timeout=10) as reply:
                assert reply.read() == b"OK\n"
                return
        except OSError:
            time.sleep(0.2)  # a poll, with the deadline above
    raise AssertionError(log.read_text()[-2000:])
