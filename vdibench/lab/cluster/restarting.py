"""A part of a running cluster lab's control plane, killed and started again. Linux only, as root.

A lab ends when a part of its cluster does, so that nobody measures half a cluster. Whoever wants to see what an outage
does says so before: the node then kills the part itself, waits, and starts the same command line again.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path

from vdibench.errors import LabError
from vdibench.lab.cluster.access import ClusterAccess

__all__ = ["RESTARTABLE", "WISH", "restart_part", "wish_of"]

RESTARTABLE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
WISH = "restart.json"
"""In the cluster's folder: which part, and how long it shall be away. The node removes it when it has done."""

_TIMEOUT_SECONDS, _LOOK_SECONDS = 30.0, 0.01


def restart_part(cluster: ClusterAccess, name: str, *, away_seconds: float = 0.0) -> None:
    """Kill a part as a crash does and return when its successor runs, which need not answer yet.

    :param name: one of :data:`RESTARTABLE`.
    :param away_seconds: between the two.
    :raises LabError: the cluster ended, or does not do it.
    """
    if name not in RESTARTABLE:
        raise LabError(f"{name} is no part that can be restarted", f"name one of {', '.join(RESTARTABLE)}")
    wish = cluster.kubeconfig.parents[1] / WISH
    # Whole, or not there: the node may look at any moment.
    draft = wish.with_suffix(".new")
    draft.write_text(json.dumps({"part": name, "away_seconds": away_seconds}))
    draft.replace(wish)
    os.kill(cluster.node_pid, signal.SIGHUP)
    deadline = time.monotonic() + away_seconds + _TIMEOUT_SECONDS
    while wish.exists():
        cluster.node_pid  # noqa: B018 - raises where the cluster has ended
        if time.monotonic() > deadline:
            wish.unlink(missing_ok=True)
            raise LabError(f"{name} was not started again", "read the cluster's log, node.log in the lab's folder")
        time.sleep(_LOOK_SECONDS)  # the node is at work in another process


def wish_of(folder: Path) -> tuple[str, float] | None:
    """Part and time away that somebody wishes for, or None. Used by the node."""
    # Nothing is wished, or nothing that makes sense.
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # as said above
        wish = json.loads((folder / WISH).read_text())
        if wish["part"] in RESTARTABLE:
            return str(wish["part"]), float(wish["away_seconds"])
    return None
