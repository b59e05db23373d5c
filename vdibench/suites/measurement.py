"""An open measurement of one suite: run folder, desktops, telemetry, event loop, progress. I/O.

Made by each suite's ``open``; a context manager for code, and closed by :meth:`Measurement.finish` in notebooks, where
cells cannot share a ``with`` block. However it ends, samples are kept and what was started is ended.
"""

from __future__ import annotations

import atexit
import dataclasses
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import pandas as pd

from vdibench.analysis import Knee
from vdibench.analysis.metadata import CONDITIONS
from vdibench.client import DesktopSession, SessionOptions, open_http
from vdibench.errors import UsageError, VdibenchError
from vdibench.load.client_guard import client_reasons
from vdibench.recorder import Place
from vdibench.records import Check, Desktop, ObjectiveResult, Outcome, Phase, Run, RunState, SuiteVerdict
from vdibench.selkies import Dialect, Role
from vdibench.selkies.control import stream_info
from vdibench.slo import Objectives, evaluate
from vdibench.store import Recording, RunFolder
from vdibench.suites.background import BackgroundLoop
from vdibench.suites.conditions import conditions
from vdibench.suites.failure import write_failure
from vdibench.suites.parameters import DesktopParameters, RunParameters
from vdibench.suites.profiles import load_objectives, results_folder
from vdibench.suites.progress import Progress
from vdibench.suites.provenance import git_commit
from vdibench.suites.resources import PlacingRecorder, open_gpu_metrics, sampled
from vdibench.suites.subjects import keep_subjects
from vdibench.suites.time_limit import TimeLimit
from vdibench.targets import UNKNOWN_CLOCK_SECONDS, OpenTarget, open_target, parse_target, peer_is_here
from vdibench.telemetry import MeasuringClaim, host_facts, versions

__all__ = ["Measurement", "create_run", "recorded"]

T = TypeVar("T")

LOG_LINES = 200

# Measurements of this process that own their run: a new one of the same suite replaces the one before.
_OPEN: dict[str, Measurement] = {}


def create_run(suite: str, parameters: RunParameters, objectives: Objectives) -> RunFolder:
    """Make a run folder that says where, with what and against which objectives it measures."""
    address = parse_target(parameters.target)
    context: dict[str, Any] = {
        "target": address.kind,
        "gpu": getattr(parameters, "gpu", False),
        "dialect": str(getattr(parameters, "dialect", "") or Dialect.SELKIES_2_WEBRTC),
        "profile": parameters.profile,
        "clock_bound_seconds": parameters.clock_bound_seconds(),
    }
    if address.synthetic:
        context["synthetic"] = True
    run = Run(
        name="",
        suite=suite,
        profile=parameters.profile,
        target=str(address),
        started_unix_seconds=time.time(),
        context=context,
        host=host_facts(),
        versions=versions(),
        git_commit=git_commit(),
        objectives=objectives.text,
    )
    return RunFolder.create(results_folder(parameters.results), run)


def recorded(parameters: RunParameters) -> dict[str, Any]:
    """Parameters as a run remembers them: what was measured, not where on this disk it is kept."""
    values = dataclasses.asdict(parameters)
    return {name: value for name, value in values.items() if name not in {"run", "results"}}


