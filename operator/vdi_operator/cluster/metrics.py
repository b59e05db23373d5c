"""What Prometheus sees of the operator, in a registry of its own. Session and pod names are never labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from vdi_operator.api.reasons import FAILURES, QUEUES, Reason
from vdi_operator.cluster.activity import Outcome
from vdi_operator.cluster.sessions import State

__all__ = ["START_BUCKETS", "Metrics"]

# Seconds; the objective of 30 s is one of the bounds.
START_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300)
_PASS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# The whole start, beside its phases.
_TOTAL = "total"

_Key = TypeVar("_Key", State, Reason)


class Metrics:
    """All of them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._starts = Histogram(
            "vdi_session_start_seconds",
            "From the wish (creation or resume) to the published URL, by phase; phase total is the whole.",
            ["phase"],
            buckets=START_BUCKETS,
            registry=self.registry,
        )
        self._failures = Counter(
            "vdi_session_failures_total",
            "Starts and sessions that a person has to look at, by reason.",
            ["reason"],
            registry=self.registry,
        )
        for reason in FAILURES:  # a rate needs the zero before the first one
            self._failures.labels(reason.value)
        self._passes = Histogram(
            "vdi_reconcile_seconds", "Length of a pass.", buckets=_PASS_BUCKETS, registry=self.registry
        )
        self._errors = Counter("vdi_reconcile_errors_total", "Passes that failed.", registry=self.registry)
        self._success = Gauge(
            "vdi_last_successful_reconcile_timestamp_seconds", "When a pass last succeeded.", registry=self.registry
        )
        self._requests = Counter(
            "vdi_api_requests_total",
            "Requests to the API server; code 0 had no answer.",
            ["verb", "kind", "code"],
            registry=self.registry,
        )
        self._looks = Counter(
            "vdi_idle_looks_total",
            "Looks at desktops for their clients, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        for outcome in Outcome:
            self._looks.labels(outcome.value)
        self._idled = Counter(
            "vdi_sessions_idled_total", "Desktops that were stopped because nobody was at them.", registry=self.registry
        )
        self._restarts = Counter(
            "vdi_session_watch_restarts_total", "Times that kopf had to be started again.", registry=self.registry
        )
        self._claims = Counter(
            "vdi_warm_claims_total",
            "Pods of sessions whose template has warm slots: warm took the place of a placeholder, cold found none.",
            ["state"],
            registry=self.registry,
        )
        for state in ("warm", "cold"):  # a rate needs the zero before the first one
            self._claims.labels(state)

    def gauge(self, name: str, documentation: str, value: Callable[[], float]) -> None:
        """A value that is known elsewhere, read at each scrape."""
        Gauge(name, documentation, registry=self.registry).set_function(value)

    def sessions(self, states: Callable[[], Mapping[State, int]]) -> None:
        """Sessions by state, those states without one too; counted at each scrape."""
        gauge = Gauge("vdi_sessions", "Sessions, by state.", ["state"], registry=self.registry)
        for state in State:
            gauge.labels(state.value).set_function(partial(_count, states, state))

    def waiting(self, queues: Callable[[], Mapping[Reason, int]]) -> None:
        """Sessions that wait for others, by reason, those without one too; counted at each scrape."""
        gauge = Gauge("vdi_sessions_waiting", "Sessions that wait for others.", ["reason"], registry=self.registry)
        for reason in QUEUES:
            gauge.labels(reason.value).set_function(partial(_count, queues, reason))

    def warm_slots(self, counts: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        """Places that are kept warm, by template and state; counted at each scrape."""
        self.registry.register(_WarmSlots(counts))

    def claimed(self, *, warm: bool) -> None:
        """A session of a template with warm slots is about to have its pod, in such a place or not."""
        self._claims.labels("warm" if warm else "cold").inc()

    def started(self, phases: Mapping[str, float], total: float) -> None:
        """A session became ready.

        :param phases: seconds by milestone, as its status has them.
        """
        for phase, seconds in phases.items():
            self._starts.labels(phase).observe(seconds)
        self._starts.labels(_TOTAL).observe(total)

    def failed(self, reason: Reason) -> None:
        """A session came to need a person."""
        self._failures.labels(reason.value).inc()

    def looked(self, outcome: Outcome) -> None:
        """A desktop was looked at for its clients."""
        self._looks.labels(outcome.value).inc()

    def idled(self) -> None:
        """A desktop was stopped because nobody was at it."""
        self._idled.inc()

    def passed(self, seconds: float, now: float) -> None:
        """A pass succeeded, at a Unix time."""
        self._passes.observe(seconds)
        self._success.set(now)

    def erred(self, seconds: float) -> None:
        """A pass failed."""
        self._passes.observe(seconds)
        self._errors.inc()

    def requested(self, verb: str, kind: str, code: int) -> None:
        """A request was answered, or not (0)."""
        self._requests.labels(verb, kind, str(code)).inc()

    def restarted(self) -> None:
        """kopf had ended and runs again."""
        self._restarts.inc()

    def text(self) -> bytes:
        """As Prometheus scrapes them."""
        return generate_latest(self.registry)


def _count(counts: Callable[[], Mapping[_Key, int]], key: _Key) -> float:
    return float(counts().get(key, 0))


class _WarmSlots(Collector):
    """A gauge whose templates come and go."""

    def __init__(self, counts: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """As the registry asks."""
        said = "Places that are kept warm, by template: wanted by it, ready, pending."
        family = GaugeMetricFamily("vdi_warm_slots", said, labels=["template", "state"])
        for labels, count in self._counts().items():
            family.add_metric(labels, float(count))
        yield family
