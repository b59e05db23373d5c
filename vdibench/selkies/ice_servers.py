"""The RTC configuration that a desktop hands to its clients (``/api/turn``). Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from vdibench.errors import ProtocolViolation

__all__ = ["RTC_CONFIGURATION_PATH", "IceServer", "parse_rtc_configuration"]

RTC_CONFIGURATION_PATH = "/api/turn"


@dataclass(frozen=True, slots=True)
class IceServer:
    """One STUN or TURN server, W3C ``RTCIceServer`` with one URL. The credential stays out of ``repr``."""

    url: str
    username: str = ""
    credential: str = field(default="", repr=False)

    @property
    def is_turn(self) -> bool:
        """Relays, rather than only reflecting addresses."""
        return self.url.startswith(("turn:", "turns:"))

    @property
    def host(self) -> str:
        """The server's host name or address."""
        rest = self.url.partition(":")[2].partition("?")[0]
        if rest.startswith("["):
            return rest[1:].partition("]")[0]
        return rest.partition(":")[0]

    @property
    def transport(self) -> str:
        """``udp`` or ``tcp``, as the URL's query says (RFC 7065; default udp)."""
        query = self.url.partition("?")[2]
        return "tcp" if "transport=tcp" in query else "udp"


def parse_rtc_configuration(text: str) -> tuple[IceServer, ...]:
    """The servers in a desktop's RTC configuration, in its order.

    :raises ProtocolViolation: not the JSON object that Selkies sends.
    """
    try:
        entries = json.loads(text)["iceServers"]
        servers = []
        for entry in entries:
            urls = entry["urls"]
            for url in [urls] if isinstance(urls, str) else urls:
                servers.append(
                    IceServer(str(url), str(entry.get("username") or ""), str(entry.get("credential") or ""))
                )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ProtocolViolation(
            f"{RTC_CONFIGURATION_PATH} answers something else than an RTC configuration",
            "check that the URL is the desktop's page and that no other service answers below it",
        ) from error
    return tuple(servers)
