"""Mapping of NVML's figures, from recorded values: the GPU is the one thing that a test may stand in for.

The way to a real library is tested where it ends on a machine without one.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field

import pynvml
import pytest

from vdibench.records import Outcome
from vdibench.telemetry import GpuReader, GpuState, Sampler, gpu_applicability, gpu_presence
from vdibench.telemetry import gpus as module

GIBIBYTE = 1 << 30


@dataclass
class RecordedNvml:
    """What NVML says of an L4 that encodes eight desktops, and of an A100, which has no encoder."""

    names: tuple[str, ...] = ("NVIDIA L4", "NVIDIA A100-SXM4-40GB")
    memories: tuple[tuple[int, int] | None, ...] = ((23034 << 20, 5121 << 20), (40960 << 20, 0))
    utilizations: tuple[int | None, ...] = (83, 0)
    encoders: tuple[int | None, ...] = (41, None)
    capacities: tuple[int | None, ...] = (37, None)
    lost: set[int] = field(default_factory=set)

    def driver_version(self) -> str:
        return "570.124.06"

    def device_count(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        return self.names[index]

    def uuid(self, index: int) -> str:
        return f"GPU-{index:08x}-0000-0000-0000-000000000000"

    def memory(self, index: int) -> tuple[int, int] | None:
        return None if index in self.lost else self.memories[index]

    def utilization_percent(self, index: int) -> int | None:
        return None if index in self.lost else self.utilizations[index]

    def encoder_utilization_percent(self, index: int) -> int | None:
        return None if index in self.lost else self.encoders[index]

    def h264_capacity_percent(self, index: int) -> int | None:
        return self.capacities[index]


def test_percent_become_ratios_and_absent_figures_no_rows():
    assert GpuReader(RecordedNvml()).read() == [
        ("gpu-0", "gpu_utilization_ratio", 0.83),
        ("gpu-0", "gpu_encoder_utilization_ratio", 0.41),
        ("gpu-0", "gpu_memory_bytes", float(5121 << 20)),
        ("gpu-1", "gpu_utilization_ratio", 0.0),
        ("gpu-1", "gpu_memory_bytes", 0.0),
    ]


def test_a_device_that_is_lost_makes_no_rows():
    assert {row[0] for row in GpuReader(RecordedNvml(lost={0})).read()} == {"gpu-1"}


def test_presence_lists_the_devices_and_what_they_encode():
    presence = gpu_presence(RecordedNvml())
    assert presence.state is GpuState.PRESENT
    assert presence.driver_version == "570.124.06"
    assert [gpu.encodes_h264 for gpu in presence.gpus] == [True, False]
    assert presence.gpus[0].memory_bytes == 23034 << 20
    assert presence.gpus[1].uuid.startswith("GPU-00000001")


def test_a_driver_without_device_is_not_a_gpu():
    presence = gpu_presence(RecordedNvml(names=()))
    assert presence.state is GpuState.NO_DEVICE
    assert not presence.gpus


def test_gpu_figures_stand_in_the_readings_of_the_sampler():
    rows = Sampler([], emit=lambda rows: None, gpus=GpuReader(RecordedNvml())).read()
    assert [row["value"] for row in rows if row["session"] == "gpu-0"] == [0.83, 0.41, float(5121 << 20)]


@pytest.mark.parametrize(
    ("expected", "names", "outcome"),
    [
        (False, ("NVIDIA L4",), Outcome.NOT_APPLICABLE),
        (False, (), Outcome.NOT_APPLICABLE),
        (True, (), Outcome.NO_DATA),
        (True, ("NVIDIA L4",), Outcome.PASS),
    ],
)
def test_absent_is_not_applicable_or_no_data_and_never_a_pass(expected, names, outcome):
    assert gpu_applicability(expected, gpu_presence(RecordedNvml(names=names))) is outcome


def test_a_machine_without_library_says_so_in_the_librarys_words(without_nvml):
    presence = gpu_presence()
    assert presence.state is GpuState.NO_LIBRARY
    assert "not found" in presence.detail.lower()
    assert module.open_gpus() is None


def test_every_call_to_nvml_exists_in_the_bindings():
    source = inspect.getsource(module)
    names = set(re.findall(r"(?:pynvml|_library)\.(\w+)", source))
    assert len(names) >= 10
    assert not [name for name in names if not hasattr(pynvml, name)]


@pytest.fixture
def without_nvml(monkeypatch):
    """The bindings as they are, told to load a library that is not there."""
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    real = pynvml.CDLL

    def load(name: str, *rest: object) -> object:
        return real("libvdibench-no-such-library.so.1" if "nvidia-ml" in str(name) else name)

    monkeypatch.setattr(pynvml, "CDLL", load)
