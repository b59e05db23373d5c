"""A login storm: a hundred users at once against a replayed desktop, over both transports of Selkies 2."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from commands import loaded, reasons

from vdibench.store import Recording

# Between two WebSockets of one address, as Selkies wants it.
SPACING_SECONDS = 0.5


@pytest.mark.timeout(420)
@pytest.mark.parametrize(
    ("dialect", "users", "rate", "workers"),
    [("selkies-2-webrtc", 100, 10, 2), ("selkies-2-websocket", 30, 4, 1)],
)
def test_nobody_is_turned_away(tmp_path: Path, dialect: str, users: int, rate: int, workers: int) -> None:
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
    if code != 97:
        assert steady["loop_lag_p99_seconds"].median() < 0.005
    else:
        assert all("late" in reason or "busy" in reason or "same time" in reason for reason in reasons(run))
    # Far beyond the limit, so that a loaded machine passes, and a loop that hangs does not.
    assert steady["loop_lag_p99_seconds"].median() < 0.25
    assert steady["socket_drops"].sum() == 0
    if dialect == "selkies-2-websocket":
        signalled = np.sort(milestones[milestones["event"] == "channel_open"]["unix_seconds"].to_numpy())
        # The server itself refuses those that come sooner than half a second after another.
        assert np.diff(signalled).min() > 0.5 * SPACING_SECONDS
        assert signalled[-1] - signalled[0] >= (users - 1) * SPACING_SECONDS * 0.95
