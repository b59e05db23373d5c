"""Runs Python in pods through the API server's exec; what is run there for disks, clocks and sessions. Blocking I/O.

The programs use the standard library only, write one line of JSON, and print no credential.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from vdibench.clusters import Cluster
from vdibench.preflight.cluster_readings import ClockReading, DiskReading, SessionReading

__all__ = ["PodProgram", "ProgramFailed", "ask_session", "compare_clock", "measure_disk"]

_STDOUT, _STDERR = 1, 2
_SYNCS, _WARM_UPS, _MEBIBYTES = 300, 10, 64
_DISK_SECONDS = 30.0
_CLOCK_QUESTIONS = 12
_FILE = ".vdibench-preflight"

_DISK = """
import json, os, sys, time
path, syncs, warm_ups, mebibytes, limit = sys.argv[1], *map(int, sys.argv[2:6])
block, large, found = os.urandom(4096), os.urandom(1 << 20), []
file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
try:
    end = time.perf_counter() + limit
    while len(found) < syncs + warm_ups and time.perf_counter() < end:
        began = time.perf_counter()
        os.write(file, block)
        os.fsync(file)
        found.append(time.perf_counter() - began)
    began, written = time.perf_counter(), 0
    while written < mebibytes and time.perf_counter() < end + limit:
        os.write(file, large)
        written += 1
    os.fsync(file)
    passed = time.perf_counter() - began
finally:
    os.close(file)
    os.unlink(path)
print(json.dumps({"syncs": found[warm_ups:], "rate": (written << 20) / passed}))
"""

_CLOCK = """
import sys, time
for line in sys.stdin:
    print(repr(time.time()), flush=True)
"""

# In the session's own container: its password is in the environment there, and stays there.
_SESSION = """
import base64, http.client, json, os
port = int(os.environ.get("SELKIES_PORT") or 8080)
words = os.environ.get("SELKIES_BASIC_AUTH_USER", "") + ":" + os.environ.get("SELKIES_BASIC_AUTH_PASSWORD", "")
headers = {"Authorization": "Basic " + base64.b64encode(words.encode()).decode()}
said = "no answer"
for path in ("/api/turn", "/turn"):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status == 200:
            urls = []
            for entry in json.loads(text)["iceServers"]:
                named = entry["urls"]
                urls += [named] if isinstance(named, str) else named
            print(json.dumps({"urls": urls}))
            break
        said = path + " answers " + str(answer.status)
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException) as error:
        said = path + ": " + type(error).__name__
else:
    print(json.dumps({"error": said}))
"""


class ProgramFailed(Exception):
    """A program in a pod did not say what it should; says why, in one line."""


class PodProgram:
    """One Python program in a running pod. A context manager: leaving ends it.

    :param container: empty for the pod's only one.
    :raises ProgramFailed: the API server does not start it.
    """

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        pod: str,
        program: str,
        arguments: Sequence[str] = (),
        container: str = "",
    ) -> None:
        from kubernetes import client
        from kubernetes.stream import stream

        core: Any = client.CoreV1Api(cluster.api)
        options: dict[str, Any] = {"container": container} if container else {}
        try:
            self._client: Any = stream(
                core.connect_get_namespaced_pod_exec,
                pod,
                namespace,
                command=["python3", "-u", "-c", program, *arguments],
                stdin=True,
                stdout=True,
                stderr=True,
                tty=False,
                _preload_content=False,
                **options,
            )
        except client.ApiException as error:
            raise ProgramFailed(f"exec in {pod}: {error.status} {error.reason}") from error
        self._out = ""
        self._complaint = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def say(self, line: str) -> None:
        """Write a line to its standard input.

        :raises ProgramFailed: the connection to it is gone.
        """
        try:
            self._client.write_stdin(f"{line}\n")
        except Exception as error:  # the WebSocket library has a tree of errors of its own
            raise ProgramFailed(f"the connection to it broke: {error}") from error

    def line(self, seconds: float) -> str:
        """The next line of its standard output.

        :raises ProgramFailed: none came in time, or it has ended.
        """
        deadline = time.monotonic() + seconds
        while "\n" not in self._out:
            left = deadline - time.monotonic()
            ended = not self._client.is_open()
            if ended or left <= 0:
                reason = "it ended" if ended else f"no answer within {seconds:g} s"
                raise ProgramFailed(self._last_complaint() or reason)
            self._take(min(left, 0.5))
        line, _, self._out = self._out.partition("\n")
        return line

    def answer(self, seconds: float) -> dict[str, Any]:
        """The next line as a JSON object.

        :raises ProgramFailed: it is something else, or none came.
        """
        line = self.line(seconds)
        try:
            document = json.loads(line)
        except ValueError as error:
            raise ProgramFailed(f"said {line[:80]!r}") from error
        if not isinstance(document, dict):
            raise ProgramFailed(f"said {line[:80]!r}")
        return document

    def _take(self, seconds: float) -> None:
        try:
            self._client.update(timeout=seconds)
            self._out += str(self._client.read_channel(_STDOUT))
            self._complaint += str(self._client.read_channel(_STDERR))
        except Exception as error:  # the WebSocket library has a tree of errors of its own
            raise ProgramFailed(f"the connection to it broke: {error}") from error

    def _last_complaint(self) -> str:
        lines = self._complaint.strip().splitlines()
        return lines[-1] if lines else ""


def measure_disk(cluster: Cluster, namespace: str, pod: str, node: str, folder: str) -> DiskReading:
    """Sync small writes and write a long one in a folder of a pod."""
    figures = (_SYNCS, _WARM_UPS, _MEBIBYTES, int(_DISK_SECONDS))
    arguments = (f"{folder}/{_FILE}", *map(str, figures))
    try:
        with PodProgram(cluster, namespace, pod, _DISK, arguments) as program:
            said = program.answer(3 * _DISK_SECONDS)
        syncs, rate = tuple(float(value) for value in said["syncs"]), float(said["rate"])
    except (ProgramFailed, KeyError, TypeError, ValueError, OSError) as error:
        return DiskReading(node, error=f"{pod}: {error}")
    if not syncs:
        return DiskReading(node, error=f"{pod}: not one write was synced within {_DISK_SECONDS:g} s")
    return DiskReading(node, syncs, rate)


def compare_clock(cluster: Cluster, namespace: str, pod: str, node: str, seconds: float) -> ClockReading:
    """A node's clock less ours, from the quickest of several questions."""
    best: tuple[float, float] | None = None
    try:
        with PodProgram(cluster, namespace, pod, _CLOCK) as program:
            for _ in range(_CLOCK_QUESTIONS):
                wall, before = time.time(), time.perf_counter()
                program.say("")
                theirs = float(program.line(seconds))
                half = (time.perf_counter() - before) / 2
                if best is None or half < best[0]:
                    best = half, theirs - (wall + half)
    except (ProgramFailed, ValueError, OSError) as error:
        return ClockReading(node, error=f"{pod}: {error}")
    if best is None:
        return ClockReading(node, error=f"{pod}: no answer")
    return ClockReading(node, offset_seconds=best[1], bound_seconds=best[0])


def ask_session(cluster: Cluster, namespace: str, pod: str, container: str, seconds: float) -> SessionReading:
    """The servers that a running session hands to its user, without their credentials."""
    try:
        with PodProgram(cluster, namespace, pod, _SESSION, container=container) as program:
            said = program.answer(seconds)
    except (ProgramFailed, OSError) as error:
        return SessionReading(pod, error=str(error))
    if "error" in said:
        return SessionReading(pod, error=str(said["error"]))
    return SessionReading(pod, tuple(str(url) for url in said.get("urls", ())))
