"""Workers that do not see the run folder: their samples reach it through the master, during the run and at its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from free_ports import free_port
from hypothesis import given, settings
from hypothesis import strategies as st

from vdibench.errors import ProtocolViolation, StoreError
from vdibench.load.driver import LoadDriver, LoadOptions
from vdibench.load.guard import reasons
from vdibench.load.health import this_host
from vdibench.load.parcels import LARGEST_BYTES, PIECE_BYTES, Assembly, pieces
from vdibench.load.roster import ROSTER_VARIABLE, Roster, write_roster
from vdibench.load.spool import PROOF_PREFIX, open_folder, sees_run
from vdibench.records import Desktop
from vdibench.store import Recording, RunFolder

from .conftest import SUITE

LOCUSTFILE = Path(__file__).parents[2] / "vdibench" / "load" / "locustfile.py"


@settings(deadline=None)
@given(st.integers(0, 3 * PIECE_BYTES + 1))
def test_a_part_arrives_as_it_left(size: int) -> None:
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    assembly, found = Assembly(), []
    for piece in pieces("frames-x-00000.parquet", data):
        assert len(piece["data"]) <= PIECE_BYTES
        found.append(assembly.add(piece))
    assert found[-1] == ("frames-x-00000.parquet", data)
    assert found[:-1] == [None] * (len(found) - 1)


def test_a_part_may_come_again_from_its_begin() -> None:
    data = b"x" * (2 * PIECE_BYTES)
    assembly, (first, second) = Assembly(), tuple(pieces("a", data))
    assert assembly.add(first) is None
    assert assembly.add(first) is None
    assert assembly.add(second) == ("a", data)


@pytest.mark.parametrize(
    "piece",
    [
        {},
        {"name": "a", "index": 1, "count": 2, "data": b""},
        {"name": "a", "index": 0, "count": 0, "data": b""},
        {"name": "a", "index": 0, "count": 1, "data": "text"},
        {"name": "a", "index": 0, "count": 1, "data": bytes(LARGEST_BYTES + 1)},
    ],
    ids=["empty", "second first", "none of none", "text", "too large"],
)
def test_what_is_no_piece_is_refused(piece: dict[str, object]) -> None:
    with pytest.raises(ProtocolViolation):
        Assembly().add(piece)


def test_a_folder_of_the_same_name_is_not_the_run(run_folder: RunFolder) -> None:
    roster = Roster(str(run_folder.path), SUITE, (), nonce="abc")
    assert not sees_run(roster)
    (run_folder.path / f"{PROOF_PREFIX}abc").touch()
    assert sees_run(roster)
    folder, spool = open_folder(roster)
    folder.close()
    assert (folder.path, spool) == (run_folder.path, None)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("passwords-x-00000.parquet", b"", ProtocolViolation),
        ("frames-x-00000.parquet", b"nonsense", ProtocolViolation),
        ("frames-x-00000.parquet", None, StoreError),
    ],
)
def test_what_a_worker_must_not_send(
    name: str, content: bytes | None, error: type[Exception], run_folder: RunFolder, tmp_path: Path
) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from vdibench.load.roster import Roster\n"
        "from vdibench.load.shipping import Receiver\n"
        "from vdibench.load.parcels import pieces\n"
        "receiver = Receiver(Roster(sys.argv[1], 'x', ()))\n"
        "try:\n"
        "    for piece in pieces(sys.argv[2], Path(sys.argv[3]).read_bytes()):\n"
        "        receiver.take('node', piece)\n"
        "except Exception as error:\n"
        "    print(type(error).__name__)\n"
    )
    part = tmp_path / "part"
    if content is None:
        pd.DataFrame({"suite": ["x"], "password": ["y"]}).to_parquet(part)
    else:
        part.write_bytes(content)
    # In a process of its own, as it is made for a patched one.
    said = subprocess.run(
        [sys.executable, "-c", program, str(run_folder.path), name, str(part)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == error.__name__


@contextmanager
def worker_elsewhere(roster: Path, port: int, temporary: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Locust's worker as it is started on another host."""
    arguments = ["-f", str(LOCUSTFILE), "--worker", "--master-host", "127.0.0.1", "--master-port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-m", "locust", *arguments],
        env={**os.environ, ROSTER_VARIABLE: str(roster), "TMPDIR": str(temporary)},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15.0)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()


@contextmanager
def loaded_elsewhere(
    ours: list[Desktop], run_folder: RunFolder, tmp_path: Path, workers: int
) -> Iterator[tuple[LoadDriver, subprocess.Popen[bytes]]]:
    """A load with one worker more that does not see the run folder, and that worker."""
    roster, spools, port = tmp_path / "roster.json", tmp_path / "spools", free_port()
    spools.mkdir()
    write_roster(roster, Roster("/nowhere/run", SUITE, tuple(ours), controlled=True))
    options = LoadOptions(workers=workers, remote_workers=1, port=port, spawn_rate=10.0)
    with (
        worker_elsewhere(roster, port, spools) as process,
        LoadDriver(run_folder.path, ours, options, suite=SUITE) as driver,
    ):
        yield driver, process


