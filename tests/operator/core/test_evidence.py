"""A site that asks for evidence: what is refused, what goes on, and when it is looked at again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vdi_operator.api.evidence import PREFIX, digest
from vdi_operator.api.objects import Object
from vdi_operator.api.reasons import Reason
from vdi_operator.api.template import Template
from vdi_operator.core.decision import Blocked, Decision, Place
from vdi_operator.core.evidence import refusal
from vdi_operator.core.instants import second

from .cluster import BEGAN, PLACES, SETTINGS, Cluster, template
from .process import Operator, begun, ready, reason, running, settled

POD, SERVICE = PLACES["pod"], PLACES["service"]
ASKS = replace(SETTINGS, require_evidence=True)
ENDED: Object = {
    "phase": "Failed",
    "containerStatuses": [{"name": "desktop", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}],
}


def graduated(expires: float = BEGAN + 3600.0, lab: str = "false", **spec: Any) -> Object:
    """A template with evidence."""
    made = template(**spec)
    evidence = {
        "run": "r-1",
        "seal": "a1" * 32,
        "spec": digest(made["spec"]),
        "date": second(BEGAN),
        "expires": second(expires),
        "hardware": "AMD EPYC, 2 cores, no GPU",
        "lab": lab,
    }
    made["metadata"]["annotations"] = {f"{PREFIX}{name}": value for name, value in evidence.items()}
    return made


def edited() -> Object:
    """A template that is not what was graduated any more."""
    made = graduated()
    made["spec"]["egress"] = "internet"
    return made


def asking(made: Object) -> tuple[Cluster, Operator]:
    """A session of this template at a site that asks for evidence."""
    cluster, operator = begun()
    cluster.template, operator.settings = made, ASKS
    return cluster, operator


def blocked(made: Object, now: float = BEGAN, **settings: Any) -> Blocked | None:
    return refusal(Template.of(made), replace(ASKS, **settings), now)


def test_who_does_not_ask_refuses_nothing() -> None:
    for made in (template(), graduated(expires=BEGAN - 1), edited(), graduated(lab="true")):
        assert blocked(made, require_evidence=False) is None


def test_good_evidence_is_enough() -> None:
    assert blocked(graduated()) is None
    assert blocked(graduated(lab="true"), allow_lab_evidence=True) is None


def test_each_refusal_names_run_and_remedy() -> None:
    assert blocked(template()) == Blocked(
        Reason.EVIDENCE_MISSING,
        "template cad has no evidence of a run, which this site asks for: install it from the chart that vdibench "
        "graduate made of a passing run",
    )
    assert blocked(graduated(), now=BEGAN + 3600.0) == Blocked(
        Reason.EVIDENCE_EXPIRED,
        "the evidence of template cad, run r-1, expired at 2027-01-15T09:00:00Z: graduate a new run and upgrade the "
        "chart",
    )
    now, was = digest(edited()["spec"])[:12], digest(template()["spec"])[:12]
    assert blocked(edited()) == Blocked(
        Reason.EVIDENCE_MISMATCH,
        f"template cad was edited after run r-1 was graduated: its spec has the SHA-256 {now}, its evidence is of "
        f"{was}; install it as it was, or graduate a run of what it is now",
    )
    assert blocked(graduated(lab="true")) == Blocked(
        Reason.EVIDENCE_OF_LAB,
        "the evidence of template cad, run r-1, is of a lab (AMD EPYC, 2 cores, no GPU): graduate a run on this site's "
        "own nodes, or set allowLabEvidence",
    )


def test_evidence_is_good_until_its_last_moment() -> None:
    # It is written in whole seconds.
    assert blocked(graduated(), now=BEGAN - 0.25 + 3599.999) is None
    assert blocked(graduated(), now=BEGAN - 0.25 + 3600.0) is not None


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (template(), "EvidenceMissing"),
        (graduated(expires=BEGAN - 1.0), "EvidenceExpired"),
        (edited(), "EvidenceMismatch"),
        (graduated(lab="true"), "EvidenceOfLab"),
    ],
)
def test_nothing_is_started_without_it(made: Object, why: str) -> None:
    cluster, operator = asking(made)
    decision = settled(operator)
    assert reason(decision.status, "Admitted") == ("False", why)
    assert ready(decision.status) == ("False", why)
    assert cluster.objects == {}
    assert operator.failures == [why], "once"
    assert [(one.reason, one.warning) for one in operator.notices] == [(why, True)]
    assert (decision.look_again_seconds, decision.place) == (10.0, Place.NONE)
    cluster.template = graduated()
    assert ready(settled(operator).status) == ("True", "Published")


def test_a_session_that_is_let_in_says_by_what() -> None:
    _, operator = asking(graduated())
    status = settled(operator).status
    assert ready(status) == ("True", "Published")
    assert status["conditions"][0]["message"] == "evidence of run r-1, good until 2027-01-15T09:00:00Z"


def test_what_runs_goes_on_when_it_expires_and_is_kept_in_order() -> None:
    cluster, operator = asking(graduated())
    settled(operator)
    uid = cluster.objects[POD]["metadata"]["uid"]
    cluster.now = BEGAN + 3600.0
    status = settled(operator).status
    assert reason(status, "Admitted") == ("False", "EvidenceExpired")
    assert status["conditions"][0]["message"].endswith("; the desktop that runs goes on")
    assert ready(status) == ("True", "Published")
    assert "url" in status
    assert operator.failures == ["EvidenceExpired"]
    cluster.delete(SERVICE)
    assert ready(settled(operator).status) == ("True", "Published")
    assert SERVICE in cluster.objects
    assert cluster.objects[POD]["metadata"]["uid"] == uid


def test_what_ends_after_it_expired_is_not_started_again() -> None:
    cluster, operator = asking(graduated())
    settled(operator)
    uid = cluster.objects[POD]["metadata"]["uid"]
    cluster.now = BEGAN + 3600.0
    cluster.crash(ENDED)
    status = settled(operator).status
    assert ready(status) == ("False", "EvidenceExpired")
    assert "url" not in status
    assert cluster.objects[POD]["metadata"]["uid"] == uid, "the one that ended"
    cluster.template = graduated(expires=BEGAN + 7200.0)
    assert ready(settled(operator).status) == ("True", "Published")
    assert cluster.objects[POD]["metadata"]["uid"] != uid


def test_its_expiry_is_looked_at_when_it_comes() -> None:
    cluster, operator = asking(graduated(expires=BEGAN + 29.75))
    assert (operator.pass_() or Decision()).look_again_seconds == 29.75
    cluster.now += 29.75
    assert reason((operator.pass_() or Decision()).status, "Admitted") == ("False", "EvidenceExpired")


def test_a_session_that_rests_says_nothing_of_it() -> None:
    cluster, operator = running()
    operator.settings = ASKS
    cluster.edit_session(operatingMode="Suspended")
    status = settled(operator).status
    assert reason(status, "Admitted") == ("True", "Accepted")
    assert ready(status) == ("False", "Suspended")
