"""Whether a run may be shipped: everything that stands against it, all at once. Reads the run folder, changes nothing.

The kinds of findings, in their order, and the exit code of each; the worst is that of the whole (:func:`exit_code`):

===============  ======================================================  =========
kind             what it says                                            exit code
===============  ======================================================  =========
``schema``       it does not say what it was of, or samples are torn     98
``state``        it did not finish, or not without errors                97
``seal``         a file is not as the run left it                        97
``synthetic``    no desktop was there, but a replay of one               97
``contention``   another run measured on that machine meanwhile          97
``verdict``      the stored verdict is not what its samples say          99
``outcome``      its verdict is no pass                                  of it
``suite``        something that must have passed did not, or is absent   of it
``policies``     the same of a cluster's policies                        of it
``waiver``       a waiver has no reason, or is not needed                99
``conditions``   a session of the run had a condition that fails         99
``manifest``     manifests are others now                                99
``image``        images are others now, or cannot be told apart          99
``applied``      the cluster had something else than the manifests       99
``lab``          it was on no GPU node                                   99
``age``          it is too old                                           99
``kubernetes``   the cluster has another minor version now               99
``driver``       nodes have another major version of the driver now      99
===============  ======================================================  =========

"Of it": 97 for invalid, 98 for no data, 99 for a fail. As for verdicts, invalid outranks a fail, and a fail no data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from vdibench.graduation.drift import (
    applied_findings,
    driver_findings,
    image_findings,
    kubernetes_findings,
    manifest_findings,
)
from vdibench.graduation.findings import Finding, Waiver
from vdibench.graduation.hardware import lab_evidence
from vdibench.graduation.recomputation import CONDITION_PREFIX, recomputed, verdict_differences
from vdibench.graduation.requirements import requirement_findings
from vdibench.records import EXIT_CODES, TABLES, Outcome, Run, RunState, Subjects, Verdict
from vdibench.store import Recording, broken, unmeasured
from vdibench.store.documents import load_verdict

__all__ = ["DAY_SECONDS", "Current", "Options", "exit_code", "expires", "verify"]

DAY_SECONDS = 86_400.0
_FUTURE_SECONDS = 300.0  # that clocks of two machines may be apart
_AGAIN = "measure again"
_RESTORE = "restore the file as the run left it, or measure again"
_CODES = MappingProxyType({"schema": 98, "state": 97, "seal": 97, "synthetic": 97, "contention": 97})
_OTHER_CODE = 99
_RANK = (97, 99, 98)


@dataclass(frozen=True, slots=True)
class Current:
    """What manifests, and where it was asked the cluster, have now.

    :param session: objects of one session, of the same user as those of the run; what suites set by their parameters
        (:data:`vdibench.records.subjects.MEASURED_VARIABLES`) counts on neither side.
    :param objects: those of the platform's overlay.
    :param images: digest by name, empty where it is not known; nothing at all where nobody asked.
    :param kubernetes: version of the API server; empty: not asked.
    :param driver: version of the NVIDIA driver; empty: not asked, or none.
    """

    session: tuple[Mapping[str, Any], ...] = ()
    objects: tuple[Mapping[str, Any], ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)
    kubernetes: str = ""
    driver: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """What a person decides. A replay is never shipped, whatever is asked for.

    :param max_age_seconds: of a run, from its end.
    :param allow_lab: evidence of a lab will do, such as for a lab.
    """

    waivers: tuple[Waiver, ...] = ()
    max_age_seconds: float = 90 * DAY_SECONDS
    allow_lab: bool = False


def expires(run: Run, options: Options) -> float:
    """Until when a run is evidence, in Unix seconds; one that did not end is none."""
    return 0.0 if run.ended_unix_seconds is None else run.ended_unix_seconds + options.max_age_seconds


def verify(
    recording: Recording, subjects: Subjects | None, *, current: Current, options: Options, now: float
) -> tuple[Finding, ...]:
    """Everything that stands against shipping what a run was of; nothing, where it may be shipped.

    :param subjects: of the run; None where it has none.
    :param now: Unix seconds.
    """
    run, tables = recording.run, recording.tables
    again = recomputed(recording)
    for name in TABLES:
        recording.table(name)  # whatever cannot be read is damage, also where nothing needed it
    return (
        *_schema(recording, subjects),
        *_state(run),
        *(Finding("seal", line, _RESTORE) for line in broken(recording.folder)),
        *_synthetic(run),
        *_contention(run),
        *_verdict(recording, again),
        *requirement_findings(again, tables, options.waivers),
        *_conditions(recording),
        *(_of_subjects(run, subjects, current, options) if subjects is not None else ()),
        *_age(run, options, now),
        *(_of_cluster(subjects, current) if subjects is not None else ()),
    )


def exit_code(findings: Iterable[Finding]) -> int:
    """For the shell: 0 where nothing stands against it, else see the module's table."""
    codes = {_code(finding) for finding in findings}
    return next((code for code in _RANK if code in codes), 0)


