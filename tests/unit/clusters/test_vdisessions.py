"""What the YAML of VDISessions and VDITemplates says, from documents as an operator had them."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from vdibench.clusters.phases import Outlook
from vdibench.clusters.vdisessions import (
    Offer,
    condition_checks,
    operated_outlook,
    operated_phases,
    template_offer,
    vdisession,
)
from vdibench.errors import UsageError
from vdibench.records import Display, Outcome
from vdibench.selkies import Dialect

from .operated import CHECKING, FAILED, READY, TEMPLATE, USER, WAITING, condition, session

BEGUN = 1_764_410_000.0


def test_what_is_created_is_small() -> None:
    assert vdisession(USER, "desktop") == {
        "apiVersion": "vdibench.io/v1alpha1",
        "kind": "VDISession",
        "metadata": {"name": USER, "namespace": "vdi-sessions"},
        "spec": {"user": USER, "templateRef": {"name": "desktop"}},
    }


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({}, Outlook(scheduled=True)),
        (vdisession(USER, "desktop"), Outlook(scheduled=True)),
        (
            WAITING,
            Outlook(reason="NoFreeSlice: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu"),
        ),
        (CHECKING, Outlook(scheduled=True, reason="Checking: the checker looks")),
        (
            FAILED,
            Outlook(
                scheduled=True,
                hopeless=True,
                reason="StreamFailed: no frame on the users' route: it sends no video",
            ),
        ),
        (READY, Outlook(ready=True, scheduled=True)),
    ],
)
def test_what_conditions_promise(document: dict[str, Any], found: Outlook) -> None:
    assert operated_outlook(document) == found


@pytest.mark.parametrize("lacking", ["url", "credentialsSecretRef"])
def test_ready_without_a_way_in_is_not_ready_yet(lacking: str) -> None:
    document = copy.deepcopy(READY)
    del document["status"][lacking]
    assert not operated_outlook(document).ready


def test_a_start_is_the_operators_seconds_from_our_beginning() -> None:
    phases = operated_phases(
        READY["status"],
        begun_unix_seconds=BEGUN,
        published_unix_seconds=BEGUN + 3.8,
        first_frame_unix_seconds=BEGUN + 4.3,
    )
    assert phases.seconds == {
        "admitted": pytest.approx(0.5, abs=1e-5),
        "home_bound": pytest.approx(0.25, abs=1e-5),
        "scheduled": pytest.approx(0.0, abs=1e-5),
        "container_started": pytest.approx(0.75, abs=1e-5),
        "ready": pytest.approx(1.0, abs=1e-5),
        "routed": pytest.approx(0.25, abs=1e-5),
        "stream_ready": pytest.approx(0.5, abs=1e-5),
        "published": pytest.approx(0.55, abs=1e-5),
        "first_frame": pytest.approx(0.5, abs=1e-5),
    }
    assert phases.total_seconds == pytest.approx(4.3, abs=1e-5)


def test_seconds_that_began_before_us_never_end_after_what_we_saw() -> None:
    """The stamp of a creation is in whole seconds: up to one of them too early."""
    phases = operated_phases(
        READY["status"],
        begun_unix_seconds=BEGUN,
        published_unix_seconds=BEGUN + 3.0,
        first_frame_unix_seconds=BEGUN + 3.5,
    )
    assert phases.reached["published"] == BEGUN + 3.0
    assert phases.reached["stream_ready"] == BEGUN + 3.0
    assert phases.reached["routed"] == BEGUN + 2.75
    assert all(seconds is not None and seconds >= 0 for seconds in phases.seconds.values())
    assert phases.total_seconds == pytest.approx(3.5, abs=1e-5)


def test_a_start_that_stands_still_knows_what_it_reached() -> None:
    phases = operated_phases(WAITING["status"], begun_unix_seconds=BEGUN)
    assert [step for step, instant in phases.reached.items() if instant is not None] == ["admitted", "home_bound"]
    assert phases.total_seconds == pytest.approx(0.3, abs=1e-5)


def test_what_does_not_hold_is_a_check() -> None:
    found = condition_checks(WAITING)
    assert [(one.name, one.outcome) for one in found] == [
        ("condition_scheduled", Outcome.FAIL),
        ("condition_stream_ready", Outcome.FAIL),
        ("condition_hardware_encoding", Outcome.NO_DATA),
        ("condition_ready", Outcome.FAIL),
    ]
    assert found[0].finding == "NoFreeSlice: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu"
    assert USER in found[0].evidence
    assert f"vdi-operator explain {USER}" in found[0].remedy


def test_a_session_that_is_ready_has_no_complaint() -> None:
    assert condition_checks(READY) == ()
    assert condition_checks(session()) == ()


def test_a_template_says_what_its_desktops_show() -> None:
    assert template_offer(TEMPLATE) == Offer(Dialect.SELKIES_2_WEBSOCKET, Display(1280, 720, 30), 4_000_000, "")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda spec: spec.pop("dialect"),
        lambda spec: spec.update(dialect="vnc"),
        lambda spec: spec.pop("display"),
        lambda spec: spec["display"].update(width="wide"),
    ],
)
def test_a_template_of_another_version_is_told(spoil) -> None:
    document = copy.deepcopy(TEMPLATE)
    spoil(document["spec"])
    with pytest.raises(UsageError, match="VDITemplate 'desktop' says nothing that is known"):
        template_offer(document)


def test_the_words_are_those_of_the_crd() -> None:
    """The operator is another distribution: what is shared is its YAML, and a test of both holds them together."""
    from vdi_operator.api.reasons import FAILURES, Reason
    from vdi_operator.api.schema import MILESTONES
    from vdi_operator.children import names
    from vdibench.clusters import vdisessions

    assert {*vdisessions._WAITING, *vdisessions._HOPELESS} <= {str(reason) for reason in Reason}
    assert list(vdisessions._STEPS) == list(MILESTONES)
    # What a person has to mend ends the wait, but for what the operator tries again by itself.
    healing = {"Unschedulable", "NodeLost", "OutOfMemory", "Evicted", "SoftwareFallback", "CheckerUnreachable"}
    healing.add("VolumeFailed")  # is tried more than once, until the start is given up
    assert {str(reason) for reason in FAILURES} - vdisessions._HOPELESS == healing
    assert (vdisessions.USER_ANNOTATION, vdisessions.USER_LABEL) == (names.USER_ANNOTATION, names.USER_LABEL)
    assert names.home_name(USER) == f"vdi-home-{USER}"
    for rests in (Reason.SUSPENDED, Reason.IDLE):
        assert operated_outlook(session(condition("Ready", "False", str(rests)))).hopeless
    assert not operated_outlook(session(condition("Ready", "False", str(Reason.DRAINING)))).scheduled
    tried = session(condition("Ready", "False", str(Reason.VOLUME_FAILED)))
    assert not operated_outlook(tried).hopeless
    tried["status"]["failure"] = {"reason": str(Reason.VOLUME_FAILED)}
    assert operated_outlook(tried).hopeless
