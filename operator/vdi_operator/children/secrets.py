"""The two Secrets of a session: what users log in with, and where its media is relayed. Pure.

TURN credentials are those of the TURN REST scheme that coturn calls ``use-auth-secret``: user name
``<expiry in Unix seconds>:<name>``, password base64(HMAC-SHA1(secret, user name)). The secret itself never leaves the
operator: with it any user could mint.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from datetime import UTC, datetime

from vdi_operator.api.objects import Object
from vdi_operator.api.session import Session
from vdi_operator.children import names
from vdi_operator.children.dialects import LOGIN
from vdi_operator.children.surroundings import Surroundings
from vdi_operator.settings import Settings

__all__ = [
    "RTC_KEY",
    "auth_secret",
    "next_mint",
    "password",
    "password_minted",
    "password_since",
    "rtc_secret",
    "turn_expiry",
]

RTC_KEY = "rtc.json"

# Of two keys Traefik takes user and password from this type alone.
_LOGIN_TYPE = "kubernetes.io/basic-auth"

# Of what stands in a Secret: printable ASCII without blanks, which every client sends alike.
_PASSWORD = re.compile(r"[!-~]{8,256}")


def auth_secret(session: Session, world: Surroundings) -> Object:
    """User name and password of the session's page: the stored ones while they are fit, else the spare password.

    A note of when a password was made stays for as long as the password does, and none is added to one that has none.

    :raises ValueError: the spare one is wanted and not fit: no desktop is without a password.
    """
    kept = password(world.auth)
    wanted = kept or world.spare_password
    if not _PASSWORD.fullmatch(wanted):
        raise ValueError("the spare password is not 8 to 256 characters of ASCII without blanks: make one at random")
    made = _secret(session, names.auth_name(session), {"username": LOGIN, "password": wanted}) | {"type": _LOGIN_TYPE}
    notes: Object = {}
    mint = password_minted(world.auth) if kept is not None else _moment(world.now)
    if mint:
        notes[names.MINT_ANNOTATION] = mint
    if kept is not None and _since_before(world.auth):
        notes[names.PASSWORD_ANNOTATION] = password_since(world.auth)
    if notes:
        made["metadata"]["annotations"] = notes
    return made


def password(secret: Object | None) -> str | None:
    """What a stored Secret lets users log in with; None where it is not fit, so that another one has to be made.

    A desktop reads it once, at its start: a pod of before a new one was made knows another one.
    """
    found = _text(secret, "password")
    return found if _text(secret, "username") == LOGIN and found and _PASSWORD.fullmatch(found) else None


def password_minted(one: Object | None) -> str:
    """When the password of a Secret, or the one that a pod reads, was made; empty: nobody has noted it.

    For comparing: two that are alike are the same password, whoever has set a clock meanwhile.
    """
    metadata = (one or {}).get("metadata") or {}
    return str((metadata.get("annotations") or {}).get(names.MINT_ANNOTATION) or "")


def password_since(secret: Object | None) -> str | None:
    """Since when a stored Secret has its password, as a time of the API; None where it is not known."""
    metadata = (secret or {}).get("metadata") or {}
    since = (metadata.get("annotations") or {}).get(names.PASSWORD_ANNOTATION) or metadata.get("creationTimestamp")
    return str(since) if since else None


def rtc_secret(session: Session, world: Surroundings) -> Object | None:
    """The RTC configuration with credentials at the relays; None where no relay or no secret is known.

    The stored one is kept, byte for byte, while more than half of its life is left and it is what would be minted with
    its expiry: same relays, same secret, nothing added. That is by the wall's clock, as coturn judges it by its own.
    """
    if not world.relay_addresses or not world.turn_secret:
        return None
    text = _kept(session, world)
    if text is None:
        text = json.dumps(_configuration(session, world, int(world.wall + world.settings.turn_lifetime_seconds)))
    return _secret(session, names.rtc_name(session), {RTC_KEY: text})


def turn_expiry(secret: Object | None) -> float | None:
    """When the first credential of a stored RTC configuration ends, Unix seconds; None where there is none."""
    try:
        document = json.loads(_text(secret, RTC_KEY) or "")
        named = [str(server["username"]) for server in document["iceServers"] if "username" in server]
        return min((float(int(name.partition(":")[0])) for name in named), default=None)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None  # somebody else's document: it is written anew


def next_mint(secret: Object | None, settings: Settings) -> float | None:
    """When a stored RTC configuration is to be minted anew, Unix seconds: half of its life is over then."""
    expiry = turn_expiry(secret)
    return None if expiry is None else expiry - settings.turn_lifetime_seconds / 2


def _since_before(secret: Object | None) -> bool:
    """Whether a stored password is older than the Secret that will have it, since no type can be changed.

    Earlier operators made Secrets without one. Without a note, pods that know the password would look outdated.
    """
    stored = secret or {}
    noted = names.PASSWORD_ANNOTATION in ((stored.get("metadata") or {}).get("annotations") or {})
    return noted or (stored.get("type") != _LOGIN_TYPE and password_since(secret) is not None)


def _moment(unix_seconds: float) -> str:
    """As the operator writes instants, with microseconds: no two passwords of a session are made at the same."""
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _configuration(session: Session, world: Surroundings, expires_unix_seconds: int) -> Object:
    """What Selkies reads and hands to its clients; no server but ours, over UDP and TCP."""
    settings = world.settings
    places = [f"{_bracketed(address)}:{settings.relay_port}" for address in world.relay_addresses]
    user = f"{expires_unix_seconds}:{session.name}"
    digest = hmac.new(world.turn_secret.encode(), user.encode(), hashlib.sha1).digest()
    relay = {
        "urls": [f"turn:{place}?transport={transport}" for place in places for transport in ("udp", "tcp")],
        "username": user,
        "credential": base64.b64encode(digest).decode(),
    }
    return {
        "lifetimeDuration": f"{int(settings.turn_lifetime_seconds)}s",
        "blockStatus": "NOT_BLOCKED",
        "iceTransportPolicy": "all",
        "iceServers": [{"urls": [f"stun:{place}" for place in places]}, relay],
    }


def _kept(session: Session, world: Surroundings) -> str | None:
    """The stored RTC configuration where it is still good."""
    stored, expiry, ends = _text(world.rtc, RTC_KEY), turn_expiry(world.rtc), next_mint(world.rtc, world.settings)
    if stored is None or expiry is None or ends is None or world.wall >= ends:
        return None
    try:
        same = _in_order(json.loads(stored)) == _in_order(_configuration(session, world, int(expiry)))
    except (TypeError, KeyError):
        return None
    return stored if same else None


def _in_order(configuration: Object) -> Object:
    """With the addresses of each server in order: in which order relays are known says nothing.

    :raises TypeError, KeyError: it is no RTC configuration.
    """
    servers = [{**server, "urls": sorted(server["urls"])} for server in configuration["iceServers"]]
    return {**configuration, "iceServers": servers}


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _text(secret: Object | None, key: str) -> str | None:
    """A value of a stored Secret; None where there is none, or no text."""
    encoded = ((secret or {}).get("data") or {}).get(key)
    if not isinstance(encoded, str):
        return None
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        return None


def _secret(session: Session, name: str, texts: dict[str, str]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": names.metadata(session, name, "credentials"),
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()},
    }