def _code(finding: Finding) -> int:
    if finding.outcome is not None and finding.outcome is not Outcome.PASS:
        return EXIT_CODES[finding.outcome]
    return _CODES.get(finding.kind, _OTHER_CODE)


# the run itself


def _schema(recording: Recording, subjects: Subjects | None) -> Iterator[Finding]:
    run = recording.run
    if subjects is None:
        yield Finding(
            "schema",
            f"the run, of target {run.target} and schema {run.schema}, does not say which manifests it was of",
            "measure again with this vdibench and target manifests or operator",
        )
    elif not subjects.session:
        yield Finding("schema", "subjects.json has no object of a session", _AGAIN)
    for line in dict.fromkeys(recording.damage):
        yield Finding("schema", line, _RESTORE)


def _state(run: Run) -> Iterator[Finding]:
    if run.state is RunState.RUNNING:
        yield Finding("state", "the run is still running", "wait until it has ended")
    elif run.state is not RunState.FINISHED:
        yield Finding("state", f"the run did not finish: it is {run.state}", _AGAIN)
    for error in run.errors:
        yield Finding("state", f"the run had an error: {error}", "mend it, and measure again")


def _synthetic(run: Run) -> Iterator[Finding]:
    if run.context.get("synthetic") is True or run.target.partition(":")[0] == "replay":
        yield Finding("synthetic", "the run was of a replay, and no desktop was there", "measure desktops")


def _contention(run: Run) -> Iterator[Finding]:
    if run.contention:
        cause = f"{', '.join(run.contention)} measured on the same machine meanwhile"
        yield Finding("contention", cause, "measure again, one run at a time")


def _verdict(recording: Recording, again: Verdict) -> Iterator[Finding]:
    stored = load_verdict(recording.folder)
    if stored is None:
        yield Finding("verdict", "the run has no verdict", _AGAIN)
        return
    for line in verdict_differences(stored, again):
        cause = f"the stored verdict is not what the samples say: {line}"
        yield Finding("verdict", cause, "trust neither, and measure again")


def _conditions(recording: Recording) -> Iterator[Finding]:
    """What an operator said of sessions that did not come up, or not for good."""
    rows = recording.table("checks")
    for row in rows[rows["name"].str.startswith(CONDITION_PREFIX)].to_dict("records"):
        if row["outcome"] != Outcome.PASS.value:
            cause = f"{row['session']} of {row['suite']}: {row['name']}: {row['finding']}"
            yield Finding("conditions", cause, str(row["remedy"]) or _AGAIN)


# what it was of


def _of_subjects(run: Run, subjects: Subjects, current: Current, options: Options) -> Iterator[Finding]:
    # Picture, rates and mode are those of the run: manifests have their own, and a template gets what was measured.
    yield from manifest_findings(unmeasured(subjects.session), unmeasured(current.session), of="a session")
    yield from manifest_findings(subjects.objects, current.objects, of="the platform")
    yield from image_findings(subjects.images, current.images, lab=subjects.lab)
    yield from applied_findings(subjects.applied)
    if lab_evidence(run, subjects) and not options.allow_lab:
        yield Finding(
            "lab",
            "evidence of a lab is no evidence for a GPU node",
            "measure on one, or allow it where the chart is for a lab (--allow-lab)",
        )


def _age(run: Run, options: Options, now: float) -> Iterator[Finding]:
    ended = run.ended_unix_seconds
    if ended is None:
        return  # its state says so
    if ended > now + _FUTURE_SECONDS:
        yield Finding("age", "the run ended later than it is now", "set the clocks of both machines")
    elif now > expires(run, options):
        cause = f"the run ended {_days(now - ended)} ago, and holds for {_days(options.max_age_seconds)}"
        yield Finding("age", cause, _AGAIN)


def _days(seconds: float) -> str:
    return f"{seconds / DAY_SECONDS:.4g} days"


def _of_cluster(subjects: Subjects, current: Current) -> Iterator[Finding]:
    yield from kubernetes_findings(subjects.kubernetes, current.kubernetes)
    yield from driver_findings(subjects.nodes, current.driver)
