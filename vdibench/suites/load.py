"""Suite of ``vdibench load``: users of a scenario come and go by a shape; each stage is a level of its own."""

from __future__ import annotations

import json
import math
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vdibench.client import Mode
from vdibench.errors import ParameterError, TargetUnavailable, UsageError, VdibenchError
from vdibench.load import guard
from vdibench.load.driver import LoadDriver, LoadOptions
from vdibench.load.outputs import load_document
from vdibench.load.roster import Roster, write_roster
from vdibench.load.scenarios import SCENARIOS, scenario
from vdibench.load.shapes import Shape, Stage, parse_shape
from vdibench.records import SuiteVerdict
from vdibench.selkies import Dialect
from vdibench.store import Recording
from vdibench.suites.measurement import Measurement
from vdibench.suites.parameters import DesktopParameters, parameter

__all__ = ["DOCUMENT_FILE", "SUITE", "Load", "Parameters", "Surroundings", "planned_seconds", "run"]

SUITE = "load"
DOCUMENT_FILE = "load.json"
# How often it says how far it is.
_SAY_SECONDS, _TELL_SECONDS = 1.0, 5.0
# What is left to measure of a stage whose users took longer to come than it lasts.
_LEAST_SECONDS = 2.0
_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Parameters(DesktopParameters):
    """Parameters of a load."""

    width: int = parameter(1280, "picture width of lab desktops in pixels", minimum=512)
    height: int = parameter(720, "picture height of lab desktops in pixels", minimum=256)
    framerate: int = parameter(30, "nominal frames per second", minimum=8)
    bitrate_bps: int = parameter(4_000_000, "video bit rate of lab desktops in bits per second", minimum=100_000)
    workload: str = parameter("", "what lab desktops show; empty: what the scenario is about")
    desktops: int = parameter(0, "desktops to have; 0: one for each user of the shape's largest stage", minimum=0)
    scenario: str = parameter("office", "what users do", choices=tuple(SCENARIOS))
    shape: str = parameter("steps:1,2@20s", "how many users when; empty: as a web page says")
    spawn_rate: float = parameter(4.0, "users a second, where the shape does not say", minimum=0.01)
    warmup_seconds: float = parameter(2.0, "seconds after a stage's last user came before anything counts", minimum=0)
    workers: int = parameter(1, "Locust workers on this host, each with an engine", minimum=0)
    remote_workers: int = parameter(0, "Locust workers to wait for from elsewhere", minimum=0)
    mode: str = parameter("decode", "how much of each stream is looked at", choices=tuple(Mode))
    locustfile: str = parameter("", "a locustfile of your own instead of the scenario")
    relay_only: bool = parameter(False, "connect through the TURN relay only, as users of a cluster do (WebRTC)")

    def __post_init__(self) -> None:
        if not self.workload and self.scenario in SCENARIOS:
            object.__setattr__(self, "workload", str(scenario(self.scenario).workload))
        super().__post_init__()
        _check(self)

    @property
    def stages(self) -> Shape | None:
        """The shape; None where a web page says how many users there are."""
        return parse_shape(self.shape) if self.shape else None

    @property
    def count(self) -> int:
        """Desktops to have."""
        return self.desktops or (self.stages.peak if self.stages is not None else 1)


def _check(parameters: Parameters) -> None:
    """What one parameter says of another.

    :raises ParameterError: they do not go together.
    """
    shape = parameters.stages
    if shape is not None and shape.peak > parameters.count:
        raise ParameterError(
            f"shape {shape.text!r} has {shape.peak} users, and there are {parameters.count} desktops",
            "ask for as many desktops as users",
        )
    if parameters.workers + parameters.remote_workers < 1:
        raise ParameterError("a load without workers has no users", "set workers to 1 or more")
    if parameters.locustfile and not Path(parameters.locustfile).is_file():
        raise ParameterError(f"there is no locustfile {parameters.locustfile}", "give the path of a file")
    if parameters.relay_only and parameters.dialect == Dialect.SELKIES_2_WEBSOCKET:
        raise ParameterError(
            f"{parameters.dialect} goes through no relay, and relay_only asks for one", "leave one of them out"
        )
    url = parameters.target.startswith("url:")
    if url and not parameters.take_control and not parameters.locustfile and scenario(parameters.scenario).sends_input:
        raise UsageError(
            f"scenario {parameters.scenario!r} sends input, and a viewer may not",
            "choose scenario watch, or take the desktop under control (--take-control)",
        )


