"""Targets of the load engine: each is passed, missed or without data, and the exit code follows the worst."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from vdibench.commands import selftest as command
from vdibench.records import EXIT_CODES, Accuracy, Cost, Outcome, SelfTest
from vdibench.selftest import FULL, QUICK
from vdibench.selftest.plan import with_engine
from vdibench.selftest.targets import Verdict, targets, worst

Make = Callable[..., SelfTest]
CLIENTS = {
    "decode": (4, 9.0),
    "depacketise": (10, 60.0),
    "meter": (40, 210.0),
    "sampled": (10, 110.0),
    "meter-native": (40, 470.0),
    "meter-native-decrypt": (40, 360.0),
}
GAPS = Accuracy("frame_interval_seconds", "selkies-2-webrtc", 0.0167, 0.0167, 0.0008, "seconds", 14_000, 0.001, True)
FLOOR = {"c_recvmmsg": 0.001}


def row(mode: str, clients: float | None = None, **changes: Any) -> Cost:
    sessions, usual = CLIENTS[mode]
    clients = clients or usual
    good = Cost(mode, sessions, 900.0, 1 / clients, clients, 3e6, "canned", 5, 0.002, 3000, 0)
    return dataclasses.replace(good, **changes)


def rows(**changed: Cost) -> tuple[Cost, ...]:
    return tuple(changed.get(mode.replace("-", "_"), row(mode)) for mode in CLIENTS)


@pytest.fixture
def whole(selftest: Make) -> Make:
    def make(**changes: Any) -> SelfTest:
        good = selftest().accuracy
        return selftest(**{"cost": rows(), "floor": FLOOR, "accuracy": (*good, GAPS)} | changes)

    return make


def judged(found: SelfTest) -> dict[str, Verdict]:
    return {target.name: target.verdict for target in targets(found)}


def test_every_promise_is_listed_with_its_number(whole: Make) -> None:
    found = {target.name: (target.bound, target.target, target.unit) for target in targets(whole())}
    assert found == {
        "clients_per_core/decode": ("at least", 6, "clients/core"),
        "clients_per_core/depacketise": ("at least", 30, "clients/core"),
        "clients_per_core/meter": ("at least", 150, "clients/core"),
        "clients_per_core/sampled": ("at least", 80, "clients/core"),
        "clients_per_core/meter-native": ("at least", 400, "clients/core"),
        "clients_per_core/meter-native-decrypt": ("at least", 300, "clients/core"),
        "times_c_recvmmsg/meter-native": ("at most", 2.5, "ratio"),
        "frame_gap_error_p95": ("at most", 0.001, "seconds"),
        "loop_lag_p99": ("below", 0.005, "seconds"),
        "client_cpu_without_decoding": ("below", 0.7, "cores"),
        "socket_drops": ("at most", 0, "packets"),
    }
    assert set(judged(whole()).values()) == {Verdict.PASS}
    assert all(target.samples and target.value is not None for target in targets(whole()))
    assert worst(whole(), targets(whole())) is Outcome.PASS


@pytest.mark.parametrize("plan", [QUICK, FULL], ids=lambda plan: plan.kind)
def test_the_plan_measures_what_has_a_target(plan: Any, whole: Make) -> None:
    plan = with_engine(plan)
    planned = {step.name: step.sessions for step in (*plan.cost, *plan.many)}
    assert planned == {mode: sessions for mode, (sessions, _) in CLIENTS.items()}
    assert plan.many_repeats == 5


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("clients_per_core/meter", {"cost": rows(meter=row("meter", 149.0))}),
        ("times_c_recvmmsg/meter-native", {"floor": {"c_recvmmsg": 1 / 470 / 2.6}}),
        ("frame_gap_error_p95", {"accuracy": (dataclasses.replace(GAPS, error=0.0011),)}),
        ("loop_lag_p99", {"cost": rows(decode=row("decode", loop_lag_p99_seconds=0.005))}),
        ("client_cpu_without_decoding", {"cost": rows(depacketise=row("depacketise", cpu_ratio_per_session=0.07))}),
        ("socket_drops", {"cost": rows(sampled=row("sampled", socket_drops=1))}),
    ],
)
def test_what_misses_its_target_is_a_miss_and_nothing_else_is(name: str, changes: Any, whole: Make) -> None:
    found = judged(whole(**changes))
    assert {one for one, verdict in found.items() if verdict is Verdict.MISS} == {name}
    assert worst(whole(**changes), targets(whole(**changes))) is Outcome.FAIL


def test_decoding_may_take_more_than_a_core(whole: Make) -> None:
    found = judged(whole(cost=rows(decode=row("decode", cpu_ratio_per_session=0.5))))
    assert found["client_cpu_without_decoding"] is Verdict.PASS


@pytest.mark.parametrize(
    ("names", "changes"),
    [
        ({"clients_per_core/meter"}, {"cost": rows(meter=row("meter", sessions=10))}),
        ({"clients_per_core/sampled"}, {"cost": tuple(one for one in rows() if one.mode != "sampled")}),
        ({"times_c_recvmmsg/meter-native"}, {"floor": {}}),
        ({"times_c_recvmmsg/meter-native"}, {"floor": {"c_recvmmsg": 0.0}}),
        ({"frame_gap_error_p95"}, {"accuracy": (dataclasses.replace(GAPS, error=None, samples=0),)}),
        ({"loop_lag_p99"}, {"cost": rows(meter=row("meter", loop_lag_p99_seconds=None, loop_looks=0))}),
        ({"socket_drops"}, {"cost": rows(meter=row("meter", socket_drops=None))}),
    ],
)
def test_what_was_not_measured_never_passes(names: set[str], changes: Any, whole: Make) -> None:
    found = whole(**changes)
    assert {one for one, verdict in judged(found).items() if verdict is Verdict.NO_DATA} == names
    assert Verdict.MISS not in judged(found).values()
    assert worst(dataclasses.replace(found, accuracy=whole().accuracy), targets(found)) is Outcome.NO_DATA


def test_a_loaded_machine_misses_nothing(whole: Make) -> None:
    found = whole(invalid=("loaded",), cost=rows(meter=row("meter", 10.0)))
    assert worst(found, targets(found)) is Outcome.INVALID
    assert judged(whole(cost=(), floor={}, accuracy=()))["socket_drops"] is Verdict.NO_DATA


@pytest.mark.parametrize(
    ("changes", "outcome", "code"),
    [
        ({}, Outcome.PASS, 0),
        ({"cost": rows(meter=row("meter", 10.0))}, Outcome.FAIL, 99),
        ({"floor": {}}, Outcome.NO_DATA, 98),
        ({"invalid": ("loaded",)}, Outcome.INVALID, 97),
    ],
    ids=["kept", "missed", "no data", "loaded"],
)
def test_the_command_says_one_object_and_its_exit_code(
    changes: Any, outcome: Outcome, code: int, whole: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "run_selftest", lambda plan, say: whole(**changes))
    monkeypatch.setattr(command, "keep", lambda found: None)
    done = CliRunner().invoke(command.selftest, ["--quick", "--engine", "--json"], standalone_mode=False)
    document = json.loads(done.stdout)
    assert done.return_value == EXIT_CODES[outcome] == code
    assert document["outcome"] == str(outcome)
    assert len(document["targets"]) == 11
    wanted = {"name", "bound", "target", "unit", "value", "samples", "of", "sessions", "packets_per_second", "verdict"}
    assert all(set(target) == wanted for target in document["targets"])
    assert {target["verdict"] for target in document["targets"]} <= {"pass", "miss", "no data"}
    told = CliRunner().invoke(command.selftest, ["--quick", "--engine"], standalone_mode=False)
    assert "clients_per_core/meter-native-decrypt" in told.stdout
