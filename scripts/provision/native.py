"""The native receiver in `.venv`, built from the checkout where the machine can; vdibench does without it too.

A stamp says for which sources, environment and tools it was built, or why it was not. Only for the tests it must be
there.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from provision import capabilities, environment
from provision.console import SetupError, say, tail

__all__ = ["prepare"]

SOURCES = Path("vdibench", "load", "native")
STAMP = "native.stamp"


def prepare(root: Path, log: Path, *, required: bool) -> str:
    """Build and install it if anything changed; return a note for the report.

    :raises SetupError: it is required and cannot be built.
    """
    sources = root / SOURCES
    if not sources.is_dir():
        return "warm: no sources"
    lacking = capabilities.missing(capabilities.native())
    stamp = root / ".venv" / STAMP
    wanted = _fingerprint(root, [one.name for one in lacking])
    recorded = _recorded(stamp)
    if recorded.get("fingerprint") == wanted and (recorded.get("built") or not required):
        return "warm: nothing changed"
    # Without SRTP it is of use all the same.
    vital = [one for one in lacking if one.vital]
    if vital:
        missing = ", ".join(f"{one.name} (package {one.packages[0]})" for one in vital)
        if required:
            raise SetupError(f"the native receiver cannot be built without {missing}: install it, then try again", 3)
        say(f"native receiver: left out for want of {missing}; the load tests need more of the processor without it")
        note = f"left out: no {missing}"
    else:
        note = _build(root, sources, log, required=required)
    stamp.write_text(json.dumps({"fingerprint": wanted, "built": note == "built"}) + "\n")
    return note


def _build(root: Path, sources: Path, log: Path, *, required: bool) -> str:
    # In a place of its own: a build leaves its folders beside the sources.
    place = root / ".cache" / "native"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(sources, place, ignore=shutil.ignore_patterns("build", "__pycache__", "*.egg-info", "*.so"))
    code = environment.install(
        root / ".venv", log, "native receiver: building", "--no-deps", "--no-build-isolation", str(place)
    )
    if not code:
        return "built"
    said = f"the native receiver could not be built (exit {code}), see {log}:\n{tail(log)}"
    if required:
        raise SetupError(said)
    say(f"native receiver: left out, its build failed, see {log}; the load tests need more of the processor without it")
    return "left out: its build failed"


def _fingerprint(root: Path, lacking: list[str]) -> str:
    digest = hashlib.sha256(environment.fingerprint(root).encode())
    digest.update(json.dumps(lacking).encode())
    for path in sorted((root / SOURCES).rglob("*")):
        if path.suffix in {".c", ".h", ".py", ".pyi", ".toml", ".md"} and "build" not in path.parts:
            digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _recorded(stamp: Path) -> dict[str, object]:
    try:
        found = json.loads(stamp.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
