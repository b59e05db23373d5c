"""The runner: several notebooks, one run folder, one verdict, one report. I/O."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vdibench.errors import ParameterError, UsageError, VdibenchError
from vdibench.lab import DEFAULT_NAME, Lab
from vdibench.records import EXIT_CODES, Outcome, Phase, RunState, SuiteVerdict, Verdict
from vdibench.report import write_report
from vdibench.selftest import QUICK
from vdibench.store import Recording, RunFolder
from vdibench.suites import graduation
from vdibench.suites.catalogue import Suite, choose, profile_of
from vdibench.suites.execution import NotebookFailed, NotebookRun, execute_notebook
from vdibench.suites.failure import INTERRUPTED, Failure, read_failure
from vdibench.suites.measurement import create_run
from vdibench.suites.parameters import DesktopParameters, RunParameters
from vdibench.suites.profiles import load_objectives
from vdibench.suites.progress import ProgressReading, read_progress
from vdibench.suites.selftest import STEP, add_selftest
from vdibench.suites.time_limit import TimeLimit, time_limit
from vdibench.targets import TargetAddress, parse_target

__all__ = ["PipelineOptions", "PipelineResult", "Plan", "cluster_notice", "plan_pipeline", "run_pipeline"]

PIPELINE = "pipeline"
_KERNEL_SECONDS = 3.5  # start of a kernel and its imports, measured on two cores


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """What ``vdibench run`` was asked for.

    :param notebooks: numbers or names; empty for all but graduation.
    :param given: parameters from the command line, for every suite that has them.
    :param without_notebooks: run the suites in this process, without Jupyter.
    :param selftest: test this machine's measuring first, where it was not tested before.
    :param timeout_seconds: for the whole run; None for none.
    :param command: as it was typed, for the report's "how to repeat".
    """

    notebooks: tuple[str, ...] = ()
    target: str = "lab"
    profile: str = "smoke"
    objectives: str = ""
    results: Path = Path("results")
    given: Mapping[str, Any] = field(default_factory=dict)
    without_notebooks: bool = False
    selftest: bool = True
    timeout_seconds: float | None = None
    command: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be run, checked as far as it can be without connecting."""

    steps: tuple[tuple[Suite, RunParameters], ...]

    @property
    def seconds(self) -> float:
        """About how long it takes."""
        return sum(suite.planned_seconds(parameters) + _KERNEL_SECONDS for suite, parameters in self.steps)

    @property
    def measures(self) -> bool:
        """Whether anything is measured; otherwise stored runs are only read."""
        return any(suite.run is not None for suite, _ in self.steps)

    @property
    def watches(self) -> bool:
        """Whether desktops are watched, so that the client's own error matters."""
        return any(isinstance(parameters, DesktopParameters) for _, parameters in self.steps)

    @property
    def name(self) -> str:
        """Suite part of the run folder's name."""
        return self.steps[0][0].name if len(self.steps) == 1 else PIPELINE


@dataclass(frozen=True, slots=True)
class PipelineResult:
    """How a run ended.

    :param report: the report, or None when it could not be written.
    :param failure: what ended it early, or None.
    """

    folder: Path
    verdict: Verdict
    report: Path | None
    failure: Failure | None
    measured: bool = True

    @property
    def exit_code(self) -> int:
        """The code for the shell: of what ended the run early, else of its verdict; 0 when it only read."""
        if self.failure is not None:
            return self.failure.exit_code
        return EXIT_CODES[self.verdict.outcome] if self.measured else 0


Show = Callable[[str, ProgressReading], None]


def plan_pipeline(options: PipelineOptions) -> Plan:
    """Check everything that can be checked before anything connects.

    :raises UsageError: unknown notebook, profile, parameter, target or objective.
    """
    address = parse_target(options.target)
    suites = choose(options.notebooks)
    profile = profile_of(options.profile)
    unknown = set(options.given) - frozenset().union(*(suite.parameter_names for suite in suites))
    if unknown:
        name = sorted(unknown)[0]
        known = sorted(frozenset().union(*(suite.parameter_names for suite in suites)))
        raise ParameterError(f"unknown parameter {name!r}", f"known: {', '.join(known)}")
    base: dict[str, Any] = {
        "target": options.target,
        "profile": Path(profile.name).stem,
        "results": str(options.results.absolute()),
    }
    if options.objectives:
        base["objectives"] = _absolute(options.objectives)
    steps = []
    for suite in suites:
        given = base | {name: value for name, value in options.given.items() if name in suite.parameter_names}
        if address.kind == "url" and "max_desktops" in suite.parameter_names:
            given.setdefault("max_desktops", 1)  # a URL is one desktop, whatever the profile says of a lab
        if suite.run is not None and given.pop("run", None) is not None:
            raise ParameterError(f"{suite.notebook} writes a run of its own", "give run to notebook 06 alone")
        parameters = suite.build(profile, given)
        if isinstance(parameters, DesktopParameters):
            _check_desktop(address, parameters)
        load_objectives(parameters.objectives)
        if isinstance(parameters, graduation.Parameters):
            if any(other.run is not None for other in suites):
                raise ParameterError(
                    f"{suite.notebook} graduates a run that has ended, and others would still be measured",
                    "run it by itself afterwards: vdibench run 05 -p run NAME",
                )
            # Now: the folder of this run would be the latest one, and holds nothing.
            parameters = graduation.located(parameters)
        steps.append((suite, parameters))
    return Plan(tuple(steps))


