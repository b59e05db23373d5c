"""Self-tests between runs: kept per machine, version and kind, found again while they hold, never in the way."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from vdibench.errors import StoreError
from vdibench.records import Outcome, SelfTest
from vdibench.selftest import keep, kept, state_file
from vdibench.selftest.state import MAX_AGE_SECONDS, fingerprint
from vdibench.store import load_selftest, selftest_document, selftest_from

Make = Callable[..., SelfTest]
NOW = 1_760_000_100.0


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def test_nothing_is_kept_and_nothing_made_by_asking(state_home: Path) -> None:
    assert kept(NOW) is None
    assert list(state_home.iterdir()) == []


def test_what_is_kept_comes_back_as_it_was(selftest: Make) -> None:
    path = keep(selftest())
    assert path == state_file()
    assert kept(NOW) == selftest()


def test_full_goes_before_quick_and_newer_before_older(selftest: Make) -> None:
    keep(selftest(kind="quick", began_unix_seconds=NOW - 5))
    keep(selftest(kind="quick", began_unix_seconds=NOW - 3))
    assert kept(NOW) == selftest(kind="quick", began_unix_seconds=NOW - 3)
    keep(selftest(began_unix_seconds=NOW - 50))
    assert kept(NOW) == selftest(began_unix_seconds=NOW - 50)
    assert len(json.loads(state_file().read_text())["selftests"]) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"fingerprint": "000000000000"},
        {"version": "0.0.1"},
        {"began_unix_seconds": NOW - MAX_AGE_SECONDS - 1},
        {"began_unix_seconds": NOW + 60},
        {"invalid": ("the machine was loaded",)},
        {"accuracy": ()},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_does_not_hold_here_is_not_found(selftest: Make, changes: dict[str, object]) -> None:
    keep(selftest(**changes))
    assert kept(NOW) is None


def test_self_tests_of_other_machines_stay(selftest: Make) -> None:
    keep(selftest(fingerprint="000000000000"))
    keep(selftest())
    assert {one["fingerprint"] for one in json.loads(state_file().read_text())["selftests"]} == {
        "000000000000",
        fingerprint(),
    }


def test_file_does_not_grow_without_end(selftest: Make) -> None:
    for number in range(40):
        keep(selftest(fingerprint=f"{number:012}", began_unix_seconds=NOW - 100 + number))
    assert len(json.loads(state_file().read_text())["selftests"]) == 16


@pytest.mark.parametrize("text", ["", "{", "[]", '{"selftests": 5}', '{"selftests": [{}, 7, {"schema": 99}]}'])
def test_damaged_file_counts_as_none_and_is_replaced(selftest: Make, text: str) -> None:
    state_file().parent.mkdir(parents=True)
    state_file().write_text(text)
    assert kept(NOW) is None
    keep(selftest())
    assert kept(NOW) == selftest()


def test_writers_at_the_same_time_lose_nothing(selftest: Make) -> None:
    found = [selftest(fingerprint=f"{number:012}") for number in range(8)]
    threads = [threading.Thread(target=keep, args=(one,)) for one in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(json.loads(state_file().read_text())["selftests"]) == 8


def test_state_that_cannot_be_written_is_told(
    selftest: Make, state_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (state_home / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(state_home / "file"))
    with pytest.raises(StoreError, match="XDG_STATE_HOME"):
        keep(selftest())


def test_fingerprint_changes_with_kernel_and_decoder_and_with_nothing_else() -> None:
    host, libraries = {"kernel": "6.1", "cpu_model": "x", "load_average_1m": 3.0}, {"av": "14", "pandas": "2"}
    same = fingerprint(host, libraries)
    assert len(same) == 12
    assert fingerprint(host | {"load_average_1m": 0.1}, libraries | {"pandas": "3"}) == same
    assert fingerprint(host | {"kernel": "6.2"}, libraries) != same
    assert fingerprint(host, libraries | {"av": "15"}) != same


def test_document_has_the_keys_that_are_promised(selftest: Make) -> None:
    document = json.loads(json.dumps(selftest_document(selftest())))
    assert {"host", "accuracy", "cost", "floor", "outcome"} <= set(document)
    wanted = {"metric", "dialect", "injected", "measured", "error", "unit", "samples", "bound", "ok"}
    assert wanted <= set(document["accuracy"][0])
    wanted = {"mode", "sessions", "packets_per_second", "cpu_ratio_per_session", "clients_per_core"}
    assert wanted | {"rss_bytes_per_session", "source"} <= set(document["cost"][0])
    assert selftest_from(document | {"of a newer minor writer": 1}) == selftest()


def test_run_folder_gives_it_back(selftest: Make, tmp_path: Path) -> None:
    assert load_selftest(tmp_path) is None
    (tmp_path / "selftest.json").write_text(json.dumps(selftest_document(selftest())))
    assert load_selftest(tmp_path) == selftest()
    (tmp_path / "selftest.json").write_text("{")
    with pytest.raises(StoreError, match=r"selftest\.json"):
        load_selftest(tmp_path)


def test_outcome_is_the_worst_that_can_be_said(selftest: Make) -> None:
    row = selftest().accuracy[0]
    missed = dataclasses.replace(row, ok=False)
    unknown = dataclasses.replace(row, ok=None)
    beside = dataclasses.replace(row, ok=None, applicable=False)
    assert selftest().outcome is Outcome.PASS
    assert selftest(accuracy=(row, beside)).outcome is Outcome.PASS
    assert selftest(accuracy=(row, unknown)).outcome is Outcome.NO_DATA
    assert selftest(accuracy=(beside,)).outcome is Outcome.NO_DATA
    assert selftest(accuracy=()).outcome is Outcome.NO_DATA
    assert selftest(missing=("no lab",)).outcome is Outcome.NO_DATA
    assert selftest(accuracy=(missed, unknown)).outcome is Outcome.FAIL
    assert selftest(accuracy=(missed,), invalid=("loaded",)).outcome is Outcome.INVALID
