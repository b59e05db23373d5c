"""One check: connect as a user's browser does, wait for the first decoded frame, leave. I/O; runs in one event loop.

It connects as a controller, since viewers are not told which encoder is in use, and sends the template's own settings:
a desktop keeps those of its last client for the next one.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import aiohttp

from vdi_checker.result import REMEDIES, Outcome, Result
from vdi_checker.wish import Wish
from vdibench.client import CandidatePair, DesktopSession, SessionOptions
from vdibench.client.encoder import StatedEncoder, stated_encoder
from vdibench.client.failure import no_picture
from vdibench.client.options import Step
from vdibench.errors import AuthenticationError, NotADesktop, UsageError, VdibenchError
from vdibench.records import Credentials, Desktop, Display, Endpoint
from vdibench.selkies import Dialect, IceServer, Role
from vdibench.targets.first_look import FirstLook

__all__ = ["Site", "check", "transport", "warm_up"]

# 2.x tells its encoder about a second after capture began.
_ENCODER_SECONDS, _LOOK_SECONDS = 3.0, 0.05
# What the client says of pages that are none, each as path and status.
_STATUS = re.compile(r"/\S* (\d{3})")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Site:
    """What holds for every check.

    :param authority: PEM file of the authority of the hosts' certificate, empty for the system's.
    :param relay_only: media of WebRTC through the TURN relay alone, as users have it: a checker inside the cluster may
        have a direct path that they do not have.
    :param relays: the hosts of TURN and STUN servers that a desktop may name, empty for any: without a configuration
        of its own Selkies goes to a public relay in silence.
    """

    authority: str = ""
    relay_only: bool = True
    relays: frozenset[str] = frozenset()


def warm_up() -> None:
    """Import what the client imports at its first connection, so that no first desktop waits for it."""
    for name in ("webrtc", "webrtc1", "websocket"):
        importlib.import_module(f"vdibench.client.{name}")


async def check(wish: Wish, site: Site) -> Result:
    """Look at one desktop; whatever goes wrong is in the result. Ends soon after the wish's time, left cleanly."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        found = await _look(wish, site, began + wish.timeout_seconds)
    except Exception as error:  # a defect of ours is answered, not hung: the operator waits for a word
        _log.exception("the check of %s failed by a fault of its own", wish.host)
        found = _failed(Outcome.FAULT, f"the checker failed: {type(error).__name__}")
    return replace(found, seconds=loop.time() - began)


async def _look(wish: Wish, site: Site, deadline: float) -> Result:
    try:
        async with asyncio.timeout_at(deadline):
            resolve = await _resolved(wish.connect)
    except (OSError, TimeoutError):
        return _failed(Outcome.NAME, f"{wish.connect}, where Traefik is to be met, has no address")
    endpoint = Endpoint(wish.url, Credentials(wish.username, wish.password), site.authority, resolve=resolve)
    desktop = Desktop(
        "desktop-0",
        endpoint,
        owned=True,
        display=Display(wish.width, wish.height, wish.framerate),
        dialect=str(wish.dialect),
    )
    options = SessionOptions(
        role=Role.CONTROLLER,
        relay_only=site.relay_only and wish.dialect is not Dialect.SELKIES_2_WEBSOCKET,
        connect_timeout_seconds=wish.timeout_seconds,
        first_frame_timeout_seconds=wish.timeout_seconds,
        dialect=wish.dialect,
    )
    seen = FirstLook()
    session = DesktopSession(desktop, seen, options)
    try:
        async with session:
            foreign = _foreign(session.ice_servers, site.relays)
            if foreign:
                return _failed(Outcome.RELAY, f"the desktop sends its users to {foreign}, which is none of this site's")
            await _first_frame(session, wish, deadline)
            encoder = await _encoder(session, deadline)
            return _seen(session, seen, wish, encoder)
    except VdibenchError as error:
        outcome = _outcome(error, seen.reached)
        return _failed(outcome, error.cause)


async def _first_frame(session: DesktopSession, wish: Wish, deadline: float) -> None:
    try:
        async with asyncio.timeout_at(deadline):
            await session.first_frame()
    except TimeoutError as error:
        packets, codec = int(session.read().packets_received), session.connection.video_codec
        raise no_picture(packets, codec, session.dialect, f"within {wish.timeout_seconds:g} s") from error


async def _encoder(session: DesktopSession, deadline: float) -> StatedEncoder | None:
    assert session.dialect is not None  # it is connected
    loop = asyncio.get_running_loop()
    until = min(deadline, loop.time() + _ENCODER_SECONDS)
    while (found := stated_encoder(session.messages, session.dialect)) is None and loop.time() < until:
        await session.watch(_LOOK_SECONDS)
    return found


