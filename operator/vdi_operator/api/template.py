"""VDITemplate as a value. Pure; the schema's defaults hold here too, so that an old stored object reads alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from vdi_operator.api.evidence import Evidence, digest
from vdi_operator.api.reading import Part

__all__ = ["MOST_SESSIONS_PER_GPU", "MOST_WARM_SLOTS", "Dialect", "Display", "Egress", "Gpu", "Home", "Template"]

# As the schema has it.
MOST_SESSIONS_PER_GPU = 64
MOST_WARM_SLOTS = 64


class Dialect(StrEnum):
    """How Selkies speaks; named as vdibench names them."""

    SELKIES_1_WEBRTC = "selkies-1-webrtc"
    SELKIES_2_WEBRTC = "selkies-2-webrtc"
    SELKIES_2_WEBSOCKET = "selkies-2-websocket"


class Egress(StrEnum):
    """What a desktop may reach besides its relay and names."""

    NONE = "none"
    INTERNET = "internet"


@dataclass(frozen=True, slots=True)
class Display:
    """Picture: pixels, frames per second, bits per second."""

    width: int = 1920
    height: int = 1080
    framerate: int = 60
    bitrate: int = 8_000_000


@dataclass(frozen=True, slots=True)
class Gpu:
    """One slice of a GPU, always one.

    :param resource: what the device plugin calls a slice.
    :param runtime_class: of the pod, empty: the node's default.
    :param node_selector: of nodes that have such GPUs.
    """

    resource: str = "nvidia.com/gpu"
    runtime_class: str = "nvidia"
    node_selector: Mapping[str, str] = field(default_factory=lambda: {"nvidia.com/gpu.present": "true"})


@dataclass(frozen=True, slots=True)
class Home:
    """Claim of a user's home; sizes are Kubernetes quantities."""

    storage_class: str = "vdi-home"
    size: str = "20Gi"


@dataclass(frozen=True, slots=True)
class Template:
    """What every session of a kind is made from.

    :param encoder: as the dialect names it; empty: ``nvh264enc`` for 1.6, ``h264enc`` for 2.x.
    :param hardware_encoding: whether software in its place is a fault.
    :param gpu: None: no slice at all.
    :param shared_memory: quantity of ``/dev/shm``.
    :param requests: ``cpu`` and ``memory``.
    :param limits: ``memory``.
    :param lifetime_seconds: longest life of a session, None: no end.
    :param idle_timeout_seconds: without a client, after which a desktop is stopped, None: never.
    :param start_deadline_seconds: of a start, waiting for a free slice or a place not counted.
    :param sessions_per_gpu: that one GPU carries, None: nobody counts.
    :param priority_class: of its pods, and by it their place in line; empty: the cluster's default.
    :param warm_slots: places that are kept warm for the next sessions, where GPUs are free.
    :param prepull: whether nodes have the image before anybody asks for it.
    :param evidence: of the run that it was graduated from, None: of none.
    :param spec_digest: of its spec as it is stored, which has defaults that a written one lacks; see
        :func:`~vdi_operator.api.evidence.digest`.
    """

    name: str
    uid: str
    generation: int
    image: str
    image_pull_policy: str = "IfNotPresent"
    dialect: Dialect = Dialect.SELKIES_2_WEBRTC
    encoder: str = ""
    hardware_encoding: bool = True
    display: Display = Display()
    gpu: Gpu | None = Gpu()
    shared_memory: str = "1Gi"
    requests: Mapping[str, str] = field(default_factory=lambda: {"cpu": "500m", "memory": "1Gi"})
    limits: Mapping[str, str] = field(default_factory=lambda: {"memory": "4Gi"})
    home: Home = Home()
    egress: Egress = Egress.NONE
    lifetime_seconds: float | None = None
    idle_timeout_seconds: float | None = None
    start_deadline_seconds: float = 60.0
    sessions_per_gpu: int | None = None
    priority_class: str = ""
    warm_slots: int = 0
    prepull: bool = False
    evidence: Evidence | None = None
    spec_digest: str = field(default="", compare=False)

    @classmethod
    def of(cls, one: Mapping[str, Any]) -> Template:
        """From a document.

        :raises ValueError: a field is not what the schema allows, or evidence in its annotations not what it must be;
            the message names it.
        """
        document = Part(one)
        metadata, spec = document.part("metadata"), document.part("spec")
        plain = cls(
            name=metadata.text("name"),
            uid=metadata.text("uid", ""),
            generation=metadata.whole("generation", 0),
            image=spec.text("image"),
        )
        display, home, resources = spec.part("display"), spec.part("home"), spec.part("resources")
        requests, limits = resources.part("requests"), resources.part("limits")
        deadline = spec.duration("startDeadline")
        return replace(
            plain,
            image_pull_policy=spec.text("imagePullPolicy", plain.image_pull_policy),
            dialect=spec.choice("dialect", plain.dialect),
            encoder=spec.text("encoder", plain.encoder),
            hardware_encoding=spec.flag("hardwareEncoding", plain.hardware_encoding),
            display=Display(
                display.whole("width", plain.display.width),
                display.whole("height", plain.display.height),
                display.whole("framerate", plain.display.framerate),
                display.whole("bitrate", plain.display.bitrate),
            ),
            gpu=_gpu(spec.part("gpu")),
            shared_memory=spec.text("sharedMemory", plain.shared_memory),
            requests={name: requests.text(name, value) for name, value in plain.requests.items()},
            limits={name: limits.text(name, value) for name, value in plain.limits.items()},
            home=Home(
                home.text("storageClassName", plain.home.storage_class),
                home.text("size", plain.home.size),
            ),
            egress=spec.choice("egress", plain.egress),
            lifetime_seconds=spec.duration("lifetime"),
            idle_timeout_seconds=spec.duration("idleTimeout"),
            start_deadline_seconds=plain.start_deadline_seconds if deadline is None else deadline,
            sessions_per_gpu=_per_gpu(spec.part("capacity")),
            priority_class=spec.text("priorityClassName", plain.priority_class),
            warm_slots=_warm_slots(spec),
            prepull=spec.flag("prepull", plain.prepull),
            evidence=Evidence.of(metadata.texts("annotations", {})),
            spec_digest=digest(one.get("spec")),
        )


def _gpu(part: Part) -> Gpu | None:
    default = Gpu()
    count = part.whole("count", 1)
    if count not in (0, 1):
        raise ValueError(f"spec.gpu.count is {count}, it must be 0 or 1: more slices give no more of the GPU")
    if count == 0:
        return None
    return Gpu(
        part.text("resource", default.resource),
        part.text("runtimeClassName", default.runtime_class),
        part.texts("nodeSelector", default.node_selector),
    )


def _per_gpu(part: Part) -> int | None:
    if not part.has("sessionsPerGPU"):
        return None
    found = part.whole("sessionsPerGPU", 0)
    if not 1 <= found <= MOST_SESSIONS_PER_GPU:
        raise ValueError(f"spec.capacity.sessionsPerGPU is {found}, it must be 1 to {MOST_SESSIONS_PER_GPU}")
    return found


def _warm_slots(spec: Part) -> int:
    found = spec.whole("warmSlots", 0)
    if not 0 <= found <= MOST_WARM_SLOTS:
        raise ValueError(f"spec.warmSlots is {found}, it must be 0 to {MOST_WARM_SLOTS}")
    return found
