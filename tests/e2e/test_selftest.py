"""``vdibench selftest`` from outside: what it prints and keeps, what an end in the middle leaves, how runs find it."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from vdibench.records import EXIT_CODES, Outcome
from vdibench.store import load_selftest, resolve, selftest_document, selftest_from

from .commands import short_run, start, vdibench
from .test_life import await_gone, await_labs, lab_processes

pytestmark = pytest.mark.timeout(240)


def test_a_quick_one_is_printed_and_kept_and_the_next_run_takes_it(tmp_path: Path) -> None:
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    before = lab_processes()
    done = vdibench("selftest", "--quick", "--json", cwd=tmp_path, env=state, timeout=150)
    document = json.loads(done.stdout)
    found = selftest_from(document)
    assert done.returncode == EXIT_CODES[Outcome(document["outcome"])], done.stderr
    assert {row.dialect for row in found.accuracy} == {"selkies-2-webrtc"}
    assert {row.injected for row in found.accuracy if row.metric == "glass_to_glass_seconds"} == {0.02, 0.05}
    assert [row.mode for row in found.cost] == ["decode"]
    assert found.cost[0].packets_per_second > 500
    assert "packets held for 20, 50 ms" in done.stderr
    await_labs(before)
    kept = tmp_path / "state" / "vdibench" / "selftest.json"
    assert kept.exists() == (found.invalid == ())
    # Busy machines prove nothing, and nothing is kept then; the next run shall find one all the same.
    if not kept.exists():
        kept.parent.mkdir(parents=True)
        good = selftest_document(found) | {"invalid": []}
        kept.write_text(json.dumps({"schema": 1, "selftests": [good]}))
    words = [word for word in short_run(steady_seconds="1.0") if word != "--no-selftest"]
    began = time.monotonic()
    vdibench("run", "02", "--without-notebooks", *words, cwd=tmp_path, env=state)
    assert time.monotonic() - began < found.took_seconds + 25
    taken = load_selftest(resolve(tmp_path / "results", "latest"))
    assert taken is not None
    assert taken.began_unix_seconds == found.began_unix_seconds


def test_a_terminated_one_leaves_nothing(tmp_path: Path) -> None:
    before = lab_processes()
    process = start("selftest", "--quick", cwd=tmp_path, env={"XDG_STATE_HOME": str(tmp_path / "state")})
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if line.rstrip().endswith("held for 20 ms"):
                break
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, err
    assert "interrupted" in err
    assert "Traceback" not in err
    assert out == ""
    await_labs(before)
    await_gone(str(tmp_path))
    assert not (tmp_path / "state").exists()