async def _resolved(address: str) -> str:
    """``host:port`` with an IP address for a name: the client takes no other."""
    if not address:
        return ""
    parts = urlsplit(f"//{address}")
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(parts.hostname, parts.port, proto=socket.IPPROTO_TCP)
    host, port = str(found[0][4][0]), int(found[0][4][1])
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _foreign(servers: Iterable[IceServer], allowed: frozenset[str]) -> str:
    """The first server that the site does not have; empty for none, and where any is allowed."""
    return next((server.url for server in servers if allowed and server.host not in allowed), "")


def _seen(session: DesktopSession, seen: FirstLook, wish: Wish, encoder: StatedEncoder | None) -> Result:
    assert session.dialect is not None  # it is connected
    sps = session.picture.sps
    width, height = session.picture.size or (0, 0)
    codec = session.connection.video_codec
    name = encoder.name if encoder is not None else ""
    hardware = encoder.hardware if encoder is not None else None
    way = transport(session.dialect, session.pair, session.ice_servers)
    seconds = seen.reached["first_frame"] - seen.reached["started"]
    kind = {True: " in hardware", False: " in software", None: ""}[hardware]
    parts = [f"{codec} {width}x{height} after {seconds:.2f} s", f"{name or 'an unnamed encoder'}{kind}", way]
    parts += _unlike(session, wish, (width, height))
    return Result(
        Outcome.FRAME,
        ", ".join(parts),
        codec=codec,
        profile=f"{sps.profile} {sps.level}" if sps is not None else "",
        encoder=name,
        hardware=hardware,
        transport=way,
        width=width,
        height=height,
        first_frame_seconds=seconds,
    )


def _unlike(session: DesktopSession, wish: Wish, size: tuple[int, int]) -> list[str]:
    """In what the desktop differs from its template."""
    found = []
    if size != (wish.width, wish.height):
        found.append(f"although the template says {wish.width}x{wish.height}")
    message = session.messages.get("server_settings")
    settings = message.data.get("settings") if message is not None and isinstance(message.data, dict) else None
    stated = settings.get("video_bitrate") if isinstance(settings, dict) else None
    kbps = stated.get("default") if isinstance(stated, dict) else None
    if wish.bitrate and isinstance(kbps, int | float) and round(kbps) != wish.bitrate // 1000:
        found.append(f"set to {kbps:g} kbit/s although the template says {wish.bitrate // 1000}")
    return found


def transport(dialect: Dialect, pair: CandidatePair | None, servers: Iterable[IceServer]) -> str:
    """What carries the media, for people. Pure.

    :param servers: those that the client used: the first TURN server is the relay.
    """
    if dialect is Dialect.SELKIES_2_WEBSOCKET:
        return "websocket over tcp"
    if pair is None:
        return "webrtc"
    relay = next((server for server in servers if server.is_turn), None)
    if pair.local_type == "relay" and relay is not None:
        # The candidate itself is UDP; what the client speaks to the relay may be TCP.
        return f"webrtc over {relay.transport} by relay, {pair.local_type} to {pair.remote_type}"
    by = " by relay" if pair.remote_type == "relay" else ""
    return f"webrtc over udp{by}, {pair.local_type} to {pair.remote_type}"


def _outcome(error: VdibenchError, reached: dict[str, float]) -> Outcome:
    """Which of the closed list an error is."""
    if "first_frame" in reached:
        return Outcome.LOST
    if "channel_open" in reached:
        return Outcome.NO_FRAME
    if isinstance(error, AuthenticationError):
        return Outcome.FORBIDDEN if "HTTP 403" in error.cause else Outcome.PASSWORD
    if isinstance(error, UsageError):
        return Outcome.FAULT  # such as an authority that cannot be read
    if isinstance(error, NotADesktop):
        return _page(error.cause)
    if "TURN server" in error.cause:
        return Outcome.RELAY
    if Step.ICE.missing in error.cause:  # by the relay alone it says so besides
        return Outcome.ICE
    if Step.HTTP.missing in error.cause:
        return Outcome.UNREACHABLE
    if any(step.missing in error.cause for step in Step):
        return Outcome.CONNECTION
    return _network(error.__cause__)


def _network(cause: BaseException | None) -> Outcome:
    if isinstance(cause, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return Outcome.CERTIFICATE
    if isinstance(cause, aiohttp.ClientConnectorDNSError):
        return Outcome.NAME
    if isinstance(cause, aiohttp.ClientConnectorError | TimeoutError):
        return Outcome.UNREACHABLE
    return Outcome.CONNECTION


def _page(cause: str) -> Outcome:
    """What answers in a desktop's place."""
    statuses = set(_STATUS.findall(cause))
    if statuses == {"404"}:
        return Outcome.ROUTE
    return Outcome.NOT_UP if statuses & {"502", "503", "504"} else Outcome.NOT_A_DESKTOP


def _failed(outcome: Outcome, cause: str) -> Result:
    remedy = REMEDIES[outcome]
    return Result(outcome, f"{cause}: {remedy}" if remedy else cause)
