"""Evidence, held against the run that it is of: everything that follows from the run is made again. Reads the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vdibench.errors import VdibenchError
from vdibench.graduation.capacity import capacity
from vdibench.graduation.drift import field_differences
from vdibench.graduation.findings import Finding, Required, Waiver
from vdibench.graduation.statement import Statement, predicate
from vdibench.store import Recording
from vdibench.store.seal import broken, seal_digest
from vdibench.store.subjects import load_subjects

__all__ = ["against_run"]


def against_run(folder: Path, statement: Statement, parts: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """What the evidence says and the run does not, and what of the run is not as it was when it ended.

    :param folder: of the run.
    :param parts: the platform's objects as the chart has them.
    """
    name = statement.predicate["run"]["name"]
    for line in broken(folder):
        yield Finding("seal", f"run {folder.name}: {line}", "restore the run from where it came, or measure again")
    try:
        again = _again(folder, statement, parts)
    except VdibenchError as error:
        yield Finding("evidence", f"run {folder.name} gives no evidence: {error.cause}", f"give the run {name}")
        return
    for line in field_differences(again, dict(statement.predicate)):
        path = line.partition(":")[0]
        kind = "seal" if path == "run.sealSha256" else "verdict" if path == "verdict" else "evidence"
        cause = f"what run {folder.name} gives is not what the evidence says: {line}"
        yield Finding(kind, cause, f"give the run {name} as it ended, or graduate this one")


def _again(folder: Path, statement: Statement, parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The predicate that follows from the run, with what persons decided as the evidence has it.

    :raises VdibenchError: the run cannot be read, or is none that evidence can be of.
    """
    said = statement.predicate
    recording, subjects = Recording.open(folder), load_subjects(folder)
    if subjects is None:
        raise VdibenchError(f"run {folder.name} does not say what it was of")
    # Where density was waived, nothing is shipped of what it may have shown.
    shipped = said["capacity"]["sessionsPerGPU"] is not None
    return predicate(
        recording.run,
        recording.verdict,
        subjects,
        seal=seal_digest(folder),
        capacity=capacity(recording, subjects) if shipped else None,
        parts=parts,
        waivers=[Waiver(Required(one["what"]), one["reason"]) for one in said["waivers"]],
        age_seconds=said["expires"]["ageSeconds"],
    )
