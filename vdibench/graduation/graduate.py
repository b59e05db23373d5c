"""From a run folder to the graduated chart: every step, each made once, and everything that stands against it. I/O.

Nothing is written before nothing stands against it, and then all at once. What is written follows from the run, the
manifests and the operator's chart alone.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from vdibench.errors import EvidenceError, NoData, StoreError, UsageError
from vdibench.graduation.capacity import Capacity, capacity, capacity_findings
from vdibench.graduation.chart import write_chart, yaml_list
from vdibench.graduation.contents import read_chart
from vdibench.graduation.equality import differences
from vdibench.graduation.findings import Finding, Required, Waiver
from vdibench.graduation.inspection import inspect
from vdibench.graduation.operating import chart_role, made
from vdibench.graduation.parts import parts
from vdibench.graduation.present import current, versions
from vdibench.graduation.programs import Programs, find_programs
from vdibench.graduation.recomputation import recomputed
from vdibench.graduation.refusal import Refused
from vdibench.graduation.signing import PASSWORD_VARIABLE, sign
from vdibench.graduation.statement import (
    ENVELOPE_FILE,
    EVIDENCE_FILE,
    canonical,
    chart_digests,
    evidence_annotations,
    predicate,
    statement,
)
from vdibench.graduation.templates import template_spec, vdi_template
from vdibench.graduation.verification import Current, Options, verify
from vdibench.lab.cluster.operating import chart_folder
from vdibench.records import Subjects, Verdict
from vdibench.store import Recording, seal_digest

__all__ = ["MAX_AGE_SECONDS", "Candidate", "Graduated", "Request", "graduate"]

MAX_AGE_SECONDS = 90 * 86400.0
# An overlay that is called so says nothing of what its desktops are.
_ANY_SESSION, _DESKTOP = "session", "desktop"
_MEASURE = "measure it on a cluster: vdibench run 01 02 03 04 --target manifests"
_TEMPLATES, _SESSION = "templates.yaml", "session.yaml"
_CHART, _VALUES = "Chart.yaml", "values.yaml"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """What shall be shipped, from where and to where.

    :param run: folder of the run.
    :param output: folder of the chart to be; a graduated one that is there is replaced.
    :param chart: the operator's, which is copied; None: that of this checkout.
    :param name: of the VDITemplate; empty: of the session's overlay.
    :param waivers: what need not have passed.
    :param max_age_seconds: for how long after its end a run is evidence.
    :param allow_lab: also a run of the project's own cluster.
    :param key: private, in PEM; None: evidence is not signed.
    :param manifests: the folder; None for the one that belongs to this package.
    :param context: of a cluster whose versions are held against those of the run; empty: none is asked.
    """

    run: Path
    output: Path
    chart: Path | None = None
    name: str = ""
    waivers: tuple[Waiver, ...] = ()
    max_age_seconds: float = MAX_AGE_SECONDS
    allow_lab: bool = False
    key: Path | None = None
    manifests: Path | None = None
    context: str = ""


@dataclass(frozen=True, slots=True)
class Graduated:
    """What was shipped, or would be.

    :param output: folder of the chart.
    :param written: whether it is there; not after a dry run.
    :param statement: content of its evidence.
    :param templates: the VDITemplates in it.
    """

    output: Path
    written: bool
    statement: Mapping[str, Any]
    templates: tuple[Object, ...]
    signed: bool

    @property
    def predicate(self) -> Mapping[str, Any]:
        """What the evidence says of the run."""
        found: Mapping[str, Any] = self.statement["predicate"]
        return found

    @property
    def commands(self) -> tuple[str, ...]:
        """How it is installed, and how anyone checks it."""
        key = " --public-key KEY.pub" if self.signed else ""
        return (
            f"helm install vdi {self.output} --namespace vdi-operator --create-namespace --values my-values.yaml",
            f"vdibench graduate --verify {self.output}{key}",
        )


class Candidate:
    """A run that asks to be shipped.

    Each step is made when it is asked for, and once: what a step needs of those before it, it makes itself.

    :param now: Unix seconds that ages are reckoned from.
    :param say: called with a line before something takes its time.
    :raises UsageError: the name or the chart is none.
    :raises StoreError: there is no such run, or it cannot be read.
    """

    def __init__(
        self,
        request: Request,
        *,
        now: float,
        say: Callable[[str], None] = lambda line: None,
        programs: Programs | None = None,
    ) -> None:
        _refuse_wrong(request)
        self.request = request
        self.recording = Recording.open(request.run)
        self._now = now
        self._say = say
        self._given_programs = programs

    @property
    def subjects(self) -> Subjects | None:
        """What was run; None where the run does not say it."""
        return self.recording.subjects

    @property
    def name(self) -> str:
        """Of the VDITemplate: as asked for, or that of the overlay."""
        if self.request.name:
            return self.request.name
        overlay = self._subjects.overlay.rpartition("/")[2]
        return _DESKTOP if overlay == _ANY_SESSION else overlay

    @cached_property
    def programs(self) -> Programs:
        """The programs that steps call."""
        return self._given_programs or find_programs(self._say)

    @cached_property
    def current(self) -> Current:
        """What the manifests give now, for the same overlays."""
        self._say("building the manifests as they are now")
        found = current(self._subjects, self.programs.kubectl, manifests=self.request.manifests)
        kubernetes, driver = self._versions
        return replace(found, kubernetes=kubernetes, driver=driver)

    @cached_property
    def recomputed(self) -> Verdict:
        """The verdict that follows from the samples."""
        return recomputed(self.recording)

    @cached_property
    def capacity(self) -> Capacity | None:
        """Of one GPU; None where the run shows none, which is a finding or waived."""
        return None if self._of_knee is None or self._of_knee.sessions_per_gpu < 1 else self._of_knee

    @cached_property
    def verification(self) -> tuple[Finding, ...]:
        """What stands against the run, and against its manifests as they are now."""
        subjects = self.subjects
        if subjects is None:
            return self._verified(Current())
        # That a program is missing, or a context, is no finding on the run.
        _, (kubernetes, driver) = self.programs, self._versions
        missing: tuple[Finding, ...] = ()
        try:
            now = self.current
        except UsageError as error:
            # One finding in the place of one for each object that is not there.
            now = Current(subjects.session, subjects.objects, kubernetes=kubernetes, driver=driver)
            missing = (Finding("manifest", error.cause, error.remedy),)
        return (*self._verified(now), *missing, *self._of_capacity())

    @cached_property
    def template(self) -> dict[str, Any]:
        """The VDITemplate with its evidence.

        :raises UsageError: its name is none, or the session cannot be said as a template.
        """
        return vdi_template(
            self._subjects,
            name=self.name,
            sessions_per_gpu=self._sessions_per_gpu,
            annotations=evidence_annotations(self.predicate, self._spec),
        )

    @cached_property
    def differences(self) -> tuple[str, ...]:
        """In what the operator's objects are not the validated ones, one a line.

        :raises VdibenchError: there is no template, or the operator makes nothing of it.
        """
        self._say("asking the operator what it makes of the template")
        subjects, chart = self._subjects, self._chart
        children = made(
            self.programs,
            self.template,
            user=subjects.placeholder,
            domain=subjects.domain,
            relay=subjects.relay,
            settings=_settings(chart),
        )
        ours = [*children, chart_role(self.programs, chart)]
        return differences((*subjects.session, *subjects.objects), ours)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that stands against shipping it."""
        if self.subjects is None:
            return self.verification
        return (*self.verification, *self._unequal())

    @cached_property
    def predicate(self) -> dict[str, Any]:
        """What the evidence says of the run."""
        return predicate(
            self.recording.run,
            self.recording.verdict,
            self._subjects,
            seal=seal_digest(self.recording.folder),
            capacity=self.capacity,
            parts=[one for objects in self._parts.values() for one in objects],
            waivers=self.request.waivers,
            age_seconds=self.request.max_age_seconds,
        )

    def refuse(self) -> None:
        """Say everything that stands against it, if anything does.

        :raises Refused: something does.
        """
        self._refuse(self.findings)

    def write(self, *, dry_run: bool = False) -> Graduated:
        """Write the chart, and hold it against its own evidence first.

        :param dry_run: all of it, but for the chart itself.
        :raises Refused: something stands against it; nothing was written.
        :raises VdibenchError: the key is none, or the chart cannot be written.
        """
        self.refuse()
        chart, output = self._chart, self.request.output
        files = self._graduated()
        with tempfile.TemporaryDirectory(prefix="vdibench-chart-") as place:
            trial = Path(place, output.name or "chart")
            write_chart(chart, trial, files)
            whole = statement(self.predicate, chart=chart_digests(read_chart(trial).files))
            files |= self._evidence(canonical(whole))
            write_chart(chart, trial, files)
            self._say("holding the chart against its evidence")
            self._refuse(inspect(trial, run=self.request.run, current=self.current, now=self._now))
        if not dry_run:
            write_chart(chart, output, files)
        signed = ENVELOPE_FILE in files
        return Graduated(output, not dry_run, whole, (self.template,), signed)

    @property
    def _subjects(self) -> Subjects:
        if self.subjects is None:
            raise NoData(f"run {self.recording.run.name} does not say what it was of", _MEASURE)
        return self.subjects

    @property
    def _chart(self) -> Path:
        return self.request.chart or chart_folder()

    @property
    def _sessions_per_gpu(self) -> int | None:
        return None if self.capacity is None else self.capacity.sessions_per_gpu

    @cached_property
    def _versions(self) -> tuple[str, str]:
        return versions(self.request.context) if self.request.context else ("", "")

    @cached_property
    def _spec(self) -> dict[str, Any]:
        return template_spec(self._subjects, sessions_per_gpu=self._sessions_per_gpu)

    @cached_property
    def _parts(self) -> dict[str, list[Object]]:
        return parts(self._subjects.objects, self._subjects.platform)

    def _verified(self, now: Current) -> tuple[Finding, ...]:
        self._say("judging the run's samples again")
        request = self.request
        options = Options(waivers=request.waivers, max_age_seconds=request.max_age_seconds, allow_lab=request.allow_lab)
        return verify(self.recording, self.subjects, current=now, options=options, now=self._now)

    @cached_property
    def _of_knee(self) -> Capacity | None:
        return capacity(self.recording, self._subjects)

    def _of_capacity(self) -> tuple[Finding, ...]:
        if any(one.what is Required.DENSITY for one in self.request.waivers):
            return ()
        return capacity_findings(self.recording.run.name, self._of_knee)

    def _unequal(self) -> tuple[Finding, ...]:
        """What the operator would make otherwise; a template that cannot be made is one finding."""
        remedy = "give the operator a field for it, or take it out of the manifests and measure again"
        try:
            return tuple(Finding("equality", line, remedy) for line in self.differences)
        except (EvidenceError, StoreError):
            if not self.verification:
                raise
            return ()  # without an end or a seal there is no evidence, which is among the findings
        except UsageError as error:
            return (Finding("equality", error.cause, error.remedy),)

    def _graduated(self) -> dict[str, bytes]:
        """Files of the chart's folder ``graduated`` but for the evidence."""
        run = self.recording.run.name
        listed: dict[str, Sequence[Object]] = {_TEMPLATES: [self.template], _SESSION: self._subjects.session}
        listed |= {f"{part}.yaml": objects for part, objects in self._parts.items()}
        return {name: yaml_list(objects, run=run) for name, objects in listed.items()}

    def _evidence(self, payload: bytes) -> dict[str, bytes]:
        files = {EVIDENCE_FILE: payload}
        if self.request.key is not None:
            envelope = sign(payload, self.request.key, os.environ.get(PASSWORD_VARIABLE))
            files[ENVELOPE_FILE] = envelope
        return files

    def _refuse(self, findings: Sequence[Finding]) -> None:
        if findings:
            raise Refused(f"run {self.recording.run.name}", findings)


def _refuse_wrong(request: Request) -> None:
    """What is no finding on the run, said before anything is read.

    :raises UsageError: the name or the chart is none.
    """
    if request.name and not _NAME.fullmatch(request.name):
        raise UsageError(f"{request.name!r} is no name of a template", "use at most 63 of a-z, 0-9 and -")
    if request.chart is not None and not (request.chart / _CHART).is_file():
        raise UsageError(f"there is no chart at {request.chart}", f"name a folder that has a {_CHART}")


def _settings(chart: Path) -> dict[str, Any]:
    """Of the operator, as a chart has them by itself.

    :raises UsageError: it has none.
    """
    try:
        return dict(yaml.safe_load((chart / _VALUES).read_text())["settings"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"the chart {chart} has no settings in {_VALUES}", "take the operator's chart as it is"
        ) from error


def graduate(
    request: Request,
    *,
    now: float,
    say: Callable[[str], None] = lambda line: None,
    dry_run: bool = False,
    programs: Programs | None = None,
) -> Graduated:
    """All steps at once.

    :raises Refused: something stands against it; nothing was written.
    :raises VdibenchError: the run cannot be read, or the chart not be written.
    """
    return Candidate(request, now=now, say=say, programs=programs).write(dry_run=dry_run)
