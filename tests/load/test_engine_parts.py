"""The engine's parts that need no process: frames on the wire, leases, the roster, batches, seconds."""

from __future__ import annotations

import gc
import math
import random
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vdibench import errors
from vdibench.client import FrameRecord, InputRecord, Mode
from vdibench.errors import LoadError, StoreError, UsageError, VdibenchError
from vdibench.load.batches import BatchRecorder, FrameBatch
from vdibench.load.channel import MAX_BYTES, Unpacker, packed
from vdibench.load.histograms import Distribution
from vdibench.load.leases import Leases
from vdibench.load.loop import SessionGarbage
from vdibench.load.messages import EngineSecond, Failure
from vdibench.load.roster import Roster, read_roster, write_roster
from vdibench.load.seconds import SecondTally
from vdibench.metrics import values
from vdibench.recorder import Place, Recorder
from vdibench.records import Credentials, Desktop, Display, Endpoint, Workload
from vdibench.store import Recording, RunFolder

PLACE = Place("gpu_density", level=2, trial=1, phase="steady")

documents = st.dictionaries(st.text(), st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.text(), st.binary()))


@settings(deadline=None)
@given(st.lists(documents, max_size=6), st.randoms(use_true_random=False))
def test_messages_arrive_whole_however_they_are_cut(messages: list[dict[str, Any]], chance: random.Random) -> None:
    data = b"".join(map(packed, messages))
    unpacker, found = Unpacker(), []
    while data:
        cut = chance.randint(1, len(data))
        found += unpacker.feed(data[:cut])
        data = data[cut:]
    assert found == messages


@settings(deadline=None)
@given(st.binary(min_size=4, max_size=200))
def test_noise_is_refused_or_waited_for(noise: bytes) -> None:
    try:
        found = list(Unpacker().feed(noise))
    except LoadError:
        return
    assert all(isinstance(message, dict) for message in found)


def test_a_message_that_is_too_long_is_refused_at_both_ends() -> None:
    with pytest.raises(LoadError, match="too long"):
        packed({"data": b"x" * (MAX_BYTES + 1)})
    with pytest.raises(LoadError, match="claims"):
        list(Unpacker().feed(b"\xff\xff\xff\xff"))


@pytest.mark.parametrize("name", sorted(set(errors.__all__)))
def test_every_error_of_the_tree_survives_the_way(name: str) -> None:
    error = getattr(errors, name)("the cause", "do this")
    again = Failure.read(Failure.of(error).document()).error()
    assert (type(again), str(again)) == (type(error), str(error))


def test_what_is_not_of_the_tree_arrives_as_a_defect() -> None:
    again = Failure.of(KeyError("seconds")).error()
    assert type(again) is VdibenchError
    assert "defect" in again.remedy
    assert type(Failure("__import__", "x").error()) is VdibenchError


def test_a_second_survives_the_way_and_a_newer_engine() -> None:
    second = EngineSecond("engine-1", 12.5, 3, cpu_ratio=0.25, histograms={"decode_seconds": "x"})
    (message,) = Unpacker().feed(packed({**second.document(), "newer": 1}))
    again = EngineSecond.of(message)
    assert again.document() | {"worker_cpu_ratio": 0} == second.document() | {"worker_cpu_ratio": 0} | {
        name: again.document()[name] for name in ("loop_lag_seconds", "loop_lag_p99_seconds", "rss_bytes")
    }
    assert math.isnan(again.rss_bytes)


# leases


@settings(deadline=None)
@given(st.integers(1, 6), st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=40))
def test_users_never_share_a_desktop_and_get_the_lowest(count: int, steps: list[tuple[int, bool]]) -> None:
    leases, mine, tickets = Leases(count), {}, 0
    waiting: list[tuple[int, int]] = []
    for holder, comes in steps:
        if comes:
            tickets += 1
            free = min(set(range(count)) - mine.keys(), default=None)
            assert leases.take(holder, tickets) == free
            if free is None:
                waiting.append((holder, tickets))
            else:
                mine[free] = holder
        elif owned := [desktop for desktop, who in mine.items() if who == holder]:
            del mine[owned[0]]
            given_to = leases.give_back(owned[0], holder)
            if waiting:
                following, ticket = waiting.pop(0)
                assert given_to == (following, ticket, owned[0])
                mine[owned[0]] = following
            else:
                assert given_to is None
        assert leases.held == mine


