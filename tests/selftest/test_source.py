"""The source of canned video: real sessions over it, its counts, its end; and what a client costs against it."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from pathlib import Path

import pytest

from vdibench.children import Child
from vdibench.client import DesktopSession, Mode, SessionOptions
from vdibench.errors import VdibenchError
from vdibench.links import DIRECT, Relay
from vdibench.records import Desktop, Display, Endpoint
from vdibench.replay.canned import encode
from vdibench.replay.process import ReplayServer
from vdibench.replay.trace import save_trace
from vdibench.selftest import QUICK
from vdibench.selftest.cost import measure_cost
from vdibench.selftest.floors import measure_floors, measure_one_floor
from vdibench.selftest.plan import CostStep
from vdibench.selftest.rate import measure_rate
from vdibench.selftest.samples import Samples


async def test_sessions_decode_what_it_sends(source: ReplayServer) -> None:
    sinks = [Samples(), Samples()]
    sessions = [DesktopSession(Desktop(f"d-{n}", Endpoint(source.url)), sink) for n, sink in enumerate(sinks)]
    try:
        for session, sink in zip(sessions, sinks, strict=True):
            await session.connect()
            await session.first_frame()
            sink.clear()
        before = source.count()
        await asyncio.gather(*(session.watch(1.5) for session in sessions))
        after = source.count()
    finally:
        await asyncio.gather(*(session.leave() for session in sessions))
    assert after["sessions"] == 2
    assert all(len(sink.arrivals()) > 20 for sink in sinks)
    seconds = after["unix_seconds"] - before["unix_seconds"]
    assert (after["packets"] - before["packets"]) / seconds / 2 == pytest.approx(source.packets_per_second, rel=0.3)
    assert after["refused"] == 0
    assert 20 <= after["overhead_bytes"] <= 40  # RTP header and SRTP tag


@pytest.mark.parametrize("mode", [Mode.METER, Mode.DECODE])
def test_cost_of_a_mode_is_that_of_its_process(source: ReplayServer, mode: Mode) -> None:
    said: list[str] = []
    (row,), _ = measure_cost([CostStep(mode, 2)], 1.0, source, said.append)
    assert (row.mode, row.sessions) == (mode, 2)
    assert row.packets_per_second == pytest.approx(source.packets_per_second, rel=0.3)
    assert 0 < row.cpu_ratio_per_session < 1
    assert row.clients_per_core == pytest.approx(1 / row.cpu_ratio_per_session)
    assert 0 < row.loop_looks <= 110
    assert row.loop_lag_p99_seconds is not None
    assert 0 <= row.loop_lag_p99_seconds < 10
    assert row.socket_drops == 0
    assert 0 < row.rss_bytes_per_session < 200e6
    assert said == [f"cost of 2 × {mode}"]


def test_floor_is_cheap() -> None:
    found = measure_floors(0.5, trace=None, bitrate_bps=8_500_000)
    assert found.missing == ()
    assert set(found.cores) == {"receive", "decode"}
    assert 0 < found.cores["receive"] < found.cores["decode"] < 1


@pytest.mark.parametrize("what", ["receive", "recvfrom", "recvmmsg"])
def test_floors_read_the_trace_of_the_replay(what: str, tmp_path: Path) -> None:
    pytest.importorskip("vdibench_native")
    trace = encode(Display(320, 180, 30), 1_000_000, 15)
    save_trace(trace, path := tmp_path / "one.trace")
    with Child("vdibench.selftest.floor", (what, "1", "4", "--trace", str(path))) as child:
        said = child.hear(60)
    assert said["planned"] / said["seconds"] / 4 == pytest.approx(trace.packets_per_second)
    # A busy machine may send less; more than a frame of each session beyond the plan would be another rhythm.
    assert 0 < said["count"] <= said["planned"] + 4 * max(map(len, trace.payloads))
    assert 0 < measure_one_floor(what, 0.3, 2, trace=path)[0] < 1


async def test_rate_of_a_full_link_is_what_arrives(source: ReplayServer) -> None:
    plan = dataclasses.replace(QUICK, rate_seconds=2.0)
    with Relay() as relay:
        row = await measure_rate(source, relay.route(DIRECT), plan, lambda line: None)
    assert row.injected == pytest.approx(500_000)
    assert row.measured == pytest.approx(500_000, rel=0.1)


def test_a_source_that_died_is_told() -> None:
    with ReplayServer(width=320, height=180, framerate=30, bitrate_bps=1_000_000) as source:
        os.kill(source.pid, signal.SIGKILL)
        with pytest.raises(VdibenchError, match="ended unexpectedly"):
            source.count()


async def test_meter_takes_no_picture(source: ReplayServer) -> None:
    sink = Samples()
    options = SessionOptions(mode=Mode.METER)
    async with DesktopSession(Desktop("d", Endpoint(source.url)), sink, options) as session:
        await session.first_frame()
        sink.clear()
        await session.watch(1.0)
    assert len(sink.arrivals()) > 10
    assert len(sink.latencies()["glass_to_glass_seconds"].values) == 0
