"""What must agree before runs are compared, and that nothing else needs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from vdibench.analysis.metadata import CONDITIONS, Agreement, check, noted, refuse, stated
from vdibench.errors import ParameterError, RunInvalid
from vdibench.records import Run

CONDITIONS_OF = {
    "client_mode": "decode",
    "reception": "python",
    "link": "direct",
    "sharing": "none",
    "encoder": "nvh264enc",
    "codec": "h264",
    "picture_size": "1280×720",
    "workload": "text",
    "scenario": "watch",
}
RUN = Run(
    name="a",
    suite="gpu_density",
    profile="smoke",
    target="lab",
    started_unix_seconds=1.0,
    parameters={
        "gpu_density": {"width": 1280, "framerate": 30, "trials": 2, "steady_seconds": 5.0, "objectives": "lab"},
        "preflight": {"desktops": 4},
    },
    context={"target": "lab", "gpu": True, "dialect": "selkies-2-webrtc", "profile": "smoke"}
    | {CONDITIONS: {"gpu_density": CONDITIONS_OF}},
    host={"cpu_model": "CPU", "cpu_cores_usable": 2.0, "gpus": [{"name": "L40S"}], "gpu_driver": "570", "kernel": "6"},
    versions={"vdibench": "0.1.0", "selkies": "2.1.0"},
)
SUITES = ("gpu_density",)


def changed(**changes: Any) -> Run:
    """``RUN`` with parts of its mappings replaced."""
    return replace(
        RUN,
        **{
            name: {**getattr(RUN, name), **value} if isinstance(value, Mapping) else value
            for name, value in changes.items()
        },
    )


@pytest.mark.parametrize(
    ("other", "key"),
    [
        ({"host": {"gpus": [{"name": "L4"}]}}, "gpu_model"),
        ({"host": {"gpu_driver": "580"}}, "gpu_driver"),
        ({"host": {"cpu_model": "other"}}, "cpu_model"),
        ({"host": {"cpu_cores_usable": 4.0}}, "cpu_cores"),
        ({"context": {"dialect": "selkies-2-websocket"}}, "dialect"),
        ({"context": {"link": "4g"}}, "link"),
        ({"context": {"image_digest": "sha256:1"}}, "image_digest"),
        ({"context": {"mode": "meter"}}, "client_mode"),
        ({"context": {"reception": "native"}}, "reception"),
        ({"context": {"synthetic": True}}, "synthetic"),
        ({"context": {"target": "url"}}, "target_kind"),
        ({"context": {"image": "desktop:2"}}, "image"),
        ({"versions": {"selkies": "2.2.0"}}, "selkies"),
        ({"versions": {"vdibench": "0.2.0"}}, "vdibench"),
        ({"parameters": {"gpu_density": {"width": 640, "framerate": 30}}}, "width"),
        ({"parameters": {"gpu_density": {"width": 1280, "framerate": 60}}}, "framerate"),
        ({"parameters": {"gpu_density": {"width": 1280, "framerate": 30, "never_heard_of": 1}}}, "never_heard_of"),
    ],
)
def test_what_differs_is_refused_named_and_can_be_accepted(other: dict[str, Any], key: str) -> None:
    base, new = stated(RUN), stated(changed(**other))
    with pytest.raises(RunInvalid) as caught:
        refuse(check([base], [new], SUITES))
    assert f"--allow-different {key}" in caught.value.remedy
    assert key in caught.value.cause
    assert caught.value.exit_code == 97
    refuse(check([base], [new], SUITES, allowed=[key]))
    (named,) = [one for one in check([base], [new], SUITES, varied=[key]) if one.agreement is not Agreement.SAME]
    assert (named.key, named.agreement) == (key, Agreement.VARIED)


@pytest.mark.parametrize(
    "other",
    [
        {"profile": "soak", "name": "b", "started_unix_seconds": 9.0},
        {"parameters": {"gpu_density": {"width": 1280, "framerate": 30, "trials": 9, "steady_seconds": 60.0}}},
        {"parameters": {"gpu_density": {"width": 1280, "framerate": 30, "gpu_metrics": "http://b"}}},
        {"parameters": {"preflight": {"desktops": 8}}},
        {"host": {"load_average_1m": 9.0, "kernel": "7"}},
        {"versions": {"aiortc": "9.9"}},
    ],
)
def test_what_says_nothing_of_the_numbers_may_differ(other: dict[str, Any]) -> None:
    refuse(check([stated(RUN)], [stated(changed(**other))], SUITES))


@pytest.mark.parametrize("key", CONDITIONS_OF)
def test_each_condition_of_a_compared_suite_counts_and_is_named(key: str) -> None:
    other = {CONDITIONS: {"gpu_density": {**CONDITIONS_OF, key: "another"}, "selftest": {key: "of no interest"}}}
    base, new = stated(RUN), stated(changed(context=other))
    with pytest.raises(RunInvalid, match=f"{key} of gpu_density: {CONDITIONS_OF[key]} against another") as caught:
        refuse(check([base], [new], SUITES))
    assert f"--allow-different {key}" in caught.value.remedy
    assert "selftest" not in caught.value.cause
    refuse(check([base], [new], SUITES, allowed=[key]))


def test_what_was_found_stands_over_what_was_asked_for_under_one_name() -> None:
    asked = changed(parameters={"load": {"mode": "meter", "links": "4g"}})
    assert (stated(asked)["client_mode", "load"], stated(asked)["link", "load"]) == ("meter", "4g")
    found = changed(parameters=asked.parameters, context={CONDITIONS: {"load": {"link": "direct"}}})
    assert stated(found)["link", "load"] == "direct"
    assert ("mode", "load") not in stated(found)


def test_what_only_one_says_is_a_difference() -> None:
    checked = check([stated(RUN)], [stated(changed(context={"image": "x@sha256:1"}))], SUITES)
    (one,) = [one for one in checked if one.key == "image"]
    assert (one.base, one.new, one.agreement) == ("not stated", "x@sha256:1", Agreement.DIFFERENT)


def test_runs_of_one_side_must_agree_too() -> None:
    other = stated(changed(host={"cpu_model": "other"}))
    with pytest.raises(RunInvalid, match="cpu_model: CPU / other against CPU / other"):
        refuse(check([stated(RUN), other], [stated(RUN), other], SUITES))


def test_a_key_that_nobody_states_is_a_mistake() -> None:
    one = stated(RUN)
    with pytest.raises(ParameterError, match="did you mean 'encoder'"):
        check([one], [one], SUITES, allowed=["encoders"])
    with pytest.raises(ParameterError, match="encoder is said to vary and is 'nvh264enc' on both sides"):
        check([one], [one], SUITES, varied=["encoder"])


def test_software_of_the_measuring_side_is_noted() -> None:
    lines = noted([RUN], [changed(versions={"aiortc": "1.9"}, host={"kernel": "7"})])
    assert lines == ("aiortc is not stated in base and 1.9 in new", "the kernel is 6 in base and 7 in new")
    assert noted([RUN], [RUN]) == ()
