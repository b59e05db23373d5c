"""The two kinds as CustomResourceDefinitions: the one source of the chart's CRDs, of defaults and of `kubectl explain`.

Pure. Defaults are those of the dataclasses beside it, closed lists those of their enumerations. Every text, list and
map has a longest size, from which the API server also reckons what a rule may cost. Numbers of a spec have limits too.
"""

from __future__ import annotations

from vdi_operator.api.objects import Object
from vdi_operator.api.session import HomePolicy, OperatingMode, Session
from vdi_operator.api.shapes import (
    checked,
    column,
    definition,
    duration,
    flag,
    one_of,
    record,
    rule,
    text,
    whole,
)
from vdi_operator.api.status_schema import LONGEST_MESSAGE, MILESTONES, session_status
from vdi_operator.api.template import MOST_SESSIONS_PER_GPU, MOST_WARM_SLOTS, Dialect, Egress, Gpu, Template

__all__ = ["LONGEST_MESSAGE", "LONGEST_NAME", "MILESTONES", "RESERVED_HOSTS", "definitions"]

# Of a session: its name is part of its children's, which end at 63.
LONGEST_NAME = 40

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
                {"spec": _session_spec(), "status": session_status()},
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
                    "Where the home lies on a node that is full: Wait for it, or have a Fresh, temporary home, which "
                    "is empty and on any node the first time, and stays. It counts from the next start, or at once "
                    "while the desktop waits for a node. The user's own home is left as it is, and is there again "
                    "with Wait.",
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
