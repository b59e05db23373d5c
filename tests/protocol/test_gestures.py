"""Typing, scrolling and pointing: what reaches the desktop, and that nothing stays held."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from standin import StandIn
from standin_websocket import WebSocketStandIn

from vdibench.client import DesktopSession, InputKind, SessionOptions
from vdibench.client.gestures import Gestures
from vdibench.client.input import InputProbe
from vdibench.errors import StreamLost, UsageError
from vdibench.records import Display
from vdibench.selkies import Role

CONTROLLER = SessionOptions(role=Role.CONTROLLER)
DISPLAY = Display(640, 360, 60)
Samples = Any


def inputs(server: StandIn) -> list[str]:
    return [text for _, _, text in server.session.verbs if text[0] in "km"]


async def test_a_text_is_typed_key_by_key(
    stand_in: Callable[..., StandIn], desktop: Any, samples: Samples, wait_until: Any
) -> None:
    server = stand_in()
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER) as session:
        began = time.monotonic()
        await session.type_text("aB1\n", characters_per_second=20.0)
        assert time.monotonic() - began >= 0.19
        await wait_until(lambda: len(inputs(server)) >= 10)
    assert inputs(server) == [
        *("kd,97", "ku,97"),
        *("kd,65505", "kd,66", "ku,66", "ku,65505"),
        *("kd,49", "ku,49", "kd,65293", "ku,65293"),
    ]
    held = [at for at, _, text in server.session.verbs if text in {"kd,97", "ku,97"}]
    assert held[1] - held[0] < 0.3, "a desktop lets go of a key that has no heartbeats for so long"
    assert samples.inputs == [], "nobody waited for a photon: no event was lost"


async def test_the_wheel_and_the_pointer(
    stand_in: Callable[..., StandIn], desktop: Any, samples: Samples, wait_until: Any
) -> None:
    server = stand_in()
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER) as session:
        await session.scroll(-2)
        await session.scroll(1)
        await session.click((10, 20))
        await session.move([(20, 30), (30, 40), (40, 50)], 0.1, drag=True)
        await session.move([(1, 2)], 0.0)
        await wait_until(lambda: "m,1,2,0,0" in inputs(server))
    sent = inputs(server)
    assert sent[:6] == ["m,320,180,8,1", "m,320,180,0,0"] * 2 + ["m,320,180,16,1", "m,320,180,0,0"]
    assert sent[6:8] == ["m,10,20,1,0", "m,10,20,0,0"]
    # A loaded machine may skip a position, never the last one, nor the release.
    assert set(sent[8:-2]) <= {"m,20,30,1,0", "m,30,40,1,0", "m,40,50,1,0"}
    assert sent[-3:] == ["m,40,50,1,0", "m,40,50,0,0", "m,1,2,0,0"]


@pytest.mark.parametrize("gesture", ["type", "drag"])
async def test_a_cancelled_gesture_holds_nothing(
    gesture: str, stand_in: Callable[..., StandIn], desktop: Any, samples: Samples, wait_until: Any
) -> None:
    server = stand_in()
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER) as session:
        acts = {
            "type": lambda: session.type_text("aaaa", characters_per_second=10.0),
            "drag": lambda: session.move([(1, 1), (2, 2)], 60.0, drag=True),
        }
        act = asyncio.create_task(acts[gesture]())
        down, up = {"type": ("kd,97", "ku,97"), "drag": ("m,1,1,1,0", "m,1,1,0,0")}[gesture]
        await wait_until(lambda: down in inputs(server))
        act.cancel()
        await asyncio.gather(act, return_exceptions=True)
        await wait_until(lambda: inputs(server).count(up) >= inputs(server).count(down))


async def test_a_measured_key_waits_until_the_typed_ones_were_seen(
    stand_in: Callable[..., StandIn], desktop: Any, samples: Samples
) -> None:
    """Each typed key toggles the patch: a press on its heels would take the last one's photon for its own."""
    server = stand_in(photon_seconds=0.5)
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER) as session:
        await session.first_frame()
        await session.type_text("abc", characters_per_second=20.0)
        record = await session.press(InputKind.KEY)
    assert record.photon_unix_seconds - record.sent_unix_seconds >= 0.498


async def test_no_gesture_begins_while_a_photon_is_waited_for() -> None:
    sent: list[str] = []
    probe = InputProbe(sent.append, (1, 1))
    hands = Gestures(sent.append, (320, 180), probe)
    acts = (hands.type_text("a", 20.0), hands.click(), hands.scroll(-1), hands.move([(1, 2)], 0.0))
    async with probe.aside():  # the turn, as a measured event has it until its photon came
        begun = [asyncio.create_task(act) for act in acts]
        for _ in range(5):
            await asyncio.sleep(0)  # all of them come as far as they may
        assert sent == []
    await asyncio.gather(*begun)
    assert {"kd,97", "m,320,180,1,0", "m,320,180,8,1", "m,1,2,0,0"} <= set(sent)


async def test_over_the_websocket_as_well(
    stand_in_websocket: Callable[..., WebSocketStandIn], desktop: Any, samples: Samples, wait_until: Any
) -> None:
    server = stand_in_websocket()
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER) as session:
        await session.type_text("ab", characters_per_second=20.0)
        await session.scroll(-1)
        await wait_until(lambda: "m,320,180,8,1" in server.client.texts)
    assert [text for text in server.client.texts if text[:3] in {"kd,", "ku,"}] == ["kd,97", "ku,97", "kd,98", "ku,98"]


async def test_what_cannot_be(stand_in: Callable[..., StandIn], desktop: Any, samples: Samples) -> None:
    server = stand_in()
    async with DesktopSession(desktop(server.url, display=DISPLAY), type(samples)()) as viewer:
        for act in (viewer.type_text("a"), viewer.click(), viewer.scroll(1), viewer.move([(1, 1)], 0.1)):
            with pytest.raises(UsageError, match="a viewer sends no input"):
                await act
    session = DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER)
    with pytest.raises(StreamLost, match="not open"):
        await session.type_text("a")
    async with session:
        for speed in (0.0, -1.0, 51.0, float("nan")):
            with pytest.raises(UsageError, match="characters a second"):
                await session.type_text("a", characters_per_second=speed)
        with pytest.raises(UsageError, match="no key types"):
            await session.type_text("a\x00")
    assert inputs(server) == []
