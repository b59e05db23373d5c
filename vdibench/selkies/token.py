"""How a session token of a desktop in secure mode travels: never in a URL, which proxies and servers log. Pure.

Three carriers, each where the other two cannot go: a cookie on plain GETs (``Authorization`` may belong to a Basic
login), a subprotocol at the upgrade of the stream's WebSocket, and the HELLO of WebRTC signalling
(:class:`~vdibench.selkies.signalling.Signalling`).
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from urllib.parse import quote

__all__ = ["token_cookies", "token_protocols"]


def token_cookies(token: str) -> dict[str, str]:
    """Cookies of a GET; none without a token."""
    return {"selkies_token": quote(token, safe="")} if token else {}


def token_protocols(token: str) -> tuple[str, ...]:
    """WebSocket subprotocols to offer; none without a token. The server selects the first."""
    if not token:
        return ()
    return "selkies", "selkies.token." + urlsafe_b64encode(token.encode()).decode().rstrip("=")
