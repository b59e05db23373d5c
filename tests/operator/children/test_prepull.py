"""The DaemonSet that has nodes fetch a template's image: whole, confined, and chosen by nobody."""

from __future__ import annotations

from vdi_operator.api.template import Gpu
from vdi_operator.children.names import RESERVED_LABELS
from vdi_operator.children.prepull import DIGEST_ANNOTATION, prepull

from .samples import SETTINGS, session, template
from .samples import labels as labels_of_a_desktop

POD_LABELS = {
    "app.kubernetes.io/name": "vdi-prepull",
    "vdibench.io/template": "cad",
    "app.kubernetes.io/component": "prepull",
    "app.kubernetes.io/part-of": "vdi-platform",
}


def test_it_is_the_image_asleep_on_the_nodes_of_its_desktops() -> None:
    made = prepull(template(prepull=True), SETTINGS)
    digest = made["metadata"]["annotations"].pop(DIGEST_ANNOTATION)
    assert len(digest) == 64
    assert made == {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {
            "name": "vdi-prepull-cad",
            "namespace": "vdi-sessions",
            "labels": {**POD_LABELS, "app.kubernetes.io/managed-by": "vdi-operator"},
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
            "selector": {
                "matchLabels": {"app.kubernetes.io/name": "vdi-prepull", "vdibench.io/template": "cad"},
            },
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%"}},
            "template": {
                "metadata": {"labels": POD_LABELS},
                "spec": {
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
                    "containers": [
                        {
                            "name": "image",
                            "image": "registry.test/desktop:2.1.0",
                            "imagePullPolicy": "IfNotPresent",
                            "command": ["sleep", "infinity"],
                            "resources": {
                                "requests": {"cpu": "1m", "memory": "4Mi"},
                                "limits": {"memory": "32Mi"},
                            },
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "readOnlyRootFilesystem": True,
                                "capabilities": {"drop": ["ALL"]},
                            },
                        }
                    ],
                    "nodeSelector": {"nvidia.com/gpu.present": "true"},
                    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
                },
            },
        },
    }


def test_without_a_gpu_it_is_on_every_node() -> None:
    spec = prepull(template(gpu=None), SETTINGS)["spec"]["template"]["spec"]
    assert {"nodeSelector", "tolerations", "runtimeClassName"}.isdisjoint(spec)
    chosen = prepull(template(gpu=Gpu(node_selector={"pool": "cad"})), SETTINGS)["spec"]["template"]["spec"]
    assert chosen["nodeSelector"] == {"pool": "cad"}


def test_no_service_and_no_policy_of_a_desktop_chooses_its_pods() -> None:
    desktop, its = (
        labels_of_a_desktop("desktop"),
        prepull(template(), SETTINGS)["spec"]["template"]["metadata"]["labels"],
    )
    assert session().name == desktop["app.kubernetes.io/instance"]
    assert its["app.kubernetes.io/name"] != desktop["app.kubernetes.io/name"]
    assert {"app.kubernetes.io/instance", "app.kubernetes.io/managed-by"} & set(its) == set()
    assert set(its) - RESERVED_LABELS == {"vdibench.io/template"}


def test_a_name_that_is_no_label_still_has_one() -> None:
    made = prepull(template(name="cad.large." + "x" * 50), SETTINGS)
    for name in (made["metadata"]["name"], made["metadata"]["labels"]["vdibench.io/template"]):
        assert len(name) <= 63
        assert "." not in name


def test_its_digest_is_of_all_that_it_is() -> None:
    def digest(**changes: object) -> str:
        return str(prepull(template(**changes), SETTINGS)["metadata"]["annotations"][DIGEST_ANNOTATION])

    assert digest() == digest(lifetime_seconds=60.0)
    assert len({digest(), digest(image="other"), digest(gpu=None), digest(uid="t-2")}) == 4
