"""The page of the circle, and its targets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["START_TARGETS", "page", "targets"]

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Targets:
    fewest: int = 20
    own_seconds: float = 1.0
    apart_ratio: float = 0.05
    frame_seconds: float = 30.0
    whole_seconds: float = 900.0


START_TARGETS = _Targets()
# Of a start, as its session's status has them.
_ORDER = (
    "accepted",
    "homeBound",
    "scheduled",
    "containerStarted",
    "podReady",
    "routed",
    "streamReady",
    "published",
)


def targets(document: Document) -> list[dict[str, Any]]:
    """Each target with what was measured."""
    starts, wanted = document["starts"], START_TARGETS
    rows = [
        ("the whole circle", document["seconds"], wanted.whole_seconds, "s"),
        ("create to first decoded frame, p95", starts["frame_seconds"]["p95"], wanted.frame_seconds, "s"),
        ("the operator's own share of a start, p95", starts["own_seconds"]["p95"], wanted.own_seconds, "s"),
        ("phases and connect against the client's clock, worst", starts["phases_apart_ratio"], wanted.apart_ratio, "%"),
    ]
    return [
        {"figure": figure, "measured": measured, "target": target, "unit": unit, "met": measured <= target}
        for figure, measured, target, unit in rows
    ]


def page(document: Document) -> str:
    """The result for people."""
    host, starts = document["host"], document["starts"]
    hand, own, graduated = document["hand"], document["operator"], document["graduated"]
    names = dict.fromkeys((*hand["figures"], *own["figures"]))
    capacity = graduated["capacity"]
    phases = sorted(starts["phases"].items(), key=lambda one: _ORDER.index(one[0]) if one[0] in _ORDER else len(_ORDER))
    lines = [
        "# The circle",
        "",
        f"Measured {document['date']} by `make circle` on {host['cpu_model']}, {host['cpu_cores']} cores, no GPU: "
        "everything is real but the GPU, whose slices the lab gives its node. Desktops of 1280×720 at 30 frames per "
        "second, encoded by software, share the host's cores with cluster, Traefik, coturn and the measuring client.",
        "",
        "| target | measured | wanted | |",
        "|---|---|---|---|",
        *(
            f"| {one['figure']} | {_text(one['measured'], one['unit'])} | ≤ {_text(one['target'], one['unit'])} | "
            f"{'met' if one['met'] else '**missed**'} |"
            for one in document["targets"]
        ),
        "",
        "## By hand and by operator",
        "",
        f"Run `{hand['run']}` on plain pods of `manifests/`, run `{own['run']}` on VDISessions of the graduated "
        "template; the same client on the same way: Traefik, and the relay alone. Samples in brackets.",
        "",
        "| figure | by hand | by operator |",
        "|---|---|---|",
        *(f"| {name} | {_figure(hand, name)} | {_figure(own, name)} |" for name in names),
        "",
        "## Starts",
        "",
        f"{starts['starts']} sessions, two at a time, each with a new home: create to first decoded frame p50 "
        f"{starts['frame_seconds']['p50']:.2f} s, p95 {starts['frame_seconds']['p95']:.2f} s. The operator's own share "
        "is what `accepted`, `routed` and `published` take together.",
        "",
        "| phase | p50 | p95 |",
        "|---|---|---|",
        *(f"| {name} | {found['p50']:.3f} s | {found['p95']:.3f} s |" for name, found in phases),
        "",
        "## What was shipped",
        "",
        f"Template `{graduated['template']}`, {capacity['sessionsPerGPU']} sessions a GPU (bounds "
        f"{capacity['sessionsPerGPU']} … {capacity['upper'] or 'more'}), evidence of `{hand['run']}`, signed and "
        "checked. A session suspended and resumed had "
        f"its file again after {document['rest']['resumed_seconds']:.1f} s. With {document['fill']['capacity']} "
        f"sessions running one more was refused: {document['fill']['reason']}, “{document['fill']['message']}”; it "
        "started when another one left.",
        "",
        "## Steps",
        "",
        "| step | seconds |",
        "|---|---|",
        *(f"| {one['name']} | {one['seconds']:.1f} |" for one in document["steps"]),
        "",
    ]
    return "\n".join(lines)


def _text(value: float, unit: str) -> str:
    return f"{value * 100:.1f} %" if unit == "%" else f"{value:.2f} s"


def _figure(half: Document, name: str) -> str:
    found = half["figures"].get(name)
    if found is None:
        return "no data"
    value = found["value"]
    text = f"{value * 1000:.0f} ms" if "_seconds" in name else f"{value:.1f}"
    return f"{text} ({found['samples']})"
