"""VDISession as a value. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from vdi_operator.api.objects import GROUP, Object
from vdi_operator.api.reading import Part

__all__ = ["LONGEST_WAKE", "WAKE_ANNOTATION", "HomePolicy", "OperatingMode", "Session"]

# Of a session that rests because nobody was at it: another value starts it again. Users write it, the operator never.
WAKE_ANNOTATION = f"{GROUP}/wake"
# So much of it counts: what a session was stopped with is kept in its status.
LONGEST_WAKE = 256


class OperatingMode(StrEnum):
    """What a user wants of a session."""

    RUNNING = "Running"
    SUSPENDED = "Suspended"


class HomePolicy(StrEnum):
    """What a user wants where the node of the home has no GPU free."""

    WAIT = "Wait"
    FRESH = "Fresh"


@dataclass(frozen=True, slots=True)
class Session:
    """One user's wish for a desktop.

    :param name: also the label ``app.kubernetes.io/instance`` and part of its children's names: a DNS label ≤ 40.
    :param user: as the site writes users; any text.
    :param host: first label of its host, empty: the name.
    :param home_policy: with ``FRESH`` the desktop has a temporary home, and the user's own is left alone.
    :param lifetime_seconds: shorter than the template's, None: the template's.
    :param wake: value of :data:`WAKE_ANNOTATION`, empty: none.
    :param created_unix_seconds: whole seconds, of the API server's clock.
    :param status: as stored, empty before the first pass.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    user: str
    template: str
    mode: OperatingMode = OperatingMode.RUNNING
    host: str = ""
    home_policy: HomePolicy = HomePolicy.WAIT
    lifetime_seconds: float | None = None
    wake: str = ""
    created_unix_seconds: float = 0.0
    deleting: bool = False
    resource_version: str = ""
    status: Object = field(default_factory=dict)

    @classmethod
    def of(cls, one: Mapping[str, Any]) -> Session:
        """From a document.

        :raises ValueError: a field is not what the schema allows; the message names it.
        """
        document = Part(one)
        metadata, spec = document.part("metadata"), document.part("spec")
        created = metadata.text("creationTimestamp", "")
        return cls(
            namespace=metadata.text("namespace", ""),
            name=metadata.text("name"),
            uid=metadata.text("uid", ""),
            generation=metadata.whole("generation", 0),
            user=spec.text("user"),
            template=spec.part("templateRef").text("name"),
            mode=spec.choice("operatingMode", OperatingMode.RUNNING),
            host=spec.text("host", ""),
            home_policy=spec.choice("homePolicy", HomePolicy.WAIT),
            lifetime_seconds=spec.duration("lifetime"),
            wake=str(metadata.texts("annotations", {}).get(WAKE_ANNOTATION, ""))[:LONGEST_WAKE],
            created_unix_seconds=datetime.fromisoformat(created).timestamp() if created else 0.0,
            deleting=bool(metadata.text("deletionTimestamp", "")),
            resource_version=metadata.text("resourceVersion", ""),
            status=dict(one.get("status") or {}),
        )
