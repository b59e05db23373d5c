"""What the checker is asked, as a value, and what it may be asked. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from vdibench.selkies import Dialect

__all__ = ["Foreign", "Rules", "Wish"]

_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?):([0-9]{1,5})")
_LONGEST_TEXT = 2048
_WIDEST, _FASTEST, _MOST_BITS = 16_384, 1000, 10**9


class Foreign(ValueError):
    """A desktop that this checker does not look at."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a site lets its checker do.

    :param domains: a host is one of these or below one.
    :param plain: ``http`` is allowed besides ``https``.
    :param via: the only addresses that may take the place of a host's own; empty for any.
    :param longest_seconds: that a check may take, whatever is asked for.
    """

    domains: tuple[str, ...]
    plain: bool = False
    via: frozenset[str] = frozenset()
    longest_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Wish:
    """One check.

    :param url: of the desktop's page, without trailing slash.
    :param connect: ``host:port`` to connect to in the place of the URL's own, empty for that.
    :param framerate: frames per second, 0 for the desktop's.
    :param bitrate: bits per second, 0 for the desktop's.
    :param timeout_seconds: until a frame must have been decoded.
    """

    url: str
    connect: str
    username: str
    dialect: Dialect
    width: int
    height: int
    framerate: int
    bitrate: int
    timeout_seconds: float
    password: str = field(repr=False)

    @property
    def host(self) -> str:
        """Of the URL."""
        return urlsplit(self.url).hostname or ""

    @classmethod
    def of(cls, document: object, rules: Rules) -> Wish:
        """From a request's JSON.

        :raises Foreign: the rules forbid it.
        :raises ValueError: it is no request; the message names the field, and never a password.
        """
        if not isinstance(document, Mapping):
            raise ValueError("the body must be an object")
        unknown = sorted(set(document) - _FIELDS)
        if unknown:
            raise ValueError(f"{unknown[0]!r} is unknown, known are {', '.join(sorted(_FIELDS))}")
        return cls(
            url=_url(_text(document, "url"), rules),
            connect=_connect(_text(document, "connect", ""), rules),
            username=_text(document, "username"),
            dialect=_dialect(_text(document, "dialect")),
            width=_whole(document, "width", 1, _WIDEST),
            height=_whole(document, "height", 1, _WIDEST),
            framerate=_whole(document, "framerate", 0, _FASTEST, 0),
            bitrate=_whole(document, "bitrate", 0, _MOST_BITS, 0),
            timeout_seconds=_timeout(document, rules),
            password=_text(document, "password"),
        )


_FIELDS = frozenset(
    {
        "url",
        "connect",
        "username",
        "password",
        "dialect",
        "width",
        "height",
        "framerate",
        "bitrate",
        "timeoutSeconds",
    }
)


def _text(document: Mapping[Any, Any], name: str, default: str | None = None) -> str:
    value = document.get(name, default)
    if value is None:
        raise ValueError(f"{name} is missing")
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise ValueError(f"{name} must be text of at most {_LONGEST_TEXT} characters")
    return value


def _whole(document: Mapping[Any, Any], name: str, least: int, most: int, default: int | None = None) -> int:
    value = document.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}")
    return value


def _timeout(document: Mapping[Any, Any], rules: Rules) -> float:
    value = document.get("timeoutSeconds", rules.longest_seconds)
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value > 0):
        raise ValueError("timeoutSeconds must be a number above 0")
    return min(float(value), rules.longest_seconds)


def _dialect(text: str) -> Dialect:
    try:
        return Dialect(text)
    except ValueError:
        raise ValueError(f"dialect must be one of {', '.join(Dialect)}") from None


def _url(text: str, rules: Rules) -> str:
    try:
        parts = urlsplit(text)
        port, host = parts.port, (parts.hostname or "").rstrip(".")
    except ValueError:
        raise ValueError("url is none") from None
    # A password in it is not repeated.
    if parts.username is not None or parts.password is not None:
        raise ValueError("url must hold no credentials: they have fields of their own")
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise ValueError("url must be that of a desktop's page, such as https://alice.vdi.example.com/")
    if parts.scheme == "http" and not rules.plain:
        raise Foreign("only https is looked at: start the checker with --plain for http")
    if not any(host == domain or host.endswith(f".{domain}") for domain in rules.domains):
        raise Foreign(f"{host} is not below {' or '.join(rules.domains)}")
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def _connect(text: str, rules: Rules) -> str:
    if not text:
        return ""
    found = _ADDRESS.fullmatch(text)
    if found is None or not 0 < int(found[1]) < 65536:
        raise ValueError("connect must be HOST:PORT or empty")
    if rules.via and text not in rules.via:
        raise Foreign(f"connect is {text}, and only {', '.join(sorted(rules.via))} is allowed (--via)")
    return text
