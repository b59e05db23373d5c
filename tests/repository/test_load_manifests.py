"""The load of the cluster lab: what its overlay makes of ``manifests/load``, where it departs from a site's."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from packaging.utils import canonicalize_name

from vdibench.lab.cluster.addresses import Addresses
from vdibench.lab.cluster.images import image_names
from vdibench.lab.cluster.rootfs import listed

from .kustomize import MANIFESTS, built, containers, only, pod_specs
from .policies import End, allowed
from .test_wheel import closure

LAB, RESULTS, WORKERS = "overlays/lab/load", "overlays/lab/load/results", "overlays/lab/load/workers"
TRAEFIK_PORT = 30443


def master_and_worker() -> tuple[dict[str, Any], dict[str, Any]]:
    """Their pods' specifications."""
    specs = dict(pod_specs(built(LAB)))
    return specs["vdibench-load-master"], specs["vdibench-load-worker"]


@pytest.mark.parametrize("folder", [LAB, RESULTS, WORKERS])
def test_the_lab_takes_its_own_image_of_this_version(folder: str) -> None:
    for name, spec in pod_specs(built(folder)):
        for container in containers(spec):
            assert container["image"] == image_names()["load"], name
            assert container["imagePullPolicy"] == "Never", name


@pytest.mark.parametrize("folder", ["load/base", "load/overlays/example", LAB])
def test_a_load_is_built_of_its_base_and_its_settings(folder: str) -> None:
    found = built(folder)
    (settings,) = (one["data"] for one in found if one["kind"] == "ConfigMap")
    assert set(settings) == {"TARGET", "SCENARIO", "SHAPE", "MODE", "WORKERS"}
    assert only(found, "Deployment")["spec"]["replicas"] == int(settings["WORKERS"])


def test_the_desktop_s_host_leads_to_the_node_from_both() -> None:
    settings = only(built(LAB), "ConfigMap")["data"]
    kind, _, url = settings["TARGET"].partition(":")
    assert (kind, urlsplit(url).port) == ("url", TRAEFIK_PORT)
    session = (MANIFESTS / "overlays" / "lab" / "session" / "settings.yaml").read_text()
    assert f"host: {urlsplit(url).hostname}\n" in session
    for spec in master_and_worker():
        assert spec["hostAliases"] == [{"ip": Addresses(0).node, "hostnames": [urlsplit(url).hostname]}]


def test_both_have_the_authority_where_the_roster_will_name_it() -> None:
    master, _ = master_and_worker()
    (variable,) = master["containers"][0]["env"]
    assert variable["name"] == "VDIBENCH_CA_FILE"
    for spec in master_and_worker():
        mounts = {one["mountPath"]: one["name"] for one in spec["containers"][0]["volumeMounts"]}
        volumes = {one["name"]: one for one in spec["volumes"]}
        assert variable["value"].endswith("/ca.crt")
        volume = volumes[mounts[variable["value"].removesuffix("/ca.crt")]]
        assert volume["configMap"] == {"name": "vdibench-load-authority"}


def test_two_cores_carry_it_and_the_one_node_takes_it() -> None:
    master, worker = master_and_worker()
    requests = [spec["containers"][0]["resources"]["requests"]["cpu"] for spec in (master, worker, worker)]
    assert sum(int(re.fullmatch(r"(\d+)m", one)[1]) for one in requests) <= 500
    assert "affinity" not in worker
    assert "affinity" in dict(pod_specs(built("load/base")))["vdibench-load-worker"]


@pytest.mark.parametrize("folder", ["load/overlays/workers", WORKERS])
def test_workers_alone_go_to_the_owner_that_is_named(folder: str) -> None:
    found = built(folder)
    assert {one["kind"] for one in found} == {"Namespace", "ServiceAccount", "Deployment", "NetworkPolicy"}
    ((_, spec),) = pod_specs(found)
    base = dict(pod_specs(built("load/base")))["vdibench-load-worker"]["containers"][0]["args"]
    args = spec["containers"][0]["args"]
    assert [new for old, new in zip(base, args, strict=True) if new != old] == ["--master-host=192.0.2.20"]
    worker = End("vdibench-load", only(found, "Deployment")["spec"]["template"]["metadata"]["labels"])
    assert allowed([only(found, "NetworkPolicy")], worker, End(address="192.0.2.20"), 5557)
    assert not allowed([only(found, "NetworkPolicy")], worker, End(address="192.0.2.21"), 5557)


def test_its_volume_goes_with_its_claim() -> None:
    found = built(LAB)
    kept = only(found, "StorageClass")
    assert kept["reclaimPolicy"] == "Delete"
    assert only(found, "PersistentVolumeClaim")["spec"]["storageClassName"] == kept["metadata"]["name"]


@pytest.mark.parametrize(("folder", "port"), [("load/base", 443), (LAB, 443), (LAB, TRAEFIK_PORT)])
def test_policies_let_the_load_out_to_traefik_and_nobody_in(folder: str, port: int) -> None:
    policies = [one for one in built(folder) if one["kind"] == "NetworkPolicy"]
    labels = {"app.kubernetes.io/name": "vdibench-load", "app.kubernetes.io/component": "worker"}
    worker = End("vdibench-load", labels, "10.42.0.7")
    master = End("vdibench-load", {**labels, "app.kubernetes.io/component": "master"}, "10.42.0.8")
    node, stranger = End(address="192.0.2.10"), End("default", {}, "10.42.0.9")
    assert allowed(policies, worker, node, port)
    assert allowed(policies, worker, master, 5557)
    assert not allowed(policies, stranger, master, 5557)
    assert not allowed(policies, worker, node, 22)


def test_the_image_has_all_that_a_load_needs_and_nothing_else() -> None:
    named = {canonicalize_name(name) for name in listed(MANIFESTS / "load" / "wheels.txt")}
    assert named == closure(["vdibench[load]"]) - {"vdibench"}


@pytest.mark.parametrize(
    ("load", "results"), [(LAB, RESULTS), ("load/overlays/example", "load/overlays/example/results")]
)
def test_the_reader_sees_the_master_s_volume_and_changes_nothing(load: str, results: str) -> None:
    ((_, spec),) = pod_specs(built(results))
    (container,) = spec["containers"]
    assert container["volumeMounts"] == [{"name": "results", "mountPath": "/results", "readOnly": True}]
    master = dict(pod_specs(built(load)))["vdibench-load-master"]
    assert container["image"] == master["containers"][0]["image"]
    volume = next(one for one in master["volumes"] if one["name"] == "results")
    assert spec["volumes"] == [volume]
    assert container["securityContext"] == master["containers"][0]["securityContext"]
    assert spec["securityContext"] == master["securityContext"]
