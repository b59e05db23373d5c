"""A stored load as one document of plain values: per stage and per second, from raw samples. Pure.

Percentiles are exact, of every sample that counts; nothing here comes from Locust's rounded ones.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vdibench.metrics import STEADY, Statistic, Tables, values

__all__ = ["DOCUMENT_SCHEMA", "load_document"]

# History of the schema of load.json:
# 1  first
DOCUMENT_SCHEMA = 1

_STATISTICS = ("p(50)", "p(95)", "p(99)", "max", "count")
_METRICS = (
    "session_ready_seconds",
    "session_failure_ratio",
    "glass_to_glass_seconds",
    "capture_to_arrival_seconds",
    "input_to_photon_seconds",
    "frames_per_second",
    "freezes_per_minute",
)


def load_document(tables: Tables, suite: str) -> dict[str, Any]:
    """What a load came to: ``stages``, ``steps`` of users, and a row a second. None for what was not measured."""
    return {
        "schema": DOCUMENT_SCHEMA,
        "stages": _stages(tables, suite),
        "steps": _steps(tables, suite),
        "seconds": _seconds(tables, suite),
    }


def _stages(tables: Tables, suite: str) -> list[dict[str, Any]]:
    engine = tables["engine"]
    places = engine[engine["suite"] == suite][["level", "trial"]].drop_duplicates().sort_values(["level", "trial"])
    found = []
    for level, trial in places.itertuples(index=False):
        metrics = {}
        for name in _METRICS:
            samples = values(name, tables, suite=suite, level=int(level), trial=int(trial))
            metrics[name] = {text: _number(Statistic.parse(text).of(samples)) for text in _STATISTICS}
        found.append({"level": int(level), "trial": int(trial), "metrics": metrics})
    return found


def _steps(tables: Tables, suite: str) -> list[dict[str, Any]]:
    """Each kind of step that users took: how often, how many failed, how long the others took."""
    requests = tables["requests"]
    found = []
    for name, rows in requests[requests["suite"] == suite].groupby("name"):
        done = rows[rows["error"] == ""]["duration_seconds"].to_numpy()
        found.append(
            {
                "name": str(name),
                "count": len(rows),
                "failed": int((rows["error"] != "").sum()),
                **{
                    f"p{percent}_seconds": _number(float(np.percentile(done, percent, method="inverted_cdf")))
                    if len(done)
                    else None
                    for percent in (50, 95, 99)
                },
            }
        )
    return found


def _seconds(tables: Tables, suite: str) -> list[dict[str, Any]]:
    engine = tables["engine"]
    engine = engine[engine["suite"] == suite]
    if engine.empty:
        return []
    latency = _latency_by_second(tables, suite)
    frames = tables["frames"]
    arrived = frames[(frames["suite"] == suite) & frames["complete"]]["arrival_unix_seconds"]
    counted = np.floor(arrived).astype("int64").value_counts()
    rows = []
    for at, parts in engine.groupby(np.floor(engine["unix_seconds"]).astype("int64")):
        second = int(str(at))
        last = parts.drop_duplicates("session", keep="last")
        rows.append(
            {
                "unix_seconds": second,
                "level": int(last["level"].max()),
                "steady": bool((last["phase"] == STEADY).all()),
                "users": int(last["users"].clip(lower=0).sum()),
                "sessions": int(last["sessions"].sum()),
                "frames": int(counted.get(second, 0)),
                **latency.get(second, {"p50_seconds": None, "p95_seconds": None}),
                "loop_lag_p99_seconds": _number(last["loop_lag_p99_seconds"].max()),
                "engine_cpu_cores": _number(last["cpu_ratio"].sum()),
                "worker_cpu_cores": _number(last["worker_cpu_ratio"].sum()),
                "socket_drops": _number(parts["socket_drops"].sum()),
            }
        )
    return rows


def _latency_by_second(tables: Tables, suite: str) -> dict[int, dict[str, Any]]:
    """Of what counts: what was only the way there has no statistics."""
    found = values("glass_to_glass_seconds", tables, suite=suite)
    if found.empty:
        return {}
    return {
        int(str(second)): {
            "p50_seconds": _number(np.percentile(samples, 50, method="inverted_cdf")),
            "p95_seconds": _number(np.percentile(samples, 95, method="inverted_cdf")),
        }
        for second, samples in found.groupby(np.floor(found.index.to_numpy(dtype=float)).astype("int64"))
    }


def _number(value: object) -> float | None:
    number = float(value) if isinstance(value, int | float | np.floating) else math.nan
    return number if math.isfinite(number) else None
