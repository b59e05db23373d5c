"""Whatever is changed of a graduated chart is found, and named."""

from __future__ import annotations

import base64
import copy
import dataclasses
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from vdibench.errors import UsageError
from vdibench.graduation.digests import chart_digests
from vdibench.graduation.findings import Finding
from vdibench.graduation.inspection import ORDER, inspect
from vdibench.graduation.statement import canonical, evidence_annotations, statement
from vdibench.graduation.verification import Current

from .graduated_charts import (
    CHART_FILES,
    DAY,
    DIGEST,
    ENDED,
    IMAGE,
    POLICY,
    SPEC,
    Graduation,
    Shown,
    a_verdict,
    dumped,
    key_pair,
    objective,
    packaged,
    put,
    subjects,
)

NOW = ENDED + DAY
PARTS = ("network", "security", "session", "storage", "templates")
COVERED = sorted([*CHART_FILES, *(f"graduated/{name}.yaml" for name in PARTS)])
EVIDENCE, ENVELOPE = "graduated/evidence.json", "graduated/evidence.dsse.json"


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return key_pair(tmp_path / "keys")


@pytest.fixture
def chart(tmp_path: Path, keys: tuple[Path, Path]) -> Path:
    return Graduation(key=keys[0]).write(tmp_path / "vdi-operator")


def kinds(found: tuple[Finding, ...]) -> set[str]:
    return {one.kind for one in found}


def causes(found: tuple[Finding, ...], kind: str) -> list[str]:
    return [one.cause for one in found if one.kind == kind]


def now_have(**changes: Any) -> Current:
    known: dict[str, Any] = {"session": subjects().session, "objects": subjects().objects}
    return Current(**{**copy.deepcopy(known), **changes})


def edit_evidence(chart: Path, change: Callable[[Any], object]) -> None:
    """As somebody does who knows how it is written."""
    document = json.loads((chart / EVIDENCE).read_bytes())
    change(document)
    put(chart / EVIDENCE, canonical(document))


def edit_yaml(path: Path, change: Callable[[Any], object]) -> None:
    document = yaml.safe_load(path.read_bytes())
    change(document)
    put(path, dumped(document))


def cover(chart: Path) -> None:
    """Make the evidence speak of the chart's files as they are now."""
    files = {one.relative_to(chart).as_posix(): one.read_bytes() for one in chart.rglob("*") if one.is_file()}

    def change(document: dict[str, Any]) -> None:
        document["subject"] = statement(document["predicate"], chart=chart_digests(files))["subject"]

    edit_evidence(chart, change)


