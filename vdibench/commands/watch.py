"""``vdibench watch``: live numbers of one desktop, as ping is for hosts."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from vdibench.commands.options import access_options

if TYPE_CHECKING:
    from vdibench.watch import ListenAddress, Output, WatchOptions

__all__ = ["watch"]


@click.command()
@click.argument("url")
@access_options
@click.option(
    "--take-control", is_flag=True, help="Join as controller, which may evict the user, instead of as viewer."
)
@click.option("--input", "send_input", is_flag=True, help="Press a key or click once a second; needs --take-control.")
@click.option("--relay-only", is_flag=True, help="Use no path but through the TURN relay.")
@click.option("--link", default="", metavar="LINK", help="Over a network such as 4g, or delay=50ms,loss=1%.")
@click.option("--interval", default=1.0, type=click.FloatRange(min=0.2), show_default=True, help="Seconds a reading.")
@click.option(
    "--duration", type=click.FloatRange(min=0, min_open=True), help="End so many seconds after the first picture."
)
@click.option("--count", type=click.IntRange(min=1), help="End after so many readings.")
@click.option("--reconnect", is_flag=True, help="Connect again when the stream is lost or cannot be had.")
@click.option("--listen", default="", metavar="[HOST]:PORT", help="Serve Prometheus there; implies --reconnect.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a reading.")
def watch(
    url: str,
    user: str,
    password_file: str,
    token_file: str,
    ca_file: str,
    insecure: bool,
    take_control: bool,
    send_input: bool,
    relay_only: bool,
    link: str,
    interval: float,
    duration: float | None,
    count: int | None,
    reconnect: bool,
    listen: str,
    as_json: bool,
) -> int:
    """Watch the desktop at URL until Ctrl-C: latency, frame rate, freezes, network.

    Joins as viewer and changes nothing there. Glass-to-glass latency needs the desk inside the desktop. Ends with 98
    when the desktop cannot be watched or the stream is lost.
    """
    # Only when called: `vdibench --help` should not wait for WebRTC and NumPy.
    from vdibench.links import profile
    from vdibench.records import Endpoint
    from vdibench.targets.address import desktop_url
    from vdibench.targets.credentials import credentials, session_token
    from vdibench.watch import WatchOptions, parse_listen

    address = parse_listen(listen) if listen else None
    options = WatchOptions(
        endpoint=Endpoint(
            desktop_url(url), credentials(user, password_file), ca_file, insecure, session_token(token_file)
        ),
        take_control=take_control,
        send_input=send_input,
        relay_only=relay_only,
        interval_seconds=interval,
        duration_seconds=duration,
        count=count,
        reconnect=reconnect or address is not None,
        link=profile(link) if link else None,
    )
    _watch(options, address, as_json=as_json)
    return 0


def _watch(options: WatchOptions, address: ListenAddress | None, *, as_json: bool) -> None:
    from rich.console import Console

    from vdibench.watch import Exposition, Gauge, JsonLines, Monitor, Screen, StateLines, TextLines, serve

    if isinstance(sys.stdout, io.TextIOWrapper):
        # A pipe on Windows knows no arrows; a log with a question mark is better than none.
        sys.stdout.reconfigure(errors="replace")
    gauge = Gauge()
    outputs: list[Output] = []
    with ExitStack() as stack:
        metrics_url = ""
        if address is not None:
            exposition = Exposition(gauge, sends_input=options.send_input)
            metrics_url = stack.enter_context(serve(exposition, address))
            outputs.append(exposition)
        console = Console()
        if as_json:
            outputs.append(JsonLines(sys.stdout))
        elif console.is_terminal and not console.is_dumb_terminal:
            outputs.append(stack.enter_context(Screen(console, options.endpoint.url, metrics_url)))
        elif address is not None:
            outputs.append(StateLines(sys.stdout))
        else:
            outputs.append(TextLines(sys.stdout))
        if metrics_url and not isinstance(outputs[-1], Screen):
            # Not among the JSON; and a log's reader wants to know the port when any was asked for.
            print(f"serving metrics at {metrics_url}", file=sys.stderr if as_json else sys.stdout, flush=True)

        async def run() -> None:
            await Monitor(options, gauge, outputs).run()

        try:
            asyncio.run(run())
        except BrokenPipeError:
            # The reader has gone (`| head`). click would end with 1, and Python complain at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
