"""Time-limited credentials at the platform's coturn, and the Secrets through which a session gets them.

They are those of the TURN REST scheme, as :mod:`vdibench.lab.turn` mints them for desktops without a cluster.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field

from vdibench.clusters.api import SESSIONS, Api, Object
from vdibench.errors import UsageError
from vdibench.lab.turn import mint

__all__ = ["LIFETIME_SECONDS", "TurnAccess", "session_secrets", "shared_secret", "turn_access"]

# As long as the longest profile may run; a session that outlives it loses its relay.
LIFETIME_SECONDS = 86_400

_NAMESPACE, _NAME, _KEY = "vdi-turn", "coturn-auth", "static-auth-secret"
_PORT = 3478
# Of two keys Traefik takes user and password from this type alone.
_LOGIN_TYPE = "kubernetes.io/basic-auth"


@dataclass(frozen=True, slots=True)
class TurnAccess:
    """What one session is given.

    :param rtc: the RTC configuration as JSON text, which holds the credential.
    :param credential: what must not reach any file.
    """

    rtc: str = field(repr=False)
    credential: str = field(repr=False)


def shared_secret(api: Api) -> str:
    """The secret that coturn shares with whoever mints for it, from its own namespace.

    :raises UsageError: there is none.
    :raises AuthenticationError: this user may not read it.
    """
    found = api.get(f"/api/v1/namespaces/{_NAMESPACE}/secrets/{_NAME}")
    encoded = (found or {}).get("data", {}).get(_KEY, "")
    # Several lines are several secrets, all of which are accepted.
    lines = base64.b64decode(encoded).decode(errors="replace").split()
    if not lines:
        raise UsageError(
            f"there is no Secret {_NAME} with {_KEY} in namespace {_NAMESPACE}",
            "make it by manifests/network/turn/secret.template.yaml",
        )
    return lines[0]


def turn_access(address: str, secret: str, name: str, now_unix_seconds: float) -> TurnAccess:
    """The relay at ``address``, over UDP and TCP, for the session of that name. Pure."""
    user, credential = mint(secret, name, int(now_unix_seconds) + LIFETIME_SECONDS)
    host = f"[{address}]" if ":" in address else address
    relay = {
        "urls": [f"turn:{host}:{_PORT}?transport=udp", f"turn:{host}:{_PORT}?transport=tcp"],
        "username": user,
        "credential": credential,
    }
    document = {
        "lifetimeDuration": f"{LIFETIME_SECONDS}s",
        "blockStatus": "NOT_BLOCKED",
        "iceTransportPolicy": "all",
        "iceServers": [{"urls": [f"stun:{host}:{_PORT}"]}, relay],
    }
    return TurnAccess(json.dumps(document), credential)


def session_secrets(user: str, login: str, password: str, rtc: str, namespace: str = SESSIONS) -> list[Object]:
    """The two Secrets that a session's pod waits for; the first one Traefik reads, too. Pure.

    :param user: whose session it is, a DNS label.
    :param login: user of the page's Basic authentication, with ``password``.
    :param rtc: the RTC configuration as JSON text.
    """
    return [
        {
            **_secret(f"vdi-session-auth-{user}", user, {"username": login, "password": password}, namespace),
            "type": _LOGIN_TYPE,
        },
        _secret(f"vdi-session-rtc-{user}", user, {"rtc.json": rtc}, namespace),
    ]


def _secret(name: str, user: str, texts: dict[str, str], namespace: str) -> Object:
    labels = {
        "app.kubernetes.io/name": "vdi-session",
        "app.kubernetes.io/instance": user,
        "app.kubernetes.io/component": "credentials",
        "app.kubernetes.io/part-of": "vdi-platform",
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()},
    }
