"""Parameters of suites: frozen dataclasses whose fields carry their help, unit and bounds.

The ``parameters`` cell of each notebook has the same names, types and defaults (a test compares them).
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from vdibench.errors import ParameterError
from vdibench.lab import workloads
from vdibench.records import Display
from vdibench.selkies import Dialect
from vdibench.targets import (
    FORMS,
    UNKNOWN_CLOCK_SECONDS,
    Wanted,
    clock_bound_seconds,
    credentials,
    parse_target,
    session_token,
)
from vdibench.telemetry.prometheus import Access, Prometheus

__all__ = ["DesktopParameters", "RunParameters", "build", "parameter"]

P = TypeVar("P")


def parameter(default: Any, help_text: str, *, minimum: float | None = None, choices: tuple[str, ...] = ()) -> Any:
    """A dataclass field with its help; numbers below ``minimum`` and texts outside ``choices`` are refused."""
    return field(default=default, metadata={"help": help_text, "minimum": minimum, "choices": choices})


@dataclass(frozen=True)
class RunParameters:
    """What every suite takes."""

    target: str = parameter("lab", FORMS)
    context: str = parameter(
        "", "context of your kubeconfig, for targets manifests and operator; empty: a lab's cluster"
    )
    profile: str = parameter("smoke", "name of the parameter profile, for the record")
    objectives: str = parameter("lab", "objective file: a name in params/ or a path")
    results: str = parameter("results", "folder for runs")
    run: str = parameter("", "run folder to add to; empty: a new one")

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            _validate(item, getattr(self, item.name))
        address = parse_target(self.target)
        if self.context and not (address.on_cluster and not address.name):
            raise ParameterError(
                f"target {address} is on no cluster of yours, and context {self.context!r} is given",
                "give target manifests or operator, or leave the context out",
            )

    def clock_bound_seconds(self) -> float:
        """How far the desktops' clock may be from where we put it, before anything is compared."""
        return UNKNOWN_CLOCK_SECONDS if self.context else clock_bound_seconds(parse_target(self.target))


@dataclass(frozen=True)
class DesktopParameters(RunParameters):
    """What suites that watch desktops take."""

    width: int = parameter(1920, "picture width of lab desktops in pixels", minimum=512)
    height: int = parameter(1080, "picture height of lab desktops in pixels", minimum=256)
    framerate: int = parameter(60, "nominal frames per second", minimum=8)
    bitrate_bps: int = parameter(8_000_000, "video bit rate of lab desktops in bits per second", minimum=100_000)
    workload: str = parameter("text", "what lab desktops show; several, commas between, are dealt out in turn")
    dialect: str = parameter(
        "", "wanted dialect; empty: selkies-2-webrtc in a lab, any at a URL", choices=("", *Dialect)
    )
    template: str = parameter("desktop", "VDITemplate of the sessions of target operator")
    user: str = parameter("", "user of a URL's desktop; its password comes from VDIBENCH_PASSWORD")
    take_control: bool = parameter(False, "of a URL's desktop: evicts its user, sends input")
    ca_file: str = parameter("", "PEM file of an own certificate authority")
    insecure: bool = parameter(False, "accept any TLS certificate")
    gpu: bool = parameter(False, "the desktops should have a GPU")
    gpu_metrics: str = parameter("", "URL of a Prometheus that scrapes the GPUs' DCGM exporter; empty: NVML here")
    gpu_matchers: str = parameter("", "PromQL label matchers that choose GPUs there, commas between; empty: all")

    def __post_init__(self) -> None:
        super().__post_init__()
        workloads(self.workload)
        if self.gpu_metrics:
            Prometheus(self.gpu_metrics, Access.from_environment())  # refuses what cannot be
        elif self.gpu_matchers:
            raise ParameterError(
                f"gpu_matchers is {self.gpu_matchers!r}, and no Prometheus is named", "name it in gpu_metrics"
            )

    def wanted(self, desktops: int = 1) -> Wanted:
        """What is asked of the target."""
        return Wanted(
            desktops=desktops,
            display=Display(self.width, self.height, self.framerate),
            workloads=workloads(self.workload),
            bitrate_bps=self.bitrate_bps,
            credentials=credentials(self.user) if self.target.startswith("url:") else None,
            take_control=self.take_control,
            ca_file=self.ca_file,
            insecure=self.insecure,
            gpu=self.gpu,
            token=session_token() if self.target.startswith("url:") else "",
            dialect=Dialect(self.dialect) if self.dialect else None,
            context=self.context,
            template=self.template,
            relay_only=getattr(self, "relay_only", False),
        )


def build(kind: type[P], values: Mapping[str, Any]) -> P:
    """Make parameters from names and values, as a profile or a command line gives them.

    :raises ParameterError: an unknown name, with the nearest known one; a wrong type; a value out of range.
    """
    # ``kind`` is any of the suites' dataclasses: typeshed has no name for "a dataclass".
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in values:
        if name not in fields:
            near = difflib.get_close_matches(name, fields, 1)
            raise ParameterError(
                f"unknown parameter {name!r}", f"did you mean {near[0]!r}?" if near else f"known: {', '.join(fields)}"
            )
    return kind(**values)


def _validate(item: dataclasses.Field[Any], value: Any) -> None:
    wanted = type(item.default)
    # bool is an int to Python, and 20 is as good as 20.0 to a person.
    fits = type(value) is wanted or (wanted is float and type(value) is int)
    if not fits:
        raise ParameterError(
            f"parameter {item.name} is {value!r}", f"give a {wanted.__name__}: {item.metadata['help']}"
        )
    minimum = item.metadata.get("minimum")
    if minimum is not None and not (math.isfinite(value) and value >= minimum):
        raise ParameterError(f"parameter {item.name} is {value}", f"give at least {minimum}: {item.metadata['help']}")
    choices = item.metadata.get("choices")
    if choices and value not in choices:
        raise ParameterError(f"parameter {item.name} is {value!r}", f"give one of {', '.join(choices)}")
