"""Sessions of the platform's manifests as desktops: pods on a cluster, removed at the end. I/O, blocks.

Each session is made of the objects that a team applies for a user, reached as a user reaches it: by its host through
Traefik, its media through coturn where relay-only is asked for. On a user's cluster what will be made is printed first.
"""

from __future__ import annotations

import random
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from vdibench.clusters.api import Api
from vdibench.clusters.connection import Cluster, connect
from vdibench.clusters.ownership import Owner, announcement, apply, counts, new_run
from vdibench.clusters.phases import Outlook, complaint, outlook
from vdibench.clusters.rendering import Template, Wishes, for_session, kubectl, render
from vdibench.clusters.subjects import capture
from vdibench.clusters.turn import session_secrets, shared_secret, turn_access
from vdibench.clusters.watching import Watcher
from vdibench.records import Credentials, Desktop, Endpoint
from vdibench.targets.address import TargetAddress
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

if TYPE_CHECKING:
    from vdibench.targets.opening import Wanted

__all__ = ["announce", "open_pods"]

# Overlay of what every cluster gets; that of a session is below it.
_LAB_PLATFORM, _USER_PLATFORM = "lab", "k3s"
_REMEDY = "free what it waits for, or look at its events (kubectl describe pod)"


def announce(address: TargetAddress, wanted: Wanted) -> tuple[str, ...]:
    """What would be made on the cluster, and what is there now, in lines; nothing is made.

    :raises VdibenchError: it could not be made.
    """
    cluster = connect(context=wanted.context, lab=address.name)
    with closing(cluster):
        api = Api(cluster)
        sessions = _planned(cluster, api, _template(cluster), wanted, new_run())
        planned = [one for session in sessions for one in session.objects]
        return announcement(cluster, counts(api, ""), planned)


@contextmanager
def open_pods(address: TargetAddress, wanted: Wanted, say: Callable[[str], None]) -> Iterator[PodSessions]:
    """Open as many sessions as are wanted; leaving the block removes them.

    One that does not come up keeps its place among the desktops, with its reason.

    :raises UsageError: the cluster or the overlay lacks something that a person has to put there.
    :raises AuthenticationError: the context's user may not do it.
    :raises TargetUnavailable: none came up; the message has the reason.
    """
    cluster = connect(context=wanted.context, lab=address.name)
    with ExitStack() as stack:
        stack.callback(cluster.close)
        api = Api(cluster)
        swept(api, say)
        run, owner = new_run(), Owner.current()
        template = _template(cluster)
        sessions = _planned(cluster, api, template, wanted, run)
        if not cluster.ours:
            planned = [one for session in sessions for one in session.objects]
            for line in announcement(cluster, counts(api, ""), planned, run):
                print(line, file=sys.stderr, flush=True)
        stack.callback(removed, api, run, say)
        opened = PodSessions(api, run, sessions)
        watcher = stack.enter_context(Watcher(api, run))
        say(f"run {run} on {cluster.context}: {len(sessions)} session(s)")
        for session in sessions:
            session.begun_unix_seconds = time.time()
            apply(api, session.objects, run, owner)
            session.admitted_unix_seconds = time.time()
        await_sessions(sessions, watcher, wanted, say, lambda session: _outlook(session, watcher))
        watcher.end()
        opened.observations = watcher.observations
        opened.pods = {session.pod: watcher.pod(session.pod) for session in sessions}
        refuse_none(sessions, _REMEDY)
        measured = Wishes(0, wanted.display, wanted.workload(0), wanted.bitrate_bps, template.speaking(wanted.dialect))
        opened.subjects = capture(
            cluster,
            api,
            template,
            measured.environment(),
            opened.pods.values(),
            overlay=_overlay(cluster),
            platform=_platform(cluster),
        )
        if cluster.ours:
            for session in sessions:
                find_processes(session, opened.pods[session.pod])
        yield opened


def _platform(cluster: Cluster) -> str:
    return _LAB_PLATFORM if cluster.ours else _USER_PLATFORM


def _overlay(cluster: Cluster) -> str:
    return f"{_platform(cluster)}/session"


def _template(cluster: Cluster) -> Template:
    own = cluster.lab.cluster if cluster.lab is not None else None
    return render(kubectl(cluster), _overlay(cluster), turn_address="" if own is None else own.node_address)


def _planned(cluster: Cluster, api: Api, template: Template, wanted: Wanted, run: str) -> list[PodSession]:
    """The sessions that would be made, with all their objects."""
    own = cluster.lab.cluster if cluster.lab is not None else None
    dialect = template.speaking(wanted.dialect)
    relay, login = shared_secret(api), template.variable("SELKIES_BASIC_AUTH_USER") or "user"
    ca_file, resolve = wanted.ca_file, ""
    if own is not None:
        ca_file, resolve = str(authority(own.kubeconfig)), f"{own.node_address}:{LAB_PORT}"
    made = []
    for index, marker in enumerate(random.sample(MARKERS, wanted.desktops)):
        user, password = f"vdibench-{run}-{index}", secrets.token_urlsafe(18)
        access = turn_access(template.turn_address, relay, user, time.time())
        wishes = Wishes(marker, wanted.display, wanted.workload(index), wanted.bitrate_bps, dialect)
        desktop = Desktop(
            f"desktop-{index}",
            Endpoint(
                f"https://{template.host(user)}",
                Credentials(login, password),
                ca_file,
                wanted.insecure,
                resolve=resolve,
            ),
            owned=True,
            marker_id=marker,
            display=wanted.display,
            encoder=template.variable("SELKIES_ENCODER") or "",
            workload=wanted.workload(index),
            gpu=wanted.gpu,
            dialect=str(dialect),
        )
        objects = [*session_secrets(user, login, password, access.rtc), *for_session(template, user, wishes)]
        made.append(PodSession(user, desktop, objects, (password, access.credential)))
    return made


def _outlook(session: PodSession, watcher: Watcher) -> Outlook:
    """What its pod promises; where that says nothing, what was warned of about the pod and its home."""
    found = outlook(watcher.pod(session.pod))
    if found.ready or found.reason:
        return found
    return replace(found, reason=complaint((session.pod, session.home), watcher.observations))
