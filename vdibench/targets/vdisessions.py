"""VDISessions as desktops: an operator makes what belongs to them, and everything is removed at the end. I/O, blocks.

A session is created, and used as a user uses it: when it is Ready, by the URL and the Secret that its status names.
On a user's cluster what will be created is printed first.
"""

from __future__ import annotations

import base64
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vdibench.clusters.api import SESSIONS, Api, path_of
from vdibench.clusters.connection import Cluster, connect
from vdibench.clusters.ownership import Owner, announcement, apply, counts, new_run
from vdibench.clusters.phases import Phases
from vdibench.clusters.vdisessions import (
    Offer,
    condition_checks,
    operated_outlook,
    operated_phases,
    template_offer,
    template_path,
    vdisession,
)
from vdibench.clusters.watching import Watcher
from vdibench.errors import TargetUnavailable, UsageError, VdibenchError
from vdibench.recorder import Recorder
from vdibench.records import Credentials, Desktop, Endpoint
from vdibench.targets.address import TargetAddress, desktop_url
from vdibench.targets.cluster_sessions import (
    LAB_PORT,
    MARKERS,
    PodSession,
    PodSessions,
    authority,
    await_sessions,
    find_processes,
    refuse_none,
    removed,
    swept,
)
from vdibench.targets.desks import start_desk

if TYPE_CHECKING:
    from vdibench.targets.opening import Wanted

__all__ = ["OperatedSession", "OperatedSessions", "announce", "open_vdisessions"]

_KIND = "VDISession"
_REMEDY = "see vdi-operator explain with its name while it is there, or kubectl describe vdisession"


@dataclass(slots=True, eq=False)
class OperatedSession(PodSession):
    """One VDISession on its way up; it has the name of its user.

    :param document: as it was seen last.
    :param published_unix_seconds: when a watch told that it is Ready.
    :param deskless: why no desk draws there, where none does.
    """

    document: Mapping[str, Any] = field(default_factory=dict, repr=False)
    published_unix_seconds: float | None = None
    deskless: str = ""


class OperatedSessions(PodSessions):
    """The VDISessions of an open target."""

    def phases(self, session: PodSession) -> Phases:
        """How its start went: by the operator's own seconds, from the creation to our client's first picture."""
        assert isinstance(session, OperatedSession)
        return operated_phases(
            session.document.get("status") or {},
            begun_unix_seconds=session.begun_unix_seconds,
            published_unix_seconds=session.published_unix_seconds,
            first_frame_unix_seconds=session.look.reached.get("first_frame"),
        )

    def deskless(self, desktop: str) -> str:
        """Why no desk draws in a desktop; empty where one does."""
        session = self._of(desktop)
        assert isinstance(session, OperatedSession)
        return session.deskless

    def tell(self, recorder: Recorder) -> None:
        """Record each start, what the operator says of it, and the conditions that do not hold as checks."""
        super().tell(recorder)
        for session in self.sessions:
            assert isinstance(session, OperatedSession)
            id_, status = session.desktop.id, session.document.get("status") or {}
            recorder.fact(id_, "vdisession", session.user)
            if "readyInSeconds" in status:
                recorder.fact(id_, "operator.ready_in_seconds", str(status["readyInSeconds"]))
            for name, seconds in (status.get("phases") or {}).items():
                recorder.fact(id_, f"operator.phase.{name}", str(seconds))
            for name, value in (status.get("stream") or {}).items():
                recorder.fact(id_, f"operator.stream.{name}", str(value))
            if session.deskless:
                recorder.fact(id_, "desk", session.deskless)
            for check in condition_checks(session.document):
                recorder.check(check, id_)


def announce(address: TargetAddress, wanted: Wanted) -> tuple[str, ...]:
    """What would be created on the cluster, and what is there now, in lines; nothing is created.

    :raises VdibenchError: it could not be.
    """
    cluster = connect(context=wanted.context, lab=address.name)
    with closing(cluster):
        api = Api(cluster)
        planned = [one for session in _planned(api, wanted, new_run()) for one in session.objects]
        return announcement(cluster, counts(api, ""), planned)


