"""What becomes of users' sessions: an engine that ends, turns that are waited for, sessions that end or come anew."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from standin_websocket import Behaviour as WebSocketBehaviour
from standin_websocket import WebSocketStandIn

from vdibench.client.admission import ConnectGate
from vdibench.errors import AuthenticationError, StreamLost, TargetUnavailable, VdibenchError
from vdibench.lab import DesktopSpec, Lab, LabSpec
from vdibench.load.batches import BatchRecorder
from vdibench.load.driver import LoadDriver, LoadOptions
from vdibench.load.hosting import SessionHost
from vdibench.load.roster import ROSTER_VARIABLE, Roster, write_roster
from vdibench.recorder import Place
from vdibench.records import Desktop, Display, Endpoint
from vdibench.store import Recording, RunFolder

from .conftest import SUITE

WEBSOCKET = "selkies-2-websocket"
NOBODY = "http://127.0.0.1:9"
SPACING_SECONDS = 0.5

# An engine as it is, beside a thread that does not end: what a decoder or a resolver that hangs leaves behind.
HANGING = """
import sys, threading, time
from vdibench.load import engine
threading.Thread(target=time.sleep, args=(600.0,)).start()
engine.main(sys.argv[1:])
"""


def test_an_engine_with_a_thread_that_hangs_ends_all_the_same(run_folder: RunFolder, tmp_path: Path) -> None:
    roster = tmp_path / "roster.json"
    write_roster(roster, Roster(str(run_folder.path), SUITE, ()))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", HANGING, str(theirs.fileno()), str(os.getpid())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, ROSTER_VARIABLE: str(roster)},
            stderr=subprocess.PIPE,
        )
        theirs.close()
        try:
            ours.settimeout(60.0)
            assert ours.recv(4), "it serves"
            time.sleep(1.5)  # a second of its own to record
            process.send_signal(signal.SIGTERM)
            _, words = process.communicate(timeout=60.0)
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()
    assert process.returncode == 1
    assert b"Timeout" in words, "it says where it hung"
    assert len(Recording.open(run_folder.path).table("engine")), "samples were written before"


# turns and sessions, in this process


@pytest.fixture
async def host(
    run_folder: RunFolder,
) -> AsyncIterator[Callable[..., tuple[SessionHost, list[VdibenchError], BatchRecorder]]]:
    """Host a desktop's session; what fails it is listed. Left with the test."""
    hosts, recorder = [], BatchRecorder(run_folder, Place(SUITE))

    def make(desktop: Desktop, **how: Any) -> tuple[SessionHost, list[VdibenchError], BatchRecorder]:
        failed: list[VdibenchError] = []
        roster = Roster(str(run_folder.path), SUITE, (desktop,), **how)
        hosts.append(SessionHost(roster, recorder, lambda user, error: failed.append(error)))
        return hosts[-1], failed, recorder

    yield make
    for one in hosts:
        await one.leave()
    recorder.hand_over()


async def test_a_healthy_session_that_connects_anew_did_not_fail(
    stand_in_url: str, host: Any, run_folder: RunFolder
) -> None:
    sessions, failed, recorder = host(Desktop("desktop-0", Endpoint(stand_in_url), marker_id=7))
    await sessions.call("connect", 0, {})
    await sessions.call("first_frame", 0, {})
    await sessions.call("reconnect", 0, {})
    await sessions.call("watch", 0, {"seconds": 0.5})
    assert sessions.showing == 1
    await sessions.call("disconnect", 0, {})
    assert failed == []
    recorder.hand_over()
    run_folder.flush()
    found = Recording.open(run_folder.path).table("milestones")["event"].to_list()
    assert "failed" not in found
    assert found.count("first_frame") == found.count("started") == 2


def take_turns(desktop: Desktop, count: int) -> None:
    """As other processes of this machine do."""
    for _ in range(count):
        assert ConnectGate()._reserve(desktop.endpoint.url, time.monotonic()) is not None


async def test_turns_are_waited_for_and_told_also_by_those_that_fail(host: Any) -> None:
    desktop = Desktop("desktop-0", Endpoint(NOBODY), dialect=WEBSOCKET)
    sessions, failed, _ = host(desktop)
    take_turns(desktop, 4)
    with pytest.raises(TargetUnavailable):
        await sessions.call("connect", 0, {})
    assert sessions.take_waited(0) > 0.0
    assert sessions.take_waited(0) == 0.0, "once"
    take_turns(desktop, 4)
    with pytest.raises(VdibenchError):
        await sessions.call("reconnect", 0, {})
    assert sessions.take_waited(0) > 0.0
    assert len(failed) == 2


