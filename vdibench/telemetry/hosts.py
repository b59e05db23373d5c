"""What the measuring machine and its software are, for ``run.json``. Reads files and package metadata.

Facts are plain JSON values in base units with the unit in the name. What cannot be found out is left out.
"""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

import vdibench
from vdibench.telemetry.cgroups import cpu_quota_cores, memory_limit_bytes, usable_cores
from vdibench.telemetry.gpus import gpu_presence

__all__ = ["clock_source", "host_facts", "versions", "virtualisation"]

_CLOCK = Path("/sys/devices/system/clocksource/clocksource0")
_MEASURED_PACKAGES = (
    "aiohttp",
    "aioice",
    "aiortc",
    "av",
    "locust",
    "matplotlib",
    "numpy",
    "nvidia-ml-py",
    "pandas",
    "pcmflux",
    "pixelflux",
    "psutil",
    "pyarrow",
    "selkies",
)


def host_facts() -> dict[str, Any]:
    """The machine as it is now: processor, cores, memory, kernel, distribution, clock, virtualisation, load, GPUs."""
    presence = gpu_presence()
    facts: dict[str, Any] = {
        "cpu_model": _cpu_model(),
        "cpu_cores": psutil.cpu_count() or os.cpu_count(),
        "cpu_cores_usable": usable_cores(),
        "cpu_quota_cores": cpu_quota_cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "memory_limit_bytes": memory_limit_bytes(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "distribution": _distribution(),
        "clock_source": clock_source(),
        "virtualisation": virtualisation(),
        "gpu_state": str(presence.state),
        "gpu_driver": presence.driver_version,
        "gpus": [
            {"name": gpu.name, "uuid": gpu.uuid, "memory_bytes": gpu.memory_bytes, "encodes_h264": gpu.encodes_h264}
            for gpu in presence.gpus
        ],
    }
    try:
        facts["load_average_1m"] = os.getloadavg()[0]
    except OSError:
        facts["load_average_1m"] = None
    return {name: value for name, value in facts.items() if value not in (None, "")}


def versions() -> dict[str, str]:
    """Versions of vdibench, Python and the libraries whose behaviour is measured or measures; absent ones left out."""
    found = {"vdibench": vdibench.__version__, "python": platform.python_version()}
    for package in _MEASURED_PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    found.update(_av_libraries())
    return found


def clock_source() -> str:
    """The kernel's clock source (``tsc``, ``kvm-clock``); empty where there is no such thing."""
    return _first_line(_CLOCK / "current_clocksource")


def virtualisation() -> str:
    """A hint: container, virtual machine or nothing known. Never proof, a guest sees what its host shows."""
    hints = []
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists() or "KUBERNETES_SERVICE_HOST" in os.environ:
        hints.append("container")
    product = _first_line(Path("/sys/class/dmi/id/product_name"))
    available = _first_line(_CLOCK / "available_clocksource").split()
    if "kvm-clock" in available:
        hints.append("kvm guest")
    elif "hyperv_clocksource_tsc_page" in available:
        hints.append("hyper-v guest")
    elif "xen" in available or Path("/sys/hypervisor/type").exists():
        hints.append("xen guest")
    elif " hypervisor " in _cpuinfo("flags") + " ":
        hints.append("virtual machine")
    if hints and product:
        hints.append(product)
    return ", ".join(hints)


def _cpu_model() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(key: str) -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return ""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return platform.platform(terse=True) if sys.platform != "linux" else ""


def _av_libraries() -> dict[str, str]:
    try:
        import av
    except ImportError:
        return {}
    return {name: ".".join(map(str, version)) for name, version in av.library_versions.items()}


def _first_line(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip().partition("\n")[0]
    except OSError:
        return ""
