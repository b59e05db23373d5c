"""The frame checker, asked over HTTP: does a real client see a frame of this desktop on the users' route? Asyncio.

``POST {checker_url}/v1/checks`` with a bearer token and ``{url, connect, username, password, dialect, width, height,
framerate, bitrate, timeoutSeconds}``; the answer is ``{ok, message, codec, encoder, hardware, transport, width, height,
firstFrameSeconds}``. Each check is a task of its own: no worker waits for a desktop.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from vdi_operator.core.world import CheckResult
from vdi_operator.settings import Settings

__all__ = ["CHECK_SECONDS", "Asked", "Checker"]

# What a desktop is given to show a frame in one check; one that needs longer is checked again.
CHECK_SECONDS = 10.0
# For the checker's own start of a client, beside that.
_MARGIN_SECONDS = 5.0
_CONNECT_SECONDS = 2.0
# Checks at the same time: each is a decoder in the checker.
_AT_ONCE = 32
_LONGEST = 512

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """One check.

    :param url: of the desktop's page, as users have it.
    """

    session: str
    session_uid: str
    pod_uid: str
    url: str
    username: str
    dialect: str
    width: int
    height: int
    framerate: int
    bitrate: int
    password: str = field(repr=False)


class Checker:
    """Runs checks, one a session at a time.

    :param done: told session, its uid and the result.
    :param clock: Unix seconds.
    """

    def __init__(
        self,
        settings: Settings,
        done: Callable[[str, str, CheckResult], None],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._done = done
        self._clock = clock
        self._running: dict[str, tuple[str, asyncio.Task[None]]] = {}
        self._attempts: dict[str, tuple[str, int]] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._http: aiohttp.ClientSession | None = None

    def ask(self, asked: Asked) -> None:
        """Have a check, unless one of this pod is under way; one of another pod of the session is given up.

        When to ask again is decided elsewhere.
        """
        running = self._running.get(asked.session)
        if running is not None:
            if running[0] == asked.pod_uid:
                return
            running[1].cancel()
        pod, made = self._attempts.get(asked.session, ("", 0))
        attempts = made + 1 if pod == asked.pod_uid else 1
        task = asyncio.create_task(self._check(asked, attempts), name=f"check {asked.session}")
        self._running[asked.session] = (asked.pod_uid, task)
        task.add_done_callback(lambda ended: self._ended(asked.session, ended))

    def forget(self, session: str) -> None:
        """A session is gone, or wants no desktop any more."""
        self._attempts.pop(session, None)
        running = self._running.get(session)
        if running is not None:
            running[1].cancel()

    async def close(self) -> None:
        """Give up all checks."""
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.close()

    def _ended(self, session: str, task: asyncio.Task[None]) -> None:
        known = self._running.get(session)
        if known is not None and known[1] is task:
            del self._running[session]
        if not task.cancelled() and task.exception() is not None:
            _log.error("a check ended by a fault of its own", exc_info=task.exception(), extra={"session": session})

    async def _check(self, asked: Asked, attempts: int) -> None:
        async with self._room:
            result = await self._ask(asked, attempts)
        if not result.unreachable:
            # A checker that did not look says nothing of the desktop.
            self._attempts[asked.session] = (asked.pod_uid, attempts)
        # Before the pass that this wakes: it may want another check.
        self._running.pop(asked.session, None)
        self._done(asked.session, asked.session_uid, result)

    async def _ask(self, asked: Asked, attempts: int) -> CheckResult:
        body = {
            "url": asked.url,
            "connect": self._settings.checker_address,
            "username": asked.username,
            "password": asked.password,
            "dialect": asked.dialect,
            "width": asked.width,
            "height": asked.height,
            "framerate": asked.framerate,
            "bitrate": asked.bitrate,
            "timeoutSeconds": CHECK_SECONDS,
        }
        try:
            async with self._session().post(
                f"{self._settings.checker_url.rstrip('/')}/v1/checks", json=body, headers=self._headers()
            ) as response:
                if response.status != 200:
                    text = (await response.content.read(_LONGEST)).decode(errors="replace").strip()
                    return self._unreachable(asked, attempts, f"it answers {response.status} {text}")
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return self._unreachable(asked, attempts, f"{type(error).__name__} {error}".strip())
        if not isinstance(answer, dict) or not isinstance(answer.get("ok"), bool):
            return self._unreachable(asked, attempts, "its answer says neither yes nor no")
        return _result(answer, asked.pod_uid, attempts, self._clock())

    def _unreachable(self, asked: Asked, attempts: int, why: str) -> CheckResult:
        message = f"the checker at {self._settings.checker_url} did not check: {why}"[:_LONGEST]
        _log.warning(message, extra={"session": asked.session})
        return CheckResult(
            asked.pod_uid,
            ok=False,
            left_unix_seconds=self._clock(),
            message=message,
            unreachable=True,
            attempts=attempts,
        )

    def _headers(self) -> dict[str, str]:
        path = self._settings.checker_token_file
        # Read each time: kubelet replaces it, and checks are few.
        token = Path(path).read_text().strip() if path else ""
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            timeout = aiohttp.ClientTimeout(total=CHECK_SECONDS + _MARGIN_SECONDS, sock_connect=_CONNECT_SECONDS)
            self._http = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        return self._http


def _result(answer: dict[str, Any], pod_uid: str, attempts: int, now: float) -> CheckResult:
    """What the checker says, each field only if it is what it must be."""
    hardware = answer.get("hardware")
    return CheckResult(
        pod_uid=pod_uid,
        ok=answer["ok"],
        left_unix_seconds=now,
        message=_text(answer.get("message")),
        codec=_text(answer.get("codec")),
        encoder=_text(answer.get("encoder")),
        hardware=hardware if isinstance(hardware, bool) else None,
        transport=_text(answer.get("transport")),
        width=int(_number(answer.get("width"))),
        height=int(_number(answer.get("height"))),
        first_frame_seconds=_number(answer.get("firstFrameSeconds")),
        attempts=attempts,
    )


def _text(value: object) -> str:
    return value[:_LONGEST] if isinstance(value, str) else ""


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return 0.0
    return float(value)
