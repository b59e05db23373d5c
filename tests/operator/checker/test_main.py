"""The program: it starts, says where, answers and ends; what is wrong with its options is said in one line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "vdi_checker.main"]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_it_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t\n")
    options = ["--listen", "127.0.0.1:0", "--token-file", str(tmp_path / "token"), "--domain", "vdi.test"]
    with subprocess.Popen([*COMMAND, *options], stderr=subprocess.PIPE, text=True, env=environment()) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.search(r"listening on (127\.0\.0\.1:\d+), for hosts below vdi\.test$", line)
            assert found, line
            with urllib.request.urlopen(f"http://{found[1]}/healthz", timeout=10) as answer:
                assert answer.read() == b"OK\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--listen", "nowhere"], "write it as HOST:PORT"),
        (["--domain", ""], "a domain is empty"),
        (["--token-file", "absent"], "absent"),
        (["--authority", "token"], "--authority token: no certificate"),
        (["--at-once", "0"], "0"),
        ([], "holds no token"),
    ],
)
def test_wrong_options_are_told(tmp_path: Path, options: list[str], said: str) -> None:
    (tmp_path / "token").write_text("" if not options else "t\n")
    given = ["--listen", "127.0.0.1:0", "--token-file", "token", "--domain", "vdi.test", *options]
    done = subprocess.run(
        [*COMMAND, *given], capture_output=True, text=True, env=environment(), cwd=tmp_path, timeout=60, check=False
    )
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
