"""What has to be right before anything is made for a session. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vdi_operator.api.objects import Object
from vdi_operator.api.reasons import Reason
from vdi_operator.api.session import Session
from vdi_operator.api.template import Template
from vdi_operator.children import all as every
from vdi_operator.children import names
from vdi_operator.children.dialects import needs_relay
from vdi_operator.children.policy import NoAddress
from vdi_operator.core import pods
from vdi_operator.core.decision import Blocked
from vdi_operator.core.evidence import refusal
from vdi_operator.core.failures import SHARED_HOME
from vdi_operator.core.world import World

__all__ = ["Blocked", "admitted", "foreign", "own"]


def admitted(
    session: Session, template: Template | None, world: World, fault: str
) -> tuple[tuple[Object, ...], Blocked | None]:
    """The children of a session, or why it has none.

    :param world: with nothing in it that is another session's.
    :param fault: why its template, or with a template the session itself, is not what it must be.
    :returns: where only the relay, or evidence, is missing both: what is kept in order meanwhile, without a new pod.
    """
    if template is None and fault:
        return (), Blocked(Reason.TEMPLATE_INVALID, f"template {session.template}: {pods.sentence(fault)}")
    if template is None:
        said = f"there is no VDITemplate {session.template} in this namespace"
        return (), Blocked(Reason.TEMPLATE_NOT_FOUND, said)
    if fault:
        return (), Blocked(Reason.SESSION_INVALID, pods.sentence(fault))
    try:
        names.host(session, world.settings)
    except ValueError as error:
        return (), Blocked(Reason.SESSION_INVALID, pods.sentence(error))
    if world.host_holder:
        holds = f"the older session {world.host_holder} has the host {session.host or session.name}"
        said = f"{holds}: delete one of the two and create it with another host"
        return (), Blocked(Reason.HOST_TAKEN, said, ends=True)
    home = _home(session, world)
    if home is not None:
        return (), home
    try:
        objects = every.children(session, template, world)
    except NoAddress as error:
        return (), Blocked(Reason.NO_RELAY, pods.sentence(error))
    except ValueError as error:  # of the password: no other text is left that could be wrong
        return (), Blocked(Reason.CONTAINER_CONFIG, f"the Secret with the password: {pods.sentence(error)}")
    if needs_relay(template.dialect) and not any(one["kind"] == "Pod" for one in objects):
        lacks = "TURN secret" if world.relay_addresses else "address of a TURN relay"
        said = f"no {lacks} is known, and without a relay of its own a desktop would go to a public one"
        return objects, Blocked(Reason.NO_RELAY, said)
    return objects, refusal(template, world.settings, world.wall)


def foreign(owner_uid: str, one: Object) -> bool:
    """Whether an object belongs to another session, such as a deleted one of the same name.

    Its password is another user's to know, so it is not taken over.
    """
    owners = [ref for ref in one["metadata"].get("ownerReferences") or () if ref.get("kind") == "VDISession"]
    return any(ref.get("uid") != owner_uid for ref in owners)


def own(session: Session, world: World) -> World:
    """The world without what belongs to another session; a home belongs to none."""
    parts = {
        "pod": world.pod,
        "service": world.service,
        "route": world.route,
        "policy": world.policy,
        "login": world.login,
        "auth": world.auth,
        "rtc": world.rtc,
    }
    others: dict[str, Any] = {
        name: None for name, one in parts.items() if one is not None and foreign(session.uid, one)
    }
    return replace(world, **others) if others else world


def _home(session: Session, world: World) -> Blocked | None:
    if world.home is not None:
        user = (world.home["metadata"].get("annotations") or {}).get(names.USER_ANNOTATION, session.user)
        if user != session.user:
            said = f"the claim {world.home['metadata']['name']} belongs to another user"
            return Blocked(Reason.HOME_IN_USE, said, ends=True)
    if world.home_holder and not _has_home(session, world):
        said = f"the session {world.home_holder} of {session.user} has the home: suspend or delete that one"
        return Blocked(Reason.HOME_IN_USE, said, ends=True)
    return None


def _has_home(session: Session, world: World) -> bool:
    """Whether this session's pod, and not the other one's, gets the home.

    Two that were made at the same moment both hold it until one has a node. If each gave way to the other, neither
    would ever start: so the first by name stays.
    """
    pod = world.pod
    if pod is None or pods.node(pod):
        return pod is not None
    told = str(pods.condition(pod, "PodScheduled").get("message") or "")
    return session.name < world.home_holder and SHARED_HOME not in told
