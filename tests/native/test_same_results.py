"""With the native receiver and without it every number is the same: frames, counters, requests and reports."""

from __future__ import annotations

import asyncio
import random
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import vdibench_native
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vdibench.client.assembly import AssembledFrame
from vdibench.client.mode import Mode
from vdibench.client.reception import MediaReception
from vdibench.client.rounds import Rounds
from vdibench.client.streams import MediaSection
from vdibench.client.udp import HostSocket

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "client"))
sys.path.insert(0, str(Path(__file__).parent))

from srtp import Transport
from traces import AUDIO, OWN, SECTION, Step, trace

KEY = bytes(range(60))[:30]


class Protocol:
    """What HostSocket uses of aioice's protocol."""

    def connection_made(self, transport: Any) -> None:
        """It is there."""

    def datagram_received(self, data: bytes, address: Any) -> None:
        """STUN."""

    def error_received(self, error: Exception) -> None:
        raise error

    def connection_lost(self, error: Exception | None) -> None:
        """It is gone."""


class Tls:
    """What is asked of a handshake for keys: a profile, and material of which the first half is the client's."""

    def get_selected_srtp_profile(self) -> bytes:
        return b"SRTP_AES128_CM_SHA1_80"

    def export_keying_material(self, label: bytes, length: int) -> bytes:
        assert (label, length) == (b"EXTRACTOR-dtls_srtp", 60)
        return KEY[:16] + bytes(16) + KEY[16:] + bytes(14)


class KeyedTransport(Transport):
    """One that tells its keys too."""

    def __init__(self) -> None:
        from aiortc.rtcdtlstransport import SRTP_PROFILES

        super().__init__()
        self._ssl, self._srtp_profiles, self._role = Tls(), SRTP_PROFILES, "server"


class Watched:
    """One reception, and all that it said."""

    def __init__(self, mode: Mode, *, native: Any = None, authenticate: bool = False) -> None:
        self.frames: list[AssembledFrame] = []
        self.first: list[float] = []
        self.transport = KeyedTransport()
        self.reception = MediaReception(
            mode, self.frames.append, self.first.append, native=native, authenticate=authenticate
        )
        self.reception.start(self.transport, SECTION, MediaSection(OWN, {AUDIO: "opus"}))

    def happen(self, kind: str) -> None:
        assert self.reception.video is not None
        if kind == "report":
            self.reception._report()
        elif self.reception._mode is Mode.SAMPLED:
            self.reception.video.sample()

    def said(self) -> dict[str, Any]:
        video, audio = self.reception.video, self.reception.audio
        assert video is not None
        assert audio is not None
        return {
            "frames": [repr(frame) for frame in self.frames],
            "video": video.meter.read(),
            "audio": audio.meter.read(),
            "first": self.first,
            "nack": video.nack_count,
            "pli": video.pli_count,
            "repaired": video.repaired_count,
            "codec": video.codec,
            "refused": self.reception.refused_count,
            "round trip": repr(video._gaps.round_trip_seconds),
        }


