"""One cluster for the tests of this folder, in a runtime directory of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vdibench.lab import ClusterSpec, Lab, LabSpec
from vdibench.lab.cluster.access import ClusterAccess
from vdibench.lab.cluster.host import host_state
from vdibench.lab.cluster.packages import node_packages


@pytest.fixture(scope="package", autouse=True)
def state_root() -> Iterator[Path]:
    """A runtime directory of the tests' own, with a path short enough for sockets."""
    root = Path(tempfile.mkdtemp(prefix="vdibench-test-"))
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(root)
    yield root
    if before is None:
        del os.environ["XDG_RUNTIME_DIR"]
    else:
        os.environ["XDG_RUNTIME_DIR"] = before
    remains = list((root / "vdibench" / "labs").rglob("*"))
    shutil.rmtree(root)
    assert not remains, f"the labs of the tests left {remains}"


@pytest.fixture(scope="package")
def cluster(state_root: Path) -> Iterator[ClusterAccess]:
    """A cluster, and nothing of it afterwards."""
    before = host_state(node_packages())
    with Lab.up(LabSpec((), cluster=ClusterSpec()), name="cluster", owned=True) as lab:
        assert lab.cluster is not None
        yield lab.cluster
    after = host_state(node_packages())
    assert {name: after[name] for name in before if after[name] != before[name]} == {}


@pytest.fixture(scope="package")
def kubectl(cluster: ClusterAccess) -> Callable[..., str]:
    """Runs kubectl on the host; gives what it prints."""

    def run(*words: str, stdin: str | None = None) -> str:
        done = subprocess.run(
            ["kubectl", *words], env=cluster.environment(), input=stdin, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
