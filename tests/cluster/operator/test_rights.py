"""The Role of the chart is enough, and no verb of it is too much: a life of a session uses every one of them."""

from __future__ import annotations

import base64
import subprocess
from typing import Any

import pytest

from vdi_operator.api.objects import Object
from vdi_operator.children.kinds import KINDS
from vdi_operator.children.names import home_name
from vdibench.lab.cluster.operating import OperatorProcess
from vdibench.lab.cluster.played_desktops import played_template

from .site import DOMAIN, SESSIONS, Site

pytestmark = pytest.mark.timeout(1800)  # alone it builds a cluster

# The operator's own words for requests -> verbs of RBAC.
VERBS = {"apply": "patch"}
# kopf's requests are its own and not counted: it follows the sessions.
KOPFS = {("vdisessions", "watch")}
REFUSED = ("401", "403")
NAME, OTHER = "walker", "bystander"


def granted(role: Object) -> set[tuple[str, str]]:
    """Resource and verb of every right."""
    return {(kind, verb) for rule in role["rules"] for kind in rule["resources"] for verb in rule["verbs"]}


def used(operator: OperatorProcess) -> set[tuple[str, str]]:
    """Resource and verb of every request that was allowed."""
    found = set()
    for (verb, kind, code), count in operator.requests().items():
        if count and code not in (*REFUSED, "0"):
            plural = KINDS[kind].plural
            # Of a session only the status is ever written.
            resource = f"{plural}/status" if (kind, verb) == ("VDISession", "patch") else plural
            found.add((resource, VERBS.get(verb, verb)))
            if (verb, code) == ("apply", "201"):
                found.add((resource, "create"))  # which the API server asks for besides, where there was nothing
    return found | KOPFS


