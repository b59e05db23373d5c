"""The lab's TURN server: coturn's configuration, minted credentials, and a probe. Loopback only.

Credentials are those of the TURN REST scheme that coturn calls ``use-auth-secret``: user name
``<expiry in Unix seconds>:<name>``, password base64(HMAC-SHA1(secret, user name)).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import socket
import struct
from pathlib import Path
from typing import Any

__all__ = ["HOST", "await_binding", "ice_servers", "mint", "relay_ports", "turn_configuration"]

HOST = "127.0.0.1"

_STUN_MAGIC = 0x2112A442
_BINDING_REQUEST, _BINDING_SUCCESS = 0x0001, 0x0101
_RETRY_SECONDS = 0.05


def relay_ports(desktops: int) -> int:
    """How many relay ports a lab leases: both ends of some sessions, and those that crashed clients keep.

    An allocation whose client died lives on until its lifetime of ten minutes is over.
    """
    return 64 + 16 * desktops


def turn_configuration(*, port: int, relay: range, secret: str, directory: Path) -> str:
    """coturn's configuration file; it holds the secret, so it must be written with mode 0600."""
    lines = [
        f"listening-ip={HOST}",
        f"listening-port={port}",
        f"relay-ip={HOST}",
        f"min-port={relay.start}",
        f"max-port={relay.stop - 1}",
        "use-auth-secret",
        f"static-auth-secret={secret}",
        "realm=vdibench.lab",
        "fingerprint",
        # Both ends of a lab session are on this machine.
        "allow-loopback-peers",
        "no-multicast-peers",
        "no-cli",
        "no-tls",
        "no-dtls",
        "no-rfc5780",
        "stale-nonce=600",
        "user-quota=32",
        f"total-quota={len(relay)}",
        f"userdb={directory / 'turndb'}",
        f"pidfile={directory / 'turnserver.pid'}",
        "log-file=stdout",
        "simple-log",
    ]
    return "\n".join(lines) + "\n"


def mint(secret: str, name: str, expires_unix_seconds: int) -> tuple[str, str]:
    """User name and password, valid until an instant."""
    user = f"{expires_unix_seconds}:{name}"
    digest = hmac.new(secret.encode(), user.encode(), hashlib.sha1).digest()
    return user, base64.b64encode(digest).decode()


def ice_servers(port: int | None, user: str = "", password: str = "", lifetime_seconds: float = 0) -> str:
    """The RTC configuration for Selkies as JSON text; without port it names no server at all."""
    servers: list[dict[str, Any]] = []
    if port is not None:
        servers.append({"urls": [f"stun:{HOST}:{port}"]})
        servers.append(
            {
                "urls": [f"turn:{HOST}:{port}?transport=udp", f"turn:{HOST}:{port}?transport=tcp"],
                "username": user,
                "credential": password,
            }
        )
    return json.dumps(
        {
            "lifetimeDuration": f"{int(lifetime_seconds)}s",
            "blockStatus": "NOT_BLOCKED",
            "iceTransportPolicy": "all",
            "iceServers": servers,
        }
    )


async def await_binding(port: int) -> None:
    """Return when the server answers a STUN binding request; asks again until it does."""
    loop = asyncio.get_running_loop()
    transaction = secrets.token_bytes(12)
    request = struct.pack("!HHI", _BINDING_REQUEST, 0, _STUN_MAGIC) + transaction
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setblocking(False)
        probe.connect((HOST, port))
        while True:
            try:
                probe.send(request)
                async with asyncio.timeout(_RETRY_SECONDS):
                    answer = await loop.sock_recv(probe, 2048)
            except ConnectionRefusedError:
                await asyncio.sleep(_RETRY_SECONDS / 5)  # nothing listens there yet
                continue
            except TimeoutError:
                continue
            kind, _, magic = struct.unpack_from("!HHI", answer.ljust(8, b"\0"))
            if kind == _BINDING_SUCCESS and magic == _STUN_MAGIC and answer[8:20] == transaction:
                return
