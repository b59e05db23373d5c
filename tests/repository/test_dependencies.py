"""Each pyproject.toml is the one source of its requirements; the conda file and the lock follow it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ENTRY = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>[^\\]+?))? \\$")


def declared(project: dict[str, Any]) -> list[Requirement]:
    extras = project["project"].get("optional-dependencies", {}).values()
    return [Requirement(r) for group in (project["project"]["dependencies"], *extras) for r in group]


def normal(requirement: Requirement) -> str:
    requirement.name = canonicalize_name(requirement.name)
    return str(requirement)


@pytest.fixture(scope="module")
def lock(root: Path) -> dict[str, list[Requirement]]:
    """The lock's entries by name; one that is not followed by a hash is an error."""
    found: dict[str, list[Requirement]] = {}
    lines = (root / "requirements.lock").read_text().splitlines()
    for number, line in enumerate(lines):
        if not line or line.startswith((" ", "#")):
            continue
        entry = ENTRY.match(line)
        assert entry, f"line {number + 1} is no pinned entry: {line}"
        assert re.match(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$", lines[number + 1]), f"{line} has no hash"
        found.setdefault(canonicalize_name(entry["name"]), []).append(Requirement(line.rstrip(" \\")))
    return found


def test_conda_environment_is_pyproject(root: Path, project: dict[str, Any]) -> None:
    conda = yaml.safe_load((root / "environment.yml").read_text())
    assert (conda["name"], conda["channels"]) == ("vdibench", ["conda-forge"])
    python, pip, section = conda["dependencies"]
    assert python == f"python {project['project']['requires-python']}"
    assert pip == "pip"
    own, requirements = section["pip"][:3], section["pip"][3:]
    assert own == ["--editable .", "--editable operator[fast]", "--editable operator/checker"]
    assert [normal(Requirement(r)) for r in requirements] == [normal(r) for r in declared(project)]


def test_conda_environment_has_what_its_users_expect(root: Path) -> None:
    text = (root / "environment.yml").read_text()
    for name in [
        "jupyterlab",
        "papermill",
        "kubernetes",
        "aiortc",
        "pandas",
        "matplotlib",
        "locust",
        "pytest",
        "nbval",
        "kopf",
    ]:
        assert re.search(rf'- "{name}[>=<]', text), name


@pytest.mark.parametrize("folder", [".", "operator", "operator/checker"])
def test_lock_has_every_requirement_at_a_version_that_fits(
    root: Path, folder: str, lock: dict[str, list[Requirement]]
) -> None:
    project = tomllib.loads((root / folder / "pyproject.toml").read_text())
    needed = [one for one in declared(project) if one.name != "vdibench"]
    assert needed
    for requirement in needed:
        entries = lock.get(canonicalize_name(requirement.name))
        assert entries, f"{requirement} is not in requirements.lock: run `make lock`"
        for entry in entries:
            version = next(iter(entry.specifier)).version
            assert requirement.specifier.contains(version, prereleases=True), f"{entry} does not fit {requirement}"


def test_lock_names_no_place(root: Path) -> None:
    text = (root / "requirements.lock").read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(-i|-f|--index|--extra-index|--find-links|--trusted-host|-e|--editable)\b", text, re.M)
    assert not re.search(r"(^|\s)(/|file:|\./)", text)


def test_lock_carries_every_extra_to_other_systems(lock: dict[str, list[Requirement]]) -> None:
    assert [str(e.marker) for e in lock["selkies"]] == ['sys_platform == "linux"']
    assert any(e.marker is None or not e.marker.evaluate({"sys_platform": "linux"}) for e in lock["pandas"])
