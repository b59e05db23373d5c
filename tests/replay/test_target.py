"""Target ``replay``: as many desktops as are wanted of one trace, recorded once where there is none, labelled."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from replayed import Kept

from vdibench.client import DesktopSession, Mode, SessionOptions
from vdibench.client.admission import ConnectGate
from vdibench.errors import UsageError
from vdibench.records import Display, Workload
from vdibench.replay.trace import load_trace
from vdibench.replay.traces import LabTrace, cached_trace
from vdibench.selkies import Dialect, Role
from vdibench.suites.measurement import create_run
from vdibench.suites.parameters import DesktopParameters
from vdibench.suites.profiles import load_objectives
from vdibench.targets import OpenTarget, TargetAddress, Wanted, clock_bound_seconds, open_target, parse_target


async def watch_all(opened: OpenTarget, gate: ConnectGate) -> list[Kept]:
    kept = [Kept() for _ in opened.desktops]
    sessions = [
        DesktopSession(desktop, one, SessionOptions(role=Role.CONTROLLER, mode=Mode.METER))
        for desktop, one in zip(opened.desktops, kept, strict=True)
    ]

    async def watch(session: DesktopSession) -> None:
        await gate.admit(session.desktop)
        await session.connect()
        await session.first_frame()

    try:
        await asyncio.gather(*map(watch, sessions))
    finally:
        await asyncio.gather(*(session.leave() for session in sessions))
    return kept


@pytest.mark.parametrize("dialect", [Dialect.SELKIES_2_WEBRTC, Dialect.SELKIES_2_WEBSOCKET])
def test_every_wanted_desktop_is_there(trace: Path, tmp_path: Path, dialect: Dialect) -> None:
    said: list[str] = []
    address = parse_target(f"replay:{trace}")
    with open_target(address, Wanted(desktops=6, dialect=dialect), said.append) as opened:
        assert [desktop.id for desktop in opened.desktops] == [f"desktop-{n}" for n in range(6)]
        assert {desktop.endpoint.url for desktop in opened.desktops} == {opened.desktops[0].endpoint.url}
        first = opened.desktops[0]
        assert (first.owned, first.pids, first.marker_id, first.dialect) == (True, (), None, dialect)
        assert first.display == Display(640, 360, 30), "the trace's, whatever was wanted"
        kept = asyncio.run(watch_all(opened, ConnectGate(tmp_path)))
        assert opened.replay is not None
        assert opened.replay.count()["begun"] == 6
    assert all("synthetic" in one.facts for one in kept)
    assert any("replaying recorded H.264" in line for line in said)


def test_a_replay_that_cannot_be_is_refused(trace: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot speak"):
        refused(parse_target(f"replay:{trace}"), Wanted(dialect=Dialect.SELKIES_1_WEBRTC))
    with pytest.raises(UsageError, match="cannot read trace"):
        refused(parse_target(f"replay:{tmp_path / 'none.trace'}"), Wanted())


def refused(address: TargetAddress, wanted: Wanted) -> None:
    with open_target(address, wanted, lambda line: None):
        raise AssertionError("it opened")


def test_the_address_says_what_it_is(tmp_path: Path) -> None:
    assert parse_target("replay") == TargetAddress("replay")
    named = parse_target("replay:some where/a:b.trace")
    assert (named.name, str(named), named.synthetic) == ("some where/a:b.trace", "replay:some where/a:b.trace", True)
    assert not parse_target("lab").synthetic
    assert clock_bound_seconds(named) == 0
    for wrong in ("replay:", "replays"):
        with pytest.raises(UsageError):
            parse_target(wrong)


def test_a_run_on_it_is_synthetic(tmp_path: Path) -> None:
    for target, synthetic in (("replay:a.trace", True), ("lab", None)):
        parameters = DesktopParameters(target=target, results=str(tmp_path))
        folder = create_run("latency_under_load", parameters, load_objectives("lab"))
        folder.close()
        assert folder.run.context.get("synthetic") is synthetic


def test_a_lab_desktop_is_recorded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    wanted = LabTrace(Display(640, 360, 15), 400_000, Workload.TEXT)
    said: list[str] = []
    path = cached_trace(wanted, said.append, seconds=2.0)
    assert path.is_relative_to(tmp_path)
    assert len(said) >= 2
    found = load_trace(path)
    assert found.provenance.display == wanted.display
    assert (found.provenance.workload, found.provenance.bitrate_bps) == ("text", 400_000)
    assert found.timed
    assert 1.0 < found.seconds < 3.0
    before, spoken = path.read_bytes(), len(said)
    assert cached_trace(wanted, said.append).read_bytes() == before
    assert len(said) == spoken, "it was there"
    path.write_bytes(before[:-1])
    assert load_trace(cached_trace(wanted, said.append, seconds=1.0)).seconds < found.seconds
    assert len(said) > spoken, "what is damaged is recorded again"


def test_the_key_of_the_cache_is_what_was_recorded() -> None:
    names = {
        LabTrace().file_name,
        LabTrace(Display(640, 360, 60)).file_name,
        LabTrace(Display(1920, 1080, 30)).file_name,
        LabTrace(bitrate_bps=1_000_000).file_name,
        LabTrace(workload=Workload.IDLE).file_name,
    }
    assert len(names) == 5
    assert LabTrace().file_name.startswith("selkies-2.")
