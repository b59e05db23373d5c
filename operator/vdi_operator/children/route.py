"""The way of a user to the desktop: exactly one host, and only the paths that the dialect needs. Pure."""

from __future__ import annotations

from vdi_operator.api.objects import Object
from vdi_operator.api.session import Session
from vdi_operator.api.template import Template
from vdi_operator.children import dialects, names
from vdi_operator.children.kinds import KINDS
from vdi_operator.settings import Settings

__all__ = ["route"]


def route(session: Session, template: Template, settings: Settings) -> Object:
    """Its IngressRoute.

    :raises ValueError: the host is none.
    """
    kind = KINDS["IngressRoute"]
    allowed = " || ".join(dialects.paths(template.dialect))
    rule = {
        "kind": "Rule",
        "match": f"Host(`{names.host(session, settings)}`) && ( {allowed})",
        "middlewares": [{"name": name} for name in settings.middlewares],
        "services": [{"name": names.service_name(session), "port": names.SESSION_PORT}],
    }
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": names.metadata(session, names.route_name(session), "desktop"),
        "spec": {
            "entryPoints": list(settings.entry_points),
            "routes": [rule],
            # The default store's wildcard; a resolver here would order a certificate a session.
            "tls": {},
        },
    }
