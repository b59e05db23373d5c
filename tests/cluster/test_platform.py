"""The platform's manifests, taken by a real API server and run by a real node."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"


def test_everything_of_the_lab_is_available(kubectl) -> None:
    found = json.loads(kubectl("get", "deployments", "--all-namespaces", "-o", "json"))["items"]
    available = {
        one["metadata"]["name"]
        for one in found
        for condition in one["status"]["conditions"]
        if (condition["type"], condition["status"]) == ("Available", "True")
    }
    assert available >= {"coredns", "local-path-provisioner", "traefik", "coturn", "prometheus"}


def test_the_node_has_slices(kubectl) -> None:
    (node,) = json.loads(kubectl("get", "nodes", "-l", "vdibench.io/real=true", "-o", "json"))["items"]
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "8"


@pytest.fixture(scope="module")
def operators(kubectl) -> Iterator[None]:
    """What NVIDIA's operator makes, as far as admission asks for it: its definitions cannot be had here."""
    runtime = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia"}}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gpu-operator"}}
    for one in (runtime | {"handler": "nvidia"}, namespace):
        kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(one))
    yield
    # Others look for what the lab lacks.
    kubectl("delete", "runtimeclass/nvidia", "namespace/gpu-operator", "--wait=true", "--timeout=60s")


@pytest.mark.usefixtures("operators")
@pytest.mark.parametrize("overlay", ["overlays/k3s", "overlays/lab", "overlays/k3s/session", "overlays/lab/session"])
def test_every_manifest_is_accepted_strictly(cluster, overlay: str) -> None:
    environment = cluster.environment()
    made = subprocess.run(
        ["kubectl", "kustomize", str(MANIFESTS / overlay)], env=environment, capture_output=True, check=True
    ).stdout
    objects = list(yaml.safe_load_all(made))
    known = [one for one in objects if one["apiVersion"].split("/")[0] != "nvidia.com"]
    assert {one["kind"] for one in objects if one not in known} <= {"ClusterPolicy"}
    command = ["kubectl", "apply", "--server-side", "--dry-run=server", "--validate=strict", "--force-conflicts"]
    given = yaml.safe_dump_all(known).encode()
    done = subprocess.run(
        [*command, "--field-manager=test", "-f", "-"], env=environment, input=given, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    assert len(done.stdout.splitlines()) == len(known) > 3


def test_a_field_that_there_is_not_is_refused(cluster) -> None:
    bad = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bad"}, "dato": {"a": "b"}}
    command = ["kubectl", "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"]
    done = subprocess.run(command, env=cluster.environment(), input=json.dumps(bad).encode(), capture_output=True)
    assert done.returncode != 0
    assert b"dato" in done.stderr


def test_names_of_the_cluster_are_found_from_a_pod(kubectl) -> None:
    pod = ["run", "names", "--image=vdibench.local/busybox:1.35.0", "--image-pull-policy=Never", "--restart=Never"]
    name = "prometheus.monitoring.svc.cluster.local"
    said = kubectl(*pod, "--rm", "--attach", "--quiet", "--command", "--", "nslookup", name)
    assert name in said
    assert "NXDOMAIN" not in said
