"""NVIDIA GPUs: which are there and how busy they are. Calls NVML through a narrow protocol.

NVML speaks percent; everything that leaves this module is a ratio or bytes. A figure that the device or driver
does not give is None and makes no row: an A100 has no encoder, so it has no encoder utilisation, not 0 %.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from vdibench.records import Outcome

__all__ = [
    "Gpu",
    "GpuFigure",
    "GpuPresence",
    "GpuReader",
    "GpuSource",
    "GpuState",
    "Nvml",
    "SystemNvml",
    "gpu_applicability",
    "gpu_presence",
    "open_gpus",
]

T = TypeVar("T")


class Nvml(Protocol):
    """The part of NVML that is used, in NVML's own units. None: not supported by this device."""

    def driver_version(self) -> str:
        """Version of the kernel driver."""

    def device_count(self) -> int:
        """Devices that this process may see."""

    def name(self, index: int) -> str:
        """Product name."""

    def uuid(self, index: int) -> str:
        """Stable identity, ``GPU-…``."""

    def memory(self, index: int) -> tuple[int, int] | None:
        """Total and used frame buffer in bytes."""

    def utilization_percent(self, index: int) -> int | None:
        """Share of the last sampling period in which a kernel ran."""

    def encoder_utilization_percent(self, index: int) -> int | None:
        """Utilisation of the video encoders."""

    def h264_capacity_percent(self, index: int) -> int | None:
        """Remaining H.264 encoding capacity."""


class GpuState(StrEnum):
    """How far the way to a GPU leads."""

    NO_LIBRARY = "no NVML library"
    NO_DRIVER = "no working driver"
    NO_DEVICE = "no device"
    PRESENT = "present"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One device.

    :param memory_bytes: total frame buffer; None when the driver does not say.
    :param encodes_h264: it has a hardware encoder for H.264.
    """

    index: int
    name: str
    uuid: str
    memory_bytes: int | None
    encodes_h264: bool


@dataclass(frozen=True, slots=True)
class GpuPresence:
    """What was found.

    :param detail: the library's own words when there is no device, else a summary, in one line.
    """

    state: GpuState
    detail: str
    driver_version: str = ""
    gpus: tuple[Gpu, ...] = ()


@dataclass(frozen=True, slots=True)
class GpuFigure:
    """One figure of one device, as the table ``resources`` has it.

    :param unix_seconds: when it was measured, by this machine's clock; None for when it was read.
    :param earliest_unix_seconds: what it says began no earlier, by the same clock: of a mean, the whole of its time;
        minus infinity where nobody knows, None for when it was read.
    """

    scope: str
    resource: str
    value: float
    unix_seconds: float | None = None
    earliest_unix_seconds: float | None = None


class GpuSource(Protocol):
    """Where a sampler gets GPU figures from. Called in the sampler's thread, so it must not wait for a network."""

    def figures(self) -> Sequence[GpuFigure]:
        """What there is now, or what came since the call before; each figure is given once."""

    def facts(self) -> Mapping[str, str]:
        """How the figures were made, as text by dotted name; ``telemetry.gpus`` is the number of devices."""

    def close(self) -> None:
        """Nothing is asked any more."""


