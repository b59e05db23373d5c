"""What a run on a cluster is of, as an API server says it that was told, and a kubectl that prints the platform."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from kubernetes import client

from vdibench.clusters.api import Api
from vdibench.clusters.applied import applied
from vdibench.clusters.connection import Cluster
from vdibench.clusters.rendering import PLACEHOLDER, Template, Wishes, platform_objects
from vdibench.clusters.subjects import capture, digest_of, images_of, measured_variables, node_of, shipped
from vdibench.errors import UsageError
from vdibench.records import Display, Image, Node, Subjects, Workload
from vdibench.selkies import Dialect

from .answering import Answering, connected, serving

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
IMAGE = "registry.example.com/vdi/desktop:2.1.0"
POLICIES = "/apis/networking.k8s.io/v1"
POLICY: dict[str, Any] = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "to-relay", "namespace": "vdi-sessions"},
    "spec": {
        "podSelector": {},
        "egress": [{"to": [{"ipBlock": {"cidr": "10.244.0.1/32"}}]}],
        "policyTypes": ["Egress"],
    },
}
CLASS: dict[str, Any] = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "vdi-home"},
    "reclaimPolicy": "Retain",
}
SETTINGS: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {
        "name": "vdi-platform-settings",
        "namespace": "vdi-sessions",
        "annotations": {"config.kubernetes.io/local-config": "true"},
    },
}
SECRET: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "keys", "namespace": "vdi-turn"},
    "data": {"key": "aGlkZGVu"},
}
NODE = {
    "kind": "Node",
    "metadata": {
        "name": "gpu-1",
        "labels": {
            "nvidia.com/gpu.product": "NVIDIA-L4-SHARED",
            "nvidia.com/gpu.count": "2",
            "nvidia.com/cuda.driver-version.full": "580.65.06",
        },
    },
    "status": {
        "allocatable": {"cpu": "16", "nvidia.com/gpu": "16"},
        "nodeInfo": {
            "kubeletVersion": "v1.34.4",
            "kernelVersion": "6.1.0-40-amd64",
            "osImage": "Debian GNU/Linux 12 (bookworm)",
            "containerRuntimeVersion": "containerd://2.1.4",
            "machineID": "00000000000000000000000000000001",
        },
    },
}
WISHES = Wishes(7, Display(1280, 720, 30), Workload.TEXT, 4_000_000, Dialect.SELKIES_2_WEBRTC)


class Server(ThreadingHTTPServer):
    """Knows objects by their path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.known: dict[str, dict[str, Any]] = {
            POLICIES: listed("NetworkPolicy", "networkpolicies", namespaced=True),
            "/apis/storage.k8s.io/v1": listed("StorageClass", "storageclasses", namespaced=False),
        }
        self.statuses: dict[str, int] = {}


class Handler(Answering):
    server: Server

    def do_GET(self) -> None:  # noqa: N802  # as http.server calls it
        path = urlsplit(self.path).path
        status = self.server.statuses.get(path, 200 if path in self.server.known else 404)
        self._say(status, self.server.known[path] if status == 200 else {"message": "that is forbidden"})


def listed(kind: str, name: str, *, namespaced: bool) -> dict[str, Any]:
    status = {"kind": kind, "name": f"{name}/status", "namespaced": namespaced}
    return {"resources": [status, {"kind": kind, "name": name, "namespaced": namespaced}]}


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    with serving(found):
        yield found


@pytest.fixture
def api(server: Server, tmp_path: Path) -> Iterator[Api]:
    with connected(server, tmp_path / "kubeconfig") as found:
        yield found


@pytest.fixture
def kubectl(tmp_path: Path) -> Path:
    """A program that prints the platform, whatever it is asked."""
    built = tmp_path / "built.yaml"
    built.write_text(yaml.safe_dump_all([POLICY, SETTINGS, CLASS, SECRET]))
    program = tmp_path / "bin" / "kubectl"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat '{built}'\n")
    program.chmod(0o755)
    return program