def test_a_lost_worker_gives_back_all_it_had() -> None:
    leases = Leases(2)
    assert [leases.take("a", 1), leases.take("a", 2), leases.take("b", 3), leases.take("a", 4)] == [0, 1, None, None]
    assert leases.lost("a") == [("b", 3, 0)]
    assert leases.held == {0: "b"}
    assert leases.take("b", 5) == 1


def test_a_lease_ends_once() -> None:
    leases = Leases(1)
    leases.take("a", 1)
    leases.give_back(0, "a")
    leases.take("b", 1)
    assert leases.give_back(0, "a") is None
    assert leases.held == {0: "b"}


# the roster


def test_a_roster_is_read_as_it_was_written_and_for_its_user_only(tmp_path: Path) -> None:
    desktop = Desktop(
        "desktop-0",
        Endpoint("https://desktop.example.com", Credentials("someone", "secret"), token="token"),
        owned=True,
        display=Display(640, 360, 15),
        workload=Workload.TEXT,
        pids=(1, 2),
        dialect="selkies-2-websocket",
    )
    roster = Roster(
        "run",
        "gpu_density",
        (desktop, Desktop("desktop-1", Endpoint("http://x"))),
        ("secret",),
        mode=Mode.METER,
        relay_only=True,
    )
    path = tmp_path / "roster.json"
    write_roster(path, roster)
    assert read_roster(str(path)) == roster
    assert path.stat().st_mode & 0o777 == 0o600
    assert "secret" not in repr(roster)
    assert read_roster(str(path)).session_options(desktop).relay_only


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"schema": 2}', '{"schema": 1, "desktops": [{"password": "secret"}]}']
)
def test_what_is_no_roster_is_refused_without_its_content(tmp_path: Path, content: str) -> None:
    path = tmp_path / "roster.json"
    path.write_text(content)
    with pytest.raises(UsageError) as caught:
        read_roster(str(path))
    assert "secret" not in str(caught.value)
    assert "vdibench load" in caught.value.remedy


def test_no_roster_says_how_to_get_one() -> None:
    with pytest.raises(UsageError, match="which desktops"):
        read_roster("")
    with pytest.raises(UsageError, match="cannot read"):
        read_roster("/nowhere/roster.json")


# batches


def record(arrival: float, **rest: Any) -> FrameRecord:
    return FrameRecord(arrival, int(arrival * 90_000), 3, 1000, False, rest.pop("complete", True), **rest)


def test_batched_rows_are_those_of_the_plain_recorder(tmp_path: Path, run_folder: RunFolder) -> None:
    plain, batched = Recorder(run_folder, PLACE), BatchRecorder(run_folder, PLACE)
    for recorder, suite in ((plain, "plain"), (batched, "batched")):
        recorder.move(suite=suite)
        for phase in ("warmup", "steady"):
            recorder.move(phase=phase)
            for index in range(5):
                recorder.frame(f"desktop-{index % 2}", record(100.0 + index, decoded_unix_seconds=101.0 + index))
            recorder.input("desktop-0", InputRecord("key", 1.0, 1.5))
            recorder.milestone("desktop-0", "started", 99.0)
            recorder.fact("desktop-1", "dialect", "x")
            recorder.row(
                "engine-0",
                "clock",
                {"unix_seconds": 1.0, "offset_seconds": 0.0, "bound_seconds": 0.0, "source": "same host"},
            )
    assert [len(batch) for batch in batched.hand_over()] == [5, 5]
    assert batched.rows == 10 + 2 * 3 + 1  # a fact that was said twice is one row
    run_folder.flush()
    recording = Recording.open(run_folder.path)
    for table in ("frames", "inputs", "milestones", "facts", "clock"):
        rows = recording.table(table)
        left, right = (
            rows[rows["suite"] == suite].drop(columns="suite").reset_index(drop=True) for suite in ("plain", "batched")
        )
        assert len(left)
        assert left.equals(right), table


def test_a_run_that_ended_takes_no_rows(run_folder: RunFolder) -> None:
    batched = BatchRecorder(run_folder, PLACE)
    batched.frame("desktop-0", record(1.0))
    run_folder.close()
    with pytest.raises(StoreError):
        batched.hand_over()


# seconds


