"""The replay's process: real sessions in both dialects, what it counts, what it refuses, and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import numpy as np
import psutil
import pytest
from replayed import Kept, session

from vdibench.client import Mode
from vdibench.errors import TargetUnavailable, VdibenchError
from vdibench.replay.departures import frame_gap_errors, matching
from vdibench.replay.process import ReplayServer
from vdibench.replay.senders import HAS_NATIVE
from vdibench.replay.trace import load_trace
from vdibench.selkies import Dialect


@pytest.mark.parametrize("dialect", ["webrtc", "websocket"])
async def test_a_session_decodes_what_was_recorded(request: pytest.FixtureRequest, dialect: str) -> None:
    server: ReplayServer = request.getfixturevalue(dialect)
    kept = Kept()
    async with session(server, kept) as watched:
        await watched.first_frame()
        await watched.watch(1.5)
        assert watched.picture.size == (640, 360)
    assert watched.dialect == server.dialect
    assert len(kept.frames) > 20
    assert np.isfinite(kept.column("decoded_unix_seconds")).sum() > 20
    assert kept.facts["stream.backend"] == "replay"


@pytest.mark.parametrize("dialect", ["webrtc", "websocket"])
async def test_the_recorded_marker_becomes_no_latency(
    request: pytest.FixtureRequest, trace: Path, dialect: str
) -> None:
    server: ReplayServer = request.getfixturevalue(dialect)
    kept = Kept()
    async with session(server, kept) as watched:
        await watched.first_frame()
        await watched.watch(1.0)
        assert not watched.picture.marker_seen
        # There is one in the picture, and it can be read: it is somebody else's.
        assert kept.facts["marker.foreign"] == str(load_trace(trace).provenance.marker_id)
    assert np.isnan(kept.column("marker_unix_seconds")).all()
    assert "640×360@30" in kept.facts["synthetic"]


async def test_sender_reports_say_when_the_picture_would_have_been_taken(webrtc: ReplayServer, trace: Path) -> None:
    kept = Kept()
    async with session(webrtc, kept, mode=Mode.METER) as watched:
        await watched.first_frame()
        await watched.watch(5.0)  # two reports, up to 1.5 s apart, and some seconds of frames after them
    latency = kept.column("arrival_unix_seconds") - kept.column("capture_unix_seconds")
    latency = latency[np.isfinite(latency)]
    assert len(latency) > 20
    recorded = np.median([frame.last - frame.captured for frame in load_trace(trace).frames])
    # Late at most, and by what a busy machine takes.
    assert recorded - 0.002 < np.median(latency) < recorded + 0.05


async def test_over_websocket_nobody_says_when_it_was_taken(websocket: ReplayServer) -> None:
    kept = Kept()
    async with session(websocket, kept, mode=Mode.METER) as watched:
        await watched.first_frame()
        await watched.watch(0.5)
    assert np.isnan(kept.column("capture_unix_seconds")).all()


@pytest.mark.parametrize("dialect", ["webrtc", "websocket"])
async def test_a_key_frame_comes_when_it_is_asked_for(request: pytest.FixtureRequest, dialect: str) -> None:
    server: ReplayServer = request.getfixturevalue(dialect)
    kept = Kept()
    async with session(server, kept, mode=Mode.DEPACKETISE) as watched:
        await watched.first_frame()
        await watched.watch(0.7)
        before = sum(frame.key_frame for frame in kept.frames)
        await watched.connection.request_key_frame()
        await watched.watch(1.0)
        assert sum(frame.key_frame for frame in kept.frames) == before + 1
        assert all(frame.complete for frame in kept.frames)


@pytest.mark.parametrize("dialect", ["webrtc", "websocket"])
async def test_gaps_between_frames_are_those_that_were_sent(request: pytest.FixtureRequest, dialect: str) -> None:
    server: ReplayServer = request.getfixturevalue(dialect)
    watchers = [Kept() for _ in range(3)]
    sessions = [session(server, kept, mode=Mode.METER) for kept in watchers]
    try:
        await asyncio.gather(*(one.connect() for one in sessions))
        await asyncio.gather(*(one.first_frame() for one in sessions))
        await asyncio.to_thread(server.departures)
        await asyncio.gather(*(one.watch(2.0) for one in sessions))
        left = await asyncio.to_thread(server.departures)
        await asyncio.gather(*(one.watch(0.2) for one in sessions))
    finally:
        await asyncio.gather(*(one.leave() for one in sessions))
    assert len(left) == 3
    for kept in watchers:
        own = matching(kept.times(), left.values())
        assert own is not None
        errors = frame_gap_errors(own, kept.times())
        assert len(errors) > 40
        assert np.median(errors) < 0.005, "the bound of a quiet machine is 1 ms at p95; tests share theirs"
    assert len({id(matching(kept.times(), left.values())) for kept in watchers}) == 3


async def test_counts_are_those_of_the_clients(trace: Path) -> None:
    with ReplayServer(trace) as server:
        kept = Kept()
        async with session(server, kept, mode=Mode.METER) as watched:
            await watched.first_frame()
            await watched.watch(1.0)
            sending = await asyncio.to_thread(server.count)
        received = watched.read()
        deadline = time.monotonic() + 5
        while (sent := await asyncio.to_thread(server.count))["sessions"] and time.monotonic() < deadline:
            pass
        assert (sending["sessions"], sent["sessions"], sent["begun"]) == (1, 0, 1)
        assert sending["native"] is HAS_NATIVE
        assert sent["refused"] == 0
        # What left after the client had closed is counted here only.
        assert 0 <= sent["packets"] - received.packets_received < 20
        assert 0 <= sent["frames"] - len(kept.frames) < 10
        assert sent["cpu_seconds"] > 0


async def test_python_sends_what_the_native_module_sends(trace: Path) -> None:
    with ReplayServer(trace, native=False) as server:
        kept = Kept()
        async with session(server, kept) as watched:
            await watched.first_frame()
            await watched.watch(1.0)
            assert not (await asyncio.to_thread(server.count))["native"]
        assert all(frame.complete for frame in kept.frames)
        assert len(kept.frames) > 15


async def test_sessions_begin_at_their_own_phase(webrtc: ReplayServer) -> None:
    watchers = [Kept() for _ in range(8)]
    sessions = [session(webrtc, kept, mode=Mode.METER) for kept in watchers]
    try:
        await asyncio.gather(*(one.connect() for one in sessions))
        await asyncio.gather(*(one.watch(0.6) for one in sessions))
    finally:
        await asyncio.gather(*(one.leave() for one in sessions))
    bases = {int(kept.times().timestamps[0]) for kept in watchers}
    assert len(bases) == 8, "time stamps begin somewhere else in each"


# what it refuses


async def test_a_connection_too_soon_is_turned_away_and_comes_later(trace: Path) -> None:
    with ReplayServer(trace, dialect=Dialect.SELKIES_2_WEBSOCKET, spacing_seconds=0.5) as server:
        async with aiohttp.ClientSession() as client:
            url = f"{server.url}/api/websockets"
            async with client.ws_connect(url) as first, client.ws_connect(url) as second:
                assert (await first.receive()).data == "MODE websockets"
                assert (await second.receive()).type is aiohttp.WSMsgType.CLOSE
                assert second.close_code == 4029
            kept = Kept()
            async with session(server, kept, mode=Mode.METER) as watched:
                await watched.first_frame()
        counted = await asyncio.to_thread(server.count)
    assert counted["turned_away"] >= 1
    assert counted["begun"] == 2


async def test_another_dialect_is_not_spoken(webrtc: ReplayServer, websocket: ReplayServer) -> None:
    async with aiohttp.ClientSession() as client:
        for server, path in ((webrtc, "websockets"), (websocket, "webrtc/signaling")):
            async with client.get(f"{server.url}/api/{path}") as answer:
                assert answer.status == 409


async def test_a_client_that_does_not_read_costs_the_others_nothing() -> None:
    with ReplayServer(width=1280, height=720, bitrate_bps=60_000_000, dialect=Dialect.SELKIES_2_WEBSOCKET) as server:
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, _, port = server.url.removeprefix("http://").partition(":")
        await asyncio.to_thread(deaf.connect, (host, int(port)))
        with deaf:
            upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            deaf.sendall(f"GET /api/websockets HTTP/1.1\r\nHost: {host}\r\n{upgrade}{key}\r\n".encode())
            text = b"SETTINGS,{}"
            deaf.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
            kept = Kept()
            async with session(server, kept, mode=Mode.METER) as watched:
                await watched.first_frame()
                deadline = time.monotonic() + 20
                while not (counted := await asyncio.to_thread(server.count))["refused"]:
                    assert time.monotonic() < deadline
                    await watched.watch(0.2)
                before = len(kept.frames)
                await watched.watch(1.0)
                assert len(kept.frames) - before > 20
            assert counted["sessions"] == 2
            assert psutil.Process(server.pid).memory_info().rss < 500e6


@pytest.mark.parametrize("text", ["nonsense", "SESSION", "HELLO", "replay-1 {", "SESSION server\nSESSION server"])
async def test_what_is_no_signalling_harms_nobody(webrtc: ReplayServer, text: str) -> None:
    async with aiohttp.ClientSession() as client, client.ws_connect(f"{webrtc.url}/api/webrtc/signaling") as talk:
        for line in text.split("\n"):
            await talk.send_str(line)
    kept = Kept()
    async with session(webrtc, kept, mode=Mode.METER) as watched:
        await watched.first_frame()


# its end


def test_a_trace_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.trace").write_bytes(b"vdibench-trace\nrubbish")
    with pytest.raises(TargetUnavailable, match="no trace of ours"), ReplayServer(tmp_path / "bad.trace"):
        pass


def test_a_server_that_died_is_told(trace: Path) -> None:
    with ReplayServer(trace) as server:
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(VdibenchError, match="ended unexpectedly"):
            server.count()


async def test_a_session_of_a_server_that_died_ends(trace: Path) -> None:
    with ReplayServer(trace) as server:
        kept = Kept()
        async with session(server, kept, mode=Mode.METER) as watched:
            await watched.first_frame()
            os.kill(server.pid, signal.SIGKILL)
            with pytest.raises(TargetUnavailable):
                await watched.watch(20.0)


BROKEN = """
from vdibench.replay.websocket import WebSocketReplay

