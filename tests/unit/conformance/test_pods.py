"""What is made on a cluster."""

from __future__ import annotations

import pytest

from vdibench.conformance import Platform, Source, StandIn, outside
from vdibench.conformance.pods import STAND_IN_FILE, Sort, labels, namespace, node_pod, service, stand_in
from vdibench.errors import UsageError

SORT = Sort("image:1")


def test_a_session_that_watches() -> None:
    made = stand_in(Source.SESSION, "p", "vdi-sessions", "t", SORT, avoids=StandIn("10.42.0.6", "u"))
    program = STAND_IN_FILE.read_text()
    assert made == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "p",
            "namespace": "vdi-sessions",
            "labels": {"app.kubernetes.io/name": "vdi-session", "app.kubernetes.io/instance": "p"},
        },
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "nodeSelector": {},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "runAsGroup": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "probe",
                    "image": "image:1",
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python3", "-I", "-c", program, "8080", "t", "10.42.0.6", "8080", "u", "5"],
                    "ports": [{"name": "http", "containerPort": 8080}],
                    "readinessProbe": {"httpGet": {"path": "/api/health", "port": "http"}, "periodSeconds": 1},
                    "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }


@pytest.mark.parametrize("source", [Source.TRAEFIK, Source.OPERATOR])
def test_who_borrows_the_labels_of_a_service_is_never_ready(source: Source) -> None:
    spec = stand_in(source, "p", "n", "t", SORT)["spec"]
    assert spec["readinessGates"] == [{"conditionType": "vdibench.io/never-served"}]


@pytest.mark.parametrize("source", [Source.SESSION, Source.MONITORING, Source.OUTSIDER])
def test_the_others_get_ready(source: Source) -> None:
    assert "readinessGates" not in stand_in(source, "p", "n", "t", SORT)["spec"]


def test_the_nodes_pod_listens_at_nothing() -> None:
    made = node_pod("p", "n", Sort("image:1", "node-a"))
    assert made["spec"]["hostNetwork"] is True
    (container,) = made["spec"]["containers"]
    assert "ports" not in container
    (term,) = made["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert term == {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-a"]}]}
    level = namespace("n")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    assert level == "privileged"


def test_a_service_leads_to_one_stand_in_only() -> None:
    selector = service("s", "vdi-sessions", "p")["spec"]["selector"]
    assert selector == labels(Source.SESSION, "p")
    assert not selector.items() <= labels(Source.SESSION, "q").items()


def test_every_source_has_its_home() -> None:
    homes = {source: Platform().home(source, "own") for source in Source}
    assert homes == {
        Source.SESSION: "vdi-sessions",
        Source.TRAEFIK: "traefik",
        Source.MONITORING: "monitoring",
        Source.OPERATOR: "vdi-operator",
        Source.OUTSIDER: "own",
        Source.NODE: "own",
    }


def test_something_outside_is_an_address_with_a_port() -> None:
    found = outside("198.51.100.7:443")
    assert (found.host, found.port, found.tls) == ("198.51.100.7", 443, True)
    assert outside("[2001:db8::7]:443").host == "2001:db8::7"
    for text in ("example.org:443", "198.51.100.7", "198.51.100.7:", "198.51.100.7:0", "198.51.100.7:70000"):
        with pytest.raises(UsageError, match=r"198\.51\.100\.7:443"):
            outside(text)
