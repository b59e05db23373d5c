"""A graduated chart, held against its evidence: ``vdibench graduate --verify CHART``. Reads files; changes nothing.

Without a key this tells a chart that was changed by accident, or by somebody who did not change the evidence too. Who
made the evidence is told by a signature; whether it is true, by the run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdibench.errors import EvidenceError
from vdibench.graduation.contents import Contents, load_yaml, read_chart
from vdibench.graduation.digests import CHART_PREFIX, GRADUATED, objects_digest
from vdibench.graduation.drift import driver_findings, image_findings, kubernetes_findings, manifest_findings
from vdibench.graduation.findings import Finding
from vdibench.graduation.origin import against_run
from vdibench.graduation.signing import check, check_payload
from vdibench.graduation.statement import (
    ANNOTATION_PREFIX,
    ENVELOPE_FILE,
    EVIDENCE_FILE,
    Statement,
    chart_digests,
    evidence_annotations,
    instant,
    read_statement,
    seal_subject,
)
from vdibench.records import Image, Node
from vdibench.store.subjects import unmeasured

if TYPE_CHECKING:
    from vdibench.graduation.verification import Current

__all__ = ["ORDER", "inspect"]

# Of findings, by kind; others come last.
ORDER = (
    "schema",
    "state",
    "seal",
    "synthetic",
    "verdict",
    "outcome",
    "suite",
    "policies",
    "conditions",
    "manifest",
    "image",
    "applied",
    "lab",
    "age",
    "kubernetes",
    "driver",
    "equality",
    "chart",
    "evidence",
    "signature",
    "template",
    "expired",
)

_EVIDENCE = f"{GRADUATED}/{EVIDENCE_FILE}"
_ENVELOPE = f"{GRADUATED}/{ENVELOPE_FILE}"
_TEMPLATES = f"{GRADUATED}/templates.yaml"
_SESSION = f"{GRADUATED}/session.yaml"
_SECRET = "Secret"

_RESTORE = "restore the chart from where it came, or graduate the run again"
_REVALIDATE = "measure and graduate what the manifests are now, or bring back what was validated"

Object = Mapping[str, Any]


def inspect(
    chart: Path,
    *,
    public_key: Path | None = None,
    run: Path | None = None,
    current: Current | None = None,
    now: float,
) -> tuple[Finding, ...]:
    """Everything that speaks against a graduated chart; nothing where it is as it was graduated.

    :param chart: its folder, or the ``.tgz`` that helm made of it.
    :param public_key: PEM file; None: an envelope is held against the evidence, and need not be there.
    :param run: folder of the run that it is of; None: the run is not looked at.
    :param current: what the manifests are now; None: they are not looked at.
    :param now: Unix seconds, by which evidence has expired or not.
    :raises UsageError: there is no chart, or the public key cannot be read.
    """
    contents = read_chart(chart)
    found = [Finding("chart", one, _RESTORE) for one in contents.odd]
    data = contents.files.get(_EVIDENCE)
    if data is None:
        remedy = "it was not graduated, or its evidence was taken out: vdibench graduate RUN"
        found.append(Finding("evidence", f"{chart} has no {_EVIDENCE}", remedy))
        return _ordered(found)
    found.extend(_signature(contents, data, public_key))
    try:
        statement = read_statement(data)
    except EvidenceError as error:
        found.append(Finding("evidence", error.cause, error.remedy))
        return _ordered(found)
    found.extend(_files(contents, statement))
    found.extend(_coherence(statement))
    found.extend(_templates(contents, statement))
    found.extend(_manifests(contents, statement))
    if now > instant(statement.predicate["expires"]["at"]):
        said = f"the evidence of run {statement.predicate['run']['name']} expired at"
        remedy = "measure again and graduate that run"
        found.append(Finding("expired", f"{said} {statement.predicate['expires']['at']}", remedy))
    if run is not None:
        found.extend(against_run(run, statement, list(_platform(contents))))
    if current is not None:
        found.extend(_drift(contents, statement, current))
    return _ordered(found)


def _ordered(found: Iterable[Finding]) -> tuple[Finding, ...]:
    places = {kind: place for place, kind in enumerate(ORDER)}
    return tuple(sorted(found, key=lambda one: places.get(one.kind, len(ORDER))))


def _signature(contents: Contents, evidence: bytes, public_key: Path | None) -> Iterator[Finding]:
    envelope = contents.files.get(_ENVELOPE)
    if envelope is None:
        if public_key is not None:
            remedy = "graduate with --key, or do without --public-key and trust whoever could write the chart"
            yield Finding("signature", f"the evidence is not signed: there is no {_ENVELOPE}", remedy)
        return
    try:
        if public_key is None:
            check_payload(envelope, evidence)
        else:
            check(envelope, evidence, public_key)
    except EvidenceError as error:
        yield Finding("signature", error.cause, error.remedy)


def _files(contents: Contents, statement: Statement) -> Iterator[Finding]:
    said = {name: digest for name, digest in statement.subjects.items() if name.startswith(CHART_PREFIX)}
    there = chart_digests(contents.files)
    for name in sorted(said.keys() | there.keys()):
        path = name.removeprefix(CHART_PREFIX)
        if name not in there:
            yield Finding("chart", f"{path} is missing from the chart", _RESTORE)
        elif name not in said:
            yield Finding("chart", f"{path} was added to the chart after it was graduated", _RESTORE)
        elif said[name] != there[name]:
            yield Finding("chart", f"{path} was changed after it was graduated", _RESTORE)


def _coherence(statement: Statement) -> Iterator[Finding]:
    """Evidence says several things twice: whoever changes one of them must know of the other."""
    evidence, remedy = statement.predicate, "the evidence was edited: restore it, or graduate the run again"
    run, capacity, expires = evidence["run"], evidence["capacity"], evidence["expires"]
    known = {seal_subject(run["name"]): run["sealSha256"]}
    known |= {one["name"]: one["digest"].removeprefix("sha256:") for one in evidence["images"] if one["digest"]}
    others = {name: digest for name, digest in statement.subjects.items() if not name.startswith(CHART_PREFIX)}
    for name in sorted(known.keys() | others.keys()):
        if known.get(name) != others.get(name):
            cause = f"the evidence contradicts itself about the digest of {name}"
            yield Finding("evidence", cause, remedy)
    if instant(expires["at"]) - instant(run["ended"]) != expires["ageSeconds"] // 1:
        cause = f"the evidence expires at {expires['at']}, which is not {expires['ageSeconds']} s after {run['ended']}"
        yield Finding("evidence", cause, remedy)
    shipped = capacity["sessionsPerGPU"]
    for one in evidence["objectives"]:
        if shipped is None or one["observed"] is None or not one["expect"].startswith("knee_lower_bound"):
            continue
        if shipped > one["observed"]:
            cause = f"{shipped} sessions are shipped and {one['metric']} was {one['observed']:g}"
            yield Finding("evidence", cause, remedy)
    least, most = shipped or 0, capacity["upper"]
    if most is not None and most < least:
        yield Finding("evidence", f"the bounds {least}..{most} of the capacity are no bounds", remedy)


def _templates(contents: Contents, statement: Statement) -> Iterator[Finding]:
    templates = _listed(contents, _TEMPLATES)
    if not templates:
        yield Finding("template", f"{_TEMPLATES} has no list of VDITemplates", _RESTORE)
        return
    for template in templates:
        name, spec = f"{template.get('kind')} {_name(template)[2]}", template.get("spec")
        if template.get("kind") != "VDITemplate" or not isinstance(spec, Mapping):
            yield Finding("template", f"{_TEMPLATES} has {name}, which is no VDITemplate", _RESTORE)
            continue
        metadata = template.get("metadata")
        annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
        annotations = annotations if isinstance(annotations, Mapping) else {}
        said = {key: value for key, value in annotations.items() if key.startswith(ANNOTATION_PREFIX)}
        for line in _unlike(evidence_annotations(statement.predicate, spec), said):
            yield Finding("template", f"{name}: annotation {line}", _RESTORE)
        capacity = spec.get("capacity")
        shipped = capacity.get("sessionsPerGPU") if isinstance(capacity, Mapping) else None
        shown = statement.predicate["capacity"]["sessionsPerGPU"]
        if shipped != shown:
            cause = f"{name}: capacity.sessionsPerGPU is {shipped}, and the run showed {shown}"
            yield Finding("template", cause, _RESTORE)


def _unlike(right: Mapping[str, str], said: Mapping[str, object]) -> Iterator[str]:
    for key in sorted({*right, *said}):
        if key not in said:
            yield f"{key} is missing"
        elif key not in right:
            yield f"{key} is {said[key]!r}, of which the evidence says nothing"
        elif said[key] != right[key] and key == f"{ANNOTATION_PREFIX}spec":
            yield f"{key} is {said[key]!r}, and its spec has {right[key]!r}: one of them was edited"
        elif said[key] != right[key]:
            yield f"{key} is {said[key]!r}, and the evidence says {right[key]!r}"


def _manifests(contents: Contents, statement: Statement) -> Iterator[Finding]:
    digests = statement.predicate["manifests"]["sha256"]
    session = _listed(contents, _SESSION)
    if session is None:
        yield Finding("manifest", f"{_SESSION} has no list of objects", _RESTORE)
    elif objects_digest(session) != digests["session"]:
        yield Finding("manifest", f"{_SESSION} is not what was validated", _RESTORE)
    for path in _parts(contents):
        if _listed(contents, path) is None:
            yield Finding("manifest", f"{path} has no list of objects", _RESTORE)
    if objects_digest(_platform(contents)) != digests["parts"]:
        where = ", ".join(path.removeprefix(f"{GRADUATED}/") for path in _parts(contents)) or "no part"
        yield Finding("manifest", f"the platform's objects ({where}) are not those that were validated", _RESTORE)


def _drift(contents: Contents, statement: Statement, current: Current) -> Iterator[Finding]:
    """What manifests, images and versions are now. What a suite sets for itself says nothing."""
    evidence = statement.predicate
    session = _listed(contents, _SESSION) or []
    # Another session.yaml than the validated one is found already, and what it says of now is nothing.
    if objects_digest(session) == evidence["manifests"]["sha256"]["session"]:
        yield from manifest_findings(unmeasured(session), unmeasured(current.session), of="a session")
    objects = [one for one in current.objects if one.get("kind") != _SECRET]
    if objects_digest(objects) != evidence["manifests"]["sha256"]["platform"]:
        yield from _platform_drift(contents, objects)
    images = [Image(one["name"], one["digest"]) for one in evidence["images"]]
    yield from image_findings(images, current.images, lab=evidence["hardware"]["lab"])
    yield from kubernetes_findings(evidence["cluster"]["kubernetes"], current.kubernetes)
    nodes = [Node(one["kubelet"], driver=one["driver"]) for one in evidence["cluster"]["nodes"]]
    yield from driver_findings(nodes, current.driver)


def _platform_drift(contents: Contents, now: Iterable[Object]) -> Iterator[Finding]:
    """Only what is shipped can be named: of the rest of the overlay the evidence has but the digest."""
    shipped = list(_platform(contents))
    names = {_name(one) for one in shipped}
    found = list(manifest_findings(shipped, [one for one in now if _name(one) in names], of="the platform"))
    cause = "an object of the platform that is not shipped is not as it was in the run, is gone, or came"
    yield from found or [Finding("manifest", cause, _REVALIDATE)]


def _name(one: Object) -> tuple[str, str, str]:
    metadata = one.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    return str(one.get("kind")), str(metadata.get("namespace")), str(metadata.get("name"))


def _platform(contents: Contents) -> Iterator[Object]:
    for path in _parts(contents):
        yield from _listed(contents, path) or ()


def _parts(contents: Contents) -> list[str]:
    """Paths of the parts: what is graduated beside the session and its templates."""
    return sorted(
        path
        for path in contents.files
        if path.startswith(f"{GRADUATED}/") and path.endswith(".yaml") and path not in (_TEMPLATES, _SESSION)
    )


def _listed(contents: Contents, path: str) -> list[dict[str, Any]] | None:
    """The objects of a file in JSON's types; None where it is not there, no YAML, or no list of objects."""
    try:
        read = json.loads(json.dumps(load_yaml(contents.files[path])))
    except (KeyError, RecursionError, TypeError, ValueError):
        return None
    return read if isinstance(read, list) and all(isinstance(one, dict) for one in read) else None
