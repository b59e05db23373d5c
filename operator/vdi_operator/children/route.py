"""The way of a user to the desktop: exactly one host, and only the paths that the dialect needs. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from vdi_operator.api.objects import Object
from vdi_operator.api.session import Session
from vdi_operator.api.template import Template
from vdi_operator.children import dialects, names
from vdi_operator.children.kinds import KINDS
from vdi_operator.settings import Settings

__all__ = ["route"]


def route(session: Session, template: Template, settings: Settings) -> Object:
    """Its IngressRoute: a rule for what the desktop guards itself, and one behind a question of the proxy's own.

    :raises ValueError: the host is none.
    """
    kind = KINDS["IngressRoute"]
    rules = [_rule(session, settings, dialects.paths(template.dialect), settings.middlewares)]
    unasked = dialects.unasked_paths(template.dialect)
    if unasked:
        # Last, so that whom the site's own sign-on does not know is not asked for a password.
        rules.append(_rule(session, settings, unasked, (*settings.middlewares, names.login_name(session))))
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": names.metadata(session, names.route_name(session), "desktop"),
        "spec": {
            "entryPoints": list(settings.entry_points),
            "routes": rules,
            # The default store's wildcard; a resolver here would order a certificate a session.
            "tls": {},
        },
    }


def _rule(session: Session, settings: Settings, paths: Sequence[str], middlewares: Sequence[str]) -> Object:
    return {
        "kind": "Rule",
        "match": f"Host(`{names.host(session, settings)}`) && ( {' || '.join(paths)})",
        "middlewares": [{"name": name} for name in middlewares],
        "services": [{"name": names.service_name(session), "port": names.SESSION_PORT}],
    }
