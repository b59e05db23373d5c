"""The tables of docs/reference/metrics.md, made from the register. Pure.

``python -m vdibench.metrics.reference`` prints them; a test holds the page to them.
"""

from __future__ import annotations

from vdibench.metrics.dialects import DIALECTS, EVERYWHERE
from vdibench.metrics.registry import REGISTRY

__all__ = ["dialects_table", "metrics_table"]


def metrics_table() -> str:
    """Every metric, one row each, as Markdown."""
    rows = [
        f"| `{m.name}` | {m.unit} | {m.kind} | {m.direction} | {f'`{m.w3c}`' if m.w3c else ''} | {m.provenance} "
        f"| {m.boundary} |"
        for m in REGISTRY.values()
    ]
    head = "| metric | unit | one value per | better | W3C | provenance | boundary |"
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows])


def dialects_table() -> str:
    """The metrics that some dialect lacks or that need something, one row for those that are alike, as Markdown."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for metric in REGISTRY.values():
        if metric.dialects != EVERYWHERE:
            cells = tuple(str(metric.reach(dialect)) for dialect in DIALECTS)
            alike.setdefault(cells, []).append(f"`{metric.name}`")
    rows = [f"| {', '.join(names)} | {' | '.join(cells)} |" for cells, names in alike.items()]
    return "\n".join([f"| metrics | {' | '.join(DIALECTS)} |", "|---|---|---|---|", *rows])


if __name__ == "__main__":
    print(metrics_table(), dialects_table(), sep="\n\n")
