"""Who filled a host that desktops and generator share."""

from __future__ import annotations

import pandas as pd
import pytest

from vdibench.load.guard import GuardLimits
from vdibench.load.host_guard import generator_reasons
from vdibench.records import TABLES

SUITE, LEVEL, TRIAL, CORES = "gpu_density", 4, 1, 2.0
PLACE = {"suite": SUITE, "level": LEVEL, "trial": TRIAL}


def tables(
    *,
    desktops: float,
    client: float,
    others: float = 0.05,
    idle: float = 0.0,
    lag: float = 0.002,
    cpu: float = 0.2,
    waiting: float | None = None,
) -> dict[str, pd.DataFrame]:
    """Ten seconds of a trial: cores in use by whom, and how the one engine fared."""
    use = {f"desktop-{index}": desktops / LEVEL for index in range(LEVEL)}
    use |= {"client": client, "host": desktops + client + others + idle}
    resources, engine = [], []
    for second in range(10):
        for phase, scopes in (("steady", use), ("probe", {"desktop-9": idle})):
            resources += [
                {**PLACE, "phase": phase, "session": scope, "unix_seconds": 100.0 + second, "resource": "cpu_cores",
                 "value": value}
                for scope, value in scopes.items()
            ]  # fmt: skip
        if waiting is not None:
            resources.append(
                {**PLACE, "phase": "steady", "session": "host", "unix_seconds": 100.0 + second,
                 "resource": "cpu_waiting_ratio", "value": waiting}
            )  # fmt: skip
        engine.append(
            {**PLACE, "phase": "steady", "session": "engine-0", "unix_seconds": 100.5 + second, "users": LEVEL,
             "sessions": LEVEL, "cpu_ratio": cpu, "worker_cpu_ratio": 0.01, "loop_lag_p99_seconds": lag,
             "socket_drops": 0.0, "backlog": 0}
        )  # fmt: skip
    return {
        "resources": pd.DataFrame(resources),
        "engine": pd.DataFrame(engine),
        "milestones": pd.DataFrame(columns=list(TABLES["milestones"].names)),
        "facts": pd.DataFrame(columns=list(TABLES["facts"].names)),
    }


def failing(given: dict[str, pd.DataFrame], sessions: int, trial: int = TRIAL) -> dict[str, pd.DataFrame]:
    """The same, but sessions failed before a second of it counted."""
    events = [
        {**PLACE, "trial": trial, "phase": "warmup", "session": f"desktop-{number}", "event": "failed"}
        for number in range(sessions)
    ]
    given["milestones"] = pd.concat([given["milestones"], pd.DataFrame(events)])
    given["engine"] = given["engine"].assign(phase="warmup")
    return given


def found(given: dict[str, pd.DataFrame], *, shared: bool = True, passed: bool = False) -> list[str]:
    return generator_reasons(
        given,
        suite=SUITE,
        level=LEVEL,
        trial=TRIAL,
        workers=1,
        limits=GuardLimits(),
        cores=CORES,
        shared_host=shared,
        passed=passed,
    )


def test_nothing_speaks_against_a_host_with_room() -> None:
    assert found(tables(desktops=0.8, client=0.2)) == []


def test_a_level_at_which_every_session_failed_is_bad_and_its_run_is_not_invalid() -> None:
    assert found(failing(tables(desktops=0.8, client=0.2), LEVEL)) == []


def test_a_load_that_says_nothing_without_every_session_failing_is_one() -> None:
    for silent in (
        failing(tables(desktops=0.8, client=0.2), LEVEL - 1),
        failing(tables(desktops=0.8, client=0.2), LEVEL, TRIAL + 1),
    ):
        (reason,) = found(silent)
        assert "no engine said anything while it counted" in reason


def test_a_loop_that_is_late_on_a_host_with_room_is_the_generators() -> None:
    (reason,) = found(tables(desktops=0.8, client=0.2, lag=0.2))
    assert "event loop was late" in reason
    assert "level 4, trial 2" in reason


@pytest.mark.parametrize("shared", [True, False])
def test_a_late_loop_does_not_speak_against_a_trial_that_passed_all_the_same(*, shared: bool) -> None:
    late = tables(desktops=0.8, client=0.2, lag=0.04)
    assert found(late, shared=shared, passed=True) == []
    (reason,) = found(late, shared=shared, passed=False)
    assert "event loop was late" in reason


def test_a_loop_so_late_that_it_may_hide_a_freeze_does_and_so_does_all_else() -> None:
    (reason,) = found(tables(desktops=0.8, client=0.2, lag=0.06), passed=True)
    assert "up to 60.0 ms where 50.0 ms are allowed" in reason
    (reason,) = found(tables(desktops=0.8, client=0.2, cpu=0.85), passed=True)
    assert "process was busy" in reason


def test_a_loop_that_is_late_on_a_host_that_desktops_filled_is_the_knee() -> None:
    assert found(tables(desktops=1.7, client=0.2, lag=0.2)) == []
    # Desktops that nobody watches at this level are desktops too.
    assert found(tables(desktops=1.3, client=0.2, idle=0.4, lag=0.2)) == []


def test_a_loop_that_is_late_where_tasks_waited_for_a_core_is_the_hosts_before_the_last_core_is_busy() -> None:
    crowded = {"desktops": 1.2, "client": 0.2, "lag": 0.2}
    assert found(tables(**crowded, waiting=0.6)) == []
    (reason,) = found(tables(**crowded, waiting=0.4))
    assert "event loop was late" in reason
    # Half of the cores idle: whoever waits there does not wait for want of cores.
    (reason,) = found(tables(desktops=0.8, client=0.2, lag=0.2, waiting=0.6))
    assert "event loop was late" in reason
    # Waits explain nothing else.
    (reason,) = found(tables(**crowded, waiting=0.6) | {"engine": tables(**crowded)["engine"].assign(socket_drops=1.0)})
    assert "its sockets dropped 10 datagrams" in reason
    # And who filled it is asked as ever.
    (reason,) = found(tables(desktops=0.6, client=0.9, cpu=0.6, waiting=0.6))
    assert "load generator took 0.9 of the" in reason
    assert found(tables(**crowded, waiting=0.6), shared=False)


def test_the_same_with_desktops_elsewhere_is_the_generators() -> None:
    assert found(tables(desktops=1.7, client=0.2, lag=0.2), shared=False)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"desktops": 0.8, "client": 1.1, "cpu": 0.6}, "load generator took 1.1 of the"),
        ({"desktops": 1.2, "client": 0.2, "others": 0.6}, "0.6 of 2 cores went to what is neither"),
        ({"desktops": 1.0, "client": 0.9, "cpu": 0.85}, "engine-0 took 0.85 cores where 0.70 are allowed"),
    ],
)
def test_a_host_that_somebody_else_filled_shows_no_knee(given: dict[str, float], said: str) -> None:
    (reason,) = found(tables(**given))
    assert said in reason
    assert reason.startswith("level 4, trial 2: ")


def test_without_readings_the_generator_alone_is_judged() -> None:
    given = tables(desktops=1.7, client=0.2, lag=0.2)
    given["resources"] = given["resources"].iloc[:0]
    assert "event loop was late" in found(given)[0]
