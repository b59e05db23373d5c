"""Evidence, held against the run that it is of: everything that follows from the run is made again. Reads the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vdibench.errors import EvidenceError, StoreError
from vdibench.graduation.capacity import capacity
from vdibench.graduation.drift import differing_fields
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
        recording, subjects, seal = Recording.open(folder), load_subjects(folder), seal_digest(folder)
        if recording.run.name != name:
            cause = f"the run is {recording.run.name}, and the evidence is of {name}"
            yield Finding("evidence", cause, f"give the run {name}")
            return
        if subjects is None:
            yield Finding("evidence", f"run {name} does not say what it was of", f"give the run {name} as it was")
            return
        shown = capacity(recording, subjects)
        again = predicate(
            recording.run,
            recording.verdict,
            subjects,
            seal=seal,
            # Where density was waived, nothing is shipped of what it may have shown.
            capacity=shown if statement.predicate["capacity"]["sessionsPerGPU"] is not None else None,
            parts=parts,
            waivers=[Waiver(Required(one["what"]), one["reason"]) for one in statement.predicate["waivers"]],
            age_seconds=statement.predicate["expires"]["ageSeconds"],
        )
    except (StoreError, EvidenceError) as error:
        yield Finding("seal", f"run {folder.name}: {error.cause}", error.remedy)
        return
    for line in differing_fields(again, statement.predicate):
        path = line.partition(" ")[0]
        kind = "seal" if path == "run.sealSha256" else "verdict" if path == "verdict" else "evidence"
        yield Finding(kind, f"of run {name} the evidence says otherwise: {line}", "graduate the run as it is")
