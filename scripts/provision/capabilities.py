"""What the machine must be able to do, and which package gives it. Looks, never changes anything.

Checked by what works (an executable on PATH, a library that loads), not by what dpkg lists: a machine with
its own build of coturn or with Google Chrome lacks nothing.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Capability", "missing", "native", "needed"]

SYSTEM_PYTHON = "/usr/bin/python3"
SYSTEM_FOLDERS = ("/usr/sbin", "/sbin", "/usr/bin", "/bin")
LIBRARY_FOLDERS = ("/usr/lib/*", "/usr/lib64", "/usr/lib")
FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts")


@dataclass(frozen=True)
class Capability:
    """Something this machine can or cannot do.

    :param name: how a person calls it.
    :param packages: Debian package names that give it, the preferred first; releases differ in spelling.
    :param present: looks for it now.
    :param optional_for_report: the pipeline does without it; only the tests need it.
    :param vital: what it is for cannot be done at all without it.
    """

    name: str
    packages: tuple[str, ...]
    present: Callable[[], bool]
    optional_for_report: bool = False
    vital: bool = True


def needed(purpose: str) -> tuple[Capability, ...]:
    """Return what `report` or `test` needs, in the order in which it is listed to people."""
    return tuple(c for c in _ALL if purpose != "report" or not c.optional_for_report)


def native() -> tuple[Capability, ...]:
    """Return what the build of the native receiver needs."""
    return _NATIVE


def missing(capabilities: Iterable[Capability]) -> tuple[Capability, ...]:
    """Return those that this machine lacks."""
    return tuple(c for c in capabilities if not c.present())


def _executable(*names: str) -> Callable[[], bool]:
    return lambda: any(shutil.which(name) for name in names)


def _administrative(name: str) -> Callable[[], bool]:
    """A program of root's, which is in no ordinary user's PATH."""
    return lambda: any((Path(folder) / name).exists() for folder in SYSTEM_FOLDERS)


def _library(soname: str) -> Callable[[], bool]:
    def loads() -> bool:
        try:
            ctypes.CDLL(soname)
        except OSError:
            return False
        return True

    return loads


def _header(name: str) -> bool:
    return any(any(Path("/usr/include").glob(pattern)) for pattern in (name, f"*/{name}"))


def _font() -> bool:
    return any(
        name.endswith((".ttf", ".otf", ".ttc"))
        for folder in FONT_FOLDERS
        for _, _, names in os.walk(Path(folder).expanduser())
        for name in names
    )


def _in_libraries(pattern: str) -> Callable[[], bool]:
    return lambda: any(any(Path("/").glob(f"{folder[1:]}/{pattern}")) for folder in LIBRARY_FOLDERS)


def _system_gi() -> bool:
    """Whether the system's own Python, not the one that runs this, can load libraries by introspection."""
    try:
        return subprocess.run([SYSTEM_PYTHON, "-c", "import gi"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _gstreamer() -> tuple[Capability, ...]:
    """What a desktop of Selkies 1.6 makes its media of; the tests' stand-in does the same."""
    plugins = {
        "nice": "nice",
        "opus": "plugins-base",
        "x264": "plugins-ugly",
        "webrtc": "plugins-bad",
        "rtp": "plugins-good",
    }
    typelibs = {"Gst": "gstreamer", "GstSdp": "gst-plugins-base", "GstWebRTC": "gst-plugins-bad"}
    return (
        Capability(f"{SYSTEM_PYTHON} with gi", ("python3-gi",), _system_gi, optional_for_report=True),
        *(
            Capability(
                f"{name} for gi", (f"gir1.2-{source}-1.0",), _in_libraries(f"girepository-1.0/{name}-1.0.typelib"), True
            )
            for name, source in typelibs.items()
        ),
        *(
            Capability(
                f"GStreamer's plugin {name}",
                (f"gstreamer1.0-{source}",),
                _in_libraries(f"gstreamer-1.0/libgst{name}.so"),
                True,
            )
            for name, source in plugins.items()
        ),
    )


def _venv() -> bool:
    return all(importlib.util.find_spec(module) is not None for module in ("venv", "ensurepip"))


def _headers() -> bool:
    return Path(sysconfig.get_path("include"), "Python.h").exists()


def _srtp() -> bool:
    asked = [shutil.which("pkg-config") or "", "--exists", "libcrypto >= 3.0.3"]
    return bool(asked[0]) and subprocess.run(asked, capture_output=True, check=False).returncode == 0


_PYTHON = f"python{sys.version_info[0]}.{sys.version_info[1]}"
_NATIVE = (
    Capability("C compiler (cc)", ("gcc",), _executable("cc"), True),
    Capability(
        "headers of the C library", ("libc6-dev",), lambda: _header("stdio.h"), True, vital=False
    ),  # or elsewhere
    Capability(f"headers of {_PYTHON}", (f"{_PYTHON}-dev", "python3-dev"), _headers, True),
    Capability("pkg-config", ("pkg-config", "pkgconf"), _executable("pkg-config"), True, vital=False),
    Capability("headers of OpenSSL", ("libssl-dev",), _srtp, True, vital=False),
)

_ALL = (
    Capability(
        f"virtual environments for Python {sys.version_info[0]}.{sys.version_info[1]}",
        (f"python{sys.version_info[0]}.{sys.version_info[1]}-venv", "python3-venv"),
        _venv,
    ),
    Capability("X server without a screen (Xvfb)", ("xvfb",), _executable("Xvfb")),
    Capability("sound server (pulseaudio)", ("pulseaudio",), _executable("pulseaudio")),
    Capability("TURN server (turnserver)", ("coturn",), _executable("turnserver")),
    Capability("library libgbm.so.1", ("libgbm1", "libgbm1t64"), _library("libgbm.so.1")),
    Capability("library libpixman-1.so.0", ("libpixman-1-0", "libpixman-1-0t64"), _library("libpixman-1.so.0")),
    Capability("library libxkbcommon.so.0", ("libxkbcommon0", "libxkbcommon0t64"), _library("libxkbcommon.so.0")),
    Capability("library libdrm.so.2", ("libdrm2", "libdrm2t64"), _library("libdrm.so.2")),
    Capability(
        "library libwayland-server.so.0",
        ("libwayland-server0", "libwayland-server0t64"),
        _library("libwayland-server.so.0"),
    ),
    Capability("library libexpat.so.1", ("libexpat1", "libexpat1t64"), _library("libexpat.so.1")),
    Capability("library libffi.so.8", ("libffi8", "libffi8t64"), _library("libffi.so.8")),
    Capability(
        "a Chromium browser, which the report is looked at with",
        ("chromium", "chromium-browser"),
        _executable("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
        optional_for_report=True,
    ),
    Capability("OpenGL beside the screen (libEGL.so.1)", ("libegl1",), _library("libEGL.so.1"), True),
    Capability("OpenGL in software", ("libgl1-mesa-dri",), _in_libraries("dri/swrast_dri.so"), True),
    Capability(
        "traffic control for network namespaces (tc)", ("iproute2",), _administrative("tc"), optional_for_report=True
    ),
    Capability(
        "checks of alerting rules (promtool)",
        ("prometheus",),
        lambda: _executable("promtool")() or _administrative("promtool")(),
        optional_for_report=True,
    ),
    Capability(
        "clocks that can be set (libfaketime)",
        ("libfaketime",),
        _in_libraries("faketime/libfaketime.so.1"),
        optional_for_report=True,
    ),
    Capability("a font for the browser", ("fonts-dejavu-core",), _font, optional_for_report=True),
    *_NATIVE,
    *_gstreamer(),
)
