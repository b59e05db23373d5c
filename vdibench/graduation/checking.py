"""A graduated chart held against its evidence and the manifests that are here: ``graduate --verify CHART``. I/O.

What it is of stands in the chart: neither its run nor a cluster is needed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vdibench.clusters.rendering import PLACEHOLDER
from vdibench.errors import EvidenceError, LabError, UsageError
from vdibench.graduation.contents import Contents, load_yaml, read_chart
from vdibench.graduation.digests import EVIDENCE_FILE, GRADUATED
from vdibench.graduation.findings import Finding
from vdibench.graduation.inspection import inspect
from vdibench.graduation.present import current
from vdibench.graduation.statement import read_statement
from vdibench.graduation.verification import Current
from vdibench.lab.cluster.binaries import binaries
from vdibench.lab.cluster.versions import GO_MODULES
from vdibench.records import Subjects

__all__ = ["chart_subjects", "check_chart", "evidence_of"]

_SESSION = "session.yaml"
# By which a desktop is told of its relay.
_RELAY = "SELKIES_TURN_HOST"


def check_chart(
    chart: Path,
    *,
    now: float,
    public_key: Path | None = None,
    run: Path | None = None,
    manifests: Path | None = None,
    without_manifests: bool = False,
    kubectl: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[Finding, ...]:
    """Everything that speaks against a graduated chart; nothing where it is as it was graduated, and still holds.

    :param chart: its folder, or the ``.tgz`` that helm made of it.
    :param run: folder of the run that it is of; None: the run is not looked at.
    :param manifests: the folder; None for the one that belongs to this package.
    :param without_manifests: what is there is not looked at.
    :param kubectl: the program; None: the machine's own, else the lab's, which is built once.
    :raises UsageError: there is no chart, no kubectl, or the public key cannot be read.
    """
    present: Current | None = None
    missing: tuple[Finding, ...] = ()
    subjects = None if without_manifests else chart_subjects(read_chart(chart))
    if subjects is not None:
        present, missing = _present(subjects, kubectl or _kubectl(say), manifests)
    return (*inspect(chart, public_key=public_key, run=run, current=present, now=now), *missing)


def chart_subjects(contents: Contents) -> Subjects | None:
    """What a chart is of, as far as manifests are built by it; None where its evidence cannot be read."""
    evidence = evidence_of(contents)
    try:
        session = load_yaml(contents.files[f"{GRADUATED}/{_SESSION}"])
    except (KeyError, ValueError):
        return None
    if not evidence or not isinstance(session, list) or not all(isinstance(one, dict) for one in session):
        return None
    return Subjects(
        lab=bool(evidence["hardware"]["lab"]),
        overlay=str(evidence["manifests"]["overlay"]),
        platform=str(evidence["manifests"]["platform"]),
        placeholder=PLACEHOLDER,
        session=tuple(session),
        objects=(),
        relay=_variable(session, _RELAY),
    )


def evidence_of(contents: Contents) -> Mapping[str, Any]:
    """What a chart's evidence says of its run; nothing where it cannot be read, which is a finding of others."""
    try:
        return read_statement(contents.files[f"{GRADUATED}/{EVIDENCE_FILE}"]).predicate
    except (KeyError, EvidenceError):
        return {}


def _kubectl(say: Callable[[str], None]) -> Path:
    """The one program that this takes: whoever only checks a chart need not have the operator's, nor helm."""
    found = shutil.which("kubectl")
    if found is not None:
        return Path(found)
    try:
        return binaries(tuple(module for module in GO_MODULES if module.name == "kubernetes"), say)["kubectl"]
    except LabError as error:
        raise UsageError(
            f"there is no kubectl, and the lab's cannot be built ({error.cause})",
            "install kubectl, or leave the manifests out: --no-manifests",
        ) from error


def _present(subjects: Subjects, kubectl: Path, manifests: Path | None) -> tuple[Current | None, tuple[Finding, ...]]:
    try:
        return current(subjects, kubectl, manifests=manifests), ()
    except UsageError as error:
        return None, (Finding("manifest", error.cause, error.remedy),)
    except (KeyError, TypeError, AttributeError):
        # An edited session may have any form; its digest says that it was edited.
        return None, ()


def _variable(session: list[dict[str, Any]], name: str) -> str:
    """A variable of the session's desktop; empty where it has none, or is no session at all."""
    try:
        values = (
            one.get("value")
            for pod in session
            if pod["kind"] == "Pod"
            for container in pod["spec"]["containers"]
            for one in container.get("env") or ()
            if one["name"] == name
        )
        return str(next(values, "") or "")
    except (KeyError, TypeError, AttributeError):
        return ""
