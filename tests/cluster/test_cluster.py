"""A real API server, node and pod."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

from vdibench.lab import ClusterSpec, Lab, LabSpec
from vdibench.lab.cluster.host import host_state
from vdibench.lab.cluster.packages import node_packages
from vdibench.lab.cluster.versions import KUBERNETES
from vdibench.lab.traces import marked_processes, read_mark

_POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web"},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {
                "name": "web",
                "image": "vdibench.local/busybox:1.35.0",
                "imagePullPolicy": "Never",
                "command": ["sh", "-c", "mkdir /shm/w; echo hello > /shm/w/index.html; httpd -f -p 8080 -h /shm/w"],
                "readinessProbe": {"httpGet": {"port": 8080}, "periodSeconds": 1},
                "volumeMounts": [{"name": "shm", "mountPath": "/shm"}],
            }
        ],
        "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}],
    },
}


def test_it_says_what_it_is(kubectl) -> None:
    assert json.loads(kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"] == f"v{KUBERNETES}"
    (node,) = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    ready = {one["type"]: one["status"] for one in node["status"]["conditions"]}["Ready"]
    assert ready == "True"
    assert node["status"]["nodeInfo"]["kubeletVersion"] == f"v{KUBERNETES}"


def test_a_pod_runs_and_answers_from_the_host_and_inside(cluster, kubectl) -> None:
    kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(_POD))
    kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
    address = kubectl("get", "pod", "web", "-o", "jsonpath={.status.podIP}")
    page = f"http://{address}:8080/index.html"
    for command in (["curl", "-sS", "-m", "5", page], cluster.inside(["curl", "-sS", "-m", "5", page])):
        done = subprocess.run(command, env=cluster.environment(), capture_output=True, text=True)
        assert done.stdout == "hello\n", done.stderr
    assert kubectl("exec", "web", "--", "cat", "/shm/w/index.html") == "hello\n"
    kubectl("delete", "pod", "web", "--wait=true", "--timeout=60s")


def test_the_supervisor_killed_takes_everything_along(state_root) -> None:
    before = host_state(node_packages())
    lab = Lab.up(LabSpec((), cluster=ClusterSpec()), name="killed", owned=True)
    supervisor = lab.status().supervisor_pid
    mark = read_mark(lab.directory)
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while (lab.directory.exists() or marked_processes(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)  # the reaper is at work; there is nothing of it to wait on
    assert not lab.directory.exists()
    assert marked_processes(mark) == []
    lab.down()
    after = host_state(node_packages())
    assert {name: after[name] for name in before if after[name] != before[name]} == {}
