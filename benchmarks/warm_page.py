"""The page of the warm start, and its target. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["SERIES", "TARGET_SECONDS", "page", "targets"]

Document = Mapping[str, Any]

SERIES = ("new home", "cold", "warm", "preempted")
TARGET_SECONDS = 3.0
_FEWEST = 20
_SAID = {
    "new home": "first session of a user: the home is made with it; slices are free",
    "cold": "with the home of before; slices are free, and nothing is kept warm",
    "warm": "placeholders hold every slice, the operator takes one away",
    "preempted": "placeholders hold every slice, the scheduler takes one away",
}


def targets(document: Document) -> list[dict[str, Any]]:
    """Each target with what was measured; none where warm starts were not, or too few."""
    warm = document["series"].get("warm")
    if warm is None or warm["starts"] < _FEWEST:
        return []
    measured = warm["frame_seconds"]["p95"]
    figure = f"create to first decoded frame, warm, home there, p95 of {warm['starts']}"
    return [{"figure": figure, "measured": measured, "target": TARGET_SECONDS, "met": measured <= TARGET_SECONDS}]


def page(document: Document) -> str:
    """The result for people."""
    host, found = document["host"], document["series"]
    phases = list(dict.fromkeys(name for one in found.values() for name in one["phases"]))
    lines = [
        "# Warm start",
        "",
        f"Measured {document['date']} by `make bench-warm` on {host['cpu_model']}, {host['cpu_cores']} cores, no GPU: "
        "everything is real but the GPU, whose slices the lab gives its node. Desktops of 1280×720 at 30 frames per "
        "second, encoded by software; one start at a time. The image is on the node in every series: what a pull takes "
        "is the site's own, and comes to all but the warm ones.",
        *([f"Traefik waits {document['throttle']} between two configurations."] if document["throttle"] else []),
        "",
    ]
    if document["targets"]:
        lines += ["| target | measured | wanted | |", "|---|---|---|---|"]
        lines += [
            f"| {one['figure']} | {one['measured']:.2f} s | ≤ {one['target']:.2f} s | "
            f"{'met' if one['met'] else '**missed**'} |"
            for one in document["targets"]
        ]
        lines.append("")
    lines += [
        "Create to the first frame that a user's client decodes, through Traefik and the relay; of it until the URL "
        "was published, and from then on.",
        "",
        "| series | starts | first frame p50 | p95 | published p50 | p95 | from there p50 | p95 | |",
        "|---|---|---|---|---|---|---|---|---|",
        *(
            f"| {name} | {one['starts']} | {_pair(one['frame_seconds'])} | {_pair(one['published_seconds'])} | "
            f"{_pair(one['client_seconds'])} | {_SAID[name]} |"
            for name, one in found.items()
        ),
        "",
        "## Phases",
        "",
        "Seconds of each part of a start, p50 and p95, as the operator has them in `status.phases`.",
        "",
        f"| series | {' | '.join(phases)} |",
        f"|---|{'---|' * len(phases)}",
        *(
            f"| {name} | " + " | ".join(_both(one["phases"].get(phase)) for phase in phases) + " |"
            for name, one in found.items()
        ),
        "",
    ]
    return "\n".join(lines)


def _pair(found: Mapping[str, float]) -> str:
    return f"{found['p50']:.2f} s | {found['p95']:.2f} s"


def _both(found: Mapping[str, float] | None) -> str:
    return "" if found is None else f"{found['p50']:.3f} / {found['p95']:.3f}"
