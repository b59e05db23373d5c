"""The platform's manifests: what kustomize makes of them, by what a cluster, a user or a thief would meet first."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from .kustomize import (
    GPU_VARIANTS,
    MANIFESTS,
    OVERLAYS,
    PLATFORMS,
    SESSIONS,
    built,
    containers,
    edited,
    only,
    pod_specs,
)

# What this repository's other folder holds has tests of its own.
LOAD = MANIFESTS / "load"
IMAGE = MANIFESTS / "session" / "image"
FILES = sorted(f for f in MANIFESTS.rglob("*.y*ml") if LOAD not in f.parents and IMAGE not in f.parents)
BUILT = [*OVERLAYS, *(f"gpu/{variant}" for variant in GPU_VARIANTS)]
FOLDERS = ("k3s", "gpu", "network", "storage", "session", "observability", "security")

CLUSTER_WIDE = {"Namespace", "StorageClass", "ClusterPolicy"}
MODELS = {
    "ConfigMap": "V1ConfigMap",
    "Deployment": "V1Deployment",
    "Namespace": "V1Namespace",
    "NetworkPolicy": "V1NetworkPolicy",
    "PersistentVolumeClaim": "V1PersistentVolumeClaim",
    "Pod": "V1Pod",
    "Role": "V1Role",
    "RoleBinding": "V1RoleBinding",
    "Service": "V1Service",
    "ServiceAccount": "V1ServiceAccount",
    "StorageClass": "V1StorageClass",
}
# Held against their CRDs in a cluster, where there is one.
CUSTOM = {
    "ClusterPolicy": "nvidia.com/v1",
    "IngressRoute": "traefik.io/v1alpha1",
    "Middleware": "traefik.io/v1alpha1",
    "PodMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "TLSOption": "traefik.io/v1alpha1",
    "TLSStore": "traefik.io/v1alpha1",
}
RECOMMENDED = {f"app.kubernetes.io/{name}" for name in ("name", "component", "part-of", "managed-by")}
PINNED = re.compile(r"[\w.-]+(?:/[\w.-]+)+(?::v?\d+(?:\.\d+)+|@sha256:[0-9a-f]{64})")


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(MANIFESTS)))
def test_every_file_parses(file: Path) -> None:
    assert [d for d in yaml.safe_load_all(file.read_text()) if d]


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_folder_has_a_readme_that_explains_it(folder: str) -> None:
    text = (MANIFESTS / folder / "README.md").read_text()
    assert text.startswith(f"# manifests/{folder}\n")
    assert folder in (MANIFESTS / "README.md").read_text()


def test_every_part_is_in_something_that_is_built() -> None:
    def reached(folder: Path) -> set[Path]:
        found = {folder}
        parts = yaml.safe_load((folder / "kustomization.yaml").read_text())
        for entry in [*parts.get("resources", ()), *parts.get("components", ())]:
            if (folder / entry).is_dir():
                found |= reached((folder / entry).resolve())
        return found

    everything = {f.parent for f in MANIFESTS.rglob("kustomization.yaml") if LOAD not in f.parents}
    optional = {"network/cert-manager", "security/internet-egress"}
    optional |= {f"session/{part}" for part in ("gstreamer-tracer", "selkies-1.6", "selkies-2-websocket")}
    # As that folder's: test_load_manifests.py.
    optional |= {f"overlays/lab/load{part}" for part in ("", "/pods", "/results", "/workers")}
    in_use = set().union(*(reached(MANIFESTS / folder) for folder in BUILT))
    assert {str(f.relative_to(MANIFESTS)) for f in everything - in_use} == optional


@pytest.mark.parametrize("folder", BUILT)
def test_every_object_is_labelled_and_placed(folder: str) -> None:
    for item in built(folder):
        name = f"{item['kind']} {item['metadata']['name']}"
        labels = item["metadata"].get("labels", {})
        assert set(labels) >= RECOMMENDED, name
        assert labels["app.kubernetes.io/part-of"] == "vdi-platform"
        assert ("namespace" in item["metadata"]) is (item["kind"] not in CLUSTER_WIDE), name
        if "template" in item.get("spec", {}):
            assert set(item["spec"]["template"]["metadata"]["labels"]) >= RECOMMENDED, name


@pytest.mark.parametrize("folder", BUILT)
def test_every_object_is_one_of_its_kind(folder: str) -> None:
    """No field that Kubernetes' own models do not know: a misspelt one is dropped in silence by many tools."""
    for item in built(folder):
        if item["kind"] in CUSTOM:
            assert item["apiVersion"] == CUSTOM[item["kind"]]
            continue
        for _, spec in pod_specs([item]):
            for container in containers(spec):
                # The API takes a quantity as a number too, the models do not.
                for amounts in container.get("resources", {}).values():
                    amounts.update({name: str(amount) for name, amount in amounts.items()})
        made = client.ApiClient().deserialize(json.dumps(item), MODELS[item["kind"]], "application/json")
        assert client.ApiClient().sanitize_for_serialization(made) == item, item["metadata"]["name"]


