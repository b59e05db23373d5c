"""``vdi-operator open``: a session in the browser, by a link that works once. I/O.

With only a kubeconfig: session and Secret are read with the user's own rights, and a reverse proxy on loopback adds the
password (:mod:`vdi_operator.commands.proxy`).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import tempfile
import time
import webbrowser
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import click

from vdi_operator.api.objects import Object
from vdi_operator.api.reasons import FAILURES, Reason
from vdi_operator.api.session import WAKE_ANNOTATION, OperatingMode
from vdi_operator.children.kinds import KINDS
from vdi_operator.cluster.errors import ApiError, NotFound
from vdi_operator.cluster.kube import Client
from vdi_operator.commands.connection import CommandFailed, cluster_options, connect, ready, telling
from vdi_operator.commands.proxy import Gate, Proxy, Upstream
from vdi_operator.core.instants import second

__all__ = ["command", "over", "upstream"]

_LOOK_SECONDS = 2.0
# Longest start of a session that rested.
_START_SECONDS = 300.0

# Browsers open a file as well as an address; a link among a browser's arguments would be everybody's to read.
_REDIRECT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="referrer" content="no-referrer"><title>Desktop</title>
<meta http-equiv="refresh" content="0;url={link}"></head><body><a href="{link}">Open the desktop</a></body></html>
"""


@click.command("open")
@click.argument("session", metavar="SESSION")
@cluster_options
@click.option("--no-browser", is_flag=True, help="Only print the link.")
@click.option(
    "--seconds", default=60, show_default=True, type=click.IntRange(1, 3600), help="How long the link may be used."
)
@click.option(
    "--connect",
    "address",
    default="",
    metavar="HOST:PORT",
    help="Connect there in the place of the session's host: for clusters without a name in the DNS.",
)
@click.option(
    "--authority",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="PEM file of the authority of the session's certificate.",
)
def command(
    session: str,
    namespace: str,
    context: str,
    kubeconfig: Path | None,
    no_browser: bool,
    seconds: int,
    address: str,
    authority: Path | None,
) -> None:
    """Open SESSION in the browser, by a link on this machine that works once and not for long.

    You need the right to get the VDISession and its Secret; and to patch it where it was stopped because nobody was at
    it: then it is started again. The password stays in this process, which forwards what the browser asks for until
    Ctrl-C, or until the session is suspended, stopped or deleted.
    """
    asyncio.run(
        _open(
            Client(connect(kubeconfig, context), namespace),
            namespace,
            session,
            seconds=float(seconds),
            browse=not no_browser,
            address=address,
            authority=str(authority or ""),
        )
    )


async def _open(
    client: Client, namespace: str, name: str, *, seconds: float, browse: bool, address: str, authority: str
) -> None:
    async with client:
        with telling(f"VDISession {name}", namespace):
            session = await client.get(KINDS["VDISession"], name)
        if ready(session).get("reason") == Reason.IDLE:
            session = await _woken(client, namespace, name)
        url, secret_name = _place(session)
        with telling(f"Secret {secret_name}", namespace):
            secret = await client.get(KINDS["Secret"], secret_name)
        gate = Gate(seconds)
        way = upstream(url, secret, address, authority)
        async with AsyncExitStack() as stack:
            try:
                proxy = await stack.enter_async_context(Proxy(way, gate))
            except OSError as error:
                raise CommandFailed(f"cannot serve on this machine: {error}") from error
            page = stack.enter_context(_redirect(proxy.link))
            click.echo(proxy.link)
            click.echo(f"this link opens {name} once, within {seconds:g} s; Ctrl-C ends it", err=True)
            browsing = asyncio.create_task(_browse(page)) if browse else None
            why = await _end(client, name, str(session["metadata"].get("uid", "")), gate, seconds)
            if browsing is not None:
                browsing.cancel()
    if why:
        click.echo(why, err=True)
    if not gate.opened.is_set() and why:
        raise click.exceptions.Exit(1)


