"""Input-to-photon: one event outstanding at a time, paired with the change that it makes in the picture.

The desk toggles a patch on each key press and on each click. Nothing in the picture numbers the events: with one
outstanding, the first frame that shows a change answers it.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from typing import NamedTuple

from vdibench.client.marker import Marker
from vdibench.client.sink import InputRecord
from vdibench.selkies import Keysym, key_down, key_up, pointer

__all__ = ["InputKind", "InputProbe"]

# Below the 0.3 s after which the server lets go of a key without heartbeats.
HOLD_SECONDS = 0.05
TIMEOUT_SECONDS = 2.0
SETTLE_SECONDS = 2.0
# Two frames at 60 Hz and one at 30 Hz.
DITHER_SECONDS = 1 / 30


class InputKind(StrEnum):
    """What is sent."""

    KEY = "key"
    CLICK = "click"


class _Answer(NamedTuple):
    decoded_unix_seconds: float
    drawn_unix_seconds: float


class InputProbe:
    """Sends events and waits for their photons.

    :param send: sends a control verb on the ordered channel.
    :param position: where to click, in pixels of the desktop.
    """

    def __init__(self, send: Callable[[str], None], position: tuple[int, int]) -> None:
        self._send = send
        self._position = position
        self._patches: dict[InputKind, bool] = {}
        self._outstanding: tuple[InputKind, float, asyncio.Future[_Answer]] | None = None
        self._held: set[InputKind] = set()
        self._pressed: set[InputKind] = set()
        self._unanswered: set[InputKind] = set()
        self._quiet_at: dict[InputKind, float] = {}
        self._turn = asyncio.Lock()
        self._seen = asyncio.Event()

    def saw(self, marker: Marker, decoded_unix_seconds: float) -> None:
        """Take a decoded frame's patches; called in the event loop, in order."""
        self._seen.set()
        for kind, white in ((InputKind.KEY, marker.key_patch), (InputKind.CLICK, marker.click_patch)):
            before = self._patches.get(kind)
            self._patches[kind] = white
            if before is None or before == white or self._outstanding is None:
                continue
            awaited, sent, answer = self._outstanding
            if awaited is kind and decoded_unix_seconds > sent and not answer.done():
                answer.set_result(_Answer(decoded_unix_seconds, marker.drawn_unix_seconds))

    async def press(self, kind: InputKind) -> InputRecord:
        """Send one event, wait for its photon and release it.

        Photon and drawn are NaN when no frame answered within :data:`TIMEOUT_SECONDS`. Drawn is the desk's own time of
        the first frame that shows the change: it has handled the event by then.

        :raises ConnectionError: the channel is closed.
        """
        async with self._turn:
            # Before the first marker nobody knows what the patch changes from.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._seen.wait(), TIMEOUT_SECONDS)
            await self._settle(kind)
            # An event on the heels of the frame that answered the one before would always meet the same phase of
            # the desktop's capture clock.
            await asyncio.sleep(random.uniform(0, DITHER_SECONDS))
            answer: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
            sent = time.time()
            self._outstanding = (kind, sent, answer)
            try:
                self._down(kind)
                await asyncio.sleep(HOLD_SECONDS)  # as long as the key is down
                self._up(kind)
                seen = await asyncio.wait_for(answer, TIMEOUT_SECONDS - HOLD_SECONDS)
            except TimeoutError:
                seen = _Answer(math.nan, math.nan)
                self._unanswered.add(kind)
            finally:
                self._outstanding = None
                if kind in self._held:
                    with suppress(ConnectionError):  # the stream ended, which says so itself
                        self._up(kind)
            return InputRecord(str(kind), sent, seen.decoded_unix_seconds, seen.drawn_unix_seconds)

    @asynccontextmanager
    async def aside(self, *kinds: InputKind) -> AsyncIterator[None]:
        """Have the turn for events whose photons nobody waits for.

        :param kinds: patches that they change: the next :meth:`press` of such a kind waits until that was seen.
        """
        async with self._turn:
            try:
                yield
            finally:
                now = asyncio.get_running_loop().time()
                self._quiet_at |= dict.fromkeys(kinds, now + SETTLE_SECONDS)

    async def _settle(self, kind: InputKind) -> None:
        """After an unanswered event wait for its late answer, which the next event would take for its own."""
        if kind in self._quiet_at:
            await asyncio.sleep(self._quiet_at.pop(kind) - asyncio.get_running_loop().time())  # late frames
        if kind not in self._unanswered:
            return
        late: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self._outstanding = (kind, 0.0, late)
        try:
            await asyncio.wait_for(late, SETTLE_SECONDS)
        except TimeoutError:
            pass
        finally:
            self._outstanding = None
        self._unanswered.discard(kind)

    def _down(self, kind: InputKind) -> None:
        self._held.add(kind)
        self._pressed.add(kind)
        if kind is InputKind.KEY:
            self._send(key_down(Keysym.A))
        else:
            self._send(pointer(*self._position, buttons=1))

    def _up(self, kind: InputKind) -> None:
        self._held.discard(kind)
        if kind is InputKind.KEY:
            self._send(key_up(Keysym.A))
        else:
            self._send(pointer(*self._position))

    def release(self) -> None:
        """Let go of whatever is held: a desktop must not be left with a key down."""
        for kind in tuple(self._held):
            self._up(kind)

    @property
    def pressed(self) -> frozenset[InputKind]:
        """What was ever pressed; a channel that broke may have lost its release."""
        return frozenset(self._pressed)

    def let_go(self, kinds: Iterable[InputKind]) -> None:
        """Release what another session may have left down; what is up does not notice.

        :raises ConnectionError: the channel is closed.
        """
        for kind in kinds:
            self._pressed.add(kind)
            self._up(kind)