def _check_desktop(address: TargetAddress, parameters: DesktopParameters) -> None:
    """Credentials and what the target can be, before anything is started."""
    parameters.wanted()
    if address.kind == "lab" and address.name:
        Lab.find(address.name)
    if address.on_cluster and not parameters.context:
        lab = Lab.find(address.name or DEFAULT_NAME)
        if lab.cluster is None:
            raise UsageError(
                f"the lab {lab.name!r} has no cluster, and no context was named",
                "give --context NAME for your cluster, or start one with 'vdibench lab up --cluster'",
            )
    if (address.kind == "lab" or address.on_cluster) and not parameters.context and parameters.gpu:
        raise ParameterError(
            "lab desktops encode in software, and gpu is asked for",
            "measure a GPU desktop by url:URL, or by target manifests or operator with --context",
        )
    if address.kind == "url" and getattr(parameters, "max_desktops", 1) > 1:
        raise ParameterError(f"{address} is one desktop, and more are wanted", "leave max_desktops out, or use the lab")


def cluster_notice(options: PipelineOptions) -> tuple[str, ...]:
    """What a person reads before anything is made on a cluster of theirs, in lines; nothing where none is named.

    :raises VdibenchError: the cluster cannot be used, or the plan cannot be.
    """
    steps = plan_pipeline(options).steps
    watching = [parameters for _, parameters in steps if isinstance(parameters, DesktopParameters)]
    most = max(watching, key=_most_desktops, default=None)
    if most is None or not most.context:
        return ()
    address = parse_target(most.target)
    # A cluster's client is an extra.
    if address.kind == "operator":
        from vdibench.targets.vdisessions import announce
    else:
        from vdibench.targets.pods import announce

    return announce(address, most.wanted(_most_desktops(most)))


def _most_desktops(parameters: DesktopParameters) -> int:
    return int(getattr(parameters, "desktops", getattr(parameters, "max_desktops", 1)))


def _absolute(objectives: str) -> str:
    return (
        str(Path(objectives).absolute()) if "/" in objectives or objectives.endswith((".yaml", ".yml")) else objectives
    )


def run_pipeline(options: PipelineOptions, *, show: Show, done: Callable[[str], None]) -> PipelineResult:
    """Run the notebooks one after the other into one folder, judge and report.

    :param show: progress, several times a second: the notebook and how far the whole is.
    :param done: told a line when a notebook has ended.
    :raises VdibenchError: before anything ran; afterwards everything is in the result.
    """
    plan = plan_pipeline(options)
    first = _describing(plan)
    folder = create_run(plan.name, first, load_objectives(first.objectives))
    folder.update(phases=_set_up_phases(), context={"command": options.command} if options.command else {})
    deadline = None if options.timeout_seconds is None else time.monotonic() + options.timeout_seconds
    runner = _Runner(folder, plan, deadline, show, done, options.without_notebooks)
    failure: Failure | None = None
    state = RunState.FINISHED
    try:
        if plan.watches:
            # An address that cannot be watched is told at once: there the self-test waits for the first suite.
            runner.test_self(make=options.selftest and not options.target.startswith("url:"))
        for suite, parameters in plan.steps:
            failure = runner.step(suite, parameters)
            if failure is not None:
                state = RunState.FAILED
                break
            if isinstance(parameters, DesktopParameters):
                runner.test_self(make=options.selftest)
    except (TimeoutError, TimeLimit):
        state = RunState.INTERRUPTED
        failure = Failure(plan.name, f"the time limit of {options.timeout_seconds:g} s passed: raise --timeout", 98)
    except KeyboardInterrupt:
        state = RunState.INTERRUPTED
        failure = Failure(plan.name, "interrupted; what was measured until then is kept", INTERRUPTED)
    verdict = folder.finish(state, error=failure.message if failure is not None else "")
    report: Path | None = None
    try:
        report = write_report(folder.path)
    except VdibenchError as error:
        failure = failure or Failure("report", str(error), error.exit_code)
    return PipelineResult(folder.path, verdict, report, failure, plan.measures)


