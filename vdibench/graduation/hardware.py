"""On what hardware a run was made, in the words that evidence has for it. Pure."""

from __future__ import annotations

from typing import Any

from vdibench.records import Node, Run, Subjects

__all__ = ["hardware_class", "lab_evidence"]

_SHARED = "-SHARED"  # what GPU feature discovery appends where slices share a GPU in time
_LAB = "lab"


def lab_evidence(run: Run, subjects: Subjects) -> bool:
    """Whether the run says nothing of a GPU node: it was on the project's own cluster, in a lab, or of no desktop."""
    target = str(run.context.get("target") or run.target).partition(":")[0]
    return subjects.lab or target in (_LAB, "replay") or run.context.get("synthetic") is True


def hardware_class(run: Run, subjects: Subjects) -> str:
    """Such as ``NVIDIA L4, driver 580.65.06``, or ``lab: AMD EPYC, 2 cores, no GPU``.

    Nodes of several kinds stand side by side, with ``/`` between. The measuring host is named only for a lab, where the
    desktops are on it.
    """
    if lab_evidence(run, subjects):
        return f"{_LAB}: {_host(run.host)}, no GPU"
    return " / ".join(dict.fromkeys(sorted(map(_node, subjects.nodes)))) or "unknown"


def _node(node: Node) -> str:
    if not node.gpu:
        return f"{node.system or 'a node'}, no GPU"
    product = node.gpu.removesuffix(_SHARED).replace("-", " ")
    return f"{product}, driver {node.driver}" if node.driver else product


def _host(host: dict[str, Any]) -> str:
    model = str(host.get("cpu_model") or "unknown CPU")
    cores = host.get("cpu_cores_usable") or host.get("cpu_cores")
    return f"{model}, {cores:g} cores" if isinstance(cores, int | float) else model
