"""The native receiver in a checkout's set-up: required for the tests, left out in one line where it cannot be built."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from provision import native
from provision.console import SetupError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / native.SOURCES, tmp_path / native.SOURCES)
    for name in ("requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").mkdir()
    return tmp_path


def test_without_a_compiler_it_is_left_out_and_said_once(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    assert native.prepare(checkout, checkout / "log", required=False).startswith("left out: no C compiler")
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "package gcc" in said
    assert native.prepare(checkout, checkout / "log", required=False) == "warm: nothing changed"
    assert capsys.readouterr().out == ""


def test_where_it_is_required_the_remedy_is_named(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    for _ in range(2):  # one that was left out before is not good enough either
        with pytest.raises(SetupError, match="package gcc") as caught:
            native.prepare(checkout, checkout / "log", required=True)
        assert caught.value.exit_code == 3
        native.prepare(checkout, checkout / "log", required=False)


def test_a_build_that_fails(checkout: Path, capsys: Any) -> None:
    """The checkout's environment is empty: there is no pip in it that could build."""
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\necho no pip here\nexit 7\n")
    python.chmod(0o755)
    with pytest.raises(SetupError, match=r"exit 7(.|\n)*no pip here"):
        native.prepare(checkout, checkout / "log", required=True)
    assert native.prepare(checkout, checkout / "log", required=False) == "left out: its build failed"
    assert "left out" in capsys.readouterr().out
    assert not (checkout / native.SOURCES / "build").exists()


def test_changed_sources_are_built_again(checkout: Path) -> None:
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\necho "$@" >> {checkout}/calls\n')
    python.chmod(0o755)
    assert native.prepare(checkout, checkout / "log", required=True) == "built"
    assert native.prepare(checkout, checkout / "log", required=True) == "warm: nothing changed"
    source = next((checkout / native.SOURCES).rglob("*.c"))
    source.write_text(source.read_text() + "\n")
    assert native.prepare(checkout, checkout / "log", required=True) == "built"
    calls = (checkout / "calls").read_text().splitlines()
    assert len(calls) == 2
    assert all("--no-build-isolation" in call and ".cache/native" in call for call in calls)


def test_a_checkout_without_its_sources(tmp_path: Path) -> None:
    assert native.prepare(tmp_path, tmp_path / "log", required=True) == "warm: no sources"
