"""The checker's HTTP side: ``POST /v1/checks``, ``GET /healthz``, ``GET /metrics``. Asyncio.

``/v1/checks`` wants the bearer token of a mounted file and answers 200 whatever was found; other statuses mean that
nothing was looked at: 400 no request, 401 no or another token, 403 a desktop of somebody else's, 503 too busy.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from vdi_checker.result import Outcome, Result
from vdi_checker.wish import Foreign, Rules, Wish

__all__ = ["Server", "TokenFile"]

_LARGEST_BODY = 16 * 1024
# For a place among the checks that run. Those who ask wait a little longer than a check may take, not for a queue.
_WAIT_SECONDS = 3.0
_BUCKETS = (0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 20, 30)
_REFUSALS = (400, 401, 403, 503)

_log = logging.getLogger(__name__)

# Looks at one desktop.
Look = Callable[[Wish], Awaitable[Result]]


class TokenFile:
    """Bearer tokens in a mounted file, one a line, so that one can be replaced by another.

    Read at each request: kubelet replaces it, and requests are few.

    :raises OSError: it cannot be read.
    :raises ValueError: there is no token in it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if not self._tokens():
            raise ValueError(f"{path} holds no token: write one into its first line")

    def accepts(self, header: str) -> bool:
        """Whether an ``Authorization`` header has one of them; in constant time."""
        scheme, _, given = header.partition(" ")
        if scheme.lower() != "bearer":
            return False
        # All of them, so that the time says nothing of which it was.
        found = [hmac.compare_digest(token.encode(), given.strip().encode()) for token in self._tokens()]
        return any(found)

    def _tokens(self) -> list[str]:
        return self._path.read_text().split()


class Server:
    """What answers.

    :param look: looks at one desktop.
    :param at_once: so many checks run at the same time, each with a decoder of its own.
    """

    def __init__(self, look: Look, rules: Rules, token: TokenFile, *, at_once: int = 8) -> None:
        self._look = look
        self._rules = rules
        self._token = token
        self._places = asyncio.Semaphore(at_once)
        self.registry = CollectorRegistry()
        self._checks = Counter(
            "vdi_checker_checks_total", "Checks that ended, by what was found.", ["outcome"], registry=self.registry
        )
        self._refused = Counter(
            "vdi_checker_refused_total",
            "Requests that were not looked into, by status.",
            ["code"],
            registry=self.registry,
        )
        for outcome in Outcome:  # a rate needs the zero before the first one
            self._checks.labels(str(outcome))
        for code in _REFUSALS:
            self._refused.labels(str(code))
        self._seconds = Histogram(
            "vdi_checker_check_seconds",
            "A whole check, its leaving included.",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._first = Histogram(
            "vdi_checker_first_frame_seconds",
            "From the first request to the first decoded frame, of checks that saw one.",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._running = Gauge("vdi_checker_running_checks", "Checks that run now.", registry=self.registry)

    def application(self) -> web.Application:
        """As aiohttp serves it."""
        made = web.Application(client_max_size=_LARGEST_BODY)
        made.router.add_post("/v1/checks", self._check)
        made.router.add_get("/healthz", self._health)
        made.router.add_get("/metrics", self._metrics)
        return made

    async def _check(self, request: web.Request) -> web.Response:
        try:
            allowed = self._token.accepts(request.headers.get("Authorization", ""))
        except OSError as error:
            _log.error("the token cannot be read: %s", error)
            return self._refuse(503, "the checker cannot read its own token")
        if not allowed:
            return self._refuse(401, "a bearer token is wanted, and this is none", {"WWW-Authenticate": "Bearer"})
        try:
            wish = Wish.of(await request.json(), self._rules)
        except Foreign as error:
            return self._refuse(403, str(error))
        except ValueError as error:
            # Of a body that is no JSON the decoder's message has a place and none of its text.
            return self._refuse(400, f"no request: {error}")
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            return self._refuse(503, "as many checks run as may: ask again", {"Retry-After": "1"})
        self._running.inc()
        try:
            found = await self._look(wish)
        finally:
            self._running.dec()
            self._places.release()
        self._checks.labels(str(found.outcome)).inc()
        self._seconds.observe(found.seconds)
        if found.ok:
            self._first.observe(found.first_frame_seconds)
        _log.info("host=%s outcome=%s seconds=%.3f %s", wish.host, found.outcome, found.seconds, found.message)
        return web.json_response(found.document())

    def _refuse(self, code: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
        self._refused.labels(str(code)).inc()
        _log.warning("refused with %d: %s", code, message)
        return web.json_response({"message": message}, status=code, headers=headers)

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(text="OK\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self.registry), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )
