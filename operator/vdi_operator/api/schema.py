"""The two kinds as CustomResourceDefinitions: the one source of the chart's CRDs, of defaults and of `kubectl explain`.

Pure. Defaults are those of the dataclasses beside it, closed lists those of their enumerations. Every text, list and
map has a longest size, from which the API server also reckons what a rule may cost. Numbers of a spec have limits too,
those of a status do not: refusing what was observed would only hide it.
"""

from __future__ import annotations

from vdi_operator.api.objects import Object
from vdi_operator.api.reasons import ConditionType, Reason
from vdi_operator.api.session import LONGEST_WAKE, HomePolicy, OperatingMode, Session
from vdi_operator.api.shapes import (
    checked,
    column,
    definition,
    duration,
    flag,
    integer,
    moment,
    number,
    one_of,
    record,
    rule,
    text,
    whole,
)
from vdi_operator.api.template import MOST_SESSIONS_PER_GPU, MOST_WARM_SLOTS, Dialect, Egress, Gpu, Template

__all__ = ["LONGEST_MESSAGE", "LONGEST_NAME", "MILESTONES", "RESERVED_HOSTS", "definitions"]

# Of a session: its name is part of its children's, which end at 63.
LONGEST_NAME = 40
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

# Hosts beside the sessions' own below a site's domain, and names that browsers and mail look for by themselves.
RESERVED_HOSTS = (
    *("admin", "api", "auth", "autoconfig", "autodiscover", "checker", "dashboard", "grafana", "isatap", "localhost"),
    *("login", "mail", "metrics", "oauth", "oauth2", "oidc", "prometheus", "sso", "static", "status", "traefik"),
    *("turn", "vdi", "vdi-operator", "wpad", "www"),
)

_LABEL = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
_BYTES = r"^[1-9][0-9]{0,14}(\.[0-9]{1,3})?(k|M|G|T|Ki|Mi|Gi|Ti)?$"
_CPUS = r"^([1-9][0-9]{0,5}m|[1-9][0-9]{0,2}(\.[0-9]{1,3})?|0\.[0-9]{0,2}[1-9])$"

# Every field that need not be given is in these two.
_TEMPLATE = Template(name="", uid="", generation=0, image="")
_SESSION = Session(namespace="", name="", uid="", generation=0, user="", template="")


def definitions() -> tuple[Object, Object]:
    """The CustomResourceDefinitions of VDITemplate and VDISession, in the order in which they are created."""
    return (
        definition(
            "VDITemplate",
            "vdt",
            record("What sessions of a kind are made from.", {"spec": _template_spec()}, ["spec"]),
            rules=[rule("self.metadata.name.size() <= 63", "metadata.name must be at most 63 characters long")],
            columns=[
                column("Image", ".spec.image", wide=True),
                column("Dialect", ".spec.dialect"),
                column("Encoder", ".spec.encoder"),
                column("Age", ".metadata.creationTimestamp", "date"),
            ],
        ),
        definition(
            "VDISession",
            "vds",
            record(
                "One user's desktop: create it, wait for Ready, open status.url with the credentials.",
                {"spec": _session_spec(), "status": _session_status()},
                ["spec"],
            ),
            rules=[
                rule(
                    f"self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{{0,{LONGEST_NAME - 2}}}[a-z0-9])?$')",
                    f"metadata.name must be a DNS label of at most {LONGEST_NAME} characters: a-z, 0-9 and -",
                ),
                rule(
                    "!((has(self.spec.host) ? self.spec.host : self.metadata.name) in "
                    f"[{', '.join(repr(host) for host in RESERVED_HOSTS)}])",
                    "this host is reserved: set spec.host, or name the session otherwise",
                ),
            ],
            columns=[
                column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
                column("Reason", '.status.conditions[?(@.type=="Ready")].reason'),
                column("User", ".spec.user"),
                column("Template", ".spec.templateRef.name"),
                column("Node", ".status.node"),
                column("URL", ".status.url"),
                column("ReadyIn", ".status.readyInSeconds", "number"),
                column("Age", ".metadata.creationTimestamp", "date"),
                column("Mode", ".spec.operatingMode", wide=True),
                column("Queue", ".status.queue.position", "integer", wide=True),
            ],
            status=True,
        ),
    )


def _template_spec() -> Object:
    display, home = _TEMPLATE.display, _TEMPLATE.home
    return checked(
        record(
            "How the desktop is made. Changes hold for starts after them.",
            {
                "image": text("The desktop's image, better by digest than by tag.", 512, minLength=1, pattern=r"^\S+$"),
                "imagePullPolicy": one_of(
                    "When nodes ask the registry.", ["Always", "IfNotPresent", "Never"], _TEMPLATE.image_pull_policy
                ),
                "dialect": one_of("Which generation of Selkies it is, and how it streams.", Dialect, _TEMPLATE.dialect),
                "encoder": text(
                    "Encoder as the dialect names it. Empty: NVENC's H.264, nvh264enc for 1.6 and h264enc for 2.x.",
                    32,
                    pattern="^[a-z0-9_-]*$",
                    default=_TEMPLATE.encoder,
                ),
                "hardwareEncoding": flag(
                    "Whether encoding in software is a fault: sessions then say SoftwareFallback.",
                    _TEMPLATE.hardware_encoding,
                ),
                "display": record(
                    "The picture.",
                    {
                        "width": whole("Pixels.", 160, 7680, display.width),
                        "height": whole("Pixels.", 120, 4320, display.height),
                        "framerate": whole("Frames per second.", 1, 240, display.framerate),
                        "bitrate": whole("Bits per second.", 100_000, 500_000_000, display.bitrate),
                    },
                    default={},
                ),
                "gpu": _gpu(),
                "capacity": record(
                    "What a GPU carries, as a run of vdibench found it.",
                    {
                        "sessionsPerGPU": whole(
                            "Sessions of this template that one GPU carries. Absent: nobody counts.",
                            1,
                            MOST_SESSIONS_PER_GPU,
                        )
                    },
                ),
                "priorityClassName": text(
                    "Priority class of the pods. Which place in line it gives while GPUs are full, the site says "
                    "(queuePriorities). Absent: the cluster's default.",
                    253,
                    _SUBDOMAIN,
                    minLength=1,
                ),
                # Without a default: the spec as it is stored, of which evidence has a digest, must stay what it was.
                "warmSlots": whole(
                    "Places that are kept warm, as far as GPUs are free: pods of low priority hold image and slice "
                    "until a session comes. Absent: none.",
                    0,
                    MOST_WARM_SLOTS,
                ),
                "sharedMemory": text(
                    "Size of /dev/shm, which counts as the container's memory.", 24, _BYTES, _TEMPLATE.shared_memory
                ),
                "resources": _resources(),
                "home": record(
                    "The user's home, one for all of a user's sessions. It outlives them.",
                    {
                        "storageClassName": text(
                            "Storage class of a home that is made anew.",
                            253,
                            _SUBDOMAIN,
                            home.storage_class,
                            minLength=1,
                        ),
                        "size": text("Size of a home that is made anew.", 24, _BYTES, home.size),
                    },
                    default={},
                ),
                "egress": one_of(
                    "What the desktop may reach besides its TURN server and names.", Egress, _TEMPLATE.egress
                ),
                "lifetime": duration("Longest life of a session, from its creation, such as 8h. Absent: no end."),
                "idleTimeout": duration(
                    "Without a client for so long, such as 30m, a desktop is stopped and its session rests as Idle. "
                    "Absent: never."
                ),
                "startDeadline": duration(
                    "Longest a start may take, waiting for a free slice not counted. After it the start has failed.",
                    f"{_TEMPLATE.start_deadline_seconds:g}s",
                ),
                "prepull": flag(
                    "Whether nodes that match gpu.nodeSelector fetch the image before anybody asks for it. Absent: no."
                ),
            },
            ["image"],
        ),
        rule(
            "self.gpu.count > 0 || !self.hardwareEncoding",
            "a desktop without a GPU encodes in software: set hardwareEncoding to false",
        ),
        rule(
            "quantity(self.resources.requests.memory).compareTo(quantity(self.resources.limits.memory)) <= 0",
            "resources.requests.memory must not exceed resources.limits.memory",
        ),
        rule(
            "quantity(self.sharedMemory).compareTo(quantity(self.resources.limits.memory)) <= 0",
            "sharedMemory counts as memory: it must not exceed resources.limits.memory",
        ),
        rule(
            "!has(self.prepull) || !self.prepull || self.imagePullPolicy != 'Never'",
            "nodes that never ask the registry cannot fetch an image beforehand: leave prepull or imagePullPolicy out",
        ),
    )


