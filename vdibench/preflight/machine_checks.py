"""Checks of the machine: Python, cores, memory, disk, shared memory, clock, GPU and other runs. Local I/O only."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
import tempfile
import threading
import time

import psutil

from vdibench.preflight.contexts import HostContext
from vdibench.preflight.findings import failed, mebibytes, no_data, not_applicable, passed
from vdibench.records import Check, Outcome
from vdibench.telemetry import gpu_applicability, gpu_presence, others
from vdibench.telemetry.cgroups import cpu_quota_cores, memory_limit_bytes, usable_cores
from vdibench.telemetry.hosts import clock_source, virtualisation

__all__ = [
    "check_clock",
    "check_contention",
    "check_cores",
    "check_gpu",
    "check_memory",
    "check_python",
    "check_results_folder",
    "check_shared_memory",
]

_PYTHON = (3, 11)
# One software desktop at 1080p60 keeps 0.5 to 1 core busy, its client 0.15 to 0.3.
_CORES = 2.0
# One lab desktop at 1080p holds 110 MiB before anybody watches; encoder, buffers and growth come on top.
_DESKTOP_BYTES = 400 << 20
_CLIENT_BYTES = 512 << 20
_DISK_BYTES = 512 << 20
# Captures are handed over in shared memory: some pictures of four bytes a pixel for each desktop.
_PICTURES_IN_FLIGHT = 4
_SHM_FLOOR_BYTES = 32 << 20
# Reading any other source costs a system call and up to microseconds; a frame lasts 16 ms, but there are many.
_GOOD_CLOCKS = ("tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "xen", "arch_sys_counter", "riscv_clocksource")
_CLOCK_WATCH_SECONDS = 0.25
_CLOCK_STEP_SECONDS = 0.001


def check_python(context: HostContext) -> Check:
    """The interpreter is one that vdibench supports."""
    version, evidence = platform.python_version(), "the interpreter of this process"
    if sys.version_info[:2] < _PYTHON:
        wanted = ".".join(map(str, _PYTHON))
        return failed("python", f"Python {version}", evidence, f"make the environment with Python {wanted} or newer")
    return passed("python", f"Python {version}", evidence)


def check_cores(context: HostContext) -> Check:
    """There are cores for desktops and client, after affinity and quota."""
    usable, quota = usable_cores(), cpu_quota_cores()
    finding = f"{usable:g} of {os.cpu_count()} cores usable, {context.desktops} × desktop planned"
    evidence = "CPU affinity, " + (f"control group quota of {quota:g} cores" if quota else "no control group quota")
    if usable < _CORES:
        return failed("cores", finding, evidence, f"give vdibench at least {_CORES:g} cores")
    return passed("cores", finding, evidence)


def check_memory(context: HostContext) -> Check:
    """There is memory for desktops and client."""
    available, limit = psutil.virtual_memory().available, memory_limit_bytes()
    usable = available if limit is None else min(available, limit)
    needed = _CLIENT_BYTES + (context.desktops * _DESKTOP_BYTES if context.lab else 0)
    finding = f"{mebibytes(usable)} available, about {mebibytes(needed)} needed"
    evidence = "MemAvailable" if limit is None else f"MemAvailable and a control group limit of {mebibytes(limit)}"
    if usable < needed:
        return failed("memory", finding, evidence, "end other programs or run fewer desktops")
    return passed("memory", finding, evidence)


def check_results_folder(context: HostContext) -> Check:
    """A run can be written: a file is made, synced and removed in the folder or where it will be made."""
    folder = context.results_folder.absolute()
    existing = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    remedy = "choose a folder on a disk with room that you may write to"
    try:
        with tempfile.NamedTemporaryFile(dir=existing, prefix=".vdibench-preflight-") as probe:
            probe.write(bytes(4096))
            probe.flush()
            began = time.perf_counter()
            os.fsync(probe.fileno())
            synced = time.perf_counter() - began
        free = shutil.disk_usage(existing).free
    except OSError as error:
        return failed("results_folder", f"{folder} cannot be written to: {error.strerror}", str(error), remedy)
    finding = f"{mebibytes(free)} free, a synced write takes {synced * 1000:.1f} ms"
    if free < _DISK_BYTES:
        return failed("results_folder", finding, str(existing), remedy)
    return passed("results_folder", finding, "a file written, synced and removed there")


def check_shared_memory(context: HostContext) -> Check:
    """/dev/shm holds the pictures in flight of all desktops."""
    if not context.lab:
        return not_applicable("shared_memory", "the desktops run elsewhere")
    needed = max(_SHM_FLOOR_BYTES, context.desktops * _PICTURES_IN_FLIGHT * _picture_bytes(context))
    try:
        usage = shutil.disk_usage("/dev/shm")
    except OSError as error:
        return failed("shared_memory", "there is no /dev/shm", str(error), "mount a tmpfs at /dev/shm")
    finding = f"{mebibytes(usage.free)} of {mebibytes(usage.total)} free, about {mebibytes(needed)} needed"
    if usage.free < needed:
        remedy = f"enlarge it: mount -o remount,size={needed * 2} /dev/shm, or --shm-size for a container"
        return failed("shared_memory", finding, "/dev/shm", remedy)
    return passed("shared_memory", finding, "/dev/shm")


def check_clock(context: HostContext) -> Check:
    """The clock is cheap to read and does not step while it is watched."""
    source = clock_source()
    distances = [_clock_distance_seconds()]
    began = time.perf_counter()
    reads = 20_000
    for _ in range(reads):
        time.time()
    read_seconds = (time.perf_counter() - began) / reads
    # Waits for nothing but time: a step shows as a change of the distance between the two clocks.
    pause = threading.Event()
    for _ in range(5):
        pause.wait(_CLOCK_WATCH_SECONDS / 5)
        distances.append(_clock_distance_seconds())
    step = max(distances) - min(distances)
    finding = (
        f"clock source {source or 'unknown'}, read in {read_seconds * 1e9:.0f} ns, "
        f"moved {step * 1e6:.0f} µs against the monotonic clock in {_CLOCK_WATCH_SECONDS:g} s"
    )
    evidence = ", ".join(filter(None, ("clock_gettime", virtualisation())))
    if step > _CLOCK_STEP_SECONDS:
        return failed("clock", finding, evidence, "let the time service settle, and stop what sets the clock")
    if source and source not in _GOOD_CLOCKS:
        return failed("clock", finding, evidence, f"boot with a clock source among {', '.join(_GOOD_CLOCKS[:2])}")
    return passed("clock", finding, evidence)


def _clock_distance_seconds() -> float:
    """Wall clock less monotonic clock, from the closest of several pairs: a pair may be torn by a busy machine."""
    pairs = []
    for _ in range(10):
        before, wall, after = time.monotonic(), time.time(), time.monotonic()
        pairs.append((after - before, wall - (before + after) / 2))
    return min(pairs)[1]


def check_contention(context: HostContext) -> Check:
    """No other run measures on this machine now."""
    if not sys.platform.startswith("linux"):
        return not_applicable("contention", "runs know of each other on Linux only")
    found = others(context.run_name)
    if found:
        runs = ", ".join(sorted({claim.run for claim in found}))
        pids = ", ".join(str(claim.pid) for claim in found)
        return failed("contention", f"{runs} measures now", f"process {pids}", "wait until the other run has ended")
    load = ""
    with contextlib.suppress(OSError):  # some systems have none
        load = f", load average {os.getloadavg()[0]:.2f}"
    return passed("contention", f"no other run measures{load}", "abstract sockets in /proc/net/unix")


def check_gpu(context: HostContext) -> Check:
    """The GPU that the profile wants is there."""
    if not context.gpu:
        return not_applicable("gpu", "the profile has no GPU")
    presence = gpu_presence()
    if gpu_applicability(context.gpu, presence) is not Outcome.PASS:
        return no_data(
            "gpu",
            f"the profile wants a GPU and there is {presence.state}",
            presence.detail,
            "install the NVIDIA driver, or choose a profile without GPU",
        )
    if not any(gpu.encodes_h264 for gpu in presence.gpus):
        remedy = "choose a GPU with NVENC: A100 and H100 have none"
        return failed("gpu", f"{presence.gpus[0].name} has no H.264 encoder", presence.detail, remedy)
    return passed("gpu", ", ".join(gpu.name for gpu in presence.gpus), presence.detail)


def _picture_bytes(context: HostContext) -> int:
    return context.display.width * context.display.height * 4
