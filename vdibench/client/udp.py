"""Host sockets of our own under aioice, so that media is read without a task, a queue or a wait for each packet. I/O.

Four attributes of one :class:`aioice.Connection` are used, on the instance and never on the class: its gathering of
candidates and its receiver of data are wrapped, its protocols are added to, its policy is read. STUN goes on to
aioice, DTLS to the queue that aiortc reads, and media to ``media`` with the instant at which the kernel got it. What a
TURN relay delivers takes the same fork, with the instant of its reading.

Where the native module reads, what may be only added up comes to :class:`Adder` as runs, and everything else as ever.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from aioice.candidate import Candidate, candidate_foundation, candidate_priority
from aioice.ice import StunProtocol, TransportPolicy, server_reflexive_candidate

from vdibench.client.datagrams import Datagram, prepare, reader
from vdibench.client.native import Lane, Run
from vdibench.client.rounds import Rounds
from vdibench.client.route import Route

__all__ = ["Adder", "HostSocket", "HostSockets"]

Media = Callable[[bytes, float], None]


class Adder(Protocol):
    """Who arms lanes of the native receiver, and takes what they added up."""

    @property
    def native(self) -> Any:
        """The native module."""

    def opened(self, lane: Lane) -> None:
        """A socket is read by a lane from now on."""

    def run(self, run: Run) -> None:
        """What a lane added up, in its order among the datagrams."""

    def settled(self, lane: Lane) -> None:
        """All that the lane has read was handed over: it may be armed."""

    def closing(self, lane: Lane) -> None:
        """The lane reads no more; what it added up must be taken."""


class HostSocket(asyncio.DatagramTransport):
    """One UDP socket in the place of asyncio's transport under a STUN protocol of aioice.

    :param udp: bound; closed with this object.
    :param media: takes RTP and RTCP, as (datagram, arrival in Unix seconds).
    :param other: takes every other datagram that is not STUN.
    :param patient: what comes may rest for a few milliseconds where there are many such sockets.
    :param adder: while patient, let the native receiver read for it; None reads here.
    """

    def __init__(
        self,
        udp: socket.socket,
        protocol: Any,
        media: Media,
        other: Callable[[bytes], None],
        *,
        patient: bool = False,
        adder: Adder | None = None,
    ) -> None:
        super().__init__({"socket": udp, "sockname": udp.getsockname()})
        self._udp = udp
        self._protocol = protocol
        self._media = media
        self._other = other
        self._loop = asyncio.get_running_loop()
        self._read = reader()
        self._closed = False
        self._drops = 0
        self._patient = patient
        self._adder = adder
        self._lane: Lane | None = None
        protocol.connection_made(self)
        self._listen()

    @property
    def drops(self) -> int:
        """Datagrams that the kernel threw away because the socket's buffer was full."""
        return self._drops if self._lane is None else max(self._drops, self._lane.drops)

    def _listen(self) -> None:
        if not self._patient:
            self._loop.add_reader(self._udp.fileno(), self._readable)
        elif self._adder is None:
            Rounds.of(self._loop).add(self._udp.fileno(), self._readable)
        else:
            self._lane = Rounds.of(self._loop, self._adder.native).add(self._udp.fileno(), self._read_for_us)
            assert self._lane is not None
            self._adder.opened(self._lane)

    def _ignore(self) -> None:
        if not self._patient:
            self._loop.remove_reader(self._udp.fileno())
            return
        native = None
        if self._lane is not None and self._adder is not None:
            self._adder.closing(self._lane)
            self._drops, self._lane, native = self.drops, None, self._adder.native
        Rounds.of(self._loop, native).remove(self._udp.fileno())

    def set_patient(self, patient: bool) -> None:
        """Whether what comes may rest from now on."""
        if not self._closed and patient is not self._patient:
            self._ignore()
            self._patient = patient
            self._listen()

    def _readable(self, _: object = None) -> None:
        if self._closed:  # by another handler of the same round
            return
        try:
            self._sort(self._read(self._udp))
        except OSError as error:  # an ICMP answer to what we sent; the socket stays good
            self._protocol.error_received(error)

    def _read_for_us(self, events: list[Any]) -> None:
        lane, adder = self._lane, self._adder
        if lane is None or adder is None:  # closed by another handler of the same round
            return
        plain = False
        for event in events:
            if event.__class__ is tuple:
                plain = True
                self._sort((event,))
            elif isinstance(event, OSError):
                self._protocol.error_received(event)
            else:
                adder.run(event)
        if plain and self._lane is lane:
            adder.settled(lane)

    def _sort(self, datagrams: Iterable[Datagram]) -> None:
        media = self._media
        for data, arrival, address, drops in datagrams:
            if drops:
                self._drops = drops
            first = data[0] if data else 255
            if 128 <= first <= 191:
                media(data, arrival)
            elif first < 4 and address is not None:
                self._stun(data, address)
            elif 20 <= first <= 63:
                self._other(data)

    def _stun(self, data: bytes, address: tuple[str, int]) -> None:
        try:
            self._protocol.datagram_received(data, address)
        except (ValueError, IndexError, KeyError, struct.error):
            # aioice reads attributes without looking at their lengths: a broken message is no message.
            return

    def sendto(self, data: bytes | bytearray | memoryview, addr: Any = None) -> None:
        """Send at once; a full socket drops, as the network may."""
        if self._closed:
            return
        try:
            self._udp.sendto(data, addr)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._protocol.error_received(error)

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def close(self) -> None:
        """Close the socket; the protocol hears of it in the next round of the loop."""
        if self._closed:
            return
        self._closed = True
        self._ignore()
        self._udp.close()
        self._loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        """As :meth:`close`: nothing waits to be sent."""
        self.close()


