"""What starts a desk in a pod, as a process of this machine in the pod's place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from vdibench.targets.desks import STARTER

DRAWS = """
import os, pathlib, sys, time
words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
pathlib.Path(words["--note"]).write_text(f"{os.getpid()} {words['--display']}")
os.write(int(words["--ready-fd"]), b"ready llvmpipe (LLVM 15)\\n")
time.sleep(600)  # until it is ended
"""


def start(folder: Path, program: str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TMPDIR": str(folder), **variables}
    given = program.encode()
    command = [sys.executable, "-I", "-c", STARTER, str(len(given)), *options]
    # A standard input that is not ended, as the API's.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdin is not None
        process.stdin.write(given)
        process.stdin.flush()
        code = process.wait(30)
        assert process.stdout is not None
        assert process.stderr is not None
        return subprocess.CompletedProcess(
            command, code, process.stdout.read().decode(), process.stderr.read().decode()
        )


def test_a_desk_is_left_running(tmp_path: Path) -> None:
    done = start(tmp_path, DRAWS, "--note", str(tmp_path / "note"), DISPLAY=":7")
    assert (done.returncode, done.stdout) == (0, "ready llvmpipe (LLVM 15)\n"), done.stderr
    pid, display = (tmp_path / "note").read_text().split()
    assert display == ":7"
    os.kill(int(pid), 0)  # raises when it has ended
    os.kill(int(pid), signal.SIGKILL)
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        time.sleep(0.01)  # its parent, the machine's first process, has it no longer by then


def test_a_container_that_names_no_display_has_that_of_the_image(tmp_path: Path) -> None:
    done = start(tmp_path, DRAWS, "--note", str(tmp_path / "note"), DISPLAY="")
    assert done.returncode == 0, done.stderr
    pid, display = (tmp_path / "note").read_text().split()
    os.kill(int(pid), signal.SIGKILL)
    assert display == ":20"


def test_a_desk_that_does_not_start_says_why(tmp_path: Path) -> None:
    done = start(tmp_path, "import sys; sys.exit('desk: no display :20')")
    assert done.returncode == 1
    assert done.stderr.strip() == "desk: no display :20"
    done = start(tmp_path, "")
    assert "ended without a word" in done.stderr
