"""A run as it was left may be shipped; each thing that is changed afterwards is refused, with its cause named."""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from vdibench.graduation.findings import Finding, Required, Waiver
from vdibench.graduation.verification import DAY_SECONDS, Current, Options, exit_code, expires, verify
from vdibench.records import Check, Image, Outcome, RunState
from vdibench.store import Recording, load_subjects
from vdibench.store.seal import seal

from .runs import (
    OBJECTIVES,
    PREFLIGHT,
    STREAM,
    SUITES,
    all_passed,
    drop_suite,
    passing_run,
    resample,
    rewrite,
    subjects,
    unchanged,
)

ORDER = (
    "schema",
    "state",
    "seal",
    "synthetic",
    "contention",
    "verdict",
    "outcome",
    "suite",
    "policies",
    "waiver",
    "conditions",
    "manifest",
    "image",
    "applied",
    "lab",
    "age",
    "kubernetes",
    "driver",
)
ABSENT = Check("policies", Outcome.NOT_APPLICABLE, "each VDISession has a policy of its own")
OPEN = (
    Check("policies", Outcome.FAIL, "open, and should not be: api", remedy="compare the policies"),
    Check("edge_api", Outcome.FAIL, "session to API server: should be denied, found answered 3 of 3"),
    Check("edge_dns", Outcome.PASS, "session to DNS: should be allowed, found answered 3 of 3"),
)


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return passing_run(tmp_path_factory.mktemp("results"))


@pytest.fixture
def own(passed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(passed, tmp_path / passed.name))


def found(folder: Path, *, current: Current | None = None, now: float | None = None, **options: Any) -> list[Finding]:
    """What stands against it; manifests and cluster are as they were, and it is now, unless said otherwise."""
    return list(
        verify(
            Recording.open(folder),
            load_subjects(folder),
            current=current or unchanged(),
            options=Options(**options),
            now=time.time() if now is None else now,
        )
    )


def kinds(findings: Sequence[Finding]) -> list[str]:
    """Each kind once, in order."""
    return list(dict.fromkeys(finding.kind for finding in findings))


def waive(*what: Required, reason: str = "the vendor's own evidence holds") -> tuple[Waiver, ...]:
    return tuple(Waiver(one, reason) for one in what)


def edit(folder: Path, name: str, **changes: Any) -> None:
    """Change fields of a document, and seal again."""
    rewrite(folder / name, lambda document: document.update(changes))
    seal(folder)


def later(rows: pd.DataFrame) -> pd.DataFrame:
    """The last frame of a session comes a second later."""
    rows.loc[rows["event"] == "first_frame", "unix_seconds"] += 1.0
    return rows


def test_a_run_as_it_was_left_may_be_shipped(passed: Path) -> None:
    assert found(passed) == []
    assert exit_code(()) == 0


# what was changed on the disk


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("run.json", lambda path: rewrite(path, lambda run: run["parameters"]["gpu_density"].update(bitrate_bps=1))),
        ("verdict.json", lambda path: rewrite(path, lambda verdict: verdict["suites"][0].update(reasons=["none"]))),
        ("subjects.json", lambda path: rewrite(path, lambda document: document.update(domain="other.example.com"))),
    ],
)
def test_a_changed_document_breaks_the_seal(own: Path, name: str, change: Callable[[Path], None]) -> None:
    change(own / name)
    (finding,) = found(own)
    assert finding.kind == "seal"
    assert name in finding.cause
    assert exit_code([finding]) == 97


def test_a_changed_sample_breaks_the_seal_and_with_a_new_seal_the_verdict_differs(own: Path) -> None:
    path = resample(own, "milestones", "stream_validation", later)
    broken, differs = found(own)
    assert (broken.kind, differs.kind) == ("seal", "verdict")
    assert path.name in broken.cause
    seal(own)
    (finding,) = found(own)
    assert finding == differs
    assert "stream_validation: session_ready_seconds p(95) < 30: stored pass (1.1)" in finding.cause
    assert exit_code([finding]) == 99


def test_a_changed_sample_that_changes_no_result_breaks_the_seal(own: Path) -> None:
    path = resample(own, "frames", "gpu_density", lambda rows: rows.assign(rtp_timestamp=rows["rtp_timestamp"] + 1))
    (finding,) = found(own)
    assert finding.kind == "seal"
    assert path.name in finding.cause


