"""What a machine lacks for a lab, with the command that brings it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from vdibench.lab import APT_PACKAGES, MissingPart, missing, requirements


def test_nothing_is_missing_here() -> None:
    assert missing() == ()


def test_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ldd").symlink_to("/usr/bin/ldd")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {part.name: part.remedy for part in missing()}
    assert found == {
        "Xvfb": "apt-get install xvfb",
        "xkbcomp": "apt-get install x11-xkb-utils",
        "pulseaudio": "apt-get install pulseaudio",
        "turnserver": "apt-get install coturn",
    }
    assert "turnserver" not in {part.name for part in missing(turn=False)}


def test_shared_library_that_the_loader_does_not_find(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A real module that links libraries which are not there: the wheel's own, one of them renamed in its table."""
    real = importlib.util.find_spec("pixelflux")
    assert real is not None
    assert real.origin is not None
    content = Path(real.origin).read_bytes()
    assert b"libgbm.so.1\0" in content
    (tmp_path / "otherflux.so").write_bytes(content.replace(b"libgbm.so.1\0", b"libgbX.so.1\0"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(requirements, "_MODULES", ("otherflux", "nowhereflux"))
    monkeypatch.setitem(requirements._LIBRARIES, "libgbX.so.1", "libgbx1")
    found = {part.name: part for part in missing()}
    assert found["libgbX.so.1"] == MissingPart("libgbX.so.1", "library", "libgbx1", "apt-get install libgbx1")
    assert found["nowhereflux"] == MissingPart("nowhereflux", "package", "", "pip install 'vdibench[lab]'")
    # Away from the libraries that the wheel brings along, those are not found either.
    (bundled,) = [name for name in found if name.startswith("libx264")]
    assert f"apt-file search {bundled}" in found[bundled].remedy


def test_selkies_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(python))
    assert missing() == (MissingPart("selkies", "package", "", "pip install 'vdibench[lab]'"),)


def test_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    (only,) = missing()
    assert only.name == "Linux"
    assert "URL" in only.remedy


def test_apt_packages_are_all_named() -> None:
    assert set(APT_PACKAGES) >= {"xvfb", "pulseaudio", "coturn", "libgbm1", "libexpat1"}
