"""A run of the committed manifests becomes a chart, byte for byte the same each time, or is refused by name."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from vdibench.errors import UsageError
from vdibench.graduation.checking import check_chart
from vdibench.graduation.findings import Finding, Required, Waiver
from vdibench.graduation.graduate import Candidate, graduate
from vdibench.graduation.refusal import Refused
from vdibench.graduation.verification import exit_code
from vdibench.lab.cluster.versions import KUBERNETES
from vdibench.records import Image, Outcome
from vdibench.store import Recording
from vdibench.store.seal import seal

from .candidates import CHART, IMAGE_DIGEST, Site, edit, programs, site, tree
from .runs import PREFLIGHT, SUITES, resample, rewrite, subjects

pytestmark = pytest.mark.timeout(300)  # the first test of all may have to build kubectl and helm
DAY = 86_400.0
POD = "session/base/pod.yaml"
SETTINGS = "overlays/k3s/session/settings.yaml"
KUSTOMIZATION = "overlays/k3s/session/kustomization.yaml"


@pytest.fixture(scope="module")
def passing(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A run that may be shipped. Tests read it, or change a copy."""
    return site(tmp_path_factory.mktemp("passing"))


@pytest.fixture
def copied(passing: Site, tmp_path: Path) -> Site:
    """The same, to be changed."""
    shutil.copytree(passing.manifests, tmp_path / "manifests")
    run = shutil.copytree(passing.run, tmp_path / "results" / passing.run.name)
    return replace(passing, place=tmp_path, manifests=tmp_path / "manifests", run=run)


@pytest.fixture(scope="module")
def chart(passing: Site) -> Path:
    """What became of it. Tests read it, or change a copy."""
    made = passing.candidate().write()
    assert made.written
    return made.output


def kinds(candidate: Candidate) -> set[str]:
    return {finding.kind for finding in candidate.findings}


def listed(chart: Path, name: str) -> Any:
    return yaml.safe_load((chart / "graduated" / name).read_text())


# what is shipped


def test_nothing_stands_against_a_passing_run(passing: Site) -> None:
    assert passing.candidate().findings == ()


def test_the_chart_is_the_operators_and_a_folder_more(chart: Path) -> None:
    made, source = tree(chart), tree(CHART)
    added = {path for path in made if path not in source}
    assert added == {
        f"graduated/{name}"
        for name in (
            "templates.yaml",
            "session.yaml",
            "security.yaml",
            "network.yaml",
            "storage.yaml",
            "observability.yaml",
            "evidence.json",
        )
    }
    left_out = set(source) - set(made)
    assert all(Path(path).name.startswith(".") for path in left_out), left_out
    # Chart.yaml is laid out as helm packs it, and says the same.
    assert {path for path in set(source) & set(made) if made[path] != source[path]} <= {"Chart.yaml"}
    assert yaml.safe_load(made["Chart.yaml"]) == yaml.safe_load(source["Chart.yaml"])


def test_the_template_says_what_was_measured(passing: Site, chart: Path) -> None:
    (template,) = listed(chart, "templates.yaml")
    assert template["metadata"]["name"] == "desktop"
    spec = template["spec"]
    assert spec["image"].endswith(f"@{IMAGE_DIGEST}")
    assert spec["capacity"] == {"sessionsPerGPU": 2}
    assert spec["display"] == {"width": 1920, "height": 1080, "framerate": 30, "bitrate": 8_000_000}
    said = template["metadata"]["annotations"]
    assert said["vdibench.io/evidence-run"] == Recording.open(passing.run).run.name
    assert said["vdibench.io/evidence-bounds"].startswith("2..")
    assert said["vdibench.io/evidence-lab"] == "false"
    assert all(isinstance(value, str) for value in said.values())