def test_a_failed_verdict_that_was_made_a_pass_is_recomputed(tmp_path: Path) -> None:
    folder = passing_run(tmp_path, good=1)
    assert kinds(found(folder)) == ["outcome", "suite"]

    rewrite(folder / "verdict.json", all_passed)
    seal(folder)
    findings = found(folder)
    assert kinds(findings) == ["verdict", "outcome", "suite"]
    assert "gpu_density: sessions_per_gpu knee_lower_bound >= 2 at gpu: stored pass (2), recomputed fail (1)" in str(
        findings[0]
    )
    assert exit_code(findings) == 99


def test_a_suite_taken_out_of_the_verdict_is_missed_even_when_it_is_waived(tmp_path: Path) -> None:
    folder = passing_run(tmp_path, good=1)
    drop_suite(folder, "gpu_density")
    edit(folder, "verdict.json", outcome="pass")
    (finding,) = found(folder, waivers=waive(Required.DENSITY))
    assert finding.kind == "verdict"
    assert "gpu_density: the verdict leaves it out, its samples say fail" in finding.cause


def test_changed_parameters_are_named(own: Path) -> None:
    rewrite(own / "run.json", lambda run: run["parameters"]["gpu_density"].update(framerate=20))
    seal(own)
    (finding,) = found(own)
    assert finding.kind == "verdict"
    assert "gpu_density: frames_per_second" in finding.cause


def test_changed_objectives_are_named(own: Path) -> None:
    edit(own, "run.json", objectives=OBJECTIVES.replace("p(95) < 0.100", "p(95) < 0.900"))
    findings = found(own)
    assert kinds(findings) == ["verdict"]
    assert any("glass_to_glass_seconds p(95) < 0.100: is in the verdict" in finding.cause for finding in findings)


def test_objectives_that_cannot_be_read_are_no_data(own: Path) -> None:
    edit(own, "run.json", objectives="schema: 99\n")
    findings = found(own)
    assert kinds(findings) == ["verdict", "outcome", "suite", "policies"]
    assert exit_code(finding for finding in findings if finding.kind == "suite") == 98


def test_a_torn_sample_is_named(own: Path) -> None:
    (path,) = (own / "samples").glob("network-gpu_density-*.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    seal(own)
    findings = found(own)
    assert kinds(findings)[0] == "schema"
    assert path.name in findings[0].cause


# how it went


def test_a_run_that_runs_still_is_refused(tmp_path: Path) -> None:
    findings = found(passing_run(tmp_path, state=None))
    assert kinds(findings) == ["state", "seal"]
    assert "still running" in findings[0].cause
    assert exit_code(findings) == 97


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.INTERRUPTED])
def test_a_run_that_did_not_finish_is_refused(tmp_path: Path, state: RunState) -> None:
    findings = found(passing_run(tmp_path, state=state))
    assert kinds(findings) == ["state"]
    assert f"it is {state}" in findings[0].cause
    assert "the desktop went away" in findings[1].cause


def test_a_finished_run_with_an_error_is_refused(own: Path) -> None:
    edit(own, "run.json", errors=["gpu_density: the desktop went away"])
    (finding,) = found(own)
    assert (finding.kind, exit_code([finding])) == ("state", 97)
    assert "gpu_density: the desktop went away" in finding.cause


@pytest.mark.parametrize(
    "changes", [{"target": "replay"}, {"context": {"target": "replay", "synthetic": True, "gpu": True}}], ids=str
)
def test_a_replay_is_refused_whatever_is_allowed(own: Path, changes: dict[str, Any]) -> None:
    edit(own, "run.json", **changes)
    findings = found(own, allow_lab=True, waivers=())
    assert kinds(findings)[0] == "synthetic"
    assert exit_code(findings) == 97


def test_a_run_beside_another_is_refused(tmp_path: Path) -> None:
    findings = found(passing_run(tmp_path, contention=("20261124T174715Z-load-smoke",)))
    assert kinds(findings) == ["contention"]
    assert "20261124T174715Z-load-smoke" in findings[0].cause
    assert exit_code(findings) == 97


def test_a_suite_that_was_invalid_makes_it_invalid(tmp_path: Path) -> None:
    findings = found(passing_run(tmp_path, invalid={"gpu_density": ("engine-0: its sockets dropped 7 datagrams",)}))
    assert kinds(findings) == ["outcome", "suite"]
    assert "its sockets dropped 7 datagrams" in findings[0].cause
    assert exit_code(findings) == 97


def test_a_generator_that_was_overloaded_is_found_although_nobody_said_so(tmp_path: Path) -> None:
    findings = found(passing_run(tmp_path, lag=0.5))
    assert kinds(findings) == ["verdict", "outcome", "suite"]
    assert "recomputed invalid: engine-0: the event loop was late in 5 of 5 seconds" in findings[0].cause
    assert exit_code(findings) == 97