def template() -> Template:
    environment = [
        {"name": "SELKIES_MODE", "value": "websockets"},
        {"name": "SELKIES_PORT", "value": "8080"},
        {"name": "SELKIES_FRAMERATE", "value": "60"},
    ]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"vdi-session-{PLACEHOLDER}", "namespace": "vdi-sessions"},
        "spec": {"containers": [{"name": "desktop", "image": IMAGE, "env": environment}]},
    }
    home = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": f"vdi-home-{PLACEHOLDER}"}}
    return Template((pod, home, SECRET), "vdi.test", "10.244.3.1")


def running(image_id: str, node: str = "gpu-1", **more: Any) -> dict[str, Any]:
    statuses = [{"name": "desktop", "image": "whatever", "imageID": image_id}, *more.get("others", ())]
    return {"spec": {"nodeName": node}, "status": {"containerStatuses": statuses}}


def on(lab: Any = None) -> Cluster:
    return Cluster("test", client.ApiClient(), "v1.34.4", Path("none"), lab)


def captured(api: Api, kubectl: Path, *pods: dict[str, Any], node_address: str = "10.244.3.1") -> Subjects:
    """On the cluster of a lab, of which nothing is asked but where it is and which kubectl it has."""
    lab: Any = SimpleNamespace(cluster=SimpleNamespace(node_address=node_address, programs={"kubectl": kubectl}))
    variables = WISHES.environment()
    return capture(on(lab), api, template(), variables, pods, overlay="lab/session", platform="lab")


def test_a_session_is_recorded_as_it_ran_without_the_desk() -> None:
    home, pod = shipped(template(), WISHES.environment())
    assert (home["kind"], pod["kind"]) == ("PersistentVolumeClaim", "Pod"), "its pod last, no Secret"
    (container,) = pod["spec"]["containers"]
    found = {one["name"]: one["value"] for one in container["env"]}
    assert found == {
        "SELKIES_PORT": "8080",
        "SELKIES_MODE": "webrtc",
        "SCREEN": "1280x720",
        "SELKIES_FRAMERATE": "30",
        "SELKIES_VIDEO_BITRATE": "4000",
    }
    assert pod["metadata"]["name"] == f"vdi-session-{PLACEHOLDER}"
    assert measured_variables((home, pod)) == {name: value for name, value in found.items() if name != "SELKIES_PORT"}
    assert shipped(template(), measured_variables((home, pod))) == (home, pod), "it can be built once more"


@pytest.mark.parametrize(
    ("image_id", "digest"),
    [
        (f"docker-pullable://registry.example.com/vdi/desktop@{A}", A),
        (f"registry.example.com/vdi/desktop@{A}", A),
        (A, A),
        ("", ""),
        ("registry.example.com/vdi/desktop:2.1.0", ""),
    ],
)
def test_however_a_node_names_an_image_its_digest_is_found(image_id: str, digest: str) -> None:
    assert digest_of(image_id) == digest


def test_images_have_the_names_of_the_manifests() -> None:
    session = shipped(template(), {})
    sidecar = {"name": "proxy", "image": "mesh.example.com/proxy:1", "imageID": B}
    assert images_of(session, []) == (Image(IMAGE),)
    assert images_of(session, [{}, running(""), running(f"x@{A}")]) == (Image(IMAGE, A),)
    assert images_of(session, [running(A), running(B, others=[sidecar])]) == (
        Image("mesh.example.com/proxy:1", B),
        Image(IMAGE, A),
        Image(IMAGE, B),
    )


def test_of_a_node_what_counts() -> None:
    assert node_of(NODE) == Node(
        kubelet="v1.34.4",
        kernel="6.1.0-40-amd64",
        system="Debian GNU/Linux 12 (bookworm)",
        runtime="containerd://2.1.4",
        gpu="NVIDIA-L4-SHARED",
        gpus=2,
        slices=16,
        driver="580.65.06",
    )
    version = {"major": "580", "minor": "65", "rev": "06"}
    labels = {f"nvidia.com/cuda.driver.{part}": value for part, value in version.items()}
    assert node_of({"metadata": {"labels": labels}}).driver == "580.65.06"
    assert node_of({"metadata": {}, "status": {"nodeInfo": {"kubeletVersion": "v1"}}}) == Node("v1")


