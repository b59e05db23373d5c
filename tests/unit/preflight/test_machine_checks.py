from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from vdibench.preflight import machine_checks as checks
from vdibench.records import Display, Outcome
from vdibench.telemetry import MeasuringClaim, others


def test_cores_are_those_that_may_be_used():
    script = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from pathlib import Path\n"
        "from vdibench.preflight import HostContext\n"
        "from vdibench.preflight.machine_checks import check_cores\n"
        "check = check_cores(HostContext(Path('.')))\n"
        "print(check.outcome, check.finding)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"fail 1 of {os.cpu_count()} cores")


def test_memory_for_more_desktops_than_fit_fails_with_both_numbers(context):
    many = psutil.virtual_memory().total // (400 << 20) + 1
    found = checks.check_memory(dataclasses.replace(context, desktops=many))
    assert found.outcome is Outcome.FAIL
    assert found.finding.count("MiB") == 2
    assert found.remedy


def test_a_results_folder_that_does_not_exist_yet_is_tried_where_it_will_be_made(context, tmp_path):
    found = checks.check_results_folder(dataclasses.replace(context, results_folder=tmp_path / "a" / "b"))
    assert found.outcome is Outcome.PASS
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["file", "kernel", "dangling"])
def test_a_folder_that_cannot_be_written_fails_even_for_root(context, tmp_path, place):
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    folder = {"file": tmp_path / "file" / "results", "kernel": Path("/proc/self"), "dangling": tmp_path / "dangling"}
    found = checks.check_results_folder(dataclasses.replace(context, results_folder=folder[place]))
    assert found.outcome is Outcome.FAIL
    assert str(folder[place]) in found.finding
    assert found.remedy


def test_shared_memory_for_pictures_beyond_any_machine_fails(context):
    found = checks.check_shared_memory(dataclasses.replace(context, display=Display(10**6, 10**6, 60)))
    assert found.outcome is Outcome.FAIL
    assert "--shm-size" in found.remedy


def test_the_clock_of_this_host_is_named_and_steady(context):
    found = checks.check_clock(context)
    assert found.outcome is Outcome.PASS
    assert Path("/sys/devices/system/clocksource/clocksource0/current_clocksource").read_text().strip() in found.finding


def test_a_run_that_measures_now_is_named_except_the_callers_own(context):
    name = f"20260101T000000Z-preflight-{os.getpid()}"
    with MeasuringClaim(name):
        found = checks.check_contention(context)
        assert found.outcome is Outcome.FAIL
        assert name in found.finding
        assert str(os.getpid()) in found.evidence
        own = checks.check_contention(dataclasses.replace(context, run_name=name))
        assert name not in own.finding
    assert name not in [claim.run for claim in others()]


def test_a_gpu_that_is_not_wanted_does_not_apply(context):
    assert checks.check_gpu(context).outcome is Outcome.NOT_APPLICABLE


def test_a_gpu_that_is_wanted_and_absent_is_no_data_in_the_librarys_words(context, without_nvml):
    found = checks.check_gpu(dataclasses.replace(context, gpu=True))
    assert found.outcome is Outcome.NO_DATA
    assert "no NVML library" in found.finding
    assert "Not Found" in found.evidence


@pytest.fixture
def without_nvml(monkeypatch):
    """NVIDIA's bindings as they are, told to load a library that is not there."""
    import pynvml

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    real = pynvml.CDLL

    def load(name: str, *rest: object) -> object:
        return real("libvdibench-no-such-library.so.1" if "nvidia-ml" in str(name) else name)

    monkeypatch.setattr(pynvml, "CDLL", load)