def _gpu() -> Object:
    default = Gpu()
    node_selector = record(
        "Labels of nodes that have such GPUs.",
        {},
        additionalProperties=text("The label's value.", 63),
        maxProperties=8,
        default=dict(default.node_selector),
    )
    return record(
        "The slice of a GPU.",
        {
            "count": whole(
                "1: one slice. More of them would give no more of the GPU and take them from others, so there is no 2. "
                "0: none, for desktops that encode in software; such a pod runs on any node.",
                0,
                1,
                1 if _TEMPLATE.gpu else 0,
            ),
            "resource": text(
                "What the device plugin calls a slice.",
                128,
                r"^[a-z0-9][-a-z0-9.]*/[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$",
                default.resource,
            ),
            "runtimeClassName": text(
                "Runtime class of the pod. Empty: the node's default.",
                253,
                r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$",
                default.runtime_class,
            ),
            "nodeSelector": checked(
                node_selector, rule("self.all(key, key.size() <= 317)", "a label's key is at most 317 characters long")
            ),
        },
        default={},
    )


def _resources() -> Object:
    requests, limits = _TEMPLATE.requests, _TEMPLATE.limits
    return record(
        "CPU and memory of the desktop.",
        {
            "requests": record(
                "What its node keeps for it.",
                {
                    "cpu": text("Cores, such as 2 or 500m, in quotes.", 12, _CPUS, requests["cpu"]),
                    "memory": text("Bytes, such as 1Gi.", 24, _BYTES, requests["memory"]),
                },
                default={},
            ),
            "limits": record(
                "What it must not exceed. There is none on CPU: a throttled encoder is a late one.",
                {"memory": text("Bytes, such as 4Gi.", 24, _BYTES, limits["memory"])},
                default={},
            ),
        },
        default={},
    )


def _session_spec() -> Object:
    return checked(
        record(
            "What the user wants.",
            {
                "user": checked(
                    text("Whose desktop and home it is, as the site writes users.", 256, r"^\S(.*\S)?$", minLength=1),
                    rule("self == oldSelf", "user is immutable: create another session"),
                ),
                "templateRef": record(
                    "What it is made from.",
                    {
                        "name": checked(
                            text("A VDITemplate of the same namespace.", 63, _SUBDOMAIN, minLength=1),
                            rule("self == oldSelf", "templateRef is immutable: create another session"),
                        )
                    },
                    ["name"],
                ),
                "operatingMode": one_of(
                    "Suspended ends the desktop and keeps session, host and home; Running starts it again.",
                    OperatingMode,
                    _SESSION.mode,
                ),
                "host": text(
                    "First label of the desktop's host name. Absent: the session's name.", 63, _LABEL, minLength=1
                ),
                "homePolicy": one_of(
                    "Where the home lies on a node whose GPUs are full: Wait for it, or have a Fresh, temporary home "
                    "on any node. It counts from the next start, or at once while the desktop waits for a node. The "
                    "user's own home is left as it is, and is there again with Wait.",
                    HomePolicy,
                    _SESSION.home_policy,
                ),
                "lifetime": duration(
                    "Longest life of this session, from its creation. Absent, or longer than the template's: that one."
                ),
            },
            ["user", "templateRef"],
        ),
        rule(
            "has(self.host) == has(oldSelf.host) && (!has(self.host) || self.host == oldSelf.host)",
            "host is immutable: create another session",
        ),
    )


def _session_status() -> Object:
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
            "warnedOfIdle": moment("The activity after which a stop was warned of."),
        },
    )
