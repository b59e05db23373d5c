"""Small checkouts with the real set-up scripts and packages made on the spot: no network, a second to install."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Checkout", "Machine"]

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "thing"
version = "1"
"""

# Blocks in the middle of pip's work while the pipe is there: whoever opens its other end knows where pip is.
BACKEND = """
import pathlib, zipfile

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    pipe = pathlib.Path("halt")
    if pipe.exists():
        pipe.read_bytes()
    name = "thing-1-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory, name), "w") as wheel:
        wheel.writestr("thing.pth", str(pathlib.Path.cwd()))
        wheel.writestr("thing-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: thing\\nVersion: 1\\n")
        wheel.writestr("thing-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("thing-1.dist-info/RECORD", "")
    return name
"""

EXECUTABLES = {"xvfb": "Xvfb", "pulseaudio": "pulseaudio", "coturn": "turnserver", "chromium": "chromium"}


@dataclass(frozen=True)
class Checkout:
    """A folder that `scripts/setup.py` takes for its checkout."""

    root: Path

    @classmethod
    def create(cls, root: Path, scripts: Path) -> Checkout:
        root.mkdir()
        shutil.copytree(scripts, root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
        (root / "wheels").mkdir()
        for folder, name in ((root, "thing"), (root / "operator", "operation")):
            folder.mkdir(exist_ok=True)
            (folder / "pyproject.toml").write_text(PYPROJECT.replace("thing", name))
            (folder / "backend.py").write_text(BACKEND.replace("thing", name))
            (folder / f"{name}.py").touch()
        checkout = cls(root)
        checkout.lock("first")
        return checkout

    def lock(self, *names: str) -> None:
        """Make a wheel for each name and lock exactly these."""
        lines = []
        for name in names:
            path = self.root / "wheels" / f"{name}-1-py3-none-any.whl"
            with zipfile.ZipFile(path, "w") as wheel:
                info = f"{name}-1.dist-info"
                wheel.writestr(f"{name}.py", "")
                wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
                wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
                wheel.writestr(f"{info}/RECORD", "")
            lines.append(f"{name}==1 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n")
        (self.root / "requirements.lock").write_text("".join(lines))

    def argv(self, purpose: str = "report") -> list[str]:
        return [sys.executable, str(self.root / "scripts" / "setup.py"), "--for", purpose]

    def environment(self, **changes: str) -> dict[str, str]:
        pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.root / "wheels")}
        # pip that is cut off leaves its work behind: in the test's own place.
        scratch = self.root.parent / "scratch"
        scratch.mkdir(exist_ok=True)
        return {**os.environ, **pip, "TMPDIR": str(scratch), **changes}

    def prepare(self, purpose: str = "report", **changes: str) -> subprocess.CompletedProcess[str]:
        """Run set-up to its end; `changes` go into its environment."""
        return subprocess.run(
            self.argv(purpose),
            env=self.environment(**changes),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )


class Machine:
    """A PATH with stand-ins for apt and sudo: what set-up decides is under test, not what apt does.

    The stand-in for apt-get "installs" by putting an executable on this PATH, and records what it saw.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bin"
        self.sbin = folder / "sbin"
        self.units = folder / "systemd"
        self.log = folder / "calls"
        self.known = folder / "known"
        for place in (self.path, self.sbin):
            place.mkdir(parents=True)
        self.log.touch()
        for tool in ("env", "rm", "grep", "chmod", "sed", "cat", "touch", "true"):
            found = shutil.which(tool)
            assert found
            (self.path / tool).symlink_to(found)
        # What the script does to the system as root happens in this folder.
        moves = f"s|/usr/sbin|{self.sbin}|g; s|/etc/systemd|{self.units}|g"
        self.add("sh", f'script=$(printf %s "$3" | sed "{moves}"); shift 3; exec /bin/sh -eu -c "$script" "$@"')

    def add(self, name: str, body: str) -> None:
        program = self.path / name
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "{name} $*" >> {self.log}\n{body}\n')
        program.chmod(0o755)

    def user(self, uid: int) -> None:
        (self.path / "id").write_text(f"#!/bin/sh\necho {uid}\n")
        (self.path / "id").chmod(0o755)

    def has(self, *packages: str) -> None:
        for package in packages:
            self.add(EXECUTABLES[package], "exit 0")

    def apt(self, known: dict[str, str], *, known_only_after_update: bool = False, fails: str = "") -> None:
        """`known`: package to candidate version; `fails`: what apt-get says before it gives up."""
        lists = "".join(f"{package} {version}\n" for package, version in known.items())
        (Path(f"{self.known}.new")).write_text(lists)
        self.known.write_text("" if known_only_after_update else lists)
        self.add(
            "apt-cache",
            f'version=$(sed -n "s/^$2 //p" {self.known}); echo "$2:"; echo "  Candidate: ${{version:-(none)}}"',
        )
        cases = "".join(
            f"    {package}) printf '#!/bin/sh\\n' > {self.path}/{name}; chmod 755 {self.path}/{name} ;;\n"
            for package, name in EXECUTABLES.items()
        )
        refuse = f'echo "{fails}"; exit 100' if fails else ""
        self.add(
            "apt-get",
            f'case "$*" in *update*) cat {self.known}.new > {self.known}; exit 0 ;; esac\n'
            f"if [ -x {self.sbin}/policy-rc.d ]; then echo guarded >> {self.log}; fi\n"
            f"{refuse}\n"
            f'for package in "$@"; do case "$package" in\n{cases}esac; done',
        )
        self.add("dpkg", "exit 0")

    def calls(self, name: str) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if line.startswith(f"{name} ")]
