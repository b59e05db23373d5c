"""Resources beside a measurement, and GPU figures that come late: what is not surely of a window stays out of it. I/O.

A GPU of this machine is read here and now. What a Prometheus scraped of another comes seconds later, and its exporter
may have shown that sample for half a minute: such a figure belongs to the place of the run in which all its time lay.
"""

from __future__ import annotations

import dataclasses
import math
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

from vdibench.errors import TargetUnavailable
from vdibench.metrics import PROBE, STEADY
from vdibench.recorder import Place, Recorder
from vdibench.records import Desktop
from vdibench.store import RunFolder
from vdibench.suites.parameters import DesktopParameters, RunParameters
from vdibench.telemetry import Sampler
from vdibench.telemetry.prometheus import Access, Prometheus
from vdibench.telemetry.sampler import EARLIEST
from vdibench.telemetry.scraped import DcgmGpus

__all__ = ["PlacingRecorder", "open_gpu_metrics", "sampled"]


class PlacingRecorder(Recorder):
    """A recorder that remembers since when it has been where, for what comes late.

    :ivar late: figures that were scraped in a steady window.
    :ivar too_old: those of them that may be older than their window; they are kept, as a probe.
    """

    def __init__(self, folder: RunFolder, place: Place) -> None:
        super().__init__(folder, place)
        self.late = self.too_old = 0
        self._moves = [(time.time(), place)]

    def move(self, **changes: Any) -> None:
        """Go on to another level, trial or phase."""
        now = time.time()
        super().move(**changes)
        self._moves.append((now, self.place))

    def resources(self, rows: list[dict[str, Any]]) -> None:
        """Readings of the sampler: those of the moment, and those that were scraped."""
        super().resources([row for row in rows if EARLIEST not in row])
        late = [self._placed(row) for row in rows if EARLIEST in row]
        if late:
            self._folder.append("resources", late)

    def _placed(self, row: dict[str, Any]) -> dict[str, Any]:
        values = {name: value for name, value in row.items() if name != EARLIEST}
        number = bisect_right(self._moves, row["unix_seconds"], key=itemgetter(0)) - 1
        since, place = self._moves[number] if number >= 0 else (math.inf, self._moves[0][1])
        if place.phase == STEADY:
            self.late += 1
            if row[EARLIEST] < since:
                self.too_old += 1
                place = dataclasses.replace(place, phase=PROBE)
        return {**values, **place.columns(row["session"])}


@contextmanager
def open_gpu_metrics(parameters: RunParameters) -> Iterator[DcgmGpus | None]:
    """The GPUs of the Prometheus that parameters name; None where they name none.

    :raises UsageError: Prometheus wants another token, or cannot make sense of the matchers.
    :raises TargetUnavailable: it cannot be asked, or has no GPU figure.
    """
    if not isinstance(parameters, DesktopParameters) or not parameters.gpu_metrics:
        yield None
        return
    server = Prometheus(parameters.gpu_metrics, Access.from_environment())
    with DcgmGpus(server, matchers=parameters.gpu_matchers) as gpus:
        if reason := gpus.reason:
            raise TargetUnavailable(
                f"no GPU figures by way of {server.url}: {reason}",
                "name in gpu_metrics the Prometheus that scrapes the DCGM exporter, mend gpu_matchers, or give neither",
            )
        yield gpus


@contextmanager
def sampled(desktops: Sequence[Desktop], recorder: PlacingRecorder, gpus: DcgmGpus | None) -> Iterator[None]:
    """Sample the resources of desktops, of this machine and of ``gpus``; at the end, record how that was done."""
    if gpus is not None:
        gpus.figures()  # what was scraped before there was anything to measure
        _record(recorder, gpus.facts())  # who looks meanwhile wants to know which GPUs these are
    sampler = Sampler(desktops, emit=recorder.resources, gpus=gpus)
    try:
        with sampler:
            yield
    finally:
        facts = sampler.facts()
        for desktop in desktops:
            if how := facts.pop(f"telemetry.{desktop.id}", ""):
                recorder.fact(desktop.id, "telemetry", how)
        if gpus is not None:
            facts["telemetry.gpus.too_old"] = f"{recorder.too_old} of {recorder.late} figures of steady windows"
        _record(recorder, facts)


def _record(recorder: Recorder, facts: Mapping[str, str]) -> None:
    for key, value in facts.items():
        recorder.fact("host", key, value)
