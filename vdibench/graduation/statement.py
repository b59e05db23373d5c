"""Evidence: what a run showed of a chart's files, as an in-toto Statement v1, and the annotations that say it. Pure.

Everything follows from the run, the manifests and the chart's files. No clock is read, so the same run gives the same
bytes. What is only for this project stands in the predicate; names and digests stand where any in-toto tool reads them.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Protocol

from vdibench.errors import EvidenceError
from vdibench.graduation.digests import (
    CHART_PREFIX,
    ENVELOPE_FILE,
    EVIDENCE_FILE,
    chart_digests,
    objects_digest,
    spec_digest,
)
from vdibench.graduation.findings import Waiver
from vdibench.graduation.hardware import hardware_class, lab_evidence
from vdibench.graduation.shapes import PREDICATE_SHAPE, SUBJECTS_SHAPE, mismatch
from vdibench.records import Node, Outcome, Run, Subjects, Verdict

__all__ = [
    "ANNOTATION_PREFIX",
    "ENVELOPE_FILE",
    "EVIDENCE_FILE",
    "PREDICATE_TYPE",
    "STATEMENT_TYPE",
    "Bounds",
    "Statement",
    "canonical",
    "chart_digests",
    "evidence_annotations",
    "instant",
    "predicate",
    "read_statement",
    "seal_subject",
    "spec_digest",
    "statement",
]

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://vdibench.io/evidence/v1"
ANNOTATION_PREFIX = "vdibench.io/evidence-"
# How the name of the subject begins that is the run's seal.
_RUN_PREFIX = "run/"

_INSTANT = "%Y-%m-%dT%H:%M:%SZ"
_CHECK = "check:"
_AGAIN = "graduate the run again, or restore the chart from where it came"


class Bounds(Protocol):
    """How many sessions fit: what is known of the knee, for one GPU."""

    @property
    def sessions_per_gpu(self) -> int:
        """Largest number that is known to be good; what is shipped."""

    @property
    def upper(self) -> int | None:
        """Largest number that may still be good; None: none was bad."""

    @property
    def per(self) -> str:
        """``gpu``, or ``host`` where no GPU stood behind the desktops."""

    @property
    def rule(self) -> str:
        """How levels were decided, in words."""


@dataclass(frozen=True, slots=True)
class Statement:
    """Evidence as read, of the shape that it must have.

    :param subjects: SHA-256 by name: files of the chart, images, the run's seal.
    """

    subjects: Mapping[str, str]
    predicate: Mapping[str, Any]


def canonical(document: object) -> bytes:
    """The one way to write a document: keys sorted, indented by two, UTF-8, a line break at the end.

    :raises EvidenceError: JSON has no such number or text.
    """
    try:
        text = json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
        return f"{text}\n".encode()
    except ValueError as error:  # NaN, an infinity, half a surrogate pair
        raise EvidenceError(f"JSON cannot say what evidence holds: {error}", "measure again") from error


def instant(text: str) -> float:
    """Unix seconds of an instant as evidence writes them.

    :raises ValueError: it is none.
    """
    return datetime.strptime(text, _INSTANT).replace(tzinfo=UTC).timestamp()


def predicate(
    run: Run,
    verdict: Verdict,
    subjects: Subjects,
    *,
    seal: str,
    capacity: Bounds | None,
    parts: Iterable[Mapping[str, Any]],
    waivers: Sequence[Waiver] = (),
    age_seconds: float,
) -> dict[str, Any]:
    """What the run showed: the part of a statement that does not know the chart's files.

    :param seal: SHA-256 of the run's ``seal.json``.
    :param capacity: None where density was waived and is not known.
    :param parts: the platform's objects as they are shipped, of all parts together.
    :param age_seconds: for how long after the run's end it counts.
    :raises EvidenceError: the run has not ended, no date can say when the evidence expires, or what is given has not
        the shape of evidence.
    """
    if run.ended_unix_seconds is None:
        raise EvidenceError(f"the run {run.name} has not ended", "graduate one that has")
    ended = _instant(run.ended_unix_seconds)
    made: dict[str, Any] = {
        "run": {
            "name": run.name,
            "started": _instant(run.started_unix_seconds),
            "ended": ended,
            "vdibench": str(run.versions.get("vdibench", "")),
            "gitCommit": run.git_commit,
            "sealSha256": seal,
        },
        "verdict": str(verdict.outcome),
        "suites": _suites(verdict, {str(waiver.what) for waiver in waivers}),
        "objectives": _objectives(verdict),
        "capacity": {
            "sessionsPerGPU": int(capacity.sessions_per_gpu) if capacity is not None else None,
            "upper": int(capacity.upper) if capacity is not None and capacity.upper is not None else None,
            "per": capacity.per if capacity is not None else "",
            "rule": capacity.rule if capacity is not None else "",
        },
        "hardware": {
            "class": hardware_class(run, subjects),
            "lab": lab_evidence(run, subjects),
            "cpu": _cpu(run),
            "gpus": [
                {"product": _product(one), "driver": one.driver, "count": one.gpus * one.count}
                for one in subjects.nodes
                if one.gpu
            ],
        },
        "cluster": {
            "kubernetes": subjects.kubernetes,
            "nodes": [dataclasses.asdict(node) for node in subjects.nodes],
        },
        "images": [
            {"name": name, "digest": digest} for name, digest in sorted({(i.name, i.digest) for i in subjects.images})
        ],
        "manifests": {
            "overlay": subjects.overlay,
            "platform": subjects.platform,
            "sha256": {
                "session": objects_digest(subjects.session),
                "platform": objects_digest(subjects.objects),
                "parts": objects_digest(parts),
            },
        },
        "waivers": [{"what": str(waiver.what), "reason": waiver.reason} for waiver in waivers],
        "expires": {"at": _instant(instant(ended) + age_seconds), "ageSeconds": _whole(age_seconds)},
    }
    if wrong := mismatch(made, PREDICATE_SHAPE):
        raise EvidenceError(f"the run {run.name} cannot be told as evidence: {wrong}", "measure again")
    return made


def evidence_annotations(evidence: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, str]:
    """What a template says of its evidence, for the operator and for people.

    :param evidence: a :func:`predicate`.
    :param spec: of the template, with every field written out, as the API server has it.
    """
    least, most = evidence["capacity"]["sessionsPerGPU"], evidence["capacity"]["upper"]
    # In the order of the verdict, each once: suites share objectives.
    kept = dict.fromkeys(
        f"{one['metric']} {one['expect']}"
        for one in evidence["objectives"]
        if one["outcome"] == Outcome.PASS and not one["metric"].startswith(_CHECK)
    )
    said = {
        "run": evidence["run"]["name"],
        "seal": evidence["run"]["sealSha256"],
        "spec": spec_digest(spec),
        "objectives": "; ".join(kept),
        "date": evidence["run"]["ended"],
        "expires": evidence["expires"]["at"],
        "hardware": evidence["hardware"]["class"],
        "lab": "true" if evidence["hardware"]["lab"] else "false",
    }
    if least is not None:
        said["bounds"] = f"{least}..{'' if most is None else most}"
    return {f"{ANNOTATION_PREFIX}{name}": str(value) for name, value in said.items()}


def seal_subject(run: str) -> str:
    """Name of the subject that is a run's seal."""
    return f"{_RUN_PREFIX}{run}/seal.json"


