"""A desktop of Selkies 1.6's dialect: Xvfb, the desk, and the tests' stand-in with Debian's webrtcbin and x264enc."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from vdibench.desk import DESK_FILE
from vdibench.records import Desktop, Display, Endpoint, Workload
from vdibench.selkies import Dialect

__all__ = ["legacy_desktop"]

_STAND_IN = Path(__file__).parent.parent / "tests" / "selkies1" / "standin_1.py"
_PATIENCE_SECONDS = 20.0
_MARKER_ID = 7


@contextlib.contextmanager
def legacy_desktop(
    display: Display, workload: Workload, bitrate_bps: int, more: Sequence[str] = ()
) -> Iterator[tuple[Desktop, list[int]]]:
    """The desktop, and the process of its stream server.

    :param more: arguments of the stand-in beside those that the other parameters make.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vdibench-legacy-")))

        def start(command: list[str], *, told: bool) -> tuple[subprocess.Popen[bytes], str]:
            """Start a process and wait for the line that it writes to ``{fd}``, or to its output."""
            reader, writer = os.pipe()
            command = [part.replace("{fd}", str(writer)) for part in command]
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=writer if not told else subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(writer,),
            )
            stack.callback(_end, process)
            os.close(writer)
            with os.fdopen(reader) as lines:
                return process, lines.readline().strip()

        size = f"{display.width}x{display.height}x24"
        _, number = start(
            ["Xvfb", "-displayfd", "{fd}", "-screen", "0", size, "-nolisten", "tcp", "-noreset"], told=True
        )
        screen = f":{number}"
        desk = [sys.executable, "-I", "-S", str(DESK_FILE), "--display", screen, "--session-id", str(_MARKER_ID)]
        start([*desk, "--rate", str(display.framerate), "--workload", str(workload), "--ready-fd", "{fd}"], told=True)
        server = [sys.executable, str(_STAND_IN), "--display", screen, "--configuration", str(folder / "clients.json")]
        rates = ["--fps", str(display.framerate), "--bitrate", str(bitrate_bps // 1000)]
        process, url = start([*server, *rates, *more], told=False)
        yield (
            Desktop(
                "desktop-0",
                Endpoint(url),
                owned=True,
                marker_id=_MARKER_ID,
                display=display,
                dialect=str(Dialect.SELKIES_1_WEBRTC),
            ),
            [process.pid],
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()  # the stand-in takes this as its end
    try:
        process.wait(1)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait(_PATIENCE_SECONDS)
