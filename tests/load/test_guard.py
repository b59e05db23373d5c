"""The guard: each thing that makes a load's numbers unbelievable is named, and nothing else is."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdibench.load.guard import MISSING_FACT, GuardLimits, limits_for, reasons
from vdibench.records import TABLES

SECONDS = 30
QUIET = {
    "users": 4,
    "sessions": 4,
    "cpu_ratio": 0.2,
    "worker_cpu_ratio": 0.02,
    "loop_lag_seconds": 0.004,
    "loop_lag_p99_seconds": 0.002,
    "rss_bytes": 1e8,
    "socket_drops": 0.0,
    "backlog": 0,
    "rows": 100,
}


def engine(name: str = "engine-0", *, level: int = 8, trial: int = 0, phase: str = "steady", **changes: Any) -> Any:
    """Half a minute of one engine; a change may be a value or one for each second."""
    rows = {"suite": "load", "level": level, "trial": trial, "phase": phase, "session": name, **QUIET, **changes}
    return pd.DataFrame({"unix_seconds": [1000.0 + second for second in range(SECONDS)], **rows})


def telemetry(seconds: int, *, level: int = 8, trial: int = 0, phase: str = "steady") -> pd.DataFrame:
    """What the machine's telemetry said meanwhile: that it counted for so long."""
    place = {"suite": "load", "level": level, "trial": trial, "phase": phase, "session": "host"}
    rows = {**place, "resource": "cpu_cores", "value": 0.5}
    return pd.DataFrame({"unix_seconds": [1000.0 + second for second in range(seconds)], **rows})


def tables(
    *engines: pd.DataFrame,
    failed: tuple[str, ...] = (),
    level: int = 8,
    windows: tuple[pd.DataFrame, ...] = (),
    missing: tuple[str, ...] = (),
) -> dict[str, pd.DataFrame]:
    facts = [("load", 1, 0, "warmup", "engine-1", MISSING_FACT, why) for why in missing]
    milestones = [("load", level, 0, "steady", session, "failed", 1010.0) for session in failed]
    return {
        "engine": pd.concat(engines) if engines else pd.DataFrame(columns=TABLES["engine"].names),
        "milestones": pd.DataFrame(milestones, columns=TABLES["milestones"].names),
        "resources": pd.concat(windows) if windows else pd.DataFrame(columns=TABLES["resources"].names),
        "facts": pd.DataFrame(facts, columns=TABLES["facts"].names),
    }


def found(
    *engines: pd.DataFrame,
    workers: int = 2,
    failed: tuple[str, ...] = (),
    windows: tuple[pd.DataFrame, ...] = (),
    missing: tuple[str, ...] = (),
    **rest: Any,
) -> list[str]:
    given = tables(*engines, failed=failed, windows=windows, missing=missing)
    return reasons(given, suite="load", workers=workers, **rest)


def test_nothing_speaks_against_a_quiet_generator() -> None:
    assert found(engine(), engine("engine-1")) == []


def odd(value: float, seconds: int, usual: float) -> list[float]:
    return [value] * seconds + [usual] * (SECONDS - seconds)


@pytest.mark.parametrize(
    ("column", "limit", "said"),
    [
        (
            "loop_lag_p99_seconds",
            0.005,
            "event loop was late in 2 of 30 seconds at level 8, trial 1, up to 9.0 ms where 5.0 ms are allowed",
        ),
        (
            "cpu_ratio",
            0.7,
            "process was busy in 2 of 30 seconds at level 8, trial 1, up to 1.26 cores where 0.70 cores are allowed",
        ),
        (
            "worker_cpu_ratio",
            0.7,
            "worker was busy in 2 of 30 seconds at level 8, trial 1, up to 1.26 cores where 0.70 cores are allowed",
        ),
    ],
)
def test_an_overloaded_engine(column: str, limit: float, said: str) -> None:
    def with_seconds(seconds: int) -> list[str]:
        return found(engine(), engine("engine-1", **{column: odd(1.8 * limit, seconds, limit)}))

    assert with_seconds(1) == [], "one odd second is nobody's fault"
    assert with_seconds(2) == [f"engine-1: the {said}"]


def test_only_what_counts_counts() -> None:
    loud = {"cpu_ratio": 1.0, "loop_lag_p99_seconds": 1.0, "socket_drops": 9.0}
    assert found(engine(), engine("engine-1"), engine("engine-1", phase="warmup", **loud)) == []
    assert found(engine(), engine("engine-1"), engine("engine-1", level=9, **loud), level=8) == []
    assert found(engine(), engine("engine-1"), engine("engine-1", trial=1, **loud), trial=0) == []
    other = engine("engine-1", **loud).assign(suite="gpu_density")
    assert found(engine(), engine("engine-1"), other) == []


def test_a_dropped_datagram_is_one_too_many() -> None:
    drops = odd(1.0, 1, 0.0)
    assert found(engine(socket_drops=drops), engine("engine-1")) == [
        "engine-0: its sockets dropped 1 datagrams at level 8, trial 1"
    ]


def test_a_missing_worker() -> None:
    (missing, achieved) = found(engine(users=8, sessions=4), workers=2)
    assert missing == "1 of 2 workers answered at level 8, trial 1"
    assert achieved == "4 sessions showed video and 0 failed at level 8, trial 1: 8 were asked for"


