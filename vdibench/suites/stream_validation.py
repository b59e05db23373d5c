"""Suite of notebook 02: the manual checks of one desktop, one by one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdibench.client import DesktopSession
from vdibench.clusters import connect
from vdibench.errors import UsageError, VdibenchError
from vdibench.records import Check, Desktop, Outcome, SuiteVerdict
from vdibench.report import glass_to_glass_distribution, input_stages, input_to_photon, latency_stages
from vdibench.selkies import Dialect
from vdibench.suites import stream_checks as checks
from vdibench.suites.conformance import policy_checks
from vdibench.suites.display import Figures, Findings, Judgement
from vdibench.suites.levels import press_many
from vdibench.suites.measurement import Measurement
from vdibench.suites.parameters import DesktopParameters, parameter
from vdibench.suites.picture_checks import audio_gaps, encoder_in_use, likeness, synchronisation
from vdibench.targets import parse_target
from vdibench.telemetry import read_tracer_log

if TYPE_CHECKING:
    from vdibench.targets.cluster_sessions import PodSessions

__all__ = ["SUITE", "Parameters", "StreamValidation", "planned_seconds", "run"]

SUITE = "stream_validation"
# The value of tracer_log that means the log of the desktop's pod.
POD_LOG = "pod"


@dataclass(frozen=True)
class Parameters(DesktopParameters):
    """Parameters of notebook 02."""

    warmup_seconds: float = parameter(2.0, "seconds watched before anything counts", minimum=0)
    steady_seconds: float = parameter(20.0, "seconds watched for the statistics", minimum=1)
    inputs: int = parameter(30, "key presses, and as many clicks", minimum=0)
    starts: int = parameter(5, "sessions started for the time to the first frame", minimum=1)
    relay: bool = parameter(True, "also connect through the TURN relay only")
    relay_only: bool = parameter(False, "connect through the TURN relay only, as users of a cluster do (WebRTC)")
    audible: bool = parameter(True, "the desktop plays sound; a silent one sends no audio")
    picture_seconds: float = parameter(5.0, "seconds of pictures held against screenshots; 0 for none", minimum=0)
    click_seconds: float = parameter(8.0, "seconds of clicks for sound against picture; 0 for none", minimum=0)
    policies: bool = parameter(True, "try a cluster's network policies too, edge by edge, from pods of their own")
    tracer_log: str = parameter(
        "", "log of a 1.6 desktop that runs here with GStreamer's latency tracer; pod: the log of its pod"
    )


def planned_seconds(parameters: Parameters) -> float:
    """About how long the suite takes."""
    probes = parameters.picture_seconds + parameters.click_seconds
    watched = parameters.warmup_seconds + parameters.steady_seconds + probes
    policies = 30.0 if parameters.policies and parse_target(parameters.target).kind == "manifests" else 0.0
    return 12.0 + watched + 0.4 * parameters.inputs + parameters.starts + policies


class StreamValidation:
    """The steps of notebook 02, in order; each records its checks and returns them."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.measurement = Measurement(SUITE, parameters, desktops=1, planned_seconds=planned_seconds(parameters))
        self.desktop: Desktop = self.measurement.desktops[0]
        self._session: DesktopSession | None = None

    def check_reachable(self) -> Findings:
        """Something answers, and it is a Selkies desktop; which dialect it speaks."""
        return self._step("reachable", lambda: checks.reachable(self.desktop))

    def check_signalling(self) -> Findings:
        """Signalling hands over an offer, DTLS and the data channel come up."""

        async def connect() -> list[Check]:
            self._session = self.measurement.session(self.desktop)
            await self._session.connect()
            await self._session.first_frame()
            return checks.signalling(self._session, self.measurement.recorder.milestones(self.desktop.id))

        return self._step("signalling", connect)

    def check_ice(self) -> Findings:
        """Which candidate pair carries the media."""
        return self._step("ice pair", lambda: checks.ice_pair(self._connected()))

    def check_relay(self) -> Findings:
        """The same desktop through coturn, relay-only, over each transport that the desktop names."""

        async def probe() -> list[Check]:
            # A probe: what these sessions show does not count among the desktop's own starts.
            self.measurement.recorder.move(phase="probe")
            return await checks.relay(self.measurement, self.desktop, self._connected(), wanted=self.parameters.relay)

        return self._step("relay", probe)

    def check_encoder(self) -> Findings:
        """The encoder really in use: hardware, or software (a silent fall-back on a GPU desktop)."""

        async def look() -> list[Check]:
            found = await encoder_in_use(self._connected(), gpu=self.parameters.gpu)
            self.measurement.note_session(self._connected())
            return found

        return self._step("encoder", look)

    def check_sps(self) -> Findings:
        """The sequence parameter set forbids reordering, so that no decoder holds frames back."""
        return self._step("sequence parameters", lambda: checks.sequence_parameters(self._connected()))

    def check_first_frame(self) -> Findings:
        """Start the session anew, several times, and time the first decoded frame."""

        async def start() -> list[Check]:
            recorder = self.measurement.recorder
            await self._connected().leave()
            # The last session stays, for the steps that follow.
            for number in range(self.parameters.starts):
                recorder.move(trial=number)
                if number:
                    await self._connected().leave()
                self._session = self.measurement.session(self.desktop)
                await self._session.connect()
                await self._session.first_frame()
            recorder.move(trial=0)
            return checks.first_frame(self.measurement)

        return self._step("first frame", start)

    def check_frame_rate(self) -> Findings:
        """Watch: warm up, then the steady window that all statistics rest on."""

        async def watch() -> list[Check]:
            session, recorder = self._connected(), self.measurement.recorder
            await session.watch(self.parameters.warmup_seconds)
            recorder.move(phase="steady")
            self.measurement.progress.say(f"watching for {self.parameters.steady_seconds:g} s")
            began = time.time()
            await session.watch(self.parameters.steady_seconds)
            recorder.move(phase="warmup")
            found = checks.frame_rate(self.measurement, self.parameters.framerate)
            if self.parameters.tracer_log:
                found += await asyncio.to_thread(self._read_tracer, began, time.time())
            return found

        return self._step("frame rate", watch)

    def _read_tracer(self, since: float, until: float) -> list[Check]:
        """What GStreamer's latency tracer wrote in the steady window becomes rows beside ours."""
        rows = self._tracer_rows(since, until)
        for row in rows:
            self.measurement.recorder.row(self.desktop.id, "server", row, phase="steady")
        evidence = f"{len(rows)} records within the steady window"
        if rows:
            return [Check("tracer", Outcome.PASS, "GStreamer's latency tracer tells its elements apart", evidence)]
        cause = "the tracer's log has nothing of the steady window"
        remedy = "check that it is this desktop's, and that its clock is this host's"
        return [Check("tracer", Outcome.NO_DATA, cause, evidence, remedy)]

    def _tracer_rows(self, since: float, until: float) -> list[dict[str, Any]]:
        if self.parameters.tracer_log != POD_LOG:
            return read_tracer_log(Path(self.parameters.tracer_log), since, until)
        if self._pods is None:
            raise UsageError(
                "tracer_log names a pod's log, and the desktop is no pod", "use target manifests or operator"
            )
        return self._pods.tracer_rows(self.desktop.id, since, until)

    def check_latency(self) -> Findings:
        """Glass-to-glass, from the marker in every decoded frame of the steady window."""

        async def look() -> list[Check]:
            marked = self.desktop.marker_id is not None
            why = self._pods.deskless(self.desktop.id) if self._pods is not None else ""
            return checks.latency(self.measurement, self._connected(), marked=marked, why=why)

        return self._step("latency", look)

    def check_input(self) -> Findings:
        """Keys and clicks, each until the first frame that shows its echo."""

        async def press() -> list[Check]:
            session, recorder = self._connected(), self.measurement.recorder
            if self.desktop.owned and session.picture.marker_seen and self.parameters.inputs:
                recorder.move(phase="steady", trial=1)
                await press_many(session, self.parameters.inputs)
                recorder.move(phase="warmup", trial=0)
            return checks.input_echo(self.measurement, self.desktop, self.parameters.inputs)

        return self._step("input", press)

    def check_picture(self) -> Findings:
        """Decoded frames against screenshots of the desktop at the same marker."""

        async def compare() -> list[Check]:
            seconds = self.parameters.picture_seconds
            if not seconds:
                return [Check("picture", Outcome.NOT_APPLICABLE, "not asked for (picture_seconds = 0)")]
            return await likeness(self.measurement, self._connected(), seconds=seconds)

        return self._step("picture", compare)

    def check_audio(self) -> Findings:
        """Audio packets arrive without gaps, and sound and picture belong together."""

        async def listen() -> list[Check]:
            session, seconds = self._connected(), self.parameters.click_seconds
            # The image of a session brings nothing that plays.
            audible = self.parameters.audible and self._pods is None
            found = await audio_gaps(session, audible=audible)
            if not seconds:
                finding = "not asked for (click_seconds = 0)"
                return [*found, Check("synchronisation", Outcome.NOT_APPLICABLE, finding)]
            return [*found, *await synchronisation(self.measurement, session, seconds=seconds)]

        return self._step("audio", listen)

    def check_leave(self) -> Findings:
        """Leave: keys released, socket closed, peer closed, and the server has forgotten us."""

        async def leave() -> list[Check]:
            session = self._connected()
            await session.leave()
            self._session = None
            legacy = session.dialect is Dialect.SELKIES_1_WEBRTC
            return await checks.left(
                self.desktop,
                self.measurement.recorder.milestones(self.desktop.id),
                legacy=legacy,
                routed=self._pods is not None,
            )

        return self._step("leave", leave)

    def check_policies(self) -> Findings:
        """Every edge that the cluster's policies allow or forbid, tried from real pods; nothing without a cluster."""
        measurement, parameters = self.measurement, self.parameters
        measurement.require_open()
        address = parse_target(parameters.target)
        if address.kind != "manifests" or not parameters.policies:
            # Those of an operator are a session's own, and choose by its name.
            absent = "each VDISession has a policy of its own" if address.on_cluster else "no cluster"
            reason = absent if address.kind != "manifests" else "not wanted"
            return Findings([measurement.check(Check("policies", Outcome.NOT_APPLICABLE, reason))])
        with measurement.step(), closing(connect(context=parameters.context, lab=address.name)) as cluster:
            found = policy_checks(cluster, say=measurement.progress.say)
        return Findings([measurement.check(check) for check in found])

    def figures(self) -> Figures:
        """Latency, pacing and start, from what was recorded."""
        source = self.measurement.tables()
        return Figures(
            (
                ("glass-to-glass distribution", glass_to_glass_distribution(source, SUITE)),
                ("latency stages", latency_stages(source, SUITE)),
                ("input to photon", input_to_photon(source, SUITE)),
                ("input stages", input_stages(source, SUITE)),
            )
        )

    def verdict(self) -> Judgement:
        """End and judge."""
        if self._session is not None and self.measurement.verdict is None:
            self.measurement.run(self._session.leave())
            self._session = None
        return Judgement(self.measurement.judge())

    @property
    def _pods(self) -> PodSessions | None:
        """What the desktop is on a cluster; None where it is elsewhere."""
        return self.measurement.target.pods if self.measurement.target is not None else None

    def _connected(self) -> DesktopSession:
        if self._session is None:
            raise VdibenchError("there is no session", "run the cells in order, check_signalling first")
        return self._session

    def _step(self, name: str, work: Callable[[], Coroutine[Any, Any, list[Check]]]) -> Findings:
        measurement = self.measurement
        measurement.require_open()
        measurement.progress.say(name)

        async def guarded() -> list[Check]:
            try:
                return await work()
            except BaseException as error:  # Ctrl-C too closes the session
                if isinstance(error, VdibenchError):
                    # What ends the walk is a finding too; it stays with the samples.
                    finding = Check(name.replace(" ", "_"), Outcome.FAIL, error.cause, "the session", error.remedy)
                    measurement.check(finding)
                if self._session is not None:
                    await self._session.leave()
                raise
            finally:
                measurement.recorder.move(phase="warmup", trial=0)

        try:
            found = measurement.run(guarded())
        except BaseException:  # whatever it was, the session is closed
            self._session = None
            raise
        return Findings([measurement.check(check) for check in found])


def run(parameters: Parameters) -> SuiteVerdict:
    """All steps, without a notebook."""
    suite = StreamValidation(parameters)
    for step in (
        suite.check_reachable,
        suite.check_signalling,
        suite.check_ice,
        suite.check_relay,
        suite.check_encoder,
        suite.check_sps,
        suite.check_first_frame,
        suite.check_frame_rate,
        suite.check_latency,
        suite.check_input,
        suite.check_picture,
        suite.check_audio,
        suite.check_leave,
        suite.check_policies,
    ):
        step()
    suite.verdict()
    return suite.measurement.judge()
