"""The status of a VDISession as a schema. Pure.

Numbers of a status have no limits: refusing what was observed would only hide it.
"""

from __future__ import annotations

from vdi_operator.api.objects import Object
from vdi_operator.api.reasons import ConditionType, Reason
from vdi_operator.api.session import LONGEST_WAKE
from vdi_operator.api.shapes import flag, integer, moment, number, one_of, record, text

__all__ = ["LONGEST_MESSAGE", "MILESTONES", "session_status"]

# Of a condition, as everywhere in Kubernetes.
LONGEST_MESSAGE = 32_768

# What a start passes, in this order; `status.phases` has the seconds that led to each.
MILESTONES = {
    "accepted": "The operator took the session up.",
    "homeBound": "The home has its volume.",
    "scheduled": "The pod has its node.",
    "containerStarted": "The container runs; the image is there.",
    "podReady": "Its readiness probe passed.",
    "routed": "Traefik leads to it.",
    "streamReady": "The checker decoded a frame on the users' route.",
    "published": "The URL was put into the status.",
}


def session_status() -> Object:
    """All that the operator writes."""
    condition = {
        "type": one_of("What it is about.", ConditionType),
        "status": one_of("Whether it holds.", ["True", "False", "Unknown"]),
        "reason": one_of("Why, one word of a closed list.", Reason),
        "message": text("Why, in a sentence.", LONGEST_MESSAGE),
        "lastTransitionTime": moment("When `status` last changed."),
        "observedGeneration": integer("Generation of the session that it was found for."),
    }
    stream = {
        "podUID": text("Uid of the pod that showed it.", 64),
        "leftAt": moment("When the checker had left."),
        "codec": text("Codec that arrived, such as H264.", 64),
        "encoder": text("Encoder in use, as the desktop names it.", 64),
        "hardware": flag("Whether hardware encodes. Absent: the desktop does not say."),
        "transport": text("What carried the media, such as webrtc over udp by relay.", 128),
        "width": integer("Pixels."),
        "height": integer("Pixels."),
        "firstFrameSeconds": number("From the checker's connecting to its first frame."),
    }
    ended = {
        "reason": one_of("Why, one word of a closed list.", Reason),
        "message": text("Why, in a sentence.", LONGEST_MESSAGE),
        "at": moment("When."),
    }
    restart = ended | {
        "podUID": text("Uid of its pod. Absent: none was made.", 64),
        "released": flag("Whether the next one was asked for since."),
    }
    idle = {
        "at": moment("When the desktop was stopped."),
        "since": moment("Since when nobody was at it."),
        "generation": integer("Generation of the session that was stopped; another one starts it again."),
        "wake": text("Value of the annotation vdibench.io/wake then; another one starts it again.", LONGEST_WAKE),
    }
    failure = ended | {
        "generation": integer("Generation of the session that failed."),
        "template": text("Uid and generation of the template that it failed with.", 128),
    }
    return record(
        "What the operator found.",
        {
            "observedGeneration": integer("Generation of the session that this status is about."),
            "conditions": {
                "type": "array",
                "description": "What holds and why; Ready is the sum of them.",
                "maxItems": 16,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": record(
                    "What holds, or not, and why.",
                    condition,
                    ["type", "status", "reason", "message", "lastTransitionTime"],
                ),
            },
            "url": text("Where the desktop is, once a frame was seen there.", 2048),
            "host": text("Its host name.", 253),
            "node": text("Where it runs.", 253),
            "credentialsSecretRef": record(
                "What to open it with.", {"name": text("A Secret of the same namespace.", 253)}, ["name"]
            ),
            "stream": record("What the checker saw on the users' route.", stream),
            "milestones": record(
                "When the present start came how far.", {name: moment(what) for name, what in MILESTONES.items()}
            ),
            "phases": record(
                "Seconds of the present start that led to each milestone. They add up to readyInSeconds.",
                {name: number(f"Until: {what}") for name, what in MILESTONES.items()},
            ),
            "readyInSeconds": number("From the wish (creation or resume) to the published URL."),
            "queue": record(
                "Where the session stands while it waits for others.",
                {
                    "position": integer("Among those who wait for the same, from 1."),
                    "waiting": integer("How many wait for the same, this one included."),
                },
            ),
            "startedAt": moment("When the present start was wished for."),
            "expiresAt": moment("When the session's life ends."),
            "turnExpiresAt": moment("When the present TURN credentials end; they are replaced before."),
            "attempts": integer("Desktops of the present start that ended by themselves."),
            "podUID": text("Uid of the pod that this status is about.", 64),
            "restart": record("The last desktop of the present start that ended by itself.", restart),
            "failure": record("Why the present start was given up; another session or template begins anew.", failure),
            "waitedUntil": moment("When the present start had waited for others, which its deadline does not count."),
            "warnedOfEnd": moment("The end of life that was warned of."),
            "lastActivityTime": moment(
                "When somebody was last at the desktop, or may have been, to within minutes. Only with idleTimeout."
            ),
            "idle": record("Why the session rests: nobody was at its desktop.", idle),
            "warnedOfIdle": moment("The stop that was warned of, as nobody is there."),
        },
    )
