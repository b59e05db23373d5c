"""Resources beside the stream: CPU, memory and GPU of desktops, of the measuring side and of the host.

Everything here only watches. Figures are rows of the ``resources`` table in base units; an absent resource
has no row, never a zero. What a server's GStreamer pipeline logged of itself becomes rows of ``server``.
"""

from vdibench.telemetry.contention import MeasuringClaim, OtherClaim, others
from vdibench.telemetry.gpus import Gpu, GpuPresence, GpuReader, GpuState, gpu_applicability, gpu_presence
from vdibench.telemetry.gstreamer import read_tracer_log
from vdibench.telemetry.hosts import host_facts, versions
from vdibench.telemetry.sampler import Sampler

__all__ = [
    "Gpu",
    "GpuPresence",
    "GpuReader",
    "GpuState",
    "MeasuringClaim",
    "OtherClaim",
    "Sampler",
    "gpu_applicability",
    "gpu_presence",
    "host_facts",
    "others",
    "read_tracer_log",
    "versions",
]