def test_an_engine_that_falls_silent() -> None:
    half = engine("engine-1").iloc[: SECONDS // 2]
    assert found(engine(), half) == ["engine-1 said nothing for 15 s at level 8, trial 1"]


@pytest.mark.parametrize("kept", [slice(0, 20), slice(10, 30), slice(5, 25)], ids=["end", "start", "both"])
def test_the_only_engine_is_held_against_how_long_it_counted(kept: slice) -> None:
    alone = engine(users=8, sessions=8)
    assert found(alone, workers=1, windows=(telemetry(SECONDS),)) == []
    assert found(alone.iloc[kept], workers=1, windows=(telemetry(SECONDS),)) == [
        "engine-0 said nothing for 10 s at level 8, trial 1"
    ]
    elsewhere = alone.assign(unix_seconds=alone["unix_seconds"] + 60.0)
    assert found(elsewhere, workers=1, windows=(telemetry(SECONDS),)) == [], "its host may have another clock"
    before = telemetry(SECONDS, phase="warmup")
    assert found(alone.iloc[kept], workers=1, windows=(before,)) == [], "only what counts counts"


def test_a_whole_trial_without_a_word() -> None:
    alone, window = engine(users=8, sessions=8), telemetry(SECONDS, trial=1)
    assert found(alone, workers=1, windows=(window,)) == ["no engine said anything for 29 s at level 8, trial 2"]
    assert found(alone, workers=1, windows=(window,), trial=0) == []
    assert found(alone, workers=1, windows=(telemetry(3, trial=1),)) == [], "too short for a word of each"


def test_samples_that_did_not_arrive() -> None:
    why = "samples of worker 1 on host b are missing: it is gone"
    assert found(engine(), engine("engine-1"), missing=(why, why)) == [why]


def test_nobody_said_anything() -> None:
    assert found() == ["no engine said anything while it counted"]


def test_fewer_users_than_asked_for_is_the_generators_fault_and_a_failed_session_is_not() -> None:
    assert found(engine(users=3, sessions=3), engine("engine-1")) == [
        "7 users were there at level 8, trial 1, where 8 were asked for"
    ]
    lost = engine("engine-1", sessions=2)
    assert found(engine(), lost, failed=("desktop-1", "desktop-3")) == []
    assert found(engine(), lost, failed=("desktop-1", "desktop-1")) == [
        "6 sessions showed video and 1 failed at level 8, trial 1: 8 were asked for"
    ]
    assert found(engine(users=-1), engine("engine-1", users=-1)) == [], "nobody said how many there should be"


def test_what_overloads_one_level_does_not_drown_in_the_others() -> None:
    calm = [engine(level=level, users=level, sessions=level) for level in range(1, 20)]
    late = engine(level=20, users=20, sessions=20, loop_lag_p99_seconds=0.5)
    (said,) = found(*calm, late, workers=1)
    assert said.startswith("engine-0: the event loop was late in 30 of 30 seconds at level 20, trial 1")


def test_a_session_that_failed_at_an_earlier_stage_and_stands_still_is_not_the_generators() -> None:
    first = engine(level=2, users=2, sessions=1)
    second = engine(level=4, users=4, sessions=3).assign(unix_seconds=[2000.0 + at for at in range(SECONDS)])
    rows = tables(first, second, failed=("desktop-1",), level=2)
    assert reasons(rows, suite="load", workers=1) == []
    again = pd.DataFrame([("load", 4, 0, "warmup", "desktop-1", "started", 1990.0)], columns=TABLES["milestones"].names)
    rows["milestones"] = pd.concat([rows["milestones"], again])
    assert reasons(rows, suite="load", workers=1) == [
        "3 sessions showed video and 0 failed at level 4, trial 1: 4 were asked for"
    ], "it was started again: that it shows nothing now is not explained by what it did then"


def test_a_decoder_that_falls_behind() -> None:
    growing = [2 * second for second in range(SECONDS)]
    (said,) = found(engine(backlog=growing), engine("engine-1"))
    assert said.startswith("engine-0: 49 frames waited")
    assert found(engine(backlog=60), engine("engine-1")) == [], "a queue that does not grow is a delay, and measured"
    assert found(engine(backlog=growing[::-1]), engine("engine-1")) == []


def test_clocks_that_differ() -> None:
    assert found(engine(), engine("engine-1"), clock_bound_seconds=0.005, one_way_bounds=(0.1, 0.05)) == []
    (said,) = found(engine(), engine("engine-1"), clock_bound_seconds=0.006, one_way_bounds=(0.1, 0.05))
    assert said == "the clocks of desktops and client agree to 0.006 s only, more than 10% of the objective of 0.05 s"
    assert found(engine(), engine("engine-1"), clock_bound_seconds=9.0) == []


@given(st.lists(st.floats(1e-4, 10.0), max_size=5), st.integers(0, 64))
def test_limits_are_never_stricter_than_the_platforms(bounds: list[float], cores: int) -> None:
    limits = limits_for(bounds, decoding_cores=cores)
    assert limits.loop_lag_seconds == pytest.approx(max(0.005, 0.1 * min(bounds, default=0.0)))
    assert limits.engine_cpu_ratio == pytest.approx(0.7 * max(1, cores))
    assert limits_for([0.050]).loop_lag_seconds == pytest.approx(GuardLimits().loop_lag_seconds)