def test_a_chart_as_it_was_graduated_has_nothing_against_it(
    chart: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    package = packaged(chart, tmp_path / "vdi-operator-0.1.0.tgz")
    for one in (chart, package):
        assert inspect(one, now=NOW) == ()
        assert inspect(one, public_key=keys[1], current=now_have(), now=NOW) == ()


def test_a_chart_of_unknown_density_has_nothing_against_it(tmp_path: Path) -> None:
    spec = {key: value for key, value in SPEC.items() if key != "capacity"}
    chart = Graduation(capacity=None, spec=spec).write(tmp_path / "vdi-operator")
    assert inspect(chart, now=NOW) == ()


def test_a_chart_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no chart"):
        inspect(tmp_path / "none", now=NOW)


# the files


@pytest.mark.parametrize("path", COVERED)
def test_a_changed_file_is_named(chart: Path, path: str) -> None:
    put(chart / path, (chart / path).read_bytes() + b"\n# more\n")
    assert f"{path} was changed after it was graduated" in causes(inspect(chart, now=NOW), "chart")


@pytest.mark.parametrize("path", COVERED)
def test_a_missing_file_is_named(chart: Path, path: str) -> None:
    (chart / path).unlink()
    assert f"{path} is missing from the chart" in causes(inspect(chart, now=NOW), "chart")


@pytest.mark.parametrize(
    "path",
    ["templates/more.yaml", "graduated/more.yaml", "graduated/evidence-2.json", ".hidden", "charts/sub/Chart.yaml"],
)
def test_an_added_file_is_named(chart: Path, path: str) -> None:
    put(chart / path, b"[]\n")
    assert causes(inspect(chart, now=NOW), "chart") == [f"{path} was added to the chart after it was graduated"]


def test_a_file_that_moved_is_missing_and_added(chart: Path) -> None:
    (chart / "values.yaml").rename(chart / "values.yml")
    assert causes(inspect(chart, now=NOW), "chart") == [
        "values.yaml is missing from the chart",
        "values.yml was added to the chart after it was graduated",
    ]


def test_a_link_in_the_place_of_a_file_is_named(chart: Path, tmp_path: Path) -> None:
    (chart / "values.yaml").rename(tmp_path / "values.yaml")
    (chart / "values.yaml").symlink_to(tmp_path / "values.yaml")
    assert "values.yaml is a link" in causes(inspect(chart, now=NOW), "chart")


def test_an_archive_that_leads_out_is_named(chart: Path, tmp_path: Path) -> None:
    put(tmp_path / "evil.yaml", b"kind: Secret\n")
    package = tmp_path / "chart.tgz"
    with tarfile.open(package, "w:gz") as made:
        made.add(chart, "vdi-operator")
        made.add(tmp_path / "evil.yaml", "vdi-operator/../../evil.yaml")
    assert causes(inspect(package, now=NOW), "chart") == [
        "vdi-operator/../../evil.yaml is no plain path into the chart"
    ]


def test_a_changed_archive_is_found(chart: Path, tmp_path: Path) -> None:
    put(chart / "values.yaml", b"requireEvidence: false\n")
    package = packaged(chart, tmp_path / "chart.tgz")
    assert causes(inspect(package, now=NOW), "chart") == ["values.yaml was changed after it was graduated"]


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chart for many examples: each leaves it as it was."""
    return Graduation().write(tmp_path_factory.mktemp("lasting") / "vdi-operator")


@settings(deadline=None, max_examples=80)
@given(path=st.sampled_from([one for one in COVERED if one != "templates/empty.yaml"]), data=st.data())
def test_any_byte_of_any_covered_file_counts(lasting: Path, path: str, data: st.DataObject) -> None:
    whole = (lasting / path).read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1), "place")
    flipped = bytearray(whole)
    flipped[place] ^= data.draw(st.integers(1, 255), "mask")
    put(lasting / path, bytes(flipped))
    try:
        found = inspect(lasting, now=NOW)
    finally:
        put(lasting / path, whole)
    assert f"{path} was changed after it was graduated" in causes(found, "chart")


# templates


def test_an_edited_spec_is_named(chart: Path) -> None:
    edit_yaml(chart / "graduated/templates.yaml", lambda all_: all_[0]["spec"].update(image="registry.example.com/x"))
    found = inspect(chart, now=NOW)
    assert kinds(found) == {"chart", "template"}
    (cause,) = causes(found, "template")
    assert cause.startswith("VDITemplate desktop: annotation vdibench.io/evidence-spec is '")
    assert cause.endswith("one of them was edited")


def test_more_sessions_than_were_shown_are_named(chart: Path) -> None:
    edit_yaml(chart / "graduated/templates.yaml", lambda all_: all_[0]["spec"]["capacity"].update(sessionsPerGPU=12))
    cover(chart)
    assert "VDITemplate desktop: capacity.sessionsPerGPU is 12, and the run showed 8" in causes(
        inspect(chart, now=NOW), "template"
    )


@pytest.mark.parametrize("name", ["run", "seal", "spec", "objectives", "bounds", "date", "expires", "hardware", "lab"])
@pytest.mark.parametrize("value", ["other", None])
def test_an_edited_annotation_is_named(chart: Path, name: str, value: str | None) -> None:
    key = f"vdibench.io/evidence-{name}"

    def change(all_: Any) -> None:
        del all_[0]["metadata"]["annotations"][key]
        if value is not None:
            all_[0]["metadata"]["annotations"][key] = value

    edit_yaml(chart / "graduated/templates.yaml", change)
    cover(chart)
    (cause,) = causes(inspect(chart, now=NOW), "template")
    assert cause.startswith(f"VDITemplate desktop: annotation {key} is {'missing' if value is None else repr(value)}")


def test_an_annotation_that_is_not_evidence_s_is_named_where_it_reads_like_it(chart: Path) -> None:
    def change(all_: Any) -> None:
        all_[0]["metadata"]["annotations"] |= {"vdibench.io/evidence-approved": "alice", "team": "desktops"}

    edit_yaml(chart / "graduated/templates.yaml", change)
    cover(chart)
    (cause,) = causes(inspect(chart, now=NOW), "template")
    assert "evidence-approved is 'alice', of which the evidence says nothing" in cause


def test_a_template_without_evidence_beside_one_with_it_is_named(chart: Path) -> None:
    def change(all_: Any) -> None:
        all_.append({"kind": "VDITemplate", "metadata": {"name": "free"}, "spec": SPEC})

    edit_yaml(chart / "graduated/templates.yaml", change)
    cover(chart)
    said = causes(inspect(chart, now=NOW), "template")
    assert len(said) == 9
    assert all(cause.startswith("VDITemplate free: annotation vdibench.io/evidence-") for cause in said)


@pytest.mark.parametrize("data", [b"", b"[]\n", b"{}\n", b"- a\n", b"{", b"- &a [*a]\n", b"- {day: 2026-11-29}\n"])
def test_a_file_of_no_templates_is_named(chart: Path, data: bytes) -> None:
    put(chart / "graduated/templates.yaml", data)
    cover(chart)
    assert causes(inspect(chart, now=NOW), "template") == ["graduated/templates.yaml has no list of VDITemplates"]


@pytest.mark.parametrize(
    "other", [{"kind": "Pod", "spec": {}}, {"kind": "VDITemplate"}, {"kind": "VDITemplate", "spec": []}]
)
def test_what_is_no_template_is_named(chart: Path, other: Mapping[str, Any]) -> None:
    put(chart / "graduated/templates.yaml", dumped([other]))
    cover(chart)
    assert "which is no VDITemplate" in causes(inspect(chart, now=NOW), "template")[0]


# evidence


def test_a_chart_without_evidence_is_not_graduated(chart: Path) -> None:
    (chart / EVIDENCE).unlink()
    found = inspect(chart, now=NOW)
    assert kinds(found) == {"evidence"}
    assert "has no graduated/evidence.json" in found[0].cause


@pytest.mark.parametrize("data", [b"", b"{", b"{}\n", b"[]\n", b"\xff"])
def test_damaged_evidence_is_named(tmp_path: Path, data: bytes) -> None:
    chart = Graduation().write(tmp_path / "vdi-operator")
    put(chart / EVIDENCE, data)
    assert kinds(inspect(chart, now=NOW)) == {"evidence"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda p: p["capacity"].update(sessionsPerGPU=9), {"evidence", "template"}),
        (lambda p: p["capacity"].update(sessionsPerGPU=7), {"template"}),
        (lambda p: p["capacity"].update(upper=None), {"template"}),
        (lambda p: p["capacity"].update(upper=7), {"evidence", "template"}),
        (lambda p: p["run"].update(name="20260101T000000Z-pipeline-smoke"), {"evidence", "template"}),
        (lambda p: p["run"].update(sealSha256="00" * 32), {"evidence", "template"}),
        (lambda p: p["run"].update(ended="2026-11-29T12:00:01Z"), {"evidence", "template"}),
        (lambda p: p["expires"].update(at="2036-11-29T12:00:00Z"), {"evidence", "template"}),
        (lambda p: p["expires"].update(ageSeconds=1000 * DAY), {"evidence"}),
        (lambda p: p["hardware"].update({"class": "NVIDIA H100, driver 580"}), {"template"}),
        (lambda p: p["hardware"].update(lab=True), {"template"}),
        (lambda p: p["objectives"][0].update(expect="p(95) < 0.050"), {"template"}),
        (lambda p: p["objectives"][0].update(samples=1), set()),
        (lambda p: p["objectives"].clear(), {"template"}),
        (lambda p: p["images"][0].update(digest="sha256:" + "cd" * 32), {"evidence"}),
        (lambda p: p["images"].clear(), {"evidence"}),
        (lambda p: p["manifests"]["sha256"].update(session="00" * 32), {"manifest"}),
        (lambda p: p["manifests"]["sha256"].update(parts="00" * 32), {"manifest"}),
    ],
)
def test_a_value_that_is_edited_contradicts_another(
    tmp_path: Path, change: Callable[[Any], object], expected: set[str]
) -> None:
    """But for values that stand nowhere else: a signature, or the run, tells of those."""
    chart = Graduation().write(tmp_path / "vdi-operator")
    edit_evidence(chart, lambda document: change(document["predicate"]))
    assert kinds(inspect(chart, now=NOW)) == expected


@pytest.mark.parametrize(
    "change", [lambda p: p["objectives"][0].update(outcome="fail"), lambda p: p["cluster"].update(kubernetes="v1.99.0")]
)
def test_any_edited_value_parts_the_evidence_from_its_envelope(chart: Path, change: Callable[[Any], object]) -> None:
    edit_evidence(chart, lambda document: change(document["predicate"]))
    found = inspect(chart, now=NOW)
    assert causes(found, "signature") == ["evidence.dsse.json is of something else than evidence.json"]


def test_a_subject_that_nothing_explains_is_named(chart: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        document["subject"].append({"name": "registry.example.com/other:1", "digest": {"sha256": DIGEST}})

    edit_evidence(chart, change)
    assert causes(inspect(chart, now=NOW), "evidence") == [
        "the evidence contradicts itself about the digest of registry.example.com/other:1"
    ]


def forged(**changes: Any) -> Graduation:
    """Evidence made anew for twelve sessions, with everything else in agreement."""
    latency, density = a_verdict().suites
    better = objective("sessions_per_gpu", "knee_lower_bound >= 8 at gpu", 12.0, 1, unit="session")
    suites = (latency, dataclasses.replace(density, objectives=(density.objectives[0], better)))
    spec = {**SPEC, "capacity": {"sessionsPerGPU": 12}}
    verdict = dataclasses.replace(a_verdict(), suites=suites)
    return Graduation(**{"verdict": verdict, "capacity": Shown(12, 13), "spec": spec, **changes})


def test_bounds_that_its_own_objective_does_not_know_are_named(tmp_path: Path) -> None:
    chart = forged(verdict=a_verdict()).write(tmp_path / "forged")
    assert causes(inspect(chart, now=NOW), "evidence") == ["12 sessions are shipped and sessions_per_gpu was 8"]


def test_evidence_that_was_made_anew_is_told_by_the_key_alone(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    chart = forged().write(tmp_path / "forged")
    assert inspect(chart, now=NOW) == ()
    assert kinds(inspect(chart, public_key=keys[1], now=NOW)) == {"signature"}
    thief, _ = key_pair(tmp_path / "keys", "thief")
    chart = forged(key=thief).write(tmp_path / "signed")
    assert inspect(chart, now=NOW) == ()
    (cause,) = causes(inspect(chart, public_key=keys[1], now=NOW), "signature")
    assert "is signed by another key" in cause


@pytest.mark.parametrize("data", [b"[]\n", b"{}\n", b"- 1\n", b"{"])
@pytest.mark.parametrize("name", ["session", "network"])
def test_a_list_of_objects_that_is_none_is_named(chart: Path, name: str, data: bytes) -> None:
    put(chart / f"graduated/{name}.yaml", data)
    cover(chart)
    assert any(name in cause for cause in causes(inspect(chart, now=NOW), "manifest"))


def test_objects_that_are_laid_out_otherwise_are_the_same(chart: Path) -> None:
    document = yaml.safe_load((chart / "graduated/session.yaml").read_bytes())
    put(chart / "graduated/session.yaml", json.dumps(list(reversed(document)), indent=1).encode())
    assert kinds(inspect(chart, now=NOW)) == {"chart"}


@pytest.mark.parametrize(("seconds", "expected"), [(-1, set()), (0, set()), (1, {"expired"})])
def test_evidence_expires(chart: Path, seconds: float, expected: set[str]) -> None:
    expires = ENDED // 1 + 90 * DAY
    found = inspect(chart, now=expires + seconds)
    assert kinds(found) == expected
    if expected:
        assert "expired at 2027-02-27T12:00:00Z" in found[0].cause


# signatures


def test_a_chart_that_nobody_signed_does_not_pass_with_a_key(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    chart = Graduation().write(tmp_path / "unsigned")
    assert causes(inspect(chart, public_key=keys[1], now=NOW), "signature") == [
        "the evidence is not signed: there is no graduated/evidence.dsse.json"
    ]


def test_another_chart_s_envelope_is_told_without_a_key(chart: Path, tmp_path: Path, keys: tuple[Path, Path]) -> None:
    other = Graduation(key=keys[0], age_seconds=30 * DAY).write(tmp_path / "other")
    put(chart / ENVELOPE, (other / ENVELOPE).read_bytes())
    for more in ({}, {"public_key": keys[1]}):
        assert kinds(inspect(chart, now=NOW, **more)) == {"signature"}


def test_an_old_statement_with_its_envelope_does_not_fit_a_new_chart(
    chart: Path, tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    """Both are genuine, of another graduation."""
    other = Graduation(key=keys[0], age_seconds=900 * DAY).write(tmp_path / "other")
    for name in (EVIDENCE, ENVELOPE):
        put(chart / name, (other / name).read_bytes())
    assert kinds(inspect(chart, public_key=keys[1], now=NOW)) == {"chart", "template"}


def test_flipped_bytes_of_a_signature_are_told(chart: Path, keys: tuple[Path, Path]) -> None:
    document = json.loads((chart / ENVELOPE).read_bytes())
    signature = bytearray(base64.b64decode(document["signatures"][0]["sig"]))
    signature[17] ^= 64
    document["signatures"][0]["sig"] = base64.b64encode(bytes(signature)).decode()
    put(chart / ENVELOPE, json.dumps(document).encode())
    assert inspect(chart, now=NOW) == ()  # nobody can tell without the key
    assert kinds(inspect(chart, public_key=keys[1], now=NOW)) == {"signature"}


def test_a_damaged_envelope_is_told_without_a_key(chart: Path) -> None:
    put(chart / ENVELOPE, b"{}")
    assert kinds(inspect(chart, now=NOW)) == {"signature"}


# what there is now


def altered(objects: tuple[Any, ...], place: int, change: Callable[[Any], object]) -> tuple[Any, ...]:
    made = copy.deepcopy(objects)
    change(made[place])
    return made


def test_drift_of_the_session_names_object_and_field(chart: Path) -> None:
    session = altered(subjects().session, 1, lambda one: one["spec"]["ports"][0].update(port=9090))
    (cause,) = causes(inspect(chart, current=now_have(session=session), now=NOW), "manifest")
    assert "Service vdi-sessions/desktop-nobody-yet" in cause
    assert "spec.ports[0].port: was 8080, is 9090" in cause


def test_what_a_suite_sets_for_itself_is_no_drift(chart: Path) -> None:
    def change(pod: Any) -> None:
        environment = pod["spec"]["containers"][0]["env"]
        environment[0]["value"] = "30"
        environment.append({"name": "SCREEN", "value": "1280x720"})

    session = altered(subjects().session, 0, change)
    assert inspect(chart, current=now_have(session=session), now=NOW) == ()


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        (altered(subjects().objects, 1, lambda one: one["spec"].update(replicas=2)), "spec.replicas: was 1, is 2"),
        (altered(subjects().objects, 0, lambda one: one["spec"].update(policyTypes=["Ingress"])), "spec.policyTypes"),
        (subjects().objects[1:], f"NetworkPolicy vdi-sessions/{POLICY['metadata']['name']}"),
        (altered(subjects().objects, 2, lambda one: one.update(spec={})), "that is not shipped"),
        (subjects().objects[:2], "that is not shipped"),
        ((*subjects().objects, {"kind": "Namespace", "metadata": {"name": "more"}}), "that is not shipped"),
    ],
)
def test_drift_of_the_platform_is_named(chart: Path, objects: tuple[Any, ...], said: str) -> None:
    (cause,) = causes(inspect(chart, current=now_have(objects=objects), now=NOW), "manifest")
    assert said in cause


def test_a_secret_among_the_manifests_is_no_drift(chart: Path) -> None:
    objects = (*subjects().objects, {"kind": "Secret", "metadata": {"name": "turn"}, "data": {"secret": "eA=="}})
    assert inspect(chart, current=now_have(objects=objects), now=NOW) == ()


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"images": {IMAGE: "sha256:" + "cd" * 32}}, "image"),
        ({"kubernetes": "v1.33.0+k3s1"}, "kubernetes"),
        ({"driver": "590.10"}, "driver"),
    ],
)
def test_drift_of_images_and_versions_is_named(chart: Path, changes: dict[str, Any], kind: str) -> None:
    assert kinds(inspect(chart, current=now_have(**changes), now=NOW)) == {kind}


@pytest.mark.parametrize(
    "changes", [{"images": {IMAGE: f"sha256:{DIGEST}"}}, {"kubernetes": "v1.31.9+k3s1"}, {"driver": "580.99"}]
)
def test_what_is_alike_is_no_drift(chart: Path, changes: dict[str, Any]) -> None:
    assert inspect(chart, current=now_have(**changes), now=NOW) == ()


def test_everything_is_said_at_once_and_in_order(chart: Path, keys: tuple[Path, Path]) -> None:
    put(chart / "values.yaml", b"requireEvidence: false\n")
    edit_yaml(chart / "graduated/session.yaml", lambda all_: all_.pop())
    edit_evidence(chart, lambda document: document["predicate"]["capacity"].update(sessionsPerGPU=9))
    found = inspect(chart, public_key=keys[1], current=now_have(kubernetes="v1.33.0"), now=NOW + 400 * DAY)
    assert [kind for kind in ORDER if kind in kinds(found)] == list(dict.fromkeys(one.kind for one in found))
    assert kinds(found) == {"manifest", "kubernetes", "chart", "evidence", "signature", "template", "expired"}
    assert all(one.cause and one.remedy and "\n" not in str(one) for one in found)


def test_annotations_of_the_chart_are_those_of_its_evidence(chart: Path) -> None:
    (template,) = yaml.safe_load((chart / "graduated/templates.yaml").read_bytes())
    evidence = json.loads((chart / EVIDENCE).read_bytes())["predicate"]
    assert template["metadata"]["annotations"] == evidence_annotations(evidence, template["spec"])
