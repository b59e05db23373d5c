"""A user of a desktop, for Locust: calls that look blocking, each of them counted. Runs inside Locust.

A locustfile imports :class:`DesktopUser`, and gives it tasks::

    from locust import task
    from vdibench.load.users import DesktopUser

    class Office(DesktopUser):
        @task
        def write(self):
            self.type_text("Dear all,")
            self.watch(5)

Each step fires Locust's event ``request`` and is a row of table ``requests``. When a session ends before its user does,
the user stands still until it is stopped, unless :attr:`DesktopUser.reconnects` says otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, ClassVar

import gevent
from locust import User, constant, task

from vdibench.client import InputKind
from vdibench.errors import LoadError, StreamLost, VdibenchError
from vdibench.load.plugin import worker_side
from vdibench.records import Desktop

__all__ = ["DesktopUser", "WatchUser"]

# The engine bounds each step itself; this bounds the engine.
_MARGIN_SECONDS = 30.0
_CONNECT_SECONDS = 120.0
_ADMISSION_SECONDS = 600.0
_LEAVE_SECONDS = 10.0
_SLICE_SECONDS = 5.0
_FOREVER_SECONDS = 3600.0


class DesktopUser(User):
    """A user with a desktop of its own from its start to its stop.

    :cvar reconnects: connect anew when the session ended; never under a driver, whose trials count such sessions.
    :cvar patience_seconds: how long connecting anew is tried.
    :ivar desktop: the desktop, once the user has one.
    """

    abstract = True
    reconnects: ClassVar[bool] = False
    patience_seconds: ClassVar[float] = 20.0
    wait_time = constant(0)

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._side = worker_side(environment)
        self._index = -1

    @property
    def desktop(self) -> Desktop:
        """The desktop that this user has.

        :raises LoadError: it has none yet.
        """
        if self._index < 0:
            raise LoadError("this user has no desktop yet", "wait for on_start")
        return self._side.roster.desktops[self._index]

    # its life, as Locust calls it

    def on_start(self) -> None:
        """Get a desktop, connect, and wait for its picture."""
        began, clock = time.time(), time.perf_counter()
        try:
            self._index = self._side.lease()
        except VdibenchError as error:
            self._record("desktop", began, time.perf_counter() - clock, error)
            self._stand_still()
        self.connect()
        self.first_frame()

    def on_stop(self) -> None:
        """Leave, and give the desktop back."""
        if self._index < 0:
            return
        try:
            self.disconnect()
        except VdibenchError:
            pass  # counted; nothing is left to do
        finally:
            self._side.give_back(self._index)
            self._index = -1

    # what it can do

    def connect(self) -> None:
        """Connect until input can be sent."""
        self._step("connect", "connect", _ADMISSION_SECONDS + _CONNECT_SECONDS)

    def first_frame(self) -> None:
        """Wait for the first frame."""
        self._step("first frame", "first_frame", self._side.roster.first_frame_timeout_seconds + _MARGIN_SECONDS)
        self._side.state(self._index, "shown")

    def watch(self, seconds: float) -> None:
        """Look at the desktop for ``seconds``."""
        self._step("watch", "watch", seconds + _MARGIN_SECONDS, seconds=seconds)

    def press(self, kind: str = "key") -> float:
        """Press a key or click where the desk shows it, and wait; returns seconds to the photon, NaN when none came."""
        answer = self._step(kind, "press", _MARGIN_SECONDS, kind=str(InputKind(kind)))
        return float(answer["seconds"])

    def click(self) -> float:
        """Click, and wait for the photon; as :meth:`press`."""
        return self.press("click")

    def click_at(self, x: int, y: int) -> None:
        """Click at a position in pixels, and wait for nothing: where no marker is read, there is no photon to see."""
        self._step("click", "click", _MARGIN_SECONDS, position=(x, y))

    def move(self, path: Sequence[tuple[int, int]], seconds: float, *, drag: bool = False) -> None:
        """Move the pointer along positions in pixels for ``seconds``, with the button held to ``drag``."""
        name = "drag" if drag else "move"
        self._step(
            name, "move", seconds + _MARGIN_SECONDS, path=[list(point) for point in path], seconds=seconds, drag=drag
        )

    def type_text(self, text: str, **options: Any) -> None:
        """Type ``text``."""
        self._step("text", "type_text", len(text) + _MARGIN_SECONDS, text=text, **options)

    def scroll(self, steps: int, **options: Any) -> None:
        """Turn the wheel by ``steps``; negative ones turn it towards the user."""
        self._step("scroll", "scroll", _MARGIN_SECONDS, steps=steps, **options)

    def resize(self, width: int, height: int) -> None:
        """Ask for another size and wait for its first frame."""
        self._step("resize", "resize", _MARGIN_SECONDS, width=width, height=height)

    def reconnect(self, patience_seconds: float = 0.0) -> None:
        """Leave what is left of the session, connect again and wait for the first frame."""
        self._step(
            "reconnect",
            "reconnect",
            patience_seconds + _ADMISSION_SECONDS + _CONNECT_SECONDS,
            patience_seconds=patience_seconds,
        )
        self._side.state(self._index, "shown")

    def disconnect(self) -> None:
        """Leave."""
        self._step("disconnect", "disconnect", _LEAVE_SECONDS)

    # how a step goes

    def _step(self, name: str, verb: str, timeout_seconds: float, **arguments: Any) -> Any:
        """Do it and count it.

        :raises VdibenchError: it failed and the session goes on, or goes on again.
        """
        began, clock, waited = time.time(), time.perf_counter(), 0.0
        try:
            answer = self._side.engine.ask(verb, timeout_seconds=timeout_seconds, user=self._index, **arguments)
            # To wait for one's turn is this client's doing, not the desktop's, also where it was for nothing.
            waited = answer.waited_seconds
            value = answer.take()
        except VdibenchError as error:
            self._record(name, began + waited, time.perf_counter() - clock - waited, error)
            if verb in {"connect", "first_frame", "reconnect"} or isinstance(error, StreamLost | LoadError):
                self._over(verb, error)
                if verb in {"connect", "first_frame"}:
                    return None  # another session shows video by now
            raise
        self._record(name, began + waited, time.perf_counter() - clock - waited, None)
        return value

    def _over(self, verb: str, error: VdibenchError) -> None:
        """The session ended. Returns when there is another one."""
        if verb == "disconnect":
            return
        self._side.state(self._index, "failed", error)
        if isinstance(error, LoadError) or not self.reconnects or self._side.roster.controlled or verb == "reconnect":
            self._stand_still()
        self.reconnect(self.patience_seconds)

    @staticmethod
    def _stand_still() -> None:
        """Until Locust stops this user: one that returned would be counted as running."""
        while True:
            gevent.sleep(_FOREVER_SECONDS)  # Locust ends it

    def _record(self, name: str, began: float, seconds: float, error: VdibenchError | None) -> None:
        self._side.request(self._index, name, began, seconds, error)
        self.environment.events.request.fire(
            request_type="vdibench",
            name=name,
            response_time=seconds * 1e3,
            response_length=0,
            exception=error,
            context={},
            start_time=began,
        )


class WatchUser(DesktopUser):
    """Looks on, and touches nothing: what density trials count."""

    @task
    def look(self) -> None:
        """Look."""
        self.watch(_SLICE_SECONDS)
