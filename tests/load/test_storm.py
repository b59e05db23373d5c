"""A login storm: a hundred users at once against a replayed desktop, over both transports of Selkies 2."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from commands import busy, loaded, reasons
from standin_websocket import Behaviour, WebSocketStandIn

from vdibench.client import Mode
from vdibench.load.driver import LoadDriver
from vdibench.records import Desktop, Endpoint
from vdibench.store import Recording, RunFolder

# Between two WebSockets of one address, as Selkies wants it.
SPACING_SECONDS = 0.5


@pytest.mark.timeout(420)
@pytest.mark.parametrize(
    ("dialect", "users", "rate", "workers"),
    [("selkies-2-webrtc", 100, 10, 2), ("selkies-2-websocket", 30, 4, 1)],
)
def test_nobody_is_turned_away(
    tmp_path: Path, record_property: Callable[[str, object], None], dialect: str, users: int, rate: int, workers: int
) -> None:
    code, out, errors = loaded(
        tmp_path,
        *("--scenario", "watch", "--mode", "meter", "-p", "dialect", dialect, "--json"),
        *("--shape", f"storm:{users}@{rate}/s+5s", "--workers", str(workers)),
    )
    run = Path(json.loads(out)["run"])
    assert code in {0, 97, 99}, errors
    recording = Recording.open(run)
    milestones, engine = recording.table("milestones"), recording.table("engine")
    first = milestones[milestones["event"] == "first_frame"]
    assert set(milestones["event"]) >= {"started", "first_frame", "left"}
    assert "failed" not in set(milestones["event"])
    assert first["session"].nunique() == users
    assert set(recording.table("requests")["error"]) == {""}
    # What this host could not do on time makes the run invalid, and is said; what is left is judged.
    steady = engine[engine["phase"] == "steady"]
    lags = engine["loop_lag_p99_seconds"].dropna()
    assert engine["session"].nunique() == workers
    assert len(lags)
    # A figure to follow and not one to hold a busy machine to: the guard does that, for what counts.
    record_property("loop_lag_p99_seconds", float(np.percentile(lags, 99)))
    if code == 97:
        assert all("late" in reason or "busy" in reason or "same time" in reason for reason in reasons(run))
    assert steady["socket_drops"].sum() == 0
    if dialect == "selkies-2-websocket":
        signalled = np.sort(milestones[milestones["event"] == "channel_open"]["unix_seconds"].to_numpy())
        assert signalled[-1] - signalled[0] >= (users - 1) * SPACING_SECONDS * 0.95


@pytest.mark.timeout(300)
def test_the_server_sees_one_connection_in_half_a_second(
    drive: Callable[..., LoadDriver], run_folder: RunFolder, record_property: Callable[[str, object], None]
) -> None:
    users = 16
    with WebSocketStandIn(Behaviour(spacing=True, fps=5)) as server:
        ours = [Desktop(f"desktop-{index}", Endpoint(server.url), marker_id=7) for index in range(users)]
        driver = drive(ours, workers=2, spawn_rate=50.0, mode=Mode.METER)
        driver.move(level=users, trial=0, phase="steady")
        assert driver.scale(users) == {}, "no connect failed"
        assert driver.hold(1.0) == {}
        driver.close()
    tables = Recording.open(run_folder.path)
    requests = tables.table("requests")
    assert set(requests["error"]) == {""}
    assert "failed" not in set(tables.table("milestones")["event"])
    # By the server's own clock, of two processes that agree on turns: each was let in once, and none came too soon.
    assert len(server.opened) == users
    assert np.diff(server.opened).min() >= SPACING_SECONDS
    turned_away = len(server.clients) - users
    record_property("turned_away", turned_away)
    # A machine that holds a process up for longer than the slack between turns brings one too close to the next.
    assert turned_away == 0 or busy()
