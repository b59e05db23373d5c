"""Suite of notebook 05: what a run was of, what stands against shipping it, and the chart that follows. Reads a run."""

from __future__ import annotations

import dataclasses
import html
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from vdibench.errors import ParameterError, StoreError, VdibenchError
from vdibench.graduation.findings import REQUIRED, Finding, Required, Waiver
from vdibench.graduation.graduate import Candidate, Graduated, Request
from vdibench.records import Image, Outcome, Verdict
from vdibench.report import formats
from vdibench.report.graduation_tables import (
    evidence_table,
    evidenced_objectives_table,
    evidenced_suites_table,
    refusals_table,
)
from vdibench.store import LATEST, REFERENCE, resolve, runs
from vdibench.suites.parameters import RunParameters, parameter
from vdibench.suites.profiles import results_folder

__all__ = [
    "OUTPUT",
    "SUITE",
    "Graduation",
    "Obstacles",
    "Page",
    "Parameters",
    "find_run",
    "graduate",
    "located",
    "planned_seconds",
    "refusal",
    "request_of",
    "waiver",
    "waivers",
]

SUITE = "graduation"
OUTPUT = "build/chart/vdi-operator"
_DAY_SECONDS = 86400.0
# Their folders hold what was executed, and no samples.
_READING = frozenset({SUITE, "capacity_report"})


@dataclass(frozen=True)
class Parameters(RunParameters):
    """Parameters of notebook 05."""

    run: str = parameter("latest", "run to graduate: a path, a folder's name, latest or reference")
    chart: str = parameter("", "chart to take as it is and add to; empty: the operator's in this checkout")
    output: str = parameter(OUTPUT, "folder for the graduated chart; one that is there is replaced")
    name: str = parameter("", "name of the VDITemplate; empty: of the session's overlay, desktop where that is session")
    waive: str = parameter("", "what need not have passed and why, as --waive takes it; separated by semicolons")
    max_age_days: float = parameter(90.0, "days after which a run is no evidence any more", minimum=0)
    allow_lab: bool = parameter(False, "graduate a run on the project's own cluster, for GPUs that it did not have")
    key: str = parameter("", "PEM file of the private key that signs the evidence; empty: it is not signed")


def planned_seconds(parameters: Parameters) -> float:
    """About how long the suite takes."""
    return 15.0


def waiver(text: str) -> Waiver:
    """``gpu_density=no GPU in this site's pilot`` as a waiver.

    :raises ParameterError: an unknown suite, or no reason.
    """
    what, _, reason = (part.strip() for part in text.partition("="))
    known = ", ".join(REQUIRED)
    if what not in set(REQUIRED):
        raise ParameterError(f"nothing that is required is called {what!r}", f"waive one of {known}")
    if not reason:
        raise ParameterError(f"{what} is waived without a reason", f"write {what}=REASON, which stays in the evidence")
    return Waiver(Required(what), " ".join(reason.split()))


def waivers(texts: Iterable[str]) -> tuple[Waiver, ...]:
    """Several, each of something else.

    :raises ParameterError: one cannot be understood, or something is waived twice.
    """
    found = tuple(waiver(text) for text in texts)
    for what in REQUIRED:
        if sum(one.what is what for one in found) > 1:
            raise ParameterError(f"{what} is waived twice", "give one reason")
    return found


def find_run(results: Path, argument: str) -> Path:
    """The run folder that a user means; ``latest`` is the newest that measured something.

    :raises StoreError: there is no such run.
    """
    if argument != LATEST:
        return resolve(results, argument)
    found = [
        entry.path
        for entry in runs(results)
        if entry.path.name != REFERENCE and (entry.run is None or entry.run.suite not in _READING)
    ]
    if not found:
        raise StoreError(f"there is no run in {results} that measured anything", "make one with `vdibench run`")
    return found[0]


def located(parameters: Parameters) -> Parameters:
    """With paths that stay the same wherever a kernel stands: before a run's own folder is the latest.

    :raises VdibenchError: there is no such run, or a waiver cannot be understood.
    """
    request = request_of(parameters)
    return dataclasses.replace(
        parameters,
        results=str(results_folder(parameters.results).absolute()),
        run=str(request.run.absolute()),
        chart=str(request.chart.absolute()) if request.chart is not None else "",
        output=str(request.output.absolute()),
        key=str(request.key.absolute()) if request.key is not None else "",
    )


def request_of(parameters: Parameters) -> Request:
    """What a notebook's parameters ask for.

    :raises VdibenchError: there is no such run, or a waiver cannot be understood.
    """
    # What is written wrongly is said before anything is read.
    waived = waivers(part for part in parameters.waive.split(";") if part.strip())
    return Request(
        run=find_run(results_folder(parameters.results), parameters.run),
        chart=results_folder(parameters.chart) if parameters.chart else None,
        output=results_folder(parameters.output),
        name=parameters.name,
        waivers=waived,
        max_age_seconds=parameters.max_age_days * _DAY_SECONDS,
        allow_lab=parameters.allow_lab,
        key=results_folder(parameters.key) if parameters.key else None,
        context=parameters.context,
    )


def graduate(parameters: Parameters) -> Graduated:
    """All steps at once.

    :raises Refused: something stands against it.
    :raises VdibenchError: the run cannot be read, or the chart not be written.
    """
    return Candidate(request_of(parameters), now=time.time()).write()