def _describing(plan: Plan) -> RunParameters:
    """The parameters that describe the run's target: of the first suite that watches desktops."""
    for _, parameters in plan.steps:
        if isinstance(parameters, DesktopParameters):
            return parameters
    return plan.steps[0][1]


class _Runner:
    def __init__(
        self,
        folder: RunFolder,
        plan: Plan,
        deadline: float | None,
        show: Show,
        done: Callable[[str], None],
        in_process: bool,
    ) -> None:
        self._folder = folder
        self._plan = plan
        self._deadline = deadline
        self._show = show
        self._done = done
        self._in_process = in_process
        self._tested = False
        self._began = time.monotonic()

    def step(self, suite: Suite, parameters: RunParameters) -> Failure | None:
        """Run one suite; returns what ended it early."""
        began = time.monotonic()
        values = _values(parameters)
        if self._plan.measures:
            # Whoever only reads, in a run that measures, reads that run.
            values["run"] = str(self._folder.path.absolute())
        failure: Failure | None = None
        try:
            if self._in_process:
                with time_limit(self._deadline):
                    if suite.run is not None:
                        suite.run(type(parameters)(**values))
                    elif isinstance(parameters, graduation.Parameters):
                        graduation.graduate(parameters)
            else:
                execute_notebook(
                    NotebookRun(suite.path, self._folder.path / "notebooks" / suite.path.name, values),
                    deadline=self._deadline,
                    tick=lambda: self._tick(suite),
                )
        except NotebookFailed as error:
            failure = read_failure(self._folder.path, suite.name) or _failure(suite, parameters, error)
        except VdibenchError as error:
            failure = Failure(suite.name, str(error), error.exit_code)
        finally:
            seconds = time.monotonic() - began
            self._folder.update(phases=(Phase(suite.notebook, seconds, "" if failure is None else "failed"),))
        outcome = self._outcome(suite, failure)
        self._done(f"{suite.notebook:<24} {outcome:<8} {seconds:6.1f} s")
        return failure

    def test_self(self, *, make: bool) -> None:
        """Add the self-test to the run, once."""
        if self._tested:
            return
        began = time.monotonic()
        left = None if self._deadline is None else self._deadline - began
        # A limit is for what was asked for.
        make = make and (left is None or left > self._plan.seconds + QUICK.seconds)

        def say(line: str) -> None:
            elapsed = time.monotonic() - began
            self._show(STEP, ProgressReading("self-test", line, elapsed, max(0.0, QUICK.seconds - elapsed)))

        with time_limit(self._deadline):
            self._tested = add_selftest(self._folder, make=make, say=say, done=self._done) is not None

    def _outcome(self, suite: Suite, failure: Failure | None) -> str:
        if suite.run is None:
            return "done" if failure is None else "failed"
        found = [item for item in Recording.open(self._folder.path).verdict.suites if item.suite == suite.name]
        if not found:
            # A notebook without a verdict says nothing; that is never a pass.
            reason = failure.message if failure is not None else "the notebook ended without a verdict"
            found = [SuiteVerdict(suite.name, Outcome.NO_DATA, (), (reason,))]
            self._folder.write_verdict(found[0])
        return str(found[0].outcome)

    def _tick(self, suite: Suite) -> None:
        elapsed = time.monotonic() - self._began
        said = read_progress(self._folder.path)
        phase = said.phase if said is not None and said.suite == suite.name else "starting the kernel"
        self._show(
            suite.notebook, ProgressReading(suite.notebook, phase, elapsed, max(0.0, self._plan.seconds - elapsed))
        )


def _failure(suite: Suite, parameters: RunParameters, error: NotebookFailed) -> Failure:
    """Of a notebook that only reads there is only the end of its log: why a graduation is refused is asked again."""
    refused = graduation.refusal(parameters) if isinstance(parameters, graduation.Parameters) else None
    told = refused or error
    return Failure(suite.name, str(told), told.exit_code)


def _values(parameters: RunParameters) -> dict[str, Any]:
    return {name: getattr(parameters, name) for name in parameters.__dataclass_fields__}


def _set_up_phases() -> tuple[Phase, ...]:
    """What `make setup` noted, so that the report tells the whole time from a clean clone."""
    try:
        noted = json.loads(Path(sys.prefix, "setup.json").read_text())
        return tuple(Phase(f"set-up: {item['name']}", float(item["seconds"]), str(item["note"])) for item in noted)
    except (OSError, ValueError, KeyError, TypeError):
        return ()
