"""Capacity and evidence of a VDITemplate, as values."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from vdi_operator.api.evidence import PREFIX, Evidence, digest
from vdi_operator.api.template import Template
from vdi_operator.children.pod import made_from

SEAL, SPEC = "a1" * 32, "b2" * 32
ANNOTATIONS = {
    "run": "2026-11-29-1",
    "seal": SEAL,
    "spec": SPEC,
    "objectives": "glass_to_glass_seconds p(95) < 0.150",
    "bounds": "8..9",
    "date": "2027-01-15T08:00:00Z",
    "expires": "2027-04-15T08:00:00Z",
    "hardware": "NVIDIA L4, driver 580.65.06",
    "lab": "false",
}


def annotated(**changes: str | None) -> dict[str, str]:
    """Annotations, those with None left out."""
    return {f"{PREFIX}{name}": value for name, value in {**ANNOTATIONS, **changes}.items() if value is not None}


def template(spec: dict[str, Any] | None = None, annotations: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "metadata": {"name": "desktop", "annotations": annotations},
        "spec": {"image": "registry.example.com/desktop:1", **(spec or {})},
    }


def test_evidence_is_read_from_annotations() -> None:
    assert Template.of(template(annotations=annotated())).evidence == Evidence(
        run="2026-11-29-1",
        seal=SEAL,
        spec=SPEC,
        date_unix_seconds=1_800_000_000.0,
        expires_unix_seconds=1_807_776_000.0,
        lab=False,
        bounds=(8, 9),
        hardware="NVIDIA L4, driver 580.65.06",
    )


@pytest.mark.parametrize("annotations", [None, {}, {"vdibench.io/other": "x", "example.com/evidence-run": "y"}])
def test_a_template_without_evidence_has_none(annotations: dict[str, str] | None) -> None:
    assert Template.of(template(annotations=annotations)).evidence is None


def test_what_is_for_people_may_be_missing() -> None:
    found = Evidence.of(annotated(bounds=None, hardware=None, objectives=None))
    assert found is not None
    assert (found.bounds, found.hardware) == (None, "")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"bounds": "8.."}, (8, None)),
        ({"bounds": "1..64"}, (1, 64)),
    ],
)
def test_bounds(changes: dict[str, str], says: tuple[int, int | None]) -> None:
    found = Evidence.of(annotated(**changes))
    assert found is not None
    assert found.bounds == says


def test_a_digest_may_name_its_algorithm() -> None:
    found = Evidence.of(annotated(seal=f"sha256:{SEAL}"))
    assert found is not None
    assert found.seal == SEAL


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("run", None),
        ("run", ""),
        ("seal", "a1"),
        ("seal", "A1" * 32),
        ("spec", None),
        ("spec", f"md5:{SPEC}"),
        ("bounds", "eight"),
        ("bounds", "9"),
        ("date", "yesterday"),
        ("date", "2027-01-15"),
        ("expires", None),
        ("expires", "2027-04-15T08:00:00"),
        ("expires", "2027-13-15T08:00:00Z"),
        ("lab", None),
        ("lab", "yes"),
    ],
)
def test_what_is_wrong_is_named(name: str, value: str | None) -> None:
    with pytest.raises(ValueError, match=rf"^annotation vdibench\.io/evidence-{name} is "):
        Template.of(template(annotations=annotated(**{name: value})))


def test_a_digest_is_of_canonical_json() -> None:
    wanted = hashlib.sha256('{"a":["ä",1],"b":{"c":true,"d":null}}'.encode()).hexdigest()
    assert digest({"b": {"d": None, "c": True}, "a": ["ä", 1]}) == wanted


def test_the_digest_of_a_template_is_of_its_spec_as_it_is_stored() -> None:
    plain, other = template(), template({"egress": "none"})
    assert Template.of(plain).spec_digest == digest(plain["spec"])
    assert Template.of(other) == Template.of(plain), "it says the same"
    assert Template.of(other).spec_digest != Template.of(plain).spec_digest, "but not in the same words"


@pytest.mark.parametrize(
    "said", [{"warmSlots": 3}, {"prepull": True}, {"idleTimeout": "30m"}, {"priorityClassName": "vdi"}], ids=str
)
def test_when_desktops_run_is_no_matter_of_evidence(said: dict[str, Any]) -> None:
    plain, other = Template.of(template()), Template.of(template(said))
    assert other != plain
    assert other.spec_digest == plain.spec_digest
    assert made_from(other) == made_from(plain), "no desktop is made anew for it"


@pytest.mark.parametrize("said", [{"startDeadline": "90s"}, {"lifetime": "8h"}, {"sharedMemory": "2Gi"}], ids=str)
def test_all_else_is(said: dict[str, Any]) -> None:
    assert Template.of(template(said)).spec_digest != Template.of(template()).spec_digest


@pytest.mark.parametrize(
    ("spec", "found"), [({}, None), ({"capacity": {}}, None), ({"capacity": {"sessionsPerGPU": 8}}, 8)]
)
def test_capacity(spec: dict[str, Any], found: int | None) -> None:
    assert Template.of(template(spec)).sessions_per_gpu == found


@pytest.mark.parametrize("count", [0, 65, -1, "8", True, 8.5])
def test_a_capacity_that_is_none(count: object) -> None:
    with pytest.raises(ValueError, match=r"^spec\.capacity\.sessionsPerGPU is "):
        Template.of(template({"capacity": {"sessionsPerGPU": count}}))
