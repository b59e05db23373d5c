"""All children of a session. Pure."""

from __future__ import annotations

from vdi_operator.api.objects import Object
from vdi_operator.api.session import Session
from vdi_operator.api.template import Template
from vdi_operator.children.dialects import needs_relay
from vdi_operator.children.home import home
from vdi_operator.children.login import login
from vdi_operator.children.pod import pod
from vdi_operator.children.policy import policy
from vdi_operator.children.route import route
from vdi_operator.children.secrets import auth_secret, password_minted, rtc_secret
from vdi_operator.children.service import service
from vdi_operator.children.surroundings import Surroundings

__all__ = ["children"]


def children(session: Session, template: Template, world: Surroundings) -> tuple[Object, ...]:
    """Every object of a session that runs, in the order of creation: the pod last, so that it implies the rest.

    Where the dialect needs a relay and its Secret cannot be minted, neither that Secret nor the pod is among them: the
    pod would wait for the one, and must not start without.

    :raises NoAddress: of a relay.
    :raises ValueError: the host is none, or a password has to be made and the spare one is not fit.
    """
    settings, relays = world.settings, world.relay_addresses
    relayed = needs_relay(template.dialect)
    rtc = rtc_secret(session, world) if relayed else None
    asks = login(session, template)
    auth = auth_secret(session, world)
    made = [
        auth,
        *([rtc] if rtc is not None else []),
        home(session, template),
        service(session),
        *([asks] if asks is not None else []),
        route(session, template, settings),
        policy(session, template, settings, relays),
    ]
    if rtc is not None or not relayed:
        # Of the Secret as it ought to be: in the pass that makes both there is no other yet.
        made.append(pod(session, template, settings, relays, password_minted(auth)))
    return tuple(made)
