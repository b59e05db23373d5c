"""A cluster of this folder's own: one real node and played ones, and the operator as a release or as a process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vdibench.lab import ClusterSpec, Lab, LabSpec
from vdibench.lab.cluster.access import ClusterAccess
from vdibench.lab.cluster.adding import add_images
from vdibench.lab.cluster.operating import OperatorProcess
from vdibench.lab.cluster.played_desktops import PlayedChecker

from .site import LAB, Site

PLAYED_NODES = 16


@pytest.fixture(scope="package")
def cluster(state_root: Path) -> Iterator[ClusterAccess]:
    """Played nodes take desktops that ask for them by a label: their taint, which no template can name, is gone."""
    with Lab.up(LabSpec((), cluster=ClusterSpec(played_nodes=PLAYED_NODES)), name=LAB, owned=True) as lab:
        assert lab.cluster is not None
        yield lab.cluster


@pytest.fixture(scope="package")
def site(cluster: ClusterAccess) -> Iterator[Site]:
    one = Site(cluster)
    one.kubectl("taint", "nodes", "-l", "vdibench.io/played=true", "vdibench.io/played:NoSchedule-")
    # Those of the manifests: whichever way the operator comes brings its own.
    one.kubectl("-n", "vdi-sessions", "delete", "role/vdi-operator", "rolebinding/vdi-operator")
    one.kubectl("-n", "vdi-operator", "delete", "serviceaccount/vdi-operator")
    yield one
    one.close()


@pytest.fixture(scope="package")
def images(cluster: ClusterAccess) -> None:
    """Operator and checker, as the node has images that were pulled."""
    add_images(cluster, ("operator", "checker"))


@pytest.fixture(scope="module")
def release(site: Site, images: None) -> Iterator[str]:
    """The chart, installed as a site does; gives the notes that helm printed. TURN credentials live for a minute."""
    notes = site.install({"settings": {"turnLifetimeSeconds": 60}})
    yield notes
    site.helm("uninstall", "vdi", "--ignore-not-found", "--wait", "--timeout=60s")
    site.clear()


@pytest.fixture(scope="module")
def checker() -> Iterator[PlayedChecker]:
    """Played: it answers of desktops on played nodes, which show nothing."""
    with PlayedChecker().serving() as one:
        yield one


@pytest.fixture(scope="module")
def operator(site: Site, checker: PlayedChecker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """The operator as a process with the chart's rights, whose desktops are played. Its log stays where pytest's do."""
    made = OperatorProcess(site.cluster, tmp_path_factory.mktemp("operator"), checker.url)
    checker.token = made.checker_token
    with made:
        site.until(made.ready, "the operator's first list")
        yield made
    site.clear()
    site.kubectl("-n", "vdi-sessions", "delete", "role/vdi-operator", "rolebinding/vdi-operator")
    site.kubectl("-n", "vdi-operator", "delete", "serviceaccount/vdi-operator")
