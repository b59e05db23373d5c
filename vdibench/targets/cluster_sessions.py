"""Sessions on a cluster as desktops, whoever made their pods: what is known of each, and how they are waited for.

I/O, blocks. Target ``manifests`` makes the pods by itself (:mod:`vdibench.targets.pods`), target ``operator`` has them
made (:mod:`vdibench.targets.vdisessions`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from vdibench.clusters.api import Api, Object
from vdibench.clusters.logs import log_lines, tracer_rows
from vdibench.clusters.ownership import remove, sweep
from vdibench.clusters.phases import Observation, Outlook, Phases, session_phases
from vdibench.clusters.watching import Watcher
from vdibench.errors import TargetUnavailable, UsageError, VdibenchError
from vdibench.recorder import Recorder
from vdibench.records import Desktop, Subjects
from vdibench.targets.first_look import FirstLook, LoopThread, page, picture

if TYPE_CHECKING:
    from vdibench.targets.opening import Wanted

__all__ = [
    "BEFORE",
    "LAB_PORT",
    "MARKERS",
    "PodSession",
    "PodSessions",
    "authority",
    "await_sessions",
    "find_processes",
    "refuse_none",
    "removed",
    "swept",
]

# The trial under which a start of pods is recorded: it belongs to no trial of a suite.
BEFORE = -1
# Of a lab's Traefik.
LAB_PORT = 30443
MARKERS = range(1, 1 << 16)

# A large image may have to come over a slow line; what cannot come says so much earlier.
_START_SECONDS = 600.0
_WAIT_SECONDS = 1.0


@dataclass(slots=True, eq=False)
class PodSession:
    """One session on its way up.

    :param user: whose it is: ``vdibench-<run>-<n>``.
    :param objects: what it is made of, its pod last.
    :param secrets: what must not reach any file.
    :param reason: why it has no picture, where it has none.
    """

    user: str
    desktop: Desktop
    objects: Sequence[Object] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    begun_unix_seconds: float = 0.0
    admitted_unix_seconds: float | None = None
    routed_unix_seconds: float | None = None
    reason: str = ""
    look: FirstLook = field(default_factory=FirstLook, repr=False)

    @property
    def pod(self) -> str:
        """Name of its pod."""
        return f"vdi-session-{self.user}"

    @property
    def home(self) -> str:
        """Name of its home's claim."""
        return f"vdi-home-{self.user}"


class PodSessions:
    """The pods of an open target.

    :param run: whose objects they are on the cluster.
    :ivar subjects: what their measurement is of, where this package's manifests made them.
    """

    def __init__(self, api: Api, run: str, sessions: Sequence[PodSession]) -> None:
        self.run = run
        self.sessions = tuple(sessions)
        self.observations: list[Observation] = []
        self.pods: dict[str, Mapping[str, Any]] = {}
        self.subjects: Subjects | None = None
        self._api = api

    @property
    def desktops(self) -> tuple[Desktop, ...]:
        """All that were wanted; one whose pod did not come up is not to be reached."""
        return tuple(session.desktop for session in self.sessions)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not reach any file."""
        return tuple(secret for session in self.sessions for secret in session.secrets)

    def phases(self, session: PodSession) -> Phases:
        """How its start went."""
        return session_phases(
            session.pod,
            session.home,
            self.observations,
            begun_unix_seconds=session.begun_unix_seconds,
            admitted_unix_seconds=session.admitted_unix_seconds,
            routed_unix_seconds=session.routed_unix_seconds,
            first_frame_unix_seconds=session.look.reached.get("first_frame"),
        )

    def tell(self, recorder: Recorder) -> None:
        """Record each start as one of its desktop's, from the first object to the first picture, under no trial."""
        before = recorder.place.trial
        recorder.move(trial=BEFORE)
        for session in self.sessions:
            id_, phases = session.desktop.id, self.phases(session)
            recorder.milestone(id_, "started", phases.begun_unix_seconds)
            # The client's own steps tell more of the way to the first picture.
            steps = {step: instant for step, instant in phases.reached.items() if step != "first_frame"}
            for step, instant in (steps | session.look.steps).items():
                if instant is not None:
                    recorder.milestone(id_, step, instant)
            recorder.fact(id_, "pod", session.pod)
            node = self.pods.get(session.pod, {}).get("spec", {}).get("nodeName", "")
            if node:
                recorder.fact(id_, "pod.node", str(node))
            if session.reason:
                recorder.fact(id_, "failure.start", session.reason)
                recorder.milestone(id_, "failed", time.time())
        recorder.move(trial=before)

    def deskless(self, desktop: str) -> str:
        """Why no desk draws in a desktop, where that is known; empty: one does, or nobody was to start it."""
        return ""

    def tracer_rows(self, desktop: str, since_unix_seconds: float, until_unix_seconds: float) -> list[dict[str, Any]]:
        """Rows of the table ``server`` from the log of a desktop's pod, between two instants of its node's clock.

        :raises TargetUnavailable: there is no record of GStreamer's latency tracer in it.
        """
        return tracer_rows(self._api, self._of(desktop).pod, since_unix_seconds, until_unix_seconds)

    def log_tail(self, desktop: str, lines: int) -> tuple[str, ...]:
        """The last lines of the log of a desktop's pod, passwords redacted."""
        found = []
        for line in log_lines(self._api, self._of(desktop).pod, last=lines):
            text = line
            for secret in self.secrets:
                text = text.replace(secret, "***")
            found.append(text)
        return tuple(found)

    def _of(self, desktop: str) -> PodSession:
        for session in self.sessions:
            if session.desktop.id == desktop:
                return session
        raise UsageError(f"there is no {desktop!r}", f"choose from {', '.join(one.id for one in self.desktops)}")


