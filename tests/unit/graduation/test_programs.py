"""Where the programs of a graduation come from."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vdibench.errors import UsageError
from vdibench.graduation.programs import Programs, find_programs
from vdibench.lab.cluster.binaries import binaries
from vdibench.lab.cluster.versions import GO_MODULES


def program(folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    made = folder / name
    made.write_text("#!/bin/sh\n")
    made.chmod(0o755)
    return made


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with kubectl and helm on its path, and a Python in a folder of its own."""
    own = tmp_path / "own"
    for name in ("kubectl", "helm"):
        program(own, name)
    monkeypatch.setenv("PATH", str(own))
    monkeypatch.setattr(sys, "executable", str(program(tmp_path / "environment", "python")))
    return tmp_path


def test_the_machines_own_come_first(machine: Path) -> None:
    said: list[str] = []
    operator = program(machine / "own", "vdi-operator")
    found = find_programs(said.append)
    assert found == Programs(machine / "own" / "kubectl", machine / "own" / "helm", operator)
    assert said == [], "nothing was built"


def test_the_operator_is_the_one_of_this_python(machine: Path) -> None:
    program(machine / "own", "vdi-operator")
    beside = program(machine / "environment", "vdi-operator")
    assert find_programs().operator == beside


def test_without_an_operator_it_says_how_to_get_one(machine: Path) -> None:
    with pytest.raises(UsageError, match="there is no vdi-operator") as raised:
        find_programs()
    assert "pip install ./operator" in raised.value.remedy


def test_without_one_of_the_machine_it_is_the_labs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Built once for all tests and kept."""
    for module in GO_MODULES:
        if module.name in ("kubernetes", "helm"):
            binaries((module,))  # before the path is empty: a build needs it
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    beside = Path(sys.executable).with_name("vdi-operator")
    if not beside.is_file():
        monkeypatch.setattr(sys, "executable", str(program(tmp_path / "environment", "python")))
        program(tmp_path / "environment", "vdi-operator")
    found = find_programs()
    assert found.kubectl.is_file()
    assert found.helm.is_file()
    assert (found.kubectl.name, found.helm.name) == ("kubectl", "helm")
