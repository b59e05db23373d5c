"""VDITemplate as a value. Pure; the schema's defaults hold here too, so that an old stored object reads alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vdi_operator.api.durations import seconds

__all__ = ["Dialect", "Display", "Egress", "Gpu", "Home", "Template"]


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
    :param start_deadline_seconds: of a start, waiting for a free slice not counted.
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
    start_deadline_seconds: float = 60.0

    @classmethod
    def of(cls, one: Mapping[str, Any]) -> Template:
        """From a document.

        :raises ValueError: a field is not what the schema allows; the message names it.
        """
        metadata, spec = one["metadata"], one.get("spec") or {}
        try:
            display, gpu, home = spec.get("display", {}), spec.get("gpu", {}), spec.get("home", {})
            resources = spec.get("resources", {})
            lifetime = spec.get("lifetime")
            slices = Gpu(
                gpu.get("resource", Gpu().resource),
                gpu.get("runtimeClassName", Gpu().runtime_class),
                dict(gpu.get("nodeSelector", Gpu().node_selector)),
            )
            return cls(
                name=metadata["name"],
                uid=metadata.get("uid", ""),
                generation=metadata.get("generation", 0),
                image=spec["image"],
                image_pull_policy=spec.get("imagePullPolicy", "IfNotPresent"),
                dialect=Dialect(spec.get("dialect", Dialect.SELKIES_2_WEBRTC)),
                encoder=spec.get("encoder", ""),
                hardware_encoding=spec.get("hardwareEncoding", True),
                display=Display(
                    display.get("width", 1920),
                    display.get("height", 1080),
                    display.get("framerate", 60),
                    display.get("bitrate", 8_000_000),
                ),
                gpu=slices if gpu.get("count", 1) else None,
                shared_memory=spec.get("sharedMemory", "1Gi"),
                requests=dict(resources.get("requests", {"cpu": "500m", "memory": "1Gi"})),
                limits=dict(resources.get("limits", {"memory": "4Gi"})),
                home=Home(home.get("storageClassName", "vdi-home"), home.get("size", "20Gi")),
                egress=Egress(spec.get("egress", Egress.NONE)),
                lifetime_seconds=None if lifetime is None else seconds(lifetime),
                start_deadline_seconds=seconds(spec.get("startDeadline", "60s")),
            )
        except KeyError as error:
            raise ValueError(f"spec.{error.args[0]} is missing") from None