@contextmanager
def open_vdisessions(address: TargetAddress, wanted: Wanted, say: Callable[[str], None]) -> Iterator[OperatedSessions]:
    """Open as many sessions as are wanted; leaving the block removes them, with the homes that were made for them.

    One that does not come up keeps its place among the desktops, with its reason.

    :raises UsageError: the cluster has no such template, or its desktops are others than those asked for.
    :raises AuthenticationError: the context's user may not do it.
    :raises TargetUnavailable: none came up; the message has the reason.
    """
    cluster = connect(context=wanted.context, lab=address.name)
    with ExitStack() as stack:
        stack.callback(cluster.close)
        api = Api(cluster)
        swept(api, say)
        # Who may create sessions and not see them could not remove them either.
        api.items(path_of(_KIND, SESSIONS), {"limit": "1"})
        run, owner = new_run(), Owner.current()
        sessions = _planned(api, wanted, run)
        if not cluster.ours:
            planned = [one for session in sessions for one in session.objects]
            for line in announcement(cluster, counts(api, ""), planned, run):
                print(line, file=sys.stderr, flush=True)
        stack.callback(removed, api, run, say)
        opened = OperatedSessions(api, run, sessions)
        watcher = stack.enter_context(Watcher(api, run, kinds=(_KIND,)))
        say(f"run {run} on {cluster.context}: {len(sessions)} VDISession(s) of template {wanted.template}")
        for session in sessions:
            session.begun_unix_seconds = time.time()
            apply(api, session.objects, run, owner)
            session.admitted_unix_seconds = time.time()
        await_sessions(
            sessions,
            watcher,
            wanted,
            say,
            lambda session: operated_outlook(watcher.latest(_KIND, session.user)),
            lambda session: _arrive(session, watcher, cluster, api, wanted),
        )
        watcher.end()
        for session in sessions:
            session.document = watcher.latest(_KIND, session.user)
            opened.pods[session.pod] = api.get(path_of("Pod", SESSIONS, session.pod)) or {}
        refuse_none(sessions, _REMEDY)
        for index, (session, marker) in enumerate(zip(sessions, random.sample(MARKERS, len(sessions)), strict=True)):
            if not session.reason:
                _have_desk(session, cluster, wanted, index, marker, say)
            if cluster.ours:
                find_processes(session, opened.pods[session.pod])
        yield opened


def _planned(api: Api, wanted: Wanted, run: str) -> list[OperatedSession]:
    """The sessions that would be created."""
    found = api.get(template_path(wanted.template))
    if found is None:
        raise UsageError(
            f"there is no VDITemplate {wanted.template!r} in {SESSIONS}, or no operator on this cluster",
            "create it (operator/examples/template.yaml), or name another one with -p template NAME",
        )
    offer = template_offer(found)
    _refuse_others(offer, wanted)
    made = []
    for index in range(wanted.desktops):
        user = f"vdibench-{run}-{index}"
        desktop = Desktop(
            f"desktop-{index}",
            # Where it is, its status tells; nothing is there before.
            Endpoint(f"https://{user}.invalid", ca_file=wanted.ca_file, insecure=wanted.insecure),
            owned=True,
            display=offer.display,
            encoder=offer.encoder,
            gpu=wanted.gpu,
            dialect=str(offer.dialect),
        )
        made.append(OperatedSession(user, desktop, [vdisession(user, wanted.template)], ()))
    return made


def _refuse_others(offer: Offer, wanted: Wanted) -> None:
    """The run states what was asked for: desktops that are otherwise would make it say what is not so.

    :raises UsageError: the template's desktops are others.
    """
    name, display = wanted.template, offer.display
    if wanted.dialect not in (None, offer.dialect):
        raise UsageError(
            f"desktops of template {name} speak {offer.dialect}, and {wanted.dialect} is asked for",
            "name another template with -p template NAME",
        )
    if (display, offer.bitrate_bps) != (wanted.display, wanted.bitrate_bps):
        set_so = f"-p width {display.width} -p height {display.height} -p framerate {display.framerate}"
        raise UsageError(
            f"desktops of template {name} show {display} at {offer.bitrate_bps} bit/s, and {wanted.display} at "
            f"{wanted.bitrate_bps} bit/s is asked for",
            f"give {set_so} -p bitrate_bps {offer.bitrate_bps}, or name another template",
        )


def _arrive(session: PodSession, watcher: Watcher, cluster: Cluster, api: Api, wanted: Wanted) -> None:
    """It is Ready: find out where it is and what opens it."""
    assert isinstance(session, OperatedSession)
    session.published_unix_seconds = time.time()
    status = watcher.latest(_KIND, session.user)["status"]
    name = str(status["credentialsSecretRef"]["name"])
    data = (api.get(path_of("Secret", SESSIONS, name)) or {}).get("data", {})
    try:
        user, password = (base64.b64decode(data[key]).decode() for key in ("username", "password"))
    except (KeyError, ValueError) as error:
        raise TargetUnavailable(
            f"the Secret {name} of session {session.user} has no username and password", "look at the operator's log"
        ) from error
    session.secrets = (password,)
    own = cluster.lab.cluster if cluster.lab is not None else None
    endpoint = Endpoint(
        desktop_url(str(status["url"])),
        Credentials(user, password),
        wanted.ca_file if own is None else str(authority(own.kubeconfig)),
        wanted.insecure,
        resolve="" if own is None else f"{own.node_address}:{LAB_PORT}",
    )
    session.desktop = replace(session.desktop, endpoint=endpoint)


def _have_desk(
    session: OperatedSession, cluster: Cluster, wanted: Wanted, index: int, marker: int, say: Callable[[str], None]
) -> None:
    """Start the desk in its pod; without one there is no marker, and latencies are no data."""
    workload = wanted.workload(index)
    try:
        renderer = start_desk(cluster, session.pod, marker, wanted.display, workload)
    except VdibenchError as error:
        session.deskless = str(error)
        say(f"no desk in {session.pod}: {error}")
        return
    session.desktop = replace(session.desktop, marker_id=marker, workload=workload, renderer=renderer)
