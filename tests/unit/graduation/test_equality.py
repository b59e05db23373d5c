"""Two small sessions, held against each other: every difference is a line, a declared one is none."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from vdibench.graduation.equality import compare, differences

Object = dict[str, Any]

LABELS = {"app.kubernetes.io/name": "vdi-session", "app.kubernetes.io/instance": "nobody-yet"}


def environment(**variables: str) -> list[Object]:
    return [{"name": name, "value": value} for name, value in variables.items()]


def pod(**spec: Any) -> Object:
    desktop = {
        "name": "desktop",
        "image": "registry.example.com/desktop:1",
        "imagePullPolicy": "IfNotPresent",
        "env": environment(SELKIES_MODE="webrtc", SELKIES_FRAMERATE="60", SCREEN="1920x1080"),
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
        "volumeMounts": [{"name": "home", "mountPath": "/home/user"}, {"name": "home", "mountPath": "/data"}],
    }
    volumes = [{"name": "home", "persistentVolumeClaim": {"claimName": "vdi-home-nobody-yet"}}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "vdi-session-nobody-yet", "namespace": "vdi-sessions", "labels": dict(LABELS)},
        "spec": {"containers": [desktop], "volumes": volumes, **spec},
    }


def policies() -> list[Object]:
    spec = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    return [{"kind": "NetworkPolicy", "metadata": {"name": "deny", "namespace": "vdi-sessions"}, "spec": spec}]


def both() -> tuple[list[Object], list[Object]]:
    return [pod(), *policies()], [pod(), *policies()]


def desktop(objects: list[Object]) -> Object:
    found: Object = objects[0]["spec"]["containers"][0]
    return found


def lines(change: Callable[[list[Object], list[Object]], Any]) -> tuple[str, ...]:
    """What is said of two that were alike, after a change."""
    validated, made = both()
    change(validated, made)
    return differences(validated, made)


def test_alike_is_alike() -> None:
    assert lines(lambda theirs, ours: None) == ()


def test_a_variable_is_told_by_name_with_both_values() -> None:
    assert lines(lambda theirs, ours: desktop(ours)["env"][1].update(value="30")) == (
        "Pod: spec.containers[desktop].env[SELKIES_FRAMERATE] is '60' in what was validated and '30' in what the "
        "operator makes",
    )
    assert lines(lambda theirs, ours: desktop(ours)["env"].pop(1)) == (
        "Pod: spec.containers[desktop].env[SELKIES_FRAMERATE] is '60' in what was validated and absent in what the "
        "operator makes",
    )


def test_the_order_of_variables_counts_only_where_one_refers_to_another() -> None:
    def turned(theirs: list[Object], ours: list[Object]) -> None:
        desktop(ours)["env"].reverse()

    def referring(theirs: list[Object], ours: list[Object]) -> None:
        for side in (theirs, ours):
            desktop(side)["env"] += environment(TITLE="$(SCREEN)")
        turned(theirs, ours)

    assert lines(turned) == ()
    assert lines(referring) == (
        "Pod: spec.containers[desktop].env (order) is SELKIES_MODE, SELKIES_FRAMERATE, SCREEN, TITLE in what was "
        "validated and TITLE, SCREEN, SELKIES_FRAMERATE, SELKIES_MODE in what the operator makes",
    )


def test_other_orders_count() -> None:
    (line,) = lines(lambda theirs, ours: desktop(ours)["volumeMounts"].reverse())
    assert line.startswith("Pod: spec.containers[desktop].volumeMounts (order) is /home/user, /data in what")


def test_truths_are_no_numbers() -> None:
    def change(theirs: list[Object], ours: list[Object]) -> None:
        theirs[0]["spec"]["enableServiceLinks"], ours[0]["spec"]["enableServiceLinks"] = False, 0

    assert lines(change) == (
        "Pod: spec.enableServiceLinks is False in what was validated and 0 in what the operator makes",
    )


@pytest.mark.parametrize(("amount", "same"), [(1, True), ("1", True), (2, False), ("1000m", False), (None, False)])
def test_a_number_of_slices_may_be_text(amount: Any, same: bool) -> None:
    def change(theirs: list[Object], ours: list[Object]) -> None:
        desktop(theirs)["resources"]["limits"]["nvidia.com/gpu"] = amount

    found = lines(change)
    assert (found == ()) is same
    assert all("resources.limits[nvidia.com/gpu] is" in line for line in found)


@pytest.mark.parametrize(
    ("image", "made", "same"),
    [
        ("r.test/desktop:1", "IfNotPresent", True),
        ("r.test:5000/desktop:1", "IfNotPresent", True),
        ("r.test/desktop@sha256:7", "IfNotPresent", True),
        ("r.test/desktop:latest@sha256:7", "Always", True),
        ("r.test/desktop:1", "Always", False),
        ("r.test/desktop:1", "Never", False),
        ("r.test/desktop:latest", "Always", True),
        ("r.test/desktop", "Always", True),
        ("r.test:5000/desktop", "Always", True),
        ("r.test/desktop", "IfNotPresent", False),
    ],
)
def test_what_the_api_server_takes_where_nothing_is_said(image: str, made: str, same: bool) -> None:
    def change(theirs: list[Object], ours: list[Object]) -> None:
        for side in (theirs, ours):
            desktop(side)["image"] = image
        del desktop(theirs)["imagePullPolicy"]
        desktop(ours)["imagePullPolicy"] = made

    assert (lines(change) == ()) is same


def test_what_is_missing_on_either_side_is_a_line() -> None:
    more = {"kind": "ConfigMap", "metadata": {"name": "settings-nobody-yet"}}
    assert lines(lambda theirs, ours: theirs.append(more)) == (
        "ConfigMap: settings-nobody-yet was validated, and the operator makes none",
    )
    assert lines(lambda theirs, ours: ours.append(more)) == (
        "ConfigMap: the operator makes settings-nobody-yet, and none was validated",
    )
    role = {"kind": "Role", "metadata": {"name": "vdi-operator"}, "rules": []}
    assert lines(lambda theirs, ours: theirs.append(role)) == (
        "Role: vdi-operator was validated, and the operator's chart makes none",
    )
    assert lines(lambda theirs, ours: theirs.pop(0)) == (
        "Pod: none was validated",
        "Pod: the operator makes vdi-session-nobody-yet, and none was validated",
    )
    assert differences([], []) == ("Pod: none was validated",)


def test_what_is_the_platforms_is_no_part_of_a_session() -> None:
    others = [
        {"kind": "Role", "metadata": {"name": "traefik"}, "rules": []},
        {"kind": "Service", "metadata": {"name": "traefik", "labels": {"app.kubernetes.io/name": "traefik"}}},
    ]
    assert lines(lambda theirs, ours: theirs.extend(deepcopy(others))) == ()


def test_an_edge_is_told_with_its_side() -> None:
    def more(theirs: list[Object], ours: list[Object]) -> None:
        ours[1]["spec"]["egress"] = [{"ports": [{"port": 443}]}]

    def less(theirs: list[Object], ours: list[Object]) -> None:
        more(ours, theirs)

    assert lines(more) == (
        "NetworkPolicy: egress to anyone at 443/TCP is shut in what was validated and open in what the operator makes",
    )
    assert lines(less) == (
        "NetworkPolicy: egress to anyone at 443/TCP is open in what was validated and shut in what the operator makes",
    )
    assert lines(lambda theirs, ours: ours.pop(1)) == (
        "NetworkPolicy: egress to anyone at every port is shut in what was validated and open in what the operator "
        "makes",
        "NetworkPolicy: ingress from anyone at every port is shut in what was validated and open in what the operator "
        "makes",
    )


def relays(cidr: str = "192.0.2.10/32", ports: tuple[tuple[int, str], ...] = ((3478, "UDP"), (3478, "TCP"))) -> Object:
    """The manifests' policy that lets every session reach the relay."""
    rule = {
        "to": [{"ipBlock": {"cidr": cidr}}],
        "ports": [{"port": port, "protocol": protocol} for port, protocol in ports],
    }
    return {
        "kind": "NetworkPolicy",
        "metadata": {"name": "allow-session-to-coturn", "namespace": "vdi-sessions"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [rule]},
    }