class Measurement:
    """What the steps of a suite share.

    :param desktops: how many desktops the suite needs; 0 for none.
    :param planned_seconds: by the parameters, for progress.
    :raises UsageError: parameters, objectives or target cannot be.
    :raises TargetUnavailable: the Prometheus of ``gpu_metrics`` does not answer or has no GPU; nothing was started.
    :raises StoreError: the results folder cannot be written; nothing was started then.
    :raises LabError: the lab does not come up.
    """

    def __init__(self, suite: str, parameters: RunParameters, *, desktops: int = 0, planned_seconds: float = 0) -> None:
        self.suite = suite
        self.parameters = parameters
        self.objectives = load_objectives(parameters.objectives)
        self.checks: list[Check] = []
        self.invalid_reasons: list[str] = []
        self.knee: Knee | None = None
        self.target: OpenTarget | None = None
        self.verdict: SuiteVerdict | None = None
        self._stack = ExitStack()
        self._guard = threading.Lock()
        self._closed = False
        self._began = time.monotonic()
        self._owns_run = not parameters.run
        self._here = True
        wanted = parameters.wanted(desktops) if isinstance(parameters, DesktopParameters) else None
        if parameters.run:
            self.folder = RunFolder.open(Path(parameters.run))
        else:
            # Cells run again from the first: the desktops of the time before would disturb and be disturbed.
            if (before := _OPEN.pop(suite, None)) is not None:
                before.close(UsageError("replaced by a new measurement"))
            self.folder = create_run(suite, parameters, self.objectives)
            _OPEN[suite] = self
        atexit.register(self.close)
        try:
            self.folder.update(parameters={suite: recorded(parameters)})
            self.progress = Progress(self.folder, suite, planned_seconds)
            self._claim = self._stack.enter_context(MeasuringClaim(self.folder.path.name, self.folder.path))
            gpus = self._stack.enter_context(open_gpu_metrics(parameters))
            if wanted is not None and desktops:
                self.progress.say("starting the desktops")
                address, began = parse_target(parameters.target), time.monotonic()
                self._here = parameters.clock_bound_seconds() == 0
                self.target = self._stack.enter_context(open_target(address, wanted, self.progress.say))
                self.folder.update(phases=(Phase(f"{suite}: {address}", time.monotonic() - began),))
                # From here on there are secrets to keep out of files.
                self.folder.close()
                self.folder = RunFolder.open(self.folder.path, secrets=self.target.secrets)
                keep_subjects(self.folder, self.target.subjects)
            self.recorder = PlacingRecorder(self.folder, Place(suite))
            self._stack.callback(self.folder.close)
            if self.target is not None:
                self._stack.enter_context(sampled(self.target.desktops, self.recorder, gpus))
            self.loop = BackgroundLoop()
            self._stack.callback(self.loop.close)
            for desktop in self.desktops:
                if desktop.shows:
                    self.recorder.fact(desktop.id, "workload", desktop.shows)
            if self.target is not None:
                self.target.tell(self.recorder)
                self._note_dialect(self.target.desktops[0])
        except BaseException as error:  # Ctrl-C too closes what was opened
            self.close(error)
            raise

    # desktops

    def _note_dialect(self, desktop: Desktop) -> None:
        """Which objectives apply depends on the dialect: find it out before the first sample."""
        dialect = desktop.dialect
        if not dialect:
            with suppress(VdibenchError):  # the suite's first step says what is wrong there
                dialect = str(self.loop.run(_dialect_of(desktop)) or "")
        if dialect:
            self.folder.update(context={"dialect": dialect})

    @property
    def desktops(self) -> tuple[Desktop, ...]:
        """The target's desktops."""
        return self.target.desktops if self.target is not None else ()

    def session(self, desktop: Desktop, **options: Any) -> DesktopSession:
        """A session that records here; a controller only where the desktop is ours to take. Call it in the loop."""
        role = Role.CONTROLLER if desktop.owned else Role.VIEWER
        wanted = Dialect(desktop.dialect) if desktop.dialect else None
        options.setdefault("compare_clocks", not self._here)
        options.setdefault("relay_only", getattr(self.parameters, "relay_only", False))
        return DesktopSession(desktop, self.recorder, SessionOptions(role=role, dialect=wanted, **options))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` in the measurement's loop. Any error or interrupt closes the measurement, samples kept."""
        with self.step():
            return self.loop.run(work)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Any error or interrupt inside closes the measurement, samples kept."""
        try:
            yield
        except BaseException as error:  # Ctrl-C too keeps the samples
            self.close(error)
            raise

    def enter(self, part: AbstractContextManager[T]) -> T:
        """Enter what ends with this measurement, before everything that was there already."""
        return self._stack.enter_context(part)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not reach any file."""
        return self.target.secrets if self.target is not None else ()

    @property
    def compares_clocks(self) -> bool:
        """Whether the desktops' clocks may differ from ours."""
        return not self._here

    # findings

    def check(self, check: Check) -> Check:
        """Record a manual check."""
        self.checks.append(check)
        self.recorder.check(check)
        return check

    def tables(self) -> Recording:
        """What was recorded until now."""
        self.folder.flush()
        return Recording.open(self.folder.path)

    def context(self, run: Run) -> dict[str, Any]:
        """What objectives may ask about: the run's context, and the frame rate that this suite asked for."""
        framerate = getattr(self.parameters, "framerate", None)
        return {**run.context} | ({} if framerate is None else {"framerate": framerate})

    def invalid(self, reason: str) -> None:
        """The numbers must not be trusted."""
        if reason not in self.invalid_reasons:
            self.invalid_reasons.append(reason)

    # ending

    def judge(self) -> SuiteVerdict:
        """Take everything down, evaluate the objectives and write the suite's verdict."""
        if self.verdict is not None:
            return self.verdict
        self._take_down()
        others = self._claim.contended_by
        if others:
            self.folder.update(contention=others)
            self.invalid(f"{', '.join(others)} measured on this machine at the same time")
        recording = Recording.open(self.folder.path)
        for reason in client_reasons(recording.tables, self.suite):
            self.invalid(reason)
        self._state_conditions(recording)
        self.verdict = evaluate(
            self.objectives,
            self.suite,
            recording.tables,
            self.context(recording.run),
            knee=self.knee,
            checks=self.checks,
            invalid_reasons=self.invalid_reasons,
        )
        self.folder.write_verdict(self.verdict)
        self._record_phase()
        if self._owns_run:
            self.folder.finish(RunState.FINISHED)
        self._closed = True
        atexit.unregister(self.close)
        return self.verdict

    def _state_conditions(self, recording: Recording) -> None:
        own = conditions(self.parameters, _of_suite(recording.table("facts"), self.suite))
        self.folder.update(context={CONDITIONS: {**recording.run.context.get(CONDITIONS, {}), self.suite: own}})

    def note_session(self, session: DesktopSession) -> None:
        """Hold what a session turned out to be against what was asked for: its encoder, and whose clock draws."""
        info = stream_info(session.messages)
        self._note_encoder(session.desktop, str(info.get("encoder", "")), hardware=info.get("hardware") is True)
        found = session.clock.estimate(time.time())
        apart = found is not None and abs(found.offset_seconds) > found.bound_seconds
        self._note_clock(session.desktop, session.pair.remote_address if session.pair is not None else "", apart=apart)

    def note_loaded(self, desktops: Sequence[Desktop], suite: str) -> None:
        """The same of sessions that other processes had, by what these recorded of them."""
        recording = self.tables()
        facts, clock = (_of_suite(recording.table(name), suite) for name in ("facts", "clock"))
        for desktop in desktops:
            own = facts[facts["session"] == desktop.id]
            said = dict(zip(own["key"], own["value"], strict=True))
            self._note_encoder(desktop, said.get("stream.encoder", ""), hardware=said.get("stream.hardware") == "True")
            rows = clock[clock["session"] == desktop.id].nsmallest(1, "bound_seconds")
            apart = bool((rows["offset_seconds"].abs() > rows["bound_seconds"]).any())
            self._note_clock(desktop, said.get("ice.pair", "").rpartition(" ")[2], apart=apart)

    def _note_encoder(self, desktop: Desktop, encoder: str, *, hardware: bool) -> None:
        # A viewer is not told, and a silent software fall-back must not look like a GPU.
        if desktop.gpu and not hardware:
            self.invalid(f"{desktop.id}: encoder in use is {encoder or 'unknown'}, not the GPU's")

    def _note_clock(self, desktop: Desktop, peer: str, *, apart: bool) -> None:
        """Whose clock draws: ours, unless the picture comes from elsewhere although the page is served here."""
        if self.target is None or not self._here:
            return
        if self.target.address.kind == "url" and (apart or (peer and not peer_is_here(peer))):
            self.folder.update(context={"clock_bound_seconds": UNKNOWN_CLOCK_SECONDS})
        else:
            # What the server's pings say of the offset is less exact than what is known: there is one clock.
            same = {"unix_seconds": time.time(), "offset_seconds": 0.0, "bound_seconds": 0.0, "source": "same host"}
            self.recorder.row(desktop.id, "clock", same)

    def close(self, error: BaseException | None = None) -> None:
        """End without a verdict on the objectives: samples stay, the run is marked, everything started is ended."""
        with self._guard:
            if self._closed:
                return
            self._closed = True
        atexit.unregister(self.close)
        reason = _reason(error)
        if error is not None:
            self._keep_logs()
        try:
            self._take_down()
        except VdibenchError as second:
            reason = f"{reason}; {second}"
        write_failure(self.folder, self.suite, error, reason)
        self.folder.update(errors=(f"{self.suite}: {reason}",))
        self.folder.write_verdict(SuiteVerdict(self.suite, Outcome.NO_DATA, self._judged_so_far(), (reason,)))
        self._record_phase()
        if self._owns_run:
            failed = error is not None and not isinstance(error, KeyboardInterrupt | TimeLimit)
            self.folder.finish(RunState.FAILED if failed else RunState.INTERRUPTED)

    def _take_down(self) -> None:
        _OPEN.pop(self.suite, None)
        self._stack.close()

    def _judged_so_far(self) -> tuple[ObjectiveResult, ...]:
        recording = Recording.open(self.folder.path)
        context = self.context(recording.run)
        return evaluate(self.objectives, self.suite, recording.tables, context, checks=self.checks).objectives

    def _keep_logs(self) -> None:
        """The lab goes down with the measurement, and errors say "look into its log"."""
        lab = self.target.lab if self.target is not None else None
        if lab is None:
            return
        places = [(desktop.id, part) for desktop in self.desktops for part in ("xvfb", "pulseaudio", "selkies", "desk")]
        for where, part in (*places, ("turn", "coturn")):
            lines = lab.log_tail(where, part, LOG_LINES)
            if lines:
                self.folder.write_text(f"logs/{self.suite}-{where}-{part}.log", "\n".join(lines) + "\n")

    def _record_phase(self) -> None:
        self.folder.update(phases=(Phase(f"{self.suite}: total", time.monotonic() - self._began),))

    def require_open(self) -> None:
        """Say so when a step is called after the end.

        :raises UsageError: the measurement is closed.
        """
        if self._closed:
            raise UsageError(f"this {self.suite} measurement has ended", "run the notebook from its first cell")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._closed:
            self.close(error)


def _of_suite(rows: pd.DataFrame, suite: str) -> pd.DataFrame:
    return rows[rows["suite"] == suite]


async def _dialect_of(desktop: Desktop) -> Dialect | None:
    async with open_http(desktop.endpoint) as http:
        return (await http.detect()).dialect


def _reason(error: BaseException | None) -> str:
    if isinstance(error, VdibenchError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, TimeLimit):
        return "the time limit passed"
    return f"failed: {error!r}" if error is not None else "ended before its verdict"
