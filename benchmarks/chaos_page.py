"""What a bad night came to: memory's growth, what was violated, and the page. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["GROWTH_RATIO", "LIMIT_SECONDS", "growth", "page", "violations"]

LIMIT_SECONDS = 10.0
GROWTH_RATIO = 0.02

Document = dict[str, Any]


def growth(readings: Sequence[tuple[float, float]], warm_up: float) -> dict[str, Any]:
    """Growth of memory after the warm-up, by a line through the readings; None where there are too few of them.

    :param readings: seconds and bytes.
    """
    kept = np.array([one for one in readings if one[0] >= warm_up])
    if len(kept) < 3:
        return {"readings": len(kept), "begin_bytes": None, "largest_bytes": None, "growth_ratio": None}
    slope, base = np.polyfit(kept[:, 0], kept[:, 1], 1)
    begin = float(base + slope * kept[0, 0])
    span = float(kept[-1, 0] - kept[0, 0])
    return {
        "readings": len(kept),
        "begin_bytes": begin,
        "largest_bytes": float(kept[:, 1].max()),
        "growth_ratio": float(slope) * span / begin,
    }


def violations(document: Document) -> list[str]:
    """What did not hold; first what was not tried, since nothing is known of it."""
    found = [
        f"{one['name']}: never came about: {', '.join(one['unmet'])}" for one in document["rounds"] if one["unmet"]
    ]
    for one in document["rounds"]:
        if one["seconds"] is None:
            found.append(f"{one['name']}: not converged: {'; '.join(one['wrong'])}")
        elif one["seconds"] > LIMIT_SECONDS:
            found.append(f"{one['name']}: converged after {one['seconds']:.1f} s, at most {LIMIT_SECONDS:g} s")
    soak = document["soak"]
    if soak is not None:
        if soak["growth_ratio"] is not None and soak["growth_ratio"] >= GROWTH_RATIO:
            found.append(f"memory grew by {100 * soak['growth_ratio']:.1f} % in {soak['seconds']:.0f} s")
        if soak["end"]["seconds"] is None or soak["end"]["seconds"] > LIMIT_SECONDS:
            found.append(f"not converged at the end of the soak: {'; '.join(soak['end']['wrong'])}")
    return found


def page(document: Document) -> str:
    """The result for people."""
    host, options, changes = document["host"], document["options"], document["changes"]
    proxy, rounds = document["proxy"], document["rounds"]
    seen = {name: count for name, count in sorted(proxy.items()) if name not in ("passed", "unreachable")}
    lines = [
        "# Chaos",
        "",
        f"Measured {document['date']} by `python benchmarks/chaos.py` on {host['cpu_model']}, {host['cpu_cores']} "
        f"cores, in {document['seconds'] / 60:.0f} minutes: {options['sessions']} users on a cluster lab's played "
        f"nodes, who changed their minds {sum(changes.values()):,} times ("
        f"{', '.join(f'{count:,} × {name}' for name, count in changes.items())}) while one thing after the other went "
        "wrong. Real are API server, etcd, scheduler, controllers and the operator, a process of the host with its "
        "chart's rights; **played are pods (kwok) and frames**. What comes by the API server went through a proxy.",
        "",
        "After each fault users stop, and the time counts from the fault's end until every session is where its user "
        "wants it and everything that belongs to it is as the operator's own builders have it, with nothing besides. "
        "A crash ends when the next process is begun, an outage when `/readyz` says ok, a clock's jump does not end.",
        "",
        "| fault | times | converged: median | worst | at most |",
        "|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(one["name"] for one in rounds):
        mine = [one for one in rounds if one["name"] == name]
        seconds = [one["seconds"] for one in mine]
        count = sum(one["count"] for one in mine)
        if None in seconds:
            lines.append(f"| {name} | {count} | | **never** | {LIMIT_SECONDS:g} s |")
        else:
            worst = f"{max(seconds):.1f} s"
            late = max(seconds) > LIMIT_SECONDS
            lines.append(
                f"| {name} | {count} | {statistics.median(seconds):.1f} s | {f'**{worst}**' if late else worst} | "
                f"{LIMIT_SECONDS:g} s |"
            )
    lines += [
        "",
        _paced(document["pace"]),
        f"Faults last {options['fault_seconds']:g} s each. Looks were taken {len(rounds)} times. The proxy passed "
        f"{proxy.get('passed', 0):,} requests, could not reach the API server for {proxy.get('unreachable', 0):,}, and "
        f"did: {', '.join(f'{count:,} × {name}' for name, count in seen.items()) or 'nothing'}. By hand "
        f"{document['edits']:,} objects were edited or deleted. Homes: {document['homes']}, none may be another one "
        "than it was.",
        "",
        *_soaked(document["soak"]),
        f"Violated: {'; '.join(document['violations']) or 'nothing'}.",
        "",
    ]
    return "\n".join(lines)


def _paced(pace: Document) -> str:
    made, wanted = pace["made_per_second"], pace["wanted_per_second"]
    if made is None:
        return "Nobody changed their mind during a fault."
    wished = "without a pause" if wanted is None else f"{wanted:.1f} times a second"
    return f"Between looks users would change their minds {wished}; the API server let them {made:.1f} times a second."


def _soaked(soak: Document | None) -> list[str]:
    if soak is None:
        return ["No soak was asked for.", ""]
    if soak["growth_ratio"] is None:
        return [f"The soak of {soak['seconds']:.0f} s was too short to say anything of memory.", ""]
    return [
        f"Then {soak['seconds'] / 60:.0f} minutes of churn without faults: the operator's memory grew by "
        f"{100 * soak['growth_ratio']:+.2f} % from {soak['begin_bytes'] / 2**20:.1f} MiB (largest "
        f"{soak['largest_bytes'] / 2**20:.1f} MiB; at most {100 * GROWTH_RATIO:.0f} %), by a line through "
        f"{soak['readings']} readings after {soak['warm_up_seconds']:.0f} s.",
        "",
    ]
