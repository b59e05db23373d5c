"""Where labs are kept, and that of two claims one wins."""

from __future__ import annotations

import os
import stat
import tempfile
import threading
import time
import uuid
from pathlib import Path

import pytest

from vdibench.errors import LabError
from vdibench.lab.places import Claim, claim, is_held, labs_root, sweep_stale


def test_root_in_the_runtime_directory(state_root: Path) -> None:
    assert labs_root() == state_root / "vdibench" / "labs"


def test_root_without_usable_runtime_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/tmp")
    expected = Path(f"/tmp/vdibench-{os.getuid()}/labs")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert labs_root() == expected
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "absent"))
    assert labs_root() == expected
    long = tmp_path / ("d" * 90)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    assert labs_root() == expected
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with pytest.raises(LabError, match=r"would be too long .*: set XDG_RUNTIME_DIR or TMPDIR"):
        labs_root()


def test_root_that_is_not_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / f"vdibench-{os.getuid()}").symlink_to("/usr")
    with pytest.raises(LabError, match="belongs to somebody else"):
        labs_root()


def test_unwritable_root(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="vdi-") as short:
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        (Path(short) / "vdibench").write_text("a file where the directory should be")
        check_unwritable()


def check_unwritable() -> None:
    with pytest.raises(LabError, match=r"cannot make a directory for the lab below .*: set XDG_RUNTIME_DIR"):
        claim("x", str(uuid.uuid4()))


def test_of_many_claims_one_wins(state_root: Path) -> None:
    won: list[Claim] = []
    lost: list[LabError] = []
    gate = threading.Barrier(8)

    def try_it() -> None:
        gate.wait()
        try:
            won.append(claim("contested", str(uuid.uuid4())))
        except LabError as error:
            lost.append(error)

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert len(lost) == 7
    directory = won[0].directory
    assert directory == state_root / "vdibench" / "labs" / "contested"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert is_held(directory)
    sweep_stale()
    assert directory.exists(), "a held directory was swept"
    won[0].release()
    assert not is_held(directory)
    sweep_stale()
    assert not directory.exists()


def test_abandoned_claim_is_swept_when_it_is_old(state_root: Path) -> None:
    root = labs_root()
    root.mkdir(parents=True, exist_ok=True)
    fresh, old = root / ".new-fresh", root / ".new-old"
    fresh.mkdir()
    old.mkdir()
    long_ago = time.time() - 3600
    os.utime(old, (long_ago, long_ago))
    sweep_stale()
    assert fresh.exists()
    assert not old.exists()
    fresh.rmdir()


def test_name_can_be_claimed_after_its_lab_died(state_root: Path) -> None:
    first = claim("reused", str(uuid.uuid4()))
    (first.directory / "spec.json").write_text("{}")
    first.release()
    second = claim("reused", str(uuid.uuid4()))
    assert not (second.directory / "spec.json").exists()
    second.release()
    sweep_stale()
