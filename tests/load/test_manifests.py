"""The manifests of a load from other nodes: what Kubernetes' own models accept, and commands that vdibench takes."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kubernetes", reason="the models of extra `load`")

from kubernetes import client

from vdibench.cli import cli
from vdibench.errors import UsageError

# A module of the tests of what is committed.
sys.path.insert(0, str(Path(__file__).parents[1] / "repository"))

from kustomize import built

MODELS = {
    "ConfigMap": "V1ConfigMap",
    "Deployment": "V1Deployment",
    "Job": "V1Job",
    "Namespace": "V1Namespace",
    "NetworkPolicy": "V1NetworkPolicy",
    "PersistentVolumeClaim": "V1PersistentVolumeClaim",
    "Service": "V1Service",
    "ServiceAccount": "V1ServiceAccount",
}
PARTS = ["load/base", "load/overlays/example"]


def pods(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item["spec"]["template"] for item in items if item["kind"] in {"Job", "Deployment"}]


@pytest.mark.parametrize("part", PARTS)
def test_every_object_is_one_of_its_kind(part: str) -> None:
    items = built(part)
    assert {item["kind"] for item in items} == set(MODELS)
    for item in items:
        made = client.ApiClient().deserialize(json.dumps(item), MODELS[item["kind"]], "application/json")
        back = client.ApiClient().sanitize_for_serialization(made)
        assert back == without_nothing(item), "a field that Kubernetes does not know"


def without_nothing(found: Any) -> Any:
    if isinstance(found, dict):
        return {key: without_nothing(value) for key, value in found.items() if value is not None}
    return [without_nothing(value) for value in found] if isinstance(found, list) else found


@pytest.mark.parametrize("part", PARTS)
def test_pods_can_do_nothing_but_load(part: str) -> None:
    found = pods(built(part))
    assert len(found) == 2
    for pod in found:
        assert {"app.kubernetes.io/name", "app.kubernetes.io/component"} <= set(pod["metadata"]["labels"])
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"]["memory"]
            assert "cpu" not in container["resources"]["limits"], "a throttled engine is late"


def test_selectors_find_what_they_are_for() -> None:
    items = {item["kind"]: item for item in built("load/base")}
    master, worker = (items[kind]["spec"]["template"]["metadata"]["labels"] for kind in ("Job", "Deployment"))
    assert items["Service"]["spec"]["selector"].items() <= master.items()
    assert items["Deployment"]["spec"]["selector"]["matchLabels"].items() <= worker.items()
    assert items["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"].items() <= (master.items() & worker.items())
    wanted = int(items["ConfigMap"]["data"]["WORKERS"])
    assert items["Deployment"]["spec"]["replicas"] == wanted


def test_workers_stay_away_from_desktops() -> None:
    (spec,) = [item["spec"]["template"]["spec"] for item in built("load/base") if item["kind"] == "Deployment"]
    (term,) = spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert term["namespaceSelector"] == {}, "desktops are in other namespaces"


def test_the_masters_command_is_one_that_vdibench_takes(capsys: pytest.CaptureFixture[str]) -> None:
    items = {item["kind"]: item for item in built("load/base")}
    (container,) = items["Job"]["spec"]["template"]["spec"]["containers"]
    settings = items["ConfigMap"]["data"]
    words = [re.sub(r"\$\((\w+)\)", lambda name: settings[name[1]], word) for word in container["args"]]
    assert cli.main([*words, "--dry-run"], prog_name="vdibench", standalone_mode=False) == 0
    assert f"remote_workers = {settings['WORKERS']}" in capsys.readouterr().out


def test_the_workers_command_is_one_that_vdibench_takes() -> None:
    (spec,) = [item["spec"]["template"]["spec"] for item in built("load/base") if item["kind"] == "Deployment"]
    words = list(spec["containers"][0]["args"])
    with pytest.raises(UsageError, match=r"cannot read the roster /etc/vdibench/roster.json"):
        cli.main(words, prog_name="vdibench", standalone_mode=False)
    mounts = {mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    assert "/etc/vdibench" in mounts
