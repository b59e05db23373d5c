"""The programs of Kubernetes and its add-ons, built once from pinned Go modules and kept. Runs ``go``; slow once.

Built apart by module set, so that a new version of one add-on does not build Kubernetes again.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from vdibench.errors import LabError
from vdibench.lab.cluster.toolchain import go_environment, go_program
from vdibench.lab.cluster.versions import GO, GO_MODULES, KUBERNETES, GoFiles, GoModule
from vdibench.store.caches import cache_root, entry, entry_name

__all__ = ["binaries", "build_name", "module_files", "module_folder"]

_PINS = ("go.mod", "go.sum", "tools.go")
_SHOWN_LINES = 3


def module_folder(module: GoModule) -> Path:
    """Where its pins lie."""
    return Path(__file__).with_name("modules") / module.name


def build_name(module: GoModule) -> str:
    """The cache entry of its programs: another pin, command, flag or Go makes another one."""
    pins = [(module_folder(module) / pin).read_bytes() for pin in _PINS]
    return entry_name(module.name, (*pins, repr(module.commands), _linker_flags(module), GO.version))


def binaries(
    modules: tuple[GoModule, ...] = GO_MODULES, say: Callable[[str], None] = lambda line: None
) -> dict[str, Path]:
    """Program name -> file, for all commands of those modules; what is not kept yet is built now, in minutes.

    :raises LabError: a build fails.
    :raises StoreError: the cache cannot be written.
    """
    found = {}
    for module in modules:
        folder = entry(cache_root() / "cluster", build_name(module), partial(_build, module, say))
        found.update({name: folder / name for name, _ in module.commands})
    return found


def module_files(wanted: GoFiles, say: Callable[[str], None] = lambda line: None) -> list[Path]:
    """Those files of a module, by name; fetched now when they are not kept.

    :raises LabError: the module cannot be fetched, or is not the one that was pinned.
    """

    def fetch(into: Path) -> None:
        say(f"fetching {wanted.name}")
        go = go_program(say)
        command = [str(go), "mod", "download", "-json", f"{wanted.module}@{wanted.version}"]
        done = subprocess.run(command, cwd=into, env=go_environment(go), capture_output=True, text=True, check=False)
        found = json.loads(done.stdout or "{}")
        if done.returncode or "Dir" not in found:
            said = found.get("Error") or done.stderr.strip().replace("\n", " / ") or f"exit {done.returncode}"
            raise LabError(f"cannot fetch {wanted.module}: {said}", "check that a Go module proxy can be reached")
        if found["Sum"] != wanted.checksum:
            raise LabError(f"{wanted.module} {wanted.version} is not what it was", "find out who changed it, and why")
        for pattern in wanted.patterns:
            files = list(Path(found["Dir"]).glob(pattern))
            if not files:
                raise LabError(f"{wanted.module} {wanted.version} has no {pattern}", "name the files that it has")
            for file in files:
                shutil.copyfile(file, into / file.name)

    made_from = (wanted.module, wanted.version, wanted.checksum, *wanted.patterns)
    return sorted(entry(cache_root() / "cluster", entry_name(wanted.name, made_from), fetch).iterdir())


def _build(module: GoModule, say: Callable[[str], None], into: Path) -> None:
    say(f"building {', '.join(name for name, _ in module.commands)} (once, kept in {cache_root() / 'cluster'})")
    go = go_program(say)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vdibench-go-") as place:
        for pin in _PINS:
            shutil.copy(module_folder(module) / pin, place)
        # One command for all packages, so that what they share is compiled once.
        packages = {package: name for name, package in module.commands}
        built = Path(place) / "built"
        built.mkdir()
        command = [str(go), "build", "-ldflags", _linker_flags(module), "-o", f"{built}/", *packages]
        done = subprocess.run(command, cwd=place, env=go_environment(go), capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip() and "downloading" not in line]
            said = " / ".join(lines[-_SHOWN_LINES:]) or f"exit {done.returncode}"
            raise LabError(f"cannot build {module.name}: {said}", "check that a Go module proxy can be reached")
        for package, name in packages.items():
            _place(built, package, into / name)
    say(f"built {module.name} in {time.monotonic() - began:.0f} s")


def _place(built: Path, package: str, target: Path) -> None:
    """Go names a program by the last element of its package, or by the one before it where that is a version."""
    words = package.split("/")
    for word in reversed(words):
        if (built / word).is_file():
            shutil.move(built / word, target)
            return
    raise LabError(f"the build of {package} left no program", "read the module's documentation")


def _linker_flags(module: GoModule) -> str:
    flags = ["-s", "-w"]
    if module.staging:
        major, minor, _ = KUBERNETES.split(".")
        # Left at its default, the API server says v0.0.0-master and the kubelet registers with it.
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
            stamps = {
                "gitVersion": f"v{KUBERNETES}",
                "gitMajor": major,
                "gitMinor": minor,
                "gitTreeState": "clean",
                "gitCommit": "module",
                "buildDate": "1970-01-01T00:00:00Z",
            }
            flags += [f"-X {package}.{name}={value}" for name, value in stamps.items()]
    return " ".join(flags)