def test_the_platform_is_what_kustomize_makes_without_the_overlays_own(kubectl: Path, tmp_path: Path) -> None:
    assert platform_objects(str(kubectl), "lab", manifests=tmp_path) == (POLICY, CLASS, SECRET)
    kubectl.write_text("#!/bin/sh\necho 'no such folder' >&2\nexit 1\n")
    with pytest.raises(UsageError, match="cannot build the overlay lab: no such folder"):
        platform_objects(str(kubectl), "lab", manifests=tmp_path)


def test_a_run_says_what_it_is_of(server: Server, api: Api, kubectl: Path) -> None:
    moved = json.loads(json.dumps(POLICY).replace("10.244.0.1", "10.244.3.1"))
    server.known |= {
        f"{POLICIES}/namespaces/vdi-sessions/networkpolicies/to-relay": moved,
        "/apis/storage.k8s.io/v1/storageclasses/vdi-home": {**CLASS, "reclaimPolicy": "Delete"},
        "/api/v1/nodes/gpu-1": NODE,
        "/api/v1/nodes/gpu-2": {**NODE, "metadata": {**NODE["metadata"], "name": "gpu-2"}},
    }
    found = captured(api, kubectl, running(A), running(A, "gpu-2"), {"spec": {}}, {})
    assert found == Subjects(
        lab=True,
        overlay="lab/session",
        platform="lab",
        placeholder=PLACEHOLDER,
        session=shipped(template(), WISHES.environment()),
        objects=(POLICY, CLASS),
        applied=('StorageClass vdi-home: reclaimPolicy is "Delete", the manifest says "Retain"',),
        images=(Image(IMAGE, A),),
        kubernetes="v1.34.4",
        nodes=(replace(node_of(NODE), count=2),),
        domain="vdi.test",
        relay="10.244.3.1",
    )


def test_who_may_not_read_nodes_measures_all_the_same(server: Server, api: Api, kubectl: Path) -> None:
    server.statuses["/api/v1/nodes/gpu-1"] = 403
    found = captured(api, kubectl, running(A))
    assert found.nodes == ()
    assert found.images == (Image(IMAGE, A),)


def test_an_overlay_that_cannot_be_built_is_a_difference(api: Api, kubectl: Path) -> None:
    kubectl.write_text("#!/bin/sh\necho 'accumulating resources' >&2\nexit 1\n")
    found = captured(api, kubectl, running(A))
    assert found.objects == ()
    assert found.applied == ("cannot build the overlay lab: accumulating resources",)


def test_what_a_cluster_lacks_or_hides_is_said(server: Server, api: Api) -> None:
    policy = f"{POLICIES}/namespaces/vdi-sessions/networkpolicies/to-relay"
    unknown = {**CLASS, "apiVersion": "nvidia.com/v1", "kind": "ClusterPolicy"}
    assert applied(api, [POLICY, unknown]) == (
        "NetworkPolicy vdi-sessions/to-relay is not there",
        "ClusterPolicy vdi-home is of a kind that the cluster does not know, nvidia.com/v1",
    )
    server.statuses[policy] = 403
    assert applied(api, [POLICY]) == ("NetworkPolicy vdi-sessions/to-relay may not be read by this user",)
    server.statuses[policy] = 422
    (line,) = applied(api, [POLICY])
    assert line.startswith("NetworkPolicy vdi-sessions/to-relay cannot be read: the cluster does not take get ")
    server.statuses = {POLICIES: 401}
    assert applied(api, [POLICY]) == ("NetworkPolicy vdi-sessions/to-relay may not be read by this user",)
