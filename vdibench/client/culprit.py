"""Who is to blame for a stream that ended without a word: desktop, link, or TURN relay. I/O, at most a few seconds.

Three questions tell them apart: does the desktop's HTTP still answer, does its TURN server, does its sound still come?
"""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import suppress
from enum import Enum

import aiohttp
from aioice import stun

from vdibench.client.connection import CandidatePair, Connection
from vdibench.client.http import DesktopHttp
from vdibench.errors import StreamLost, TakenOver, TargetUnavailable, VdibenchError
from vdibench.selkies import Dialect, IceServer
from vdibench.selkies.detection import HEALTH_PATH, HEALTH_PATH_1, STATUS_PATH

__all__ = ["blame", "may_heal"]

# Enough for a busy server, too little to hide the news.
ASK_SECONDS = 3.0
# 1.6 sleeps up to 4 s between answers while one of its legs is missing.
ASK_SECONDS_1 = 6.0
TURN_SECONDS = 1.0
# A desktop that sounds sends a hundred packets a second.
LISTEN_SECONDS = 0.3
# A desktop that says goodbye does so at once.
LONG_SECONDS = 10.0

# What a page of 2.x asks for, and what a proxy may have in its place; each with the password that the session has.
_PATHS, _PATHS_1 = (STATUS_PATH, HEALTH_PATH), (HEALTH_PATH_1,)
_PORT, _TLS_PORT = 3478, 5349  # RFC 8656
_NO_WAY = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN}


class _Answer(Enum):
    YES = "still answers"
    REFUSED = "takes no connections any more"
    GATEWAY = "is answered for by what stands in front of it, which does not reach it"
    NO_WAY = "cannot be reached any more"
    SILENT = "no longer answers"


async def blame(
    found: StreamLost, http: DesktopHttp | None, connection: Connection | None, url: str, silent_seconds: float = 0.0
) -> StreamLost:
    """The reason why a stream ended, with the likely culprit.

    :param found: what was noticed; its remedy is kept where there is no better one. Without a remedy it is a stall.
    :param url: the desktop's, for the message.
    :param silent_seconds: since when there was no video. ICE gives a path up after half a minute without an answer, and
        what is seen of it is a connection that closed.
    """
    heard = connection.read().audio_packets_received if connection is not None else 0
    since = asyncio.get_running_loop().time()
    what, remedy = found.cause, found.remedy
    if remedy and silent_seconds >= LONG_SECONDS:
        what, remedy = f"{what} after {silent_seconds:.0f} s without video", ""
    answer = await _ask(http, connection.dialect if connection is not None else None)
    if answer in {_Answer.REFUSED, _Answer.GATEWAY}:
        return StreamLost(
            f"{what}, and {url} {answer.value}", "look into the desktop's log: it ended, or is being restarted"
        )
    if answer is not _Answer.YES:
        return StreamLost(f"{what}, and {url} {answer.value}", "check the network to the desktop, then its host")
    what = f"{what} although the desktop still answers"
    pair = connection.pair if connection is not None else None
    if connection is not None and pair is not None and "relay" in (pair.local_type, pair.remote_type):
        return await _blame_relay(what, remedy, pair, connection.ice_servers)
    if remedy:
        return StreamLost(what, remedy)
    if connection is not None:
        # Sound that still comes shows within this time.
        await asyncio.sleep(max(0.0, since + LISTEN_SECONDS - asyncio.get_running_loop().time()))
        if connection.read().audio_packets_received > heard:
            return StreamLost(
                f"{what} and its sound still comes", "check the desktop's encoder and its screen in its log"
            )
    if pair is None:
        remedy = "check the desktop's encoder in its log, then the proxies between here and it"
    else:
        remedy = "check the desktop's encoder in its log, and what filters UDP between here and it"
    return StreamLost(what, remedy)


async def _blame_relay(what: str, remedy: str, pair: CandidatePair, servers: tuple[IceServer, ...]) -> StreamLost:
    cause = f"{what}: the way is a TURN relay ({pair})"
    relays = [server for server in servers if server.is_turn]
    if relays and not await _turn_answers(relays[0]):
        return StreamLost(f"{cause}, and {relays[0].url} no longer answers", "start the TURN server; look into its log")
    return StreamLost(cause, remedy or "check the TURN server's log, its quota and the lifetime of its credentials")


async def _ask(http: DesktopHttp | None, dialect: Dialect | None) -> _Answer:
    if http is None:
        return _Answer.SILENT
    old = dialect is Dialect.SELKIES_1_WEBRTC
    status = 404
    try:
        async with asyncio.timeout(ASK_SECONDS_1 if old else ASK_SECONDS):
            for path in _PATHS_1 if old else _PATHS:
                status = (await http.get(path)).status
                if status != 404:
                    break
    except TimeoutError:
        return _Answer.SILENT
    except VdibenchError as error:
        return _meaning(error.__cause__)
    # 404 at all of them: one was there when the session began, so the proxy has no way to the desktop any more.
    return _Answer.GATEWAY if status in {404, 502, 503, 504} else _Answer.YES


def _meaning(error: BaseException | None) -> _Answer:
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return _Answer.REFUSED
    if isinstance(error, aiohttp.ClientOSError):
        if error.errno in _NO_WAY:
            return _Answer.NO_WAY
        if error.errno in {errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE}:
            return _Answer.REFUSED
    return _Answer.SILENT


async def _turn_answers(server: IceServer) -> bool:
    """Whether anything answers there: to a STUN request over UDP, to a connection over TCP."""
    host, port = _place(server)
    try:
        async with asyncio.timeout(TURN_SECONDS):
            if server.transport == "tcp" or server.url.startswith("turns:"):
                _, writer = await asyncio.open_connection(host, port)
                writer.close()
                return True
            return await _stun_answers(host, port)
    except (OSError, TimeoutError):
        return False


async def _stun_answers(host: str, port: int) -> bool:
    loop = asyncio.get_running_loop()
    family, kind, _, _, address = (await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM))[0]
    with socket.socket(family, kind) as probe:
        probe.setblocking(False)
        await loop.sock_connect(probe, address)
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        await loop.sock_sendall(probe, bytes(request))
        while True:
            answer = await loop.sock_recv(probe, 2048)
            with suppress(ValueError):  # not STUN: not what was asked for
                if stun.parse_message(answer).transaction_id == request.transaction_id:
                    return True


def _place(server: IceServer) -> tuple[str, int]:
    port = server.url.partition("?")[0].rpartition("]" if "[" in server.url else server.host)[2].removeprefix(":")
    if port.isdecimal() and len(port) <= 5 and 0 < int(port) < 65536:
        return server.host, int(port)
    return server.host, _TLS_PORT if server.url.startswith("turns:") else _PORT


def may_heal(error: VdibenchError) -> bool:
    """Whether another attempt may do better; not where what was asked for is wrong, or another client took over."""
    return isinstance(error, TargetUnavailable) and not isinstance(error, TakenOver)
