"""The wheel by itself, beside nothing but what it requires: no extra, no checkout, no root."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

NOT_INCLUDED = ("selkies", "locust", "kubernetes", "kopf", "papermill", "jupyterlab", "pytest", "mypy")


def closure(names: list[str]) -> set[str]:
    """Names of the installed distributions that these need, themselves included, extras as they ask for them."""
    found: set[str] = set()
    open_ends = [Requirement(name) for name in names]
    while open_ends:
        wanted = open_ends.pop()
        name = canonicalize_name(wanted.name)
        extras = tuple(wanted.extras)
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        if name in found and not extras:
            continue
        found.add(name)
        for text in metadata.requires(name) or []:
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in ("", *extras)):
                needed.marker = None
                open_ends.append(needed)
    return found


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=root,
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def place(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and the distributions that it requires, and no other."""
    folder = tmp_path_factory.mktemp("place")
    venv.create(folder, with_pip=False)
    target = next(folder.glob("lib/python3*/site-packages"))
    requirements = [r for r in metadata.requires("vdibench") or [] if "extra ==" not in r]
    for name in closure(requirements):
        files = metadata.files(name) or []
        for top in {f.parts[0] for f in files} - {"..", "__pycache__"}:
            source = Path(str(files[0].locate())).parents[len(files[0].parts) - 1] / top
            if not (target / top).exists():
                (target / top).symlink_to(source)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            folder / "bin" / "python",
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--no-compile",
            wheel,
        ],
        check=True,
    )
    return folder


def run(place: Path, *argv: str) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env["MPLCONFIGDIR"] = str(place)
    done = subprocess.run([place / "bin" / argv[0], *argv[1:]], cwd=place, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_wheel_has_what_it_needs_and_no_tests(wheel: Path, root: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in ("vdibench/py.typed", "vdibench/desk/desk.py", "vdibench/notebooks/01_preflight.ipynb"):
        assert wanted in names
    notebooks = {f"vdibench/notebooks/{p.name}" for p in (root / "notebooks").glob("*.ipynb")}
    assert notebooks == {n for n in names if n.endswith(".ipynb")}
    parameters = {f"vdibench/notebooks/params/{p.name}" for p in (root / "notebooks" / "params").iterdir()}
    assert parameters <= set(names)
    unwanted = re.compile(r"(^|/)(tests?/|test_|conftest)|__pycache__|checkpoint")
    assert [n for n in names if unwanted.search(n)] == []
    assert {n.split("/")[0].split("-")[0] for n in names} == {"vdibench"}


def test_isolation_is_real(place: Path) -> None:
    code = f"import importlib.util; print([n for n in {NOT_INCLUDED} if importlib.util.find_spec(n)])"
    assert run(place, "python", "-c", code) == "[]\n"


@pytest.mark.parametrize("argv", [("--help",), ("watch", "--help"), ("--version",)], ids=" ".join)
def test_commands_work_without_extras(place: Path, argv: tuple[str, ...]) -> None:
    assert "vdibench" in run(place, "vdibench", *argv)


def test_analysis_works_without_extras(place: Path) -> None:
    rooms = "records, store, metrics, slo, analysis, report, selkies, client, telemetry"
    where = run(place, "python", "-W", "error", "-c", f"from vdibench import {rooms}; print(store.__file__)")
    assert where.startswith(str(place))
