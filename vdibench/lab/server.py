"""The Selkies server of a lab desktop: its settings, its token, and asking it whether it is ready. Loopback only.

Selkies reads ``SELKIES_<SETTING>`` from its environment; a range or an enumeration with a single value and
a trailing ``|locked`` keep clients from changing a setting.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import ssl
from pathlib import Path

from vdibench.lab.certificates import AUTHORITY, CERTIFICATE, KEY, write_certificates
from vdibench.lab.parts import PartFailed
from vdibench.lab.spec import DesktopSpec
from vdibench.lab.turn import HOST
from vdibench.selkies import Dialect

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
    :param spec: what the desktop should be.
    """

    def __init__(self, id_: str, directory: Path, spec: DesktopSpec, *, port: int) -> None:
        self.id = id_
        self.port = port
        self.rtc_file = directory / RTC_FILE
        self.password = secrets.token_urlsafe(18) if spec.basic_auth else ""
        self.token = secrets.token_urlsafe(18) if spec.access.secure else ""
        self.master_token = secrets.token_urlsafe(24) if spec.access.secure else ""
        self._directory = directory
        self._spec = spec
        self._tls: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        """Its page, without credentials."""
        access = self._spec.access
        return f"http{'s' if access.tls else ''}://{HOST}:{self.port}{access.subfolder}"

    @property
    def ca_file(self) -> str:
        """The authority that vouches for it; empty without TLS."""
        return str(self._directory / "tls" / AUTHORITY) if self._spec.access.tls else ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not reach logs or output."""
        return tuple(secret for secret in (self.password, self.token, self.master_token) if secret)

    def make_files(self) -> None:
        """Write its certificates, where it wants some."""
        if self._spec.access.tls:
            folder = self._directory / "tls"
            folder.mkdir(mode=0o700)
            write_certificates(folder)
            self._tls = ssl.create_default_context(cafile=self.ca_file)

    def environment(self) -> dict[str, str]:
        """Its settings."""
        spec = self._spec
        rate, kbps = spec.display.framerate, spec.bitrate_bps // 1000
        settings = {
            "MODE": "websockets" if spec.dialect is Dialect.SELKIES_2_WEBSOCKET else "webrtc",
            "ENABLE_DUAL_MODE": "false",
            "ADDR": HOST,
            "PORT": str(self.port),
            "SUBFOLDER": spec.access.subfolder,
            "ENABLE_HTTPS": "true" if spec.access.tls else "false",
            "ENABLE_BASIC_AUTH": "true" if self.password else "false",
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
            "ENABLE_RESIZE": "true" if spec.resizable else "false",
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
        if self.password:
            settings |= {"BASIC_AUTH_USER": USER, "BASIC_AUTH_PASSWORD": self.password}
        if spec.access.tls:
            folder = self._directory / "tls"
            settings |= {"HTTPS_CERT": str(folder / CERTIFICATE), "HTTPS_KEY": str(folder / KEY)}
        if self.master_token:
            settings["MASTER_TOKEN"] = self.master_token
        return {f"SELKIES_{name}": value for name, value in settings.items()}

    async def answers(self) -> None:
        """Return when a viewer could come.

        :raises PartFailed: it refuses its own credentials.
        """
        websocket = self._spec.dialect is Dialect.SELKIES_2_WEBSOCKET
        path = "/api/websockets" if websocket else "/api/webrtc/signaling"
        while True:
            status, _ = await self._request("GET", path)
            if status == 204:
                break
            self._must_not_refuse(status)
            await asyncio.sleep(_RETRY_SECONDS)  # Selkies tells nobody when it is ready
        if self.token:
            # In secure mode Selkies lets nobody in before it was given its first table of tokens.
            table = {self.token: {"role": "controller", "slot": None, "mk_control": True}}
            status, _ = await self._request("POST", "/api/tokens", json.dumps(table))
            if status != 200:
                raise PartFailed(
                    f"{self.id}: selkies answers {status} to its session token", "check that its version is 2.1.0"
                )

    def _must_not_refuse(self, status: int) -> None:
        if status in (401, 403, 404, 409):
            raise PartFailed(
                f"{self.id}: selkies answers {status} to its own credentials",
                "check that its version is 2.1.0",
            )

    async def announces(self, turn_port: int | None) -> None:
        """Return when it sends viewers to the lab's own STUN and TURN server, or to none; at once without WebRTC.

        :param turn_port: that server's port; None when the lab has none.
        :raises PartFailed: it announces others, which may be public.
        """
        if self._spec.dialect is Dialect.SELKIES_2_WEBSOCKET:
            return
        status, body = 0, ""
        while status != 200:
            status, body = await self._request("GET", "/api/turn")
            if status != 200:
                self._must_not_refuse(status)
                await asyncio.sleep(_RETRY_SECONDS)  # Selkies tells nobody when it is ready
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

    async def _request(self, method: str, path: str, body: str = "") -> tuple[int, str]:
        """One request; status 0 when nobody answers."""
        lines = [f"{method} {self._spec.access.subfolder}{path} HTTP/1.1", f"Host: {HOST}:{self.port}"]
        lines += ["Connection: close", f"Content-Length: {len(body.encode())}"]
        if self.master_token:
            lines.append(f"Authorization: Bearer {self.master_token}")
        elif self.password:
            token = base64.b64encode(f"{USER}:{self.password}".encode()).decode()
            lines.append(f"Authorization: Basic {token}")
        try:
            reader, writer = await asyncio.open_connection(HOST, self.port, ssl=self._tls)
            try:
                writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
                answer = (await reader.read()).decode("utf-8", "replace")
            finally:
                writer.close()
            head, _, body = answer.partition("\r\n\r\n")
            return int(head.split(None, 2)[1]), body
        except (OSError, IndexError, ValueError):
            return 0, ""
