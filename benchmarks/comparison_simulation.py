"""Simulated sides of a comparison: the correlation of real frames, sessions and trials that differ. Pure."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from scipy.signal import lfilter

from vdibench.analysis.comparison import ALPHA
from vdibench.analysis.regressions import doubt, parse_limit
from vdibench.analysis.resampling import Cluster, shift
from vdibench.metrics import Statistic

__all__ = [
    "BEYOND",
    "INJECTED_SECONDS",
    "LIMIT",
    "SIMULATED_FRAMES",
    "SIMULATED_SESSIONS",
    "STATISTICS",
    "WITHIN",
    "simulate",
]

INJECTED_SECONDS = 0.010
SIMULATED_FRAMES, SIMULATED_SESSIONS = 150, 2
LIMIT = parse_limit("glass_to_glass_seconds avg 5%")
WITHIN, BEYOND = 0.049, 0.10  # true losses
STATISTICS = ("p(50)", "p(95)", "avg")
# Of simulated sessions: what is always there, a lognormal share, and bursts of five frames that seldom come.
_TRUE_MEAN = 0.010 + 0.004 * float(np.exp(0.45**2 / 2)) + 0.002 * 5 * 0.025


def simulated_session(random: np.random.Generator, spread: float, added: float = 0.0) -> np.ndarray:
    """One session's latencies in seconds: correlated, skewed, with an offset of its own and rare bursts."""
    # The first values are dropped: they do not yet remember enough.
    noise = lfilter([np.sqrt(1 - 0.75**2)], [1, -0.75], random.normal(size=SIMULATED_FRAMES + 50))[50:]
    found: np.ndarray = 0.010 + 0.004 * np.exp(0.45 * noise) + random.normal(0, spread) + added
    for at in np.flatnonzero(random.random(len(found)) < 0.002):
        found[at : at + 5] += random.exponential(0.025)
    return found


def simulated_side(random: np.random.Generator, trials: int, spread: float) -> list[Cluster]:
    """Trials of a few sessions each; what trials share varies as much as their sessions do."""
    return [
        [simulated_session(random, spread, added) for _ in range(SIMULATED_SESSIONS)]
        for added in random.normal(0, spread, trials)
    ]


def exceeds(base: list[Cluster], new: list[Cluster], loss: float) -> bool:
    """Whether a true loss of this share is said to exceed the limit."""
    worse = [[series + loss * _TRUE_MEAN for series in cluster] for cluster in new]
    mean = float(np.mean(np.concatenate([series for cluster in base for series in cluster])))
    p = doubt(LIMIT, mean, base, worse)
    return p is not None and p < ALPHA


def simulate(pairs: int) -> list[dict[str, Any]]:
    """Equal sides, sides 10 ms apart, and sides about a limit apart, by number of trials and spread between them."""
    rows = []
    for count in (1, 2, 3, 5, 8):
        for spread in (0.0, 0.0015, 0.004):
            random = np.random.default_rng([count, int(spread * 1e6)])
            alarm = dict.fromkeys(STATISTICS, 0)
            strict, found, within, failed, caught = 0, 0, 0, 0, 0
            for _ in range(pairs):
                base, new = (simulated_side(random, count, spread) for _ in range(2))
                for text in STATISTICS:
                    one = shift(Statistic.parse(text), base, new)
                    alarm[text] += one.p is not None and one.p < ALPHA
                    strict += one.p is not None and one.p < 0.01
                    within += one.low is not None and one.high is not None and one.low <= 0 <= one.high
                later = [[series + INJECTED_SECONDS for series in cluster] for cluster in new]
                one = shift(Statistic.parse("p(95)"), base, later)
                found += one.p is not None and one.p < 0.01 and one.delta > 0
                failed += exceeds(base, new, WITHIN)
                caught += exceeds(base, new, BEYOND)
            rows.append(
                {
                    "trials": count,
                    "spread_seconds": spread,
                    "method": str(one.method),
                    **{f"alarms_{text}": alarm[text] / pairs for text in STATISTICS},
                    "alarms_at_0.01": strict / pairs / len(STATISTICS),
                    "intervals_with_truth": within / pairs / len(STATISTICS),
                    "found_10ms_at_0.01": found / pairs,
                    "failed_within_limit": failed / pairs,
                    "failed_beyond_limit": caught / pairs,
                }
            )
            print(rows[-1], file=sys.stderr)
    return rows
