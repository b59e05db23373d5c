"""Every query of the dashboard has data in the lab: a real desktop is watched, and recorded text stands for a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vdibench.lab import DesktopSpec, Lab, LabSpec
from vdibench.lab.cluster.access import ClusterAccess
from vdibench.lab.cluster.addresses import Addresses
from vdibench.lab.cluster.dcgm import ANNOTATION, EXPORTER, NAMESPACE, replay_objects
from vdibench.lab.cluster.prepared import manifests_folder
from vdibench.records import Display
from vdibench.telemetry.prometheus import Prometheus
from vdibench.telemetry.scraped import DcgmGpus

from .waiting import until

Kubectl = Callable[..., str]

RECORDING = Path(__file__).resolve().parents[1] / "data" / "dcgm" / "time-sliced.prom"
PROBER, PROBER_PORT = "vdibench-prober", 9464  # where manifests/observability/prometheus looks for one
# Rules are evaluated each 15 s, some take two steps, and a prober counts only while it is not late itself.
PATIENCE = 180.0


def queries() -> dict[str, str]:
    """Title and letter -> query of every panel."""
    panels = json.loads((manifests_folder() / "observability" / "base" / "vdi.json").read_text())["panels"]
    return {f"{panel['title']} {one['refId']}": one["expr"] for panel in panels for one in panel["targets"]}


@pytest.fixture(scope="module")
def prometheus(kubectl: Kubectl) -> Prometheus:
    """The lab's, by its pod's address."""
    pods = json.loads(
        kubectl("-n", "monitoring", "get", "pods", "-l", "app.kubernetes.io/name=prometheus", "-o", "json")
    )
    (pod,) = (pod for pod in pods["items"] if pod["status"]["phase"] == "Running")
    return Prometheus(f"http://{pod['status']['podIP']}:9090")


@pytest.fixture(scope="module")
def replayed(kubectl: Kubectl) -> Iterator[None]:
    """An exporter's replay where Prometheus looks for the exporter."""
    kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(_list(replay_objects(RECORDING))))
    kubectl("-n", NAMESPACE, "rollout", "status", f"deployment/{EXPORTER}", "--timeout=90s")
    yield
    kubectl("delete", "namespace", NAMESPACE, "--wait=true", "--timeout=90s")


@pytest.fixture(scope="module")
def watched(cluster: ClusterAccess, kubectl: Kubectl) -> Iterator[None]:
    """A desktop of this machine, watched from the host's end of the link, which has the prober's name inside."""
    host = Addresses(int(cluster.node_address.split(".")[2])).link[0]
    with Lab.up(LabSpec(desktops=(DesktopSpec(display=Display(640, 360, 30)),)), owned=True) as lab:
        endpoint = lab.desktops[0].endpoint
        assert endpoint.credentials is not None
        line = [sys.executable, "-m", "vdibench.cli", "watch", endpoint.url, "--user", endpoint.credentials.user]
        line += ["--listen", f"{host}:{PROBER_PORT}"]
        environment = {**os.environ, "VDIBENCH_PASSWORD": endpoint.credentials.password}
        with subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True) as prober:
            try:
                assert prober.stdout is not None
                assert prober.stdout.readline().startswith(f"serving metrics at http://{host}:{PROBER_PORT}/")
                kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(_list(_prober(host))))
                yield
                kubectl("-n", "monitoring", "delete", "service,endpointslice", PROBER)
            finally:
                prober.kill()


def _prober(address: str) -> list[dict[str, object]]:
    """The prober's name, with an address that is no pod's behind it."""
    metadata = {"name": PROBER, "namespace": "monitoring"}
    ports = [{"name": "metrics", "port": PROBER_PORT}]
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"clusterIP": "None", "ports": ports}},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**metadata, "labels": {"kubernetes.io/service-name": PROBER}},
            "addressType": "IPv4",
            "ports": ports,
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        },
    ]


def _list(items: list[dict[str, object]]) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "List", "items": items}


@pytest.mark.usefixtures("replayed", "watched")
@pytest.mark.timeout(600)  # a desktop, a prober, and rules that are evaluated each 15 s
def test_every_query_has_data(prometheus: Prometheus) -> None:
    wanted = queries()
    assert len(wanted) >= 15

    def answered() -> bool:
        # One at a time: a prober that is late for a second takes its latencies back.
        for title in [title for title, query in wanted.items() if prometheus.query(query)]:
            del wanted[title]
        return not wanted

    try:
        until(answered, "data", seconds=PATIENCE, pause=0.5)
    except AssertionError:
        targets = [(one.job, one.healthy, one.error) for one in prometheus.targets()]
        pytest.fail(f"no data for {wanted}; targets: {targets}")


@pytest.mark.usefixtures("replayed")
def test_the_lab_s_prometheus_gives_figures_of_the_device(prometheus: Prometheus) -> None:
    until(lambda: prometheus.query("DCGM_FI_DEV_GPU_UTIL"), "a scrape", seconds=PATIENCE)
    with DcgmGpus(prometheus) as gpus:
        found: dict[tuple[str, str], float] = {}

        def there() -> bool:
            found.update({(one.scope, one.resource): one.value for one in gpus.figures()})
            return bool(found)

        until(there, "a figure", seconds=PATIENCE)
        assert {scope for scope, _ in found} == {"gpu-0"}
        assert 0.66 <= found["gpu-0", "gpu_utilization_ratio"] <= 0.83
        assert gpus.facts()["telemetry.gpus.scrape_interval_seconds"] == "5"


@pytest.mark.usefixtures("replayed")
def test_everybody_can_see_that_it_is_a_replay(kubectl: Kubectl, prometheus: Prometheus) -> None:
    kinds = ("configmap/dcgm-replay", f"deployment/{EXPORTER}", f"service/{EXPORTER}")
    objects = [json.loads(kubectl("-n", NAMESPACE, "get", one, "-o", "json")) for one in kinds]
    objects += json.loads(kubectl("-n", NAMESPACE, "get", "pods", "-o", "json"))["items"]
    assert len(objects) == 4
    for one in objects:
        assert one["metadata"]["annotations"][ANNOTATION] == "recorded text (time-sliced.prom) in the place of a GPU"
    until(lambda: prometheus.query('vdibench_replay_info{recording="time-sliced.prom"}'), "a scrape", seconds=PATIENCE)
    # It has no rights to give a pod, and asks for none.
    level = kubectl(
        "get", "namespace", NAMESPACE, "-o", r"jsonpath={.metadata.labels.pod-security\.kubernetes\.io/enforce}"
    )
    assert level == "restricted"
