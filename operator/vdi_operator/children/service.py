"""The Service of a desktop. Pure."""

from __future__ import annotations

from vdi_operator.api.objects import Object
from vdi_operator.api.session import Session
from vdi_operator.children import names

__all__ = ["service"]


def service(session: Session) -> Object:
    """What the route leads to: the session's pod and no other."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": names.metadata(session, names.service_name(session), "desktop"),
        "spec": {
            "selector": names.selector(session),
            "ports": [{"name": "http", "port": names.SESSION_PORT, "targetPort": "http"}],
        },
    }
