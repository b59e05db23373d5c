"""One desktop of a lab: X server, sound server, desk and Selkies. Runs inside the supervisor; Linux only."""

from __future__ import annotations

import asyncio
import os
import secrets
import struct
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import vdibench
from vdibench.lab.files import write_private
from vdibench.lab.parts import Children, Part, program_beside_python
from vdibench.lab.server import ENCODER, SINK, USER, SelkiesServer
from vdibench.lab.spec import DesktopSpec

__all__ = ["DesktopRun"]

# An eighth on PulseAudio's cubic scale is 54 dB below full scale: above Selkies' silence gate, yet nobody
# who listens is startled.
_TONE_VOLUME, _TONE_HERTZ = 0x10000 // 8, 220
_RETRY_SECONDS = 0.02
_FAMILY_WILD = 0xFFFF
_COOKIE_KIND = b"MIT-MAGIC-COOKIE-1"


class DesktopRun:
    """One desktop: its files, its processes and what is known of it."""

    def __init__(self, id_: str, lab: Path, spec: DesktopSpec, *, port: int, marker_id: int) -> None:
        self.id = id_
        self.spec = spec
        self.marker_id = marker_id
        self.screen = ""
        self.renderer = ""
        self.server = SelkiesServer(id_, lab / id_, spec, port=port)
        self.ready = False
        self._lab = lab
        self._directory = lab / id_
        self.xvfb = self._part("xvfb", "check that the X server runs by hand: Xvfb :99 (apt package xvfb)")
        self.pulseaudio = self._part("pulseaudio", "check that the sound server runs by hand (apt package pulseaudio)")
        self.desk = self._part("desk", "read its log, and check the display's size")
        self.selkies = self._part(
            "selkies", "read its log with 'vdibench lab status', and check with 'vdibench preflight'"
        )
        self.parts = (self.xvfb, self.pulseaudio, self.selkies, self.desk)

    @property
    def url(self) -> str:
        """Its page, without credentials."""
        return self.server.url

    @property
    def state(self) -> str:
        """``starting``, ``running`` or ``failed``."""
        if any(part.state == "failed" for part in self.parts):
            return "failed"
        return "running" if self.ready else "starting"

    def make_files(self, rtc: str) -> None:
        """Write everything that its processes read."""
        for name in ("home", "pulse", "run", "rtc", "sockets", "statistics", "probes"):
            (self._directory / name).mkdir(mode=0o700, parents=True)
        cookie = secrets.token_bytes(16)
        entry = struct.pack(">HHHH", _FAMILY_WILD, 0, 0, len(_COOKIE_KIND)) + _COOKIE_KIND
        entry += struct.pack(">H", len(cookie)) + cookie
        write_private(self._directory / "xauthority", entry)
        script = [
            f"load-module module-null-sink sink_name={SINK} rate=48000 channels=2",
            f"load-module module-native-protocol-unix auth-anonymous=1 socket={self._pulse_socket}",
            f"set-default-sink {SINK}",
        ]
        if self.spec.audible:
            script.append(f"load-module module-sine sink={SINK} frequency={_TONE_HERTZ}")
            # The tone alone is quiet: what else plays there, a click track for one, keeps its level.
            script.append(f"set-sink-input-volume 0 {_TONE_VOLUME}")
        write_private(self._directory / "pulse" / "lab.pa", "\n".join(script) + "\n")
        write_private(self._directory / "pulse" / "daemon.conf", "")
        write_private(self._directory / "pulse" / "client.conf", "autospawn = no\n")
        self.server.make_files()
        self.give_rtc(rtc)

    def give_rtc(self, rtc: str) -> None:
        """Hand Selkies another RTC configuration; it watches the file."""
        write_private(self.server.rtc_file, rtc)

    async def bring_up(
        self,
        children: Children,
        environment: Mapping[str, str],
        turn_ready: asyncio.Event,
        turn_port: int | None,
        progress: Callable[[str], None],
    ) -> None:
        """Start all processes and return when the desktop can be used.

        :param turn_ready: set when the TURN server answers (or when there is none).
        :param turn_port: its port, or None.
        :raises PartFailed: a process ended or answered wrongly.
        """
        own = {
            **environment,
            "HOME": str(self._directory / "home"),
            "TMPDIR": str(self._directory / "run"),
            "XDG_RUNTIME_DIR": str(self._directory / "run"),
            # libdbus would otherwise start a bus of its own through X11, outside of anybody's control.
            "DBUS_SESSION_BUS_ADDRESS": "disabled:",
            "PULSE_CONFIG": str(self._directory / "pulse" / "daemon.conf"),
            "PULSE_CLIENTCONFIG": str(self._directory / "pulse" / "client.conf"),
        }
        self._start_sound(children, own)
        self.screen = await self._start_x(children, own)
        progress("X server ready")
        on_screen = {
            **own,
            "DISPLAY": self.screen,
            "XAUTHORITY": str(self._directory / "xauthority"),
            "PULSE_SERVER": f"unix:{self._pulse_socket}",
        }
        await self.pulseaudio.ready("its socket", _accepts(self._pulse_socket))
        self.pulseaudio.state = "running"
        progress("sound server ready")
        selkies = [program_beside_python("selkies")]
        children.start(self.selkies, selkies, on_screen | self.server.environment())
        await self._start_desk(children, on_screen)
        progress("desk draws")
        await turn_ready.wait()
        await self.selkies.ready(f"an answer from {self.url}", self.server.answers())
        await self.selkies.ready("its ICE servers", self.server.announces(turn_port))
        self.selkies.state = "running"
        self.ready = True
        progress(f"Selkies answers at {self.url}")

    @property
    def _pulse_socket(self) -> Path:
        return self._directory / "pulse" / "native"

    def _part(self, name: str, remedy: str) -> Part:
        return Part(self.id, name, self._directory / f"{name}.log", remedy)

    def _start_sound(self, children: Children, environment: Mapping[str, str]) -> None:
        # The script ends up as this process's state only: no pid file, no shared memory in /dev/shm, no
        # priority that would favour the sound over what is measured.
        options = "-n --daemonize=no --exit-idle-time=-1 --use-pid-file=no --disable-shm=yes --high-priority=no"
        options += " --realtime=no --log-target=stderr --log-level=warning"
        script = self._directory / "pulse" / "lab.pa"
        children.start(self.pulseaudio, ["pulseaudio", *options.split(), "-F", script], environment)

    async def _start_x(self, children: Children, environment: Mapping[str, str]) -> str:
        reader, writer = os.pipe()
        display = self.spec.display
        command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", f"{display.width}x{display.height}x24"]
        command += ["-auth", str(self._directory / "xauthority"), "-nolisten", "tcp", "-noreset", "-dpi", "96"]
        command += ["+extension", "RANDR", "+extension", "DAMAGE", "+extension", "MIT-SHM"]
        try:
            children.start(self.xvfb, command, environment, pass_fds=(writer,), x_server_of=self._lab)
        finally:
            os.close(writer)
        number = await self.xvfb.ready("its display number", _line(reader))
        self.xvfb.state = "running"
        return f":{number}"

    async def _start_desk(self, children: Children, environment: Mapping[str, str]) -> None:
        reader, writer = os.pipe()
        command = [sys.executable, str(Path(vdibench.__file__).with_name("desk") / "desk.py")]
        command += ["--display", self.screen, "--session-id", str(self.marker_id), "--ready-fd", str(writer)]
        command += ["--probes", str(self._directory / "probes")]
        command += ["--rate", str(self.spec.display.framerate), "--workload", str(self.spec.workload)]
        command += ["--dither", str(self.spec.dither)]
        try:
            children.start(self.desk, command, environment, pass_fds=(writer,))
        finally:
            os.close(writer)
        said = await self.desk.ready("its first frame", _line(reader))
        self.renderer = said.partition(" ")[2]
        self.desk.state = "running"

    def to_json(self, describe: Callable[[Part], dict[str, Any]]) -> dict[str, Any]:
        """Its entry in the state document, with its secrets."""
        display = self.spec.display
        return {
            "id": self.id,
            "state": self.state,
            "url": self.url,
            "user": USER,
            "password": self.server.password,
            "token": self.server.token,
            "master_token": self.server.master_token,
            "ca_file": self.server.ca_file,
            "dialect": str(self.spec.dialect),
            "screen": self.screen,
            "probes": str(self._directory / "probes"),
            "display": {"width": display.width, "height": display.height, "framerate": display.framerate},
            "workload": str(self.spec.workload),
            "renderer": self.renderer,
            "encoder": ENCODER,
            "marker_id": self.marker_id,
            "parts": [describe(part) for part in self.parts],
        }


async def _accepts(path: Path) -> None:
    while True:
        try:
            _, writer = await asyncio.open_unix_connection(str(path))
        except OSError:
            await asyncio.sleep(_RETRY_SECONDS)  # no sign but the socket itself
            continue
        writer.close()
        return


async def _line(descriptor: int) -> str:
    """The first line that arrives on a pipe; waits for ever when it closes without one (its process ended)."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
    )
    try:
        line = await reader.readline()
        if not line.endswith(b"\n"):
            await asyncio.Event().wait()
        return line.decode("ascii", "replace").strip()
    finally:
        transport.close()