class HostSockets:
    """The host sockets of one ICE connection, opened when it gathers and closed when it closes.

    :param connection: an :class:`aioice.Connection` that has not gathered yet.
    :param media: takes RTP and RTCP, as (datagram, arrival in Unix seconds).
    :param route: makes the sockets and says where they are bound, where it is not the machine's own way.
    :param patient: what comes may rest for a few milliseconds where there are many such sockets.
    :param adder: while patient, let the native receiver read for it; None reads here.
    """

    def __init__(
        self,
        connection: Any,
        media: Media,
        route: Route | None = None,
        *,
        patient: bool = False,
        adder: Adder | None = None,
    ) -> None:
        self._connection = connection
        self._adder = adder
        self._media = media
        self._route = route
        self._patient = patient
        self._sockets: list[HostSocket] = []
        self._gather_elsewhere = connection.get_component_candidates
        self._deliver = connection.data_received
        connection.get_component_candidates = self._gather
        connection.data_received = self._relayed

    @property
    def drops(self) -> int:
        """Datagrams that the kernel threw away because a socket's buffer was full."""
        return sum(host.drops for host in self._sockets)

    def set_patient(self, patient: bool) -> None:
        """Whether what comes may rest from now on."""
        self._patient = patient
        for host in self._sockets:
            host.set_patient(patient)

    def _relayed(self, data: bytes, component: int) -> None:
        if data and 128 <= data[0] <= 191:
            self._media(data, time.time())
        else:
            self._deliver(data, component)

    async def _gather(self, component: int, addresses: list[str], timeout: int = 5) -> list[Candidate]:  # noqa: ASYNC109  # aioice's signature
        if self._connection._transport_policy is not TransportPolicy.ALL:
            addresses = []
        elif self._route is not None and (own := self._route.addresses()) is not None:
            addresses = own
        protocols = [protocol for address in addresses if (protocol := self._open(component, address)) is not None]
        self._connection._protocols += protocols
        candidates = [protocol.local_candidate for protocol in protocols]
        server = self._connection.stun_server
        mapped = [
            asyncio.create_task(server_reflexive_candidate(protocol, server))
            for protocol in protocols
            if server and ipaddress.ip_address(protocol.local_candidate.host).version == 4
        ]
        # Without addresses it asks the TURN server only.
        relayed = asyncio.create_task(self._gather_elsewhere(component, [], timeout))
        done, pending = await asyncio.wait([*mapped, relayed], timeout=timeout + 0.5)
        for task in pending:
            task.cancel()
        for task in mapped:
            if task in done and task.exception() is None:
                candidates.append(task.result()[0])
        return candidates + (relayed.result() if relayed in done else [])

    def _open(self, component: int, address: str) -> Any:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        make = self._route.socket if self._route is not None else socket.socket
        udp = None
        try:
            udp = make(family, socket.SOCK_DGRAM)
            prepare(udp)
            udp.bind((address, 0))
        except OSError:  # an address that was just taken away, or IPv6 that is switched off
            if udp is not None:
                udp.close()
            return None
        protocol = StunProtocol(self._connection)
        self._sockets.append(
            HostSocket(
                udp,
                protocol,
                self._media,
                lambda data: self._deliver(data, component),
                patient=self._patient,
                adder=self._adder,
            )
        )
        host, port = udp.getsockname()[:2]
        protocol.local_candidate = Candidate(
            foundation=candidate_foundation("host", "udp", host),
            component=component,
            transport="udp",
            priority=candidate_priority(component, "host"),
            host=host,
            port=port,
            type="host",
        )
        return protocol