def test_a_condition_that_an_operator_told_is_named(own: Path) -> None:
    def told(rows: pd.DataFrame) -> pd.DataFrame:
        one = rows.iloc[[0]].assign(
            session="desktop-3",
            name="condition_ready",
            outcome="fail",
            finding="ImageUnavailable: no such tag",
            remedy="see vdi-operator explain",
        )
        return pd.concat([rows, one])

    resample(own, "checks", "stream_validation", told)
    seal(own)
    (finding,) = found(own)
    assert (finding.kind, finding.remedy) == ("conditions", "see vdi-operator explain")
    assert "desktop-3 of stream_validation: condition_ready: ImageUnavailable" in finding.cause


# what it must have passed


@pytest.mark.parametrize("suite", SUITES)
def test_each_suite_is_asked_for_unless_it_is_waived(tmp_path: Path, suite: str) -> None:
    folder = passing_run(tmp_path, suites=[one for one in SUITES if one != suite])
    findings = found(folder)
    assert findings[0].kind == "suite"
    assert findings[0].cause == f"{suite} was not run"
    assert exit_code(findings) == 98
    # Policies were tried in that suite.
    also = (Required.POLICIES,) if suite == "stream_validation" else ()
    assert kinds(findings) == ["suite", "policies"] if also else ["suite"]
    assert found(folder, waivers=waive(Required(suite), *also)) == []


def test_a_missed_objective_is_named_and_a_waiver_lets_it_pass(tmp_path: Path) -> None:
    folder = passing_run(tmp_path, good=1)
    outcome, suite = found(folder)
    assert "gpu_density: sessions_per_gpu knee_lower_bound >= 2 at gpu: fail: 1 is not >= 2" in outcome.cause
    assert suite.cause == "gpu_density did not pass: fail"
    assert exit_code([outcome, suite]) == 99
    assert found(folder, waivers=waive(Required.DENSITY)) == []


def test_only_the_first_of_many_misses_are_named(tmp_path: Path) -> None:
    bad = [Check(f"check_{number}", Outcome.FAIL, "it is not") for number in range(5)]
    findings = found(passing_run(tmp_path, checks={"preflight": bad}))
    assert "check:check_2" in findings[0].cause
    assert "check:check_3" not in findings[0].cause
    assert findings[0].cause.endswith("; and 2 more")


def test_a_suite_that_passed_without_a_session_is_none(tmp_path: Path) -> None:
    text = OBJECTIVES.replace("suites: [latency_under_load, gpu_density]", "suites: [gpu_density]")
    folder = passing_run(tmp_path, objectives=text)
    assert found(folder) == []
    resample(folder, "frames", "latency_under_load", lambda rows: rows.assign(phase="warmup"))
    seal(folder)
    (finding,) = found(folder)
    assert (finding.kind, finding.cause) == ("suite", "latency_under_load has no session that was measured")
    assert exit_code([finding]) == 98


def test_policies_that_were_not_tried_are_asked_for(tmp_path: Path) -> None:
    folder = passing_run(tmp_path, checks={"stream_validation": (STREAM[0], ABSENT)})
    (finding,) = found(folder)
    assert (finding.kind, exit_code([finding])) == ("policies", 98)
    assert "each VDISession has a policy of its own" in finding.cause
    assert found(folder, waivers=waive(Required.POLICIES)) == []


def test_an_open_edge_is_named_and_a_waiver_of_policies_excuses_the_suite_that_tried(tmp_path: Path) -> None:
    engine = dataclasses.replace(PREFLIGHT[1], outcome=Outcome.FAIL)
    checks = {"stream_validation": (STREAM[0], *OPEN), "preflight": (PREFLIGHT[0], engine)}
    folder = passing_run(tmp_path, checks=checks)
    findings = found(folder)
    assert kinds(findings) == ["outcome", "suite", "policies"]
    assert [finding.cause for finding in findings if finding.kind == "policies"] == [
        "the policies do not hold: open, and should not be: api: compare the policies",
        "not every edge is as the policies say: edge_api",
    ]
    assert exit_code(findings) == 99
    assert found(folder, waivers=waive(Required.POLICIES)) == []