async def test_connecting_anew_waits_for_its_turn_and_says_so(host: Any) -> None:
    with WebSocketStandIn(WebSocketBehaviour(spacing=True)) as server:
        desktop = Desktop("desktop-0", Endpoint(server.url), marker_id=7, dialect=WEBSOCKET)
        sessions, failed, _ = host(desktop)
        await sessions.call("connect", 0, {})
        await sessions.call("first_frame", 0, {})
        sessions.take_waited(0)
        take_turns(desktop, 4)
        await sessions.call("reconnect", 0, {})
        assert sessions.take_waited(0) > 0.0
        assert failed == []


async def test_through_the_relay_alone_a_desktop_without_one_is_not_reached(stand_in: Any, host: Any) -> None:
    server = stand_in(fps=15)
    desktop = Desktop("desktop-0", Endpoint(server.url), marker_id=7)
    sessions, failed, _ = host(desktop, relay_only=True)
    with pytest.raises(TargetUnavailable, match="names no TURN server"):
        await sessions.call("connect", 0, {})
    assert [str(error) for error in failed] == [str(failed[0])]
    assert not server.sessions
    sessions, failed, _ = host(desktop)
    await sessions.call("connect", 0, {})
    assert failed == []


async def test_a_dialect_that_has_no_relay_is_refused_where_one_is_asked_for(host: Any) -> None:
    with WebSocketStandIn() as server:
        sessions, failed, _ = host(Desktop("desktop-0", Endpoint(server.url), marker_id=7), relay_only=True)
        with pytest.raises(TargetUnavailable, match="selkies-2-websocket, which goes through no relay"):
            await sessions.call("connect", 0, {})
        assert len(failed) == 1
        assert "leave relay_only out" in failed[0].remedy
        assert sessions.showing == 0
        await sessions.call("disconnect", 0, {})
        assert len(server.opened) == 1


# users, in processes of their own


def test_users_come_through_the_relay_alone_where_that_is_asked_for(run_folder: RunFolder) -> None:
    spec = LabSpec(desktops=(DesktopSpec(display=Display(640, 360, 15)),))
    with Lab.up(spec, owned=True) as lab:
        for trial, relay_only in enumerate((False, True)):
            options = LoadOptions(relay_only=relay_only)
            with LoadDriver(run_folder.path, lab.desktops, options, suite=SUITE, secrets=lab.secrets) as driver:
                driver.move(level=1, trial=trial, phase="steady")
                assert driver.scale(1) == {}
                assert driver.hold(1.0) == {}
    facts = Recording.open(run_folder.path).table("facts")
    pairs = facts[facts["key"] == "ice.pair"].set_index("trial")["value"]
    assert not pairs[0].startswith("relay ")
    assert pairs[1].startswith("relay ")


def test_a_turn_is_not_the_desktops_time_also_where_connecting_fails(
    drive: Callable[..., LoadDriver], run_folder: RunFolder
) -> None:
    users = 5
    ours = [Desktop(f"desktop-{index}", Endpoint(NOBODY), dialect=WEBSOCKET) for index in range(users)]
    driver = drive(ours, spawn_rate=100.0)
    driver.move(level=users, trial=0, phase="steady")
    failed = driver.scale(users)
    assert len(failed) == users
    driver.close()
    requests = Recording.open(run_folder.path).table("requests")
    tried = requests[requests["name"] == "connect"]
    assert len(tried) == users
    began = tried["unix_seconds"]
    # They came at once: what lies between their beginnings is their turns.
    assert began.max() - began.min() > 0.6 * (users - 1) * SPACING_SECONDS


def test_a_revoked_token_ends_a_session_and_its_user_stands_still(
    drive: Callable[..., LoadDriver], run_folder: RunFolder
) -> None:
    with WebSocketStandIn() as server:
        driver = drive([Desktop("desktop-0", Endpoint(server.url), marker_id=7, dialect=WEBSOCKET)])
        driver.move(level=1, trial=0, phase="steady")
        assert driver.scale(1) == {}
        server.do(server.hang_up(4002, "Token revoked"))
        failed = driver.hold(60.0)
        assert list(failed) == ["desktop-0"]
        assert isinstance(failed["desktop-0"], AuthenticationError | StreamLost)
        assert "revoked" in str(failed["desktop-0"])
        assert driver.shown == 0
        time.sleep(3.0)  # time to connect anew, for one that would
        assert len(server.clients) == 1, "it stands still"
        driver.scale(0)
        driver.close()
    tables = Recording.open(run_folder.path)
    milestones, requests = tables.table("milestones"), tables.table("requests")
    assert (milestones["event"] == "failed").sum() == 1
    assert (milestones["event"] == "started").sum() == 1
    assert not set(requests["name"]) & {"reconnect"}
    wrong = requests[requests["error"] != ""]
    assert wrong["name"].to_list() == ["watch"], "one step failed, and none came after it"
