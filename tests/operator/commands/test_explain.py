"""``vdi-operator explain``: in order, with remedies, and with what may not be read named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ..cluster.api_server import Fault, session
from .conftest import condition, with_status

POD, HOME = "vdi-session-cad-7", "vdi-home-alice"
CRASHED = {
    "metadata": {"name": POD},
    "spec": {"nodeName": "n1"},
    "status": {
        "phase": "Running",
        "containerStatuses": [
            {
                "name": "desktop",
                "restartCount": 4,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
                "lastState": {"terminated": {"reason": "Error", "exitCode": 1}},
            }
        ],
    },
}


def event(about: str, name: str, reason: str, at: str, message: str = "") -> dict[str, Any]:
    return {
        "metadata": {"name": f"{name}.{reason}"},
        "involvedObject": {"kind": about, "name": name},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "lastTimestamp": at,
    }


@pytest.fixture
def failing(cluster):
    """A session whose desktop ends by itself."""
    conditions = (
        # In no order: a status is a map.
        condition("Ready", "False", "CrashLoop", "the desktop ended 4 times"),
        condition("PodReady", "False", "CrashLoop", "the desktop ended 4 times"),
        condition("Admitted", "True", "Accepted"),
        condition("HomeBound", "True", "Bound"),
    )
    status = {"phases": {"scheduled": 0.25, "accepted": 0.5}, "node": "n1"}
    cluster.put("vdisessions", with_status(session("cad-7"), *conditions, **status))
    cluster.put("pods", CRASHED)
    cluster.put("events", event("Pod", POD, "BackOff", "2026-11-29T12:05:00Z", "restarting failed container."))
    cluster.put("events", event("PersistentVolumeClaim", HOME, "Provisioned", "2026-11-29T12:01:00Z"))
    cluster.put("events", event("Pod", "vdi-session-bob", "BackOff", "2026-11-29T12:06:00Z", "another's"))
    cluster.logs[f"{POD}/previous"] = "first\nno screen found\n"
    return cluster


def test_why_a_session_is_not_ready(failing, invoke) -> None:
    done = invoke("explain", "cad-7")
    assert done.exit_code == 1, done.output
    text = done.output
    assert text.startswith("vdi-sessions/cad-7 of alice, template cad: not ready (CrashLoop)\n")
    places = [text.index(word) for word in ("\nAdmitted", "\nHomeBound", "\nPodReady", "\nReady")]
    assert places == sorted(places)
    assert "PodReady: the desktop ended 4 times\n  -> read the pod's log" in text
    assert text.index("accepted   0.500 s") < text.index("scheduled  0.250 s")
    assert "desktop: waiting (CrashLoopBackOff, back-off 40s), 4 restarts, ended before: Error, exit code 1" in text
    assert "no screen found" in text
    assert text.index("Provisioned") < text.index("restarting failed container")
    assert "another's" not in text
    assert "not shown" not in text


def test_what_may_not_be_read_is_named(failing, invoke) -> None:
    failing.faults += [
        Fault("GET", "/events", 403, "Forbidden", "events is forbidden", times=9),
        Fault("GET", "/log", 403, "Forbidden", "pods/log is forbidden", times=9),
    ]
    done = invoke("explain", "cad-7", "--json")
    said = json.loads(done.output)
    assert said["lacking"] == [
        "events: you may not (events is forbidden)",
        "the pod's log: you may not (pods/log is forbidden)",
    ]
    assert (said["events"], said["log"]) == ([], [])
    assert said["pod"]["containers"][0]["restarts"] == 4
    failing.faults += [Fault("GET", f"/pods/{POD}", 403, "Forbidden", "pods is forbidden", times=9)]
    assert "the pod: you may not (pods is forbidden)" in invoke("explain", "cad-7").output


def test_for_programs(failing, invoke) -> None:
    done = invoke("explain", "cad-7", "--json")
    said = json.loads(done.output)
    assert done.exit_code == 1
    assert (said["ready"], said["reason"], said["node"]) == (False, "CrashLoop", "n1")
    assert [one["type"] for one in said["conditions"]] == ["Admitted", "HomeBound", "PodReady", "Ready"]
    assert said["conditions"][0]["remedy"] == ""
    assert "suspend and resume" in said["conditions"][3]["remedy"]
    assert said["conditions"][0]["ageSeconds"] >= 0
    assert said["phases"] == {"accepted": 0.5, "scheduled": 0.25}
    assert [one["object"] for one in said["events"]] == [f"PersistentVolumeClaim/{HOME}", f"Pod/{POD}"]


def test_a_session_that_is_ready(cluster, invoke) -> None:
    url = "https://cad-7.vdi.test/"
    ready = condition("Ready", "True", "Published", url)
    cluster.put(
        "vdisessions", with_status(session("cad-7"), ready, url=url, readyInSeconds=2.5, phases={"accepted": 2.5})
    )
    done = invoke("explain", "cad-7")
    assert done.exit_code == 0, done.output
    assert f"ready\n{url}\n" in done.output
    assert "2.500 s in all" in done.output
    assert "->" not in done.output


def test_a_session_that_nobody_looked_at(cluster, invoke) -> None:
    cluster.put("vdisessions", session("cad-7"))
    done = invoke("explain", "cad-7")
    assert done.exit_code == 1
    assert "not ready (Pending)" in done.output
    assert "no conditions: the operator has not looked at it yet" in done.output


def test_a_reason_of_a_newer_operator(cluster, invoke) -> None:
    cluster.put("vdisessions", with_status(session("cad-7"), condition("Ready", "False", "FluxLow", "no flux")))
    done = invoke("explain", "cad-7")
    assert done.exit_code == 1
    assert "Ready: no flux\n  -> see the message; this program is older" in done.output


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (None, "there is no VDISession bob in namespace vdi-sessions: check the name, and --namespace"),
        (Fault("GET", "bob", 403, "Forbidden", "vdisessions is forbidden"), "you may not: vdisessions is forbidden"),
        (
            Fault("GET", "bob", 404, "NotFound", "the server could not find the requested resource"),
            "the cluster does not know the kind of VDISession bob: install the operator's definitions",
        ),
        (Fault("GET", "bob", 401, "Unauthorized", "token expired", times=9), "the cluster does not let you in (token"),
    ],
)
def test_what_the_cluster_refuses_is_a_sentence(cluster, invoke, fault: Fault | None, said: str) -> None:
    if fault is not None:
        cluster.faults.append(fault)
    done = invoke("explain", "bob")
    assert done.exit_code == 1
    assert done.output.startswith(f"Error: {said}")
    assert done.output.count("\n") == 1


def test_an_older_template_and_a_node_that_is_emptied_are_worth_a_word_beside_a_desktop(cluster, invoke) -> None:
    drains, drifts = "gpu-1 takes no new pods", "template cad has changed"
    conditions = (
        condition("Scheduled", "True", "Draining", drains),
        condition("TemplateDrifted", "True", "TemplateChanged", drifts),
        condition("Ready", "True", "Published", "https://cad-7.vdi.test/"),
    )
    cluster.put("vdisessions", with_status(session("cad-7"), *conditions))
    done = invoke("explain", "cad-7")
    assert done.exit_code == 0
    assert f"Scheduled: {drains}\n  -> save what is open" in done.output
    assert f"TemplateDrifted: {drifts}\n  -> suspend and resume" in done.output
    assert "Ready: " not in done.output


def test_a_desktop_as_its_template_is_needs_no_word(cluster, invoke) -> None:
    conditions = (
        condition("TemplateDrifted", "False", "Suspended", "as its user wants it"),
        condition("Ready", "False", "Suspended", "as its user wants it"),
    )
    cluster.put("vdisessions", with_status(session("cad-7"), *conditions))
    done = invoke("explain", "cad-7")
    assert "\nTemplateDrifted: " not in done.output
    assert "\nReady: as its user wants it" in done.output
