"""Which resource limits how many sessions fit. Pure.

What is read: steady rows of ``resources`` (scopes ``host``, ``gpu-N``, ``client`` and the desktops), of ``engine`` and
of ``network``, each with the ``level`` at which they were taken. Capacities are from the host facts of the run; of GPUs
that are not that host's, from the table ``facts``.

Two things are said of each resource. *Saturation*: its mean at the first bad level (where none was bad: at the highest
that was read; where nothing was read at the first bad level: at the nearest) as a share of its capacity. *Correlation*:
Spearman's rank correlation of its mean with the p95 of glass-to-glass latency over the levels, or, where no marker was
read, with the share of bad sessions; with an interval by Fisher's transformation and Fieller's error, from four levels
on. Everything grows with the number of sessions, so a correlation alone names no culprit: only a resource near its
capacity is said to limit. Where none is, the limit is undetermined, which is what is said.

Engines, workers and the measuring client are the load generator: when one of them is what saturates, the knee is the
generator's and not the desktops'.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from vdibench.analysis.density import Knee
from vdibench.metrics import Statistic, Tables, chosen, values
from vdibench.records.gpus import scraped_gpus

__all__ = ["FEWEST_LEVELS", "Limit", "Usage", "limits"]

FEWEST_LEVELS = 4
_NEAR = 0.9  # of a capacity
_NEAR_CPU = 0.85  # with random arrivals a processor queues well before it is full
_GENERATOR_SHARE = 0.5  # of a full host: then it is the measuring side that filled it
_HOST_CPU, _CLIENT = "host CPU", "CPU of the measuring side"
_P95 = Statistic("p", 95.0)


@dataclass(frozen=True, slots=True)
class Usage:
    """One resource over the levels.

    :param name: in words.
    :param unit: of its values, as in the metric registry.
    :param means: mean by level.
    :param capacity: in the same unit; None where it is not known.
    :param near: from which share of the capacity on it counts as saturated.
    :param generator: it belongs to the load generator.
    :param saturation: share of the capacity at ``Limit.level``; None without a capacity.
    :param correlation: with latency over the levels; None below four levels or where one of the two never changes.
    :param low: of the correlation, 95 % interval.
    :param high: the same.
    """

    name: str
    unit: str
    means: Mapping[int, float]
    capacity: float | None
    near: float = _NEAR
    generator: bool = False
    saturation: float | None = None
    correlation: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def saturated(self) -> bool:
        """Near its capacity."""
        return self.saturation is not None and self.saturation >= self.near


@dataclass(frozen=True, slots=True)
class Limit:
    """What limits, and what was looked at.

    :param resource: name of the resource; None while it is undetermined.
    :param sentence: what can be said, in words.
    :param level: at which saturation was looked at; None when nothing was measured.
    :param generator: the load generator is the limit.
    :param ranked: every resource that was read, the likeliest first.
    """

    resource: str | None
    sentence: str
    level: int | None = None
    generator: bool = False
    ranked: tuple[Usage, ...] = ()


def limits(tables: Tables, found: Knee | None, host: Mapping[str, Any], *, suite: str = "gpu_density") -> Limit:
    """Name the limiting resource at the knee.

    :param host: host facts of the run: ``cpu_cores_usable``, ``memory_bytes``, ``gpus`` with ``memory_bytes``.
    """
    usages = list(_usages(tables, host, suite))
    levels = sorted({level for usage in usages for level in usage.means})
    if not levels:
        return Limit(None, "No resource was read at any level: the limit is unknown.")
    first_bad = None if found is None or found.upper is None else found.upper + 1
    # Where every session of the first bad level failed nothing was read there: the nearest says how far load had come.
    level = levels[-1] if first_bad is None else min(levels, key=lambda one: (abs(one - first_bad), one))
    badness = _badness(tables, found, suite, levels)
    ranked = tuple(sorted((_judged(usage, level, badness) for usage in usages), key=_rank))
    if level != first_bad:
        return Limit(None, _undetermined(ranked, level, first_bad), level, ranked=ranked)
    return _conclusion(ranked, level)


def _at(level: int) -> str:
    return f"at {level} session{'s' * (level != 1)}"


def _nearest(ranked: tuple[Usage, ...]) -> str:
    """Which resource was nearest its capacity, to go on with after a colon; empty without a capacity."""
    usage = next((usage for usage in ranked if usage.saturation is not None), None)
    return "" if usage is None else f": the nearest is {usage.name}, {usage.saturation:.0%} of its capacity"


def _undetermined(ranked: tuple[Usage, ...], level: int, first_bad: int | None) -> str:
    """What can be said where no bad level was read."""
    if first_bad is None:
        which = f"no level is known to be bad. {_at(level).capitalize()}, the highest that was read"
    else:
        which = f"no resource was read {_at(first_bad)}, the first bad level. {_at(level).capitalize()}, which was read"
    full = ", ".join(usage.name for usage in ranked if usage.saturated)
    state = f"these were near their capacity: {full}" if full else f"none was near its capacity{_nearest(ranked)}"
    return f"Undetermined: {which}, {state}."


def _conclusion(ranked: tuple[Usage, ...], level: int) -> Limit:
    where = f"{_at(level)}, the first bad level"
    full = [usage for usage in ranked if usage.saturated]
    if not full:
        said = f"Undetermined: no resource was near its capacity {where}{_nearest(ranked)}."
        return Limit(None, said, level, ranked=ranked)
    # An engine that is full delays every session it hosts, whatever the desktops do.
    first = next((usage for usage in full if usage.generator), full[0])
    others = ", ".join(usage.name for usage in full if usage is not first)
    beside = f" Also near their capacity: {others}." if others else ""
    share = f"{first.name} was at {first.saturation:.0%} of its capacity {where}"
    if first.generator:
        return Limit(first.name, f"The load generator limits, not the desktops: {share}.{beside}", level, True, ranked)
    client = next((usage for usage in ranked if usage.name == _CLIENT), None)
    if first.name == _HOST_CPU and client is not None and client.means.get(level, 0.0) > 0:
        part = client.means[level] / first.means[level]
        if part >= _GENERATOR_SHARE:
            said = (
                f"The load generator limits, not the desktops: {share}, and {part:.0%} of that was the measuring side."
            )
            return Limit(client.name, said, level, True, ranked)
        beside += f" The measuring side took {part:.0%} of it."
    return Limit(first.name, f"{first.name} limits: {share}.{beside}", level, ranked=ranked)


def _usages(tables: Tables, host: Mapping[str, Any], suite: str) -> Iterable[Usage]:
    rows = chosen(tables["resources"], suite=suite)
    scopes = rows["session"].astype(str)
    gpu = scopes.str.startswith("gpu-")
    own = ~gpu & ~scopes.isin(("host", "client")) & ~scopes.str.startswith("engine-")
    cores = _number(host.get("cpu_cores_usable")) or _number(host.get("cpu_cores"))
    buffers = _frame_buffers(tables, host, suite)

    def read(where: pd.Series, resource: str) -> pd.DataFrame:
        return rows[where & (rows["resource"] == resource)]

    at_host, client = scopes == "host", scopes == "client"
    yield from _usage(_HOST_CPU, "cores", read(at_host, "cpu_cores"), cores, near=_NEAR_CPU)
    yield from _usage("host memory", "bytes", read(at_host, "memory_bytes"), _number(host.get("memory_bytes")))
    for name in sorted(set(scopes[gpu])):
        mine = scopes == name
        label = ("MIG instance " if "/" in name else "GPU ") + name.removeprefix("gpu-")
        yield from _usage(f"{label} utilisation", "ratio", read(mine, "gpu_utilization_ratio"), 1.0)
        yield from _usage(f"{label} encoder", "ratio", read(mine, "gpu_encoder_utilization_ratio"), 1.0)
        for kind in ("gpu", "mig"):
            yield from _usage(f"{label} graphics engine", "ratio", read(mine, f"{kind}_engine_active_ratio"), 1.0)
            memory = read(mine, f"{kind}_memory_bytes")
            yield from _usage(f"{label} frame buffer", "bytes", memory, buffers.get(name))
    # A desktop's encoder and its X server may use several cores, and nobody said how many it may have.
    yield from _usage("CPU of one desktop", "cores", read(own, "cpu_cores"), None)
    yield from _usage("memory of one desktop", "bytes", read(own, "memory_bytes"), None)
    yield from _usage(_CLIENT, "cores", read(client, "cpu_cores"), None, generator=True)
    engine = chosen(tables["engine"], suite=suite) if "engine" in tables else pd.DataFrame()
    if len(engine):
        # One event loop has one core: of several engines the busiest counts.
        for column, name in (
            ("cpu_ratio", "CPU of the busiest engine"),
            ("worker_cpu_ratio", "CPU of the busiest worker"),
        ):
            each = engine.groupby(["level", "session"])[column].mean().rename("value").reset_index()
            busiest = each.loc[each.dropna().groupby("level")["value"].idxmax()]
            yield from _usage(name, "cores", busiest, 1.0, near=_NEAR_CPU, generator=True)
    traffic = {
        level: float(rate.mean()) * level
        for level in sorted(set(chosen(tables["network"], suite=suite)["level"]))
        if len(rate := values("bitrate_bits_per_second", tables, suite=suite, level=int(level)))
    }
    if traffic:
        yield Usage("video of all sessions", "bits/second", {int(level): rate for level, rate in traffic.items()}, None)


def _usage(
    name: str, unit: str, rows: pd.DataFrame, capacity: float | None, *, near: float = _NEAR, generator: bool = False
) -> Iterable[Usage]:
    known = rows[rows["value"].notna()]
    if len(known):
        means = known.groupby("level")["value"].mean()
        yield Usage(
            name, unit, {int(str(level)): float(mean) for level, mean in means.items()}, capacity, near, generator
        )


def _judged(usage: Usage, level: int, badness: Mapping[int, float]) -> Usage:
    saturation = usage.means[level] / usage.capacity if usage.capacity and level in usage.means else None
    common = sorted(set(usage.means) & set(badness))
    rho, low, high = _spearman([usage.means[one] for one in common], [badness[one] for one in common])
    return Usage(
        usage.name, usage.unit, usage.means, usage.capacity, usage.near, usage.generator, saturation, rho, low, high
    )


def _spearman(first: list[float], second: list[float]) -> tuple[float | None, float | None, float | None]:
    count = len(first)
    if count < FEWEST_LEVELS or len(set(first)) < 2 or len(set(second)) < 2:
        return None, None, None
    ranks = np.column_stack([pd.Series(side).rank() for side in (first, second)])
    rho = float(np.corrcoef(ranks, rowvar=False)[1, 0])
    if abs(rho) > 1 - 1e-9:
        # In full step there is no variance to transform: as far as so few levels can tell, it may be a little less.
        rho = math.copysign(1.0, rho)
        centre = math.copysign(math.atanh(1 - 1 / count**2), rho)
    else:
        centre = math.atanh(rho)
    half = float(ndtri(0.975)) * math.sqrt(1.06 / (count - 3))
    low, high = math.tanh(centre - half), math.tanh(centre + half)
    return rho, min(low, rho), max(high, rho)


def _badness(tables: Tables, found: Knee | None, suite: str, levels: Iterable[int]) -> dict[int, float]:
    """What gets worse with load, by level: p95 of latency, else the share of sessions that were not good."""
    late = {
        level: value
        for level in levels
        if (value := _P95.of(values("glass_to_glass_seconds", tables, suite=suite, level=level))) is not None
    }
    if late or found is None:
        return late
    shares: dict[int, float] = {}
    for level in found.levels:
        counted = [(trial.good, trial.sessions) for trial in level.trials if trial.measured]
        total = sum(sessions for _, sessions in counted)
        if total:
            shares[level.level] = 1 - sum(good for good, _ in counted) / total
    return shares


def _rank(usage: Usage) -> tuple[bool, float, float]:
    return not usage.saturated, -(usage.saturation or 0.0), -(usage.correlation or 0.0)


def _frame_buffers(tables: Tables, host: Mapping[str, Any], suite: str) -> dict[str, float | None]:
    """By scope. Figures that were scraped are of other GPUs than the measuring host's, whatever their numbers."""
    facts = chosen(tables["facts"], suite=suite, phase=None)
    scraped = scraped_gpus(zip(facts["key"], facts["value"], strict=True))
    if scraped is not None:
        return {scope: gpu.frame_buffer_bytes for scope, gpu in scraped.items()}
    gpus = host.get("gpus")
    return {
        f"gpu-{index}": _number(gpu.get("memory_bytes"))
        for index, gpu in enumerate(gpus if isinstance(gpus, list) else [])
        if isinstance(gpu, Mapping)
    }


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value > 0 else None
