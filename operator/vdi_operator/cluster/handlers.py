"""kopf: it follows the sessions, and its only handler puts what it hears into the store. Asyncio.

Nothing is persisted by kopf: no finalizer, no annotation, no Event. It runs inside this process's loop as tasks that
end when they are cancelled: ``kopf.run_tasks`` would cancel everybody's tasks, and wait five seconds first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import aiohttp
import kopf

from vdi_operator.api.objects import GROUP, VERSION, Object
from vdi_operator.children.kinds import KINDS
from vdi_operator.cluster.access import Access
from vdi_operator.cluster.errors import ApiError
from vdi_operator.cluster.sessions import Sessions

__all__ = ["Unsaved", "registry", "run", "settings"]

# Pauses between kopf's tries of its own requests; it gives up for good when they are over, so they never are.
_RETRY_SECONDS = (0.5, 1.0)
_LONGEST_SECONDS = 2.0
# Before kopf is started again after it ended by itself.
_RESTART_SECONDS = (0.5, 1.0, 2.0)
# Between questions whether the API server knows the kind, and the longest that one may take.
_LOOK_SECONDS, _ANSWER_SECONDS = 0.5, 10.0

_log = logging.getLogger(__name__)


class Unsaved(kopf.DiffBaseStorage):
    """No memory of what an object was: passes compare what is with what ought to be."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[kopf.FieldSpec] | None = None) -> kopf.BodyEssence:
        """Nothing."""
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        """Nothing."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Nowhere."""


class _Forever:
    """Pauses without an end."""

    def __iter__(self) -> Iterator[float]:
        yield from _RETRY_SECONDS
        while True:
            yield _LONGEST_SECONDS


def settings() -> kopf.OperatorSettings:
    """kopf's: one namespace, no scanning, nothing written, an end without waiting."""
    made = kopf.OperatorSettings()
    made.scanning.disabled = True
    made.posting.enabled = False
    made.peering.standalone = True
    made.process.ultimate_exiting_timeout = None
    made.persistence.diffbase_storage = Unsaved()
    made.networking.request_timeout = 10.0
    made.networking.connect_timeout = 3.0
    made.networking.error_backoffs = _Forever()
    made.watching.connect_timeout = 3.0
    # Workers of idle objects: an object has its few events within moments of each other.
    made.queueing.idle_timeout = 1.0
    made.queueing.exit_timeout = 0.2
    made.execution.default_backoff = 1.0
    return made


def registry(access: Access, sessions: Sessions, relisted: Callable[[], None]) -> kopf.OperatorRegistry:
    """The handlers.

    :param relisted: called for an object of a list, the first one among them; what is deleted between two lists is in
        neither, and kopf does not tell of it.
    """
    made = kopf.OperatorRegistry()

    @kopf.on.login(registry=made)
    async def login(**_: Any) -> kopf.AiohttpSession:
        # A pool of its own: kopf closes it when it is refused.
        return kopf.AiohttpSession(server=access.server, aiohttp_session=access.session())

    @kopf.on.event(GROUP, VERSION, "vdisessions", registry=made)
    async def session_event(event: kopf.RawEvent, **_: Any) -> None:
        one = cast(Object, event["object"])
        if event["type"] == "DELETED":
            sessions.drop(str(one["metadata"]["name"]), str(one["metadata"].get("uid", "")))
            return
        sessions.put(one)
        if event["type"] is None:
            relisted()

    return made


async def run(
    access: Access,
    sessions: Sessions,
    namespace: str,
    *,
    relisted: Callable[[], None],
    spawned: Callable[[], None],
    restarted: Callable[[], None],
) -> None:
    """Run kopf for ever; if it ends by itself, again.

    :param spawned: called when kopf has taken the signals of the process for itself.
    :param restarted: called each time that it ended.
    """
    failures = 0
    while True:
        await _kind_known(access)
        loop = asyncio.get_running_loop()
        began = loop.time()
        tasks = await kopf.spawn_tasks(
            registry=registry(access, sessions, relisted),
            settings=settings(),
            namespaces=[namespace],
            standalone=True,
        )
        spawned()
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        failures = failures + 1 if loop.time() - began < 60.0 else 1
        pause = _RESTART_SECONDS[min(failures, len(_RESTART_SECONDS)) - 1]
        why = [repr(task.exception()) for task in ended if not task.cancelled() and task.exception() is not None]
        _log.error("kopf ended and is started again in %.1f s: %s", pause, "; ".join(why) or "nothing said why")
        restarted()
        await asyncio.sleep(pause)  # what ended it may still hold


async def _kind_known(access: Access) -> None:
    """Wait until the API server knows sessions.

    kopf looks for the kind once: of a server that has just started and does not know it yet it would watch nothing.
    """
    said = False
    while why := await _unknown(access):
        if not said:
            _log.warning("kopf waits until the API server knows sessions: %s", why)
            said = True
        await asyncio.sleep(_LOOK_SECONDS)  # nothing tells when it does


async def _unknown(access: Access) -> str:
    """Why sessions are not in the API server's discovery; empty: they are."""
    places = (("/apis", "groups", GROUP), (f"/apis/{GROUP}/{VERSION}", "resources", KINDS["VDISession"].plural))
    timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
    try:
        async with access.session() as http:
            for path, among, wanted in places:
                async with http.get(access.server + path, timeout=timeout) as answer:
                    found = (await answer.json()).get(among) or () if answer.ok else ()
                if not any(one["name"] == wanted for one in found):
                    return f"{path} answers {answer.status} without {wanted}"
    except (ApiError, aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return ""
