"""Looks at desktops for their clients: is anybody there? Asyncio.

Each desktop that is followed is asked once in ``idleLookSeconds`` in its pod, with its own password, by the operator's
way that every session's policy has. What a desktop says is its user's to forge: whoever does it keeps a desktop that
could as well be kept by an open page.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import heapq
import ipaddress
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import aiohttp

from vdi_operator.api.template import Dialect
from vdi_operator.children.dialects import LOGIN, clients, clients_path
from vdi_operator.children.names import SESSION_PORT
from vdi_operator.core.world import ActivityFact
from vdi_operator.settings import Settings

__all__ = ["Activity", "Followed", "Outcome"]

# An answer: 2.x waits for a second for its clients', 1.6 is late by seconds while it has none.
_LOOK_SECONDS = 10.0
_CONNECT_SECONDS = 2.0
# Looks at the same time: of three thousand desktops fifty a second are due, and a silent one holds its place for long.
_AT_ONCE = 128
# A desktop that does not answer is asked again so often, so soon, before it counts as in use.
_TRIES = 3
_AGAIN_SECONDS = 2.0
# Of an answer; a hundred clients are less.
_LONGEST = 256 * 1024

_log = logging.getLogger(__name__)


class Outcome(StrEnum):
    """What a look found; labels of the metric."""

    ACTIVE = "active"
    IDLE = "idle"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Followed:
    """A desktop that is looked at.

    :param address: of its pod.
    :param after_unix_seconds: not before.
    :param stops_after_seconds: over which looks find nobody until it may be stopped.
    """

    session: str
    pod_uid: str
    address: str
    dialect: Dialect
    after_unix_seconds: float
    password: str = field(repr=False)
    stops_after_seconds: float = float("inf")


@dataclass(slots=True)
class _State:
    """Of a followed desktop.

    :param due: when its next look is planned, None: it is under way.
    :param count: what it last told of its clients, None: nothing that could be compared.
    :param fact: None: nobody has looked yet.
    :param active: Unix seconds of the last moment at which somebody may have been there.
    :param nobody: seconds since then over which looks found nobody.
    :param looked: monotonic seconds of the last look.
    """

    followed: Followed
    due: float | None = None
    count: float | None = None
    tries: int = 0
    fact: ActivityFact | None = None
    active: float = 0.0
    nobody: float = 0.0
    looked: float = 0.0


class Activity:
    """Follows desktops.

    :param looked: told of each outcome.
    :param due: told of each session whose desktop may be stopped by what was just seen.
    :param clock: Unix seconds.
    :param monotonic: seconds by which is counted: a clock that jumps stops nobody's desktop.
    """

    def __init__(
        self,
        settings: Settings,
        looked: Callable[[Outcome], None],
        *,
        due: Callable[[str], None] = lambda session: None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pause = settings.idle_look_seconds
        self._looked = looked
        self._stops = due
        self._clock = clock
        self._monotonic = monotonic
        self._states: dict[str, _State] = {}
        self._due: list[tuple[float, str]] = []
        self._new = asyncio.Event()

    def follow(self, followed: Followed) -> None:
        """Look at a desktop from now on. Said again in each pass; only what is different counts."""
        known = self._states.get(followed.session)
        if known is not None and known.followed == followed:
            return
        if known is not None and known.followed.pod_uid == followed.pod_uid:
            known.followed = followed
            return
        state = self._states[followed.session] = _State(followed)
        # Spread: after a start of the operator everybody comes at once.
        first = max(followed.after_unix_seconds - self._clock(), random.uniform(0.0, self._pause))
        self._plan(self._monotonic() + first, state)

    def forget(self, session: str) -> None:
        """Nobody is to look any more."""
        self._states.pop(session, None)

    def fact(self, session: str) -> ActivityFact | None:
        """What is known, None: nothing yet."""
        known = self._states.get(session)
        return known.fact if known is not None else None

    def followed(self) -> int:
        """How many are."""
        return len(self._states)

    async def run(self) -> None:
        """Look for ever."""
        timeout = aiohttp.ClientTimeout(total=_LOOK_SECONDS, sock_connect=_CONNECT_SECONDS)
        room = asyncio.Semaphore(_AT_ONCE)
        connector = aiohttp.TCPConnector(limit=_AT_ONCE, force_close=True)
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), connector=connector) as http,
            asyncio.TaskGroup() as group,
        ):
            while True:
                state = await self._next()
                await room.acquire()
                task = group.create_task(self._look(http, state), name=f"look {state.followed.session}")
                task.add_done_callback(lambda _: room.release())

    async def _next(self) -> _State:
        """The next one whose time has come."""
        while True:
            self._new.clear()
            pause = None
            while self._due:
                due, session = self._due[0]
                state = self._states.get(session)
                if state is None or state.due != due:
                    heapq.heappop(self._due)  # of a desktop that is not followed any more
                    continue
                pause = due - self._monotonic()
                if pause > 0:
                    break
                heapq.heappop(self._due)
                state.due = None
                return state
            # Not wait_for: it may swallow a cancellation that comes with the event.
            with contextlib.suppress(TimeoutError):  # then the next look is due
                async with asyncio.timeout(pause):
                    await self._new.wait()

    def _plan(self, at: float, state: _State) -> None:
        state.due = at
        heapq.heappush(self._due, (at, state.followed.session))
        self._new.set()

    async def _look(self, http: aiohttp.ClientSession, state: _State) -> None:
        followed = state.followed
        try:
            count = await _count(http, followed)
        except Exception:  # whatever a single desktop answers must not end the looks at others, nor the operator
            _log.exception("a look failed by a fault of its own", extra={"session": followed.session})
            count = None
        if self._states.get(followed.session) is not state:
            return
        now = self._monotonic()
        if count is None and state.tries + 1 < _TRIES:
            state.tries += 1
            self._plan(now + _AGAIN_SECONDS, state)
            return
        state.tries = 0
        outcome = _outcome(followed.dialect, state.count, count)
        state.count = count
        if outcome == Outcome.IDLE and state.fact is not None:
            # Not more than was seen: after a longer pause somebody may have come and gone.
            state.nobody += min(now - state.looked, 2 * self._pause + _LOOK_SECONDS)
        else:
            # A first look that finds nobody begins to count.
            state.active, state.nobody = self._clock(), 0.0
        state.looked = now
        seen = state.active + state.nobody if outcome == Outcome.IDLE else float("-inf")
        state.fact = ActivityFact(followed.pod_uid, state.active, seen)
        self._looked(outcome)
        self._plan(now + self._pause, state)
        if seen - state.active >= state.followed.stops_after_seconds:
            # At once: a pass later on would decide by a look before which nobody was there, and not by who came since.
            self._stops(followed.session)


def _outcome(dialect: Dialect, before: float | None, count: float | None) -> Outcome:
    """What an answer says, by what the one before said."""
    if count is None:
        return Outcome.UNKNOWN
    if dialect is not Dialect.SELKIES_1_WEBRTC:
        return Outcome.ACTIVE if count else Outcome.IDLE
    # It counts what clients report: nobody is there where nothing was added.
    if before is None or count < before:
        return Outcome.UNKNOWN
    return Outcome.ACTIVE if count > before else Outcome.IDLE


async def _count(http: aiohttp.ClientSession, followed: Followed) -> float | None:
    """What a desktop tells of its clients, None: nothing, or nothing that makes sense."""
    try:
        address = ipaddress.ip_address(followed.address)
        host = f"[{address}]" if address.version == 6 else str(address)
        url = f"http://{host}:{SESSION_PORT}{clients_path(followed.dialect)}"
        login = base64.b64encode(f"{LOGIN}:{followed.password}".encode()).decode()
        # Not where it sends us: the password is for this desktop alone.
        headers = {"Authorization": f"Basic {login}"}
        async with http.get(url, headers=headers, allow_redirects=False) as response:
            if response.status != 200:
                _log.debug("a desktop answers %d", response.status, extra={"session": followed.session})
                return None
            body = await response.content.read(_LONGEST)
            while len(body) < _LONGEST and (more := await response.content.read(_LONGEST - len(body))):
                body += more
        return clients(followed.dialect, body.decode(errors="replace"))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, RecursionError) as error:
        _log.debug("a desktop does not answer: %s", type(error).__name__, extra={"session": followed.session})
        return None