async def _woken(client: Client, namespace: str, name: str) -> Object:
    """A session that was stopped because nobody was at it, once it is ready again.

    :raises CommandFailed: it may not be started again, or does not come.
    """
    click.echo(f"{name} was stopped because nobody was at it; it is started again", err=True)
    wake = {"metadata": {"annotations": {WAKE_ANNOTATION: second(time.time())}}}
    with telling(f"VDISession {name}", namespace):
        session = await client.merge(KINDS["VDISession"], name, wake)
    deadline = time.monotonic() + _START_SECONDS
    while ready(session).get("status") != "True" and ready(session).get("reason") not in FAILURES:
        if time.monotonic() > deadline:
            break  # whoever places it says how it stands
        await asyncio.sleep(_LOOK_SECONDS)  # it starts, and a command keeps no watch for so short a time
        with telling(f"VDISession {name}", namespace):
            session = await client.get(KINDS["VDISession"], name)
    return session


def _place(session: Mapping[str, Any]) -> tuple[str, str]:
    """URL and Secret of a session that is ready.

    :raises CommandFailed: it is not.
    """
    name, status = session["metadata"]["name"], session.get("status") or {}
    condition = ready(session)
    url, secret = str(status.get("url") or ""), str((status.get("credentialsSecretRef") or {}).get("name") or "")
    if condition.get("status") == "True" and url and secret:
        return url, secret
    reason = condition.get("reason") or Reason.PENDING
    message = condition.get("message") or "the operator has not looked at it yet"
    raise CommandFailed(f"{name} is not ready ({reason}: {message}): see vdi-operator explain {name}")


def upstream(url: str, secret: Mapping[str, Any], address: str = "", authority: str = "") -> Upstream:
    """Where the proxy leads, with what the session's Secret holds.

    :raises CommandFailed: the Secret has no user name and password.
    """
    data = secret.get("data") or {}
    try:
        username, password = (base64.b64decode(data[key], validate=True).decode() for key in ("username", "password"))
    except (KeyError, TypeError, ValueError) as error:
        name = secret["metadata"]["name"]
        raise CommandFailed(f"Secret {name} has no username and password: see whether the operator runs") from error
    return Upstream(url.rstrip("/"), username, password, address, authority)


def over(session: Mapping[str, Any] | None, uid: str) -> str:
    """Why a session is at its end, as a sentence; empty while it goes on. Pure.

    :param session: its document now, None: there is none.
    :param uid: of the one that was opened.
    """
    if session is None or session["metadata"].get("uid") != uid or session["metadata"].get("deletionTimestamp"):
        return "the session was deleted"
    if (session.get("spec") or {}).get("operatingMode") == OperatingMode.SUSPENDED:
        return "the session was suspended"
    if ready(session).get("reason") == Reason.IDLE:
        return "the session was stopped because nobody was at it"
    if ready(session).get("reason") == Reason.EXPIRED:
        return "the session's lifetime is over"
    return ""


async def _end(client: Client, name: str, uid: str, gate: Gate, seconds: float) -> str:
    """Return when this is to end: why, or empty where the user said so."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows ends by an exception instead
            loop.add_signal_handler(number, stop.set)
    works = [
        asyncio.create_task(_watched(client, name, uid)),
        asyncio.create_task(_unused(gate, seconds)),
        asyncio.create_task(_stopped(stop)),
    ]
    try:
        done, _ = await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)


async def _watched(client: Client, name: str, uid: str) -> str:
    while True:
        await asyncio.sleep(_LOOK_SECONDS)  # a look needs the right to get alone, a watch would need another one
        try:
            session: Object | None = await client.get(KINDS["VDISession"], name)
        except NotFound:
            session = None
        except ApiError:
            continue  # the desktop goes on without the API server
        if why := over(session, uid):
            return why


async def _unused(gate: Gate, seconds: float) -> str:
    try:
        async with asyncio.timeout(seconds):
            await gate.opened.wait()
    except TimeoutError:
        return f"the link was not used within {seconds:g} s: run vdi-operator open again"
    await asyncio.Event().wait()  # from now on others say when it ends
    return ""


async def _stopped(stop: asyncio.Event) -> str:
    await stop.wait()
    return ""


async def _browse(page: str) -> None:
    # In a thread: a browser of the terminal does not return before its user ends it.
    if not await asyncio.to_thread(webbrowser.open, page):
        click.echo("there is no browser here: open the link by hand", err=True)


@contextmanager
def _redirect(link: str) -> Iterator[str]:
    """A page that leads to the link, in a file that is ours alone; yields its address."""
    number, name = tempfile.mkstemp(prefix="vdi-open-", suffix=".html")
    path = Path(name)
    try:
        with os.fdopen(number, "w") as file:
            file.write(_REDIRECT.format(link=link))
        yield path.as_uri()
    finally:
        path.unlink(missing_ok=True)
