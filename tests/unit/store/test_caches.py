"""What is slow to make is made once, is there whole or not at all, and is named after what it was made from."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from vdibench.errors import StoreError
from vdibench.store.caches import cache_root, entry, entry_name


def test_the_cache_follows_the_specification(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_root() == tmp_path / ".cache" / "vdibench"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert cache_root() == tmp_path / "other" / "vdibench"
    assert not cache_root().exists()


def test_a_name_tells_parts_apart() -> None:
    assert entry_name("k", ("ab", "c")) == entry_name("k", (b"ab", b"c"))
    names = {entry_name("k", parts) for parts in (("ab", "c"), ("a", "bc"), ("abc",), ("c", "ab"), ("ab", "c", ""))}
    assert len(names) == 5
    assert all(name.startswith("k-") for name in names)


def test_an_entry_is_made_once(tmp_path: Path) -> None:
    asked = []

    def make(folder: Path) -> None:
        asked.append(folder)
        (folder / "file").write_text("content")

    first = entry(tmp_path / "cache", "one", make)
    assert (first / "file").read_text() == "content"
    assert entry(tmp_path / "cache", "one", make) == first
    assert len(asked) == 1


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    def make(folder: Path) -> None:
        (folder / "half").write_text("")
        raise RuntimeError("no network")

    with pytest.raises(RuntimeError, match="no network"):
        entry(tmp_path, "one", make)
    assert [path.name for path in tmp_path.iterdir()] == ["one.lock"]
    assert entry(tmp_path, "one", lambda folder: None).is_dir()


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".one.killed"
    (left / "deep").mkdir(parents=True)
    other = tmp_path / ".other.at-work"
    other.mkdir()
    entry(tmp_path, "one", lambda folder: None)
    assert not left.exists()
    assert other.exists()


def test_two_who_ask_at_once_make_it_once(tmp_path: Path) -> None:
    asked, both = [], threading.Barrier(2)
    found: list[Path] = []

    def make(folder: Path) -> None:
        asked.append(folder)
        (folder / "file").write_text("whole")

    def ask() -> None:
        both.wait()
        found.append(entry(tmp_path, "one", make) / "file")

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 1
    assert [path.read_text() for path in found] == ["whole", "whole"]


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="XDG_CACHE_HOME"):
        entry(tmp_path / "file" / "cache", "one", lambda folder: None)
