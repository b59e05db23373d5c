"""The relay's process: ``python -m vdibench.tether PARENT vdibench.links.process``. I/O.

JSON lines come in by standard input and are answered by standard output; the end of the input is its end. Only
:mod:`vdibench.links.relay` speaks to it. Everything listens on loopback, or on an address of this machine that was
named; never on all of them.
"""

from __future__ import annotations

import gc
import ipaddress
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from vdibench.links.datagrams import DatagramFlow
from vdibench.links.link import Link
from vdibench.links.loop import READ, Loop
from vdibench.links.profiles import Direction, LinkProfile
from vdibench.links.streams import StreamFlow

__all__ = ["main"]


_NICENESS = -15


class _Refusal(Exception):
    """What cannot be done, and what to do."""


class _Control:
    """Reads requests and does them; times in requests are seconds from now."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._links: dict[int, Link] = {}
        self._unread = b""
        os.set_blocking(sys.stdin.fileno(), False)
        loop.watch(sys.stdin.fileno(), READ, self._read)

    def _read(self, events: int) -> None:
        try:
            data = os.read(sys.stdin.fileno(), 65536)
        except BlockingIOError:
            return
        if not data:
            self._loop.stop()
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            request = json.loads(line)
            try:
                answer = _OPERATIONS[request["do"]](self, request)
            except _Refusal as refusal:
                answer = {"error": refusal.args}
            except OSError as error:
                answer = {"error": [error.strerror or str(error), "give an address of this machine"]}
            os.write(sys.stdout.fileno(), json.dumps(answer).encode() + b"\n")

    def _link(self, request: dict[str, Any]) -> dict[str, Any]:
        link = Link(_profile(request["profile"]), request["seed"])
        number = len(self._links)
        self._links[number] = link
        self._loop.add(link)
        return {"link": number}

    def _open(self, request: dict[str, Any]) -> dict[str, Any]:
        link, bind = self._links[request["link"]], request["bind"]
        if not _may_listen(bind):
            raise _Refusal(f"a link does not listen on {bind}", "give loopback or one address of this machine")
        make: Callable[..., DatagramFlow | StreamFlow] = DatagramFlow if request["udp"] else StreamFlow
        flow = make(self._loop, link, bind, (request["host"], request["port"]))
        link.flows.append(flow)
        return {"address": flow.address}

    def _change(self, request: dict[str, Any]) -> dict[str, Any]:
        self._links[request["link"]].change(_profile(request["profile"]))
        return {}

    def _interrupt(self, request: dict[str, Any]) -> dict[str, Any]:
        link = self._links[request["link"]]
        after, seconds = request["after"], request["seconds"]
        start = time.monotonic() + after
        for lane in (link.down, link.up):
            if request["cut"]:
                lane.shaper.cut(start, float("inf") if seconds is None else seconds)
            else:
                lane.shaper.freeze(start, seconds)
        return {"unix_seconds": time.time() + after}

    def _restore(self, request: dict[str, Any]) -> dict[str, Any]:
        link = self._links[request["link"]]
        now = time.monotonic()
        for lane in (link.down, link.up):
            lane.shaper.restore(now)
        return {}

    def _counters(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._links[request["link"]].document()

    def _close(self, request: dict[str, Any]) -> dict[str, Any]:
        link = self._links[request["link"]]
        link.close()
        link.flows.clear()
        return {}


_OPERATIONS: dict[str, Callable[[_Control, dict[str, Any]], dict[str, Any]]] = {
    "link": _Control._link,
    "open": _Control._open,
    "change": _Control._change,
    "interrupt": _Control._interrupt,
    "restore": _Control._restore,
    "counters": _Control._counters,
    "close": _Control._close,
}


def _profile(document: dict[str, Any]) -> LinkProfile:
    return LinkProfile(document["name"], Direction(**document["down"]), Direction(**document["up"]))


def _may_listen(bind: str) -> bool:
    """One address; whether it is this machine's own the kernel says."""
    address = ipaddress.ip_address(bind)
    return not (address.is_unspecified or address.is_multicast)


def main() -> None:
    """Relay until the input ends."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # Ctrl-C is the parent's to decide on
    with suppress(OSError):  # only root may; a packet late for want of a processor would be held against the desktop
        os.nice(_NICENESS)
    loop = Loop()
    _Control(loop)
    gc.freeze()
    os.write(sys.stdout.fileno(), b"{}\n")
    loop.run()


if __name__ == "__main__":
    main()
