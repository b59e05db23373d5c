"""What a person does at a desktop without a photon being waited for: typing, scrolling, pointing. I/O by ``send``.

Instants are the event loop's, in seconds; positions are pixels of the desktop. Each gesture lets go of what it holds,
also when it is cancelled; and none meets a measured event (:class:`vdibench.client.input.InputProbe`) half-way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from vdibench.client.input import HOLD_SECONDS, InputKind, InputProbe
from vdibench.errors import UsageError
from vdibench.selkies import SHIFT, key_down, key_up, keysym_of, pointer, takes_shift, wheel

__all__ = ["Gestures", "Point"]

Point = tuple[int, int]

# Between two notches of a wheel that a finger turns, and between two positions of a moved pointer (a browser sends
# one a frame).
NOTCH_SECONDS = 0.03
MOVE_SECONDS = 1 / 60
MAX_CHARACTERS_PER_SECOND = 50.0
# Of which a lossy channel that broke may have lost the release.
_RECENT_KEYS = 8


class Gestures:
    """The hands of one session.

    :param send: sends a control verb on the ordered channel.
    :param position: where the pointer is at first.
    :param probe: whose turn is taken, so that its events stay alone.
    """

    def __init__(self, send: Callable[[str], None], position: Point, probe: InputProbe) -> None:
        self._send = send
        self._position = position
        self._probe = probe
        self._held: list[int] = []
        self._recent: deque[int] = deque(maxlen=_RECENT_KEYS)
        self._buttons = 0

    async def type_text(self, text: str, characters_per_second: float) -> None:
        """Press and release each character's key, Shift with it where a keyboard needs it.

        A key is held for 50 ms at most, less than the 0.3 s after which a desktop lets go of one without heartbeats.

        :raises UsageError: a character that no key types, or a speed beyond 50 a second.
        :raises ConnectionError: the channel is closed.
        """
        if not 0 < characters_per_second <= MAX_CHARACTERS_PER_SECOND:
            raise UsageError(
                f"nobody types {characters_per_second:g} characters a second",
                f"give a number above 0 and up to {MAX_CHARACTERS_PER_SECOND:g}",
            )
        keys = [([SHIFT] if takes_shift(sign) else []) + [keysym_of(sign)] for sign in text]
        loop, each = asyncio.get_running_loop(), 1 / characters_per_second
        async with self._probe.aside(InputKind.KEY):
            due = loop.time()
            for chord in keys:
                try:
                    for keysym in chord:
                        self._held.append(keysym)
                        self._recent.append(keysym)
                        self._send(key_down(keysym))
                    await asyncio.sleep(min(HOLD_SECONDS, each / 2))  # a person holds a key
                finally:
                    self._let_go_of_keys()
                due += each
                await asyncio.sleep(max(0.0, due - loop.time()))  # the pace of typing

    async def click(self, position: Point | None = None) -> None:
        """Press and release the left button, by default where the pointer is.

        :raises ConnectionError: the channel is closed.
        """
        async with self._probe.aside(InputKind.CLICK):
            try:
                self._point(position or self._position, 1)
                await asyncio.sleep(HOLD_SECONDS)  # a person holds a button
            finally:
                self._let_go_of_buttons()

    async def scroll(self, steps: int) -> None:
        """Turn the wheel by so many notches where the pointer is; negative ones turn it towards the user, down a page.

        :raises ConnectionError: the channel is closed.
        """
        async with self._probe.aside():  # no patch is the wheel's
            for _ in range(abs(steps)):
                for verb in wheel(*self._position, down=steps < 0):
                    self._send(verb)
                await asyncio.sleep(NOTCH_SECONDS)  # the pace of a wheel

    async def move(self, path: Sequence[Point], seconds: float, *, drag: bool = False) -> None:
        """Move the pointer along ``path`` evenly in time, a position a frame at most; ``drag`` holds the left button.

        :raises ConnectionError: the channel is closed.
        """
        if not path:
            return
        loop = asyncio.get_running_loop()
        async with self._probe.aside(*([InputKind.CLICK] if drag else [])):
            began, sent = loop.time(), -1
            try:
                while sent < len(path) - 1:
                    gone = (loop.time() - began) / seconds if seconds > 0 else 1.0
                    index = min(len(path) - 1, int(gone * len(path)))
                    if index != sent:
                        self._point(path[index], int(drag))
                        sent = index
                    await asyncio.sleep(MOVE_SECONDS)  # the pace of a pointer
            finally:
                self._let_go_of_buttons()

    def release(self) -> None:
        """Let go of whatever is held: a desktop must not be left with a key down."""
        self._let_go_of_keys()
        self._let_go_of_buttons()

    @property
    def recent(self) -> frozenset[int]:
        """Keysyms pressed lately; a channel that broke may have lost their release."""
        return frozenset(self._recent)

    def let_go(self, keysyms: Iterable[int]) -> None:
        """Release what another session may have left down; what is up does not notice.

        :raises ConnectionError: the channel is closed.
        """
        for keysym in keysyms:
            self._send(key_up(keysym))

    def _point(self, position: Point, buttons: int) -> None:
        self._position, self._buttons = position, buttons
        self._send(pointer(*position, buttons=buttons))

    def _let_go_of_keys(self) -> None:
        while self._held:
            with suppress(ConnectionError):  # a desktop that is gone holds nothing; the next verb says that it is
                self._send(key_up(self._held.pop()))

    def _let_go_of_buttons(self) -> None:
        if self._buttons:
            self._buttons = 0
            with suppress(ConnectionError):  # as above
                self._send(pointer(*self._position))
