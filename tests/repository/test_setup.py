"""The set-up step: what it decides about system packages, and that `.venv` survives being cut off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .checkouts import Checkout, Machine

ALL = {"xvfb": "1", "pulseaudio": "1", "coturn": "1", "chromium": "1"}


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Checkout:
    """A checkout whose `.venv` is warm, so that only system packages are left to decide about."""
    checkout = Checkout.create(tmp_path_factory.mktemp("ready") / "checkout", root / "scripts")
    done = checkout.prepare()
    assert done.returncode == 0, done.stderr
    return checkout


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "machine")


def phases(checkout: Checkout) -> dict[str, str]:
    return {p["name"]: p["note"] for p in json.loads((checkout.root / ".venv" / "setup.json").read_text())}


def halted(checkout: Checkout) -> subprocess.Popen[str]:
    """Start a set-up and return when pip stands still in the middle of its work."""
    pipe = checkout.root / "halt"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        checkout.argv(),
        env=checkout.environment(),
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with pipe.open("wb"):  # returns when the build inside pip has opened the other end
        pipe.unlink()
        os.mkfifo(pipe)  # a pip that reads on gets an empty answer, not this pipe
        os.killpg(process.pid, signal.SIGSTOP)
    return process


def living(group: int) -> list[str]:
    """Return what still runs in a process group; a zombie that nobody has collected does not."""
    stats = [(folder / "stat") for folder in Path("/proc").glob("[0-9]*")]
    found = []
    for stat in stats:
        try:
            name, _, rest = stat.read_text().rpartition(")")
        except OSError:  # ended meanwhile
            continue
        state, _, of_group = rest.split()[:3]
        if int(of_group) == group and state not in "ZX":
            found.append(name)
    return found


def test_environment_recovers_from_whatever_happened_to_it(tmp_path: Path, root: Path) -> None:
    checkout = Checkout.create(tmp_path / "checkout", root / "scripts")
    venv = checkout.root / ".venv"

    process = halted(checkout)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (checkout.root / "halt").unlink()
    assert not (venv / "setup.stamp").exists()

    done = checkout.prepare()
    assert (done.returncode, phases(checkout)["pip"]) == (0, "rebuilt")

    started = time.monotonic()
    done = checkout.prepare()
    assert (done.returncode, done.stdout, phases(checkout)["pip"]) == (0, "", "warm: nothing changed")
    assert time.monotonic() - started < 1

    checkout.lock("first", "second")
    done = checkout.prepare()
    assert (done.returncode, phases(checkout)["pip"]) == (0, "brought up to date")
    subprocess.run([venv / "bin" / "python", "-c", "import first, second, thing, operation"], check=True)

    (venv / "bin" / "python").unlink()
    lock = checkout.root / "requirements.lock"
    kept = lock.read_text()
    lock.write_text(f"absent==1 --hash=sha256:{'0' * 64}\n")
    done = checkout.prepare()
    assert done.returncode == 1
    assert "building it anew" in done.stdout
    for part in (".cache/setup-pip.log", "No matching distribution found for absent==1", "pip config list"):
        assert part in done.stderr

    lock.write_text(kept)
    done = checkout.prepare()
    assert (done.returncode, phases(checkout)["pip"]) == (0, "rebuilt")


def test_pip_settings_that_point_elsewhere_are_not_followed(ready: Checkout) -> None:
    ready.lock("first", "fourth")
    done = ready.prepare(PIP_USER="1", PIP_TARGET=str(ready.root / "elsewhere"), PIP_REQUIRE_HASHES="1")
    assert done.returncode == 0, done.stderr
    assert not (ready.root / "elsewhere").exists()


def test_machine_that_lacks_nothing_is_left_alone(ready: Checkout, machine: Machine) -> None:
    machine.has("xvfb", "pulseaudio", "coturn")
    done = ready.prepare(PATH=str(machine.path))
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.log.read_text() == ""


def test_without_rights_a_person_gets_the_list(ready: Checkout, machine: Machine) -> None:
    machine.has("pulseaudio")
    machine.user(1000)
    machine.apt(ALL)
    done = ready.prepare(PATH=str(machine.path))
    assert done.returncode == 3
    assert "X server without a screen (Xvfb)" in done.stderr
    assert "TURN server (turnserver)" in done.stderr
    assert "pulseaudio" not in done.stderr
    assert "sudo apt-get update && sudo apt-get install --no-install-recommends xvfb coturn\n" in done.stderr
    assert machine.calls("apt-get") == []


def test_sudo_that_wants_a_password_is_as_good_as_none(ready: Checkout, machine: Machine) -> None:
    machine.user(1000)
    machine.apt(ALL)
    machine.add("sudo", "exit 1")
    done = ready.prepare(PATH=str(machine.path))
    assert done.returncode == 3
    assert machine.calls("sudo") == ["sudo -n true"]
    assert machine.calls("apt-get") == []


@pytest.mark.parametrize("uid", [0, 1000])
def test_what_is_missing_is_installed_and_no_service_stays(ready: Checkout, machine: Machine, uid: int) -> None:
    machine.has("pulseaudio")
    machine.user(uid)
    machine.apt(ALL, known_only_after_update=True)
    machine.add("sudo", 'shift; exec "$@"')
    machine.add("systemctl", "exit 0")
    done = ready.prepare(PATH=str(machine.path))
    assert done.returncode == 0, done.stderr
    update, install = machine.calls("apt-get")
    assert update == "apt-get update"
    assert install.endswith("install --yes --no-install-recommends --no-remove xvfb coturn")
    assert "guarded" in machine.log.read_text()
    assert list(machine.sbin.iterdir()) == []
    assert machine.calls("systemctl") == [
        "systemctl --system disable coturn.service",
        "systemctl stop coturn.service",
    ]
    assert bool(machine.calls("sudo")) is (uid != 0)
    assert phases(ready)["apt"] == "installed xvfb coturn"


def test_without_systemd_nothing_is_left_that_would_start_later(ready: Checkout, machine: Machine) -> None:
    machine.has("xvfb")
    machine.user(0)
    machine.apt(ALL)
    ours = [machine.units / "system/multi-user.target.wants/coturn.service"]
    ours += [machine.units / "user/default.target.wants/pulseaudio.service"]
    ours += [machine.units / "user/sockets.target.wants/pulseaudio.socket"]
    foreign = machine.units / "system/multi-user.target.wants/ssh.service"
    for link in (*ours, foreign):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to("/dev/null")
    done = ready.prepare(PATH=str(machine.path))
    assert done.returncode == 0, done.stderr
    assert [link for link in ours if link.is_symlink()] == []
    assert foreign.is_symlink()


def test_guard_of_a_killed_set_up_goes_and_a_foreign_one_stays(ready: Checkout, machine: Machine) -> None:
    machine.user(0)
    machine.apt(ALL)
    guard = machine.sbin / "policy-rc.d"
    guard.write_text("#!/bin/sh\n# vdibench set-up: left behind\nexit 101\n")
    assert ready.prepare(PATH=str(machine.path)).returncode == 0
    assert not guard.exists()

    (machine.path / "Xvfb").unlink()
    guard.write_text("#!/bin/sh\nexit 101\n")
    assert ready.prepare(PATH=str(machine.path)).returncode == 0
    assert guard.read_text() == "#!/bin/sh\nexit 101\n"


def test_apt_failure_shows_what_apt_said(ready: Checkout, machine: Machine) -> None:
    machine.user(0)
    machine.apt(ALL, fails="E: no space left in the cupboard")
    done = ready.prepare(PATH=str(machine.path))
    assert done.returncode == 1
    assert "no space left in the cupboard" in done.stderr
    assert ".cache/setup-apt.log" in done.stderr
    assert list(machine.sbin.iterdir()) == []


def test_snap_pointer_is_not_taken_for_a_browser(ready: Checkout, machine: Machine) -> None:
    machine.has("xvfb", "pulseaudio", "coturn")
    machine.user(0)
    machine.apt({"chromium-browser": "2:1snap1-0ubuntu2"})
    assert ready.prepare("report", PATH=str(machine.path)).returncode == 0
    done = ready.prepare("test", PATH=str(machine.path))
    assert done.returncode == 3
    assert "snap install chromium" in done.stderr
    assert not any("install" in call for call in machine.calls("apt-get"))


def test_other_systems_are_told_what_to_install(ready: Checkout, machine: Machine) -> None:
    machine.has("xvfb", "coturn")
    done = ready.prepare(PATH=str(machine.path))
    assert done.returncode == 3
    assert "sound server (pulseaudio)" in done.stderr
    assert "no apt-get" in done.stderr


@pytest.mark.parametrize("newer", [False, True])
def test_old_python_steps_aside_or_says_what_to_install(root: Path, machine: Machine, newer: bool) -> None:
    if newer:
        machine.add("python3.12", f"exec {sys.executable} -c \"print('continued')\"")
    program = root / "scripts" / "setup.py"
    code = (
        "import runpy, sys; sys.version_info = (3, 9, 2); "
        f"sys.argv = [{str(program)!r}]; runpy.run_path({str(program)!r}, run_name='__main__')"
    )
    env = {**os.environ, "PATH": str(machine.path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    if newer:
        assert (done.returncode, done.stdout) == (0, "continued\n")
    else:
        assert done.returncode == 2
        assert "Python 3.9 is too old, 3.11 or newer is needed: install python3.11" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_two_set_ups_of_one_checkout_take_turns(ready: Checkout) -> None:
    ready.lock("first", "fifth")
    process = halted(ready)
    second = subprocess.Popen(
        ready.argv(), env=ready.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    assert second.stdout is not None
    assert second.stdout.readline() == "set-up: another set-up of this checkout is running, waiting for it\n"
    (ready.root / "halt").unlink()
    os.killpg(process.pid, signal.SIGCONT)
    process.communicate(timeout=60)
    second.communicate(timeout=60)
    assert (process.returncode, second.returncode) == (0, 0)
    assert phases(ready)["pip"] == "warm: nothing changed"


def test_interrupt_is_said_and_ends_what_was_started(ready: Checkout) -> None:
    # The last test of this file: it leaves the shared checkout as an interrupt leaves it.
    ready.lock("first", "third")
    process = halted(ready)
    os.killpg(process.pid, signal.SIGINT)
    os.killpg(process.pid, signal.SIGCONT)
    _, errors = process.communicate(timeout=60)
    (ready.root / "halt").unlink()
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1].startswith("set-up: interrupted: run it again")
    assert living(process.pid) == []
