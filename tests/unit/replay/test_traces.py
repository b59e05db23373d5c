"""The cache of recorded traces: what falls short of its rates is recorded again, and never used in silence."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vdibench.records import Workload
from vdibench.replay import traces
from vdibench.replay.trace import Provenance, Trace, TraceFrame, load_trace, save_trace
from vdibench.replay.traces import LabTrace, cached_trace, shortfall, trace_folder

VIDEO = LabTrace(workload=Workload.VIDEO)
PROVENANCE = Provenance("a test", True, "", "", "", 1920, 1080, 60, 8_000_000, "video", -1, 0.0, "")
GOOD = (60.0, 7.9e6)


def made(frames_per_second: float, bits_per_second: float, count: int = 30) -> Trace:
    """A trace of those rates, parameter sets and pictures of no meaning."""
    unit = b"\x00\x00\x00\x01\x65" + b"\xff" * round(bits_per_second / frames_per_second / 8)
    frames = [
        TraceFrame(math.nan, n / frames_per_second, n / frames_per_second, 14, n == 0, unit) for n in range(count)
    ]
    return Trace(PROVENANCE, frames)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = trace_folder()
    assert folder.is_relative_to(tmp_path)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Trace]]:
    """A desktop that gives the rates it is told to, one recording after the other."""

    def give(*rates: tuple[float, float]) -> list[Trace]:
        left = [made(*rate) for rate in rates]
        monkeypatch.setattr(traces, "record_lab", lambda wanted, seconds, say: left.pop(0))
        return left

    return give


def old(path: Path) -> None:
    os.utime(path, (0, 0))


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        (GOOD, ""),
        ((57.5, 5.9e6), ""),
        ((56.5, 7.9e6), "56.5 of 60 frames a second"),
        ((60.0, 5.2e6), "of 8 Mbit/s"),
        ((40.0, 5e6), "40.0 of 60 frames a second and 5.0"),
    ],
)
def test_what_falls_short(rates: tuple[float, float], said: str) -> None:
    found = shortfall(made(*rates), VIDEO)
    assert said in found
    assert bool(found) is bool(said)


def test_a_still_picture_needs_no_bits() -> None:
    assert not shortfall(made(60.0, 1e6), LabTrace())
    assert shortfall(made(50.0, 1e6), LabTrace())


@pytest.mark.parametrize("rates", [(60.0, 5e6), (50.0, 7.9e6)])
def test_a_kept_one_that_falls_short_is_recorded_again(
    cache: Path, recorder: Callable[..., list[Trace]], rates: tuple[float, float]
) -> None:
    path = cache / VIDEO.file_name
    save_trace(made(*rates), path)
    old(path)
    left = recorder(rates, GOOD)
    assert cached_trace(VIDEO) == path
    assert left == []
    assert not shortfall(load_trace(path), VIDEO)


def test_the_best_is_kept_and_what_it_lacks_is_said(cache: Path, recorder: Callable[..., list[Trace]]) -> None:
    left = recorder((60.0, 4e6), (60.0, 5.2e6), (30.0, 7.9e6))
    said: list[str] = []
    path = cached_trace(VIDEO, said.append)
    assert left == []
    kept = load_trace(path)
    assert kept.payload_bps == pytest.approx(5.2e6, rel=0.02)
    assert said[-1].endswith(shortfall(kept, VIDEO))
    said.clear()
    cached_trace(VIDEO, said.append)  # too soon to be recorded again
    assert said == [f"{path.name}: {shortfall(kept, VIDEO)}"]


def test_a_worse_one_replaces_nothing(cache: Path, recorder: Callable[..., list[Trace]]) -> None:
    path = cache / VIDEO.file_name
    save_trace(made(60.0, 5.2e6), path)
    old(path)
    recorder(*[(60.0, 3e6)] * 3)
    assert load_trace(cached_trace(VIDEO)).payload_bps == pytest.approx(5.2e6, rel=0.02)


def test_a_good_one_is_used_as_it_is(cache: Path, recorder: Callable[..., list[Trace]]) -> None:
    path = cache / VIDEO.file_name
    save_trace(made(*GOOD), path)
    old(path)
    recorder()
    said: list[str] = []
    assert cached_trace(VIDEO, said.append) == path
    assert said == []
    assert dataclasses.asdict(load_trace(path).provenance) == dataclasses.asdict(PROVENANCE)
