"""The Selkies server of a lab desktop: its settings, and asking it whether it is ready. Loopback only.

Selkies reads ``SELKIES_<SETTING>`` from its environment; a range or an enumeration with a single value and
a trailing ``|locked`` keep clients from changing a setting.
"""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

from vdibench.lab.parts import PartFailed
from vdibench.lab.spec import DesktopSpec
from vdibench.lab.turn import HOST

__all__ = ["ENCODER", "RTC_FILE", "SINK", "USER", "SelkiesServer"]

ENCODER = "h264enc"
USER = "lab"
SINK = "output"
RTC_FILE = "rtc/rtc.json"  # in a desktop's directory

_RETRY_SECONDS = 0.02


class SelkiesServer:
    """One server's address, credentials and files.

    :param id_: id of its desktop, for messages.
    :param directory: the desktop's directory.
    :param password: for HTTP Basic; empty for none.
    """

    def __init__(self, id_: str, directory: Path, *, port: int, password: str) -> None:
        self.id = id_
        self.port = port
        self.rtc_file = directory / RTC_FILE
        self._directory = directory
        self._password = password

    @property
    def url(self) -> str:
        """Its page, without credentials."""
        return f"http://{HOST}:{self.port}"

    def environment(self, spec: DesktopSpec) -> dict[str, str]:
        """Its settings."""
        rate, kbps = spec.display.framerate, spec.bitrate_bps // 1000
        settings = {
            "MODE": "webrtc",
            "ENABLE_DUAL_MODE": "false",
            "ADDR": HOST,
            "PORT": str(self.port),
            "ENABLE_HTTPS": "false",
            "ENABLE_BASIC_AUTH": "true" if self._password else "false",
            "ENABLE_METRICS_HTTP": "true",
            # Software encoding also where there is a GPU: a lab's figures are those of its description.
            "ENCODER": ENCODER,
            "USE_CPU": "true|locked",
            # Locked, so that neither a viewer nor a congested moment changes what is measured.
            "FRAMERATE": f"{rate}-{rate}",
            "VIDEO_BITRATE": f"{kbps}-{kbps}",
            "RATE_CONTROL_MODE": "cbr",
            "CONGESTION_CONTROL": "false",
            "VIDEO_STREAMING_MODE": "true|locked",
            "ENABLE_RESIZE": "false",
            "SECOND_SCREEN": "false",
            "AUDIO_DEVICE_NAME": f"{SINK}.monitor",
            # These would reach devices and services of the machine that are not the lab's.
            "GAMEPAD_ENABLED": "false",
            "UINPUT_GAMEPAD": "false",
            "WEBCAM_ENABLED": "false",
            "WEBCAM_DEVICE": "false",
            "PRINTING_ENABLED": "false",
            "COMMAND_ENABLED": "false",
            "JS_SOCKET_PATH": str(self._directory / "sockets"),
            "WEBCAM_SOCKET_PATH": str(self._directory / "sockets"),
            "WEBRTC_STATISTICS_DIR": str(self._directory / "statistics"),
            "APP_READY_FILE": str(self._directory / "run" / "app-ready"),
            "RTC_CONFIG_JSON": str(self.rtc_file),
            # In force only if the file above were refused; an empty value would mean a public server.
            "STUN_HOST": HOST,
            "TURN_HOST": HOST,
        }
        if self._password:
            settings |= {"BASIC_AUTH_USER": USER, "BASIC_AUTH_PASSWORD": self._password}
        return {f"SELKIES_{name}": value for name, value in settings.items()}

    async def answers(self) -> None:
        """Return when a viewer could come.

        :raises PartFailed: it refuses its own credentials.
        """
        while True:
            status, _ = await self._get("/api/webrtc/signaling")
            if status == 204:
                return
            if status in (401, 403, 404):
                raise PartFailed(
                    f"{self.id}: selkies answers {status} to its own credentials",
                    "check that its version is 2.1.0",
                )
            await asyncio.sleep(_RETRY_SECONDS)

    async def announces(self, turn_port: int | None) -> None:
        """Return when it sends viewers to the lab's own STUN and TURN server, or to none.

        :param turn_port: that server's port; None when the lab has none.
        :raises PartFailed: it announces others, which may be public.
        """
        status, body = 0, ""
        while status != 200:
            status, body = await self._get("/api/turn")
            if status != 200:
                await asyncio.sleep(_RETRY_SECONDS)
        try:
            urls = [str(url) for server in json.loads(body)["iceServers"] for url in server["urls"]]
        except (ValueError, KeyError, TypeError) as error:
            raise PartFailed(
                f"{self.id}: selkies does not say its ICE servers", "check that its version is 2.1.0"
            ) from error
        ours = f"{HOST}:{turn_port}"
        strange = [url for url in urls if url.partition(":")[2].partition("?")[0] != ours]
        if strange or (turn_port is not None and not urls):
            raise PartFailed(
                f"{self.id}: selkies announces ICE servers that are not the lab's ({', '.join(strange) or 'none'})",
                f"check that {self.rtc_file} is accepted, in its log",
            )

    async def _get(self, path: str) -> tuple[int, str]:
        """One request; status 0 when nobody answers."""
        lines = [f"GET {path} HTTP/1.1", f"Host: {HOST}:{self.port}", "Connection: close"]
        if self._password:
            token = base64.b64encode(f"{USER}:{self._password}".encode()).decode()
            lines.append(f"Authorization: Basic {token}")
        try:
            reader, writer = await asyncio.open_connection(HOST, self.port)
            try:
                writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
                answer = (await reader.read()).decode("utf-8", "replace")
            finally:
                writer.close()
            head, _, body = answer.partition("\r\n\r\n")
            return int(head.split(None, 2)[1]), body
        except (OSError, IndexError, ValueError):
            return 0, ""