async def send(self, now):
    raise LookupError("no such frame")

WebSocketReplay.send = send
"""


async def test_a_server_that_stopped_sending_ends_at_once_and_says_why(
    trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with ReplayServer(trace, dialect=Dialect.SELKIES_2_WEBSOCKET) as server:
        async with aiohttp.ClientSession() as client, client.ws_connect(f"{server.url}/api/websockets") as socket:
            await socket.send_str("SETTINGS,{}")
            while (await socket.receive(timeout=20)).type is not aiohttp.WSMsgType.CLOSE:
                continue
        # Nobody asked it for anything. It stays for its owner to wait for.
        await asyncio.to_thread(os.waitid, os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(TargetUnavailable, match="stopped sending: LookupError: no such frame"):
            server.count()
        with pytest.raises(VdibenchError, match="ended unexpectedly"):
            server.count()


OWNER = """
import sys, time
from pathlib import Path
from vdibench.replay.process import ReplayServer
with ReplayServer(Path(sys.argv[1])) as server:
    print(server.pid, flush=True)
    sys.stdin.readline()
"""


def test_it_ends_with_its_owner(trace: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(trace)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    with owner.stdin, owner.stdout:
        server = psutil.Process(int(owner.stdout.readline()))
        owner.kill()
        owner.wait()
        server.wait(10)
    assert not server.is_running()
