"""What Prometheus sees: names as its conventions want them, labels of closed lists, and numbers that were observed."""

from __future__ import annotations

import re
from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from vdi_operator.api.reasons import FAILURES, QUEUES, Reason
from vdi_operator.cluster.metrics import START_BUCKETS, Metrics
from vdi_operator.cluster.sessions import State


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def whole() -> Metrics:
    metrics = Metrics()
    metrics.sessions(lambda: Counter({State.READY: 2}))
    metrics.warm_slots(lambda: {("cad", "ready"): 1})
    metrics.gauge("vdi_queue_depth", "Sessions that wait for a pass.", lambda: 3)
    metrics.requested("create", "Pod", 201)
    metrics.started({"scheduled": 0.5, "published": 1.5}, 2.0)
    metrics.passed(0.01, 1_800_000_000.0)
    return metrics


def test_names_and_labels_keep_to_the_conventions() -> None:
    units = ("_seconds", "_total", "_sessions", "_depth", "_slots")
    for family in text_string_to_metric_families(whole().text().decode()):
        if family.name.endswith("_created"):  # the library's own
            continue
        assert re.fullmatch(r"vdi_[a-z_]+", family.name), family.name
        assert family.documentation, family.name
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert name.endswith(units), name
        labels = {label for sample in family.samples for label in sample.labels}
        assert labels <= {"le", "phase", "reason", "state", "template", "verb", "kind", "code", "outcome"}, family.name


def test_a_start_is_counted_by_phase_and_as_a_whole() -> None:
    found = samples(whole())
    counts = {labels[0][1]: value for (name, labels), value in found.items() if name == "vdi_session_start_seconds_sum"}
    assert counts == {"scheduled": 0.5, "published": 1.5, "total": 2.0}
    assert max(START_BUCKETS) == 300
    assert 30 in START_BUCKETS, "the objective"


def test_failures_of_every_reason_begin_at_zero() -> None:
    metrics = Metrics()
    metrics.failed(Reason.IMAGE_UNAVAILABLE)
    found = {
        dict(labels)["reason"]: value
        for (name, labels), value in samples(metrics).items()
        if name == "vdi_session_failures_total"
    }
    assert set(found) == {reason.value for reason in FAILURES}
    assert {reason for reason, value in found.items() if value} == {"ImageUnavailable"}


def test_sessions_have_every_state_and_are_counted_at_the_scrape() -> None:
    states: Counter[State] = Counter()
    metrics = Metrics()
    metrics.sessions(lambda: states)
    states[State.READY] = 7
    found = samples(metrics)
    assert found[("vdi_sessions", (("state", "ready"),))] == 7
    assert found[("vdi_sessions", (("state", "failed"),))] == 0


def test_those_who_wait_have_every_reason_and_are_counted_at_the_scrape() -> None:
    queues: Counter[Reason] = Counter()
    metrics = Metrics()
    metrics.waiting(lambda: queues)
    queues[Reason.HOME_NODE_FULL] = 3
    found = samples(metrics)
    assert {labels[0][1]: value for (name, labels), value in found.items() if name == "vdi_sessions_waiting"} == {
        "UserLimitReached": 0,
        "NamespaceLimitReached": 0,
        "CapacityReached": 0,
        "HomeNodeFull": 3,
    }
    assert not set(QUEUES) & set(FAILURES)


def test_passes_and_requests_are_counted() -> None:
    metrics = whole()
    metrics.erred(0.2)
    found = samples(metrics)
    assert found[("vdi_reconcile_seconds_count", ())] == 2
    assert found[("vdi_reconcile_errors_total", ())] == 1
    assert found[("vdi_last_successful_reconcile_timestamp_seconds", ())] == 1_800_000_000.0
    assert found[("vdi_api_requests_total", (("code", "201"), ("kind", "Pod"), ("verb", "create")))] == 1
    assert found[("vdi_queue_depth", ())] == 3


def test_two_operators_in_one_process_do_not_share_numbers() -> None:
    first, second = Metrics(), Metrics()
    first.requested("get", "Secret", 200)
    assert not [key for key in samples(second) if key[0] == "vdi_api_requests_total"]


def test_warm_slots_are_those_of_the_moment() -> None:
    metrics, counts = Metrics(), {("cad", "wanted"): 2, ("cad", "ready"): 1}
    metrics.warm_slots(lambda: counts)
    metrics.claimed(warm=True)
    found = samples(metrics)
    assert found["vdi_warm_slots", (("state", "wanted"), ("template", "cad"))] == 2
    assert {dict(labels)["state"]: value for (name, labels), value in found.items() if "claims" in name} == {
        "warm": 1,
        "cold": 0,
    }
    counts.clear()
    assert not [name for name, _ in samples(metrics) if name == "vdi_warm_slots"]