def test_a_waiver_of_policies_excuses_nothing_else(tmp_path: Path) -> None:
    bad = Check("reachable", Outcome.FAIL, "HTTP 502")
    findings = found(
        passing_run(tmp_path, checks={"stream_validation": (bad, *OPEN)}), waivers=waive(Required.POLICIES)
    )
    assert kinds(findings) == ["outcome", "suite"]
    assert "check:reachable" in findings[0].cause
    assert "edge_api" not in findings[0].cause


def test_policies_without_an_edge_were_not_tried(tmp_path: Path) -> None:
    (finding,) = found(passing_run(tmp_path, checks={"stream_validation": STREAM[:3]}))
    assert (finding.kind, exit_code([finding])) == ("policies", 98)
    assert "no edge was tried" in finding.cause


@pytest.mark.parametrize("what", list(Required))
def test_a_waiver_of_what_passed_is_refused(passed: Path, what: Required) -> None:
    (finding,) = found(passed, waivers=waive(what))
    assert (finding.kind, finding.cause) == ("waiver", f"{what} is waived, and passed")
    assert exit_code([finding]) == 99


def test_a_waiver_without_a_reason_counts_for_nothing(tmp_path: Path) -> None:
    folder = passing_run(tmp_path, suites=SUITES[:3])
    findings = found(folder, waivers=waive(Required.DENSITY, reason=" "))
    assert kinds(findings) == ["suite", "waiver"]
    assert "gpu_density has no reason" in findings[1].cause


def test_a_run_in_which_everything_is_waived_passed_nothing(tmp_path: Path) -> None:
    findings = found(passing_run(tmp_path, suites=[]), waivers=waive(*Required))
    assert kinds(findings) == ["outcome"]
    assert "there is no suite that counts" in findings[0].cause
    assert exit_code(findings) == 98


# what it was of


def test_a_run_that_does_not_say_what_it_was_of_is_refused(tmp_path: Path) -> None:
    findings = found(passing_run(tmp_path, without_subjects=True, target="url:https://desktop.example.com"))
    assert kinds(findings) == ["schema"]
    assert "target url:https://desktop.example.com" in findings[0].cause
    assert exit_code(findings) == 98


def changed(part: str, change: Callable[[list[dict[str, Any]]], object]) -> Current:
    """Manifests whose session or platform is another one."""
    objects = [dict(one) for one in copy.deepcopy(getattr(unchanged(), part))]
    change(objects)
    return dataclasses.replace(unchanged(), **{part: tuple(objects)})


@pytest.mark.parametrize(
    ("current", "said"),
    [
        (
            changed("session", lambda objects: objects[1]["spec"]["containers"][0]["env"][0].update(value="x264enc")),
            "Pod vdi-sessions/desktop-nobody-yet of a session is not as it was in the run: "
            'spec.containers[0].env[SELKIES_ENCODER].value: was "nvh264enc", is "x264enc"',
        ),
        (
            changed("session", lambda objects: objects.pop(0)),
            "PersistentVolumeClaim vdi-sessions/home-nobody-yet of a session was there in the run",
        ),
        (
            changed("objects", lambda objects: objects[1]["spec"].update(policyTypes=["Ingress"])),
            "NetworkPolicy vdi-sessions/default-deny of the platform is not as it was in the run: "
            'spec.policyTypes[1]: was "Egress", is missing',
        ),
        (
            changed("objects", lambda objects: objects.append({"kind": "Secret", "metadata": {"name": "new"}})),
            "Secret new of the platform is in the manifests, and was not there in the run",
        ),
    ],
    ids=["env", "gone", "list", "new"],
)
def test_a_changed_manifest_is_named_with_its_field(passed: Path, current: Current, said: str) -> None:
    (finding,) = found(passed, current=current)
    assert (finding.kind, exit_code([finding])) == ("manifest", 99)
    assert said in finding.cause


def test_what_suites_set_by_their_parameters_is_no_change_of_manifests(passed: Path) -> None:
    current = changed("session", lambda objects: objects[1]["spec"]["containers"][0]["env"][1].update(value="60"))
    assert current != unchanged()
    assert found(passed, current=current) == []


def test_a_changed_image_is_named(passed: Path) -> None:
    image = subjects().images[0]
    current = dataclasses.replace(unchanged(), images={image.name: "sha256:" + "0" * 64})
    (finding,) = found(passed, current=current)
    assert finding.kind == "image"
    assert image.name in finding.cause


def test_an_image_without_a_digest_is_evidence_in_a_lab_alone(tmp_path: Path) -> None:
    images = (Image("registry.example.com/vdi/desktop:1.2.0"),)
    of = subjects(images=images)
    findings = found(passing_run(tmp_path / "gpu", of=of), current=unchanged(of))
    assert kinds(findings) == ["image"]
    lab = subjects(images=images, lab=True)
    assert found(passing_run(tmp_path / "lab", of=lab), current=unchanged(lab), allow_lab=True) == []


