"""What breaks in mid-stream over Selkies 1.6, where nobody lets go of a lost client's keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from hands import Hands
from standin_1 import LegacyStandIn
from watching import Again, until

from vdibench.client import DesktopSession, InputKind, SessionOptions, culprit, input
from vdibench.errors import StreamLost
from vdibench.links import DIRECT, Relay
from vdibench.records import Desktop
from vdibench.selkies import Keysym, Role

StandIns = Callable[..., LegacyStandIn]
Desktops = Callable[..., Desktop]


async def test_a_key_that_a_cut_left_down_is_let_go_of_after_it(
    stand_in: StandIns, desktop: Desktops, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(culprit, "ASK_SECONDS_1", 0.3)
    monkeypatch.setattr(input, "HOLD_SECONDS", 1.5)
    server, samples = stand_in(), Again()
    async with Relay() as relay:
        route = relay.route(DIRECT)
        options = SessionOptions(role=Role.CONTROLLER, route=route, stall_seconds=1.0, connect_timeout_seconds=30.0)
        async with DesktopSession(desktop(server.url), samples, options) as session:
            await session.first_frame()
            press = asyncio.create_task(session.press(InputKind.KEY))
            await until(lambda: Keysym.A in hands.held())
            began = route.cut(4.0)
            with pytest.raises(StreamLost, match="no longer answers"):
                await press
            await session.leave()
            assert time.time() < began + 4.0
            assert Keysym.A in hands.held()
            await session.reconnect(30.0)
            await until(lambda: not hands.held())
            assert server.verbs.count(f"kd,{Keysym.A:d}") == 1
