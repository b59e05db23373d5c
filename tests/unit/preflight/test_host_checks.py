from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from vdibench.preflight import HOST_CHECKS, HostCheck, run_host_checks
from vdibench.preflight.findings import passed
from vdibench.records import Outcome


def test_this_host_passes_every_check_of_a_lab_without_gpu(context):
    progress: list[tuple[int, int, str]] = []
    found = run_host_checks(context, progress=lambda done, total, check: progress.append((done, total, check.name)))
    assert [check.name for check in found] == [check.name for check in HOST_CHECKS]
    outcomes = {check.name: check.outcome for check in found}
    assert outcomes.pop("gpu") is Outcome.NOT_APPLICABLE
    # Another session may be measuring on this machine right now.
    assert outcomes.pop("contention") in (Outcome.PASS, Outcome.FAIL)
    assert set(outcomes.values()) == {Outcome.PASS}, [check for check in found if check.outcome is not Outcome.PASS]
    assert progress == [(index, len(HOST_CHECKS), check.name) for index, check in enumerate(HOST_CHECKS)]


def test_findings_are_single_lines_and_passes_have_no_remedy(context):
    for check in run_host_checks(context):
        assert check.finding
        assert "\n" not in check.finding + check.evidence + check.remedy
        assert bool(check.remedy) == (check.outcome in (Outcome.FAIL, Outcome.NO_DATA))


def test_what_concerns_desktops_elsewhere_does_not_apply(context):
    found = run_host_checks(dataclasses.replace(context, lab=False))
    applies = {check.name for check in found if check.outcome is not Outcome.NOT_APPLICABLE}
    assert applies == {"python", "cores", "memory", "results_folder", "clock", "contention"}


def test_names_are_unique():
    names = [check.name for check in HOST_CHECKS]
    assert len(set(names)) == len(names)


def test_a_check_that_raises_is_no_data_and_the_next_one_runs(context):
    def breaks(context):
        raise ZeroDivisionError("by nought")

    checks = [HostCheck("breaks", "?", breaks), HostCheck("works", "?", lambda context: passed("works", "fine"))]
    broken, working = run_host_checks(context, checks=checks)
    assert broken.outcome is Outcome.NO_DATA
    assert "ZeroDivisionError" in broken.finding
    assert broken.evidence == "by nought"
    assert working.outcome is Outcome.PASS


def test_a_check_that_hangs_is_no_data_after_its_time(context):
    released = threading.Event()
    hangs = HostCheck("hangs", "does it end", lambda context: passed("hangs", str(released.wait(60))))
    (found,) = run_host_checks(dataclasses.replace(context, check_seconds=0.2), checks=[hangs])
    released.set()
    assert found.outcome is Outcome.NO_DATA
    assert "0.2 s" in found.finding


def test_an_interrupt_ends_the_checks_and_what_they_started():
    """The TURN check waits for a server that never answers, with an X server of its own beside it."""
    script = """
import sys
from pathlib import Path
from vdibench.preflight import HOST_CHECKS, HostContext, TurnServer, run_host_checks
checks = [check for check in HOST_CHECKS if check.name == "turn"]
context = HostContext(Path("."), turn=TurnServer("127.0.0.1", int(sys.argv[1]), "u", "p"), check_seconds=60)
run_host_checks(context, checks=checks, progress=lambda *_: print("checking", flush=True))
"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(silent.getsockname()[1])],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == "checking\n"
            silent.settimeout(20)
            assert silent.recv(2048)
            os.kill(process.pid, signal.SIGINT)
            process.wait(60)
            assert process.stderr is not None
            assert "KeyboardInterrupt" in process.stderr.read()


@pytest.mark.parametrize("check", HOST_CHECKS, ids=lambda check: check.name)
def test_every_check_answers_under_its_own_name(check, context):
    assert check.run(context).name == check.name