def test_what_the_cluster_had_otherwise_is_named(tmp_path: Path) -> None:
    line = "NetworkPolicy vdi-sessions/default-deny is not there"
    (finding,) = found(passing_run(tmp_path, of=subjects(applied=(line,))))
    assert finding.kind == "applied"
    assert line in finding.cause


def test_evidence_of_a_lab_is_refused_unless_it_is_allowed(tmp_path: Path) -> None:
    folder = passing_run(tmp_path, of=subjects(lab=True))
    (finding,) = found(folder)
    assert (finding.kind, exit_code([finding])) == ("lab", 99)
    assert finding.cause == "evidence of a lab is no evidence for a GPU node"
    assert found(folder, allow_lab=True) == []


def test_another_cluster_is_named(passed: Path) -> None:
    current = dataclasses.replace(unchanged(), kubernetes="v1.32.0+k3s1", driver="570.86.15")
    findings = found(passed, current=current)
    assert kinds(findings) == ["kubernetes", "driver"]
    assert "v1.31.4+k3s1, and the cluster is v1.32.0+k3s1" in findings[0].cause
    assert "580.65.06, and nodes have 570.86.15" in findings[1].cause
    patched = dataclasses.replace(unchanged(), kubernetes="v1.31.9+k3s1", driver="580.105.08")
    assert found(passed, current=patched) == []


def test_an_old_run_is_refused(passed: Path) -> None:
    run = Recording.open(passed).run
    assert run.ended_unix_seconds is not None
    until = expires(run, Options())
    assert until == run.ended_unix_seconds + 90 * DAY_SECONDS
    assert found(passed, now=until) == []
    (finding,) = found(passed, now=until + DAY_SECONDS)
    assert (finding.kind, exit_code([finding])) == ("age", 99)
    assert finding.cause == "the run ended 91 days ago, and holds for 90 days"
    assert found(passed, now=until + DAY_SECONDS, max_age_seconds=100 * DAY_SECONDS) == []
    (ahead,) = found(passed, now=run.ended_unix_seconds - DAY_SECONDS)
    assert ahead.kind == "age"


# all at once


def test_everything_is_told_at_once_and_in_order(tmp_path: Path) -> None:
    folder = passing_run(
        tmp_path,
        good=1,
        of=subjects(lab=True, applied=("Namespace vdi-sessions is not there",), images=(Image("a:1", "sha256:1"),)),
        checks={"stream_validation": (STREAM[0], *OPEN)},
        contention=("another-run",),
    )

    def told(rows: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([rows, rows.iloc[[0]].assign(name="condition_ready", outcome="fail")])

    resample(folder, "checks", "stream_validation", told)
    resample(folder, "milestones", "stream_validation", later)
    (torn,) = (folder / "samples").glob("inputs-*.parquet")
    torn.write_bytes(b"")
    rewrite(folder / "run.json", lambda run: run.update(errors=["it broke"], target="replay"))
    current = Current(
        images={"a:1": "sha256:2"}, kubernetes="v1.32.0", driver="570.1", session=unchanged().session, objects=()
    )
    run = json.loads((folder / "run.json").read_text())
    findings = found(
        folder,
        current=current,
        now=run["ended_unix_seconds"] + 100 * DAY_SECONDS,
        waivers=waive(Required.PREFLIGHT),
    )
    assert kinds(findings) == list(ORDER)
    assert exit_code(findings) == 97
    assert all(finding.cause and finding.remedy for finding in findings)
    assert all("\n" not in str(finding) for finding in findings)


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([Finding("seal", "a", "b"), Finding("age", "a", "b")], 97),
        ([Finding("suite", "a", "b", Outcome.NO_DATA), Finding("age", "a", "b")], 99),
        ([Finding("suite", "a", "b", Outcome.NO_DATA), Finding("schema", "a", "b")], 98),
        ([Finding("outcome", "a", "b", Outcome.FAIL), Finding("suite", "a", "b", Outcome.INVALID)], 97),
        ([Finding("policies", "a", "b", Outcome.NOT_APPLICABLE)], 98),
        ([Finding("of another module", "a", "b")], 99),
    ],
)
def test_the_worst_finding_is_the_exit_code(findings: list[Finding], code: int) -> None:
    assert exit_code(findings) == code
