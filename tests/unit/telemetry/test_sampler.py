"""Figures of real processes against what the processes say of themselves."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from vdibench.errors import VdibenchError
from vdibench.records import TABLES, Desktop, Endpoint
from vdibench.telemetry import Sampler, machine

MEBIBYTE = 1 << 20
# The kernel counts process time in clock ticks of 10 ms, user and system apart.
TICKS = 0.04


def by_scope(rows: list[dict[str, Any]]) -> dict[tuple[str, str], float]:
    return {(row["session"], row["resource"]): row["value"] for row in rows}


def cpu_seconds(first: list[dict[str, Any]], second: list[dict[str, Any]], scope: str) -> float:
    elapsed = second[0]["unix_seconds"] - first[0]["unix_seconds"]
    return by_scope(second)[scope, "cpu_cores"] * elapsed


def test_busy_cores_are_the_process_time_that_was_used(worker):
    busy = worker()
    sampler = Sampler([busy.desktop("desktop-0")], emit=lambda rows: None)
    first = sampler.read()
    busy.ask("burn 2")
    second = sampler.read()
    assert cpu_seconds(first, second, "desktop-0") == pytest.approx(2.0, abs=TICKS)
    assert cpu_seconds(first, second, "host") > 1.9
    assert cpu_seconds(first, second, "client") < 0.3


@pytest.mark.skipif(machine.read_machine().cpu_waiting_seconds is None, reason="this kernel counts no waits (PSI)")
def test_more_tasks_than_cores_wait_for_one(worker):
    workers = [worker() for _ in range((os.cpu_count() or 1) + 2)]
    sampler = Sampler([workers[0].desktop("desktop-0")], emit=lambda rows: None)
    sampler.read()
    with ThreadPoolExecutor(len(workers)) as pool:
        list(pool.map(lambda each: each.ask("burn 1"), workers))
    # The workers' first and last moments are not at one time.
    assert 0.5 < by_scope(sampler.read())["host", "cpu_waiting_ratio"] <= 1.0


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\nfull avg10=0.00 total=7\n", 1.5),
        ("full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n", None),
        (None, None),
    ],
)
def test_waits_for_cores_are_read_where_the_kernel_counts_them(said, seconds, tmp_path, monkeypatch):
    file = tmp_path / "cpu"
    if said is not None:
        file.write_text(said)
    monkeypatch.setattr(machine, "_PRESSURE", file)
    assert machine.read_machine().cpu_waiting_seconds == seconds


def test_the_first_reading_has_no_cpu_figures_because_those_need_two(worker):
    rows = by_scope(Sampler([worker().desktop("desktop-0")], emit=lambda rows: None).read())
    assert not [key for key in rows if key[1].startswith("cpu_")]
    assert rows["desktop-0", "memory_bytes"] > MEBIBYTE


def test_children_born_and_ended_between_readings_are_counted(worker):
    parent = worker()
    sampler = Sampler([parent.desktop("desktop-0")], emit=lambda rows: None)
    first = sampler.read()
    used_by_children = float(parent.ask("fork-burners 6"))
    second = sampler.read()
    assert used_by_children > 0.55
    assert cpu_seconds(first, second, "desktop-0") == pytest.approx(used_by_children, abs=0.1)


def test_an_orphan_that_nobody_saw_begin_belongs_to_the_session_of_its_desktop(worker):
    parent = worker()
    sampler = Sampler([parent.desktop("desktop-0")], emit=lambda rows: None)
    first = sampler.read()
    orphan = int(parent.ask("orphan 0.5"))
    second = sampler.read()
    assert cpu_seconds(first, second, "desktop-0") >= 0.5 - TICKS
    os.kill(orphan, signal.SIGKILL)


def test_the_measuring_side_is_this_process_without_the_desktops(worker):
    idle = worker()
    sampler = Sampler([idle.desktop("desktop-0")], emit=lambda rows: None)
    first = sampler.read()
    end = time.process_time() + 0.5
    while time.process_time() < end:
        pass
    second = sampler.read()
    assert cpu_seconds(first, second, "client") == pytest.approx(0.5, abs=0.15)
    assert cpu_seconds(first, second, "desktop-0") <= TICKS


def test_a_helper_of_the_measuring_side_counts_with_it(worker):
    helper, desktop = worker(), worker()
    sampler = Sampler([desktop.desktop("desktop-0")], emit=lambda rows: None)
    first = sampler.read()
    helper.ask("burn 0.5")
    assert cpu_seconds(first, sampler.read(), "client") >= 0.5 - TICKS


def test_what_a_desktop_used_before_it_was_killed_is_not_charged_to_who_waited_for_it(worker):
    doomed = worker()
    sampler = Sampler([doomed.desktop("desktop-0")], emit=lambda rows: None)
    first = sampler.read()
    doomed.ask("burn 1")
    os.kill(doomed.pid, signal.SIGKILL)
    doomed.process.wait()
    assert cpu_seconds(first, sampler.read(), "client") < 0.3


def test_memory_follows_what_a_process_holds(worker):
    process = worker()
    sampler = Sampler([process.desktop("desktop-0")], emit=lambda rows: None)
    before = by_scope(sampler.read())["desktop-0", "memory_bytes"]
    process.ask("allocate 200")
    after = by_scope(sampler.read())["desktop-0", "memory_bytes"]
    assert after - before == pytest.approx(200 * MEBIBYTE, rel=0.03)
    assert sampler.facts()["telemetry.memory"] == "pss"


def test_memory_shared_by_the_processes_of_a_desktop_counts_once(worker):
    process = worker()
    process.ask("allocate 100")
    process.ask("fork-sleepers 3")
    sampler = Sampler([process.desktop("desktop-0")], emit=lambda rows: None)
    held = by_scope(sampler.read())["desktop-0", "memory_bytes"]
    assert held == pytest.approx(110 * MEBIBYTE, rel=0.1)


def test_a_desktop_that_ended_makes_no_row_from_then_on_and_is_told_once(worker):
    doomed, other = worker(), worker()
    readings: list[list[dict[str, Any]]] = []
    several, after = threading.Event(), threading.Event()
    gone: list[str] = []
    told_at: list[int] = []

    def emit(rows: list[dict[str, Any]]) -> None:
        readings.append(rows)
        if len(readings) == 3:
            several.set()
        if gone and len(readings) >= told_at[0] + 3:
            after.set()

    def tell(desktop: str) -> None:
        gone.append(desktop)
        told_at.append(len(readings))

    sampler = Sampler([doomed.desktop("desktop-0"), other.desktop("desktop-1")], 0.05, emit=emit, gone=tell)
    with sampler:
        assert several.wait(20)
        doomed.tell("exit")
        # Not waited for: an ended process that is still in the table is ended all the same.
        assert after.wait(20)
    assert gone == ["desktop-0"]
    assert sampler.gone == {"desktop-0"}
    assert any(row["session"] == "desktop-0" for row in readings[0])
    for rows in readings[told_at[0] - 1 :]:
        assert {row["session"] for row in rows} == {"desktop-1", "client", "host"}
    assert all(row["value"] > 0 for rows in readings for row in rows if row["resource"] == "memory_bytes")


def test_a_desktop_whose_process_never_was_is_gone_from_the_start(worker):
    ended = worker()
    ended.end()
    emitted, told = threading.Event(), []
    desktop = Desktop("desktop-0", Endpoint("http://localhost"), pids=(ended.pid,))
    with Sampler([desktop], 0.05, emit=lambda rows: emitted.set(), gone=told.append) as sampler:
        assert emitted.wait(20)
    assert told == ["desktop-0"]
    assert "desktop-0" not in {row["session"] for row in sampler.read()}


def test_a_desktop_elsewhere_makes_no_rows_and_is_not_gone():
    sampler = Sampler([Desktop("desktop-0", Endpoint("http://localhost"))], emit=lambda rows: None)
    assert {row["session"] for row in sampler.read()} == {"client", "host"}
    assert not sampler.gone


def test_rows_with_a_place_have_exactly_the_columns_of_the_table(worker):
    place = {"suite": "gpu_density", "level": 2, "trial": 1, "phase": "steady"}
    sampler = Sampler([worker().desktop("desktop-0")], emit=lambda rows: None, place=lambda: place)
    sampler.read()
    for row in sampler.read():
        assert set(row) == set(TABLES["resources"].names)
        assert {name: row[name] for name in place} == place


def test_a_failing_receiver_ends_the_sampling_and_is_heard_of():
    called = threading.Event()

    def emit(rows: list[dict[str, Any]]) -> None:
        called.set()
        raise OSError(28, "No space left on device")

    sampler = Sampler([], 0.01, emit=emit)
    sampler.start()
    assert called.wait(20)
    with pytest.raises(OSError, match="No space"):
        sampler.stop()
    sampler.stop()


def test_a_sampler_starts_once():
    with Sampler([], emit=lambda rows: None) as sampler, pytest.raises(VdibenchError, match="twice"):
        sampler.start()


def test_eight_desktops_cost_less_than_a_hundredth_of_a_core(worker):
    desktops = []
    for number in range(8):
        one = worker()
        one.ask("allocate 20")
        one.ask("fork-sleepers 3")
        desktops.append(one.desktop(f"desktop-{number}"))
    sampler = Sampler(desktops, emit=lambda rows: None)
    readings = 20
    sampler.read()
    began = time.thread_time()
    for _ in range(readings):
        sampler.read()
    per_reading = (time.thread_time() - began) / readings
    assert per_reading < 0.010
