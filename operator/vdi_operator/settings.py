"""What a site says once, for all sessions: one YAML file that the chart writes. Pure but for :func:`load`."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

__all__ = ["SHORTEST_LOOK_SECONDS", "SHORTEST_TURN_SECONDS", "Settings", "load"]

# As the chart's schema has it.
SHORTEST_LOOK_SECONDS = 1.0
SHORTEST_TURN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """The platform around the sessions.

    :param namespace: of the sessions, their templates and everything that is made for them.
    :param domain: sessions are hosts below it.
    :param port: of Traefik as users reach it.
    :param entry_points: of Traefik.
    :param middlewares: of every route, in the sessions' namespace, by name; the last are the nearest to the desktop.
    :param traefik: labels of Traefik's namespace and pods, which alone may call a desktop.
    :param monitoring_namespace: may scrape desktops, empty: nobody.
    :param operator_namespace: whose pods labelled ``app.kubernetes.io/name: vdi-operator`` may call a desktop.
    :param relay_addresses: of coturn's nodes; where ``read_nodes`` is set those of its labelled nodes are added.
    :param relay_port: of coturn, UDP and TCP.
    :param turn_secret_file: mounted; several lines are several secrets, the first one is used to mint.
    :param turn_lifetime_seconds: of minted credentials; minted anew when half of it is over.
    :param read_nodes: whether the operator may read nodes (a ClusterRole).
    :param service_account: of desktops, without rights.
    :param checker_url: base of the frame checker, empty: StreamReady is Unknown and nothing is ever published.
    :param checker_token_file: what it is asked with.
    :param checker_address: ``host:port`` at which the checker meets Traefik, empty: the public name.
    :param warn_seconds: before a session's end, when the warning event comes.
    :param start_attempts: of a desktop that ends by itself, in one start.
    :param idle_look_seconds: between looks at a desktop whose template has an idle time-out.
    :param workers: passes at the same time.
    :param require_evidence: whether templates without valid evidence of a run start nothing more.
    :param allow_lab_evidence: whether evidence of a lab is as good.
    :param placeholder_priority_class: of pods that keep places warm, empty: none are kept.
    :param gpus: for counting places, 0: as the labels of nodes say, where the operator may read them.
    :param sessions_per_user, sessions_per_namespace: that may have a desktop at once, 0: no limit.
    :param queue_priorities: by the name of a template's priority class, which the operator cannot read; what is not
        here has 0, and higher ones are first in line.
    """

    namespace: str = "vdi-sessions"
    domain: str = "vdi.example.com"
    port: int = 443
    entry_points: tuple[str, ...] = ("websecure",)
    middlewares: tuple[str, ...] = ("vdi-rate-limit", "vdi-headers")
    traefik: Mapping[str, str] = field(default_factory=lambda: {"namespace": "traefik", "name": "traefik"})
    monitoring_namespace: str = "monitoring"
    operator_namespace: str = "vdi-operator"
    relay_addresses: tuple[str, ...] = ()
    relay_port: int = 3478
    turn_secret_file: str = ""
    turn_lifetime_seconds: float = 86_400.0
    read_nodes: bool = False
    service_account: str = "vdi-session"
    checker_url: str = ""
    checker_token_file: str = ""
    checker_address: str = ""
    warn_seconds: float = 600.0
    start_attempts: int = 3
    idle_look_seconds: float = 60.0
    workers: int = 16
    require_evidence: bool = False
    allow_lab_evidence: bool = False
    placeholder_priority_class: str = ""
    gpus: int = 0
    sessions_per_user: int = 0
    sessions_per_namespace: int = 0
    queue_priorities: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Settings:
        """From a document whose keys are those of this class in camelCase.

        :raises ValueError: a key is unknown, or its value has the wrong type or makes no sense; the message names it.
        """
        known = {_camel(name): name for name in cls.__dataclass_fields__}
        values: dict[str, Any] = {}
        for key, value in document.items():
            if key not in known:
                raise ValueError(f"settings: {key!r} is unknown, known are {', '.join(sorted(known))}")
            values[known[key]] = tuple(value) if isinstance(value, list) else value
        default = cls()
        for name, value in values.items():
            want = type(getattr(default, name))
            if want is float and isinstance(value, int) and not isinstance(value, bool):
                values[name] = float(value)
            elif not isinstance(value, Mapping if want is dict else want) or (want is int and isinstance(value, bool)):
                raise ValueError(f"settings: {_camel(name)} is {value!r}, it must be of type {want.__name__}")
        found = cls(**values)
        found._check()
        return found

    def _check(self) -> None:
        """Refuse what would fail in every session later.

        :raises ValueError: with the name of the setting.
        """
        for address in self.relay_addresses:
            try:
                # Of a text: a number would be an address, too.
                ipaddress.ip_address(str(address))
            except ValueError:
                said = f"settings: relayAddresses has {address!r}, which is no IP address"
                raise ValueError(f"{said}: policies and desktops need 192.0.2.10, not a name") from None
        if not self.idle_look_seconds >= SHORTEST_LOOK_SECONDS:  # nan is no time either
            said = f"settings: idleLookSeconds is {self.idle_look_seconds:g}, {SHORTEST_LOOK_SECONDS:g} is the least"
            raise ValueError(f"{said}: each look costs every such desktop a request")
        for name in ("gpus", "sessions_per_user", "sessions_per_namespace"):
            if getattr(self, name) < 0:
                raise ValueError(f"settings: {_camel(name)} is {getattr(self, name)}, it must be 0 or more")
        for name, priority in self.queue_priorities.items():
            if not isinstance(priority, int) or isinstance(priority, bool):
                raise ValueError(f"settings: queuePriorities has {priority!r} for {name}, it must be a whole number")
        if not self.turn_lifetime_seconds >= SHORTEST_TURN_SECONDS:  # nan is no time either
            said = f"settings: turnLifetimeSeconds is {self.turn_lifetime_seconds:g}, {SHORTEST_TURN_SECONDS:g}"
            raise ValueError(f"{said} are the least: half of it has to last for a desktop to connect")


def load(path: Path) -> Settings:
    """From the chart's file.

    :raises ValueError: it is not what it must be.
    :raises OSError: it cannot be read.
    """
    document = yaml.safe_load(path.read_text())
    if not isinstance(document, dict):
        raise ValueError(f"{path}: not a mapping")
    return Settings.of(document)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
