"""The statement: what it holds, that it is made one way, and that anything else is not read as one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vdibench.errors import EvidenceError
from vdibench.graduation.digests import chart_digests, spec_digest
from vdibench.graduation.findings import Required, Waiver
from vdibench.graduation.shapes import PREDICATE_SHAPE
from vdibench.graduation.statement import (
    ANNOTATION_PREFIX,
    PREDICATE_TYPE,
    STATEMENT_TYPE,
    canonical,
    evidence_annotations,
    instant,
    predicate,
    read_statement,
    statement,
)
from vdibench.records import Image, Outcome

from .graduated_charts import DAY, DIGEST, ENDED, IMAGE, SEAL, SPEC, Graduation, Shown, a_run, a_verdict, subjects

FILES = chart_digests({"Chart.yaml": b"name: vdi\n", "graduated/session.yaml": b"[]\n"})


def document(**changes: Any) -> dict[str, Any]:
    return statement(Graduation(**changes).predicate(), chart=FILES)


def test_canonical_json_is_sorted_indented_and_utf_8() -> None:
    assert canonical({"b": [1.5, True], "a": "ü"}) == '{\n  "a": "ü",\n  "b": [\n    1.5,\n    true\n  ]\n}\n'.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_what_json_has_not_is_refused(value: object) -> None:
    with pytest.raises(EvidenceError, match=r"JSON cannot say what evidence holds: .*: measure again"):
        canonical({"a": value})


def test_a_statement_is_of_in_toto_s_shape() -> None:
    made = document()
    assert set(made) == {"_type", "subject", "predicateType", "predicate"}
    assert (made["_type"], made["predicateType"]) == (STATEMENT_TYPE, PREDICATE_TYPE)
    assert STATEMENT_TYPE == "https://in-toto.io/Statement/v1"
    assert [one["name"] for one in made["subject"]] == [
        "chart/Chart.yaml",
        "chart/graduated/session.yaml",
        IMAGE,
        "run/20261129T110000Z-pipeline-standard/seal.json",
    ]
    digests = {one["name"]: one["digest"] for one in made["subject"]}
    assert digests[IMAGE] == {"sha256": DIGEST}
    assert digests["run/20261129T110000Z-pipeline-standard/seal.json"] == {"sha256": SEAL}
    assert digests["chart/Chart.yaml"] == {"sha256": FILES["chart/Chart.yaml"]}


def test_the_predicate_says_what_the_run_showed() -> None:
    said = Graduation().predicate()
    assert said["run"] == {
        "name": "20261129T110000Z-pipeline-standard",
        "started": "2026-11-29T11:00:00Z",
        "ended": "2026-11-29T12:00:00Z",
        "vdibench": "0.1.0",
        "gitCommit": "0123456789ab",
        "sealSha256": SEAL,
    }
    assert said["verdict"] == "pass"
    assert said["suites"] == [
        {"name": "latency_under_load", "outcome": "pass", "reasons": ["desktops were few"], "waived": False},
        {"name": "gpu_density", "outcome": "pass", "reasons": [], "waived": False},
    ]
    assert said["capacity"] == {
        "sessionsPerGPU": 8,
        "upper": 9,
        "per": "gpu",
        "rule": "95 % of sessions good, every trial",
    }
    assert said["hardware"] == {
        "class": "NVIDIA L4, driver 580.65.06",
        "lab": False,
        "cpu": "Example CPU, 16 cores",
        "gpus": [{"product": "NVIDIA L4", "driver": "580.65.06", "count": 1}],
    }
    assert said["cluster"]["kubernetes"] == "v1.31.4+k3s1"
    assert [node["gpu"] for node in said["cluster"]["nodes"]] == ["NVIDIA-L4"]
    assert said["images"] == [{"name": IMAGE, "digest": f"sha256:{DIGEST}"}]
    assert (said["manifests"]["overlay"], said["manifests"]["platform"]) == ("k3s/session", "k3s")
    assert said["waivers"] == [{"what": "policies", "reason": "the pilot's cluster is our own"}]
    assert said["expires"] == {"at": "2027-02-27T12:00:00Z", "ageSeconds": 90 * DAY}


def test_every_objective_is_there_with_its_sample_count() -> None:
    found = Graduation().predicate()["objectives"]
    assert [(one["suite"], one["metric"], one["samples"]) for one in found] == [
        (suite.suite, one.metric, one.samples) for suite in a_verdict().suites for one in suite.objectives
    ]
    assert found[0] == {
        "suite": "latency_under_load",
        "metric": "glass_to_glass_seconds",
        "expect": "p(95) < 0.150",
        "observed": 0.0415,
        "samples": 4180,
        "unit": "s",
        "outcome": "pass",
    }
    assert (found[2]["outcome"], found[2]["observed"]) == ("not applicable", None)


def test_the_same_run_gives_the_same_bytes() -> None:
    known = subjects()
    turned = dataclasses.replace(known, objects=known.objects[::-1], session=known.session[::-1])
    assert canonical(document()) == canonical(document())
    assert canonical(document()) == canonical(document(of=turned))
    assert canonical(document(age_seconds=90 * DAY)) == canonical(document(age_seconds=90.0 * DAY))


def test_a_waived_suite_says_so() -> None:
    made = Graduation(waivers=[Waiver(Required.DENSITY, "no GPU yet")]).predicate()
    assert [one["waived"] for one in made["suites"]] == [False, True]
    assert made["waivers"] == [{"what": "gpu_density", "reason": "no GPU yet"}]


def test_a_run_that_goes_on_is_no_evidence() -> None:
    with pytest.raises(EvidenceError, match="has not ended: graduate one that has"):
        Graduation(run=a_run(ended_unix_seconds=None)).predicate()


@pytest.mark.parametrize("age", [1e20, float("inf"), float("nan")])
def test_an_age_that_no_date_has_is_refused(age: float) -> None:
    with pytest.raises(EvidenceError, match="choose a shorter age"):
        Graduation(age_seconds=age).predicate()


def test_what_evidence_cannot_say_is_not_written() -> None:
    with pytest.raises(EvidenceError, match=r"cannot be told as evidence: run\.sealSha256 is 'ABC'"):
        Graduation(seal="ABC").predicate()


def test_an_image_without_a_digest_is_no_subject() -> None:
    of = subjects(images=(Image("registry.example.com/vdi/desktop:2"), Image(IMAGE, f"sha256:{DIGEST}")))
    names = [one["name"] for one in document(of=of)["subject"]]
    assert IMAGE in names
    assert "registry.example.com/vdi/desktop:2" not in names


@pytest.mark.parametrize("name", ["chart/Chart.yaml", "run/x/seal.json"])
def test_an_image_is_not_taken_for_another_subject(name: str) -> None:
    with pytest.raises(EvidenceError, match="reads as another subject: name it with its registry"):
        document(of=subjects(images=(Image(name, f"sha256:{DIGEST}"),)))


def test_an_image_of_two_digests_is_refused() -> None:
    images = (Image(IMAGE, f"sha256:{DIGEST}"), Image(IMAGE, f"sha256:{'cd' * 32}"))
    with pytest.raises(EvidenceError, match="had two digests in one run"):
        document(of=subjects(images=images))


def test_annotations_follow_from_predicate_and_spec() -> None:
    assert evidence_annotations(Graduation().predicate(), SPEC) == {
        "vdibench.io/evidence-run": "20261129T110000Z-pipeline-standard",
        "vdibench.io/evidence-seal": SEAL,
        "vdibench.io/evidence-spec": spec_digest(SPEC),
        "vdibench.io/evidence-objectives": (
            "glass_to_glass_seconds p(95) < 0.150; session_failure_ratio avg <= 0; "
            "sessions_per_gpu knee_lower_bound >= 8 at gpu"
        ),
        "vdibench.io/evidence-bounds": "8..9",
        "vdibench.io/evidence-date": "2026-11-29T12:00:00Z",
        "vdibench.io/evidence-expires": "2027-02-27T12:00:00Z",
        "vdibench.io/evidence-hardware": "NVIDIA L4, driver 580.65.06",
        "vdibench.io/evidence-lab": "false",
    }


def test_an_objective_that_was_missed_is_not_in_the_annotations() -> None:
    (latency, density) = a_verdict().suites
    missed = dataclasses.replace(density.objectives[1], outcome=Outcome.FAIL)
    suites = (latency, dataclasses.replace(density, objectives=(missed,)))
    verdict = dataclasses.replace(a_verdict(), suites=suites)
    said = evidence_annotations(Graduation(verdict=verdict).predicate(), SPEC)
    assert "sessions_per_gpu" not in said[f"{ANNOTATION_PREFIX}objectives"]


@pytest.mark.parametrize(
    ("capacity", "bounds"), [(Shown(8, 9), "8..9"), (Shown(8, None), "8.."), (Shown(8, 8), "8..8"), (None, None)]
)
def test_bounds_may_be_open_or_unknown(capacity: Shown | None, bounds: str | None) -> None:
    made = Graduation(capacity=capacity)
    assert evidence_annotations(made.predicate(), SPEC).get(f"{ANNOTATION_PREFIX}bounds") == bounds
    assert read_statement(canonical(statement(made.predicate(), chart=FILES))).predicate == made.predicate()


def test_evidence_of_a_lab_says_so() -> None:
    said = evidence_annotations(Graduation(of=subjects(lab=True)).predicate(), SPEC)
    assert said[f"{ANNOTATION_PREFIX}lab"] == "true"
    assert said[f"{ANNOTATION_PREFIX}hardware"] == "lab: Example CPU, 16 cores, no GPU"


def test_an_instant_is_read_as_it_was_written() -> None:
    assert instant(Graduation().predicate()["run"]["ended"]) == ENDED // 1


def test_what_was_written_is_read() -> None:
    made = document()
    read = read_statement(canonical(made))
    assert read.predicate == made["predicate"]
    assert read.subjects == {one["name"]: one["digest"]["sha256"] for one in made["subject"]}


def drop(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(one: Any) -> None:
        for step in path[:-1]:
            one = one[step]
        del one[path[-1]]

    return change


def put(value: object, *path: str | int) -> Callable[[dict[str, Any]], None]:
    def change(one: Any) -> None:
        for step in path[:-1]:
            one = one[step]
        one[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (put("https://in-toto.io/Statement/v0.1", "_type"), "_type 'https://in-toto.io/Statement/v0.1' instead of"),
        (put("https://slsa.dev/provenance/v1", "predicateType"), "predicateType 'https://slsa.dev/provenance/v1'"),
        (drop("_type"), "_type None"),
        (drop("subject"), "subject is missing"),
        (put({}, "subject"), "subject is no list"),
        (drop("predicate"), "predicate is missing"),
        *((drop("predicate", key), f"predicate.{key} is missing") for key in PREDICATE_SHAPE),
        (drop("predicate", "manifests", "sha256", "parts"), "predicate.manifests.sha256.parts is missing"),
        (put("8", "predicate", "capacity", "sessionsPerGPU"), "predicate.capacity.sessionsPerGPU is '8'"),
        (put(True, "predicate", "capacity", "sessionsPerGPU"), "predicate.capacity.sessionsPerGPU is True"),
        (put("desk", "predicate", "capacity", "per"), "predicate.capacity.per is 'desk'"),
        (put("false", "predicate", "hardware", "lab"), "predicate.hardware.lab is 'false'"),
        (put("fine", "predicate", "verdict"), "predicate.verdict is 'fine'"),
        (put("everything", "predicate", "waivers", 0, "what"), r"predicate.waivers\[0\].what is 'everything'"),
        (put("2026-13-29T12:00:00Z", "predicate", "run", "ended"), "2026-13-29T12:00:00Z is no date"),
        (put("tomorrow", "predicate", "expires", "at"), "predicate.expires.at is 'tomorrow'"),
        (put("AB" * 32, "subject", 0, "digest", "sha256"), r"subject\[0\].digest.sha256 is 'ABAB"),
        (put({"sha512": "ab"}, "subject", 0, "digest"), r"subject\[0\].digest.sha256 is missing"),
        (put("chart/graduated/session.yaml", "subject", 0, "name"), "names a subject twice"),
    ],
)
def test_what_is_not_of_that_shape_is_refused(change: Callable[[dict[str, Any]], None], cause: str) -> None:
    made = json.loads(canonical(document()))
    change(made)
    with pytest.raises(EvidenceError, match=cause):
        read_statement(canonical(made))


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "is damaged"),
        (b"null\n", "has _type None"),
        (b"[]\n", "has _type None"),
        (b"\xff\xfe", "is damaged"),
        (b"[" * 100_000, "is damaged"),
        (b'{"a": 1, "a": 2}', "the key 'a' occurs twice"),
        (b'{"a": NaN}', "is damaged"),
        (b'{"a":1}', "is not byte for byte as it was written"),
    ],
)
def test_what_is_no_evidence_is_refused(data: bytes, cause: str) -> None:
    with pytest.raises(EvidenceError, match=cause):
        read_statement(data)


def test_more_fields_are_left_alone() -> None:
    made = json.loads(canonical(document()))
    made["predicate"]["later"] = {"more": 1}
    assert read_statement(canonical(made)).predicate["later"] == {"more": 1}


DATA = canonical(document())


@settings(deadline=None)
@given(place=st.integers(0, len(DATA) - 1), mask=st.integers(1, 255))
def test_a_byte_that_flips_is_damage_or_another_statement(place: int, mask: int) -> None:
    flipped = bytearray(DATA)
    flipped[place] ^= mask
    try:
        read = read_statement(bytes(flipped))
    except EvidenceError:
        return
    assert read != read_statement(DATA)


def test_a_missing_error_text_still_names_the_file() -> None:
    with pytest.raises(EvidenceError) as caught:
        read_statement(DATA[:-1])
    assert str(caught.value).startswith("evidence.json is not byte for byte as it was written: ")
    assert caught.value.exit_code == 99


def test_predicate_takes_no_clock() -> None:
    """Its arguments are all that it is made of."""
    made = Graduation()
    arguments = {"seal": SEAL, "capacity": Shown(), "parts": [], "waivers": (), "age_seconds": 1.5}
    assert predicate(made.run, made.verdict, made.of, **arguments)["expires"] == {
        "at": "2026-11-29T12:00:01Z",
        "ageSeconds": 1.5,
    }
