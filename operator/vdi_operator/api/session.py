"""VDISession as a value. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from vdi_operator.api.durations import seconds
from vdi_operator.api.objects import Object

__all__ = ["OperatingMode", "Session"]


class OperatingMode(StrEnum):
    """What a user wants of a session."""

    RUNNING = "Running"
    SUSPENDED = "Suspended"


@dataclass(frozen=True, slots=True)
class Session:
    """One user's wish for a desktop.

    :param name: also the label ``app.kubernetes.io/instance`` and part of its children's names: a DNS label ≤ 40.
    :param user: as the site writes users; any text.
    :param host: first label of its host, empty: the name.
    :param lifetime_seconds: shorter than the template's, None: the template's.
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
    lifetime_seconds: float | None = None
    created_unix_seconds: float = 0.0
    deleting: bool = False
    resource_version: str = ""
    status: Object = field(default_factory=dict)

    @classmethod
    def of(cls, one: Mapping[str, Any]) -> Session:
        """From a document.

        :raises ValueError: a field is not what the schema allows; the message names it.
        """
        metadata, spec = one["metadata"], one.get("spec") or {}
        created = metadata.get("creationTimestamp")
        lifetime = spec.get("lifetime")
        try:
            return cls(
                namespace=metadata.get("namespace", ""),
                name=metadata["name"],
                uid=metadata.get("uid", ""),
                generation=metadata.get("generation", 0),
                user=spec["user"],
                template=spec["templateRef"]["name"],
                mode=OperatingMode(spec.get("operatingMode", OperatingMode.RUNNING)),
                host=spec.get("host", ""),
                lifetime_seconds=None if lifetime is None else seconds(lifetime),
                created_unix_seconds=datetime.fromisoformat(created).timestamp() if created else 0.0,
                deleting=bool(metadata.get("deletionTimestamp")),
                resource_version=metadata.get("resourceVersion", ""),
                status=dict(one.get("status") or {}),
            )
        except KeyError as error:
            raise ValueError(f"spec.{error.args[0]} is missing") from None