def swept(api: Api, say: Callable[[str], None]) -> None:
    """Remove what killed runs left, and say so."""
    found = sweep(api)
    if found.removed:
        say(f"removed what killed runs had left: {', '.join(found.removed)}")
    if found.others:
        say(f"other runs have sessions on this cluster: {', '.join(found.others)}")


def removed(api: Api, run: str, say: Callable[[str], None]) -> None:
    """Remove everything of a run."""
    with suppress(VdibenchError):  # a disk that is full must not keep pods on a cluster
        say(f"removing the sessions of run {run}")
    kept = remove(api, run)
    if kept:
        say(f"this user may not remove {', '.join(kept)}")


def authority(kubeconfig: Path) -> Path:
    """Where a cluster lab keeps the authority of its hosts' certificate."""
    from vdibench.lab.cluster.furnishing import WILDCARD_AUTHORITY

    return kubeconfig.parents[1] / WILDCARD_AUTHORITY


def await_sessions(
    sessions: Sequence[PodSession],
    watcher: Watcher,
    wanted: Wanted,
    say: Callable[[str], None],
    outlook: Callable[[PodSession], Outlook],
    arrive: Callable[[PodSession], None] = lambda session: None,
) -> None:
    """Return when each session shows a picture, or has a reason why it does not.

    :param outlook: what a session promises now.
    :param arrive: called with a session that is ready, before anybody looks at it.
    """
    began, said = time.monotonic(), ""
    waiting, seen = list(sessions), 0
    looking: list[Future[None]] = []
    with LoopThread("vdibench-first-look") as clients:
        while waiting:
            for session in tuple(waiting):
                found = outlook(session)
                if found.ready:
                    arrive(session)
                    looking.append(clients.start(_look(session, relay_only=wanted.relay_only)))
                else:
                    session.reason = _lost(found, time.monotonic() - began, wanted.pending_seconds)
                if found.ready or session.reason:
                    waiting.remove(session)
            now = _progress(sessions, waiting, outlook)
            if now != said:
                say(now)
                said = now
            if waiting:
                seen = watcher.wait(seen, _WAIT_SECONDS)
        for one in looking:
            one.result()


def _lost(found: Outlook, seconds: float, pending_seconds: float) -> str:
    """Why a session is not waited for any longer; empty while it is."""
    if found.hopeless:
        return found.reason
    if not found.scheduled and found.reason and seconds > pending_seconds:
        return f"stays Pending: {found.reason}"
    if seconds > _START_SECONDS:
        return f"not ready after {_START_SECONDS:g} s{': ' if found.reason else ''}{found.reason}"
    return ""


def _progress(
    sessions: Sequence[PodSession], waiting: Sequence[PodSession], outlook: Callable[[PodSession], Outlook]
) -> str:
    lost = [session for session in sessions if session.reason]
    text = f"{len(sessions) - len(waiting) - len(lost)} of {len(sessions)} sessions ready"
    reasons = dict.fromkeys(session.reason for session in lost)
    reasons |= dict.fromkeys(outlook(session).reason for session in waiting)
    known = [reason for reason in reasons if reason]
    return f"{text}; {'; '.join(known)}" if known else text


async def _look(session: PodSession, *, relay_only: bool) -> None:
    """The page through the proxy, and the first picture; what goes wrong is the session's reason."""
    try:
        session.routed_unix_seconds = await page(session.desktop.endpoint)
        await picture(session.desktop, session.look, relay_only=relay_only)
    except VdibenchError as error:
        session.reason = str(error)


def refuse_none(sessions: Sequence[PodSession], remedy: str) -> None:
    """Go on where at least one session can be reached.

    :param remedy: what to do where none can.
    :raises TargetUnavailable: none came up; the message has the first one's reason.
    """
    if all(session.reason and session.routed_unix_seconds is None for session in sessions):
        first = sessions[0]
        raise TargetUnavailable(f"session {first.user} did not come up: {first.reason}", remedy)


def find_processes(session: PodSession, pod: Mapping[str, Any]) -> None:
    """Have the telemetry know its processes: those of its pod that none of its pod started."""
    uid = str(pod.get("metadata", {}).get("uid", ""))
    if not uid:
        return  # it was never made
    inside: dict[int, int] = {}
    for process in psutil.process_iter():
        try:
            if f"pod{uid}" in Path(f"/proc/{process.pid}/cgroup").read_text():
                inside[process.pid] = process.ppid()
        except (OSError, psutil.Error):
            continue  # it has ended
    roots = tuple(sorted(pid for pid, parent in inside.items() if parent not in inside))
    session.desktop = replace(session.desktop, pids=roots)