@pytest.mark.parametrize("folder", OVERLAYS)
def test_every_image_is_pinned(folder: str) -> None:
    found = [c["image"] for _, spec in pod_specs(built(folder)) for c in containers(spec)]
    assert found
    assert [image for image in found if not PINNED.fullmatch(image)] == []


@pytest.mark.parametrize("folder", ["overlays/lab", "overlays/lab/session"])
def test_the_lab_takes_only_images_that_it_made_itself(folder: str) -> None:
    for name, spec in pod_specs(built(folder)):
        for container in containers(spec):
            assert container["image"].startswith("vdibench.local/"), name
            assert container["imagePullPolicy"] == "Never", name


@pytest.mark.parametrize("folder", OVERLAYS)
def test_no_pod_has_a_right_that_it_does_not_need(folder: str) -> None:
    for name, spec in pod_specs(built(folder)):
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec.get("hostNetwork", False) is (name == "coturn")
        assert name == "traefik" or spec["automountServiceAccountToken"] is False, name
        for container in containers(spec):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"]["drop"] == ["ALL"]
            # Allowed by `restricted` too.
            assert context["capabilities"].get("add", []) in ([], ["NET_BIND_SERVICE"])
        assert all(set(v) & {"hostPath"} == set() for v in spec.get("volumes", ()))


def placeholders_only(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"\$\{\w+\}|user", value))


def test_no_file_holds_a_secret() -> None:
    for file in FILES:
        for item in yaml.safe_load_all(file.read_text()):
            if isinstance(item, dict) and item.get("kind") == "Secret":
                assert file.name == "secret.template.yaml" or file.name == "secrets.template.yaml", file
                assert all(placeholders_only(value) for value in item["stringData"].values()), file
                assert "data" not in item
    assert all(item["kind"] != "Secret" for folder in BUILT for item in built(folder))
    for file in MANIFESTS.rglob("*"):
        if file.is_file() and LOAD not in file.parents:
            assert not re.search(
                r"static-auth-secret=\w|BEGIN [A-Z ]*PRIVATE KEY|password: [\"']?\w{6,}", file.read_text()
            )


@pytest.mark.parametrize("folder", OVERLAYS)
def test_no_environment_holds_a_secret_and_no_argument(folder: str) -> None:
    for name, spec in pod_specs(built(folder)):
        for container in containers(spec):
            for variable in container.get("env", ()):
                if re.search("PASSWORD|SECRET|TOKEN", variable["name"]):
                    assert "secretKeyRef" in variable["valueFrom"], name
            words = " ".join([*container.get("command", ()), *container.get("args", ())])
            assert not re.search(r"\$\((\w*(PASSWORD|SECRET|TOKEN)\w*)\)", words), name


@pytest.mark.parametrize("folder", PLATFORMS)
def test_namespaces_hold_what_they_are_for(folder: str) -> None:
    level = "pod-security.kubernetes.io/enforce"
    found = {o["metadata"]["name"]: o["metadata"]["labels"] for o in built(folder) if o["kind"] == "Namespace"}
    assert {name: labels.get(level) for name, labels in found.items() if name != "gpu-operator"} == {
        "vdi-sessions": "restricted",
        "vdi-operator": "restricted",
        "traefik": "restricted",
        "vdi-turn": "privileged",
        "monitoring": None,
    }
    used = {o["metadata"]["namespace"] for o in built(folder) if "namespace" in o["metadata"]}
    assert used <= set(found)


@pytest.mark.parametrize("folder", PLATFORMS)
def test_rights_are_for_sessions_only(folder: str) -> None:
    items = built(folder)
    assert not {o["kind"] for o in items} & {"ClusterRole", "ClusterRoleBinding"}
    role = only([o for o in items if o["metadata"].get("namespace") == "vdi-sessions"], "Role", "vdi-operator")
    verbs = {
        (group, kind): set(r["verbs"]) for r in role["rules"] for group in r["apiGroups"] for kind in r["resources"]
    }
    assert all("*" not in word for key, values in verbs.items() for word in [*key, *values])
    assert "delete" not in verbs["", "persistentvolumeclaims"]
    assert not {"list", "watch"} & verbs["", "secrets"]
    assert verbs["vdibench.io", "vdisessions"] == verbs["vdibench.io", "vditemplates"] == {"list", "watch"}
    assert verbs["networking.k8s.io", "networkpolicies"] == verbs["", "pods"]
    assert verbs["traefik.io", "ingressroutes"] == verbs["traefik.io", "middlewares"] == verbs["", "pods"]
    assert not {"nodes", "namespaces", "persistentvolumes", "roles", "pods/exec"} & {kind for _, kind in verbs}
    for item in items:
        if item["kind"] == "RoleBinding" and item["metadata"]["name"] == "vdi-operator":
            assert item["metadata"]["namespace"] == "vdi-sessions"