def statement(evidence: Mapping[str, Any], *, chart: Mapping[str, str]) -> dict[str, Any]:
    """The whole statement: :func:`canonical` makes the content of ``evidence.json`` of it.

    :param evidence: a :func:`predicate`.
    :param chart: :func:`vdibench.graduation.digests.chart_digests` of the chart, complete but for the evidence.
    :raises EvidenceError: an image had two digests, or has the name of another subject.
    """
    subjects = dict(chart)
    subjects[seal_subject(evidence["run"]["name"])] = evidence["run"]["sealSha256"]
    for image in evidence["images"]:
        name, digest = image["name"], image["digest"].removeprefix("sha256:")
        if not digest:
            continue
        if name.startswith((CHART_PREFIX, _RUN_PREFIX)):
            raise EvidenceError(f"the image {name} reads as another subject", "name it with its registry")
        if subjects.setdefault(name, digest) != digest:
            raise EvidenceError(f"the image {name} had two digests in one run", "pin its digest and measure again")
    return {
        "_type": STATEMENT_TYPE,
        "predicateType": PREDICATE_TYPE,
        "subject": [{"name": name, "digest": {"sha256": subjects[name]}} for name in sorted(subjects)],
        "predicate": dict(evidence),
    }


def read_statement(data: bytes) -> Statement:
    """Evidence from the content of ``evidence.json``.

    :raises EvidenceError: damaged, of another type, without something that must be there, or not as it was written.
    """
    raw = _parsed(data)
    for key, wanted in (("_type", STATEMENT_TYPE), ("predicateType", PREDICATE_TYPE)):
        said = raw.get(key) if isinstance(raw, dict) else None
        if said != wanted:
            raise EvidenceError(
                f"{EVIDENCE_FILE} has {key} {said!r} instead of {wanted}", "read it with the vdibench that it is of"
            )
    shape = {"subject": SUBJECTS_SHAPE, "predicate": PREDICATE_SHAPE}
    if wrong := mismatch(raw, shape) or _undated(raw["predicate"]):
        raise EvidenceError(f"{EVIDENCE_FILE} is damaged: {wrong}", _AGAIN)
    subjects = {one["name"]: one["digest"]["sha256"] for one in raw["subject"]}
    if len(subjects) != len(raw["subject"]):
        raise EvidenceError(f"{EVIDENCE_FILE} names a subject twice", _AGAIN)
    return Statement(MappingProxyType(subjects), MappingProxyType(raw["predicate"]))