def test_samples_of_a_worker_elsewhere_reach_the_run_folder(
    desktops: Callable[[int], list[Desktop]], run_folder: RunFolder, tmp_path: Path
) -> None:
    with loaded_elsewhere(desktops(2), run_folder, tmp_path, workers=1) as (driver, process):
        driver.move(level=2, trial=0, phase="steady")
        assert driver.scale(2) == {}
        deadline = time.monotonic() + 30.0
        while Recording.open(run_folder.path).table("frames")["session"].nunique() < 2:
            assert time.monotonic() < deadline, "samples come during the run"
            assert driver.hold(0.5) == {}
        driver.move(level=2, trial=0, phase="warmup")
        assert driver.scale(0) == {}
        driver.close()
        assert process.wait(15.0) == 0
    tables = Recording.open(run_folder.path)
    frames = tables.table("frames")
    assert set(frames["session"]) == {"desktop-0", "desktop-1"}
    milestones = tables.table("milestones")
    assert (milestones["event"] == "left").sum() == 2, "also what came last is there"
    engines = set(tables.table("engine")["session"])
    assert engines == {"engine-0", "engine-1"}
    assert not frames.duplicated().any()
    assert list((tmp_path / "spools").glob("vdibench-spool-*")) == [], "nothing stays on the worker's host"
    assert list(run_folder.path.glob(f"{PROOF_PREFIX}*")) == []


def test_samples_that_do_not_arrive_make_the_run_invalid(
    desktops: Callable[[int], list[Desktop]], run_folder: RunFolder, tmp_path: Path
) -> None:
    with loaded_elsewhere(desktops(1), run_folder, tmp_path, workers=0) as (driver, process):
        driver.move(level=1, trial=0, phase="steady")
        assert driver.scale(1) == {}
        assert driver.hold(1.0) == {}
        process.kill()
        process.wait()
        driver.close()
        assert driver.missing == [f"samples of worker 0 on {this_host()} are missing: it is gone"]
    found = reasons(Recording.open(run_folder.path).tables, suite=SUITE, workers=1)
    assert driver.missing[0] in found


GATHERING = """
import json, sys
import gevent
from locust.env import Environment  # patches the interpreter
from types import SimpleNamespace
from vdibench.load.master import MasterSide
from vdibench.load.roster import Roster
from vdibench.records import Desktop, Endpoint

environment = Environment(user_classes=[])
runner = environment.create_local_runner()
master = MasterSide(environment, runner, Roster(sys.argv[1], "x", (Desktop("a", Endpoint("http://x")),)), lambda: None)
said, asked = [], []
master._control = SimpleNamespace(say=said.append)


def finish(environment, msg, **rest):
    asked.append(msg.type)
    if sys.argv[2] == "fault":
        runner.send_message("vdibench_fault", {"kind": "LoadError", "cause": "the disk is full", "remedy": "-"})
    elif sys.argv[2] == "finished":
        gevent.spawn_later(0.2, runner.send_message, "vdibench_finished", {})


runner.register_message("vdibench_finish", finish)
hello = {"index": 3, "pid": 1, "identity": "", "host": "elsewhere", "engine_pid": 2, "ships": True}
runner.send_message("vdibench_hello", hello)
gevent.joinall([gevent.spawn(master.gather), gevent.spawn(master.gather)])
master.gather()
once = len(asked)
if sys.argv[2] == "finished":
    runner.send_message("vdibench_lease", {"ticket": 1})
    master.gather()
missing = [message["why"] for message in said if message["say"] == "missing"]
print(json.dumps([once, len(asked), missing, environment.process_exit_code]))
"""


@pytest.mark.parametrize(
    ("answer", "asked", "missing", "code"),
    [
        ("finished", 2, [], None),
        ("nothing", 1, ["samples of worker 3 on elsewhere are missing: it is gone"], 1),
        ("fault", 1, ["samples of worker 3 on elsewhere are missing: the disk is full"], 1),
    ],
)
def test_samples_are_gathered_once_for_what_there_is(
    answer: str, asked: int, missing: list[str], code: int | None, run_folder: RunFolder
) -> None:
    said = subprocess.run(
        [sys.executable, "-c", GATHERING, str(run_folder.path), answer],
        capture_output=True,
        text=True,
        check=True,
        timeout=90,
    )
    assert json.loads(said.stdout.splitlines()[-1]) == [1, asked, missing, code]
