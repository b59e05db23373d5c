"""The desk of a desktop whose pod somebody else made: started in it from outside. Blocking I/O.

A VDISession takes no variables, which would hand out more than a user may have; so the desk, one file without
dependencies, is given to a Python that the image has, by the right ``pods/exec``. It ends with the pod.
"""

from __future__ import annotations

from pathlib import Path

import vdibench
from vdibench.clusters.api import SESSIONS
from vdibench.clusters.connection import Cluster
from vdibench.clusters.execution import execute
from vdibench.records import Display, Workload

__all__ = ["STARTER", "start_desk"]

_SECONDS = 20.0

# Run in the pod: takes the desk from its standard input, leaves it running, and returns when it drew. A container that
# does not name its display has that of the image.
STARTER = """
import os, subprocess, sys, tempfile
program = sys.stdin.buffer.read(int(sys.argv[1]))
place = tempfile.gettempdir()
with open(place + "/vdibench-desk.py", "wb") as file:
    file.write(program)
reader, writer = os.pipe()
display = os.environ.get("DISPLAY") or ":20"
command = [sys.executable, file.name, "--display", display, "--ready-fd", str(writer), *sys.argv[2:]]
with open(place + "/vdibench-desk.log", "wb") as log:
    quiet = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "start_new_session": True}
    subprocess.Popen(command, pass_fds=(writer,), **quiet)
os.close(writer)
said = os.read(reader, 200).decode().strip()
if not said:
    with open(log.name) as log:
        sys.exit(log.read().strip() or "the desk ended without a word")
print(said)
"""


def start_desk(cluster: Cluster, pod: str, marker_id: int, display: Display, workload: Workload) -> str:
    """Start a desk in a pod and return when its first frame is on the screen.

    :return: what draws workload ``3d``; empty for the others.
    :raises AuthenticationError: this user may not execute programs in pods.
    :raises TargetUnavailable: the image has no Python, or the desk does not start.
    """
    program = (Path(vdibench.__file__).parent / "desk" / "desk.py").read_bytes()
    options = ["--session-id", str(marker_id), "--rate", str(display.framerate), "--workload", str(workload)]
    command = ["python3", "-I", "-c", STARTER, str(len(program)), *options]
    said = execute(cluster, SESSIONS, pod, command, program, seconds=_SECONDS)
    return said.strip().partition(" ")[2]
