"""What a lab needs of the machine, and whether it is there. Reads the file system and runs ``ldd``."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from vdibench.lab.parts import program_beside_python

__all__ = ["APT_PACKAGES", "MissingPart", "missing"]

_PROGRAMS = {"Xvfb": "xvfb", "xkbcomp": "x11-xkb-utils", "pulseaudio": "pulseaudio", "turnserver": "coturn"}

# Shared libraries that the Selkies wheels link and do not bundle, with Debian's and Ubuntu's packages.
_LIBRARIES = {
    "libgbm.so.1": "libgbm1",
    "libpixman-1.so.0": "libpixman-1-0",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libdrm.so.2": "libdrm2",
    "libwayland-server.so.0": "libwayland-server0",
    "libexpat.so.1": "libexpat1",
}
# What makes a cluster's namespaces, and fetches and unpacks the node's own programs.
_CLUSTER_PROGRAMS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "ip": "iproute2",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
}
_MODULES = ("pixelflux", "pcmflux")
_SELKIES = "pip install 'vdibench[lab]'"
_LDD_SECONDS = 30.0

APT_PACKAGES = ("xvfb", "pulseaudio", "coturn", *_LIBRARIES.values())


@dataclass(frozen=True, slots=True)
class MissingPart:
    """Something that a lab needs and this machine lacks.

    :param name: program, shared library or Python package.
    :param kind: ``system``, ``right``, ``program``, ``library`` or ``package``.
    :param apt_package: Debian or Ubuntu package that has it; empty when it is not from there.
    :param remedy: what to do, as an imperative.
    """

    name: str
    kind: str
    apt_package: str
    remedy: str


def missing(*, desktops: bool = True, turn: bool = True, cluster: bool = False) -> tuple[MissingPart, ...]:
    """Everything a lab would lack on this machine; empty when it can come up.

    :param desktops: the lab shall have desktops.
    :param turn: … and a TURN server for them.
    :param cluster: the lab shall have a Kubernetes.
    """
    if sys.platform != "linux":
        return (MissingPart("Linux", "system", "", "run the lab on Linux, or point vdibench at a URL"),)
    found = _missing_for_cluster() if cluster else []
    if not desktops:
        return tuple(found)
    found += [
        _from_apt(program, "program", package)
        for program, package in _PROGRAMS.items()
        if shutil.which(program) is None and (turn or package != "coturn")
    ]
    if not program_beside_python("selkies").exists():
        found.append(MissingPart("selkies", "package", "", _SELKIES))
    for module in _MODULES:
        found.extend(_missing_of(module))
    return tuple(dict.fromkeys(found))


def _missing_for_cluster() -> list[MissingPart]:
    found = [
        _from_apt(program, "program", package)
        for program, package in _CLUSTER_PROGRAMS.items()
        if shutil.which(program) is None
    ]
    if os.geteuid() != 0:
        found.append(MissingPart("root", "right", "", "run it as root: namespaces, mounts and control groups need it"))
    return found


def _missing_of(module: str) -> list[MissingPart]:
    """What a native module of Selkies lacks, by asking the loader itself."""
    found = importlib.util.find_spec(module)
    if found is None:
        return [MissingPart(module, "package", "", _SELKIES)]
    if not found.origin or not found.origin.endswith(".so"):
        places = list(found.submodule_search_locations or [])
        libraries = [str(path) for place in places for path in Path(place).glob("*.so")]
    else:
        libraries = [found.origin]
    lacking = []
    for library in libraries:
        for name in _not_found(library):
            package = _LIBRARIES.get(name, "")
            if package:
                lacking.append(_from_apt(name, "library", package))
            else:
                lacking.append(
                    MissingPart(name, "library", "", f"install the package that has it (apt-file search {name})")
                )
    return lacking


def _not_found(library: str) -> list[str]:
    ldd = shutil.which("ldd")
    if ldd is None:
        return []
    try:
        answer = subprocess.run([ldd, library], capture_output=True, text=True, timeout=_LDD_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.split()[0] for line in answer.stdout.splitlines() if line.endswith("=> not found")]


def _from_apt(name: str, kind: str, package: str) -> MissingPart:
    return MissingPart(name, kind, package, f"apt-get install {package}")
