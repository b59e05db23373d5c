"""TURN credentials: what is minted, that they end, and that fresh ones come in time."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request

import aioice.stun
import aioice.turn
import pytest

from vdibench.lab import DesktopSpec, Lab, LabSpec
from vdibench.lab.turn import ice_servers, mint
from vdibench.records import Display

from .footprints import await_true

OPEN = DesktopSpec(display=Display(640, 360, 30), basic_auth=False)


def announced(lab: Lab) -> list[dict[str, object]]:
    with urllib.request.urlopen(lab.desktops[0].endpoint.url + "/api/turn", timeout=10) as answer:
        servers: list[dict[str, object]] = json.load(answer)["iceServers"]
        return servers


def test_mint_is_the_turn_rest_scheme() -> None:
    # printf 1700000000:desk | openssl dgst -sha1 -hmac secret -binary | base64
    assert mint("secret", "desk", 1700000000) == ("1700000000:desk", "KRqTXMUsArT3P9p7kI8LNRve2PA=")


def test_no_server_at_all() -> None:
    assert json.loads(ice_servers(None))["iceServers"] == []


def test_without_turn_no_server_is_announced() -> None:
    with Lab.up(LabSpec((OPEN,), turn=False), owned=True) as lab:
        assert lab.turn is None
        assert announced(lab) == []


async def test_credentials_end_and_are_renewed_before() -> None:
    with await asyncio.to_thread(Lab.up, LabSpec((OPEN,), turn_lifetime_seconds=3), owned=True) as lab:
        first = announced(lab)[1]
        await_true(lambda: announced(lab)[1] != first, 5, lambda: "the credentials were not renewed")
        second = announced(lab)[1]
        expiry = [int(str(each["username"]).partition(":")[0]) for each in (first, second)]
        assert 1 <= expiry[1] - expiry[0] <= 2
        assert expiry[0] - 3 < time.time() < expiry[1]
        for _ in range(2):
            now = announced(lab)[1]
            await allocate(lab, str(now["username"]), str(now["credential"]))
        with pytest.raises(aioice.stun.TransactionFailed, match="401"):
            await allocate(lab, f"{int(time.time()) - 10}:desktop-0", str(first["credential"]))


async def allocate(lab: Lab, user: str, password: str) -> None:
    assert lab.turn is not None
    transport, _ = await aioice.turn.create_turn_endpoint(
        asyncio.DatagramProtocol, server_addr=lab.turn, username=user, password=password
    )
    transport.close()