@pytest.mark.parametrize("variant", GPU_VARIANTS)
def test_a_variant_of_gpus_sets_the_default_too(variant: str) -> None:
    items = built(f"gpu/{variant}")
    config = only(items, "ClusterPolicy", "cluster-policy")["spec"]["devicePlugin"]["config"]
    data = only(items, "ConfigMap", config["name"])["data"]
    plugin = yaml.safe_load(data[config["default"]])
    assert plugin["version"] == "v1"
    shared = {name: way["resources"] for name, way in plugin.get("sharing", {}).items()}
    expected = {"time-slicing": "timeSlicing", "mps": "mps"}.get(variant)
    assert shared == ({expected: [{"name": "nvidia.com/gpu", "replicas": 8}]} if expected else {})


def test_slices_have_the_names_that_the_platform_gave_them() -> None:
    items = built("overlays/k3s")
    config = only(items, "ConfigMap", "time-slicing-config")
    assert config["metadata"]["namespace"] == "gpu-operator"
    assert yaml.safe_load(config["data"]["any"])["sharing"]["timeSlicing"]["failRequestsGreaterThanOne"] is True
    values = yaml.safe_load((MANIFESTS / "gpu" / "values.yaml").read_text())
    policy = only(items, "ClusterPolicy", "cluster-policy")["spec"]["devicePlugin"]["config"]
    assert values["devicePlugin"]["config"] == policy == {"name": "time-slicing-config", "default": "any"}


def test_both_ways_to_install_k3s_leave_its_traefik_out() -> None:
    plain, restricted = (
        yaml.safe_load((MANIFESTS / "k3s" / name).read_text()) for name in ("config.yaml", "config.restricted.yaml")
    )
    assert plain == {"disable": ["traefik"], "write-kubeconfig-mode": "644"}
    assert restricted["disable"] == ["traefik"]
    assert (restricted["write-kubeconfig-mode"], restricted["write-kubeconfig-group"]) == ("640", "vdi-admins")


def test_homes_outlive_their_claims_and_are_mounted_once() -> None:
    kept = only(built("overlays/k3s"), "StorageClass")
    assert (kept["provisioner"], kept["reclaimPolicy"], kept["volumeBindingMode"]) == (
        "rancher.io/local-path",
        "Retain",
        "WaitForFirstConsumer",
    )
    for folder in SESSIONS:
        claim = only(built(folder), "PersistentVolumeClaim")
        assert claim["spec"]["storageClassName"] == kept["metadata"]["name"]
        assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]


def texts() -> list[tuple[Path, str]]:
    return [(f, f.read_text()) for f in FILES]


def test_nothing_is_in_the_words_of_traefik_2() -> None:
    for file, text in texts():
        assert "traefik.containo.us" not in text, file
        assert not re.search(r"\{\s*\w+:[^}]*\}[^`]*`\)", "".join(re.findall(r"HostRegexp\(`[^`]*`\)", text))), file
        assert "ipWhiteList" not in text, file
        assert "ruleSyntax" not in text, file


def test_one_store_holds_the_certificate_and_no_route_orders_one() -> None:
    store = only(built("overlays/k3s"), "TLSStore")
    assert store["metadata"]["name"] == "default"
    assert store["spec"]["defaultGeneratedCert"] == {
        "resolver": "letsencrypt",
        "domain": {"main": "vdi.example.com", "sans": ["*.vdi.example.com"]},
    }
    values = yaml.safe_load((MANIFESTS / "network" / "values.yaml").read_text())
    assert "dnsChallenge" in values["certificatesResolvers"]["letsencrypt"]["acme"]
    assert "vdi-sessions" in values["providers"]["kubernetesCRD"]["namespaces"]
    for folder in SESSIONS:
        assert only(built(folder), "IngressRoute")["spec"]["tls"] == {}


def test_cert_manager_can_give_the_certificate_instead(tmp_path: Path) -> None:
    change = ("overlays/k3s/kustomization.yaml", "components:\n", "components:\n  - ../../network/cert-manager\n")
    copied = tmp_path / "copy"
    # The settings name a domain in a place that is gone then.
    lines = "- source: {kind: ConfigMap, name: vdi-platform-settings, fieldPath: data.domain}"
    text = (MANIFESTS / "overlays/k3s/replacements.yaml").read_text()
    found = edited(copied, "overlays/k3s", change, ("overlays/k3s/replacements.yaml", text[text.index(lines) :], ""))
    secret = only(found, "Certificate")["spec"]["secretName"]
    assert only(found, "TLSStore")["spec"] == {"defaultCertificate": {"secretName": secret}}
