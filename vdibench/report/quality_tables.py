"""How well the measuring itself went: what it may have added to the numbers, and what it left out. Pure."""

from __future__ import annotations

import pandas as pd

from vdibench.metrics import Statistic
from vdibench.report import formats
from vdibench.report.evidence import Evidence, Source

__all__ = ["quality_table"]


def quality_table(source: Source) -> pd.DataFrame:
    """How well the measuring went: what it may have added to the numbers and what it left out."""
    evidence = Evidence.of(source)
    rows = []
    for suite in evidence.suites:
        name = formats.clean(suite)
        frames = evidence.rows("frames", suite, None)
        lag = evidence.values("event_loop_lag_seconds", suite)
        if len(lag):
            spread = _spread(lag)
            rows.append([name, "event loop lag of the client", spread, "may be added to any latency"])
        drops = evidence.values("socket_drops", suite)
        if len(drops):
            dropped = formats.quantity(float(drops.sum()), "packets")
            rows.append([name, "dropped at the client's socket", dropped, "loss of this host, not of the network"])
        bound = evidence.values("clock_bound_seconds", suite)
        if len(bound):
            rows.append([name, "clock offset known to within", _spread(bound), "may be added to any one-way latency"])
        decode = evidence.values("decode_seconds", suite)
        if len(decode):
            rows.append([name, "last packet → decoded", _spread(decode), "is part of glass to glass"])
        if len(frames):
            steady = frames["phase"] == "steady"
            rows.append(
                [
                    name,
                    "frames counted",
                    f"{formats.count(int(steady.sum()))} of {formats.count(len(frames))}",
                    f"{formats.count(int((~steady).sum()))} while warming up, kept but not counted",
                ]
            )
            rows.append([name, "frames used for glass to glass", *_marked(frames[steady])])
        rows.extend([name, *row] for row in _load(evidence, suite))
        rows.extend([name, *row] for row in _failures(evidence, suite))
    return pd.DataFrame(rows, columns=["suite", "what", "value", "note"])


def _spread(found: pd.Series) -> str:
    numbers = [formats.seconds(Statistic("p", percent).of(found)) for percent in (50.0, 95.0)]
    return f"p50 {numbers[0]}, p95 {numbers[1]}, max {formats.seconds(Statistic('max').of(found))}, n = {len(found):,}"


def _marked(frames: pd.DataFrame) -> list[str]:
    decoded = frames["decoded_unix_seconds"].notna()
    read = frames["marker_unix_seconds"].notna()
    repeated = read & frames["marker_repeated"]
    used = read & ~repeated
    notes = [
        f"{formats.count(int((~frames['complete']).sum()))} incomplete",
        f"{formats.count(int((~decoded).sum()))} not decoded",
        f"{formats.count(int((decoded & ~read).sum()))} without a readable marker",
        f"{formats.count(int(repeated.sum()))} showed an earlier marker again",
    ]
    return [f"{formats.count(int(used.sum()))} of {formats.count(len(frames))}", ", ".join(notes)]


def _failures(evidence: Evidence, suite: str) -> list[list[str]]:
    facts = evidence.rows("facts", suite, None)
    failed = facts[facts["key"] == "failure"]
    return [
        ["sessions that failed", formats.count(len(group)), formats.clean(value)]
        for value, group in failed.groupby("value")
    ]


def _load(evidence: Evidence, suite: str) -> list[list[str]]:
    readings = evidence.rows("resources", suite)
    host = readings[readings["session"] == "host"]
    rows = []
    usable = evidence.run.host.get("cpu_cores_usable") if evidence.run is not None else None
    busy = host.loc[host["resource"] == "cpu_cores", "value"]
    if len(busy):
        peak = Statistic("max").of(busy)
        share = f" of {usable:g} usable" if usable else ""
        rows.append(["busiest second of the host", formats.cores(peak) + share, "desktops and measuring side share it"])
    load = host.loc[host["resource"] == "load_average_1m", "value"]
    if len(load):
        rows.append(["load average, 1 min, largest", formats.plain(Statistic("max").of(load)), "runnable tasks"])
    waiting = host.loc[host["resource"] == "cpu_waiting_ratio", "value"]
    if len(waiting):
        rows.append(["a task waited for a core, mean", formats.ratio(float(waiting.mean())), "share of the time (PSI)"])
    stolen = host.loc[host["resource"] == "cpu_steal_cores", "value"]
    if len(stolen):
        rows.append(
            ["stolen by the hypervisor, most", formats.cores(Statistic("max").of(stolen)), "a neighbour's work"]
        )
    return rows
