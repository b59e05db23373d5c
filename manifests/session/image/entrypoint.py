#!/usr/bin/python3
"""Starts the desktop of a session and ends with it: X server, sound server, on request the desk, then Selkies.

One file, standard library only, run by the container's init as an ordinary user with a read-only root. It writes to
``/tmp``, ``$XDG_RUNTIME_DIR`` and ``$HOME`` only. Exit status: 0 asked to end (SIGTERM, SIGINT), 1 a part ended by
itself or did not come up, 2 a variable is wrong. The environment sets everything: README.md beside this file.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["Ended", "Session", "main"]

START_SECONDS = 20.0
# Together below the 10 s that the pod gives before it is killed.
GOODBYE_SECONDS = 6.0
END_SECONDS = 2.0
RTC_SECONDS = 2.0
POLL_SECONDS = 0.02
WATCHED = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
OK, FAILED, MISUSED = 0, 1, 2
NO_SERVERS = b'{"iceServers": []}'


class Ended(Exception):
    """The session is over.

    :param status: the exit status.
    :param reason: one line for the log.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Session:
    """The processes of one desktop, and the files that they share.

    :param environment: the container's; what is not set there gets the image's value.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        own = {"HOME": "/home/user", "XDG_RUNTIME_DIR": "/run/user", "DISPLAY": ":20", "SCREEN": "1920x1080"}
        self._environment = own | {name: value for name, value in environment.items() if value or name not in own}
        self._runtime = Path(self._environment["XDG_RUNTIME_DIR"])
        self._display = self._number(self._environment["DISPLAY"])
        self._screen = self._size(self._environment["SCREEN"])
        self._sound = self._runtime / "pulse" / "native"
        self._rtc_source = Path(environment.get("VDIBENCH_RTC_FILE", "/run/rtc/rtc.json"))
        self._rtc_copy = self._runtime / "rtc.json"
        self._rtc_seen: bytes | None = None
        self._parts: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Bring everything up, each part when the one that it needs answers.

        :raises Ended: one did not come up, or the end was asked for.
        """
        self._make_place()
        self._start_x()
        self._start_sound()
        if self._environment.get("VDIBENCH_DESK") == "1":
            self._start_desk()
        # Without a file Selkies would take public STUN and TURN servers.
        self._write_rtc(NO_SERVERS)
        self._copy_rtc()
        self._run("selkies", [sys.executable, "-m", "selkies"], self._selkies_settings())

    def watch(self) -> None:
        """Keep the RTC configuration up to date until the session is over.

        :raises Ended: always.
        """
        while True:
            self._wait(RTC_SECONDS)
            self._copy_rtc()

    def end(self) -> None:
        """End everything: Selkies first, since its goodbye to the clients needs the X server."""
        selkies = self._parts.get("selkies")
        if selkies is not None:
            selkies.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                selkies.wait(GOODBYE_SECONDS)
        for process in self._parts.values():
            process.terminate()
        deadline = time.monotonic() + END_SECONDS
        for process in self._parts.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _make_place(self) -> None:
        """Folders, and none of what a killed container left: the volumes outlive it."""
        x_folder = Path("/tmp/.X11-unix")
        x_socket = x_folder / f"X{self._display}"
        if answers(x_socket) or answers(self._sound):
            raise Ended(MISUSED, f"another session uses display :{self._display} or {self._runtime}")
        with contextlib.suppress(FileExistsError):
            x_folder.mkdir()
            x_folder.chmod(0o1777)
        Path(f"/tmp/.X{self._display}-lock").unlink(missing_ok=True)
        x_socket.unlink(missing_ok=True)
        for folder in (self._runtime / "pulse", self._runtime / "sockets"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in folder.iterdir():
                left.unlink()

    def _start_x(self) -> None:
        reader, writer = os.pipe()
        command = ["Xvfb", f":{self._display}", "-displayfd", str(writer), "-screen", "0", self._screen]
        # No GLX: Mesa's drivers are not in the image, and Selkies draws nothing.
        command += ["-extension", "GLX", "-nolisten", "tcp", "-noreset", "-dpi", "96"]
        self._run("xvfb", command, {}, (writer,))
        os.close(writer)
        os.set_blocking(reader, False)
        with os.fdopen(reader, "rb", 0) as said:
            self._until("the X server", lambda: bool(said.read()))
        # Selkies and the desk take it without a screen's number.
        self._environment["DISPLAY"] = f":{self._display}"

    def _start_sound(self) -> None:
        options = "-n --daemonize=no --exit-idle-time=-1 --use-pid-file=no --disable-shm=yes --high-priority=no"
        options += " --realtime=no --log-target=stderr --log-level=warning"
        sink = "module-null-sink sink_name=output rate=48000 channels=2"
        door = f"module-native-protocol-unix auth-anonymous=1 socket={self._sound}"
        # libdbus would otherwise start a bus of its own through X11.
        self._environment |= {"PULSE_RUNTIME_PATH": str(self._sound.parent), "DBUS_SESSION_BUS_ADDRESS": "disabled:"}
        self._run("pulseaudio", ["pulseaudio", *options.split(), "-L", sink, "-L", door], {})
        self._until("the sound server", lambda: answers(self._sound))
        self._environment["PULSE_SERVER"] = f"unix:{self._sound}"

    def _start_desk(self) -> None:
        program = self._environment.get("VDIBENCH_DESK_PROGRAM", "/usr/local/lib/vdibench/desk.py")
        try:
            options = shlex.split(self._environment.get("VDIBENCH_DESK_OPTIONS", ""))
        except ValueError as error:
            raise Ended(MISUSED, f"VDIBENCH_DESK_OPTIONS cannot be read: {error}") from error
        self._run("desk", [sys.executable, program, "--display", self._environment["DISPLAY"], *options], {})

    def _selkies_settings(self) -> dict[str, str]:
        """What differs from Selkies' own defaults; the container's environment has the last word."""
        settings = {
            # A pod's own address; who may reach it is the network policy's matter.
            "ADDR": "0.0.0.0",
            "PORT": "8080",
            "AUDIO_DEVICE_NAME": "output.monitor",
            "JS_SOCKET_PATH": str(self._runtime / "sockets"),
            "WEBCAM_SOCKET_PATH": str(self._runtime / "sockets"),
            "RTC_CONFIG_JSON": str(self._rtc_copy),
        }
        named = {f"SELKIES_{name}": value for name, value in settings.items()}
        return named | {name: value for name, value in self._environment.items() if name in named}

    def _copy_rtc(self) -> None:
        """Selkies refuses a symbolic link, which a file of a Secret is, and sees no change behind one."""
        try:
            wanted = self._rtc_source.read_bytes()
        except FileNotFoundError:
            return  # there is no Secret
        except OSError as error:
            wanted, reason = b"", f"cannot read {self._rtc_source}: {error.strerror}"
        else:
            reason = f"{self._rtc_source} is no RTC configuration: it has no list iceServers"
        if wanted == self._rtc_seen:
            return
        self._rtc_seen = wanted
        if names_servers(wanted):
            self._write_rtc(wanted)
        else:
            log(reason)

    def _write_rtc(self, wanted: bytes) -> None:
        fresh = self._rtc_copy.with_name(".rtc.json.new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(wanted)
        fresh.replace(self._rtc_copy)

    def _run(self, name: str, command: list[str], settings: dict[str, str], keep: tuple[int, ...] = ()) -> None:
        try:
            self._parts[name] = subprocess.Popen(
                command,
                env=self._environment | settings,
                pass_fds=keep,
                stdin=subprocess.DEVNULL,
                # What is blocked here would stay blocked there, and it could not be ended.
                preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED),
            )
        except OSError as error:
            raise Ended(FAILED, f"cannot start {name}: {error.strerror}") from error

    def _until(self, what: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if time.monotonic() > deadline:
                raise Ended(FAILED, f"{what} does not answer after {START_SECONDS:.0f} s")
            self._wait(POLL_SECONDS)

    def _wait(self, seconds: float) -> None:
        """Until something happens, and no longer than that."""
        received = signal.sigtimedwait(WATCHED, seconds)
        if received is not None and received.si_signo != signal.SIGCHLD:
            raise Ended(OK, f"asked to end by {signal.Signals(received.si_signo).name}")
        for name, process in self._parts.items():
            if process.poll() is not None:
                raise Ended(FAILED, f"{name} ended with status {process.returncode}")

    @staticmethod
    def _number(display: str) -> str:
        found = re.fullmatch(r":(\d{1,5})(?:\.\d+)?", display)
        if not found:
            raise Ended(MISUSED, f"DISPLAY is {display!r}: write it as in ':20'")
        return found[1]

    @staticmethod
    def _size(screen: str) -> str:
        found = re.fullmatch(r"([1-9]\d{1,4})x([1-9]\d{1,4})(?:x24)?", screen)
        if not found:
            raise Ended(MISUSED, f"SCREEN is {screen!r}: write it as in '1920x1080'")
        return f"{found[1]}x{found[2]}x24"


def answers(path: Path) -> bool:
    """Whether somebody listens at a unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def names_servers(text: bytes) -> bool:
    """Whether this is an RTC configuration; Selkies would take public servers in the place of another thing."""
    try:
        document = json.loads(text)
    except ValueError:
        return False
    return isinstance(document, dict) and isinstance(document.get("iceServers"), list)


def log(line: str) -> None:
    """One line for ``kubectl logs``."""
    print(f"session: {line}", file=sys.stderr, flush=True)


def main() -> int:
    """Run a session and return its exit status."""
    # Taken one by one in _wait, so that none is lost and none interrupts a start.
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    session = None
    try:
        session = Session(dict(os.environ))
        session.start()
        log("all parts started")
        session.watch()
    except Ended as ended:
        log(str(ended))
        return ended.status
    except OSError as error:
        log(f"{error.filename or 'a file'} cannot be used: {error.strerror}")
        return FAILED
    finally:
        if session is not None:
            session.end()
    return OK


if __name__ == "__main__":
    sys.exit(main())
