"""A graduated chart: what it adds to a release is what was measured, and one that was not graduated says so."""

from __future__ import annotations

import copy
import json
import shutil
import tarfile
from pathlib import Path

import pytest
import yaml

from vdibench.graduation.chart import chart_files, packaged, write_chart
from vdibench.graduation.parts import PARTS, parts
from vdibench.graduation.templates import template_spec
from vdibench.store.files import replace

from .helm import (
    CHART,
    EVIDENCE,
    NAMESPACE,
    RUN,
    VERSION,
    Object,
    graduated_chart,
    graduated_files,
    helm,
    keys,
    named,
    rendered,
    run,
    subjects,
    template,
)

NOTHING = dict.fromkeys(PARTS, False)
# The Role and the account come from manifests/security here, and so from its part.
ALL: Object = {
    "graduated": {"parts": dict.fromkeys(PARTS, True)},
    "rbac": {"create": False},
    "serviceAccount": {"create": False},
}
OF_A_GRADUATED_CHART = ("graduated", "createNamespaces", "createPlatform")
KEEP = "helm.sh/resource-policy"
# What a release may change of an object, and nothing else.
RELEASE_LABELS = (
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/version",
    "helm.sh/chart",
)


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return graduated_chart(tmp_path_factory.mktemp("graduated"))


def added(values: Object, chart: Path) -> list[Object]:
    """What is there beside the objects of the chart itself."""
    plainly = {key: value for key, value in values.items() if key not in OF_A_GRADUATED_CHART}
    own = {(one["kind"], one["metadata"]["name"]) for one in rendered(plainly)}
    return [one for one in rendered(values, chart) if (one["kind"], one["metadata"]["name"]) not in own]


def plain(one: Object) -> Object:
    """Without what a release may change."""
    made = copy.deepcopy(one)
    for label in RELEASE_LABELS:
        made["metadata"].get("labels", {}).pop(label, None)
    made["metadata"].get("annotations", {}).pop(KEEP, None)
    if not made["metadata"].get("annotations"):
        made["metadata"].pop("annotations", None)
    return made


def in_order(objects: list[Object]) -> list[Object]:
    return sorted(objects, key=lambda one: json.dumps([one["kind"], one["metadata"]["name"]]))


def test_by_itself_it_adds_the_templates_alone(chart: Path) -> None:
    (only,) = added({}, chart)
    assert (only["kind"], only["metadata"]["name"]) == ("VDITemplate", "cad")
    assert added({"graduated": {"templates": False}}, chart) == []


def test_a_template_is_what_was_measured_word_for_word(chart: Path) -> None:
    (only,) = added({"settings": {"namespace": "desks"}}, chart)
    assert only["spec"] == template_spec(subjects(), sessions_per_gpu=8)
    assert only["metadata"]["annotations"] == EVIDENCE, "nothing is added, a release may delete it"
    assert only["metadata"]["namespace"] == "desks"
    labels = only["metadata"]["labels"]
    assert labels["app.kubernetes.io/managed-by"] == "Helm"
    assert labels["app.kubernetes.io/component"] == "template"


