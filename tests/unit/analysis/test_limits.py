"""Which resource limits: only one that is full, the generator by its name, and honestly none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vdibench.analysis import Decision, Knee, Level, Trial
from vdibench.analysis.limits import FEWEST_LEVELS, _spearman, limits
from vdibench.records.gpus import ScrapedGpu

SUITE = "gpu_density"
HOST = {"cpu_cores_usable": 4.0, "memory_bytes": 16e9, "gpus": [{"name": "X", "memory_bytes": 8e9}]}
LEVELS = (1, 2, 4, 6, 8)


def found(lower: int = 6, upper: int | None = 7, levels=LEVELS) -> Knee:
    def level(k: int) -> Level:
        good = upper is None or k <= upper
        return Level(k, (Trial(0, k if good else 0, k),), Decision(good, ""))

    return Knee(lower, upper, tuple(level(k) for k in levels))


def readings(session: str, resource: str, of_level, levels=LEVELS):
    return [
        {"suite": SUITE, "level": k, "session": session, "unix_seconds": 1e9 + at, "resource": resource, "value": value}
        for k in levels
        for at, value in enumerate((of_level(k) * 0.9, of_level(k) * 1.1))
    ]


def frames(latency, levels=LEVELS):
    return [
        {
            "suite": SUITE,
            "level": k,
            "arrival_unix_seconds": 1e9 + at,
            "marker_unix_seconds": 1e9 + at,
            "decoded_unix_seconds": 1e9 + at + latency(k),
        }
        for k in levels
        for at in range(3)
    ]


def test_a_full_processor_is_named_with_its_share_and_in_step_with_latency(tables) -> None:
    made = tables(
        resources=[
            *readings("host", "cpu_cores", lambda k: 0.48 * k),
            *readings("host", "memory_bytes", lambda k: 2e9 + 1e8 * k),
            *readings("desktop-0", "cpu_cores", lambda k: 0.4),
        ],
        frames=frames(lambda k: 0.01 * k),
    )
    limit = limits(made, found(), HOST)
    assert (limit.resource, limit.level, limit.generator) == ("host CPU", 8, False)
    assert "96%" in limit.sentence
    assert "first bad level" in limit.sentence
    first = limit.ranked[0]
    assert first.saturation == pytest.approx(0.96)
    assert first.correlation == pytest.approx(1.0)
    assert 0 < first.low < first.high <= 1
    by_name = {usage.name: usage for usage in limit.ranked}
    assert by_name["CPU of one desktop"].saturation is None
    assert by_name["CPU of one desktop"].correlation is None, "it never changes"
    assert not by_name["host memory"].saturated


def test_nothing_full_is_undetermined_however_much_grows_with_load(tables) -> None:
    made = tables(resources=readings("host", "cpu_cores", lambda k: 0.1 * k), frames=frames(lambda k: 0.01 * k))
    limit = limits(made, found(), HOST)
    assert limit.resource is None
    assert limit.sentence.startswith("Undetermined: no resource was near its capacity at 8 sessions")
    assert "host CPU, 20% of its capacity" in limit.sentence
    assert limit.ranked[0].correlation == pytest.approx(1.0)


def test_without_a_bad_level_nothing_is_said_to_limit(tables) -> None:
    made = tables(resources=readings("host", "cpu_cores", lambda k: 0.48 * k))
    limit = limits(made, found(8, None), HOST)
    assert limit.resource is None
    assert "no level is known to be bad. At 8 sessions, the highest that was read" in limit.sentence


@pytest.mark.parametrize(("share", "said"), [(0.1, "none was near its capacity: the nearest is host CPU, 15%"),
                                             (0.6, "these were near their capacity: host CPU")])  # fmt: skip
def test_a_first_bad_level_at_which_nothing_was_read_is_not_said_to_be_missing(tables, share: float, said: str) -> None:
    """Every session of it failed before a second counted: the level is bad, and no resource was read there."""
    made = tables(resources=readings("host", "cpu_cores", lambda k: share * k, (1, 2, 4, 6)))
    limit = limits(made, found(), HOST)
    assert (limit.resource, limit.level, limit.generator) == (None, 6, False)
    assert "no resource was read at 8 sessions, the first bad level. At 6 sessions, which was read, " in limit.sentence
    assert said in limit.sentence
    assert "no level" not in limit.sentence


@pytest.mark.parametrize(
    ("resource", "value", "name"),
    [
        ("gpu_utilization_ratio", 0.97, "GPU 0 utilisation"),
        ("gpu_encoder_utilization_ratio", 0.95, "GPU 0 encoder"),
        ("gpu_memory_bytes", 7.6e9, "GPU 0 frame buffer"),
        ("gpu_engine_active_ratio", 0.98, "GPU 0 graphics engine"),
    ],
)
def test_a_full_gpu_is_named_by_what_of_it_is_full(tables, resource: str, value: float, name: str) -> None:
    made = tables(
        resources=[
            *readings("gpu-0", resource, lambda k: value * k / 8),
            *readings("host", "cpu_cores", lambda k: 0.2 * k),
        ]
    )
    assert limits(made, found(), HOST).resource == name


def scraped(*gpus: ScrapedGpu):
    facts = {"telemetry.gpus.source": "DCGM"} | {key: value for gpu in gpus for key, value in gpu.facts().items()}
    return [{"suite": SUITE, "session": "host", "key": key, "value": value} for key, value in facts.items()]


@pytest.mark.parametrize(
    ("buffer", "saturation"),
    [(24e9, 0.95), (None, None)],  # never that of the measuring host's GPU of the same number
)
def test_a_scraped_gpu_is_as_large_as_it_says_itself(tables, buffer: float | None, saturation: float | None) -> None:
    rows = readings("gpu-0", "gpu_memory_bytes", lambda k: 22.8e9 * k / 8)
    made = tables(resources=rows, facts=scraped(ScrapedGpu("gpu-0", "GPU-1", "NVIDIA L4", buffer)))
    limit = limits(made, found(), HOST)
    (usage,) = limit.ranked
    assert usage.saturation == (None if saturation is None else pytest.approx(saturation))
    assert limit.resource == (None if saturation is None else "GPU 0 frame buffer")


def test_an_instance_of_mig_is_a_limit_of_its_own(tables) -> None:
    made = tables(
        resources=[
            *readings("gpu-0", "gpu_memory_bytes", lambda k: 1e9 * k),
            *readings("gpu-0/1", "mig_memory_bytes", lambda k: 0.75e9 * k),
            *readings("gpu-0/1", "mig_engine_active_ratio", lambda k: 0.05 * k),
        ],
        facts=scraped(ScrapedGpu("gpu-0", "GPU-1", "A30", 24e9), ScrapedGpu("gpu-0/1", "GPU-1, MIG", "A30", 6e9)),
    )
    limit = limits(made, found(), HOST)
    assert limit.resource == "MIG instance 0/1 frame buffer"
    assert {usage.name: usage.saturation for usage in limit.ranked} == {
        "MIG instance 0/1 frame buffer": pytest.approx(1.0),
        "MIG instance 0/1 graphics engine": pytest.approx(0.4),
        "GPU 0 frame buffer": pytest.approx(8 / 24),
    }


def test_what_another_suite_scraped_says_nothing_of_this_one(tables) -> None:
    facts = [{**row, "suite": "stream_validation"} for row in scraped(ScrapedGpu("gpu-0", "GPU-1", "L4", 24e9))]
    made = tables(resources=readings("gpu-0", "gpu_memory_bytes", lambda k: 7.6e9 * k / 8), facts=facts)
    assert limits(made, found(), HOST).resource == "GPU 0 frame buffer"


def test_a_full_engine_is_the_generators_limit_and_not_the_desktops(tables) -> None:
    engine = [
        {
            "suite": SUITE,
            "level": k,
            "phase": "steady",
            "session": f"engine-{number}",
            "unix_seconds": 1e9 + number / 7,
            "cpu_ratio": 0.12 * k / (1 + number),
            "worker_cpu_ratio": None,
        }
        for k in LEVELS
        for number in range(2)
    ]
    made = tables(resources=readings("host", "cpu_cores", lambda k: 0.49 * k), engine=engine)
    limit = limits(made, found(), HOST)
    assert limit.generator
    assert limit.resource == "CPU of the busiest engine"
    assert limit.sentence.startswith("The load generator limits, not the desktops")
    assert "Also near their capacity: host CPU" in limit.sentence


@pytest.mark.parametrize(("share", "generator"), [(0.7, True), (0.2, False)])
def test_a_host_filled_by_the_measuring_side_is_the_generators_limit(tables, share: float, generator: bool) -> None:
    made = tables(
        resources=[
            *readings("host", "cpu_cores", lambda k: 0.48 * k),
            *readings("client", "cpu_cores", lambda k: share * 0.48 * k),
        ]
    )
    limit = limits(made, found(), HOST)
    assert limit.generator is generator
    assert f"{share:.0%}" in limit.sentence


def test_too_few_levels_have_no_correlation(tables) -> None:
    three = (1, 2, 4)
    made = tables(resources=readings("host", "cpu_cores", lambda k: k, three), frames=frames(lambda k: 0.01 * k, three))
    limit = limits(made, found(2, 3, three), HOST)
    assert limit.ranked[0].correlation is None
    assert limit.resource == "host CPU"


def test_without_markers_bad_sessions_stand_in_for_latency(tables) -> None:
    made = tables(resources=readings("host", "cpu_cores", lambda k: 0.48 * k))
    assert limits(made, found(), HOST).ranked[0].correlation is not None


def test_nothing_read_is_unknown_and_no_capacity_is_no_saturation(tables) -> None:
    assert "unknown" in limits(tables(), None, {}).sentence
    assert limits(tables(), None, {}).level is None
    made = tables(resources=readings("host", "cpu_cores", lambda k: 0.48 * k))
    limit = limits(made, found(), {"cpu_cores_usable": "four"})
    assert limit.resource is None
    assert limit.ranked[0].saturation is None


def test_warm_ups_and_other_suites_are_not_looked_at(tables) -> None:
    rows = readings("host", "cpu_cores", lambda k: 0.1 * k)
    rows += [{**row, "phase": "warmup", "value": 4.0} for row in rows]
    rows += [{**row, "suite": "latency_under_load", "value": 4.0} for row in rows]
    assert limits(tables(resources=rows), found(), HOST).ranked[0].saturation == pytest.approx(0.2)


def test_the_interval_of_a_correlation_holds_it_as_often_as_it_says(tables) -> None:
    """Normal pairs of a known correlation over 12 levels: the interval against Spearman's true value."""
    chance = np.random.default_rng(3)
    true = 0.7
    spearman = 6 / np.pi * np.arcsin(true / 2)
    levels = tuple(range(1, 13))
    held = 0
    for _ in range(200):
        pairs = chance.multivariate_normal([0, 0], [[1, true], [true, 1]], len(levels))
        ranks = stats.rankdata(pairs, axis=0)
        made = tables(
            resources=readings("host", "cpu_cores", lambda k, r=ranks: float(r[k - 1, 0]), levels),
            frames=frames(lambda k, r=ranks: 0.01 * float(r[k - 1, 1]), levels),
        )
        usage = limits(made, found(11, 11, levels), HOST).ranked[0]
        held += usage.low <= spearman <= usage.high
    assert held >= 180


@given(
    st.integers(FEWEST_LEVELS, 12).flatmap(
        lambda count: st.tuples(*[st.lists(st.integers(-3, 3), min_size=count, max_size=count)] * 2)
    )
)
def test_a_correlation_is_scipys_spearman(sides: tuple[list[int], list[int]]) -> None:
    first, second = ([0.1 * value for value in side] for side in sides)
    rho, _, _ = _spearman(first, second)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert rho is None, "a side that never changes is in step with nothing"
    else:
        assert rho == pytest.approx(stats.spearmanr(first, second).statistic, abs=1e-9)
