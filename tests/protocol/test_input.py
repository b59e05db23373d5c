"""Input to photon, and what a viewer never sends."""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
from standin import StandIn

from vdibench.client import DesktopSession, InputKind, SessionOptions
from vdibench.errors import UsageError
from vdibench.records import Display
from vdibench.selkies import Role

CONTROLLER = SessionOptions(role=Role.CONTROLLER)
DISPLAY = Display(640, 360, 60)


@pytest.mark.parametrize("kind", list(InputKind))
async def test_an_injected_delay_is_measured(
    kind: InputKind, stand_in: Callable[..., StandIn], desktop: Any, samples: Any
) -> None:
    """The patch changes 100 ms after the event: the photon follows with the next frame, and never before."""
    injected = 0.100
    server = stand_in(photon_seconds=injected, fps=60.0)
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER) as session:
        await session.first_frame()
        for _ in range(8):
            await session.press(kind)
    delays = [record.photon_unix_seconds - record.sent_unix_seconds for record in samples.inputs]
    assert [record.kind for record in samples.inputs] == [kind.value] * 8
    assert min(delays) >= injected - 0.002
    assert statistics.median(delays) == pytest.approx(injected + 1 / 120, abs=0.025)
    for record in samples.inputs:
        assert record.sent_unix_seconds + injected - 0.002 <= record.drawn_unix_seconds < record.photon_unix_seconds
    assert max(delays) - min(delays) > 0.002, "events meet the screen's clock in different phases"


async def test_what_a_controller_sends(stand_in: Callable[..., StandIn], desktop: Any, samples: Any) -> None:
    server = stand_in()
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER) as session:
        await session.first_frame()
        await session.press(InputKind.KEY)
        await session.press(InputKind.CLICK)
    # A ping of the server may come in between; its answer is no input.
    assert [text for _, _, text in server.session.verbs if not text.startswith("pong,")] == [
        "_stats,1",
        "kd,97",
        "ku,97",
        "m,320,180,1,0",
        "m,320,180,0,0",
    ]
    hello = server.session.hello
    assert hello["client_type"] == "controller"
    assert hello["page_size"] == [640, 360]
    assert len(hello["client_tab_id"]) == 32


async def test_a_viewer_sends_nothing(stand_in: Callable[..., StandIn], desktop: Any, samples: Any) -> None:
    """Watching is harmless: no verb on any channel, no claim on the screen, not even when packets get lost."""
    lost = {"lose": lambda frame, packet, marker: frame == 10 and packet == 0, "lose_retransmissions": True}
    server = stand_in(**lost)
    async with DesktopSession(desktop(server.url, display=DISPLAY, owned=True), samples) as session:
        await session.first_frame()
        await session.watch(1.2)
        for kind in InputKind:
            with pytest.raises(UsageError, match="a viewer sends no input"):
                await session.press(kind)
    assert server.session.plis == 1
    assert server.session.verbs == []
    assert server.session.hello == {"client_type": "viewer", "client_slot": -1, "display_id": "primary"}


async def test_an_unanswered_event_has_no_photon(stand_in: Callable[..., StandIn], desktop: Any, samples: Any) -> None:
    server = stand_in(deaf_to_input=True)
    async with DesktopSession(desktop(server.url), samples, CONTROLLER) as session:
        await session.first_frame()
        began = time.monotonic()
        record = await session.press(InputKind.KEY)
        assert time.monotonic() - began == pytest.approx(2.0, abs=0.3)
    assert math.isnan(record.photon_unix_seconds)
    assert math.isnan(record.drawn_unix_seconds)
    assert len(samples.inputs) == 1


async def test_a_late_answer_is_not_taken_for_the_next(
    stand_in: Callable[..., StandIn], desktop: Any, samples: Any
) -> None:
    server = stand_in(photon_seconds=2.3)
    async with DesktopSession(desktop(server.url), samples, CONTROLLER) as session:
        await session.first_frame()
        first = await session.press(InputKind.KEY)
        server.behaviour.photon_seconds = 0.2
        second = await session.press(InputKind.KEY)
    assert math.isnan(first.photon_unix_seconds)
    assert second.sent_unix_seconds - first.sent_unix_seconds >= 2.3
    assert second.photon_unix_seconds - second.sent_unix_seconds == pytest.approx(0.22, abs=0.05)


async def test_events_of_two_callers_take_turns(stand_in: Callable[..., StandIn], desktop: Any, samples: Any) -> None:
    server = stand_in(photon_seconds=0.1)
    async with DesktopSession(desktop(server.url), samples, CONTROLLER) as session:
        await session.first_frame()
        await asyncio.gather(*(session.press(kind) for kind in (InputKind.KEY, InputKind.CLICK, InputKind.KEY)))
    for earlier, later in zip(samples.inputs, samples.inputs[1:], strict=False):
        assert later.sent_unix_seconds > earlier.photon_unix_seconds