def squatters(name: str) -> list[Object]:
    """Objects with the names of a session's children, made by somebody else before: the operator does not see them."""
    container: Object = {
        "name": "desktop",
        "image": "vdibench.local/busybox:1.35.0",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec: Object = {
        "nodeSelector": {"vdibench.io/played": "true"},
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    claim = {"storageClassName": "played", "accessModes": ["ReadWriteOncePod"]}
    claim |= {"resources": {"requests": {"storage": "1Gi"}}}
    rule = {"kind": "Rule", "match": "Host(`squatter.test`)", "services": [{"name": "squatter", "port": 80}]}
    question = {"basicAuth": {"secret": "squatter"}}
    login = {
        key: base64.b64encode(text).decode() for key, text in (("username", b"user"), ("password", b"from-before"))
    }
    return [
        # Before the pod: a password that is younger than its pod would end that one.
        _made("Secret", f"vdi-session-auth-{name}", data=login),
        _made("Pod", f"vdi-session-{name}", spec=spec),
        _made("Service", f"vdi-session-service-{name}", spec={"ports": [{"name": "squatter", "port": 80}]}),
        _made("Middleware", f"vdi-session-auth-{name}", spec=question),
        _made("IngressRoute", f"vdi-session-{name}", spec={"routes": [rule]}),
        _made("NetworkPolicy", f"vdi-session-{name}", spec={"podSelector": {"matchLabels": {"squatter": "yes"}}}),
        _made("PersistentVolumeClaim", home_name(f"{name}@{DOMAIN}"), spec=claim),
    ]


def _made(kind: str, name: str, **content: Any) -> Object:
    metadata = {"name": name, "namespace": SESSIONS}
    return {"apiVersion": KINDS[kind].api_version, "kind": kind, "metadata": metadata, **content}


@pytest.fixture(scope="module")
def life(site: Site, operator: OperatorProcess) -> None:
    """Everything that can happen to a session, so that every right is used that is needed."""
    site.play([f"{name}@{DOMAIN}" for name in (NAME, OTHER)])
    site.create(site.wish(OTHER, "played"))
    site.await_ready(OTHER)
    # get: what somebody else made is looked at before it is taken over or deleted.
    for one in squatters(NAME):
        site.create(one)
    site.create(site.wish(NAME, "played"))
    site.await_ready(NAME)
    other = (site.get("VDISession", OTHER) or {})["metadata"]["uid"]
    owner = {"apiVersion": "vdibench.io/v1alpha1", "kind": "VDISession", "name": OTHER, "uid": other}
    names = {
        "NetworkPolicy": f"vdi-session-{NAME}",
        "Middleware": f"vdi-session-auth-{NAME}",
        "IngressRoute": f"vdi-session-{NAME}",
        "Service": f"vdi-session-service-{NAME}",
        "Secret": f"vdi-session-auth-{NAME}",
    }
    # patch: a label that is gone comes back. delete: what is another session's is not taken over.
    for kind, name in (*names.items(), ("Pod", f"vdi-session-{NAME}"), ("PersistentVolumeClaim", _home())):
        change = {"metadata": {"labels": {"app.kubernetes.io/component": None}}}
        site.merge(kind, name, change)
        site.until(lambda kind=kind, name=name: _component(site, kind, name), f"the label of {kind} {name}")
    for kind, name in names.items():
        before = (site.get(kind, name) or {})["metadata"]["uid"]
        site.merge(kind, name, {"metadata": {"ownerReferences": [owner]}})
        site.until(
            lambda kind=kind, name=name, before=before: _uid(site, kind, name) not in ("", before),
            f"another {kind} {name}",
        )
    site.await_ready(NAME)
    # Every verb on the DaemonSet that has nodes fetch an image.
    asleep = "vdi-prepull-fetched"
    site.apply(played_template(SESSIONS, "fetched", imagePullPolicy="IfNotPresent", prepull=True))
    site.until(lambda: site.get("DaemonSet", asleep), "a DaemonSet")
    before = _uid(site, "DaemonSet", asleep)
    site.merge("VDITemplate", "fetched", {"spec": {"image": "vdibench.local/busybox:1.35.0"}})
    site.until(lambda: "busybox" in str(site.get("DaemonSet", asleep)), "the other image")
    assert _uid(site, "DaemonSet", asleep) == before
    site.merge("VDITemplate", "fetched", {"spec": {"prepull": False}})
    site.until(lambda: site.get("DaemonSet", asleep) is None, "its end")
    for mode, reason in (("Suspended", "Suspended"), ("Running", "Published")):
        site.merge("VDISession", NAME, {"spec": {"operatingMode": mode}})
        site.until(lambda reason=reason: site.condition(NAME).get("reason") == reason, f"{NAME}, {reason}")


def _home() -> str:
    return home_name(f"{NAME}@{DOMAIN}")


def _component(site: Site, kind: str, name: str) -> bool:
    labels = ((site.get(kind, name) or {}).get("metadata") or {}).get("labels") or {}
    return "app.kubernetes.io/component" in labels


def _uid(site: Site, kind: str, name: str) -> str:
    return str(((site.get(kind, name) or {}).get("metadata") or {}).get("uid", ""))


@pytest.mark.usefixtures("life")
def test_nothing_is_refused(operator: OperatorProcess) -> None:
    assert {key: count for key, count in operator.requests().items() if key[2] in REFUSED} == {}
    log = operator.log.read_text()
    assert "forbidden" not in log.lower(), "kopf's requests are in its log alone"


@pytest.mark.usefixtures("life")
def test_no_right_is_left_over(operator: OperatorProcess) -> None:
    assert granted(operator.role) - used(operator) == set(), "rights that nothing uses"
    assert used(operator) - granted(operator.role) == set(), "rights from elsewhere than the chart"


@pytest.mark.parametrize(
    ("verb", "resource", "where"),
    [
        ("list", "secrets", SESSIONS),
        ("watch", "secrets", SESSIONS),
        ("delete", "persistentvolumeclaims", SESSIONS),
        ("patch", "vdisessions.vdibench.io", SESSIONS),
        ("create", "vdisessions.vdibench.io", SESSIONS),
        ("patch", "vditemplates.vdibench.io", SESSIONS),
        ("get", "daemonsets.apps", SESSIONS),
        ("create", "daemonsets.apps", "default"),
        ("create", "pods/exec", SESSIONS),
        ("get", "pods/log", SESSIONS),
        ("create", "serviceaccounts/token", SESSIONS),
        ("create", "rolebindings", SESSIONS),
        ("get", "secrets", "vdi-operator"),
        ("get", "secrets", "vdi-turn"),
        ("get", "pods", "default"),
        ("list", "nodes", ""),
        ("get", "persistentvolumes", ""),
        ("list", "namespaces", ""),
    ],
)
def test_it_may_not(site: Site, operator: OperatorProcess, verb: str, resource: str, where: str) -> None:
    kind, _, part = resource.partition("/")  # a slash would be taken for an object's name
    words = ["kubectl", "auth", "can-i", verb, kind, "--as=system:serviceaccount:vdi-operator:vdi-operator"]
    words += [f"--subresource={part}"] if part else []
    words += [f"--namespace={where}"] if where else []
    done = subprocess.run(
        words, env=site.cluster.environment(), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout.strip() == "no", done.stdout + done.stderr
