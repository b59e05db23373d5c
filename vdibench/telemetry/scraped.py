"""GPU figures by way of a Prometheus that scrapes DCGM exporters. Network I/O, in a thread of its own.

For GPUs that are not this machine's, as those of a cluster's nodes are.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

from vdibench.errors import VdibenchError
from vdibench.records.gpus import SOURCE_FACT, ScrapedGpu
from vdibench.telemetry.dcgm import NAMES, Sampling, Scopes, reading
from vdibench.telemetry.gpus import GpuFigure
from vdibench.telemetry.prometheus import Prometheus, Sample, Series

__all__ = ["DcgmGpus"]

_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 15.0
_KEPT_FIGURES = 10_000
_NO_INTERVAL = "Prometheus does not say how often it scrapes the exporter: give the scrape interval"


class DcgmGpus:
    """GPU figures by way of a Prometheus. A context manager: entering asks once and starts the thread.

    A figure carries the instant of its scrape, by this machine's clock: what Prometheus' clock says is set right by the
    difference between the two, which every request shows. It also says since when at least it holds: the exporter
    shows a sample until it takes the next, every 30 s unless told otherwise. A value older than two scrapes is no
    figure, and neither is one of a series that ended.

    :param matchers: more label matchers, to choose devices, as in ``modelName="NVIDIA L4"``.
    :param scrape_interval_seconds: 0 for what Prometheus says of the exporter's target.
    """

    def __init__(self, server: Prometheus, *, matchers: str = "", scrape_interval_seconds: float = 0.0) -> None:
        more = f",{matchers}" if matchers else ""
        self._selector = f'{{__name__=~"{"|".join(NAMES)}"{more}}}'
        self._server = server
        self._given_interval = scrape_interval_seconds or None
        self._intervals: dict[tuple[str, str], float | None] = {}
        self._lock = threading.Lock()
        self._scopes = Scopes()
        self._latest: dict[tuple[str, str], float] = {}
        self._samplings: dict[str, Sampling] = {}
        self._frame_buffers: dict[str, float] = {}
        self._waiting: deque[GpuFigure] = deque(maxlen=_KEPT_FIGURES)
        self._refused: dict[tuple[str, str], tuple[int, str]] = {}
        self._reason = ""
        self._version = ""
        self._error: Exception | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vdibench-dcgm", daemon=True)

    def figures(self) -> list[GpuFigure]:
        """What was scraped since the call before. Raises what ended the thread, should something have."""
        with self._lock:
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            found = list(self._waiting)
            self._waiting.clear()
            return found

    def facts(self) -> dict[str, str]:
        """See :class:`vdibench.telemetry.gpus.GpuSource`; what is no data is there with its reason."""
        with self._lock:
            facts = {
                "telemetry.gpus": str(len(self._scopes)),
                SOURCE_FACT: f"DCGM by Prometheus {self._version} at {self._server.url}",
            }
            if intervals := self._known_intervals():
                facts["telemetry.gpus.scrape_interval_seconds"] = f"{max(intervals):g}"
            if self._reason:
                facts["telemetry.gpus.no_data"] = self._reason
            for scope, device in self._scopes:
                facts |= ScrapedGpu(scope, str(device), device.model, self._frame_buffers.get(scope)).facts()
            for (scope, resource), (count, reason) in sorted(self._refused.items()):
                facts[f"telemetry.{scope}.{resource}"] = f"no data {count} times, last because of {reason}"
            return facts

    @property
    def reason(self) -> str:
        """Why the last look at Prometheus brought no figure; empty when it did."""
        with self._lock:
            return self._reason

    def __enter__(self) -> Self:
        """:raises VdibenchError: Prometheus cannot be asked. That it has no GPU yet is no error."""
        self._version = self._server.version()
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the thread, after the request under way."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._pause_seconds()):
            try:
                self._look()
            except VdibenchError as error:
                self._say(str(error))
            except Exception as error:  # handed to whoever asks for figures; nobody else could see it
                with self._lock:
                    self._error = error
                return

    def _pause_seconds(self) -> float:
        """Half a scrape interval, so that none is missed."""
        shortest = min(self._known_intervals(), default=2 * _LONGEST_PAUSE_SECONDS)
        return min(max(shortest / 2, _SHORTEST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)

    def _look(self) -> None:
        began = time.time()
        living = self._server.query(self._selector)
        ended = time.time()
        if not living:
            self._say(self._why_nothing())
            return
        self._learn_intervals(living)
        if not (intervals := self._known_intervals()):
            self._say(_NO_INTERVAL)
            return
        at = living[0].unix_seconds
        offset = (began + ended) / 2 - at
        seconds = math.ceil(2 * max(intervals)) + 1
        names = {_identity(one.labels) for one in living}
        scraped = self._server.scraped(self._selector, seconds=seconds, at=at)
        fresh, reason = self._fresh([one for one in scraped if _identity(one.labels) in names], at)
        found = reading(fresh)
        with self._lock:
            self._reason = "" if found.figures else reason or "no figure that can be used"
            for refusal in found.refusals:
                key = self._scopes.of(refusal.device), refusal.resource
                self._refused[key] = self._refused.get(key, (0, ""))[0] + 1, refusal.reason
            for uuid in {one.device.uuid for one in found.figures}:
                sampling = self._samplings.setdefault(uuid, Sampling())
                sampling.add([one for one in found.figures if one.device.uuid == uuid])
            for one in found.figures:
                key = self._scopes.of(one.device), one.resource
                if one.unix_seconds > self._latest.get(key, -math.inf):
                    self._latest[key] = one.unix_seconds
                    earliest = self._samplings[one.device.uuid].earliest(one)
                    self._waiting.append(GpuFigure(*key, one.value, one.unix_seconds + offset, earliest + offset))
            self._frame_buffers |= {self._scopes.of(device): size for device, size in found.frame_buffers}

    def _fresh(self, scraped: Iterable[Series], at: float) -> tuple[list[Sample], str]:
        """The last sample of each series that is young enough, and why there is none of others."""
        fresh: list[Sample] = []
        reason = "every value is older than two scrapes"
        for one in scraped:
            interval = self._given_interval or self._intervals.get(_target(one.labels))
            if interval is None:
                reason = _NO_INTERVAL
                continue
            instant, value = one.points[-1]
            if at - instant <= 2 * interval:
                fresh.append(Sample(one.labels, instant, value))
        return fresh, "" if fresh else reason

    def _learn_intervals(self, living: Iterable[Sample]) -> None:
        """Ask once for each target that was not seen before."""
        unknown = {_target(one.labels) for one in living} - self._intervals.keys()
        if self._given_interval is not None or not unknown:
            return
        said = {(one.job, one.instance): one.interval_seconds for one in self._server.targets()}
        with self._lock:
            self._intervals.update({target: said.get(target) for target in unknown})

    def _known_intervals(self) -> list[float]:
        if self._given_interval is not None:
            return [self._given_interval]
        return [one for one in self._intervals.values() if one is not None]

    def _why_nothing(self) -> str:
        try:
            failing = [one for one in self._server.targets() if not one.healthy]
        except VdibenchError:  # what only speaks the query part of the interface has no targets
            failing = []
        ours = [one for one in failing if (one.job, one.instance) in self._intervals or "dcgm" in one.job]
        if ours:
            return f"Prometheus cannot scrape {ours[0].job} at {ours[0].instance}: {ours[0].error}"
        return "Prometheus has no series of a DCGM exporter"

    def _say(self, reason: str) -> None:
        with self._lock:
            self._reason = reason


def _identity(labels: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(labels.items())


def _target(labels: Mapping[str, str]) -> tuple[str, str]:
    return labels.get("job", ""), labels.get("instance", "")
