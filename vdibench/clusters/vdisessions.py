"""VDISessions and VDITemplates by their YAML: what is created, and what a status says. Pure.

The operator is another distribution: nothing of its code is used here, only the API group ``vdibench.io/v1alpha1``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from vdibench.clusters.api import SESSIONS, Object
from vdibench.clusters.phases import Outlook, Phases, in_order
from vdibench.errors import UsageError
from vdibench.records import Check, Display, Outcome
from vdibench.selkies import Dialect

__all__ = [
    "GROUP_VERSION",
    "USER_ANNOTATION",
    "USER_LABEL",
    "Offer",
    "condition_checks",
    "operated_outlook",
    "operated_phases",
    "template_offer",
    "template_path",
    "vdisession",
]

GROUP_VERSION = "vdibench.io/v1alpha1"
# On a user's home, which belongs to no session: the user as written, and a label's value for it.
USER_ANNOTATION, USER_LABEL = "vdibench.io/user", "vdibench.io/user-slug"

# Milestones of a status, in their order, and what those steps are called here.
_STEPS = {
    "accepted": "admitted",
    "homeBound": "home_bound",
    "scheduled": "scheduled",
    "containerStarted": "container_started",
    "podReady": "ready",
    "routed": "routed",
    "streamReady": "stream_ready",
    "published": "published",
}

# Reasons of Ready for which a session waits for a node, or for the volume of its home.
_WAITING = frozenset(
    {"UserLimitReached", "NamespaceLimitReached", "CapacityReached", "NoFreeSlice", "HomeNodeFull"}
    | {"Draining", "Unschedulable", "WaitingForVolume"}
)
# And those that hold until a person does something.
_HOPELESS = frozenset(
    {
        "ContainerConfig",
        "CrashLoop",
        "Deleting",
        "EvidenceExpired",
        "EvidenceMismatch",
        "EvidenceMissing",
        "EvidenceOfLab",
        "Expired",
        "Forbidden",
        "GpuAdmission",
        "HomeInUse",
        "HomeNodeLost",
        "HostTaken",
        "Idle",
        "ImageUnavailable",
        "NoRelay",
        "ProgressDeadlineExceeded",
        "QuotaExceeded",
        "SessionInvalid",
        "StreamFailed",
        "Suspended",
        "TemplateInvalid",
        "TemplateNotFound",
    }
)


def template_path(name: str) -> str:
    """Where a VDITemplate is in the API."""
    return f"/apis/{GROUP_VERSION}/namespaces/{SESSIONS}/vditemplates/{name}"


def vdisession(user: str, template: str) -> Object:
    """A session of that user, and of that name."""
    return {
        "apiVersion": GROUP_VERSION,
        "kind": "VDISession",
        "metadata": {"name": user, "namespace": SESSIONS},
        "spec": {"user": user, "templateRef": {"name": template}},
    }


class Offer(NamedTuple):
    """What the desktops of a template speak and show.

    :param encoder: as the dialect names it; empty for its usual one.
    """

    dialect: Dialect
    display: Display
    bitrate_bps: int
    encoder: str


def template_offer(template: Mapping[str, Any]) -> Offer:
    """What a VDITemplate offers.

    :raises UsageError: the document is no template of a version that is known here.
    """
    spec = template.get("spec") or {}
    display = spec.get("display") or {}
    try:
        picture = Display(int(display["width"]), int(display["height"]), int(display["framerate"]))
        return Offer(Dialect(spec["dialect"]), picture, int(display["bitrate"]), str(spec.get("encoder") or ""))
    except (KeyError, TypeError, ValueError) as error:
        name = (template.get("metadata") or {}).get("name", "")
        raise UsageError(
            f"VDITemplate {name!r} says nothing that is known of its {error}",
            "compare the versions of operator and vdibench",
        ) from error


def operated_outlook(session: Mapping[str, Any]) -> Outlook:
    """What the conditions of a VDISession promise; nothing before its operator looked at it."""
    conditions = _conditions(session)
    ready, scheduled = conditions.get("Ready", {}), conditions.get("Scheduled", {})
    status = session.get("status") or {}
    if ready.get("status") == "True" and status.get("url") and status.get("credentialsSecretRef"):
        return Outlook(ready=True, scheduled=True)
    word = str(ready.get("reason", ""))
    said = _said(ready)
    return Outlook(
        scheduled=scheduled.get("status") == "True" or word not in _WAITING,
        # A start that was given up says so; a volume, say, is tried more than once before.
        hopeless=word in _HOPELESS or bool(status.get("failure")),
        reason=said,
    )


def condition_checks(session: Mapping[str, Any]) -> tuple[Check, ...]:
    """The conditions of a VDISession that do not hold, each as a failed check; none where it is Ready."""
    conditions = _conditions(session)
    if conditions.get("Ready", {}).get("status") == "True":
        return ()
    name = str((session.get("metadata") or {}).get("name", ""))
    return tuple(
        Check(
            f"condition_{_snake(kind)}",
            Outcome.FAIL if one.get("status") == "False" else Outcome.NO_DATA,
            _said(one),
            f"status.conditions of VDISession {name}",
            f"see vdi-operator explain {name}, which has a remedy for each reason",
        )
        for kind, one in conditions.items()
        # Of an older template or not: that keeps no desktop away.
        if one.get("status") != "True" and kind != "TemplateDrifted"
    )


def operated_phases(
    status: Mapping[str, Any],
    *,
    begun_unix_seconds: float,
    published_unix_seconds: float | None = None,
    first_frame_unix_seconds: float | None = None,
) -> Phases:
    """The phases of one start, as its operator wrote them down, laid from our own beginning.

    Its clock may be another one than ours, and its beginning is a stamp in whole seconds; so its seconds count, none
    of its instants.

    :param status: of the VDISession.
    :param published_unix_seconds: when a watch told us that it is Ready.
    :param first_frame_unix_seconds: when our own client had decoded its first frame.
    """
    seconds = status.get("phases") or {}
    found: dict[str, float | None] = {}
    at = begun_unix_seconds
    for name, step in _STEPS.items():
        known = name in seconds
        at += float(seconds[name]) if known else 0.0
        found[step] = at if known else None
    if published_unix_seconds is not None:
        found["published"] = published_unix_seconds
    found["first_frame"] = first_frame_unix_seconds
    return Phases(begun_unix_seconds, in_order(begun_unix_seconds, found))


def _conditions(session: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    found = (session.get("status") or {}).get("conditions") or ()
    return {str(one.get("type", "")): one for one in found}


def _said(condition: Mapping[str, Any]) -> str:
    """Reason and message as one sentence without a full stop."""
    message = " ".join(str(condition.get("message", "")).split()).rstrip(".")
    return ": ".join(filter(None, (str(condition.get("reason", "")), message)))


def _snake(kind: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