def refusal(parameters: Parameters) -> VdibenchError | None:
    """Why the run cannot be graduated; None where nothing is known to stand against it. Writes nothing."""
    try:
        Candidate(request_of(parameters), now=time.time()).refuse()
    except VdibenchError as error:
        return error
    return None


class Page:
    """A sentence, tables and text below each other, as a notebook shows them."""

    def __init__(self, lead: str, tables: Sequence[tuple[str, pd.DataFrame]] = (), text: str = "") -> None:
        self._lead = lead
        self._tables = tuple(tables)
        self._text = text

    def __repr__(self) -> str:
        return f"{self._lead}\n{self._text}".rstrip()

    def _repr_html_(self) -> str:
        tables = "".join(
            (f"<h4>{html.escape(heading)}</h4>" if heading else "") + _table(table) for heading, table in self._tables
        )
        text = f"<pre>{html.escape(self._text)}</pre>" if self._text else ""
        return f"<p><b>{html.escape(self._lead)}</b></p>{tables}{text}"


class Obstacles(tuple[Finding, ...]):
    """What stands against shipping; displays as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "\n".join(map(str, self)) or "nothing stands against it"

    def _repr_html_(self) -> str:
        if not self:
            return "<p><b>Nothing stands against it.</b></p>"
        return _table(refusals_table((one.kind, one.cause, one.remedy) for one in self))


class Graduation:
    """The steps of notebook 05. Only :meth:`write` writes, and only where nothing stands against it."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.candidate = Candidate(request_of(parameters), now=time.time(), say=print)
        self.graduated: Graduated | None = None

    def what_was_run(self) -> Page:
        """Run, cluster, images and objects: what the evidence will be of."""
        run, subjects = self.candidate.recording.run, self.candidate.subjects
        facts = {
            "run": run.name,
            "started": formats.instant(run.started_unix_seconds),
            "state": str(run.state),
            "target": run.target,
        }
        if subjects is None:
            return Page("The run does not say what it was of: it cannot be shipped.", [("", _facts(facts))])
        facts |= {
            "manifests": f"{subjects.overlay} on platform {subjects.platform}",
            "cluster": f"Kubernetes {subjects.kubernetes or 'unknown'}{', a lab' if subjects.lab else ''}",
            "images": ", ".join(_image(one) for one in subjects.images),
            "session": ", ".join(sorted(str(one["kind"]) for one in subjects.session)),
            "platform": formats.counted(len(subjects.objects), "object"),
        }
        return Page("What was run.", [("", _facts(facts))])

    def findings(self) -> Obstacles:
        """What stands against shipping it, all at once."""
        return Obstacles(self.candidate.verification)

    def verdicts(self) -> pd.DataFrame:
        """The verdict as it was stored beside the one that follows from the samples now."""
        return _beside(self.candidate.recording.verdict, self.candidate.recomputed)

    def template(self) -> Page:
        """The VDITemplate, as it would be in the chart."""
        try:
            made = self.candidate.template
        except VdibenchError as error:
            return Page(f"No template: {error}.")
        return Page("The template.", text=yaml.safe_dump(made, sort_keys=False, allow_unicode=True))

    def equality(self) -> Page:
        """What the operator makes of the template, held against what was validated."""
        try:
            found = self.candidate.differences
        except VdibenchError as error:
            return Page(f"Nothing to compare: {error}.")
        if not found:
            return Page("What the operator makes is what was validated.")
        lead = f"The operator makes something else in {formats.counted(len(found), 'place')}."
        return Page(lead, text="\n".join(found))

    def write(self) -> Page:
        """Write the chart with its evidence, or refuse with every reason.

        :raises Refused: something stands against it.
        """
        self.graduated = self.candidate.write()
        predicate = self.graduated.predicate
        return Page(
            f"Graduated: {self.graduated.output}",
            [
                ("Evidence", evidence_table(predicate)),
                ("Suites", evidenced_suites_table(predicate)),
                ("Objectives", evidenced_objectives_table(predicate)),
            ],
        )

    def how_to_verify(self) -> Page:
        """Commands to install the chart and to check it, which anyone can who has it."""
        if self.graduated is None:
            return Page("Nothing was written.")
        return Page("Install it, and check it at any time.", text="\n".join(self.graduated.commands))


def _beside(stored: Verdict, recomputed: Verdict) -> pd.DataFrame:
    again = {one.suite: one for one in recomputed.suites}
    rows = []
    for one in stored.suites:
        other = again.pop(one.suite, None)
        rows.append([one.suite, _word(one.outcome), _word(other.outcome) if other is not None else ""])
    rows.extend([one.suite, "", _word(one.outcome)] for one in again.values())
    rows.append(["the run", _word(stored.outcome), _word(recomputed.outcome)])
    return pd.DataFrame(rows, columns=["suite", "stored", "recomputed"])


def _word(outcome: Outcome) -> str:
    return formats.outcome_word(outcome)


def _image(one: Image) -> str:
    return f"{one.name} ({one.digest or 'no digest'})"


def _facts(facts: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame([[name, formats.clean(value)] for name, value in facts.items()], columns=["what", "value"])


def _table(frame: pd.DataFrame) -> str:
    return str(frame.to_html(index=False, escape=True, border=0))