def _parsed(data: bytes) -> Any:
    try:
        raw = json.loads(data, object_pairs_hook=_once)
        again = canonical(raw)
    except (ValueError, RecursionError, EvidenceError) as error:
        raise EvidenceError(f"{EVIDENCE_FILE} is damaged: {error}", _AGAIN) from error
    if again != data:
        raise EvidenceError(f"{EVIDENCE_FILE} is not byte for byte as it was written", _AGAIN)
    return raw


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys occur once: of two, readers would take different ones."""
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f"the key {key!r} occurs twice")
        made[key] = value
    return made


def _undated(evidence: Mapping[str, Any]) -> str | None:
    for text in (evidence["run"]["started"], evidence["run"]["ended"], evidence["expires"]["at"]):
        try:
            instant(text)
        except ValueError:
            return f"{text} is no date"
    return None


def _suites(verdict: Verdict, waived: set[str]) -> list[dict[str, Any]]:
    return [
        {
            "name": one.suite,
            "outcome": str(one.outcome),
            "reasons": list(one.reasons),
            "waived": one.suite in waived,
        }
        for one in verdict.suites
    ]


def _objectives(verdict: Verdict) -> list[dict[str, Any]]:
    return [
        {
            "suite": suite.suite,
            "metric": one.metric,
            "expect": one.expect,
            "observed": float(one.observed) if one.observed is not None and math.isfinite(one.observed) else None,
            "samples": int(one.samples),
            "unit": one.unit,
            "outcome": str(one.outcome),
        }
        for suite in verdict.suites
        for one in suite.objectives
    ]


def _product(node: Node) -> str:
    """``NVIDIA L4`` of the label ``NVIDIA-L4-SHARED``, which says of the slices that they share it."""
    return node.gpu.removesuffix("-SHARED").replace("-", " ")


def _cpu(run: Run) -> str:
    cores = run.host.get("cpu_cores")
    return f"{run.host.get('cpu_model') or 'unknown CPU'}{f', {cores} cores' if cores else ''}"


def _whole(seconds: float) -> float:
    """Written one way, whether it came as 90 or 90.0."""
    return int(seconds) if float(seconds).is_integer() else float(seconds)


def _instant(unix_seconds: float) -> str:
    """UTC, to the second that has begun."""
    try:
        return datetime.fromtimestamp(math.floor(unix_seconds), UTC).strftime(_INSTANT)
    except (OverflowError, ValueError, OSError) as error:
        raise EvidenceError(f"no date is {unix_seconds:g} s after 1970", "choose a shorter age") from error
