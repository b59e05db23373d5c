"""Writes runs in processes of its own, so that tests can kill one in the middle. Commands come on stdin.

``life ROOT``        a whole run with a passing suite, from creation to the end
``append RUN N``     N rows to an existing run, a flush after each ten
``update RUN N``     N changes of run.json
``full ROOT``        appends until the file system refuses
``forget ROOT``      appends and ends without closing
``fork ROOT``        appends, forks a child that ends, then closes
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from pathlib import Path

from vdibench.errors import StoreError
from vdibench.records import Outcome, Phase, Run, RunState, SuiteVerdict
from vdibench.store import RunFolder


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def frames(first: int, count: int) -> list[dict[str, object]]:
    return [
        {
            "suite": "stream_validation",
            "level": 1,
            "trial": 0,
            "phase": "steady",
            "session": f"desktop-{os.getpid()}",
            "arrival_unix_seconds": 1e9 + number / 60,
            "rtp_timestamp": number,
            "packets": 3,
            "size_bytes": 4000,
            "key_frame": False,
            "complete": True,
            "marker_repeated": False,
        }
        for number in range(first, first + count)
    ]


def new_run() -> Run:
    return Run(name="", suite="pipeline", profile="smoke", target="lab", started_unix_seconds=time.time())


def life(root: str) -> None:
    say("creating")
    folder = RunFolder.create(Path(root), new_run())
    say("created", folder.path)
    for step in range(8):
        folder.append("frames", frames(step * 10, 10))
        folder.flush()
        say("flushed", (step + 1) * 10)
        folder.update(phases=[Phase(f"phase-{step}", 1.0)])
        say("updated", step + 1)
    folder.write_verdict(SuiteVerdict("stream_validation", Outcome.PASS))
    say("judged")
    folder.append("frames", frames(80, 10))
    say("finishing")
    folder.finish(RunState.FINISHED)
    say("finished")


def append(path: str, count: str) -> None:
    folder = RunFolder.open(Path(path))
    for first in range(0, int(count), 10):
        folder.append("frames", frames(first, 10))
        folder.flush()
    folder.close()


def update(path: str, count: str) -> None:
    folder = RunFolder.open(Path(path))
    for number in range(int(count)):
        folder.update(
            phases=[Phase(f"{os.getpid()}-{number}", 0.0)],
            errors=[f"{os.getpid()}-{number}"],
            parameters={f"suite_{os.getpid()}_{number}": {"a": number}},
        )


def full(root: str) -> None:
    folder = RunFolder.create(Path(root), new_run())
    folder.append("frames", frames(0, 10))
    folder.flush()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    folder.append("frames", frames(10, 10))
    try:
        folder.flush()
    except StoreError as error:
        say("refused", error)
    try:
        folder.append("frames", frames(20, 10))
    except StoreError as error:
        say("again", error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    folder.close()
    say("path", folder.path)


def forget(root: str) -> None:
    folder = RunFolder.create(Path(root), new_run())
    folder.append("frames", frames(0, 10))
    say("path", folder.path)


def fork(root: str) -> None:
    folder = RunFolder.create(Path(root), new_run())
    folder.append("frames", frames(0, 10))
    pid = os.fork()
    if pid == 0:
        folder.close()
        sys.exit(0)
    os.waitpid(pid, 0)
    folder.close()
    say("path", folder.path)


COMMANDS = {command.__name__: command for command in (life, append, update, full, forget, fork)}


def main() -> None:
    for line in sys.stdin:
        name, *arguments = line.split()
        child = os.fork()
        if child == 0:
            say("child", os.getpid())
            COMMANDS[name](*arguments)
            sys.exit(0)
        _, status = os.waitpid(child, 0)
        say("ended", os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
