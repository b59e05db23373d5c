"""What NVIDIA's DCGM exporter says of GPUs, as figures of the table ``resources``.

Pure. :class:`vdibench.telemetry.scraped.DcgmGpus` fetches what is read here.

**A figure is a device's and never a session's.** DCGM counts by device. Where a GPU is time-sliced, the exporter names
the last pod of a device, or repeats the device's value for each pod (``vgpu``), or states shares beside it: so ``pod``,
``namespace`` and ``container`` are not read, a device has one value an instant, and copies of it must agree, or there
is no figure and a reason. Instances of MIG are devices of their own, with resources of their own.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from prometheus_client.parser import text_string_to_metric_families

from vdibench.errors import ProtocolViolation
from vdibench.telemetry.prometheus import Sample

__all__ = [
    "FIELDS",
    "NAMES",
    "DcgmFigure",
    "DcgmReading",
    "Field",
    "GpuDevice",
    "Refusal",
    "Sampling",
    "Scopes",
    "parse",
    "reading",
]

_ENCODER = "DCGM_FI_DEV_ENC_UTIL"
_USED, _FREE = "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE"
# They have no NVENC, and DCGM says 0 % of it; NVML's reader says nothing there, and nor shall this one.
_WITHOUT_ENCODER = re.compile(r"\b(?:A100|A30|H100|G?H200)\b")


@dataclass(frozen=True, slots=True)
class Field:
    """A metric of the exporter that is read.

    :param resource: what it is called of a whole device.
    :param per_unit: how many of the exporter's units are one of ours.
    :param most: the largest possible value in the exporter's unit; DCGM's "blank" values lie above.
    :param instance_resource: what it is called of a MIG instance; empty where an instance has none of its own.
    :param averaged: it is a mean over the time since the sample before.
    """

    resource: str
    per_unit: float
    most: float
    instance_resource: str = ""
    averaged: bool = False


FIELDS: Mapping[str, Field] = MappingProxyType(
    {
        "DCGM_FI_DEV_GPU_UTIL": Field("gpu_utilization_ratio", 100, 100),
        _ENCODER: Field("gpu_encoder_utilization_ratio", 100, 100),
        # MiB, up to a tebibyte.
        _USED: Field("gpu_memory_bytes", 2.0**-20, 2**20, "mig_memory_bytes"),
        "DCGM_FI_DEV_POWER_USAGE": Field("gpu_power_watts", 1, 10_000),
        "DCGM_FI_PROF_GR_ENGINE_ACTIVE": Field(
            "gpu_engine_active_ratio", 1, 1, "mig_engine_active_ratio", averaged=True
        ),
        "DCGM_FI_PROF_SM_ACTIVE": Field("gpu_sm_active_ratio", 1, 1, "mig_sm_active_ratio", averaged=True),
    }
)
# What is read: of free memory comes no figure, but how much there is to have.
NAMES = (*FIELDS, _FREE)


@dataclass(frozen=True, slots=True)
class GpuDevice:
    """A GPU, or an instance of one.

    :param uuid: of the GPU.
    :param index: the exporter's number of the GPU on its node; None when it does not say.
    :param instance: of MIG; empty for the whole GPU.
    """

    uuid: str
    index: int | None = None
    instance: str = ""
    profile: str = ""
    model: str = ""
    node: str = ""

    def __str__(self) -> str:
        mig = f", MIG {self.profile or 'instance'}" if self.instance else ""
        where = f" on {self.node}" if self.node else ""
        return f"{self.uuid} {self.model or 'GPU'}{mig}{where}"


@dataclass(frozen=True, slots=True)
class DcgmFigure:
    """One figure of one device.

    :param unix_seconds: by the clock of whoever scraped it.
    :param averaged: see :class:`Field`.
    """

    device: GpuDevice
    resource: str
    value: float
    unix_seconds: float
    averaged: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a device has no such figure although something was said of it."""

    device: GpuDevice
    resource: str
    reason: str


