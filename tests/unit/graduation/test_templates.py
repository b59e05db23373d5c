"""A VDITemplate from what was measured: of the real manifests, whole, and of none that it cannot read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from vdi_operator.api.template import Template as OperatorsTemplate
from vdibench.clusters.rendering import Template, Wishes, for_session
from vdibench.errors import UsageError
from vdibench.graduation.templates import template_spec, vdi_template
from vdibench.records import Display, Subjects, Workload
from vdibench.selkies import Dialect

from ...operator.schemas import filled, schema, strict
from ...repository.kustomize import MANIFESTS, Object, built, edited, only

PLACEHOLDER = "nobody-yet"
COMPONENTS = "overlays/k3s/session/kustomization.yaml"
OLDER = (
    (COMPONENTS, "  - ../../../session/selkies-2\n", "  - ../../../session/selkies-1.6\n"),
    # Their metrics are those of 2.x.
    (COMPONENTS, "  - ../../../session/metrics\n", ""),
)
ANNOTATIONS = {
    "vdibench.io/evidence-run": "r",
    "vdibench.io/evidence-seal": "ab" * 32,
    "vdibench.io/evidence-spec": "cd" * 32,
    "vdibench.io/evidence-bounds": "8..",
    "vdibench.io/evidence-date": "2026-11-29T12:00:00Z",
    "vdibench.io/evidence-expires": "2027-02-27T12:00:00Z",
    "vdibench.io/evidence-hardware": "lab: AMD EPYC, 2 cores, no GPU",
    "vdibench.io/evidence-lab": "true",
}
LAB = {
    "image": "vdibench.local/desktop:2.1.0",
    "imagePullPolicy": "Never",
    "dialect": "selkies-2-webrtc",
    "encoder": "h264enc",
    "hardwareEncoding": False,
    "display": {"width": 1920, "height": 1080, "framerate": 60, "bitrate": 8_000_000},
    "gpu": {"count": 1, "resource": "nvidia.com/gpu", "runtimeClassName": "", "nodeSelector": {}},
    "sharedMemory": "1Gi",
    "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "4Gi"}},
    "home": {"storageClassName": "vdi-home", "size": "20Gi"},
    "egress": "none",
    "startDeadline": "60s",
    "capacity": {"sessionsPerGPU": 3},
}
K3S = {
    **LAB,
    "image": f"registry.example.com/vdi/desktop@sha256:{'0' * 64}",
    "imagePullPolicy": "IfNotPresent",
    "hardwareEncoding": True,
    "gpu": {
        "count": 1,
        "resource": "nvidia.com/gpu",
        "runtimeClassName": "nvidia",
        "nodeSelector": {"nvidia.com/gpu.present": "true"},
    },
    "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "4Gi"}},
}


def of(session: list[Object], objects: list[Object] | None = None) -> Subjects:
    """A run of these objects, whose user does not exist."""
    return Subjects(
        lab=True,
        overlay="lab/session",
        platform="lab",
        placeholder=PLACEHOLDER,
        session=tuple(json.loads(json.dumps(session).replace("alice", PLACEHOLDER))),
        objects=tuple(objects or ()),
    )


def spec(session: list[Object], objects: list[Object] | None = None, fit: int | None = 3) -> Object:
    return template_spec(of(session, objects), sessions_per_gpu=fit)


@pytest.mark.parametrize(("overlay", "wanted"), [("lab", LAB), ("k3s", K3S)])
def test_it_is_what_the_manifests_say(overlay: str, wanted: Object) -> None:
    assert spec(built(f"overlays/{overlay}/session"), built(f"overlays/{overlay}")) == wanted


def test_selkies_1_has_no_mode(tmp_path: Path) -> None:
    made = spec(edited(tmp_path, "overlays/k3s/session", *OLDER))
    assert (made["dialect"], made["encoder"]) == ("selkies-1-webrtc", "nvh264enc")
    assert {**made, "dialect": LAB["dialect"], "encoder": LAB["encoder"]} == K3S


def test_it_is_what_was_measured_where_a_measurement_says_otherwise() -> None:
    """Size, rate and bit rate as targets set them on pods; the measuring desk is nothing of a template."""
    template = Template(tuple(built("overlays/lab/session")), "vdi.test", "10.244.0.1")
    wishes = Wishes(1, Display(1280, 720, 30), Workload.TEXT, 4_000_000, Dialect.SELKIES_2_WEBSOCKET)
    made = spec(for_session(template, "alice", wishes))
    assert made["display"] == {"width": 1280, "height": 720, "framerate": 30, "bitrate": 4_000_000}
    assert made["dialect"] == "selkies-2-websocket"
    assert {**made, "display": LAB["display"], "dialect": LAB["dialect"]} == LAB


@pytest.mark.parametrize("overlay", ["lab", "k3s"])
def test_an_api_server_adds_nothing(overlay: str) -> None:
    made = spec(built(f"overlays/{overlay}/session"))
    known = schema("VDITemplate")["properties"]["spec"]
    assert filled(known, made) == made
    # A life has no default, and capacity is said only where it was measured. The rest makes no desktop.
    choices = {"lifetime", "idleTimeout", "warmSlots", "prepull", "priorityClassName"}
    assert set(known["properties"]) - choices - {"capacity"} == set(made) - {"capacity"}


@pytest.mark.parametrize("overlay", ["lab", "k3s"])
def test_it_is_a_template_to_the_operator(overlay: str) -> None:
    measured = of(built(f"overlays/{overlay}/session"))
    made = vdi_template(measured, name="cad", sessions_per_gpu=None, annotations=ANNOTATIONS)
    checker = jsonschema.Draft202012Validator(strict(schema("VDITemplate")))
    assert [error.message for error in checker.iter_errors(made)] == []
    read = OperatorsTemplate.of(made)
    assert (read.name, read.image) == ("cad", made["spec"]["image"])
    assert read.start_deadline_seconds == OperatorsTemplate("", "", 0, "").start_deadline_seconds
    assert read.evidence is not None
    assert (read.evidence.run, read.evidence.bounds, read.evidence.lab) == ("r", (8, None), True)
    assert made["metadata"] == {"name": "cad", "annotations": ANNOTATIONS}
    assert (made["apiVersion"], made["kind"]) == ("vdibench.io/v1alpha1", "VDITemplate")


def test_the_web_is_open_where_the_platform_opened_it() -> None:
    way = yaml.safe_load((MANIFESTS / "security" / "internet-egress" / "allow-session-to-internet.yaml").read_text())
    session = built("overlays/k3s/session")
    assert spec(session, [*built("overlays/k3s"), way])["egress"] == "internet"
    assert spec(session, built("overlays/k3s"))["egress"] == "none"


def test_a_desktop_without_a_slice_encodes_in_software() -> None:
    session = built("overlays/k3s/session")
    pod = only(session, "Pod")
    del pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]
    for name in ("runtimeClassName", "nodeSelector"):
        del pod["spec"][name]
    made = spec(session)
    assert made["gpu"] == {"count": 0, "resource": "nvidia.com/gpu", "runtimeClassName": "", "nodeSelector": {}}
    assert made["hardwareEncoding"] is False
    assert filled(schema("VDITemplate")["properties"]["spec"], made) == made


def test_a_slice_keeps_its_name() -> None:
    session = built("overlays/lab/session")
    limits = only(session, "Pod")["spec"]["containers"][0]["resources"]["limits"]
    limits["nvidia.com/gpu.shared"] = limits.pop("nvidia.com/gpu")
    assert spec(session)["gpu"]["resource"] == "nvidia.com/gpu.shared"


def test_where_nothing_was_asked_of_density_nothing_is_said() -> None:
    assert "capacity" not in spec(built("overlays/lab/session"), fit=None)


def test_none_that_fits_is_no_template() -> None:
    with pytest.raises(UsageError, match=r"capacity\.sessionsPerGPU"):
        spec(built("overlays/lab/session"), fit=0)


@pytest.mark.parametrize("name", ["", "Desk Top", "-cad", "a" * 64, "x\n"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is no name of a template"):
        vdi_template(of(built("overlays/lab/session")), name=name, sessions_per_gpu=1, annotations={})


def set_variable(name: str, value: str | None) -> Callable[[list[Object]], None]:
    def change(session: list[Object]) -> None:
        desktop = only(session, "Pod")["spec"]["containers"][0]
        desktop["env"] = [one for one in desktop["env"] if one["name"] != name]
        if value is not None:
            desktop["env"].append({"name": name, "value": value})

    return change


def drop(kind: str, *way: Any) -> Callable[[list[Object]], None]:
    def change(session: list[Object]) -> None:
        place: Any = only(session, kind)
        for step in way[:-1]:
            place = place[step]
        del place[way[-1]]

    return change


def limit(name: str, amount: Any) -> Callable[[list[Object]], None]:
    def change(session: list[Object]) -> None:
        only(session, "Pod")["spec"]["containers"][0]["resources"]["limits"][name] = amount

    return change


def without(kind: str) -> Callable[[list[Object]], None]:
    def change(session: list[Object]) -> None:
        session.remove(only(session, kind))

    return change


DESKTOP = ("spec", "containers", 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (set_variable("SELKIES_MODE", "both"), "SELKIES_MODE is 'both'"),
        (set_variable("SELKIES_ENCODER", None), "SELKIES_ENCODER"),
        (set_variable("SELKIES_ENCODER", ""), "SELKIES_ENCODER"),
        (set_variable("SELKIES_FRAMERATE", None), "SELKIES_FRAMERATE"),
        (set_variable("SELKIES_FRAMERATE", "30-60"), "SELKIES_FRAMERATE is '30-60'"),
        (set_variable("SELKIES_VIDEO_BITRATE", "fast"), "SELKIES_VIDEO_BITRATE is 'fast'"),
        (set_variable("SCREEN", "wide"), "SCREEN is 'wide'"),
        (limit("nvidia.com/gpu", 2), "2 of nvidia.com/gpu"),
        (limit("example.com/other", 1), "1 of example.com/other, 1 of nvidia.com/gpu"),
        (drop("Pod", *DESKTOP, "image"), "has no image"),
        (drop("Pod", *DESKTOP, "resources", "requests", "cpu"), r"resources\.requests\.cpu"),
        (drop("Pod", *DESKTOP, "resources", "limits", "memory"), r"resources\.limits\.memory"),
        (drop("Pod", *DESKTOP, "env"), "env"),
        (drop("Pod", *DESKTOP, "volumeMounts", 0), "/dev/shm"),
        (drop("Pod", "spec", "volumes", 0), "of name shm"),
        (drop("Pod", "spec", "volumes", 0, "emptyDir", "sizeLimit"), r"emptyDir\.sizeLimit"),
        (drop("Pod", "spec", "containers", 0), "of name desktop"),
        (drop("PersistentVolumeClaim", "spec", "storageClassName"), r"spec\.storageClassName"),
        (drop("PersistentVolumeClaim", "spec", "resources"), r"spec\.resources\.requests\.storage"),
        (without("PersistentVolumeClaim"), "0 objects of kind PersistentVolumeClaim"),
        (without("Pod"), "0 objects of kind Pod"),
    ],
)
def test_what_it_cannot_read_it_names(change: Callable[[list[Object]], None], said: str) -> None:
    session = built("overlays/lab/session")
    change(session)
    with pytest.raises(UsageError, match=said) as raised:
        spec(session)
    assert raised.value.remedy == "write it into the session's manifests and measure again"
