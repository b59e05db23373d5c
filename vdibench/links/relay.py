"""The user-space relay as its users see it: :class:`Relay` is the process, :class:`RelayRoute` one link through it.

I/O. It works as any user on any Linux: a process of its own holds, drops and sends on what would else go straight to
the desktop, and ends with the process that started it. Calls to a route take well under a millisecond, so an event
loop may make them; those that must look up a name are coroutines. Start it from a thread that lives as long as it is
used: Linux ends the relay with the *thread* that started it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import json
import math
import os
import select
import socket
import subprocess
import sys
import threading
import time
from types import TracebackType
from typing import Any, Self

from vdibench.errors import ParameterError, TargetUnavailable, UsageError, VdibenchError
from vdibench.links.counters import LinkCounters
from vdibench.links.profiles import LinkProfile

__all__ = ["Relay", "RelayRoute"]

_LOOPBACK = "127.0.0.1"
_ANSWER_SECONDS, _END_SECONDS = 10.0, 3.0


class Relay:
    """A relay process for any number of links; a context manager, also an asynchronous one.

    :param bind: where its ports listen: loopback, or another address of this machine.
    """

    def __init__(self, bind: str = _LOOPBACK) -> None:
        self._bind = bind
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""

    @property
    def pid(self) -> int:
        """The process id; -1 when it does not run."""
        return -1 if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process and wait until it listens to us.

        :raises VdibenchError: it does not start.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-m", "vdibench.tether", str(os.getpid()), "vdibench.links.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            with self._lock:
                self._answer()
        except BaseException:  # whatever it is, Ctrl-C too: no child stays
            self.close()
            raise

    def close(self) -> None:
        """End the process; every flow through it ends."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stderr is not None:
            process.stderr.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def route(self, profile: LinkProfile, seed: int = 0) -> RelayRoute:
        """A new link with queues, losses and counters of its own.

        :param seed: the same seed gives the same losses to the same packets.
        """
        number = self.request("link", profile=dataclasses.asdict(profile), seed=seed)["link"]
        return RelayRoute(self, number, self._bind, profile)

    def request(self, do: str, **values: Any) -> dict[str, Any]:
        """Ask the process for something; may be called from any thread. Routes are its only callers.

        :raises UsageError: it refuses.
        :raises VdibenchError: it has ended.
        """
        with self._lock:
            process = self._process
            if process is None or process.stdin is None:
                raise VdibenchError("the link's relay does not run", "start it, or use it inside its with block")
            try:
                os.write(process.stdin.fileno(), json.dumps({"do": do, **values}).encode() + b"\n")
            except OSError as error:
                raise self._ended() from error
            answer = self._answer()
        if "error" in answer:
            raise UsageError(*answer["error"])
        return answer

    def _answer(self) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        until = time.monotonic() + _ANSWER_SECONDS
        while b"\n" not in self._unread:
            ready, _, _ = select.select([process.stdout], [], [], max(0.0, until - time.monotonic()))
            data = os.read(process.stdout.fileno(), 1 << 20) if ready else b""
            if not data:
                raise self._ended()
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        document = json.loads(line)
        assert isinstance(document, dict)
        return document

    def _ended(self) -> VdibenchError:
        process = self._process
        assert process is not None
        try:
            code = process.wait(1.0)
        except subprocess.TimeoutExpired:
            return VdibenchError(
                f"the link's relay does not answer for {_ANSWER_SECONDS:g} s", "free the machine's CPU"
            )
        said = b"" if process.stderr is None else process.stderr.read()
        last = said.decode(errors="replace").strip().rpartition("\n")[2]
        how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
        return VdibenchError(f"the link's relay {how}{f' ({last})' if last else ''}", "open the link again")


