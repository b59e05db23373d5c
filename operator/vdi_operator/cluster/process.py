"""The whole operator in one loop: watches, queue, passes, checks, kopf, health. Asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable

from vdi_operator.cluster import handlers, health
from vdi_operator.cluster.access import Access
from vdi_operator.cluster.caches import Caches
from vdi_operator.cluster.clock import SteadyClock
from vdi_operator.cluster.controller import Controller
from vdi_operator.cluster.errors import ApiError
from vdi_operator.cluster.kube import Client
from vdi_operator.cluster.metrics import Metrics
from vdi_operator.cluster.placeholders import Placeholders
from vdi_operator.cluster.prepull import Prepull
from vdi_operator.cluster.queue import WorkQueue
from vdi_operator.cluster.sessions import Sessions
from vdi_operator.cluster.surroundings import Surroundings
from vdi_operator.settings import Settings

__all__ = ["operate"]

# Between lists of all sessions: kopf's watch may have missed that one was deleted.
_LIST_SECONDS = 60.0
# After kopf has listed them anew: so that a list of thousands is followed by one of ours, not by many.
_SETTLE_SECONDS = 1.0
_RETRY_SECONDS = 1.0

_log = logging.getLogger(__name__)


async def operate(
    settings: Settings, access: Access, host: str, port: int, *, listening: Callable[[str, int], None] | None = None
) -> int:
    """Run until SIGTERM or SIGINT.

    :param host, port: of health and metrics.
    :param listening: told where they are.
    :returns: exit code: 0 after a signal, 1 when a part of it ended by itself.
    """
    stop = asyncio.Event()
    metrics, queue = Metrics(), WorkQueue()
    caches = Caches(settings, queue)
    async with contextlib.AsyncExitStack() as stack:
        _listen_to_signals(stop)
        client = await stack.enter_async_context(Client(access, settings.namespace, counted=metrics.requested))
        heartbeat = await stack.enter_async_context(health.Heartbeat())
        surroundings = Surroundings(settings, caches, client, clock=SteadyClock())
        controller = Controller(settings, client, caches, surroundings, queue, metrics)
        stack.push_async_callback(controller.checker.close)
        stack.callback(queue.close)
        metrics.sessions(caches.sessions.states)
        metrics.warm_slots(controller.placeholders.counts)
        metrics.gauge("vdi_queue_depth", "Sessions that wait for a pass.", queue.depth)
        metrics.gauge("vdi_queue_delayed", "Sessions whose next pass has a time.", queue.delayed)
        metrics.gauge(
            "vdi_queue_longest_wait_seconds", "How long the oldest one waits, or is being passed.", queue.longest_wait
        )
        metrics.gauge(
            "vdi_gpus", "GPUs that sessions share; NaN: nobody knows how many there are.", controller.slots.known
        )
        metrics.gauge("vdi_gpus_held", "Parts of GPUs that sessions hold, by sessionsPerGPU.", controller.slots.held)
        metrics.waiting(controller.slots.queues)
        metrics.gauge("vdi_desktops_followed", "Desktops that are looked at for clients.", controller.activity.followed)
        listed = asyncio.Event()
        checks = health.Health(
            heartbeat,
            # Before everything is listed there are no passes.
            lambda: queue.longest_wait() if listed.is_set() else 0.0,
            lambda: controller.succeeded,
            (*caches.watched, controller.placeholders.store),
            lambda: caches.missing() + ([] if listed.is_set() else ["vdisessions"]),
        )
        runner = await health.serve(checks, metrics.text, host, port)
        stack.push_async_callback(runner.cleanup)
        if listening is not None:
            listening(*runner.addresses[0][:2])
        parts = [
            asyncio.create_task(caches.run(client), name="watches"),
            asyncio.create_task(_placeholders(controller.placeholders, listed), name="placeholders"),
            asyncio.create_task(controller.activity.run(), name="activity"),
            asyncio.create_task(Prepull(settings, caches, client).run(), name="prepull"),
            asyncio.create_task(_passes(settings, caches, client, controller, queue, listed), name="passes"),
            asyncio.create_task(
                _sessions(settings, access, client, caches.sessions, metrics, stop, listed), name="sessions"
            ),
        ]
        stopped = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait([*parts, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*parts, stopped):
                task.cancel()
            results = await asyncio.gather(*parts, return_exceptions=True)
        faults = [result for result in results if isinstance(result, Exception)]
        for fault in faults:
            _log.error("a part of the operator ended by itself", exc_info=fault)
        return 1 if faults else 0


def _listen_to_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


async def _passes(
    settings: Settings,
    caches: Caches,
    client: Client,
    controller: Controller,
    queue: WorkQueue,
    listed: asyncio.Event,
) -> None:
    """Passes, once everything was listed: one that does not know what there is would make it again."""
    await _list(caches.sessions, client)
    await caches.filled()
    listed.set()
    _log.info("all is listed, %d sessions", len(caches.sessions))
    await queue.run(controller.pass_, settings.workers)


async def _placeholders(placeholders: Placeholders, listed: asyncio.Event) -> None:
    """Places kept warm, once it is known who holds the others."""
    await listed.wait()
    await placeholders.run()


async def _sessions(
    settings: Settings,
    access: Access,
    client: Client,
    sessions: Sessions,
    metrics: Metrics,
    stop: asyncio.Event,
    listed: asyncio.Event,
) -> None:
    """kopf's watch of the sessions, and lists that correct it."""
    await listed.wait()  # kopf does not look for a kind twice: it has to be there
    again = asyncio.Event()

    def restarted() -> None:
        metrics.restarted()
        again.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(
            handlers.run(
                access,
                sessions,
                settings.namespace,
                relisted=again.set,
                # kopf takes the signals of the process, and takes five seconds to heed them.
                spawned=lambda: _listen_to_signals(stop),
                restarted=restarted,
            ),
            name="kopf",
        )
        group.create_task(_corrections(sessions, client, again), name="corrections")


async def _corrections(sessions: Sessions, client: Client, again: asyncio.Event) -> None:
    while True:
        with contextlib.suppress(TimeoutError):  # then it is time anyway
            async with asyncio.timeout(_LIST_SECONDS):
                await again.wait()
        await asyncio.sleep(_SETTLE_SECONDS)  # kopf's own list is still coming in
        again.clear()
        await _list(sessions, client)


async def _list(sessions: Sessions, client: Client) -> None:
    """All sessions, however long it takes."""
    while True:
        try:
            await sessions.fill(client)
            return
        except ApiError as error:
            _log.warning("sessions cannot be listed, tried again in %.0f s: %s", _RETRY_SECONDS, error)
            await asyncio.sleep(
                max(_RETRY_SECONDS, error.retry_after_seconds)
            )  # a server that is down is not asked more