@contextmanager
def host(watched: Watched) -> Iterator[HostSocket]:
    """A socket whose lane feeds a reception."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        made = HostSocket(
            udp, Protocol(), watched.reception.datagram, lambda _: None, patient=True, adder=watched.reception
        )
        try:
            yield made
        finally:
            made.close()


async def run(steps: list[Step], batches: list[int], mode: Mode, *, authenticate: bool) -> tuple[Any, Any, int]:
    """Both ways; returns what both said, and how many runs there were."""
    plain = Watched(mode, authenticate=authenticate)
    ours = Watched(mode, native=vdibench_native, authenticate=authenticate)
    runs = 0
    with host(ours) as one:
        lane: Any = one._lane
        events: list[Any] = []
        left = batches[0]
        for index, (kind, packet, arrival) in enumerate(steps):
            if kind == "packet":
                if packet and 128 <= packet[0] <= 191:
                    plain.reception.datagram(packet, arrival)
                events += lane.feed(packet, arrival)
                left -= 1
            if kind != "packet" or left <= 0:
                runs += sum(isinstance(event, vdibench_native.Run) for event in events)
                one._read_for_us(events)
                events, left = [], batches[index % len(batches)]
            if kind != "packet":
                plain.happen(kind)
                ours.happen(kind)
        one._read_for_us(events)
        said = plain.said(), ours.said()
        for _ in range(5):  # what is sent is sent by tasks
            await asyncio.sleep(0)  # callbacks that are due run now
        sent = plain.transport.sent, ours.transport.sent
        for watched in (plain, ours):
            watched.reception.close()
    return (said[0], sent[0]), (said[1], sent[1]), runs


@pytest.mark.parametrize("mode", [Mode.METER, Mode.SAMPLED])
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 1 << 32),
    frames=st.integers(1, 120),
    batches=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    calm=st.sampled_from([0.0, 0.7, 0.95]),
)
def test_whatever_comes(mode: Mode, seed: int, frames: int, batches: list[int], calm: float) -> None:
    steps = trace(random.Random(seed), frames, calm)
    plain, ours, _ = asyncio.run(run(steps, batches, mode, authenticate=False))
    assert ours == plain


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 1 << 32),
    frames=st.integers(1, 120),
    batches=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    calm=st.sampled_from([0.0, 0.7, 0.95]),
)
def test_whatever_comes_and_is_decrypted(seed: int, frames: int, batches: list[int], calm: float) -> None:
    steps = trace(random.Random(seed), frames, calm)
    plain, ours, _ = asyncio.run(run(steps, batches, Mode.METER, authenticate=True))
    assert ours == plain


async def over_two(steps: list[Step], chance: random.Random, *, authenticate: bool) -> tuple[Watched, Watched, int]:
    """What came on the wire, and the same by two sockets of a session, of which a round hears either first."""
    plain = Watched(Mode.METER, authenticate=authenticate)
    ours = Watched(Mode.METER, native=vdibench_native, authenticate=authenticate)
    video: Any = ours.reception.video
    late, used = 0, 0
    with host(ours) as one, host(ours) as other:
        left = list(steps)
        while left:
            events: dict[HostSocket, list[Any]] = {one: [], other: []}
            for _, packet, arrival in left[: chance.randint(1, 40)]:
                left.pop(0)
                plain.reception.datagram(packet, arrival)
                used = 1 - used if chance.random() < 0.1 else used
                through = (one, other)[used]
                lane: Any = through._lane
                events[through] += lane.feed(packet, arrival)
            for through in chance.sample([one, other], 2):
                runs = [event for event in events[through] if isinstance(event, vdibench_native.Run)]
                late += bool(runs) and runs[0].sequence != video._gaps.next
                through._read_for_us(events[through])
        for watched in (plain, ours):
            watched.said()  # what is still added up is taken
            watched.reception.close()
    return plain, ours, late


@pytest.mark.parametrize("authenticate", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_two_sockets_of_a_session_in_one_round(seed: int, authenticate: bool) -> None:
    """Every frame is what it was on the wire. Requests are not: what is heard late looks lost for a moment."""
    chance = random.Random(seed)
    steps = [step for step in trace(chance, 300, 1.0) if step[1] and 128 <= step[1][0] <= 191]
    plain, ours, late = asyncio.run(over_two(steps, chance, authenticate=authenticate))
    assert late > 5, "or nothing was tested"
    arrivals = ("first_arrival_unix_seconds", "arrival_unix_seconds")
    for name in ("timestamp", "packets", "size_bytes", "key", "complete", *arrivals):
        assert [getattr(frame, name) for frame in ours.frames] == [getattr(frame, name) for frame in plain.frames]
    counted, wire = ours.said()["video"], plain.said()["video"]
    assert (counted.packets_received, counted.packets_lost) == (wire.packets_received, 0)
    assert counted.bytes_received == wire.bytes_received


@pytest.mark.parametrize("authenticate", [False, True])
def test_a_quiet_stream_is_added_up_by_whole_frames(authenticate: bool) -> None:
    """The native receiver does the work, or the properties above would prove nothing."""
    steps = trace(random.Random(1), 600, 1.0)
    plain, ours, runs = asyncio.run(run(steps, [7, 1, 20], Mode.METER, authenticate=authenticate))
    assert ours == plain
    assert 580 <= runs <= 600 + 2
    keys = sum("key=True" in frame for frame in plain[0]["frames"])
    assert (keys > 0) is authenticate


async def over_sockets(steps: list[Step], mode: Mode) -> tuple[Any, Any]:
    """The same over a real socket, with the kernel's instants: a journal tells the plain reception what came when."""
    plain, ours = Watched(mode), Watched(mode, native=vdibench_native)
    with host(ours) as one, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as theirs:
        theirs.connect(one._udp.getsockname())
        receiver = Rounds.of(asyncio.get_running_loop(), vdibench_native)._sockets
        chance = random.Random(len(steps))
        left = 1

        def read() -> None:  # nothing is awaited: no timer and no other reader comes between
            receiver.journal = journal = []
            for take, events in receiver.round() or ():
                take(events)
            for _, packet, arrival in journal:
                if packet and 128 <= packet[0] <= 191:
                    plain.reception.datagram(packet, arrival)

        for kind, packet, _ in steps:
            if kind == "packet":
                theirs.send(packet)
                left -= 1
            if kind != "packet" or not left:
                read()
                left = chance.randint(1, 40)
            if kind != "packet":
                plain.happen(kind)
                ours.happen(kind)
        read()
        said = plain.said(), ours.said()
        for watched in (plain, ours):
            watched.reception.close()
    return said


@pytest.mark.parametrize("mode", [Mode.METER, Mode.SAMPLED])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32), frames=st.integers(20, 200), calm=st.sampled_from([0.0, 0.7, 0.95]))
def test_whatever_comes_over_real_sockets(mode: Mode, seed: int, frames: int, calm: float) -> None:
    plain, ours = asyncio.run(over_sockets(trace(random.Random(seed), frames, calm), mode))
    assert ours == plain


def test_a_quiet_stream_over_a_real_socket() -> None:
    plain, ours = asyncio.run(over_sockets(trace(random.Random(1), 200, 1.0), Mode.METER))
    assert ours == plain
    assert len(plain["frames"]) == 200
