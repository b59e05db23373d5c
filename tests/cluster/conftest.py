"""One cluster for the tests of this folder, in a runtime directory of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vdibench.clusters import Cluster, connect
from vdibench.lab import ClusterSpec, Lab, LabSpec
from vdibench.lab.cluster.access import ClusterAccess
from vdibench.lab.cluster.host import host_state
from vdibench.lab.cluster.packages import node_packages

# A module of the lab's tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "lab"))

from runtime_directory import runtime_directory


@pytest.fixture(scope="package", autouse=True)
def state_root() -> Iterator[Path]:
    """The runtime directory."""
    with runtime_directory() as root:
        yield root


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


@pytest.fixture(scope="package")
def connection(cluster: ClusterAccess) -> Iterator[Cluster]:
    """The cluster, as the commands see it."""
    found = connect(lab="cluster")
    yield found
    found.close()