@pytest.mark.parametrize("overlay", ["k3s", "lab"])
def test_all_parts_together_are_the_manifests(overlay: str, tmp_path: Path) -> None:
    of = subjects(overlay)
    wanted = [dict(one) for found in parts(of.objects, overlay).values() for one in found]
    # The release's own namespace is there before the release is.
    wanted = [one for one in wanted if (one["kind"], one["metadata"]["name"]) != ("Namespace", NAMESPACE)]
    made = [one for one in added(ALL, graduated_chart(tmp_path, overlay)) if one["kind"] != "VDITemplate"]
    assert len(made) > 20
    assert in_order([plain(one) for one in made]) == in_order([plain(one) for one in wanted])
    for one in made:
        assert one["metadata"]["annotations"][KEEP] == "keep", one["metadata"]["name"]
        assert one["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"


@pytest.mark.parametrize("part", PARTS)
def test_a_part_comes_by_its_own_flag(part: str, chart: Path) -> None:
    values = {**ALL, "graduated": {"templates": False, "parts": {**NOTHING, part: True}}}
    of = subjects()
    wanted = [dict(one) for one in parts(of.objects, of.platform)[part]]
    wanted = [one for one in wanted if (one["kind"], one["metadata"]["name"]) != ("Namespace", NAMESPACE)]
    assert wanted
    assert keys(added(values, chart)) == keys(wanted)


def test_what_desktops_cannot_do_without_comes_by_two_flags(chart: Path) -> None:
    values = {"createNamespaces": True, "createPlatform": True, "graduated": {"templates": False}}
    made = added(values, chart)
    assert keys(made) == [
        "Middleware vdi-sessions/vdi-headers",
        "Middleware vdi-sessions/vdi-rate-limit",
        "Namespace -/vdi-sessions",
        "NetworkPolicy vdi-sessions/default-deny",
        "ServiceAccount vdi-sessions/vdi-session",
    ]
    validated = list(subjects().objects)
    for one in made:
        assert plain(one) == plain(dict(named(validated, one["kind"], one["metadata"]["name"])))
        assert one["metadata"]["annotations"][KEEP] == "keep"


def test_each_flag_takes_its_own(chart: Path) -> None:
    templates_off: Object = {"graduated": {"templates": False}}
    assert keys(added({"createNamespaces": True, **templates_off}, chart)) == ["Namespace -/vdi-sessions"]
    kinds = {one["kind"] for one in added({"createPlatform": True, **templates_off}, chart)}
    assert kinds == {"ServiceAccount", "NetworkPolicy", "Middleware"}


def test_a_site_names_its_namespace_and_account(chart: Path) -> None:
    values = {**ALL, "settings": {"namespace": "desks", "serviceAccount": "desk"}}
    made = added(values, chart)
    assert named(made, "Namespace", "desks")
    assert named(made, "ServiceAccount", "desk")["metadata"]["namespace"] == "desks"
    assert named(made, "NetworkPolicy", "default-deny")["metadata"]["namespace"] == "desks"
    # A rule group is called as the namespace is, and is none.
    groups = [one["name"] for rule in made if rule["kind"] == "PrometheusRule" for one in rule["spec"]["groups"]]
    assert "vdi-sessions" in groups
    assert "vdi-sessions" not in {one["metadata"].get("namespace") for one in made}


def test_what_the_chart_makes_by_itself_comes_once(chart: Path) -> None:
    monitored = {"serviceMonitor": {"enabled": True}}
    found = keys(rendered({"graduated": ALL["graduated"], "metrics": monitored}, chart))
    assert len(found) == len(set(found))
    for key in (
        "Role vdi-sessions/vdi-operator",
        "RoleBinding vdi-sessions/vdi-operator",
        "ServiceAccount vdi-operator/vdi-operator",
        "ServiceMonitor vdi-operator/vdi-operator",
    ):
        assert key in found
    assert "ServiceMonitor monitoring/vdi-operator" not in found, "it would be scraped twice"
    assert "Namespace -/vdi-operator" not in found


@pytest.mark.parametrize(
    "values",
    [
        {"createNamespaces": True},
        {"createPlatform": True},
        *({"graduated": {"parts": {part: True}}} for part in PARTS),
    ],
    ids=json.dumps,
)
def test_a_chart_that_was_not_graduated_says_what_to_do(values: Object) -> None:
    done = template(values)
    assert done.returncode != 0
    assert "this chart was not graduated" in done.stderr
    assert "apply manifests/" in done.stderr
    assert "graduate a run first (vdibench graduate)" in done.stderr


@pytest.mark.parametrize(
    ("values", "more", "said"),
    [
        ({"templates": [{"name": "cad", "spec": {"image": "x"}}]}, [], "templates has cad, which was graduated"),
        ({"graduated": {"parts": {"security": True}}}, ["--namespace=elsewhere"], "install the release there"),
        (
            {"graduated": {"parts": {"observability": True}}, "metrics": {"dashboard": {"enabled": True}}},
            [],
            "set metrics.prometheusRule.enabled and metrics.dashboard.enabled to false",
        ),
    ],
    ids=["twice", "elsewhere", "rules"],
)
def test_what_would_be_there_twice_is_refused(values: Object, more: list[str], said: str, chart: Path) -> None:
    done = template(values, *more, chart=chart)
    assert done.returncode != 0
    assert said in done.stderr


def test_templates_of_the_site_stay_beside_it(chart: Path) -> None:
    values = {"templates": [{"name": "own", "spec": {"image": "registry.test/desktop:1"}}]}
    names = [one["metadata"]["name"] for one in rendered(values, chart) if one["kind"] == "VDITemplate"]
    assert sorted(names) == ["cad", "own"]


def test_helm_finds_nothing_to_complain_of(chart: Path) -> None:
    done = run("lint", "--strict", VERSION, chart)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


def test_a_packed_chart_is_the_same_byte_for_byte(chart: Path, tmp_path: Path) -> None:
    archive = packaged(chart, tmp_path / "packed", helm())
    assert archive.is_file()
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path / "unpacked", filter="data")
    unpacked = tmp_path / "unpacked" / "vdi-operator"
    assert chart_files(unpacked) == chart_files(chart)
    values = {"checker": {"tokenSecret": "own"}}
    assert template(values, chart=archive).stdout == template(values, chart=chart).stdout != ""


