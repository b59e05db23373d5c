"""``vdi-operator run``: the operator itself."""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import click

from vdi_operator import settings as site
from vdi_operator.cluster import access, logs
from vdi_operator.cluster.process import operate

__all__ = ["command"]

_log = logging.getLogger(__name__)

# New objects between two looks of the garbage collector.
_COLLECTED = 20_000


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where it is installed: it is there for Linux and macOS only."""
    try:
        factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    except ImportError:
        return None
    return factory


def _address(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, int]:
    host, colon, port = value.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise click.BadParameter(f"{value!r} is no ADDRESS:PORT, such as 0.0.0.0:8080")
    return host.strip("[]"), int(port)


@click.command("run")
@click.option(
    "--settings",
    "settings_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The site's settings, as the chart writes them. Without: the defaults.",
)
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Run outside of a cluster. Without: as the pod's service account.",
)
@click.option("--context", default="", help="Of the kubeconfig. Without: its current one.")
@click.option(
    "--listen",
    default="127.0.0.1:8080",
    show_default=True,
    callback=_address,
    metavar="ADDRESS:PORT",
    help="For /healthz, /readyz and /metrics; port 0 takes any and logs it.",
)
@click.option("--log-format", type=click.Choice(logs.FORMATS), default="json", show_default=True)
def command(
    settings_file: Path | None, kubeconfig: Path | None, context: str, listen: tuple[str, int], log_format: str
) -> None:
    """Turn VDISessions into desktops until SIGTERM or Ctrl-C.

    One process a namespace: a second one would make the same objects at the same time.
    """
    if context and kubeconfig is None:
        raise click.UsageError("--context needs --kubeconfig FILE")
    try:
        settings = site.load(settings_file) if settings_file is not None else site.Settings()
        found = access.from_kubeconfig(kubeconfig, context) if kubeconfig is not None else access.in_cluster()
    except (OSError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    logs.configure(log_format)
    # What was imported stays, and documents are made and dropped by the thousand: looking for cycles among all of it so
    # often would cost more than a session does.
    gc.freeze()
    gc.set_threshold(_COLLECTED)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            code = runner.run(operate(settings, found, *listen, listening=_say))
    except OSError as error:
        raise click.ClickException(f"cannot listen at {listen[0]}:{listen[1]}: {error}") from error
    sys.exit(code)


def _say(host: str, port: int) -> None:
    _log.info("health and metrics at http://%s:%d", host, port)
