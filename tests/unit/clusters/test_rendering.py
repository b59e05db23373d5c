from __future__ import annotations

import copy
from typing import Any

import pytest

from vdibench.clusters.rendering import PLACEHOLDER, Template, Wishes, for_session
from vdibench.errors import UsageError
from vdibench.records import Display, Workload
from vdibench.selkies import Dialect

ENVIRONMENT = [
    {"name": "SELKIES_MODE", "value": "webrtc"},
    {"name": "SELKIES_FRAMERATE", "value": "60"},
    {
        "name": "SELKIES_BASIC_AUTH_PASSWORD",
        "valueFrom": {"secretKeyRef": {"name": f"vdi-session-auth-{PLACEHOLDER}", "key": "password"}},
    },
]


def template(environment: list[dict[str, Any]] = ENVIRONMENT) -> Template:
    labels = {"app.kubernetes.io/instance": PLACEHOLDER}
    pod = {
        "kind": "Pod",
        "metadata": {"name": f"vdi-session-{PLACEHOLDER}", "labels": labels},
        "spec": {"containers": [{"name": "desktop", "image": "x", "env": copy.deepcopy(environment)}]},
    }
    service = {
        "kind": "Service",
        "metadata": {"name": f"vdi-session-service-{PLACEHOLDER}"},
        "spec": {"selector": labels, "ports": [{"port": 8080}]},
    }
    return Template((pod, service), "vdi.test", "192.0.2.7")


def wishes(dialect: Dialect = Dialect.SELKIES_2_WEBSOCKET) -> Wishes:
    return Wishes(7, Display(640, 360, 30), Workload.TEXT, 1_000_000, dialect)


def environment(objects: list[dict[str, Any]]) -> dict[str, Any]:
    return {one["name"]: one.get("value") for one in objects[-1]["spec"]["containers"][0]["env"]}


def test_a_session_has_its_own_name_everywhere_and_its_pod_comes_last() -> None:
    made = for_session(template(), "vdibench-1-0", wishes())
    assert PLACEHOLDER not in str(made)
    assert [one["metadata"]["name"] for one in made] == ["vdi-session-service-vdibench-1-0", "vdi-session-vdibench-1-0"]
    assert made[0]["spec"]["selector"] == made[1]["metadata"]["labels"]
    assert made[0]["spec"]["ports"] == [{"port": 8080}]


def test_the_template_stays_as_it_is() -> None:
    before = template()
    for_session(before, "bob", wishes())
    assert before == template()


def test_what_is_measured_is_in_the_pods_environment() -> None:
    found = environment(for_session(template(), "bob", wishes()))
    assert found == {
        "SELKIES_BASIC_AUTH_PASSWORD": None,
        "SELKIES_MODE": "websockets",
        "SELKIES_FRAMERATE": "30-30",
        "SELKIES_VIDEO_BITRATE": "1000-1000",
        "SCREEN": "640x360",
        "VDIBENCH_DESK": "1",
        "VDIBENCH_DESK_OPTIONS": "--session-id 7 --rate 30 --workload text",
    }


def test_the_older_generation_knows_no_ranges_and_no_mode() -> None:
    older = template([{"name": "SELKIES_ENCODER", "value": "nvh264enc"}])
    assert older.speaking(None) is Dialect.SELKIES_1_WEBRTC
    found = environment(for_session(older, "bob", wishes(Dialect.SELKIES_1_WEBRTC)))
    assert (found["SELKIES_FRAMERATE"], found["SELKIES_VIDEO_BITRATE"]) == ("30", "1000")
    assert "SELKIES_MODE" not in found


def test_the_dialect_follows_the_mode_or_the_wish() -> None:
    assert template().speaking(None) is Dialect.SELKIES_2_WEBRTC
    assert template().speaking(Dialect.SELKIES_2_WEBSOCKET) is Dialect.SELKIES_2_WEBSOCKET
    assert template([{"name": "SELKIES_MODE", "value": "websockets"}]).speaking(None) is Dialect.SELKIES_2_WEBSOCKET
    with pytest.raises(UsageError, match="selkies-1-webrtc is asked for"):
        template().speaking(Dialect.SELKIES_1_WEBRTC)
    with pytest.raises(UsageError, match="overlay speaks selkies-1-webrtc"):
        template([]).speaking(Dialect.SELKIES_2_WEBRTC)