class RelayRoute:
    """One link through a :class:`Relay`; the client's ``Route``. All its flows share the link's rate and queues."""

    hides_client = True

    def __init__(self, relay: Relay, number: int, bind: str, profile: LinkProfile) -> None:
        self._relay, self._number, self._bind = relay, number, bind
        self._lock = threading.Lock()
        self._flows: dict[tuple[bool, str, int], tuple[str, int]] = {}
        self.profile = profile

    async def tcp(self, host: str, port: int) -> tuple[str, int]:
        """Where to connect instead of ``host:port``.

        :raises TargetUnavailable: the host has no address.
        """
        return await asyncio.to_thread(self.open, host, port, udp=False)

    async def udp(self, host: str, port: int) -> tuple[str, int]:
        """Where to send datagrams instead of ``host:port``; answers come from there.

        :raises TargetUnavailable: the host has no address.
        """
        return await asyncio.to_thread(self.open, host, port, udp=True)

    def open(self, host: str, port: int, *, udp: bool) -> tuple[str, int]:
        """What :meth:`tcp` and :meth:`udp` do, for callers without an event loop."""
        with self._lock:
            key = (udp, host, port)
            if key not in self._flows:
                address = _numeric(host, port)
                answer = self._relay.request(
                    "open", link=self._number, udp=udp, host=address, port=port, bind=self._bind
                )
                self._flows[key] = (answer["address"][0], answer["address"][1])
            return self._flows[key]

    def behind(self, address: str) -> str:
        """What ``address`` (``host:port``) of this route stands for; itself where it is none of the route's."""
        with self._lock:
            for (_, host, port), listens in self._flows.items():
                if address == f"{listens[0]}:{listens[1]}":
                    return f"{host}:{port}"
        return address

    def addresses(self) -> list[str] | None:
        """Where the relay can be reached from: its own address."""
        return [self._bind]

    def socket(self, family: int, kind: int) -> socket.socket:
        """An ordinary one."""
        made = socket.socket(family, kind)
        made.setblocking(False)
        return made

    def set_profile(self, profile: LinkProfile) -> None:
        """Other figures from the next packet on; hold times begin anew, counts go on."""
        self._relay.request("change", link=self._number, profile=dataclasses.asdict(profile))
        self.profile = profile

    def freeze(self, seconds: float, *, after: float = 0.0) -> float:
        """Hold everything for so long, beginning ``after`` seconds from now, then let it go in order; both directions.

        :returns: when it begins, Unix seconds.
        """
        _check("a freeze", seconds, after)
        return self._interrupt(cut=False, seconds=seconds, after=after)

    def cut(self, seconds: float | None = None, *, after: float = 0.0) -> float:
        """Lose every datagram and hold every byte stream for so long; for good without ``seconds``.

        :returns: when it begins, Unix seconds.
        """
        _check("a cut", 1.0 if seconds is None else seconds, after)
        return self._interrupt(cut=True, seconds=seconds, after=after)

    def _interrupt(self, *, cut: bool, seconds: float | None, after: float) -> float:
        answer = self._relay.request("interrupt", link=self._number, cut=cut, seconds=seconds, after=after)
        return float(answer["unix_seconds"])

    def restore(self) -> None:
        """End all freezes and cuts, also those that are yet to begin."""
        self._relay.request("restore", link=self._number)

    def counters(self) -> LinkCounters:
        """What the link did since it was opened."""
        return LinkCounters.read(self._relay.request("counters", link=self._number))

    def close(self) -> None:
        """Close its flows: ports are closed, connections reset. The counters can still be read."""
        self._relay.request("close", link=self._number)
        with self._lock:
            self._flows.clear()


def _numeric(host: str, port: int) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return str(socket.getaddrinfo(host, port)[0][4][0])
    except OSError as error:
        raise TargetUnavailable(f"the host {host} has no address", "check the name and the DNS") from error


def _check(what: str, seconds: float, after: float) -> None:
    if not (math.isfinite(seconds) and seconds > 0.0 and math.isfinite(after) and after >= 0.0):
        raise ParameterError(f"{what} of {seconds:g} s in {after:g} s cannot be", "give more than 0 s, from now on")
