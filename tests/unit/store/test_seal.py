"""A run that ended is sealed: whatever its verdict rests on can be told from what it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vdibench.errors import StoreError
from vdibench.records import Outcome, RunState, SuiteVerdict
from vdibench.store import SEAL_FILE, SELFTEST_FILE, Recording, RunFolder, broken, seal_digest

PASSING = SuiteVerdict("stream_validation", Outcome.PASS)


@pytest.fixture
def sealed(run, rows, tmp_path: Path) -> RunFolder:
    folder = RunFolder.create(tmp_path, run)
    folder.append("frames", rows(10))
    folder.write_text(SELFTEST_FILE, '{"schema": 1}\n')
    folder.write_verdict(PASSING)
    folder.finish(RunState.FINISHED)
    return folder


def test_the_end_seals_documents_and_samples(sealed) -> None:
    text = (sealed.path / SEAL_FILE).read_text()
    document = json.loads(text)
    (sample,) = (sealed.path / "samples").iterdir()
    assert list(document["files"]) == ["run.json", f"samples/{sample.name}", SELFTEST_FILE, "verdict.json"]
    for name, digest in document["files"].items():
        assert digest == hashlib.sha256((sealed.path / name).read_bytes()).hexdigest()
    assert text == json.dumps(document, indent=2, sort_keys=True) + "\n"
    assert broken(sealed.path) == ()
    assert seal_digest(sealed.path) == hashlib.sha256(text.encode()).hexdigest()


def test_a_run_that_goes_on_has_no_seal(run, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, run)
    folder.write_verdict(PASSING)
    (line,) = broken(folder.path)
    assert line.startswith("there is no seal.json: ")
    with pytest.raises(StoreError, match="has no seal"):
        seal_digest(folder.path)


def _edit(folder: Path) -> None:
    path = folder / "verdict.json"
    path.write_text(path.read_text().replace("stream_validation", "gpu_density"))


def _flip(folder: Path) -> None:
    (sample,) = (folder / "samples").iterdir()
    data = bytearray(sample.read_bytes())
    data[len(data) // 2] ^= 1
    sample.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (_edit, "verdict.json was changed after the run had ended"),
        (_flip, "samples/frames-stream_validation-00000.parquet was changed after the run had ended"),
        (lambda folder: (folder / SELFTEST_FILE).unlink(), "selftest.json is missing"),
        (lambda folder: (folder / "subjects.json").write_text("{}"), "subjects.json was added after the run had ended"),
        (
            lambda folder: (
                (folder / "samples" / "deep" / "more").mkdir(parents=True)
                or (folder / "samples" / "deep" / "more" / "x").write_text("")
            ),
            "samples/deep/more/x was added after the run had ended",
        ),
    ],
)
def test_what_was_changed_is_named(sealed, damage: Callable[[Path], object], line: str) -> None:
    damage(sealed.path)
    assert broken(sealed.path) == (line,)


def test_everything_that_was_changed_is_told_at_once_and_in_order(sealed) -> None:
    for damage in (_flip, _edit):
        damage(sealed.path)
    (sealed.path / SELFTEST_FILE).unlink()
    assert [line.split()[0] for line in broken(sealed.path)] == [
        "samples/frames-stream_validation-00000.parquet",
        "selftest.json",
        "verdict.json",
    ]


def test_what_is_drawn_or_left_over_is_not_covered(sealed) -> None:
    writer = RunFolder.open(sealed.path)
    writer.write_text("report.html", "<p>drawn again</p>")
    writer.write_bytes("figures/a.png", b"x")
    (sealed.path / "junit.xml").unlink()
    (sealed.path / "samples" / ".frames-stream_validation-00001.parquet.7.0.tmp").write_bytes(b"half")
    assert broken(sealed.path) == ()


@pytest.mark.parametrize("name", [SELFTEST_FILE, "run.json", SEAL_FILE, "samples/x.parquet", "figures/../verdict.json"])
def test_the_store_itself_changes_nothing_that_is_sealed(sealed, name: str) -> None:
    writer = RunFolder.open(sealed.path)
    for write in (lambda: writer.write_text(name, "{}"), lambda: writer.write_bytes(name, b"{}")):
        with pytest.raises(StoreError, match="is sealed, the run is finished"):
            write()
    assert broken(sealed.path) == ()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("{", "seal.json cannot be read: "),
        ("[]", "seal.json cannot be read: it has no schema version"),
        ('{"schema": 1}', "seal.json cannot be read: it names no files"),
        ('{"schema": 99, "files": {}}', "seal.json cannot be read: it has schema 99, this vdibench reads up to 1"),
    ],
)
def test_a_seal_that_cannot_be_read_is_one_line(sealed, content: str, line: str) -> None:
    (sealed.path / SEAL_FILE).write_text(content)
    (found,) = broken(sealed.path)
    assert found.startswith(line)


def test_a_worse_end_is_sealed_anew(sealed) -> None:
    before = seal_digest(sealed.path)
    sealed.finish(RunState.FAILED, error="the report could not be drawn")
    assert broken(sealed.path) == ()
    assert seal_digest(sealed.path) != before
    assert Recording.open(sealed.path).run.state is RunState.FAILED


def test_the_same_end_again_changes_no_seal(sealed) -> None:
    before = seal_digest(sealed.path)
    sealed.finish(RunState.FINISHED)
    assert seal_digest(sealed.path) == before


def test_a_second_end_does_not_seal_what_was_changed_in_between(sealed) -> None:
    _flip(sealed.path)
    sealed.finish(RunState.FAILED)
    assert "samples/frames-stream_validation-00000.parquet was changed after the run had ended" in broken(sealed.path)


def test_a_run_of_an_older_vdibench_gets_no_seal_by_ending_again(sealed) -> None:
    (sealed.path / SEAL_FILE).unlink()
    sealed.finish(RunState.FINISHED)
    assert not (sealed.path / SEAL_FILE).exists()


def test_a_worse_end_that_is_cut_short_leaves_a_seal_that_does_not_fit(sealed) -> None:
    """As a process leaves it that is killed after the first of the files that a second end writes."""
    kept = {name: (sealed.path / name).read_bytes() for name in ("verdict.json", SEAL_FILE)}
    sealed.finish(RunState.FAILED)
    for name, data in kept.items():
        (sealed.path / name).write_bytes(data)
    assert broken(sealed.path) == ("run.json was changed after the run had ended",)
    assert Recording.open(sealed.path).verdict.outcome is Outcome.NO_DATA
