"""Where a cluster has something else than the manifests say."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from vdibench.clusters.applied import differences

LABELS = {"app.kubernetes.io/part-of": "vdi-platform", "pod-security.kubernetes.io/enforce": "restricted"}
POLICY: dict[str, Any] = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "allow", "namespace": "vdi-sessions", "labels": LABELS},
    "spec": {
        "podSelector": {"matchLabels": {"app": "vdi"}},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"namespaceSelector": {}}], "ports": [{"port": 8080}]}],
    },
}
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "coturn", "namespace": "vdi-turn"},
    "spec": {
        "replicas": 1,
        "template": {
            "spec": {
                "automountServiceAccountToken": False,
                "initContainers": [{"name": "first"}, {"name": "second"}],
                "containers": [
                    {
                        "name": "coturn",
                        "image": "coturn:1",
                        "args": ["-c", "file"],
                        "env": [{"name": "EXTERNAL", "value": ""}, {"name": "NODE", "value": "a"}],
                        "resources": {"limits": {"cpu": "0.5", "memory": "1024Mi", "nvidia.com/gpu": 1}},
                        "securityContext": {"capabilities": {"drop": ["ALL"]}},
                    }
                ],
                "volumes": [{"name": "run", "emptyDir": {"sizeLimit": "16Mi"}}],
            }
        },
    },
}
CONFIG: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "turn", "namespace": "vdi-turn"},
    "data": {"turnserver.conf": "realm=vdi\n"},
}


def pod(one: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = one["spec"]["template"]["spec"]
    return found


def container(one: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = pod(one)["containers"][0]
    return found


def test_what_the_api_server_fills_in_is_no_difference() -> None:
    policy, deployment = deepcopy(POLICY), deepcopy(DEPLOYMENT)
    policy["metadata"] |= {"uid": "1", "annotations": {"a": "b"}, "labels": {**LABELS, "more": "1"}}
    policy["spec"]["ingress"][0]["ports"][0]["protocol"] = "TCP"
    policy["status"] = {}
    deployment["status"] = {"replicas": 1}
    deployment["spec"]["progressDeadlineSeconds"] = 600
    pod(deployment)["restartPolicy"] = "Always"
    pod(deployment)["volumes"][0]["emptyDir"]["medium"] = "Memory"
    one = container(deployment)
    one["terminationMessagePath"] = "/dev/termination-log"
    del one["env"][0]["value"]
    one["resources"]["limits"] = {"cpu": "500m", "memory": "1Gi", "nvidia.com/gpu": "1"}
    assert differences(POLICY, policy) == ()
    assert differences(DEPLOYMENT, deployment) == ()
    assert differences(CONFIG, {**CONFIG, "immutable": False}) == ()
    # Labels that say who made it for what choose nothing.
    policy["metadata"]["labels"] = {"pod-security.kubernetes.io/enforce": "restricted"}
    assert differences(POLICY, policy) == ()


def changed(one: dict[str, Any], *place: Any, to: Any) -> dict[str, Any]:
    made = deepcopy(one)
    inner = made
    for key in place[:-1]:
        inner = inner[key]
    if to is None:
        del inner[place[-1]]
    else:
        inner[place[-1]] = to
    return made


POD = ("spec", "template", "spec")
FIRST = (*POD, "containers", 0)
WHERE = "spec.template.spec"


@pytest.mark.parametrize(
    ("stated", "place", "to", "line"),
    [
        (
            POLICY,
            ("spec", "podSelector"),
            {},
            'spec.podSelector is {}, the manifest says {"matchLabels": {"app": "vdi"}}',
        ),
        (
            POLICY,
            ("spec", "podSelector", "matchLabels", "other"),
            "1",
            'spec.podSelector is {"matchLabels": {"app": "vdi", "other": "1"}}, the manifest says '
            '{"matchLabels": {"app": "vdi"}}',
        ),
        (POLICY, ("spec", "egress"), [{}], "spec.egress is [{}], the manifest does not say it"),
        (
            POLICY,
            ("spec", "ingress", 0, "from", 0, "podSelector"),
            {},
            "spec.ingress[0].from[0].podSelector is {}, the manifest does not say it",
        ),
        (
            POLICY,
            ("spec", "ingress", 0, "ports", 0),
            {"port": 8080, "protocol": "UDP"},
            'spec.ingress[0].ports[0].protocol is "UDP", the manifest does not say it',
        ),
        (
            POLICY,
            ("spec", "ingress", 0, "ports", 0, "port"),
            8081,
            "spec.ingress[0].ports[0].port is 8081, the manifest says 8080",
        ),
        (POLICY, ("spec", "policyTypes"), None, 'spec.policyTypes is absent, the manifest says ["Ingress"]'),
        (POLICY, ("spec", "ingress"), [], None),
        (
            POLICY,
            ("metadata", "labels", "pod-security.kubernetes.io/enforce"),
            "privileged",
            'metadata.labels["pod-security.kubernetes.io/enforce"] is "privileged", the manifest says "restricted"',
        ),
        (DEPLOYMENT, ("spec", "replicas"), 2, "spec.replicas is 2, the manifest says 1"),
        (
            DEPLOYMENT,
            (*POD, "automountServiceAccountToken"),
            None,
            f"{WHERE}.automountServiceAccountToken is absent, the manifest says false",
        ),
        (
            DEPLOYMENT,
            (*POD, "automountServiceAccountToken"),
            0,
            f"{WHERE}.automountServiceAccountToken is 0, the manifest says false",
        ),
        (
            DEPLOYMENT,
            (*POD, "initContainers"),
            [{"name": "second"}, {"name": "first"}],
            f'{WHERE}.initContainers[0].name is "second", the manifest says "first"',
        ),
        (
            DEPLOYMENT,
            (*FIRST, "image"),
            "coturn:2",
            f'{WHERE}.containers[coturn].image is "coturn:2", the manifest says "coturn:1"',
        ),
        (
            DEPLOYMENT,
            (*POD, "containers"),
            [*DEPLOYMENT["spec"]["template"]["spec"]["containers"], {"name": "proxy"}],
            f"{WHERE}.containers[proxy] is there, the manifest does not have it",
        ),
        (
            DEPLOYMENT,
            (*FIRST, "env"),
            [{"name": "NODE", "value": "a"}],
            f"{WHERE}.containers[coturn].env[EXTERNAL] is absent, "
            'the manifest says {"name": "EXTERNAL", "value": ""}',
        ),
        (
            DEPLOYMENT,
            (*FIRST, "resources", "limits", "memory"),
            "2Gi",
            f'{WHERE}.containers[coturn].resources.limits.memory is "2Gi", the manifest says "1024Mi"',
        ),
        (
            DEPLOYMENT,
            (*POD, "volumes", 0, "emptyDir", "sizeLimit"),
            "16M",
            f'{WHERE}.volumes[run].emptyDir.sizeLimit is "16M", the manifest says "16Mi"',
        ),
        (
            DEPLOYMENT,
            (*FIRST, "securityContext", "capabilities", "drop"),
            ["ALL", "KILL"],
            f'{WHERE}.containers[coturn].securityContext.capabilities.drop is ["ALL", "KILL"], '
            'the manifest says ["ALL"]',
        ),
        (
            DEPLOYMENT,
            (*FIRST, "args"),
            ["-c", "file", "--password=hidden"],
            f"{WHERE}.containers[coturn].args is not what the manifest says",
        ),
        (
            CONFIG,
            ("data", "turnserver.conf"),
            "realm=vdi\nstatic-auth-secret=hidden\n",
            'data["turnserver.conf"] is not what the manifest says',
        ),
        (CONFIG, ("data",), None, 'data is absent, the manifest says {"turnserver.conf": "realm=vdi\\n"}'),
    ],
)
def test_what_is_otherwise_is_said(stated: dict[str, Any], place: tuple[Any, ...], to: Any, line: str | None) -> None:
    found = differences(stated, changed(stated, *place, to=to))
    if line is not None:
        assert found[0] == line
    assert len(found) == (2 if place[-1] == "initContainers" else 1)


def test_a_long_text_is_cut_where_it_differs() -> None:
    stated = {"kind": "Middleware", "spec": {"policy": "a" * 300 + "b" + "c" * 300}}
    (line,) = differences(stated, {"kind": "Middleware", "spec": {"policy": "a" * 300 + "x" + "c" * 300}})
    assert len(line) < 300
    assert "…" + "a" * 20 + "x" + "c" in line
    assert "…" + "a" * 20 + "b" + "c" in line


def test_a_null_says_nothing() -> None:
    stated = {"kind": "Deployment", "metadata": {"creationTimestamp": None}, "spec": {"strategy": None, "items": []}}
    assert differences(stated, {"kind": "Deployment", "spec": {"strategy": {"type": "Recreate"}}}) == ()
