"""`vdibench watch --link`: a desktop over a network of one's choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psutil

Start = Callable[..., Any]


def test_a_link_adds_its_delay_and_its_loss(on: Start) -> None:
    watcher = on("--link", "down.delay=80ms,down.loss=5%", "--json", "--count", "3")
    session = watcher.record("session")
    assert session["candidate_pair"].count("127.0.0.1") == 2
    assert session["clock_bound_seconds"] == 0
    (relay,) = [
        child for child in psutil.Process(watcher.process.pid).children() if "vdibench.links" in str(child.cmdline())
    ]
    summary = watcher.record("summary")
    assert summary["glass_to_glass_p50_seconds"] > 0.08
    assert summary["packets_lost"] > 0
    assert watcher.end()[0] == 0
    assert not relay.is_running()


def test_a_link_that_nobody_knows_is_refused_before_anything_starts(watch: Start) -> None:
    code, out, errors = watch("http://127.0.0.1:9", "--link", "transatlantik").end()
    assert (code, out) == (2, "")
    assert errors.count("\n") == 1
    assert "did you mean transatlantic?" in errors
