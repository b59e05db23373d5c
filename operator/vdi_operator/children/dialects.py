"""What differs between the ways in which Selkies speaks: variables, probes, paths. Pure.

They are those of the components ``manifests/session/selkies-2``, ``selkies-2-websocket`` and ``selkies-1.6``. WebSocket
mode is 2.x in another mode, and since it needs no relay it is told of none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from vdi_operator.api.objects import Object
from vdi_operator.api.template import Dialect, Template
from vdi_operator.children.names import SESSION_PORT
from vdi_operator.settings import Settings

__all__ = [
    "LOGIN",
    "RTC_FILE",
    "clients",
    "clients_path",
    "encoder",
    "environment",
    "needs_relay",
    "paths",
    "probes",
    "unasked_paths",
]

# User of the page's Basic authentication.
LOGIN = "user"
# Where the image's entrypoint keeps its copy of the Secret's file: 2.x refuses a link, which that one is.
RTC_FILE = "/run/user/rtc.json"

# Of the histogram that 1.6 keeps of what its clients report.
_REPORTS = re.compile(r"^fps_hist_count ([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*$", re.MULTILINE)
_MODES: Mapping[Dialect, str] = MappingProxyType(
    {Dialect.SELKIES_2_WEBRTC: "webrtc", Dialect.SELKIES_2_WEBSOCKET: "websockets"}
)
# What a user's browser asks for beside the root: files of the page, then streams and what they need. Not: health, which
# is the kubelet's alone, metrics, sessions, switch, tokens, files, upload, recording, screenshot.
_FILES_2 = r"^/((assets|codecs|jsdb|src)/([\w-][\w.-]*/)*)?[\w-][\w.-]*\.(css|html|ico|js|json|png|svg|wasm)$"
_FILES_1 = r"^/((css|fonts|icons|js|lib)/([\w-][\w.-]*/)*)?[\w-][\w.-]*\.(css|html|ico|js|json|png|svg|ttf|woff2?)$"
_PATTERNS: Mapping[Dialect, tuple[str, str]] = MappingProxyType(
    {
        Dialect.SELKIES_1_WEBRTC: (_FILES_1, "^/(health|turn|ws|webrtc/signalling)/?$"),
        Dialect.SELKIES_2_WEBRTC: (_FILES_2, "^/api/(turn|websockets|ws|webrtc/signaling)/?$"),
        Dialect.SELKIES_2_WEBSOCKET: (_FILES_2, "^/api/websockets/?$"),
    }
)


def needs_relay(dialect: Dialect) -> bool:
    """Whether its media goes through a TURN relay."""
    return dialect is not Dialect.SELKIES_2_WEBSOCKET


def encoder(template: Template) -> str:
    """As its dialect names it: NVENC, which 2.x takes by itself where the container has one."""
    return template.encoder or ("nvh264enc" if template.dialect is Dialect.SELKIES_1_WEBRTC else "h264enc")


def environment(
    template: Template, settings: Settings, relay_addresses: Sequence[str], auth_secret: str
) -> list[Object]:
    """Variables by which Selkies is told what to do.

    An empty value means "the default" to 2.x, so none is empty.

    :param relay_addresses: of coturn; the first is named, the RTC configuration names all.
    :param auth_secret: name of the Secret with the password.
    :raises ValueError: the dialect needs a relay and there is none: Selkies would take a public one in silence.
    """
    display = template.display
    before = {"SELKIES_MODE": _MODES[template.dialect]} if template.dialect in _MODES else {}
    before |= {"SELKIES_ENCODER": encoder(template), "SELKIES_RTC_CONFIG_JSON": RTC_FILE}
    if template.dialect is Dialect.SELKIES_1_WEBRTC:
        # Clients' settings that are kept: not in the home, where they would outlive the session.
        before |= {"SELKIES_JSON_CONFIG": "/run/user/selkies.json", "SELKIES_METRICS_HTTP_PORT": "8000"}
    before |= {
        "SELKIES_ADDR": "0.0.0.0",
        "SELKIES_PORT": str(SESSION_PORT),
        "SELKIES_ENABLE_BASIC_AUTH": "true",
        "SELKIES_BASIC_AUTH_USER": LOGIN,
    }
    after = {
        "SELKIES_FRAMERATE": str(display.framerate),
        "SELKIES_VIDEO_BITRATE": str(display.bitrate // 1000),  # kbit/s
        "SELKIES_ENABLE_METRICS_HTTP": "true",
    }
    if needs_relay(template.dialect):
        after |= _relay(settings, relay_addresses)
    password = {"secretKeyRef": {"name": auth_secret, "key": "password"}}
    return [
        *({"name": name, "value": value} for name, value in before.items()),
        {"name": "SELKIES_BASIC_AUTH_PASSWORD", "valueFrom": password},
        *({"name": name, "value": value} for name, value in after.items()),
    ]


def probes(dialect: Dialect) -> dict[str, Object]:
    """How the kubelet asks, without a password.

    Restarted only after a minute of silence: a restart ends the session.
    """
    if dialect is Dialect.SELKIES_1_WEBRTC:
        # /health wants the password, and is late by seconds while nobody is connected.
        ask: Object = {"tcpSocket": {"port": "http"}}
    else:
        ask = {"httpGet": {"path": "/api/health", "port": "http"}}
    return {
        "startupProbe": {**ask, "periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": {**ask, "periodSeconds": 1},
        "livenessProbe": {**ask, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6},
    }


def paths(dialect: Dialect) -> tuple[str, ...]:
    """Matchers of Traefik's for the paths that a user's browser may ask for; all else but the unasked ones is 404."""
    files, streams = _PATTERNS[dialect]
    return "Path(`/`)", f"PathRegexp(`{files}`)", f"PathRegexp(`{streams}`)"


def unasked_paths(dialect: Dialect) -> tuple[str, ...]:
    """Matchers for those of the paths that Selkies answers without a password, and its page needs: the proxy asks.

    Exactly that path: with a slash behind it Selkies knows none.
    """
    return () if dialect is Dialect.SELKIES_1_WEBRTC else ("Path(`/api/status`)",)


def _relay(settings: Settings, addresses: Sequence[str]) -> dict[str, str]:
    """Both default to public servers; with an address of ours the worst case is a refused allocation."""
    if not addresses:
        raise ValueError("no address of a relay is known, and without one Selkies would use a public one")
    port = str(settings.relay_port)
    return {
        "SELKIES_TURN_HOST": addresses[0],
        "SELKIES_TURN_PORT": port,
        "SELKIES_STUN_HOST": addresses[0],
        "SELKIES_STUN_PORT": port,
    }


def clients_path(dialect: Dialect) -> str:
    """Where a desktop tells of its clients, to who has its password; no route leads there."""
    return "/metrics" if dialect is Dialect.SELKIES_1_WEBRTC else "/api/sessions"


def clients(dialect: Dialect, text: str) -> float | None:
    """What an answer from there counts, None: nothing that could be understood.

    2.x: the pages that are connected now. 1.6 knows of no pages: the reports of frames a second that they have sent so
    far, one every few seconds from each; where its image has no metrics at that port, nothing.

    :raises ValueError, RecursionError: it is no JSON where it should be.
    """
    if dialect is Dialect.SELKIES_1_WEBRTC:
        found = _REPORTS.search(text)
        return float(found[1]) if found else None
    document = json.loads(text)
    pages = document.get("sessions") if isinstance(document, dict) else None
    return float(len(pages)) if isinstance(pages, list) else None
