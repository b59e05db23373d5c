"""The probe, run in pods that are there. Blocking I/O; several threads may do so at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from vdibench.clusters import Cluster
from vdibench.clusters.execution import execute
from vdibench.conformance.edges import Edge
from vdibench.conformance.judgement import Try
from vdibench.conformance.pods import PROBE_FILE
from vdibench.errors import TargetUnavailable

__all__ = ["LOADER", "probe"]

_START_SECONDS = 15.0
# Standard input cannot be ended by every version of the protocol: the program's length is known, its request one line.
LOADER = "import sys; exec(compile(sys.stdin.buffer.read(int(sys.argv[1])), 'probe.py', 'exec'))"


def probe(
    cluster: Cluster,
    home: str,
    pod: str,
    edges: Iterable[Edge],
    *,
    rounds: int,
    timeout_seconds: float,
    pause_seconds: float,
) -> dict[str, list[Try]]:
    """Try edges from a pod, all at once.

    :return: edge's name -> its tries.
    :raises TargetUnavailable: the probe cannot be run there, or says nothing that can be understood.
    """
    request: Mapping[str, Any] = {
        "edges": [edge.request() for edge in edges],
        "rounds": rounds,
        "timeout_seconds": timeout_seconds,
        "pause_seconds": pause_seconds,
    }
    program = PROBE_FILE.read_bytes()
    command = ["python3", "-I", "-c", LOADER, str(len(program))]
    given = program + json.dumps(request).encode() + b"\n"
    limit = rounds * (timeout_seconds + pause_seconds) + _START_SECONDS
    said = execute(cluster, home, pod, command, given, seconds=limit)
    try:
        return {name: [Try.from_json(one) for one in tries] for name, tries in json.loads(said).items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TargetUnavailable(
            f"the probe in pod {pod} said {said[:80]!r}", "use an image with Python 3.9 or later"
        ) from error
