"""Parts of a cluster's control plane, killed and started again; what nobody may wish for."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vdibench.errors import LabError
from vdibench.lab.cluster.access import ClusterAccess
from vdibench.lab.cluster.restarting import RESTARTABLE, WISH, restart_part, wish_of
from vdibench.lab.traces import MARK_VARIABLE

PATIENCE_SECONDS = 120.0


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        (json.dumps({"part": "etcd", "away_seconds": 1.5}), ("etcd", 1.5)),
        (json.dumps({"part": "kubelet", "away_seconds": 0}), None),
        (json.dumps({"part": "etcd"}), None),
        ("[]", None),
        ("{", None),
    ],
)
def test_a_wish(tmp_path: Path, text: str, wish: tuple[str, float] | None) -> None:
    assert wish_of(tmp_path) is None
    (tmp_path / WISH).write_text(text)
    assert wish_of(tmp_path) == wish


def test_what_nobody_may_wish_for(cluster: ClusterAccess) -> None:
    with pytest.raises(LabError, match="kubelet is no part that can be restarted"):
        restart_part(cluster, "kubelet")


def process(cluster: ClusterAccess, name: str) -> int:
    """Of a part of this cluster: its folder is in the command line, or the lab's mark in the environment."""
    mark = f"{MARK_VARIABLE}={cluster.environment()[MARK_VARIABLE]}".encode()
    for found in Path("/proc").glob("[0-9]*"):
        try:
            line, environment = (found / "cmdline").read_bytes(), (found / "environ").read_bytes()
        except OSError:
            continue  # it has ended
        if Path(line.split(b"\0")[0].decode()).name == name and mark in environment.split(b"\0"):
            return int(found.name)
    raise AssertionError(f"there is no {name}")


@pytest.mark.parametrize("name", [name for name in RESTARTABLE if name != "kwok"])
def test_it_is_another_process_and_everything_is_there(
    cluster: ClusterAccess, kubectl: Callable[..., str], name: str
) -> None:
    kubectl("create", "configmap", f"before-{name}")
    before = process(cluster, name)
    restart_part(cluster, name)
    assert process(cluster, name) != before
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        done = subprocess.run(
            ["kubectl", "get", "--raw", "/readyz"], env=cluster.environment(), capture_output=True, check=False
        )
        if done.returncode == 0:
            break
        assert time.monotonic() < deadline, done.stderr
        time.sleep(0.1)  # it starts, and nothing tells when it has done
    assert f"before-{name}" in kubectl("get", "configmap", "-o", "name")
    kubectl("delete", "configmap", f"before-{name}")