@dataclass(frozen=True, slots=True)
class DcgmReading:
    """What some samples come to: at most one figure or refusal by device and resource.

    :param frame_buffers: used and free memory together, in bytes, of devices that say both.
    """

    figures: tuple[DcgmFigure, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    frame_buffers: tuple[tuple[GpuDevice, float], ...] = ()


def parse(text: str, unix_seconds: float) -> tuple[Sample, ...]:
    """The samples of :data:`NAMES` in an exporter's ``/metrics``.

    :param unix_seconds: when it was read.
    :raises ProtocolViolation: it is not Prometheus' text format.
    """
    try:
        return tuple(
            Sample({"__name__": one.name, **one.labels}, unix_seconds, float(one.value))
            for family in text_string_to_metric_families(text)
            for one in family.samples
            if one.name in NAMES and not math.isnan(one.value)
        )
    except (ArithmeticError, LookupError, ValueError) as error:
        raise ProtocolViolation(
            f"the exporter's text cannot be read: {str(error) or type(error).__name__}", "give its /metrics"
        ) from error


def reading(samples: Iterable[Sample]) -> DcgmReading:
    """One figure by device and resource, of the latest instant of which there are samples."""
    devices: dict[tuple[str, str], GpuDevice] = {}
    groups: dict[tuple[str, str, str], list[Sample]] = {}
    for sample in samples:
        name = sample.labels.get("__name__", "")
        uuid = sample.labels.get("UUID") or sample.labels.get("uuid", "")
        if name not in NAMES or not uuid or math.isnan(sample.value):
            continue
        apart = name == _FREE or FIELDS[name].instance_resource
        instance = sample.labels.get("GPU_I_ID", "") if apart else ""
        devices.setdefault((uuid, instance), _device(uuid, instance, sample.labels))
        groups.setdefault((uuid, instance, name), []).append(sample)
    figures: list[DcgmFigure] = []
    refusals: list[Refusal] = []
    for (uuid, instance, name), copies in groups.items():
        if name == _FREE:
            continue
        device, field = devices[uuid, instance], FIELDS[name]
        if name == _ENCODER and _WITHOUT_ENCODER.search(device.model):
            continue
        resource = field.instance_resource if instance else field.resource
        one = _agreed(copies, bool(instance), field.most)
        if isinstance(one, str):
            refusals.append(Refusal(device, resource, one))
        else:
            figures.append(DcgmFigure(device, resource, one.value / field.per_unit, one.unix_seconds, field.averaged))
    return DcgmReading(
        tuple(sorted(figures, key=lambda one: (*_place(one.device), one.resource))),
        tuple(sorted(refusals, key=lambda one: (*_place(one.device), one.resource))),
        tuple(_frame_buffers(devices, groups)),
    )


class Sampling:
    """When the samples of one device were taken, told from what scrapes show; instants by the clock of who scrapes.

    The exporter repeats its last sample until it takes the next, and states the instant of neither. It has DCGM take
    all fields of a device and its instances at once: where one of them changed from a scrape to the next, all are new.
    """

    def __init__(self) -> None:
        # The sample that was scraped last was taken later than `_after`, and the one before it than `_before`.
        self._after = self._before = -math.inf
        self._at = -math.inf
        self._values: dict[tuple[str, str], float] = {}

    def add(self, figures: Sequence[DcgmFigure]) -> None:
        """What is scraped of the device now; what was there before among it changes nothing."""
        at = max((one.unix_seconds for one in figures), default=-math.inf)
        if at <= self._at:
            return
        shown = {(one.device.instance, one.resource): one.value for one in figures if one.unix_seconds == at}
        if any(self._values.get(key, value) != value for key, value in shown.items()):
            self._before, self._after = self._after, self._at
        self._values |= shown
        self._at = at

    def earliest(self, figure: DcgmFigure) -> float:
        """What a figure of those that were added last says began no earlier."""
        if figure.unix_seconds < self._at:
            return -math.inf
        return self._before if figure.averaged else self._after


class Scopes:
    """What devices are called in the table: ``gpu-N``, and ``gpu-N/I`` for instance I of MIG.

    N is the exporter's number; where two nodes have the same, the later one gets the lowest that is free.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._devices: dict[str, GpuDevice] = {}

    def of(self, device: GpuDevice) -> str:
        """The scope of a device, always the same."""
        number = self._numbers.get(device.uuid)
        if number is None:
            taken = set(self._numbers.values())
            free = next(one for one in itertools.count() if one not in taken)
            number = free if device.index is None or device.index in taken else device.index
            self._numbers[device.uuid] = number
        scope = f"gpu-{number}/{device.instance}" if device.instance else f"gpu-{number}"
        self._devices.setdefault(scope, device)
        return scope

    def __len__(self) -> int:
        """GPUs, whatever instances they have."""
        return len(self._numbers)

    def __iter__(self) -> Iterator[tuple[str, GpuDevice]]:
        return iter(sorted(self._devices.items()))


def _frame_buffers(
    devices: Mapping[tuple[str, str], GpuDevice], groups: Mapping[tuple[str, str, str], Sequence[Sample]]
) -> Iterator[tuple[GpuDevice, float]]:
    for (uuid, instance), device in devices.items():
        used, free = (
            _agreed(groups[uuid, instance, name], bool(instance), FIELDS[_USED].most)
            if (uuid, instance, name) in groups
            else ""
            for name in (_USED, _FREE)
        )
        if isinstance(used, Sample) and isinstance(free, Sample) and used.unix_seconds == free.unix_seconds:
            yield device, (used.value + free.value) / FIELDS[_USED].per_unit


def _agreed(copies: Sequence[Sample], of_instance: bool, most: float) -> Sample | str:
    """The one sample that all copies of the latest instant agree on, or why there is none.

    What has no ``vgpu`` is the device's own. The exporter's 4.8 states shares of pods beside it for use and memory; its
    forerunners repeated the device's value.
    """

    def is_copy(one: Sample) -> bool:
        return bool(one.labels.get("vgpu")) or (not of_instance and bool(one.labels.get("GPU_I_ID")))

    own = [one for one in copies if not is_copy(one)] or copies
    latest = max(one.unix_seconds for one in own)
    last = [one for one in own if one.unix_seconds == latest]
    values = sorted({one.value for one in last})
    if len(values) > 1:
        return f"{len(values)} values of one device at one instant, {values[0]:g} to {values[-1]:g}"
    if not 0 <= values[0] <= most:
        return f"a value that cannot be, {values[0]:g}"
    return last[0]


def _device(uuid: str, instance: str, labels: Mapping[str, str]) -> GpuDevice:
    number = labels.get("gpu", "")
    return GpuDevice(
        uuid=uuid,
        index=int(number) if re.fullmatch(r"[0-9]{1,4}", number) else None,
        instance=instance,
        profile=labels.get("GPU_I_PROFILE", "") if instance else "",
        model=labels.get("modelName", ""),
        # Until 4.7 of the exporter it began with a capital.
        node=labels.get("hostname") or labels.get("Hostname", ""),
    )


def _place(device: GpuDevice) -> tuple[str, int, str, str]:
    return device.node, -1 if device.index is None else device.index, device.uuid, device.instance
