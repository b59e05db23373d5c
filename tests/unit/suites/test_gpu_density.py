"""Notebook 04's steps without a desktop: which trials its guard looks at."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from vdibench.suites import gpu_density


class Load:
    """Keeps what was asked of it."""

    def __init__(self) -> None:
        self.measured: list[tuple[int, int]] = []
        self.guarded: list[tuple[int, int]] = []

    def note(self, *_: object) -> None: ...

    def close(self) -> None: ...

    def measure(self, level: int, trial: int) -> dict[str, object]:
        self.measured.append((level, trial))
        return {}

    def guard(self, level: int, trial: int, expectations: object, *, framerate: float) -> None:
        assert (expectations, framerate) == ("criteria", gpu_density.Parameters().framerate)
        self.guarded.append((level, trial))


def test_every_trial_beside_neighbours_is_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program's work beside the light desktop must not pass for what neighbours cost it."""
    load = Load()
    suite = object.__new__(gpu_density.GpuDensity)  # no target, no run folder: only the steps
    suite.parameters = gpu_density.Parameters(neighbours=2, neighbour_trials=2)
    suite._criteria = "criteria"  # type: ignore[assignment]  # handed on, not read
    desktops = [SimpleNamespace(id=f"desktop-{number}", shows="idle") for number in range(5)]
    suite.measurement = SimpleNamespace(desktops=desktops, require_open=lambda: None, tables=dict)  # type: ignore[assignment]  # as far as it is used
    monkeypatch.setattr(suite, "_load", lambda *_: load)
    suite.neighbours()
    assert load.measured == [(level, trial) for level in (1, 2, 3) for trial in (0, 1)]
    assert load.guarded == load.measured