def _check_port(around: Surroundings) -> None:
    """Locust would go on without its page.

    :raises UsageError: another program has the page's port.
    """
    if not around.web_port:
        return
    with socket.socket(socket.AF_INET6 if ":" in around.web_host else socket.AF_INET) as probe:
        # As servers do: a port that a page had a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((around.web_host, around.web_port))
        except OSError as error:
            where = f"{around.web_host}:{around.web_port}"
            raise UsageError(
                f"the web page cannot be at {where}: {error.strerror}", "choose another --web-port"
            ) from error


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What belongs to this host and not to what is measured.

    :param host: where the master listens for workers, at ``port``; 0 for a free one.
    :param web_host: where its web page listens, at ``web_port``; 0 for no page.
    :param arguments: more of Locust's own.
    :param roster: file to write the desktops to, for workers elsewhere; it holds their credentials.
    """

    host: str = "127.0.0.1"
    port: int = 0
    web_host: str = "127.0.0.1"
    web_port: int = 0
    arguments: tuple[str, ...] = ()
    roster: str = ""

    @property
    def locust_arguments(self) -> tuple[str, ...]:
        """All of them."""
        web = ("--web-host", self.web_host, "--web-port", str(self.web_port)) if self.web_port else ()
        return (*web, *self.arguments)


def planned_seconds(parameters: Parameters) -> float:
    """About how long it takes; 0 where a person decides."""
    shape = parameters.stages
    if shape is None:
        return 0.0
    return 6.0 + 1.2 * parameters.count + shape.seconds + len(shape.stages) * parameters.warmup_seconds


class Load:
    """A load, from its desktops to its verdict.

    :param say: takes a line of progress every few seconds, with the time that is left.
    :ivar document: of the load's seconds and stages, once it was written.
    :raises VdibenchError: parameters, target or run folder cannot be; nothing is left running.
    """

    def __init__(
        self,
        parameters: Parameters,
        surroundings: Surroundings | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.parameters = parameters
        self._tell = say
        self._told, self._ends = -math.inf, math.inf
        self._surroundings = surroundings or Surroundings()
        if parameters.stages is None and not self._surroundings.web_port:
            raise UsageError("nothing says how many users there are", "give a shape, or a port for the web page")
        _check_port(self._surroundings)
        self.failures: dict[str, VdibenchError] = {}
        self.measurement = Measurement(
            SUITE, parameters, desktops=parameters.count, planned_seconds=planned_seconds(parameters)
        )
        self.measurement.folder.update(context={"mode": parameters.mode, "scenario": parameters.scenario})
        self.document: dict[str, Any] = {}

    def _say(self, words: str, *, at_once: bool = False) -> None:
        """Progress: to the run folder always, to whoever listens every few seconds."""
        self.measurement.progress.say(words)
        now = time.monotonic()
        if at_once or now - self._told >= _TELL_SECONDS:
            self._told = now
            left = self._ends - now
            self._tell(f"{words}, about {left:.0f} s to go" if 0 < left < math.inf else words)

    def measure(self) -> None:
        """Run the shape, or follow the web page until it is told to end."""
        measurement = self.measurement
        measurement.require_open()
        with measurement.step():
            self._write_roster()
            try:
                self._run_driver()
            finally:
                if self._surroundings.roster:
                    Path(self._surroundings.roster).unlink(missing_ok=True)
            measurement.note_loaded(measurement.desktops, SUITE)
            self._refuse_overloaded()

    def _run_driver(self) -> None:
        measurement = self.measurement
        with LoadDriver(
            measurement.folder.path,
            measurement.desktops,
            self._options(),
            suite=SUITE,
            secrets=measurement.secrets,
            say=measurement.progress.say,
        ) as driver:
            if self._surroundings.web_port:
                self._say(f"web page at {self.web_url}", at_once=True)
            if self.parameters.stages is not None:
                self._ends = time.monotonic() + self.parameters.stages.seconds
            try:
                self._drive(driver)
            except KeyboardInterrupt:
                # Who follows the page ends it so; what was measured is judged. A shape was to be run to its end.
                if self.parameters.stages is not None:
                    raise

    def write_document(self) -> None:
        """Write ``load.json`` beside the samples; see :mod:`vdibench.load.outputs`."""
        folder = self.measurement.folder
        self.document = load_document(Recording.open(folder.path).tables, SUITE)
        folder.write_text(DOCUMENT_FILE, json.dumps(self.document))

    @property
    def web_url(self) -> str:
        """Of our page beside Locust's."""
        return f"http://{self._surroundings.web_host}:{self._surroundings.web_port}/vdibench"

    def _options(self) -> LoadOptions:
        parameters, around = self.parameters, self._surroundings
        return LoadOptions(
            workers=parameters.workers,
            remote_workers=parameters.remote_workers,
            mode=Mode(parameters.mode),
            spawn_rate=parameters.spawn_rate,
            scenario=parameters.scenario,
            locustfile=parameters.locustfile,
            controlled=parameters.stages is not None,
            arguments=around.locust_arguments,
            host=around.host,
            port=around.port,
            compare_clocks=self.measurement.compares_clocks,
            relay_only=parameters.relay_only,
        )

    def _write_roster(self) -> None:
        """For workers elsewhere, who get it as a secret; those of this host get their own."""
        if not self._surroundings.roster:
            return
        parameters, measurement = self.parameters, self.measurement
        roster = Roster(
            run=str(measurement.folder.path.resolve()),
            suite=SUITE,
            desktops=measurement.desktops,
            secrets=measurement.secrets,
            scenario=parameters.scenario,
            controlled=parameters.stages is not None,
            mode=Mode(parameters.mode),
            compare_clocks=measurement.compares_clocks,
            relay_only=parameters.relay_only,
        )
        write_roster(Path(self._surroundings.roster), roster)
        self._say(f"the desktops stand in {self._surroundings.roster}: it holds their passwords", at_once=True)

    def _drive(self, driver: LoadDriver) -> None:
        shape = self.parameters.stages
        if shape is None:
            self._follow(driver)
            return
        for number, (stage, trial) in enumerate(zip(shape.stages, shape.trials, strict=True), 1):
            self._stage(driver, stage, trial, f"stage {number} of {len(shape.stages)}")
        self._move(driver, shape.stages[-1].users, shape.trials[-1], "warmup")
        driver.scale(0)

    def _move(self, driver: LoadDriver, level: int, trial: int, phase: str) -> None:
        recorder = self.measurement.recorder
        recorder.move(level=level, trial=trial, phase=phase)
        driver.move(level=level, trial=trial, phase=phase)

    def _stage(self, driver: LoadDriver, stage: Stage, trial: int, what: str) -> None:
        ends = time.monotonic() + stage.seconds
        # Users that come more slowly than planned take nothing from what was to be watched with all of them.
        coming = stage.users / (stage.spawn_rate or self.parameters.spawn_rate)
        planned = stage.seconds - coming - self.parameters.warmup_seconds
        self._move(driver, stage.users, trial, "warmup")
        self._say(f"{what}: {stage.users} users are coming", at_once=True)
        self.failures |= driver.scale(stage.users, stage.spawn_rate or None)
        if self.failures and not driver.shown:
            error = next(iter(self.failures.values()))
            raise TargetUnavailable(f"every one of {stage.users} users failed: {error.cause}", error.remedy)
        self._hold(driver, self.parameters.warmup_seconds, what)
        self._move(driver, stage.users, trial, "steady")
        self._hold(driver, max(_LEAST_SECONDS, planned, ends - time.monotonic()), what)

    def _hold(self, driver: LoadDriver, seconds: float, what: str) -> None:
        from vdibench.load import live  # its histograms come with the extra `load`; commands are listed without

        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            slice_seconds = min(left, _SAY_SECONDS)
            began = time.monotonic()
            self.failures |= driver.hold(slice_seconds)
            self._say(f"{what}: {live.sentence(driver.seconds, time.time())}")
            if time.monotonic() - began < 0.5 * slice_seconds:
                return  # none is left

    def _follow(self, driver: LoadDriver) -> None:
        """As many users as a person asks for at the web page: one level, that of the desktops there are.

        It counts while there are users, from when the first of them settled.
        """
        from vdibench.load import live  # its histograms come with the extra `load`; commands are listed without

        level, came, phase = self.parameters.count, math.inf, ""
        while not driver.wait(_LOOK_SECONDS):
            engines = live.latest(driver.seconds, time.time()).values()
            now, there = time.monotonic(), any(engine.users > 0 for engine in engines)
            came = min(came, now) if there else math.inf
            wanted = "steady" if now - came >= self.parameters.warmup_seconds else "warmup"
            if wanted != phase:
                phase = wanted
                self._move(driver, level, 0, phase)
            self._say(live.sentence(driver.seconds, time.time()))

    def _refuse_overloaded(self) -> None:
        measurement, parameters = self.measurement, self.parameters
        recording = measurement.tables()
        every, one_way = guard.latency_bounds(measurement.objectives, SUITE, measurement.context(recording.run))
        decoding = os.cpu_count() or 1 if Mode(parameters.mode).decodes else 1
        for reason in guard.reasons(
            recording.tables,
            suite=SUITE,
            workers=parameters.workers + parameters.remote_workers,
            asked=parameters.stages is not None,
            limits=guard.limits_for(every, decoding_cores=decoding),
            clock_bound_seconds=float(recording.run.context.get("clock_bound_seconds") or 0.0),
            one_way_bounds=one_way,
        ):
            measurement.invalid(reason)


def run(parameters: Parameters, surroundings: Surroundings | None = None) -> SuiteVerdict:
    """All steps."""
    suite = Load(parameters, surroundings)
    suite.measure()
    return suite.measurement.judge()
