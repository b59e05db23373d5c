"""Checks of real desktops, of both dialects, over TLS, by the route that users take: password, relay, name."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from vdi_checker.check import Site
from vdibench.lab import Access, DesktopSpec, Lab, LabSpec
from vdibench.records import Desktop, Display, Workload
from vdibench.selkies import Dialect

from .conftest import wanted

DIALECTS = (Dialect.SELKIES_2_WEBRTC, Dialect.SELKIES_2_WEBSOCKET)
SMALL = DesktopSpec(
    display=Display(640, 360, 30), workload=Workload.TEXT, bitrate_bps=2_000_000, audible=False, access=Access(tls=True)
)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.up(LabSpec(tuple(replace(SMALL, dialect=dialect) for dialect in DIALECTS)), owned=True) as lab:
        yield lab


def body(desktop: Desktop, **changes: Any) -> dict[str, Any]:
    endpoint = desktop.endpoint
    assert endpoint.credentials is not None
    login = {"username": endpoint.credentials.user, "password": endpoint.credentials.password}
    return wanted(f"{endpoint.url}/", dialect=desktop.dialect, bitrate=2_000_000, timeoutSeconds=15) | login | changes


@pytest.mark.parametrize("place", range(len(DIALECTS)), ids=[str(dialect) for dialect in DIALECTS])
async def test_a_real_desktop_shows_a_frame_again_and_again(place: int, lab: Lab, checker, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    desktop = lab.desktops[place]
    ask = await checker(Site(authority=desktop.endpoint.ca_file))
    for _ in range(2):
        answer = await (await ask(**body(desktop))).json()
        assert answer["outcome"] == "frame", answer["message"]
        assert (answer["codec"], answer["width"], answer["height"]) == ("H264", 640, 360)
        assert answer["hardware"] is False, "the lab has no GPU"
        assert answer["encoder"]
        assert "although" not in answer["message"], "it is set as the template says"
        relayed = answer["transport"].startswith("webrtc over udp by relay, relay to ")
        assert relayed if desktop.dialect == "selkies-2-webrtc" else answer["transport"] == "websocket over tcp"
    assert not [secret for secret in lab.secrets if secret in caplog.text]


@pytest.mark.parametrize("place", range(len(DIALECTS)), ids=[str(dialect) for dialect in DIALECTS])
async def test_a_wrong_password_is_told_as_such(place: int, lab: Lab, checker) -> None:
    desktop = lab.desktops[place]
    ask = await checker(Site(authority=desktop.endpoint.ca_file))
    answer = await (await ask(**body(desktop, password="guessed-by-nobody"))).json()
    assert answer["outcome"] == "password"
    assert "guessed-by-nobody" not in str(answer)


async def test_an_authority_that_nobody_gave(lab: Lab, checker) -> None:
    ask = await checker(Site())
    answer = await (await ask(**body(lab.desktops[0]))).json()
    assert answer["outcome"] == "certificate"
