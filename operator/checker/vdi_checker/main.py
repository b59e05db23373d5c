"""``vdi-checker`` on the command line."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import ssl
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
from aiohttp import web

from vdi_checker import __version__
from vdi_checker.check import Site, check, warm_up
from vdi_checker.server import Server, TokenFile
from vdi_checker.wish import Rules

__all__ = ["main"]

# Checks that run are let end before the process does.
_END_SECONDS = 40.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Address:
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _address(context: click.Context, parameter: click.Parameter, text: str) -> _Address:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise click.BadParameter(f"{text!r} is no address: write it as HOST:PORT, such as 127.0.0.1:8090")
    return _Address(host, int(port))


def _domains(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    found = tuple(text.strip(".").lower() for text in texts)
    if not all(found):
        raise click.BadParameter("a domain is empty: name the one below which the sessions' hosts are")
    return found


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="vdi-checker")
@click.option(
    "--listen",
    default="127.0.0.1:8090",
    show_default=True,
    metavar="HOST:PORT",
    callback=_address,
    help="Where to serve.",
)
@click.option(
    "--token-file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of the bearer tokens that are accepted, one a line; read at each request.",
)
@click.option(
    "--domain",
    "domains",
    required=True,
    multiple=True,
    callback=_domains,
    help="Domain below which desktops are looked at (repeatable); no other host is.",
)
@click.option(
    "--authority",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="PEM file of the authority of the hosts' certificate; without it the system's ones. There is no --insecure.",
)
@click.option("--plain", is_flag=True, help="Look at http:// besides https://, passwords in clear text included.")
@click.option(
    "--via", multiple=True, metavar="HOST:PORT", help="The only addresses that 'connect' may name (repeatable)."
)
@click.option(
    "--relay",
    "relays",
    multiple=True,
    metavar="HOST",
    help="Hosts of the TURN and STUN servers that a desktop may name (repeatable); without it any.",
)
@click.option(
    "--any-path", is_flag=True, help="Let WebRTC take a direct path where there is one, not the TURN relay alone."
)
@click.option("--at-once", default=8, show_default=True, type=click.IntRange(1), help="Checks at the same time.")
@click.option(
    "--longest",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Seconds that a check may take, whatever is asked for.",
)
def main(
    listen: _Address,
    token_file: Path,
    domains: tuple[str, ...],
    authority: Path | None,
    plain: bool,
    via: tuple[str, ...],
    relays: tuple[str, ...],
    any_path: bool,
    at_once: int,
    longest: float,
) -> None:
    """Serve checks: does a real client decode a frame of a desktop on the route that users take?"""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        token = TokenFile(token_file)
        _readable(authority)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    site = Site(str(authority or ""), relay_only=not any_path, relays=frozenset(relays))
    rules = Rules(domains, plain=plain, via=frozenset(via), longest_seconds=longest)
    asyncio.run(_serve(listen, site, rules, token, at_once))


def _readable(authority: Path | None) -> None:
    """Tell now what every check would fail by.

    :raises ValueError: the file has no certificate.
    :raises OSError: it cannot be read.
    """
    if authority is None:
        return
    try:
        ssl.create_default_context(cafile=str(authority))
    except ssl.SSLError as error:
        raise ValueError(f"--authority {authority}: no certificate in PEM is in it ({error.reason})") from error


async def _serve(listen: _Address, site: Site, rules: Rules, token: TokenFile, at_once: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows ends by an exception instead
            loop.add_signal_handler(number, stop.set)
    warm_up()
    server = Server(partial(check, site=site), rules, token, at_once=at_once)
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=_END_SECONDS)
    await runner.setup()
    try:
        place = web.TCPSite(runner, listen.host, listen.port)
        try:
            await place.start()
        except OSError as error:
            raise click.ClickException(f"cannot serve at {listen}: {error.strerror or error}") from error
        host, port = runner.addresses[0][:2]
        _log.info("listening on %s, for hosts below %s", _Address(str(host), int(port)), ", ".join(rules.domains))
        await stop.wait()
        _log.info("ending: %s s at most for the checks that run", f"{_END_SECONDS:g}")
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    main()
