"""What is refused or fitted before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from vdibench.errors import ParameterError, UsageError
from vdibench.suites import PipelineOptions, plan_pipeline


def test_a_url_is_one_desktop_whatever_the_profile_says() -> None:
    plan = plan_pipeline(PipelineOptions(target="url:http://127.0.0.1:1"))
    assert {getattr(parameters, "max_desktops", 1) for _, parameters in plan.steps} == {1}
    with pytest.raises(ParameterError, match="is one desktop, and more are wanted"):
        plan_pipeline(PipelineOptions(target="url:http://127.0.0.1:1", given={"max_desktops": 2}))


def test_a_user_without_a_password_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VDIBENCH_PASSWORD", raising=False)
    with pytest.raises(UsageError, match="no password for user 'alice'"):
        plan_pipeline(PipelineOptions(("02",), target="url:http://127.0.0.1:1", given={"user": "alice"}))


def test_a_gpu_is_not_asked_of_the_lab() -> None:
    with pytest.raises(ParameterError, match="lab desktops encode in software"):
        plan_pipeline(PipelineOptions(("02",), given={"gpu": True}))


def test_run_is_for_reading_only() -> None:
    (step,) = plan_pipeline(PipelineOptions(("06",), given={"run": "latest"})).steps
    assert step[1].run == "latest"
    with pytest.raises(ParameterError, match="writes a run of its own"):
        plan_pipeline(PipelineOptions(("02", "06"), given={"run": "latest"}))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_a_duration_is_a_number_within_bounds(value: float) -> None:
    with pytest.raises(ParameterError, match="parameter steady_seconds is"):
        plan_pipeline(PipelineOptions(("02",), given={"steady_seconds": value}))


BROKEN = {
    "a list of suites": "schema: 1\nsuites: [preflight]\n",
    "a number for a suite": "schema: 1\nsuites: {preflight: 3}\n",
    "a number for all": "schema: 1\nshared: 5\n",
    "no schema": "suites: {}\n",
    "no YAML": "schema: [\n",
    "an unknown parameter": "schema: 1\nshared: {widht: 640}\n",
    "an unknown suite": "schema: 1\nsuites: {streaming: {}}\n",
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_profile_is_one_parameter_error(what: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(BROKEN[what])
    with pytest.raises(ParameterError) as caught:
        plan_pipeline(PipelineOptions(profile=str(path)))
    assert caught.value.remedy
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ParameterError):
        plan_pipeline(PipelineOptions(profile=str(path)))
