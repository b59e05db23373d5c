"""What a pass knows: the stores, files and this process's own memory, put together as a World. Asyncio."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vdi_operator.api.objects import Object
from vdi_operator.api.session import OperatingMode, Session
from vdi_operator.children import names
from vdi_operator.cluster.caches import Caches, last_seen
from vdi_operator.cluster.kube import Client
from vdi_operator.cluster.stores import Watched
from vdi_operator.core import homes
from vdi_operator.core.admission import foreign
from vdi_operator.core.world import CheckResult, NodeFact, World
from vdi_operator.settings import Settings

__all__ = ["Memory", "Surroundings"]

# How old what is known of a mounted file may be.
_LOOK_SECONDS = 1.0


@dataclass(slots=True)
class Memory:
    """What this process knows of a session and the API server does not; lost with the process, and found again.

    :param mode, wake: that were wished for when ``seen_unix_seconds`` was set.
    :param status: decided and not yet written, None: what is stored holds.
    :param written: monotonic seconds of the last written status, at first of the first pass.
    :param steps: statuses in a row that told of a step of a start alone.
    :param busy: passes in a row that had something to change.
    :param told: Events of the present start, by reason and message.
    :param secrets: names of its Secrets.
    :param strangers: something in its children's places is in no watch, so the next pass is not left to one.
    """

    uid: str
    mode: OperatingMode
    seen_unix_seconds: float
    status: Object | None = None
    written: float = field(default_factory=time.monotonic)
    steps: int = 0
    busy: int = 0
    refusal: str = ""
    refused: str = ""
    check: CheckResult | None = None
    told: set[tuple[str, str]] = field(default_factory=set)
    secrets: tuple[str, ...] = ()
    strangers: bool = False
    wake: str = ""


class Surroundings:
    """Puts worlds together.

    :param clock: Unix seconds.
    :param wall: Unix seconds as other hosts have them, which somebody may set.
    """

    def __init__(
        self,
        settings: Settings,
        caches: Caches,
        client: Client,
        *,
        clock: Callable[[], float] = time.time,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.clock = clock
        self._wall = wall
        self._settings = settings
        self._caches = caches
        self._client = client
        self._memories: dict[str, Memory] = {}
        self._turn_secret = ""
        self._turn_stamp: tuple[int, int] = (0, 0)
        self._turn_looked = float("-inf")

    def memory(self, session: Session) -> Memory:
        """Of a session; a new wish (another object of that name, another mode, a wake) begins anew."""
        known = self._memories.get(session.name)
        if known is None or known.uid != session.uid:
            self.forget(session.name)
            known = Memory(
                session.uid,
                session.mode,
                self.clock(),
                secrets=(names.auth_name(session), names.rtc_name(session)),
                wake=session.wake,
            )
            self._memories[session.name] = known
        elif (known.mode, known.wake) != (session.mode, session.wake):
            known.mode, known.wake, known.seen_unix_seconds = session.mode, session.wake, self.clock()
            known.refusal, known.refused, known.check, known.busy = "", "", None, 0
            known.told.clear()
        return known

    def checked(self, session: str, uid: str, result: CheckResult) -> None:
        """Keep what the checker found, if the session is still that one."""
        known = self._memories.get(session)
        if known is not None and known.uid == uid:
            known.check = result

    def forget(self, session: str) -> None:
        """A session is gone."""
        known = self._memories.pop(session, None)
        if known is not None:
            self._caches.secrets.forget(known.secrets)

    async def look(self, session: Session, memory: Memory) -> World:
        """The world of a pass.

        :raises ApiError: its Secrets, or what no watch tells of, cannot be read.
        """
        caches, settings = self._caches, self._settings
        memory.strangers = False
        pod = await self._child(caches.pods, names.pod_name(session), memory)
        # Another session's pod in its place says nothing of its home.
        session = homes.settled(session, pod if pod is None or not foreign(session.uid, pod) else None)
        home = await self._child(caches.homes, names.claim_name(session), memory)
        service = await self._child(caches.services, names.service_name(session), memory)
        route = await self._child(caches.routes, names.route_name(session), memory)
        policy = await self._child(caches.policies, names.policy_name(session), memory)
        login = await self._child(caches.logins, names.login_name(session), memory)
        if not session.status and pod is None and service is None:
            # Nobody has had a pass of it: two requests less in a start. Where that is wrong, creating them says so.
            caches.secrets.suppose_absent(memory.secrets)
        auth, rtc = [await caches.secrets.read(self._client, name) for name in memory.secrets]
        return World(
            now=self.clock(),
            settings=settings,
            seen_unix_seconds=memory.seen_unix_seconds,
            pod=pod,
            service=service,
            route=route,
            policy=policy,
            login=login,
            auth=auth,
            rtc=rtc,
            home=home,
            events=self._events(pod, home),
            node=self._node(pod, home),
            host_holder=caches.sessions.host_holder(session.name),
            home_holder=self._home_holder(session),
            relay_addresses=tuple(dict.fromkeys((*settings.relay_addresses, *caches.relays()))),
            turn_secret=self._turn(),
            spare_password=secrets.token_urlsafe(18),
            check=memory.check,
            refusal=memory.refusal,
            refused=memory.refused,
            wall_unix_seconds=self._wall(),
        )

    async def _child(self, store: Watched[Any], name: str, memory: Memory) -> Object | None:
        """What is in a child's place, from the API server itself where no watch would tell that it is gone."""
        found = store.shared(name)
        if found is not None and not store.told(found):
            await store.fetch(self._client, name)
            found = store.shared(name)
            memory.strangers = memory.strangers or found is not None
        return found

    def _events(self, pod: Object | None, home: Object | None) -> tuple[Object, ...]:
        found = [
            event
            for one, kind in ((home, "PersistentVolumeClaim"), (pod, "Pod"))
            if one is not None
            for event in self._caches.events(kind, one["metadata"]["name"], one["metadata"].get("uid", ""))
        ]
        return tuple(sorted(found, key=last_seen))

    def _node(self, pod: Object | None, home: Object | None) -> NodeFact | None:
        if not self._settings.read_nodes:
            return None
        name = ((pod or {}).get("spec") or {}).get("nodeName", "")
        if not name and home is not None:
            # A pod that waits for its home's node is on none yet.
            name = homes.node(home)
        if not name:
            return None
        entry = self._caches.nodes.entry(name)
        return entry.facts.fact if entry is not None else NodeFact(name, ready=False, schedulable=False)

    def _home_holder(self, session: Session) -> str:
        claim, sessions = names.claim_name(session), self._caches.sessions
        for other in sorted(self._caches.pods.holders(claim) - {session.name}):
            entry = sessions.entry(other)
            if entry is not None and entry.facts.home == names.own_home(claim):
                return other
        return ""

    def _turn(self) -> str:
        """The first secret in the mounted file, empty: there is none. kubelet replaces the file on a change."""
        now = time.monotonic()
        if not self._settings.turn_secret_file or now - self._turn_looked < _LOOK_SECONDS:
            return self._turn_secret
        self._turn_looked = now
        path = Path(self._settings.turn_secret_file)
        try:
            found = path.stat()
            if (found.st_mtime_ns, found.st_ino) != self._turn_stamp:
                lines = [line.strip() for line in path.read_text().splitlines()]
                self._turn_secret = next((line for line in lines if line), "")
                self._turn_stamp = (found.st_mtime_ns, found.st_ino)
        except OSError:
            self._turn_secret, self._turn_stamp = "", (0, 0)  # sessions say that they have no relay
        return self._turn_secret
