"""``vdibench record``: the video of a desktop as a trace, to be replayed."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from vdibench.commands.options import access_options
from vdibench.errors import UsageError
from vdibench.records import Display, Workload

if TYPE_CHECKING:
    from vdibench.replay.trace import Trace

__all__ = ["record"]


@click.command()
@click.argument("url", default="")
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(1, 600), help="How long.")
@click.option(
    "--output",
    default="desktop.trace",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; one of that name is replaced.",
)
@click.option("--size", default="1920x1080", show_default=True, metavar="WxH", help="Without URL: picture size.")
@click.option(
    "--framerate", default=60, show_default=True, type=click.IntRange(8, 240), help="Without URL: frames per second."
)
@click.option(
    "--bitrate",
    default=8_000_000,
    show_default=True,
    type=click.IntRange(100_000),
    help="Without URL: bits per second.",
)
@click.option(
    "--workload",
    default="text",
    show_default=True,
    type=click.Choice([item.value for item in Workload]),
    help="Without URL: what is shown.",
)
@access_options
def record(
    url: str,
    seconds: float,
    output: Path,
    size: str,
    framerate: int,
    bitrate: int,
    workload: str,
    user: str,
    password_file: str,
    token_file: str,
    ca_file: str,
    insecure: bool,
) -> None:
    """Record the encoded video of the desktop at URL, or of a lab desktop, with its pacing.

    Joins as viewer and changes nothing there; a key frame is asked for. The trace shows what was on the screen. Replay
    it with --target replay:FILE: any number of sessions, labelled as synthetic everywhere.
    """
    # Only when called: `vdibench --help` should not wait for WebRTC and NumPy.
    from vdibench.records import Desktop, Endpoint
    from vdibench.replay.recording import RecordingNote
    from vdibench.replay.recording import record as record_desktop
    from vdibench.replay.trace import save_trace
    from vdibench.replay.traces import LabTrace, record_lab
    from vdibench.targets.address import desktop_url
    from vdibench.targets.credentials import credentials, session_token

    _try_output(output)
    console = Console(stderr=True)

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    if url:
        endpoint = Endpoint(
            desktop_url(url), credentials(user, password_file), ca_file, insecure, session_token(token_file)
        )
        say(f"recording {endpoint.url} for {seconds:g} s")
        # The address stays out of the file: it travels.
        trace = asyncio.run(record_desktop(Desktop("desktop-0", endpoint), seconds, RecordingNote("a desktop")))
    else:
        width, _, height = size.partition("x")
        if not (width.isdecimal() and height.isdecimal()):
            raise UsageError(f"{size!r} is no picture size", "write one such as 1920x1080")
        wanted = LabTrace(Display(int(width), int(height), framerate), bitrate, Workload(workload))
        trace = record_lab(wanted, seconds, say)
    save_trace(trace, output)
    print(_sentence(trace, output))


def _try_output(output: Path) -> None:
    """Write beside ``output`` and remove it again: what was recorded should not be lost for want of a place.

    :raises UsageError: nothing can be written there.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=output.parent, prefix=f".{output.name[:64]}."):
            pass
    except OSError as error:
        why = "is no folder" if output.parent.exists() and not output.parent.is_dir() else error.strerror
        raise UsageError(
            f"cannot write {output}: {output.parent}: {why}",
            "name an existing folder that you may write to with --output",
        ) from error


def _sentence(trace: Trace, output: Path) -> str:
    keys = sum(frame.key for frame in trace.frames)
    return (
        f"{output}: {trace.provenance.describe()}; {len(trace.frames)} frames in {trace.seconds:.1f} s, "
        f"{keys} of them key frames, {trace.packets_per_second:.0f} packets/s, {trace.payload_bps / 1e6:.2f} Mbit/s, "
        f"{output.stat().st_size / 1e6:.1f} MB"
    )