def test_the_same_run_gives_the_same_chart(chart: Path, tmp_path: Path) -> None:
    again = graduated_chart(tmp_path)
    assert chart_files(again) == chart_files(chart)
    replace(again / "graduated" / "evidence.json", b'{"other": true}\n')
    assert chart_files(again) == chart_files(chart), "the evidence is not among what it speaks of"
    replace(again / "graduated" / "security.yaml", b"[]\n")
    assert chart_files(again) != chart_files(chart)


def notes(chart: Path, place: Path, values: Object | None = None) -> str:
    """What helm prints after an install: rendered as a text of an object, since `helm template` has no notes."""
    shown = place / "shown"
    shutil.copytree(chart, shown)
    text = (shown / "templates" / "NOTES.txt").read_text()
    wrapped = f'{{{{ define "notes" }}}}{text}{{{{ end }}}}\nkind: Notes\ntext: {{{{ include "notes" . | quote }}}}\n'
    (shown / "templates" / "notes.yaml").write_text(wrapped)
    done = template(values, "--show-only=templates/notes.yaml", chart=shown)
    assert done.returncode == 0, done.stderr
    return str(yaml.safe_load(done.stdout)["text"])


def test_notes_tell_the_evidence(chart: Path, tmp_path: Path) -> None:
    said = notes(chart, tmp_path)
    assert f"cad: run {RUN} of 2026-11-24T17:50:00Z, good until 2027-02-22T17:50:00Z" in said
    assert "sessions that fit: 8..9" in said
    assert "on NVIDIA L4, driver 580.65.06\n" in said
    assert "templateRef: {name: cad}" in said
    assert "templates is empty" not in said


def test_notes_tell_evidence_of_a_lab(tmp_path: Path) -> None:
    files = graduated_files("lab")
    files["templates.yaml"] = files["templates.yaml"].replace(b"evidence-lab: 'false'", b"evidence-lab: 'true'")
    write_chart(CHART, tmp_path / "chart", files)
    assert "(a lab: it says nothing of GPU nodes)" in notes(tmp_path / "chart", tmp_path)


def test_notes_tell_that_there_is_no_evidence(tmp_path: Path) -> None:
    said = notes(CHART, tmp_path)
    assert "What was graduated: nothing." in said
    assert "templates is empty" in said
    assert "templateRef: {name: desktop}" in said
