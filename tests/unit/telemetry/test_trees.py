from __future__ import annotations

import pytest

from vdibench.telemetry.processes import Process
from vdibench.telemetry.trees import CpuLedger, Ownership


def process(
    pid: int, parent: int = 1, *, session: int = 0, started: float = 1.0, own: float = 0.0, reaped: float = 0.0
):
    return Process(pid, parent, session, started, own, reaped, 0, False)


def snapshot(*processes: Process) -> dict[int, Process]:
    return {one.pid: one for one in processes}


def test_a_process_belongs_to_its_nearest_owned_ancestor():
    table = snapshot(process(1, 0), process(10), process(11, 10), process(20, 10), process(21, 20), process(30))
    ownership = Ownership({"client": [table[10]], "desktop-0": [table[20]]}, residual="client")
    assert ownership.assign(table) == {10: "client", 11: "client", 20: "desktop-0", 21: "desktop-0"}


def test_what_belonged_once_belongs_when_its_parents_are_gone():
    table = snapshot(process(1, 0), process(20), process(21, 20), process(22, 21))
    ownership = Ownership({"desktop-0": [table[20]]})
    ownership.assign(table)
    later = snapshot(process(1, 0), process(20), process(22, 1), process(23, 22))
    assert ownership.assign(later) == {20: "desktop-0", 22: "desktop-0", 23: "desktop-0"}


def test_a_reused_process_id_belongs_to_nobody():
    table = snapshot(process(1, 0), process(20), process(21, 20))
    ownership = Ownership({"desktop-0": [table[20]]})
    ownership.assign(table)
    assert ownership.assign(snapshot(process(1, 0), process(20), process(21, 1, started=9.0))) == {20: "desktop-0"}


def test_an_orphan_adopted_by_the_measuring_side_stays_with_the_session_of_its_desktop():
    table = snapshot(process(10, session=10), process(20, 10, session=20), process(25, 10, session=20))
    ownership = Ownership({"client": [table[10]], "desktop-0": [table[20]]}, residual="client")
    assert ownership.assign(table)[25] == "desktop-0"


def test_a_desktop_that_shares_the_session_of_the_measuring_side_is_not_taken_for_it():
    table = snapshot(process(10, session=10), process(20, 10, session=10), process(21, 20, session=10))
    ownership = Ownership({"client": [table[10]], "desktop-0": [table[20]]}, residual="client")
    assert ownership.assign(table) == {10: "client", 20: "desktop-0", 21: "desktop-0"}


def test_a_torn_snapshot_with_a_ring_of_parents_ends():
    table = snapshot(process(20, 21), process(21, 20))
    assert Ownership({}).assign(table) == {}


def test_the_first_snapshot_is_the_base():
    assert CpuLedger().charge(snapshot(process(20, own=5.0)), {20: "d"}, 10.0) == {}


def test_a_waited_for_child_is_charged_once():
    ledger = CpuLedger()
    ledger.charge(snapshot(process(20, own=1.0), process(21, 20, own=3.0)), {20: "d", 21: "d"}, 10.0)
    after = snapshot(process(20, own=1.5, reaped=3.25))
    assert ledger.charge(after, {20: "d"}, 11.0) == {"d": pytest.approx(0.75)}


def test_a_chain_that_ended_together_is_charged_once():
    ledger = CpuLedger()
    before = snapshot(process(20), process(21, 20, own=2.0), process(22, 21, own=4.0))
    ledger.charge(before, dict.fromkeys(before, "d"), 10.0)
    assert ledger.charge(snapshot(process(20, reaped=6.5)), {20: "d"}, 11.0) == {"d": pytest.approx(0.5)}


def test_a_child_that_its_parent_never_waited_for_does_not_make_the_figure_negative():
    ledger = CpuLedger()
    before = snapshot(process(20, own=1.0), process(21, 20, own=3.0))
    ledger.charge(before, dict.fromkeys(before, "d"), 10.0)
    assert ledger.charge(snapshot(process(20, own=1.25)), {20: "d"}, 11.0) == {"d": pytest.approx(0.25)}


def test_the_past_of_a_process_counts_only_when_it_began_since():
    ledger = CpuLedger()
    ledger.charge(snapshot(process(20)), {20: "d"}, 10.0)
    joined = snapshot(process(20), process(30, started=5.0, own=7.0), process(31, started=10.5, own=0.25))
    assert ledger.charge(joined, dict.fromkeys(joined, "d"), 11.0) == {"d": pytest.approx(0.25)}


def test_the_last_use_of_a_desktop_is_not_its_waiting_parents():
    ledger = CpuLedger()
    ledger.charge(snapshot(process(10), process(20, 10, own=3.0)), {10: "client", 20: "d"}, 10.0)
    charges = ledger.charge(snapshot(process(10, own=0.125, reaped=4.0)), {10: "client"}, 11.0)
    assert charges == {"client": pytest.approx(0.125), "d": pytest.approx(1.0)}
