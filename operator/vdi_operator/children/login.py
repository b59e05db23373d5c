"""The proxy's own question for the session's password, at paths where the desktop asks for none. Pure.

Selkies 2.x tells anybody who asks that it runs and in which mode, and its page needs the mode. So Traefik asks, for the
same user and password as the desktop does everywhere else.
"""

from __future__ import annotations

from vdi_operator.api.objects import Object
from vdi_operator.api.session import Session
from vdi_operator.api.template import Template
from vdi_operator.children import dialects, names
from vdi_operator.children.kinds import KINDS

__all__ = ["login"]

# As Selkies calls its own: browsers keep what was typed by host and realm, and another one would have them ask again.
_REALM = "Selkies Restricted"


def login(session: Session, template: Template) -> Object | None:
    """Its Middleware; None where the desktop itself asks at every path of its route.

    The Secret is the one with the session's password, which Traefik reads by its type. Without it, or where it is of
    another type, Traefik has no way to those paths at all: they are 404.
    """
    if not dialects.unasked_paths(template.dialect):
        return None
    kind = KINDS["Middleware"]
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": names.metadata(session, names.login_name(session), "desktop"),
        "spec": {"basicAuth": {"secret": names.auth_name(session), "realm": _REALM, "removeHeader": False}},
    }