class SystemNvml(AbstractContextManager["SystemNvml"]):
    """NVML of this machine. Raises ``pynvml.NVMLError`` when it cannot be opened; close it when done."""

    def __init__(self) -> None:
        # Imported here: a machine without GPU should not pay for 200 kB of bindings.
        import pynvml

        self._library: Any = pynvml
        pynvml.nvmlInit()
        self._handles: dict[int, Any] = {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the library."""
        self._optional(self._library.nvmlShutdown)

    def driver_version(self) -> str:
        """See :class:`Nvml`."""
        return str(self._library.nvmlSystemGetDriverVersion())

    def device_count(self) -> int:
        """See :class:`Nvml`."""
        return int(self._library.nvmlDeviceGetCount())

    def name(self, index: int) -> str:
        """See :class:`Nvml`."""
        return str(self._library.nvmlDeviceGetName(self._handle(index)))

    def uuid(self, index: int) -> str:
        """See :class:`Nvml`."""
        return str(self._library.nvmlDeviceGetUUID(self._handle(index)))

    def memory(self, index: int) -> tuple[int, int] | None:
        """See :class:`Nvml`."""
        # Version 2 keeps the driver's own reserve apart, as nvidia-smi and the DCGM exporter do.
        info = self._optional(
            lambda: self._library.nvmlDeviceGetMemoryInfo(self._handle(index), self._library.nvmlMemory_v2)
        ) or self._optional(lambda: self._library.nvmlDeviceGetMemoryInfo(self._handle(index)))
        return None if info is None else (int(info.total), int(info.used))

    def utilization_percent(self, index: int) -> int | None:
        """See :class:`Nvml`."""
        rates = self._optional(lambda: self._library.nvmlDeviceGetUtilizationRates(self._handle(index)))
        return None if rates is None else int(rates.gpu)

    def encoder_utilization_percent(self, index: int) -> int | None:
        """See :class:`Nvml`."""
        if self.h264_capacity_percent(index) is None:
            return None
        pair = self._optional(lambda: self._library.nvmlDeviceGetEncoderUtilization(self._handle(index)))
        return None if pair is None else int(pair[0])

    def h264_capacity_percent(self, index: int) -> int | None:
        """See :class:`Nvml`."""
        return self._optional(
            lambda: int(
                self._library.nvmlDeviceGetEncoderCapacity(self._handle(index), self._library.NVML_ENCODER_QUERY_H264)
            )
        )

    def _handle(self, index: int) -> Any:
        if index not in self._handles:
            self._handles[index] = self._library.nvmlDeviceGetHandleByIndex(index)
        return self._handles[index]

    def _optional(self, call: Callable[[], T]) -> T | None:
        try:
            return call()
        except self._library.NVMLError:
            return None


class GpuReader:
    """Rows of the ``resources`` table for every GPU: ``(scope, resource, value)`` in base units."""

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml
        self.indices = range(nvml.device_count())

    def read(self) -> list[tuple[str, str, float]]:
        """The figures that the devices give now; what they do not give is left out."""
        rows: list[tuple[str, str, float]] = []
        for index in self.indices:
            scope = f"gpu-{index}"
            utilization = self._nvml.utilization_percent(index)
            if utilization is not None:
                rows.append((scope, "gpu_utilization_ratio", utilization / 100))
            encoder = self._nvml.encoder_utilization_percent(index)
            if encoder is not None:
                rows.append((scope, "gpu_encoder_utilization_ratio", encoder / 100))
            memory = self._nvml.memory(index)
            if memory is not None:
                rows.append((scope, "gpu_memory_bytes", float(memory[1])))
        return rows

    def figures(self) -> list[GpuFigure]:
        """See :class:`GpuSource`."""
        return [GpuFigure(*row) for row in self.read()]

    def facts(self) -> dict[str, str]:
        """See :class:`GpuSource`."""
        return {"telemetry.gpus": str(len(self.indices))}

    def close(self) -> None:
        """Release the library where there is one to release."""
        if isinstance(self._nvml, SystemNvml):
            self._nvml.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_gpus() -> GpuReader | None:
    """A reader of this machine's GPUs, or None when there is none to read."""
    import pynvml

    try:
        nvml = SystemNvml()
    except pynvml.NVMLError:
        return None
    reader = GpuReader(nvml)
    if not reader.indices:
        reader.close()
        return None
    return reader


def gpu_presence(nvml: Nvml | None = None) -> GpuPresence:
    """What there is in the way of GPUs.

    :param nvml: where to look; None for this machine.
    """
    if nvml is not None:
        return _describe(nvml)
    import pynvml

    try:
        with SystemNvml() as system:
            return _describe(system)
    except pynvml.NVMLError_LibraryNotFound as error:
        return GpuPresence(GpuState.NO_LIBRARY, str(error))
    except pynvml.NVMLError as error:
        return GpuPresence(GpuState.NO_DRIVER, str(error))


def gpu_applicability(expected: bool, presence: GpuPresence) -> Outcome:
    """What GPU figures can be: not applicable when none is expected, no data when an expected one is absent."""
    if not expected:
        return Outcome.NOT_APPLICABLE
    return Outcome.PASS if presence.gpus else Outcome.NO_DATA


def _describe(nvml: Nvml) -> GpuPresence:
    gpus = []
    for index in range(nvml.device_count()):
        memory = nvml.memory(index)
        gpus.append(
            Gpu(
                index=index,
                name=nvml.name(index),
                uuid=nvml.uuid(index),
                memory_bytes=None if memory is None else memory[0],
                encodes_h264=nvml.h264_capacity_percent(index) is not None,
            )
        )
    driver = nvml.driver_version()
    if not gpus:
        return GpuPresence(GpuState.NO_DEVICE, f"driver {driver} shows no device", driver)
    return GpuPresence(GpuState.PRESENT, f"{len(gpus)} × {gpus[0].name}, driver {driver}", driver, tuple(gpus))