@pytest.mark.parametrize(
    ("theirs", "ours", "same"),
    [("websockets", "websockets", True), ("webrtc", "webrtc", False), ("webrtc", "websockets", False)],
)
def test_a_relay_is_done_without_by_web_sockets_alone(theirs: str, ours: str, same: bool) -> None:
    validated, made = both()
    for side, mode in ((validated, theirs), (made, ours)):
        desktop(side)["env"][0]["value"] = mode
    validated.append(relays())
    found = compare(validated, made)
    assert (found.differences == ()) is same
    assert (("NetworkPolicy", "egress to the relay") in found.declared) is same
    # The other way round it would be a relay that nobody measured.
    assert differences(made, validated) != ()


@pytest.mark.parametrize("mode", ["websockets", "webrtc"])
def test_a_desktop_that_was_told_of_a_relay_is_another(mode: str) -> None:
    validated, made = both()
    for side in (validated, made):
        desktop(side)["env"][0]["value"] = mode
    desktop(validated)["env"] += environment(SELKIES_TURN_HOST="192.0.2.10")
    (line,) = differences(validated, made)
    assert line.startswith("Pod: spec.containers[desktop].env[SELKIES_TURN_HOST] is '192.0.2.10' in what was validated")


@pytest.mark.parametrize(
    "policy",
    [
        relays("192.0.2.0/24"),
        relays(ports=((3478, "UDP"),)),
        relays(ports=((22, "TCP"), (3478, "UDP"))),
        {**relays(), "metadata": {"name": "allow-session-to-anything", "namespace": "vdi-sessions"}},
    ],
)
def test_what_is_no_relay_stays_a_difference(policy: Object) -> None:
    validated, made = both()
    for side in (validated, made):
        desktop(side)["env"][0]["value"] = "websockets"
    found = differences([*validated, policy], made)
    assert len(found) == len(policy["spec"]["egress"][0]["ports"])
    assert all(line.startswith("NetworkPolicy: egress to ") for line in found)
