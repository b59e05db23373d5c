"""Programs run in pods that are there, by the API's exec. Blocking I/O; several threads may do so at once."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from vdibench.clusters.connection import Cluster
from vdibench.errors import AuthenticationError, TargetUnavailable

__all__ = ["execute"]

_STDOUT, _STDERR, _STATUS = 1, 2, 3
_REFUSED = (401, 403)
_CHUNK = 8192
_CLOSE_SECONDS = 1


def execute(
    cluster: Cluster, home: str, pod: str, command: Sequence[str], given: bytes = b"", *, seconds: float
) -> str:
    """Run a command in the only container of a pod.

    :param given: its standard input, which is not ended.
    :param seconds: until it must have ended.
    :return: its standard output.
    :raises AuthenticationError: this user may not execute there.
    :raises TargetUnavailable: it cannot be run, fails, or does not end.
    """
    from kubernetes import client
    from kubernetes.stream import stream
    from websocket import WebSocketException

    what = f"{command[0]} in pod {pod}"
    # A stream changes the client that it is opened with while it opens: one of its own.
    with client.ApiClient(cluster.api.configuration) as own:
        try:
            channel = stream(
                client.CoreV1Api(own).connect_get_namespaced_pod_exec,
                pod,
                home,
                command=list(command),
                stdin=bool(given),
                stdout=True,
                stderr=True,
                tty=False,
                _preload_content=False,
            )
        except client.ApiException as error:
            raise _not_run(what, str(error.reason)) from error
        try:
            for start in range(0, len(given), _CHUNK):
                channel.write_stdin(given[start : start + _CHUNK])
            deadline = time.monotonic() + seconds
            while channel.is_open() and (left := deadline - time.monotonic()) > 0:
                channel.update(timeout=left)
            if channel.is_open():
                raise TargetUnavailable(f"{what} did not end within {seconds:g} s", "look at the pod's node")
            said, complaint, status = (str(channel.read_channel(number)) for number in (_STDOUT, _STDERR, _STATUS))
        except (WebSocketException, OSError) as error:
            raise TargetUnavailable(f"{what} was cut off: {error}", "check the way to the API server") from error
        finally:
            channel.close(timeout=_CLOSE_SECONDS)
            # What the other end closed first is left open by that.
            channel.sock.shutdown()
    if problem := _problem(status):
        lines = complaint.strip().splitlines()
        raise TargetUnavailable(f"{what} failed: {lines[-1] if lines else problem}", "run it there by hand")
    return said


def _not_run(what: str, reason: str) -> AuthenticationError | TargetUnavailable:
    # The package keeps the answer's status in words only, followed by all of its headers.
    reason = reason.partition(" -+-+-")[0]
    if any(f"status {number}" in reason for number in _REFUSED):
        return AuthenticationError(f"the cluster refuses to run {what}: {reason}", "give the user pods/exec there")
    return TargetUnavailable(f"{what} cannot be run: {reason}", "check that the image has python3")


def _problem(status: str) -> str:
    """What the API says at the end of a command that did not succeed; empty for one that did."""
    try:
        document = json.loads(status)
        return "" if document["status"] == "Success" else str(document.get("message", "no reason given"))
    except (ValueError, KeyError, TypeError):
        return "it ended without a status"
