"""A link by the kernel's own emulator, ``tc netem``, in a network namespace. I/O; Linux, root, iproute2, sch_netem.

Against the relay: packets are held by the kernel, TCP suffers real loss, and handshakes take their time; but freezes
and counts by payload type are the relay's alone. ``netem`` gives its jitter to each packet by itself; order is kept
where the profile keeps it, by the rule that a rate, however high, imposes on it.
"""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from vdibench.errors import ParameterError, VdibenchError
from vdibench.links.namespace import INSIDE, Namespace, missing, run
from vdibench.links.profiles import DIRECT, Direction, LinkProfile
from vdibench.links.relay import Relay, RelayRoute

__all__ = ["NamespaceRoute", "available", "netem_arguments"]

_PACKET_BYTES = 1500
_LEAST_LIMIT, _MOST_LIMIT = 10, 1_000_000
# Fast enough to cost nothing; with any rate the emulator keeps packets in order.
_ORDERING_RATE_BPS = 100e9
_PROBE = Direction(delay_seconds=0.001)


def netem_arguments(direction: Direction) -> list[str]:
    """What ``tc qdisc ... netem`` is told; pure.

    :raises ParameterError: losses at even distances, which it cannot make.
    """
    if direction.even and direction.loss_ratio:
        raise ParameterError("tc netem cannot lose packets evenly", "use the relay, or leave even out")
    rate = direction.rate_bps
    if rate is None and direction.jitter_seconds and not direction.reorder:
        rate = _ORDERING_RATE_BPS
    under_way = direction.delay_seconds + direction.jitter_seconds + direction.queue_seconds
    packets = _MOST_LIMIT if direction.rate_bps is None else round(direction.rate_bps / 8 * under_way / _PACKET_BYTES)
    words = ["limit", str(min(max(packets, _LEAST_LIMIT), _MOST_LIMIT))]
    if direction.delay_seconds or direction.jitter_seconds:
        # The emulator's jitter goes to both sides of its delay.
        half = direction.jitter_seconds / 2
        words += ["delay", f"{(direction.delay_seconds + half) * 1e6:.0f}us"]
        words += [f"{half * 1e6:.0f}us"] if half else []
    if direction.loss_ratio:
        words += ["loss", "gemodel", f"{direction.loss_begins * 100:.6f}%", f"{direction.loss_ends * 100:.6f}%"]
    if rate is not None:
        words += ["rate", f"{rate:.0f}bit"]
    return words


def available() -> VdibenchError | None:
    """What ``netem`` lacks on this machine, with a remedy; None when it works. Found out by trying."""
    if (lacks := missing()) is not None:
        return lacks
    try:
        with Namespace() as namespace:
            _shape(namespace.device, _PROBE)
    except VdibenchError as error:
        return error
    return None


class NamespaceRoute:
    """A session's ``Route`` through a namespace; a context manager, also an asynchronous one.

    The session's sockets are made inside. What listens on this machine's loopback only is reached by a relay that
    shapes nothing, on the machine's end of the cable.

    :raises VdibenchError: on entering, what is missing and what to do.
    """

    hides_client = True

    def __init__(self, profile: LinkProfile) -> None:
        self.profile = profile
        self.namespace = Namespace()
        self._stack = ExitStack()
        self._forwarder: RelayRoute | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.namespace)
            self.set_profile(self.profile)
            relay = stack.enter_context(Relay(self.namespace.host_address))
            self._forwarder = relay.route(DIRECT)
            self._stack = stack.pop_all()
        return self

    def close(self) -> None:
        """Remove the namespace and end the relay."""
        self._forwarder = None
        self._stack.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        # The relay must be a child of this thread, which lives on: Linux would end it with a worker's.
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def _route(self) -> RelayRoute:
        if self._forwarder is None:
            raise VdibenchError("the link is not open", "use it inside its with block")
        return self._forwarder

    async def tcp(self, host: str, port: int) -> tuple[str, int]:
        """Where to connect, from inside, instead of ``host:port``."""
        return await self._route().tcp(host, port)

    async def udp(self, host: str, port: int) -> tuple[str, int]:
        """Where to send datagrams, from inside, instead of ``host:port``."""
        return await self._route().udp(host, port)

    def addresses(self) -> list[str] | None:
        """The one address inside."""
        return [self.namespace.address]

    def socket(self, family: int, kind: int) -> socket.socket:
        """A socket inside."""
        return self.namespace.socket(family, kind)

    def set_profile(self, profile: LinkProfile) -> None:
        """Other figures from now on; what is under way is lost.

        :raises VdibenchError: the kernel cannot do it.
        """
        _shape(self.namespace.device, profile.down)
        _shape(INSIDE, profile.up, self.namespace.name)
        self.profile = profile

    def dropped(self) -> tuple[int, int]:
        """Packets that the emulator dropped since the figures were set: down, up."""
        name = self.namespace.name
        return _dropped("tc", device=self.namespace.device), _dropped("tc", "-n", name, device=INSIDE)


def _shape(device: str, direction: Direction, namespace: str = "") -> None:
    tc = ("tc", "-n", namespace) if namespace else ("tc",)
    shaped = "netem" in run(*tc, "qdisc", "show", "dev", device)
    if shaped:
        run(*tc, "qdisc", "delete", "dev", device, "root")
    if not direction.shapes:
        return
    try:
        run(*tc, "qdisc", "add", "dev", device, "root", "netem", *netem_arguments(direction))
    except VdibenchError as error:
        if "unknown" in error.cause or "No such file" in error.cause:
            raise VdibenchError(
                "this kernel has no network emulator (sch_netem)", "modprobe sch_netem on the host, or use the relay"
            ) from error
        raise


def _dropped(*tc: str, device: str) -> int:
    return sum(
        int(discipline["drops"])
        for discipline in json.loads(run(*tc, "-s", "-j", "qdisc", "show", "dev", device))
        if discipline["kind"] == "netem"
    )