def test_helm_makes_the_template_of_the_chart_with_its_evidence(chart: Path) -> None:
    words = ["template", "vdi", str(chart), "--namespace=vdi-operator", f"--kube-version={KUBERNETES}"]
    done = subprocess.run([programs().helm, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    objects = [one for one in yaml.safe_load_all(done.stdout) if one]
    (template,) = (one for one in objects if one["kind"] == "VDITemplate")
    (graduated,) = listed(chart, "templates.yaml")
    assert template["spec"] == graduated["spec"]
    assert template["metadata"]["annotations"].items() >= graduated["metadata"]["annotations"].items()


def test_the_parts_are_the_objects_of_the_manifests(passing: Site, chart: Path) -> None:
    names = ("security", "network", "storage", "observability")
    shipped = [one for part in names for one in listed(chart, f"{part}.yaml")]
    assert all(one in passing.of.objects for one in shipped)
    assert {"NetworkPolicy", "Middleware", "StorageClass"} <= {one["kind"] for one in shipped}
    assert listed(chart, "session.yaml") == list(passing.of.session)
    assert "Secret" not in {one["kind"] for one in shipped}


def test_the_evidence_names_every_file(chart: Path) -> None:
    statement = json.loads((chart / "graduated" / "evidence.json").read_text())
    named = {one["name"].removeprefix("chart/") for one in statement["subject"] if one["name"].startswith("chart/")}
    assert named == set(tree(chart)) - {"graduated/evidence.json"}


def test_the_same_run_gives_the_same_bytes_whenever_and_wherever(passing: Site, chart: Path, tmp_path: Path) -> None:
    run = shutil.copytree(passing.run, tmp_path / "elsewhere" / passing.run.name)
    moved = replace(passing, place=tmp_path, run=run)
    later = moved.candidate(now=time.time() + 5 * DAY)
    assert tree(later.write().output) == tree(chart)


def test_an_ed25519_key_signs_and_gives_the_same_bytes(passing: Site, tmp_path: Path) -> None:
    key, public = keys(tmp_path)
    made = [replace(passing, place=tmp_path / name).candidate(key=key).write() for name in ("first", "second")]
    assert tree(made[0].output) == tree(made[1].output)
    assert made[0].signed
    assert check(passing, made[0].output, public_key=public) == ()
    other = keys(tmp_path / "other")[1]
    assert {one.kind for one in check(passing, made[0].output, public_key=other)} == {"signature"}


def test_a_dry_run_writes_nothing(passing: Site, tmp_path: Path) -> None:
    output = tmp_path / "chart"
    made = passing.candidate(output=output).write(dry_run=True)
    assert not made.written
    assert made.predicate["verdict"] == "pass"
    assert list(tmp_path.iterdir()) == []


def test_a_graduated_chart_is_replaced_and_nothing_else_is(passing: Site, tmp_path: Path) -> None:
    output = tmp_path / "chart"
    passing.candidate(output=output).write()
    passing.candidate(output=output, name="cad").write()
    assert listed(output, "templates.yaml")[0]["metadata"]["name"] == "cad"
    other = tmp_path / "mine"
    other.mkdir()
    (other / "notes.txt").write_text("keep me")
    with pytest.raises(UsageError, match="no graduated chart"):
        passing.candidate(output=other).write()
    assert tree(other) == {"notes.txt": b"keep me"}


def test_all_steps_at_once(passing: Site, tmp_path: Path) -> None:
    said: list[str] = []
    made = graduate(passing.request(output=tmp_path / "chart"), now=time.time(), say=said.append, programs=programs())
    assert made.written
    assert said
    assert made.commands[0].startswith(f"helm install vdi {tmp_path / 'chart'} ")


# what is refused


def change_samples(site: Site) -> None:
    resample(site.run, "frames", "stream_validation", lambda rows: rows.assign(size_bytes=rows["size_bytes"] + 1))


def change_samples_and_seal(site: Site) -> None:
    resample(
        site.run,
        "frames",
        "stream_validation",
        lambda rows: rows.assign(decoded_unix_seconds=rows["decoded_unix_seconds"] + 1.0),
    )
    seal(site.run)


def change_verdict(site: Site) -> None:
    def better(document: Any) -> None:
        document["suites"][1]["objectives"][0]["observed"] = 0.001

    rewrite(site.run / "verdict.json", better)
    seal(site.run)


def change_parameters(site: Site) -> None:
    rewrite(site.run / "run.json", lambda document: document["parameters"]["gpu_density"].update(framerate=15))


def change_subjects(site: Site) -> None:
    rewrite(site.run / "subjects.json", lambda document: document.update(kubernetes="v1.2.3"))


def change_session(site: Site) -> None:
    edit(site.manifests / POD, "memory: 4Gi", "memory: 8Gi")


def change_platform(site: Site) -> None:
    edit(site.manifests / "network" / "base" / "middlewares.yaml", "burst: 200", "burst: 900")


def change_image(site: Site) -> None:
    edit(site.manifests / KUSTOMIZATION, IMAGE_DIGEST, "sha256:" + "d6" * 32)


def lose_overlay(site: Site) -> None:
    shutil.rmtree(site.manifests / "overlays" / "k3s" / "session")


def lose_sample(site: Site) -> None:
    next((site.run / "samples").glob("inputs-*")).unlink()


def add_sample(site: Site) -> None:
    (site.run / "samples" / "more.parquet").write_bytes(b"")


def lose_subjects(site: Site) -> None:
    (site.run / "subjects.json").unlink()
    seal(site.run)


def lose_seal(site: Site) -> None:
    (site.run / "seal.json").unlink()


CHANGES: dict[str, tuple[Callable[[Site], None], set[str], int]] = {
    "a sample": (change_samples, {"seal"}, 97),
    "a sample, sealed again": (change_samples_and_seal, {"verdict", "suite"}, 99),
    "the verdict, sealed again": (change_verdict, {"verdict"}, 99),
    "a parameter": (change_parameters, {"seal"}, 97),
    "what was run": (change_subjects, {"seal"}, 97),
    "a sample less": (lose_sample, {"seal"}, 97),
    "a sample more": (add_sample, {"seal"}, 97),
    "the seal": (lose_seal, {"seal"}, 97),
    "no word of what was run": (lose_subjects, {"schema"}, 98),
    "the session's manifests": (change_session, {"manifest"}, 99),
    "the platform's manifests": (change_platform, {"manifest"}, 99),
    "the image": (change_image, {"manifest", "image"}, 99),
    "the overlay": (lose_overlay, {"manifest"}, 99),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_is_refused_by_name(copied: Site, change: str) -> None:
    spoil, wanted, code = CHANGES[change]
    spoil(copied)
    candidate = copied.candidate()
    with pytest.raises(Refused) as refused:
        candidate.write()
    found = {finding.kind for finding in refused.value.findings}
    assert wanted <= found, refused.value.findings
    assert refused.value.exit_code == exit_code(candidate.findings)
    if found == wanted:
        assert refused.value.exit_code == code
    assert all(finding.remedy for finding in refused.value.findings)
    assert not copied.output.exists()


def test_all_reasons_come_at_once_and_one_a_line(copied: Site) -> None:
    change_session(copied)
    change_samples(copied)
    candidate = copied.candidate(now=time.time() + 100 * DAY)
    assert {"seal", "manifest", "age"} <= kinds(candidate)
    with pytest.raises(Refused) as refused:
        candidate.refuse()
    lines = refused.value._render_traceback_()
    assert len(lines) == len(refused.value.findings) >= 3
    assert all(line.startswith("Refused: ") for line in lines)
    assert "more)" in str(refused.value)


def test_age_is_reckoned_from_the_end(passing: Site) -> None:
    old = passing.candidate(now=time.time() + 2 * DAY, max_age_seconds=DAY)
    assert kinds(old) == {"age"}
    assert kinds(passing.candidate(now=time.time() + 2 * DAY, max_age_seconds=3 * DAY)) == set()


@pytest.mark.parametrize(
    ("run", "kind", "code"),
    [
        ({"latency": 0.5}, "suite", 99),
        ({"suites": SUITES[:3]}, "suite", 98),
        ({"invalid": {"gpu_density": ["the machine was disturbed"]}}, "suite", 97),
        ({"good": 0, "tried": 1}, "capacity", 99),
        ({"checks": {"stream_validation": ()}, "suites": SUITES}, "policies", 98),
        ({"changed": {"lab": True}}, "lab", 99),
        ({"changed": {"applied": ("NetworkPolicy vdi-sessions/default-deny is not there",)}}, "applied", 99),
        ({"changed": {"images": (Image("registry.example.com/vdi/other:1", ""),)}}, "image", 99),
    ],
)
def test_a_run_that_shows_too_little_is_refused(tmp_path: Path, run: dict[str, Any], kind: str, code: int) -> None:
    if "checks" in run:
        # Neither the suite nor preflight has tried a policy.
        run = run | {"checks": {**run["checks"], "preflight": PREFLIGHT[:1]}}
    made = site(tmp_path, **run)
    candidate = made.candidate()
    assert kind in kinds(candidate), candidate.findings
    assert exit_code([one for one in candidate.findings if one.kind == kind]) == code


def test_a_waiver_stays_in_the_evidence(tmp_path: Path) -> None:
    made = site(tmp_path, suites=SUITES[:3])
    waiver = Waiver(Required.DENSITY, "one user a GPU at this site")
    done = made.candidate(waivers=(waiver,)).write()
    assert done.predicate["waivers"] == [{"what": "gpu_density", "reason": "one user a GPU at this site"}]
    assert done.predicate["capacity"]["sessionsPerGPU"] is None
    (template,) = done.templates
    assert "capacity" not in template["spec"]
    assert "vdibench.io/evidence-bounds" not in template["metadata"]["annotations"]


def test_a_knee_of_two_gpus_is_shared(tmp_path: Path) -> None:
    nodes = tuple(replace(node, gpus=2) for node in subjects().nodes)
    made = site(tmp_path, changed={"nodes": nodes}, good=3, tried=4)
    done = made.candidate().write()
    assert done.predicate["capacity"]["sessionsPerGPU"] == 1
    assert "2 GPUs" in done.predicate["capacity"]["rule"]


def test_what_the_operator_cannot_say_is_refused(tmp_path: Path) -> None:
    """A variable in the manifests, as they were measured and as they are now, for which a template has no word."""
    place = tmp_path / "manifests"
    made = site(tmp_path)
    pod_file = place / "session" / "selkies-2" / "pod.yaml"
    edit(pod_file, '{name: SELKIES_ADDR, value: "0.0.0.0"}', '{name: SELKIES_ADDR, value: "::"}')
    spoiled = json.loads(json.dumps(made.of.session))
    (pod,) = (one for one in spoiled if one["kind"] == "Pod")
    (variable,) = (one for one in pod["spec"]["containers"][0]["env"] if one["name"] == "SELKIES_ADDR")
    variable["value"] = "::"
    rewrite(made.run / "subjects.json", lambda document: document.update(session=spoiled))
    seal(made.run)
    candidate = made.candidate()
    assert kinds(candidate) == {"equality"}
    assert any("SELKIES_ADDR" in finding.cause for finding in candidate.findings)


# what was changed afterwards


def check(site: Site, chart: Path, **more: Any) -> tuple[Finding, ...]:
    arguments = {"manifests": site.manifests, "now": time.time(), "kubectl": programs().kubectl, **more}
    return check_chart(chart, **arguments)


def change_template(chart: Path) -> None:
    edit(chart / "graduated" / "templates.yaml", "sessionsPerGPU: 2", "sessionsPerGPU: 9")


def change_chart(chart: Path) -> None:
    file = chart / "values.yaml"
    file.write_text(file.read_text() + "# more\n")


def change_evidence(chart: Path) -> None:
    edit(chart / "graduated" / "evidence.json", '"verdict": "pass"', '"verdict": "fail"')


def change_part(chart: Path) -> None:
    (chart / "graduated" / "network.yaml").write_text("[]\n")


def add_file(chart: Path) -> None:
    (chart / "templates" / "more.yaml").write_text("{}\n")


TAMPERED: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "a template": (change_template, {"chart", "template"}),
    "a value": (change_chart, {"chart"}),
    "a part": (change_part, {"chart", "manifest"}),
    "a file more": (add_file, {"chart"}),
    "no evidence": (lambda chart: (chart / "graduated" / "evidence.json").unlink(), {"evidence"}),
}


def test_a_chart_as_it_was_written_is_valid(passing: Site, chart: Path) -> None:
    assert check(passing, chart) == ()
    assert check(passing, chart, run=passing.run) == ()
    assert check(passing, chart, without_manifests=True) == ()


@pytest.mark.parametrize("change", TAMPERED)
def test_a_chart_that_was_changed_is_told_by_what(passing: Site, chart: Path, tmp_path: Path, change: str) -> None:
    spoil, wanted = TAMPERED[change]
    copy = shutil.copytree(chart, tmp_path / "chart")
    spoil(copy)
    found = check(passing, copy)
    assert wanted <= {one.kind for one in found}, found
    assert exit_code(found) == 99


def test_evidence_that_was_edited_is_told_with_the_run(passing: Site, chart: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(chart, tmp_path / "chart")
    change_evidence(copy)
    assert exit_code(check(passing, copy, run=passing.run)) == 99


def test_manifests_that_moved_on_are_told(copied: Site, chart: Path) -> None:
    change_session(copied)
    found = check(copied, chart)
    assert {one.kind for one in found} == {"manifest"}
    assert check(copied, chart, without_manifests=True) == ()
    lose_overlay(copied)
    assert {one.kind for one in check(copied, chart)} == {"manifest"}


def test_evidence_expires(passing: Site, chart: Path) -> None:
    found = check(passing, chart, now=time.time() + 91 * DAY)
    assert {one.kind for one in found} == {"expired"}


def keys(folder: Path) -> tuple[Path, Path]:
    """A key and its public half, as openssl makes them."""
    folder.mkdir(exist_ok=True)
    key, public = folder / "key.pem", folder / "key.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True, capture_output=True)
    return key, public


def test_a_missed_objective_is_what_the_verdict_says(tmp_path: Path) -> None:
    made = site(tmp_path, latency=0.5)
    assert Recording.open(made.run).verdict.outcome is Outcome.FAIL
    with pytest.raises(Refused) as refused:
        made.candidate().write()
    assert refused.value.exit_code == 99
