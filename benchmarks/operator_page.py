"""The page of the operator's benchmark, and its targets. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["page", "targets"]

Document = Mapping[str, Any]

# Of a session: two Secrets, home, Service, middleware, route, policy, pod.
CHILDREN = 8


def targets(document: Document) -> list[dict[str, Any]]:
    """Each target with what was measured; ``met`` is None where this run did not measure it."""
    burst, paced, bare = document["burst"], document["paced"][0], document["bare"]
    restarts = {one["sessions"]: one for one in document["restarts"]}
    share = burst["per_second"] / bare["per_second"]

    def at(count: int, key: str) -> float | None:
        return restarts[count][key] if count in restarts else None

    ends = [one["end_seconds"] for one in document["restarts"]]
    pace = f"{paced['asked_per_second']:g} sessions/s"
    rows: list[tuple[str, float | None, float, Callable[[float], str], bool]] = [
        ("burst, pod and service alone, share of the bare client's rate", None, 0.60, _percent, True),
        ("burst, all children, with repair, share of the bare client's rate", share, 0.80, _percent, True),
        (f"{pace}: wish to pod, p99", paced["pod_seconds"]["p99"], 0.050, _milliseconds, False),
        (f"{pace}: wish to first frame, p99", paced["stream_seconds"]["p99"], 0.100, _milliseconds, False),
        (
            "operator's processor time a session",
            burst["cpu_ms_per_session"]["operator"] / 1000,
            0.006,
            _milliseconds,
            False,
        ),
        ("requests a session", burst["requests_per_session"], CHILDREN + 2, _number, False),
        ("memory at 1000 sessions", at(1000, "rss_mib"), 130.0, _mebibytes, False),
        ("memory at 3000 sessions", at(3000, "rss_mib"), 250.0, _mebibytes, False),
        ("restart at 1000: a new session has its pod", at(1000, "served_seconds"), 1.5, _seconds, False),
        ("restart at 3000: a new session has its pod", at(3000, "served_seconds"), 4.0, _seconds, False),
        ("SIGTERM to the end", max(ends, default=None), 1.0, _seconds, False),
    ]
    return [
        {
            "figure": figure,
            "measured": measured,
            "target": target,
            "text": "not measured" if measured is None else form(measured),
            "target_text": ("≥ " if at_least else "≤ ") + form(target),
            "met": None if measured is None else (measured >= target if at_least else measured <= target),
        }
        for figure, measured, target, form, at_least in rows
    ]


def page(document: Document) -> str:
    """The result for people."""
    host, bare = document["host"], document["bare"]
    lines = [
        "# Operator",
        "",
        f"Measured {document['date']} by `python benchmarks/operator_throughput.py` on {host['cpu_model']}, "
        f"{host['cpu_cores']} cores, on a cluster lab with {document['played_nodes']} played nodes of eight slices. "
        "Real are API server, scheduler, controllers and the operator, which runs as a process of the host as its "
        "chart's service account, with its chart's rights. **Played are pods (kwok) and frames (a checker that always "
        "sees one)**: the figures are of the control plane, never of a desktop. Everything shares the host's cores. "
        "The platform's own pods (Traefik, coturn, Prometheus, DNS) are ended before: none is asked for anything here. "
        "One run.",
        "",
        "| target | measured | wanted | |",
        "|---|---|---|---|",
        *(
            f"| {one['figure']} | {one['text']} | {one['target_text']} | {_verdict(one['met'])} |"
            for one in document["targets"]
        ),
        "",
        f"The bare client makes the same objects in the same order for {bare['sessions']} sessions, one status each, "
        "32 at a time: what the API server takes at most. A variant with pod and service alone does not exist here: "
        "every session has all its children. Wish to first frame is until the milestone `streamReady`; a session is "
        "published a little later on purpose, so that the checker has left when its user comes.",
        "",
        "| | sessions | a second | wish to pod p50 / p99 | to first frame p50 / p99 | to Ready p50 / p99 | operator, "
        "ms | API server, ms | requests | memory, MiB |",
        "|---|---|---|---|---|---|---|---|---|---|",
        f"| bare client | {bare['sessions']} | {bare['per_second']:.1f} | | | | | "
        f"{bare['cpu_ms_per_session']['kube-apiserver']:.1f} | | |",
        _row("burst", document["burst"]),
        *(_row(_pace(one), one) for one in document["paced"]),
        "",
        f"Paced are {_pace(document['paced'][0])}, which is what is asked for, and "
        f"{_pace(document['paced'][1])}: the same share of this host's bare client as ten a second were where that was "
        "asked for, on a host whose API server took 76 sessions a second.",
        "",
        "Where the processor's time goes, milliseconds a session:",
        "",
        *_processor(document),
        "",
        _room(document),
        "",
        "Processor time and requests are a session's. A session's requests in the burst: "
        + ", ".join(f"{made:.2f} {what}" for what, made in document["burst"]["requests"].items())
        + ". Looks at Secrets, which no watch tells of, are not among them: they come by turns, "
        f"{document['burst']['looks_per_second']:.0f} a second in the burst.",
        "",
    ]
    if document["restarts"]:
        lines += [
            "| restart at | a new session has its pod after | the old process had ended after | memory, MiB |",
            "|---|---|---|---|",
            *(
                f"| {one['sessions']} sessions | {one['served_seconds']:.2f} s | {one['end_seconds']:.2f} s | "
                f"{one['rss_mib']:.0f} |"
                for one in document["restarts"]
            ),
            "",
        ]
    refused = ", ".join(f"{count:g} × {code}" for code, count in sorted(document["failures"].items()))
    lines += [f"Requests that were not answered with success: {refused or 'none'}.", ""]
    return "\n".join(lines)


def _pace(paced: Document) -> str:
    return f"{paced['asked_per_second']:.2g} a second"


def _room(document: Document) -> str:
    """Whether this host could keep the pace that is asked for at all."""
    pace, cores = document["paced"][0]["asked_per_second"], document["host"]["cpu_cores"]
    needed, there = sum(document["bare"]["cpu_ms_per_session"].values()), 1000 * cores / pace
    said = (
        f"At {_pace(document['paced'][0])} the host's {cores} cores have {there:.0f} ms for a session. Without any "
        f"operator it takes {needed:.0f} ms"
    )
    if needed > there:
        return f"{said}: **this host cannot keep that pace**, and latencies at it are those of a queue that grows."
    return f"{said}."


def _processor(document: Document) -> list[str]:
    """A table: each process in each part of the benchmark."""
    parts = {"bare client": document["bare"], "burst": document["burst"]}
    parts |= {_pace(one): one for one in document["paced"]}
    spent = {name: part["cpu_ms_per_session"] for name, part in parts.items()}
    processes = sorted(spent["burst"], key=lambda name: -spent["burst"][name])
    rows = {name: [one.get(name) for one in spent.values()] for name in processes}
    rows["all of them"] = [sum(one.values()) for one in spent.values()]
    return [
        f"| | {' | '.join(parts)} |",
        "|---" * (len(parts) + 1) + "|",
        *(
            f"| {name} | {' | '.join('' if value is None else f'{value:.1f}' for value in values)} |"
            for name, values in rows.items()
        ),
    ]


def _row(name: str, part: Document) -> str:
    spreads = (part["pod_seconds"], part["stream_seconds"], part["ready_seconds"])
    times = " | ".join(f"{_milliseconds(one['p50'])} / {_milliseconds(one['p99'])}" for one in spreads)
    return (
        f"| {name} | {part['sessions']} | {part['per_second']:.1f} | {times} | "
        f"{part['cpu_ms_per_session']['operator']:.1f} | {part['cpu_ms_per_session']['kube-apiserver']:.1f} | "
        f"{part['requests_per_session']:.1f} | {part['rss_mib']:.0f} |"
    )


def _verdict(met: bool | None) -> str:
    return {True: "met", False: "**missed**", None: ""}[met]


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms" if seconds < 0.1 else f"{1000 * seconds:.0f} ms"


def _seconds(value: float) -> str:
    return f"{value:.2f} s"


def _mebibytes(value: float) -> str:
    return f"{value:.0f} MiB"


def _number(value: float) -> str:
    return f"{value:.1f}"
