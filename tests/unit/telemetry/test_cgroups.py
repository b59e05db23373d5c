"""This process's real groups, and the two layouts as the kernel writes them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vdibench.records import Desktop, Endpoint
from vdibench.telemetry import Sampler
from vdibench.telemetry.cgroups import (
    Cgroup,
    cpu_quota_cores,
    memory_limit_bytes,
    own_group,
    usable_cores,
)


@pytest.fixture
def version_2(tmp_path: Path) -> Path:
    """A /proc/PID folder of a process in /work.slice/desktop.scope of a unified hierarchy."""
    mount = tmp_path / "unified"
    group = mount / "work.slice" / "desktop.scope"
    group.mkdir(parents=True)
    (group / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n")
    (group / "cpu.max").write_text("max 100000\n")
    (group.parent / "cpu.max").write_text("150000 100000\n")
    (group / "memory.current").write_text("314572800\n")
    (group / "memory.stat").write_text("anon 209715200\nfile 104857600\ninactive_file 52428800\n")
    (group / "memory.max").write_text("max\n")
    (group.parent / "memory.max").write_text("1073741824\n")
    (group / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    return _proc(
        tmp_path, f"30 24 0:26 / {mount} rw,nosuid shared:4 - cgroup2 cgroup2 rw", "0::/work.slice/desktop.scope"
    )


@pytest.fixture
def version_1(tmp_path: Path) -> Path:
    """The same of a process in /work of the version 1 hierarchies, with cpu and cpuacct mounted together."""
    cpu, memory = tmp_path / "cpu,cpuacct" / "work", tmp_path / "memory" / "work"
    cpu.mkdir(parents=True)
    memory.mkdir(parents=True)
    (cpu / "cpuacct.usage").write_text("2500000000\n")
    (cpu / "cpu.cfs_quota_us").write_text("50000\n")
    (cpu / "cpu.cfs_period_us").write_text("100000\n")
    (cpu.parent / "cpu.cfs_quota_us").write_text("-1\n")
    (cpu.parent / "cpu.cfs_period_us").write_text("100000\n")
    (cpu / "cgroup.procs").write_text("4711\n")
    (memory / "memory.usage_in_bytes").write_text("314572800\n")
    (memory / "memory.stat").write_text("cache 104857600\ninactive_file 1\ntotal_inactive_file 52428800\n")
    (memory / "memory.limit_in_bytes").write_text("536870912\n")
    (memory.parent / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    mounts = (
        f"31 25 0:27 / {cpu.parent} rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n"
        f"32 25 0:28 / {memory.parent} rw,nosuid - cgroup cgroup rw,memory"
    )
    return _proc(tmp_path, mounts, "4:memory:/work\n3:cpu,cpuacct:/work")


def _proc(tmp_path: Path, mounts: str, membership: str) -> Path:
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "mountinfo").write_text(f"22 1 8:1 / / rw - ext4 /dev/root rw\n{mounts}\n")
    (proc / "cgroup").write_text(membership + "\n")
    return proc


@pytest.mark.parametrize("layout", ["version_1", "version_2"])
def test_usage_comes_in_seconds_and_bytes_without_droppable_cache(layout, request):
    proc = request.getfixturevalue(layout)
    name = {"version_1": "/work", "version_2": "/work.slice/desktop.scope"}[layout]
    group = Cgroup.find(name, proc)
    assert group is not None
    assert group.version == int(layout[-1])
    assert group.cpu_seconds() == 2.5
    assert group.memory_bytes() == 250 << 20
    assert group.populated()


def test_a_group_is_found_by_its_directory_too(version_1, version_2_directory):
    by_directory = Cgroup.find(str(version_1.parent / "memory" / "work"), version_1)
    assert by_directory == Cgroup.find("/work", version_1)
    unified = Cgroup.find(str(version_2_directory))
    assert unified is not None
    assert unified.cpu_seconds() == 1.0


@pytest.fixture
def version_2_directory(tmp_path: Path) -> Path:
    directory = tmp_path / "plain"
    directory.mkdir()
    (directory / "cpu.stat").write_text("usage_usec 1000000\n")
    return directory


def test_a_group_without_memory_accounting_has_no_memory_rather_than_zero(version_2_directory):
    group = Cgroup.find(str(version_2_directory))
    assert group is not None
    assert group.memory_bytes() is None


def test_a_group_of_version_1_that_lost_its_processes_is_not_populated(version_1):
    group = Cgroup.find("/work", version_1)
    assert group is not None
    (version_1.parent / "cpu,cpuacct" / "work" / "cgroup.procs").write_text("")
    assert not group.populated()


def test_a_group_of_version_2_that_lost_its_processes_or_itself_is_not_populated(version_2):
    group = Cgroup.find("/work.slice/desktop.scope", version_2)
    assert group is not None
    assert group.cpu is not None
    (group.cpu / "cgroup.events").write_text("populated 0\nfrozen 0\n")
    assert not group.populated()
    shutil.rmtree(group.cpu)
    assert not group.populated()
    assert group.cpu_seconds() is None
    assert group.memory_bytes() is None


def test_the_tightest_limit_of_the_groups_above_counts(version_2):
    assert cpu_quota_cores(version_2) == 1.5
    assert memory_limit_bytes(version_2) == 1 << 30


def test_limits_of_version_1_know_no_limit(version_1):
    assert cpu_quota_cores(version_1) == 0.5
    assert memory_limit_bytes(version_1) == 512 << 20


def test_a_machine_without_groups_has_no_limits(tmp_path):
    assert cpu_quota_cores(tmp_path) is None
    assert memory_limit_bytes(tmp_path) is None
    assert Cgroup.find("/work", tmp_path) is None


def test_the_real_group_of_this_process_accounts_for_what_it_uses():
    directory = own_group("cpuacct") or own_group()
    assert directory is not None
    group = Cgroup.find(str(directory))
    assert group is not None
    before, own_before = group.cpu_seconds(), time.process_time()
    assert before is not None
    while time.process_time() < own_before + 0.3:
        pass
    after = group.cpu_seconds()
    assert after is not None
    assert 0.29 <= after - before < 60
    assert group.populated()


def test_a_desktop_in_a_group_is_accounted_by_the_group():
    directory = own_group("cpuacct") or own_group()
    desktop = Desktop("desktop-0", Endpoint("http://localhost"), cgroup=str(directory))
    sampler = Sampler([desktop], emit=lambda rows: None)
    first = sampler.read()
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    second = sampler.read()
    cores = {row["session"]: row["value"] for row in second if row["resource"] == "cpu_cores"}
    assert cores["desktop-0"] * (second[0]["unix_seconds"] - first[0]["unix_seconds"]) >= 0.29
    assert sampler.facts()["telemetry.desktop-0"].startswith("cgroup v")


def test_usable_cores_follow_the_affinity():
    one = min(os.sched_getaffinity(0))
    script = (
        "import os; from vdibench.telemetry.cgroups import usable_cores; "
        f"os.sched_setaffinity(0, {{{one}}}); print(usable_cores())"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert float(done.stdout) == min(1.0, cpu_quota_cores() or 1.0)
    assert 0 < usable_cores() <= len(os.sched_getaffinity(0))
