from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from vdibench.lab.ports import LEASE_NAME
from vdibench.preflight import lab_checks as checks
from vdibench.records import Display, Outcome


@pytest.fixture
def path_without(tmp_path, monkeypatch):
    """A PATH that has every program of this one but some."""

    def leave_out(*names: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        for program in ("Xvfb", "xkbcomp", "pulseaudio", "turnserver", "ldd"):
            found = shutil.which(program)
            if program not in names and found is not None:
                (folder / program).symlink_to(found)
        monkeypatch.setenv("PATH", str(folder))

    return leave_out


def test_a_missing_program_is_named_with_its_package(context, path_without):
    path_without("Xvfb", "turnserver")
    found = checks.check_programs(context)
    assert found.outcome is Outcome.FAIL
    assert found.finding == "missing: Xvfb, turnserver"
    assert found.remedy == "apt-get install coturn xvfb"


def test_the_x_server_check_without_x_server_says_so(context, path_without):
    path_without("Xvfb")
    found = checks.check_x_server(context)
    assert (found.outcome, found.remedy) == (Outcome.FAIL, "apt-get install xvfb")


def test_an_x_server_answers_and_is_gone_afterwards(context):
    before = set(psutil.Process().children(recursive=True))
    found = checks.check_x_server(context)
    assert found.outcome is Outcome.PASS
    assert "640x360x24" in found.finding
    number = found.evidence.partition(":")[2].partition(",")[0]
    assert not Path(f"/tmp/.X11-unix/X{number}").exists()
    children = set(psutil.Process().children(recursive=True)) - before
    assert not [child for child in children if child.name() == "Xvfb"]


def test_an_x_server_that_gives_up_is_quoted(context):
    found = checks.check_x_server(dataclasses.replace(context, display=Display(0, 0, 60)))
    assert found.outcome is Outcome.FAIL
    assert "0x0x24" in found.finding
    assert found.evidence
    assert found.remedy


def test_ports_are_tried_and_given_back(context):
    found = checks.check_ports(context)
    assert found.outcome is Outcome.PASS
    first, last = (int(number) for number in re.findall(r"(\d+) to (\d+)", found.evidence)[1])
    assert last - first + 1 == 80
    assert f"a block of {last - first + 1}" in found.finding
    held = Path("/proc/net/unix").read_text()
    assert f"@{LEASE_NAME.format(port=first)[1:]}\n" not in held


def test_more_ports_than_a_process_may_hold_fail_with_the_remedy():
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "from pathlib import Path\n"
        "from vdibench.preflight import HostContext\n"
        "from vdibench.preflight.lab_checks import check_ports\n"
        "check = check_ports(HostContext(Path('.')))\n"
        "print(check.outcome, check.finding, check.remedy)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("fail 80 relay ports need about 112 open files, 64 are allowed")
    assert "ulimit -n" in done.stdout


def test_a_plan_that_no_lab_takes_fails_with_the_bounds(context):
    found = checks.check_ports(dataclasses.replace(context, desktops=65))
    assert found.outcome is Outcome.FAIL
    assert "65 is out of range" in found.finding
