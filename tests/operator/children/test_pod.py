"""The pod, whole, for each dialect; and what a template changes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vdi_operator.api.session import HomePolicy
from vdi_operator.api.template import Dialect, Display, Gpu, Home
from vdi_operator.children.names import RESERVED_LABELS, TEMPLATE_ANNOTATION, selector
from vdi_operator.children.pod import made_from, pod

from .samples import MINTED, RELAY, SETTINGS, Object, metadata, session, template

NVIDIA = {"name": "NVIDIA_DRIVER_CAPABILITIES", "value": "compute,display,graphics,utility,video"}
LISTENING = [
    {"name": "SELKIES_ADDR", "value": "0.0.0.0"},
    {"name": "SELKIES_PORT", "value": "8080"},
    {"name": "SELKIES_ENABLE_BASIC_AUTH", "value": "true"},
    {"name": "SELKIES_BASIC_AUTH_USER", "value": "user"},
    {
        "name": "SELKIES_BASIC_AUTH_PASSWORD",
        "valueFrom": {"secretKeyRef": {"name": "vdi-session-auth-cad-7", "key": "password"}},
    },
    {"name": "SELKIES_FRAMERATE", "value": "60"},
    {"name": "SELKIES_VIDEO_BITRATE", "value": "8000"},
    {"name": "SELKIES_ENABLE_METRICS_HTTP", "value": "true"},
]
SCREEN = {"name": "SCREEN", "value": "1920x1080"}
RELAYED = [
    {"name": "SELKIES_TURN_HOST", "value": "192.0.2.10"},
    {"name": "SELKIES_TURN_PORT", "value": "3478"},
    {"name": "SELKIES_STUN_HOST", "value": "192.0.2.10"},
    {"name": "SELKIES_STUN_PORT", "value": "3478"},
]
ENVIRONMENTS: dict[Dialect, list[Object]] = {
    Dialect.SELKIES_1_WEBRTC: [
        NVIDIA,
        {"name": "SELKIES_ENCODER", "value": "nvh264enc"},
        {"name": "SELKIES_RTC_CONFIG_JSON", "value": "/run/user/rtc.json"},
        {"name": "SELKIES_JSON_CONFIG", "value": "/run/user/selkies.json"},
        {"name": "SELKIES_METRICS_HTTP_PORT", "value": "8000"},
        *LISTENING,
        *RELAYED,
        SCREEN,
    ],
    Dialect.SELKIES_2_WEBRTC: [
        NVIDIA,
        {"name": "SELKIES_MODE", "value": "webrtc"},
        {"name": "SELKIES_ENCODER", "value": "h264enc"},
        {"name": "SELKIES_RTC_CONFIG_JSON", "value": "/run/user/rtc.json"},
        *LISTENING,
        *RELAYED,
        SCREEN,
    ],
    Dialect.SELKIES_2_WEBSOCKET: [
        NVIDIA,
        {"name": "SELKIES_MODE", "value": "websockets"},
        {"name": "SELKIES_ENCODER", "value": "h264enc"},
        {"name": "SELKIES_RTC_CONFIG_JSON", "value": "/run/user/rtc.json"},
        *LISTENING,
        SCREEN,
    ],
}
HEALTH = {"httpGet": {"path": "/api/health", "port": "http"}}
PROBES: dict[Dialect, Object] = {
    Dialect.SELKIES_1_WEBRTC: {"tcpSocket": {"port": "http"}},
    Dialect.SELKIES_2_WEBRTC: HEALTH,
    Dialect.SELKIES_2_WEBSOCKET: HEALTH,
}
MOUNTS: list[Object] = [
    {"name": "shm", "mountPath": "/dev/shm"},
    {"name": "tmp", "mountPath": "/tmp"},
    {"name": "run", "mountPath": "/run/user"},
    {"name": "home", "mountPath": "/home/user"},
]
VOLUMES: list[Object] = [
    {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
    {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "256Mi"}},
    {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
    {"name": "home", "persistentVolumeClaim": {"claimName": "vdi-home-alice"}},
]
RTC_MOUNT: Object = {"name": "rtc", "mountPath": "/run/rtc", "readOnly": True}
RTC_VOLUME: Object = {"name": "rtc", "secret": {"secretName": "vdi-session-rtc-cad-7", "defaultMode": 0o440}}


def made(**changes: Any) -> Object:
    return pod(session(), template(**changes), SETTINGS, (RELAY,), *MINTED.values())


def container(**changes: Any) -> Object:
    (found,) = made(**changes)["spec"]["containers"]
    return dict(found)


def variables(**changes: Any) -> dict[str, str]:
    return {one["name"]: one.get("value", "") for one in container(**changes)["env"]}


@pytest.mark.parametrize("dialect", list(Dialect))
def test_the_pod_of_a_dialect(dialect: Dialect) -> None:
    relayed = dialect is not Dialect.SELKIES_2_WEBSOCKET
    ask = PROBES[dialect]
    assert made(dialect=dialect) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **metadata("vdi-session-cad-7", "desktop"),
            "annotations": {"vdibench.io/made-from": "t-1/0123456789abcdef", **MINTED},
        },
        "spec": {
            "serviceAccountName": "vdi-session",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 10,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "runAsGroup": 1000,
                "fsGroup": 1000,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "runtimeClassName": "nvidia",
            "nodeSelector": {"nvidia.com/gpu.present": "true"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "containers": [
                {
                    "name": "desktop",
                    "image": "registry.test/desktop:2.1.0",
                    "imagePullPolicy": "IfNotPresent",
                    "ports": [{"name": "http", "containerPort": 8080}],
                    "env": ENVIRONMENTS[dialect],
                    "resources": {
                        "requests": {"cpu": "500m", "memory": "1Gi"},
                        "limits": {"memory": "4Gi", "nvidia.com/gpu": "1"},
                    },
                    "startupProbe": {**ask, "periodSeconds": 1, "failureThreshold": 60},
                    "readinessProbe": {**ask, "periodSeconds": 1},
                    "livenessProbe": {**ask, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [*MOUNTS, RTC_MOUNT] if relayed else MOUNTS,
                }
            ],
            "volumes": [*VOLUMES, RTC_VOLUME] if relayed else VOLUMES,
        },
    }


def test_without_a_gpu_nothing_asks_for_one() -> None:
    found = made(gpu=None)
    assert not {"runtimeClassName", "nodeSelector", "tolerations"} & set(found["spec"])
    assert container(gpu=None)["resources"]["limits"] == {"memory": "4Gi"}
    assert "NVIDIA_DRIVER_CAPABILITIES" not in variables(gpu=None)


def test_a_slice_without_runtime_and_nodes_is_only_counted() -> None:
    counted = Gpu("example.test/slice", runtime_class="", node_selector={})
    found = made(gpu=counted)
    assert not {"runtimeClassName", "nodeSelector", "tolerations"} & set(found["spec"])
    assert container(gpu=counted)["resources"]["limits"] == {"memory": "4Gi", "example.test/slice": "1"}
    assert "NVIDIA_DRIVER_CAPABILITIES" not in variables(gpu=counted)


def test_the_runtime_may_be_the_nodes_default() -> None:
    default = Gpu(runtime_class="")
    assert "runtimeClassName" not in made(gpu=default)["spec"]
    assert made(gpu=default)["spec"]["tolerations"]
    assert variables(gpu=default)["NVIDIA_DRIVER_CAPABILITIES"] == NVIDIA["value"]


def test_a_part_of_a_gpu_tolerates_the_taint_of_gpu_nodes() -> None:
    part = Gpu("nvidia.com/mig-1g.10gb")
    assert container(gpu=part)["resources"]["limits"] == {"memory": "4Gi", "nvidia.com/mig-1g.10gb": "1"}
    assert made(gpu=part)["spec"]["tolerations"][0]["key"] == "nvidia.com/gpu"


def test_a_template_says_what_is_seen() -> None:
    found = variables(encoder="av1enc", display=Display(2560, 1440, 30, 12_500_000))
    assert found["SELKIES_ENCODER"] == "av1enc"
    assert found["SELKIES_FRAMERATE"] == "30"
    assert found["SELKIES_VIDEO_BITRATE"] == "12500"
    assert found["SCREEN"] == "2560x1440"
    assert variables()["SCREEN"] == "1920x1080", "said, be it an image's own size"


def test_a_template_says_what_is_used() -> None:
    found = made(
        image_pull_policy="Never",
        shared_memory="2Gi",
        requests={"cpu": "50m"},
        limits={"memory": "6Gi", "cpu": "4"},
        home=Home("fast", "5Gi"),
    )
    (desktop,) = found["spec"]["containers"]
    assert desktop["imagePullPolicy"] == "Never"
    assert desktop["resources"] == {
        "requests": {"cpu": "50m"},
        "limits": {"memory": "6Gi", "cpu": "4", "nvidia.com/gpu": "1"},
    }
    assert found["spec"]["volumes"][0]["emptyDir"]["sizeLimit"] == "2Gi"


def test_building_changes_no_template() -> None:
    limits, requests = {"memory": "4Gi"}, {"cpu": "1"}
    one = template(limits=limits, requests=requests)
    built = pod(session(), one, SETTINGS, (RELAY,))
    built["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "9"
    built["spec"]["nodeSelector"]["a"] = "b"
    assert (limits, requests) == ({"memory": "4Gi"}, {"cpu": "1"})
    assert pod(session(), one, SETTINGS, (RELAY,)) != built


@pytest.mark.parametrize("dialect", [Dialect.SELKIES_1_WEBRTC, Dialect.SELKIES_2_WEBRTC])
def test_no_desktop_is_left_to_a_public_relay(dialect: Dialect) -> None:
    with pytest.raises(ValueError, match="no address of a relay"):
        pod(session(), template(dialect=dialect), SETTINGS, ())


def test_web_sockets_want_no_relay() -> None:
    with_one, without = (
        pod(session(), template(dialect=Dialect.SELKIES_2_WEBSOCKET), SETTINGS, relays) for relays in ((RELAY,), ())
    )
    assert with_one == without


def test_the_first_relay_is_named_at_its_port() -> None:
    found = pod(session(), template(), replace(SETTINGS, relay_port=5000), ("2001:db8::7", RELAY))
    values = {one["name"]: one.get("value") for one in found["spec"]["containers"][0]["env"]}
    assert (values["SELKIES_TURN_HOST"], values["SELKIES_TURN_PORT"]) == ("2001:db8::7", "5000")
    assert (values["SELKIES_STUN_HOST"], values["SELKIES_STUN_PORT"]) == ("2001:db8::7", "5000")


@pytest.mark.parametrize("dialect", list(Dialect))
def test_no_value_is_empty(dialect: Dialect) -> None:
    """2.x takes an empty value for its default."""
    (desktop,) = made(dialect=dialect)["spec"]["containers"]
    assert [one["name"] for one in desktop["env"] if not one.get("value", one.get("valueFrom"))] == []
    assert len({one["name"] for one in desktop["env"]}) == len(desktop["env"])


def test_the_annotation_tells_another_template_from_this_one() -> None:
    pods = [made(), made(spec_digest="b" * 64), made(uid="t-2")]
    assert len({one["metadata"]["annotations"][TEMPLATE_ANNOTATION] for one in pods}) == 3
    assert made()["metadata"]["annotations"][TEMPLATE_ANNOTATION] == made_from(template(image="another"))


def test_a_pod_whose_password_nobody_noted_has_no_note() -> None:
    noted, noteless = made(), pod(session(), template(), SETTINGS, (RELAY,))
    assert list(noteless["metadata"]["annotations"]) == [TEMPLATE_ANNOTATION]
    noteless["metadata"]["annotations"] |= MINTED
    assert noteless == noted, "and nothing else is different"


def test_the_labels_are_those_that_a_service_chooses_by_and_no_other() -> None:
    found = made()["metadata"]["labels"]
    assert selector(session()).items() <= found.items()
    assert set(found) <= RESERVED_LABELS


def test_the_account_of_sessions_is_the_sites() -> None:
    found = pod(session(), template(), replace(SETTINGS, service_account="other"), (RELAY,))
    assert found["spec"]["serviceAccountName"] == "other"


def test_a_priority_class_is_the_templates() -> None:
    assert made(priority_class="cad-first")["spec"]["priorityClassName"] == "cad-first"
    assert "priorityClassName" not in made()["spec"], "else a default class would not be the cluster's"


def test_a_fresh_home_is_mounted_in_the_place_of_the_own_one() -> None:
    own, fresh = (pod(session(home_policy=policy), template(), SETTINGS, (RELAY,)) for policy in HomePolicy)
    for one, claim in ((own, "vdi-home-alice"), (fresh, "vdi-fresh-home-alice")):
        (home,) = (volume for volume in one["spec"]["volumes"] if volume["name"] == "home")
        assert home["persistentVolumeClaim"] == {"claimName": claim}
        home["persistentVolumeClaim"] = {}
    assert own == fresh, "and nothing else is different"