def batch(seen: list[Any]) -> FrameBatch:
    return FrameBatch.of(PLACE, [(session, item) for _, session, item in seen])


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_live_distributions_are_those_of_the_registry(seed: int, parts: int) -> None:
    chance = np.random.default_rng(seed)
    seen = []
    for session in ("desktop-0", "desktop-1"):
        arrivals = 1000.0 + np.cumsum(chance.exponential(0.03, 60))
        for index, arrival in enumerate(arrivals.tolist()):
            decoded = arrival + chance.exponential(0.01) if chance.random() < 0.8 else math.nan
            seen.append(
                (
                    PLACE,
                    session,
                    record(
                        arrival,
                        complete=bool(chance.random() < 0.9),
                        decoded_unix_seconds=decoded,
                        marker_unix_seconds=arrival - 0.03 if decoded == decoded else math.nan,
                        marker_repeated=bool(chance.random() < 0.3),
                        first_arrival_unix_seconds=arrival - 0.001,
                        capture_unix_seconds=arrival - 0.02 if index % 2 else math.nan,
                    ),
                )
            )
    seen.sort(key=lambda item: item[2].arrival_unix_seconds)
    tally = SecondTally()
    for part in np.array_split(np.arange(len(seen)), parts):
        if len(part):
            tally.add_frames(batch([seen[index] for index in part]))
    found = {metric: Distribution.read(text) for metric, text in tally.histograms().items()}
    assert tally.frames == len(seen)
    tables = _tables(seen)
    for metric in (
        "frame_interval_seconds",
        "glass_to_glass_seconds",
        "draw_to_arrival_seconds",
        "capture_to_arrival_seconds",
        "first_to_last_packet_seconds",
        "decode_seconds",
    ):
        true = values(metric, tables, suite="gpu_density").to_numpy()
        assert len(found[metric]) == len(true), metric
        rank = np.sort(true)[max(1, math.floor(0.95 * len(true) + 0.5)) - 1]
        assert abs(found[metric].percentile(95) - rank) <= 1e-3 * rank + 2e-6, metric


def _tables(seen: list[Any]) -> dict[str, Any]:
    from vdibench.records import TABLES
    from vdibench.store import frame

    rows = [
        {**place.columns(session), **{name: getattr(item, name) for name in item.__dataclass_fields__}}
        for place, session, item in seen
    ]
    return {name: frame(name, rows if name == "frames" else []) for name in TABLES}


def test_a_freeze_is_counted_once_whichever_way_the_frames_come() -> None:
    arrivals = [index / 30 for index in range(40)]
    arrivals += [arrivals[-1] + 0.5 + index / 30 for index in range(10)]
    for size in (1, 7, 50):
        tally = SecondTally()
        for begin in range(0, len(arrivals), size):
            tally.add_frames(batch([(PLACE, "desktop-0", record(at)) for at in arrivals[begin : begin + size]]))
        assert tally.freezes == 1, size


def test_a_session_that_came_back_did_not_freeze_meanwhile() -> None:
    tally = SecondTally()
    tally.add_frames(batch([(PLACE, "desktop-0", record(index / 30)) for index in range(40)]))
    tally.forget("desktop-0")
    tally.add_frames(batch([(PLACE, "desktop-0", record(60 + index / 30)) for index in range(40)]))
    assert tally.freezes == 0
    assert Distribution.read(tally.histograms()["frame_interval_seconds"]).percentile(100) < 0.1


def test_inputs_that_were_never_seen_are_left_out() -> None:
    tally = SecondTally()
    tally.add_inputs([InputRecord("key", 1.0, math.nan), InputRecord("key", 1.0, 1.05)])
    assert len(Distribution.read(tally.histograms()["input_to_photon_seconds"])) == 1
    tally.begin()
    assert tally.histograms() == {}


# garbage


def test_the_collector_leaves_living_sessions_alone_and_gets_the_dead() -> None:
    garbage, before = SessionGarbage(), gc.get_freeze_count()
    try:
        session = [object() for _ in range(3)]
        session.append(session)
        garbage.look(started=1, ended=0, connecting=1)
        assert gc.get_freeze_count() == before, "it connects still"
        garbage.look(started=1, ended=0, connecting=0)
        assert gc.get_freeze_count() > before
        gone = weakref.finalize(probe := _Probe(), lambda: None)
        probe.itself = probe
        garbage.look(started=2, ended=1, connecting=0)
        del probe, session
        assert gone.alive
        garbage.look(started=2, ended=2, connecting=0)
        assert not gone.alive, "nobody is measured: now is the time"
    finally:
        gc.unfreeze()


class _Probe:
    itself: _Probe | None = None
