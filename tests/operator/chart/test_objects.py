"""What a release is made of: whole objects against golden files, and what they must not have."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from vdi_operator import __version__
from vdi_operator.api.template import Template
from vdi_operator.children.placeholder import placeholder
from vdi_operator.settings import Settings

from ...repository.kustomize import built, containers, only, pod_specs
from .helm import CHART, NAMESPACE, VERSION, Object, keys, named, rendered, run, template

GOLDEN = Path(__file__).resolve().parents[2] / "data" / "chart"
# What a site with everything switched on writes, but for what was graduated: that is in test_graduated.
FULL: Object = {
    "settings": {
        "domain": "vdi.test",
        "port": 30443,
        "relayAddresses": ["192.0.2.10", "2001:db8::7"],
        "checkerAddress": "traefik.traefik.svc:443",
        "placeholderPriorityClass": "vdi-placeholder",
    },
    "readNodes": True,
    "image": {"digest": f"sha256:{'1' * 64}"},
    "imagePullSecrets": [{"name": "registry"}],
    "operator": {"nodeSelector": {"kubernetes.io/os": "linux"}, "priorityClassName": "high"},
    "checker": {"authorityConfigMap": "vdi-authority", "tokenSecret": "own-token", "replicas": 2},
    "oidc": {"enabled": True, "address": "http://auth.test/verify", "authResponseHeaders": ["X-User"]},
    "networkPolicies": {"apiServerNetworks": ["192.0.2.1/32"]},
    "metrics": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True},
        "dashboard": {"enabled": True},
    },
    "templates": [{"name": "desktop", "spec": {"image": "registry.test/desktop:1", "display": {"width": 1920}}}],
}
CASES: dict[str, Object] = {
    "default": {},
    "full": FULL,
    "least": {
        "checker": {"enabled": False},
        "networkPolicies": {"enabled": False},
        "rbac": {"create": False},
        "serviceAccount": {"create": False},
        "settings": {"monitoringNamespace": ""},
    },
}
MODELS = {
    "ClusterRole": "V1ClusterRole",
    "ClusterRoleBinding": "V1ClusterRoleBinding",
    "ConfigMap": "V1ConfigMap",
    "Deployment": "V1Deployment",
    "Namespace": "V1Namespace",
    "NetworkPolicy": "V1NetworkPolicy",
    "PriorityClass": "V1PriorityClass",
    "Role": "V1Role",
    "RoleBinding": "V1RoleBinding",
    "Secret": "V1Secret",
    "Service": "V1Service",
    "ServiceAccount": "V1ServiceAccount",
}
CUSTOM = {
    "Middleware": "traefik.io/v1alpha1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "VDITemplate": "vdibench.io/v1alpha1",
}
CHANGING = re.compile(r"(?<=token: )\S+|(?<=checksum/settings: )\S+")


def settled(text: str) -> str:
    """Without what is random, and what a golden file would only repeat."""
    return CHANGING.sub("…", text).replace(__version__, "VERSION")


@pytest.mark.parametrize("case", CASES)
def test_a_release_is_the_golden_one(case: str) -> None:
    """To write them anew: VDIBENCH_GOLDEN=1, then read what git says of them."""
    done = template(CASES[case])
    assert done.returncode == 0, done.stderr
    golden, text = GOLDEN / f"{case}.yaml", settled(done.stdout)
    if os.environ.get("VDIBENCH_GOLDEN") == "1":
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("case", CASES)
def test_every_object_is_one_of_its_kind(case: str) -> None:
    for one in rendered(CASES[case]):
        name = f"{one['kind']} {one['metadata']['name']}"
        if one["kind"] in CUSTOM:
            assert one["apiVersion"] == CUSTOM[one["kind"]], name
            continue
        made = client.ApiClient().deserialize(json.dumps(one), MODELS[one["kind"]], "application/json")
        assert client.ApiClient().sanitize_for_serialization(made) == one, name


def test_a_plain_install_makes_these_and_no_more() -> None:
    assert keys(rendered()) == [
        "ConfigMap vdi-operator/vdi-operator-settings",
        "Deployment vdi-operator/vdi-checker",
        "Deployment vdi-operator/vdi-operator",
        "NetworkPolicy vdi-operator/vdi-checker",
        "NetworkPolicy vdi-operator/vdi-operator",
        "NetworkPolicy vdi-operator/vdi-operator-default-deny",
        "Role vdi-sessions/vdi-operator",
        "RoleBinding vdi-sessions/vdi-operator",
        "Secret vdi-operator/vdi-checker-token",
        "Service vdi-operator/vdi-checker",
        "Service vdi-operator/vdi-operator",
        "ServiceAccount vdi-operator/vdi-checker",
        "ServiceAccount vdi-operator/vdi-operator",
    ]


@pytest.mark.parametrize("case", CASES)
def test_pods_are_restricted(case: str) -> None:
    specs = list(pod_specs(rendered(CASES[case])))
    assert {name for name, _ in specs} >= {"vdi-operator"}
    for name, spec in specs:
        assert spec["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        }, name
        assert spec["automountServiceAccountToken"] is (name == "vdi-operator"), name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        for volume in spec["volumes"]:
            assert set(volume) <= {"name", "configMap", "secret", "emptyDir"}, name
        for container in containers(spec):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert not container.get("env"), "nothing is handed on by the environment"
            assert {"startupProbe", "readinessProbe", "livenessProbe", "resources"} <= set(container), name


def test_there_is_one_operator_and_the_old_one_goes_first() -> None:
    spec = named(rendered(), "Deployment", "vdi-operator")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_it_has_the_rights_of_the_manifests() -> None:
    theirs = [one for one in built("security/base") if one["metadata"].get("namespace") == "vdi-sessions"]
    ours = rendered()
    assert named(ours, "Role", "vdi-operator")["rules"] == only(theirs, "Role", "vdi-operator")["rules"]
    for key in ("roleRef", "subjects"):
        assert named(ours, "RoleBinding", "vdi-operator")[key] == only(theirs, "RoleBinding")[key]
    assert not {"ClusterRole", "ClusterRoleBinding"} & {one["kind"] for one in ours}


def test_nodes_are_read_only_where_that_was_said() -> None:
    objects = rendered({"readNodes": True})
    (rule,) = named(objects, "ClusterRole", "vdi-operator-nodes")["rules"]
    assert rule == {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch"]}
    assert written(objects).read_nodes is True


def test_the_class_of_placeholders_comes_where_it_is_named() -> None:
    wanted: Object = {"settings": {"placeholderPriorityClass": "lowest"}}
    made = named(rendered(wanted), "PriorityClass", "lowest")
    assert (made["value"], made["globalDefault"], made["preemptionPolicy"]) == (-10, False, "Never")
    there = rendered({**wanted, "priorityClass": {"create": False}})
    assert not [one for one in there if one["kind"] == "PriorityClass"]
    assert written(there).placeholder_priority_class == "lowest"


def test_a_placeholder_is_spoken_to_by_nobody_and_speaks_to_nobody() -> None:
    objects = rendered({"settings": {"placeholderPriorityClass": "lowest"}})
    policy = named(objects, "NetworkPolicy", "vdi-placeholder-default-deny")
    assert policy["metadata"]["namespace"] == "vdi-sessions"
    of = Template(name="cad", uid="t-1", generation=1, image="registry.test/desktop:1", warm_slots=1)
    labels = placeholder(of, Settings())["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert set(policy["spec"]) == {"podSelector", "policyTypes"}
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]


def written(objects: list[Object]) -> Settings:
    """The settings file as the operator reads it."""
    document = yaml.safe_load(named(objects, "ConfigMap", "vdi-operator-settings")["data"]["settings.yaml"])
    return Settings.of(document)


def test_the_settings_are_the_operators_own_defaults() -> None:
    assert written(rendered()) == Settings(
        operator_namespace=NAMESPACE,
        turn_secret_file="/etc/vdi-operator/turn/static-auth-secret",
        checker_url=f"http://vdi-checker.{NAMESPACE}.svc:8080",
        checker_token_file="/etc/vdi-operator/checker/token",
    )


def test_every_setting_is_a_value_or_the_charts_own() -> None:
    def camel(name: str) -> str:
        first, *rest = name.split("_")
        return first + "".join(word.capitalize() for word in rest)

    own = {"operatorNamespace", "readNodes", "turnSecretFile", "checkerUrl", "checkerTokenFile"}
    values = set(yaml.safe_load((CHART / "values.yaml").read_text())["settings"])
    assert values & own == set()
    assert values | own == {camel(name) for name in Settings.__dataclass_fields__}


def test_what_a_site_says_reaches_the_operator() -> None:
    settings = written(rendered(FULL))
    assert (settings.domain, settings.port) == ("vdi.test", 30443)
    assert settings.relay_addresses == ("192.0.2.10", "2001:db8::7")
    assert settings.middlewares == ("vdi-rate-limit", "vdi-headers", "vdi-oidc")
    assert settings.checker_address == "traefik.traefik.svc:443"


def test_without_a_checker_it_is_told_of_none() -> None:
    objects = rendered({"checker": {"enabled": False}})
    assert (written(objects).checker_url, written(objects).checker_token_file) == ("", "")
    assert not [key for key in keys(objects) if "checker" in key]


def test_files_are_where_the_settings_say() -> None:
    objects = rendered()
    settings = written(objects)
    spec = named(objects, "Deployment", "vdi-operator")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    places = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert not [mount for mount in container["volumeMounts"] if "subPath" in mount], "such a file never changes"
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    turn, token = volumes["turn"]["secret"], volumes["checker"]["secret"]
    assert f"{places['turn']}/{turn['items'][0]['path']}" == settings.turn_secret_file
    assert f"{places['checker']}/{token['items'][0]['path']}" == settings.checker_token_file
    assert turn["optional"] is True, "the operator says NoRelay, its pod does not hang"
    assert f"--settings={places['settings']}/settings.yaml" in container["args"]


def test_a_change_of_settings_starts_the_operator_anew() -> None:
    def stamp(values: Object) -> str:
        pod = named(rendered(values), "Deployment", "vdi-operator")["spec"]["template"]
        return str(pod["metadata"]["annotations"]["checksum/settings"])

    assert stamp({}) == stamp({"operator": {"logFormat": "text"}})
    assert stamp({}) != stamp({"settings": {"workers": 8}})


def test_nothing_of_the_chart_takes_a_home_with_it() -> None:
    objects = rendered(FULL)
    assert "PersistentVolumeClaim" not in {one["kind"] for one in objects}
    kept = {
        (one["kind"], one["metadata"]["name"])
        for one in objects
        if one["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
    }
    assert kept == {("Middleware", "vdi-oidc")}
    assert not list((CHART / "templates").glob("*crd*")), "Helm deletes what is in templates, never what is in crds/"


def test_rules_and_dashboard_are_those_of_the_manifests() -> None:
    ours, theirs = rendered(FULL), built("overlays/k3s")
    groups = only(theirs, "PrometheusRule")["spec"]["groups"]
    assert named(ours, "PrometheusRule", "vdi-operator")["spec"]["groups"] == [
        group for group in groups if group["name"] == "vdi-operator"
    ]
    boards = only(theirs, "ConfigMap", "vdi-dashboard")["data"]
    board = named(ours, "ConfigMap", "vdi-operator-dashboard")
    assert json.loads(board["data"]["vdi-operator.json"]) == json.loads(boards["operator.json"])
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    monitor = named(ours, "ServiceMonitor", "vdi-operator")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    selector = monitor["spec"]["selector"]["matchLabels"].items()
    chosen = [one["metadata"]["name"] for one in ours if one["kind"] == "Service" and selector <= labels(one).items()]
    assert chosen == ["vdi-operator"]


def labels(one: Object) -> dict[str, Any]:
    return dict(one["metadata"]["labels"])


def test_the_token_is_random_and_none_where_a_site_has_its_own() -> None:
    tokens = {named(rendered(), "Secret", "vdi-checker-token")["data"]["token"] for _ in range(2)}
    assert len(tokens) == 2
    assert all(len(token) >= 48 for token in tokens)
    assert "Secret" not in {one["kind"] for one in rendered({"checker": {"tokenSecret": "own"}})}


def test_the_versions_are_the_operators() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_helm_finds_nothing_to_complain_of() -> None:
    done = run("lint", "--strict", VERSION, CHART)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout
