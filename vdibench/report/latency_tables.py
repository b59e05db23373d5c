"""Tables of latency and pacing. Pure: text cells with units, ready to show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from vdibench.metrics import PROBE, Statistic, percentile_bounds, values
from vdibench.report import formats
from vdibench.report.evidence import Evidence, Source
from vdibench.slo import LEVELED

__all__ = ["input_table", "latency_table", "levels_table", "links_table", "pacing_table"]

_G2G = "glass_to_glass_seconds"
_LATENCY = ["n", "p50", "p95", "p95 bounds (95 %)", "p99", "max"]


def latency_table(source: Source, suites: Sequence[str] | str) -> pd.DataFrame:
    """Glass-to-glass latency, one row a suite and level that measured it; the display is not included."""
    evidence = Evidence.of(source)
    rows = [
        [where, *_statistics(found, "frame")]
        for suite in _listed(suites)
        for where, level in _places(evidence, suite)
        if len(found := evidence.values(_G2G, suite, level=level))
    ]
    return pd.DataFrame(rows, columns=["where", *_LATENCY])


def input_table(source: Source, suites: Sequence[str] | str) -> pd.DataFrame:
    """Input-to-photon latency, one row a suite, level and kind of input; the display is not included."""
    evidence = Evidence.of(source)
    rows = []
    for suite in _listed(suites):
        sent = evidence.rows("inputs", suite)
        for where, level in _places(evidence, suite):
            for kind in ("key", "click"):
                mine = sent[(sent["kind"] == kind) & (sent["level"] == level)]
                found = evidence.values(f"{kind}_to_photon_seconds", suite, level=level)
                if len(mine):
                    lost = f"{formats.count(len(mine) - len(found))} of {formats.count(len(mine))}"
                    rows.append([where, kind, *_statistics(found, "event"), lost])
    return pd.DataFrame(rows, columns=["where", "input", *_LATENCY, "never seen"])


def levels_table(source: Source, suite: str) -> pd.DataFrame:
    """Latency, frame rate and input by the number of sessions running together."""
    evidence = Evidence.of(source)
    rows = []
    for level in evidence.levels(suite):
        g2g = evidence.values(_G2G, suite, level=level)
        photon = evidence.values("input_to_photon_seconds", suite, level=level)
        rate = evidence.values("frames_per_second", suite, level=level)
        rows.append(
            [
                formats.count(level),
                formats.count(len(evidence.trials(suite, level))),
                *_statistics(g2g, "frame"),
                formats.quantity(Statistic("p", 5.0).of(rate), "1/second"),
                formats.seconds(Statistic("p", 95.0).of(photon)),
            ]
        )
    return pd.DataFrame(rows, columns=["sessions", "trials", *_LATENCY, "p5 frame rate", "p95 input to photon"])


def links_table(
    source: Source, suite: str, sessions: Mapping[str, str], failures: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """One desktop through named links, a row a link: probes, which no objective looks at.

    :param sessions: session id by link.
    :param failures: what ended a link's session, by link.
    """
    tables = Evidence.of(source).tables
    rows = []
    for link, session in sessions.items():

        def of(metric: str, session: str = session) -> pd.Series:
            return values(metric, tables, suite=suite, session=session, phase=PROBE, trial=0)

        latency, photon = of(_G2G), of("input_to_photon_seconds")
        rows.append(
            [
                link,
                formats.count(len(latency)),
                *(formats.seconds(Statistic("p", share).of(of("draw_to_arrival_seconds"))) for share in (50.0, 95.0)),
                *(formats.seconds(Statistic("p", share).of(latency)) for share in (50.0, 95.0)),
                *(formats.seconds(Statistic("p", share).of(photon)) for share in (50.0, 95.0)),
                formats.quantity(Statistic("avg").of(of("frames_per_second")), "1/second"),
                formats.quantity(Statistic("max").of(of("freezes_per_minute")), "1/minute"),
                formats.quantity(Statistic("max").of(of("packets_lost_ratio")), "ratio"),
                (failures or {}).get(link, ""),
            ]
        )
    columns = ["link", "frames", "p50 draw to arrival", "p95 draw to arrival", "p50 glass to glass"]
    columns += ["p95 glass to glass", "p50 input to photon", "p95 input to photon", "frame rate", "freezes per minute"]
    return pd.DataFrame(rows, columns=[*columns, "packets lost", "ended by"])


def pacing_table(source: Source, suites: Sequence[str] | str) -> pd.DataFrame:
    """Frame rate, intervals and freezes, one row a suite and level."""
    evidence = Evidence.of(source)
    rows = []
    for suite in _listed(suites):
        for where, level in _places(evidence, suite):
            rate = evidence.values("frames_per_second", suite, level=level)
            gaps = evidence.values("frame_interval_seconds", suite, level=level)
            if rate.empty and gaps.empty:
                continue
            frozen = _frozen(evidence, suite, level)
            rows.append(
                [
                    where,
                    formats.quantity(Statistic("p", 50.0).of(rate), "1/second"),
                    formats.quantity(Statistic("p", 5.0).of(rate), "1/second"),
                    formats.count(len(rate)),
                    formats.seconds(Statistic("p", 50.0).of(gaps)),
                    formats.seconds(Statistic("p", 99.0).of(gaps)),
                    formats.seconds(Statistic("max").of(gaps)),
                    *frozen,
                ]
            )
    columns = ["where", "p50 rate", "p5 rate", "seconds watched", "p50 interval", "p99 interval", "max interval"]
    return pd.DataFrame(rows, columns=[*columns, "freezes", "frozen", "freezes per minute"])


def _places(evidence: Evidence, suite: str) -> list[tuple[str, int]]:
    """Where samples were taken, in words, and the level: the suite alone where it has one level of one session."""
    levels = evidence.levels(suite)
    name = formats.clean(suite)
    if levels == [1] and suite not in LEVELED:
        return [(name, 1)]
    return [(f"{name}, {formats.counted(level, 'session')}", level) for level in levels]


def _statistics(found: pd.Series, noun: str) -> list[str]:
    if found.empty:
        return [formats.NO_DATA] * len(_LATENCY)
    low, high = percentile_bounds(found, 0.95)
    return [
        formats.counted(len(found), noun),
        formats.seconds(Statistic("p", 50.0).of(found)),
        formats.seconds(Statistic("p", 95.0).of(found)),
        formats.interval(low, high, "seconds"),
        formats.seconds(Statistic("p", 99.0).of(found)),
        formats.seconds(Statistic("max").of(found)),
    ]


def _frozen(evidence: Evidence, suite: str, level: int) -> list[str]:
    found = evidence.totals(suite)
    found = found[found["level"] == level]
    watched = float(found["seconds"].sum())
    if watched <= 0:
        return [formats.NO_DATA] * 3
    freezes = int(found["freezes"].sum())
    return [
        formats.count(freezes),
        formats.seconds(float(found["frozen_seconds"].sum())),
        formats.quantity(60 * freezes / watched, "1/minute"),
    ]


def _listed(suites: Sequence[str] | str) -> Sequence[str]:
    return (suites,) if isinstance(suites, str) else suites
