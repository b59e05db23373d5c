"""What a load looks like now: engines' latest seconds put together, as a document of plain values. No I/O.

Percentiles come from merged histograms, right to within a thousandth of their value; verdicts come from raw samples.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from vdibench.load.histograms import Distribution, merged
from vdibench.load.kept import KeptSeconds
from vdibench.load.messages import EngineSecond

__all__ = ["HISTORY_SECONDS", "WINDOW_SECONDS", "View", "latest", "sentence"]

WINDOW_SECONDS = 10.0
"""Over which percentiles are taken."""

HISTORY_SECONDS = 120
"""So much of the past has a row a second."""

# An engine that was silent for so long is not there; it says a second a second.
_GONE_SECONDS = 5.0
_LATENCIES = ("glass_to_glass_seconds", "capture_to_arrival_seconds", "input_to_photon_seconds", "decode_seconds")
_PERCENTS = (50.0, 95.0, 99.0)


def latest(seconds: Iterable[EngineSecond], now: float) -> dict[str, EngineSecond]:
    """The last second of each engine that is still there."""
    found = {second.engine: second for second in seconds}
    return {name: found[name] for name in sorted(found) if now - found[name].unix_seconds <= _GONE_SECONDS}


class View:
    """Looks at what is kept, for as many as ask: a second of the past is put together once.

    :param kept: what engines said; more may come at any time.
    """

    def __init__(self, kept: KeptSeconds) -> None:
        self._kept = kept
        # By second: how many engines had said theirs, and the row.
        self._rows: dict[int, tuple[int, dict[str, Any]]] = {}

    def state(self, now: float) -> dict[str, Any]:
        """The load at ``now`` (Unix seconds): totals, latencies of the last ten seconds, engines, a row a second.

        Values that were not measured are None.
        """
        return {**self.figures(now), "history": self._history(now)}

    def figures(self, now: float) -> dict[str, Any]:
        """The same without the past."""
        return {**_figures(self._kept.since(now - WINDOW_SECONDS), now), "freezes_total": self._kept.freezes}

    def engines(self, now: float) -> list[dict[str, Any]]:
        """A row an engine alone."""
        return [_engine(second, now) for second in latest(self._kept.since(now - _GONE_SECONDS), now).values()]

    def _history(self, now: float) -> list[dict[str, Any]]:
        by_second: defaultdict[int, list[EngineSecond]] = defaultdict(list)
        for second in self._kept.since(now - HISTORY_SECONDS):
            if second.unix_seconds <= now:
                by_second[math.floor(second.unix_seconds)].append(second)
        rows = {}
        for at, parts in sorted(by_second.items()):
            known, row = self._rows.get(at, (0, {}))
            rows[at] = (len(parts), row if known == len(parts) else _row(at, parts))
        self._rows = rows
        return [row for _, row in rows.values()]


def _figures(seconds: Sequence[EngineSecond], now: float) -> dict[str, Any]:
    engines = latest(seconds, now)
    window = [second for second in seconds if now - WINDOW_SECONDS < second.unix_seconds <= now]
    covered = max(1.0, min(WINDOW_SECONDS, now - min((second.unix_seconds for second in window), default=now) + 1.0))
    distributions = merged(
        {name: second.histograms[name] for name in _LATENCIES if name in second.histograms} for second in window
    )
    shown = sum(second.sessions for second in engines.values())
    frames = sum(second.frames for second in window)
    return {
        "unix_seconds": now,
        "users": sum(max(0, second.users) for second in engines.values()),
        "sessions": shown,
        "frames_per_second": frames / covered / shown if shown else None,
        "freezes": sum(second.freezes for second in window),
        "bits_per_second": 8 * sum(second.bytes_received for second in window) / covered,
        "latencies": {name: _percentiles(distributions[name]) for name in _LATENCIES if name in distributions},
        "engines": [_engine(second, now) for second in engines.values()],
    }


def _percentiles(found: Distribution) -> dict[str, Any]:
    values = found.percentiles(_PERCENTS)
    return {"samples": len(found), **{f"p{percent:g}": _number(value) for percent, value in values.items()}}


def _engine(second: EngineSecond, now: float) -> dict[str, Any]:
    fields = (
        *("users", "sessions", "frames", "cpu_ratio", "worker_cpu_ratio", "loop_lag_seconds", "loop_lag_p99_seconds"),
        *("rss_bytes", "socket_drops", "backlog"),
    )
    return {
        "engine": second.engine,
        "age_seconds": max(0.0, now - second.unix_seconds),
        **{name: _number(getattr(second, name)) for name in fields},
    }


def _row(at: int, parts: Sequence[EngineSecond]) -> dict[str, Any]:
    shown = sum(part.sessions for part in parts)
    frames = sum(part.frames for part in parts)
    name = "glass_to_glass_seconds"
    latency = merged({name: part.histograms[name]} for part in parts if name in part.histograms).get(name)
    found = latency.percentiles((50.0, 95.0)) if latency is not None else {}
    lags = [part.loop_lag_p99_seconds for part in parts if not math.isnan(part.loop_lag_p99_seconds)]
    return {
        "unix_seconds": at,
        "users": sum(max(0, part.users) for part in parts),
        "sessions": shown,
        "frames_per_second": frames / shown if shown else None,
        "freezes": sum(part.freezes for part in parts),
        "p50": _number(found.get(50.0, math.nan)),
        "p95": _number(found.get(95.0, math.nan)),
        "loop_lag_p99_seconds": max(lags, default=None),
        "cpu_ratio": _number(sum(part.cpu_ratio for part in parts)),
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def sentence(seconds: Sequence[EngineSecond], now: float) -> str:
    """The same in a few words, for a line of progress."""
    found = _figures(seconds, now)
    words = [f"{found['sessions']} of {found['users']} show video"]
    if found["frames_per_second"] is not None:
        words.append(f"{found['frames_per_second']:.0f} frames/s each")
    latency = found["latencies"].get("glass_to_glass_seconds")
    if latency is not None and latency["p95"] is not None:
        words.append(f"p50 {latency['p50'] * 1e3:.0f} ms, p95 {latency['p95'] * 1e3:.0f} ms")
    return ", ".join(words)
