"""The sessions that an engine hosts, by user, and the closed list of what may be asked of them. I/O; one event loop.

A session belongs to a user from ``connect`` to ``disconnect``. What ends it is recorded once, as the suites do:
milestone ``failed`` and a fact with the reason.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from vdibench.client import DesktopSession, InputKind, InputRecord
from vdibench.client.admission import ConnectGate
from vdibench.client.failure import as_our_error
from vdibench.errors import StreamLost, TargetUnavailable, UsageError, VdibenchError
from vdibench.load.batches import BatchRecorder
from vdibench.load.roster import Roster
from vdibench.selkies import Dialect

__all__ = ["VERBS", "SessionHost"]

_FOR_GOOD_SECONDS = 1e9
_LOOK_SECONDS = 0.01


class _UserLeft(StreamLost):
    """Not a failure: the user wanted it so."""

    def __init__(self) -> None:
        super().__init__("the user left", "nothing is wrong")


@dataclass
class _Hosted:
    """One user's session.

    :param showing: it shows video now.
    :param failed: its end was recorded.
    :param waited_seconds: for its turn, by the verb that goes on or went before.
    """

    user: int
    session: DesktopSession
    showing: bool = False
    failed: bool = False
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    guard: asyncio.Task[None] | None = None
    drops: float = 0.0
    received: float = 0.0
    lost: float = 0.0
    waited_seconds: float = 0.0


class SessionHost:
    """Connects, watches and steers for users, who are named by the index of their desktop in the roster.

    :param on_failed: called with the user whose session ended against its will, once.
    """

    def __init__(
        self, roster: Roster, recorder: BatchRecorder, on_failed: Callable[[int, VdibenchError], None]
    ) -> None:
        self._roster = roster
        self._recorder = recorder
        self._on_failed = on_failed
        self._gate = ConnectGate()
        self._hosted: dict[int, _Hosted] = {}
        self.started = self.left = 0
        self.inputs: list[InputRecord] = []
        self.ended: list[str] = []

    # what may be asked

    async def call(self, verb: str, user: int, arguments: dict[str, Any]) -> Any:
        """Do what ``verb`` says; see :data:`VERBS`.

        :raises UsageError: there is no such verb, user or session.
        :raises VdibenchError: as the session's method of that name.
        """
        do = VERBS.get(verb)
        if do is None:
            raise UsageError(f"an engine cannot {verb!r}", f"ask for one of {', '.join(sorted(VERBS))}")
        if verb in {"connect", "disconnect"}:
            return await do(self, user, arguments)
        hosted = self._find(user)
        return await self._during(hosted, do(self, user, arguments))

    async def _during(self, hosted: _Hosted, work: Awaitable[Any]) -> Any:
        """Await ``work`` unless the user leaves meanwhile."""
        task = asyncio.ensure_future(work)
        hosted.tasks.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            raise _UserLeft from None
        except StreamLost as error:
            self._fail(hosted, error)
            raise
        except VdibenchError as error:
            if not await self._is_over(hosted):
                raise  # the verb could not be done; the session goes on
            self._fail(hosted, error)
            # Whatever ended it, to the user it is a stream that is lost: there is nothing more to be done with it.
            raise StreamLost(error.cause, error.remedy) from error
        finally:
            hosted.tasks.discard(task)

    @staticmethod
    async def _is_over(hosted: _Hosted) -> bool:
        try:
            await hosted.session.watch(_LOOK_SECONDS)
        except VdibenchError:
            return True
        return False

    def _find(self, user: int) -> _Hosted:
        if user not in self._hosted:
            raise UsageError(f"user {user} has no session", "connect first")
        return self._hosted[user]

    async def _connect(self, user: int, arguments: dict[str, Any]) -> dict[str, Any]:
        if user in self._hosted:
            raise UsageError(f"user {user} is connected already", "disconnect first, or reconnect")
        if not 0 <= user < len(self._roster.desktops):
            raise UsageError(f"the roster has no desktop {user}", "ask for fewer users than there are desktops")
        desktop = self._roster.desktops[user]
        session = DesktopSession(desktop, self._recorder, self._roster.session_options(desktop))
        hosted = self._hosted[user] = _Hosted(user, session)
        self.started += 1
        try:
            hosted.waited_seconds = await self._during(hosted, self._gate.admit(desktop))
            await self._during(hosted, session.connect())
            await self._require_relay(session)
        except Exception as error:  # a defect of the client is a session that failed, too
            self._fail(hosted, as_our_error(error))
            raise
        return {"dialect": str(session.dialect or "")}

    async def _require_relay(self, session: DesktopSession) -> None:
        """End a session that was to go through the relay alone, and has no such way."""
        if self._roster.relay_only and session.dialect is Dialect.SELKIES_2_WEBSOCKET:
            await session.leave()
            raise TargetUnavailable(
                f"{session.desktop.id} speaks {session.dialect}, which goes through no relay",
                f"ask for dialect {Dialect.SELKIES_2_WEBRTC}, or leave relay_only out",
            )

    async def _first_frame(self, user: int, arguments: dict[str, Any]) -> None:
        hosted = self._find(user)
        try:
            await hosted.session.first_frame()
        except Exception as error:  # likewise: a defect fails one session and not the others
            self._fail(hosted, as_our_error(error))
            raise
        self._shows(hosted)

    async def _watch(self, user: int, arguments: dict[str, Any]) -> None:
        hosted = self._find(user)
        await hosted.session.watch(float(arguments["seconds"]))
        self._require_marker(hosted)

    @staticmethod
    def _require_marker(hosted: _Hosted) -> None:
        if hosted.session.picture.marker_is_stale():
            raise StreamLost("the marker vanished from the picture", "check the desk in its log")

    async def _press(self, user: int, arguments: dict[str, Any]) -> dict[str, float]:
        record = await self._find(user).session.press(InputKind(arguments["kind"]))
        self.inputs.append(record)
        return {"seconds": record.photon_unix_seconds - record.sent_unix_seconds}

    async def _type_text(self, user: int, arguments: dict[str, Any]) -> None:
        await self._find(user).session.type_text(**arguments)

    async def _scroll(self, user: int, arguments: dict[str, Any]) -> None:
        await self._find(user).session.scroll(**arguments)

    async def _click(self, user: int, arguments: dict[str, Any]) -> None:
        x, y = arguments["position"]
        await self._find(user).session.click((int(x), int(y)))

    async def _move(self, user: int, arguments: dict[str, Any]) -> None:
        path = [(int(x), int(y)) for x, y in arguments["path"]]
        await self._find(user).session.move(path, float(arguments["seconds"]), drag=bool(arguments["drag"]))

    async def _resize(self, user: int, arguments: dict[str, Any]) -> list[int]:
        return list(await self._find(user).session.resize(int(arguments["width"]), int(arguments["height"])))

    async def _reconnect(self, user: int, arguments: dict[str, Any]) -> None:
        hosted = self._find(user)
        hosted.showing = False
        if hosted.guard is not None:
            hosted.guard.cancel()  # that the old session ends is what is wanted
        self.ended.append(hosted.session.desktop.id)
        hosted.failed = False
        try:
            hosted.waited_seconds = await self._gate.admit(hosted.session.desktop)
            await hosted.session.reconnect(float(arguments.get("patience_seconds", 0.0)))
        except Exception as error:  # likewise: a defect fails one session and not the others
            self._fail(hosted, as_our_error(error))
            raise
        self._shows(hosted)

    async def _disconnect(self, user: int, arguments: dict[str, Any]) -> None:
        """End the user's session, wherever it is; one that has none is left alone."""
        hosted = self._hosted.get(user)
        if hosted is None:
            return
        hosted.showing = False
        for task in tuple(hosted.tasks):
            task.cancel()
        await asyncio.gather(*hosted.tasks, return_exceptions=True)
        try:
            await hosted.session.leave()
        finally:
            self.ended.append(hosted.session.desktop.id)
            self.left += 1
            # Only now: a user that comes anew must not meet the old session at its desktop.
            self._hosted.pop(user, None)

    def _shows(self, hosted: _Hosted) -> None:
        """The session shows video: from now on its end is noticed when it comes, whatever its user does."""
        hosted.showing = True
        hosted.guard = task = asyncio.get_running_loop().create_task(self._guard(hosted))
        hosted.tasks.add(task)
        task.add_done_callback(hosted.tasks.discard)

    async def _guard(self, hosted: _Hosted) -> None:
        try:
            await hosted.session.watch(_FOR_GOOD_SECONDS)
        except Exception as error:  # likewise: a defect fails one session and not the others
            self._fail(hosted, as_our_error(error))

    def _fail(self, hosted: _Hosted, error: VdibenchError) -> None:
        hosted.showing = False
        if hosted.failed or isinstance(error, _UserLeft):
            return
        hosted.failed = True
        place, desktop = self._recorder.place, hosted.session.desktop.id
        self._recorder.milestone(desktop, "failed", time.time())
        self._recorder.fact(desktop, f"failure.level-{place.level}.trial-{place.trial}", str(error))
        self._on_failed(hosted.user, error)

    def take_waited(self, user: int) -> float:
        """Seconds that the user's verb waited for its turn, which is no doing of the desktop; once."""
        hosted = self._hosted.get(user)
        if hosted is None:
            return 0.0
        waited, hosted.waited_seconds = hosted.waited_seconds, 0.0
        return waited

    # all of them

    def end_of_window(self) -> None:
        """What counts ends here: a session that shows its marker no more has failed, also amid what its user does."""
        for hosted in self._hosted.values():
            try:
                if hosted.showing:
                    self._require_marker(hosted)
            except StreamLost as error:
                self._fail(hosted, error)

    async def leave(self) -> None:
        """End every session; each is bounded in time."""
        await asyncio.gather(*(self._disconnect(user, {}) for user in tuple(self._hosted)), return_exceptions=True)

    @property
    def showing(self) -> int:
        """Sessions that show video."""
        return sum(hosted.showing for hosted in self._hosted.values())

    @property
    def connecting(self) -> int:
        """Sessions that may yet show video."""
        return sum(not hosted.showing and not hosted.failed for hosted in self._hosted.values())

    @property
    def backlog(self) -> int:
        """Frames that wait for a decoder."""
        return sum(hosted.session.picture.backlog for hosted in self._hosted.values())

    def offset(self, session: str, unix_seconds: float) -> float:
        """A desktop's clock minus ours at an instant; 0 on one host, where there is one clock."""
        if not self._roster.compare_clocks:
            return 0.0
        for hosted in self._hosted.values():
            if hosted.session.desktop.id == session:
                found = hosted.session.clock.estimate(unix_seconds)
                return found.offset_seconds if found is not None else 0.0
        return 0.0

    def counted(self) -> dict[str, float]:
        """What the sessions' sockets received, lost and dropped since the last call: keys as in ``EngineSecond``."""
        total = {"bytes_received": 0.0, "packets_lost": 0.0, "socket_drops": 0.0}
        for hosted in self._hosted.values():
            counters = hosted.session.read()
            for key, name, now in (
                ("bytes_received", "received", counters.bytes_received),
                ("packets_lost", "lost", counters.packets_lost),
                ("socket_drops", "drops", counters.socket_drops),
            ):
                if now == now:  # NaN: not applicable
                    before = getattr(hosted, name)
                    # Less than before: it connected anew, and counts from zero.
                    total[key] += now - before if now >= before else now
                    setattr(hosted, name, now)
        return total


_Verb = Callable[[SessionHost, int, dict[str, Any]], Awaitable[Any]]

VERBS: dict[str, _Verb] = {
    "connect": SessionHost._connect,
    "first_frame": SessionHost._first_frame,
    "watch": SessionHost._watch,
    "press": SessionHost._press,
    "type_text": SessionHost._type_text,
    "scroll": SessionHost._scroll,
    "click": SessionHost._click,
    "move": SessionHost._move,
    "resize": SessionHost._resize,
    "reconnect": SessionHost._reconnect,
    "disconnect": SessionHost._disconnect,
}
"""What a user may ask for, by name."""
