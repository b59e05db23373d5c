"""The pod that keeps a place warm, whole; and what it says that it was made as."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vdi_operator.api.template import Dialect, Gpu
from vdi_operator.children import names
from vdi_operator.children.placeholder import placeholder
from vdi_operator.children.pod import pod
from vdi_operator.settings import Settings

from .samples import RELAY, Object, session, template

SETTINGS = Settings(placeholder_priority_class="vdi-placeholder")


def made(settings: Settings = SETTINGS, **changes: Any) -> Object:
    return placeholder(template(warm_slots=2, **changes), settings)


def made_as(one: Object) -> str:
    return str(one["metadata"]["annotations"]["vdibench.io/placeholder"])


def test_it_is_the_image_asleep_with_what_a_desktop_asks_for() -> None:
    one = made()
    assert len(one["metadata"]["annotations"].pop("vdibench.io/placeholder")) == 64
    assert one == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "vdi-placeholder-cad-",
            "namespace": "vdi-sessions",
            "labels": {
                "app.kubernetes.io/name": "vdi-placeholder",
                "app.kubernetes.io/component": "placeholder",
                "app.kubernetes.io/part-of": "vdi-platform",
                "app.kubernetes.io/managed-by": "vdi-operator-placeholders",
                "vdibench.io/template": "cad",
            },
            "annotations": {},
            "ownerReferences": [
                {
                    "apiVersion": "vdibench.io/v1alpha1",
                    "kind": "VDITemplate",
                    "name": "cad",
                    "uid": "t-1",
                    "controller": True,
                }
            ],
        },
        "spec": {
            "priorityClassName": "vdi-placeholder",
            "preemptionPolicy": "Never",
            "serviceAccountName": "vdi-session",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "runAsGroup": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "runtimeClassName": "nvidia",
            "nodeSelector": {"nvidia.com/gpu.present": "true"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "containers": [
                {
                    "name": "placeholder",
                    "image": "registry.test/desktop:2.1.0",
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", "trap 'exit 0' TERM INT; sleep infinity & wait"],
                    "resources": {
                        "requests": {"cpu": "500m", "memory": "1Gi"},
                        "limits": {"memory": "4Gi", "nvidia.com/gpu": "1"},
                    },
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }


@pytest.mark.parametrize("gpu", [None, Gpu(), Gpu(resource="lab.test/slice", runtime_class="", node_selector={})])
def test_a_desktop_fits_where_it_was(gpu: Gpu | None) -> None:
    of = template(gpu=gpu, requests={"cpu": "3", "memory": "5Gi"})
    one, desktop = placeholder(of, SETTINGS), pod(session(), of, SETTINGS, (RELAY,))
    for key in ("runtimeClassName", "nodeSelector", "tolerations"):
        assert one["spec"].get(key) == desktop["spec"].get(key)
    (asleep,), (awake,) = one["spec"]["containers"], desktop["spec"]["containers"]
    assert asleep["resources"] == awake["resources"]
    assert (asleep["image"], asleep["imagePullPolicy"]) == (awake["image"], awake["imagePullPolicy"])


def test_no_service_and_no_watch_of_sessions_chooses_it() -> None:
    found = made()["metadata"]["labels"]
    assert names.INSTANCE_LABEL not in found
    assert not names.selector(session()).items() <= found.items()
    assert found["app.kubernetes.io/managed-by"] != names.MANAGER


@pytest.mark.parametrize(
    "changes",
    [
        {"image": "registry.test/desktop:2.2.0"},
        {"image_pull_policy": "Always"},
        {"requests": {"cpu": "1", "memory": "1Gi"}},
        {"limits": {"memory": "8Gi"}},
        {"gpu": None},
        {"uid": "t-2"},
    ],
    ids=str,
)
def test_what_a_template_changes_of_it_makes_it_another_one(changes: dict[str, Any]) -> None:
    assert made_as(made(**changes)) != made_as(made())


@pytest.mark.parametrize(
    "changes", [{"generation": 4}, {"sessions_per_gpu": 4}, {"dialect": Dialect.SELKIES_2_WEBSOCKET}], ids=str
)
def test_what_it_does_not_have_does_not(changes: dict[str, Any]) -> None:
    assert made_as(made(**changes)) == made_as(made())
    assert made_as(placeholder(template(warm_slots=5), SETTINGS)) == made_as(made())


def test_another_class_makes_it_another_one() -> None:
    assert made_as(made(replace(SETTINGS, placeholder_priority_class="lowest"))) != made_as(made())


def test_a_long_name_still_fits() -> None:
    one = made(name="desktop.with-a-very-long-name." + "x" * 30)
    name = one["metadata"]["generateName"]
    # Five characters come to it, and a container's host name is a label.
    assert len(name) <= 253 - 5
    assert name.startswith("vdi-placeholder-desktop-with-a-very-long-name")
    assert len(one["metadata"]["labels"]["vdibench.io/template"]) <= 63
