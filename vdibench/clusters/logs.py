"""The log of a session's pod through the API, for the parser of GStreamer's tracer. Blocking I/O."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from vdibench.clusters.api import SESSIONS, Api, path_of
from vdibench.errors import TargetUnavailable
from vdibench.telemetry.gstreamer import records, rows

__all__ = ["CONTAINER", "log_lines", "tracer_rows"]

CONTAINER = "desktop"


def log_lines(
    api: Api, pod: str, *, since_unix_seconds: float | None = None, last: int | None = None, namespace: str = SESSIONS
) -> Iterator[str]:
    """The log's lines, each with the node's time stamp before it.

    :param since_unix_seconds: by the node's clock; None from the beginning.
    :param last: so many at most, from the end.
    """
    query = {"container": CONTAINER, "timestamps": "true"}
    if since_unix_seconds is not None:
        # Whole seconds, and one early: what is not wanted is left out by its own stamp.
        instant = datetime.fromtimestamp(math.floor(since_unix_seconds) - 1, UTC)
        query["sinceTime"] = instant.strftime("%Y-%m-%dT%H:%M:%SZ")
    if last is not None:
        query["tailLines"] = str(last)
    return api.lines(path_of("Pod", namespace, f"{pod}/log"), query)


def tracer_rows(
    api: Api, pod: str, since_unix_seconds: float, until_unix_seconds: float, *, namespace: str = SESSIONS
) -> list[dict[str, Any]]:
    """Rows of the table ``server`` from the log of a pod, of what was written between two instants of its node's clock.

    :raises TargetUnavailable: the log holds no record of GStreamer's latency tracer since then.
    """
    found = list(records(log_lines(api, pod, since_unix_seconds=since_unix_seconds, namespace=namespace)))
    if not found:
        raise TargetUnavailable(
            f"the log of {pod} holds no record of GStreamer's latency tracer",
            "take the component session/gstreamer-tracer into the session's overlay (Selkies 1.6)",
        )
    return rows(one for one in found if since_unix_seconds <= one.wall_unix_seconds <= until_unix_seconds)
