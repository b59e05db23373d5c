"""The status as it is stored: nothing of it is pruned, and nothing of it changes while nothing happens."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from vdi_operator.api.objects import Object
from vdi_operator.api.reasons import CONDITIONS, ConditionType, Reason
from vdi_operator.core.conditions import Condition, State, documents
from vdi_operator.core.record import Record

from ..schemas import schema, strict
from .cluster import PLACES, template
from .process import begun, running, settled

FAULTS = ["no_slice", "no_image", "no_checker", "no_frame", "no_relay", "quota", ""]


def situations() -> list[Object]:
    """Statuses with every field that there is."""
    found = []
    for name in FAULTS:
        cluster, operator = begun(lifetime="10m")
        if name:
            setattr(cluster.faults, name, True)
        found.append(settled(operator).status)
    cluster, operator = running(lifetime="10m")
    cluster.now += 1
    cluster.delete(PLACES["pod"])
    assert operator.pass_() is not None
    assert cluster.session is not None
    found.append(cluster.session["status"])
    cluster, operator = begun()
    cluster.template = template(capacity={"sessionsPerGPU": 8})
    cluster.faults.full = True
    found.append(settled(operator).status)
    cluster, operator = begun()
    cluster.faults.no_slice = True
    settled(operator)
    cluster.faults.no_slice = False
    found.append(settled(operator).status)
    cluster, operator = running()
    cluster.edit_template(idleTimeout="30m")
    cluster.wake("first")
    operator.nobody_for(60.0 * 21.0)
    found.append(settled(operator).status)
    cluster.now += 3600.0
    operator.left_alone(60.0 * 31.0)
    found.append(settled(operator).status)
    return found


def test_every_field_is_in_the_schema() -> None:
    status = schema("VDISession")["properties"]["status"]
    wanted = strict({"type": "object", "properties": {"status": status}})
    written: set[str] = set()
    for one in situations():
        jsonschema.validate({"status": one}, wanted)
        written |= set(one)
    assert written == set(status["properties"]), "fields that nothing writes, or that no situation here has"


def test_what_was_written_is_read_back() -> None:
    for one in situations():
        record = Record.of(one)
        assert record.documents() == {key: one[key] for key in record.documents()}
        kept = {"startedAt", "attempts", "restart", "failure", "podUID", "stream", "waitedUntil", "warnedOfEnd"}
        kept |= {"lastActivityTime", "warnedOfIdle", "idle"}
        assert set(record.documents()) == kept & set(one)


@pytest.mark.parametrize(
    "status",
    [
        {"startedAt": "soon", "attempts": "three", "restart": [], "failure": {"reason": "Bored"}, "stream": {}},
        {"milestones": {"accepted": 5}, "conditions": "none", "podUID": 7},
        {"conditions": [{"status": "True"}], "restart": {"reason": ["Evicted"], "at": "2027-01-15T08:00:00Z"}},
    ],
)
def test_what_makes_no_sense_counts_as_absent(status: dict[str, Any]) -> None:
    assert Record.of(status) == Record()


def test_a_transition_is_one_of_the_status_alone() -> None:
    def made(status: State, reason: Reason) -> list[Condition]:
        return [Condition(kind, status, reason, "x") for kind in CONDITIONS]

    first = documents(made(State.NO, Reason.PENDING), {}, 100.9, 1)
    known = {one["type"]: one for one in first}
    same = documents(made(State.NO, Reason.STARTING), known, 200.0, 2)
    assert [one["type"] for one in first] == [kind.value for kind in ConditionType]
    assert {one["lastTransitionTime"] for one in first} == {"1970-01-01T00:01:40Z"}
    assert {(one["lastTransitionTime"], one["reason"], one["observedGeneration"]) for one in same} == {
        ("1970-01-01T00:01:40Z", "Starting", 2)
    }
    turned = documents(made(State.YES, Reason.SERVING), known, 200.0, 2)
    assert {one["lastTransitionTime"] for one in turned} == {"1970-01-01T00:03:20Z"}
