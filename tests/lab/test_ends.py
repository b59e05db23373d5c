"""However a lab ends, nothing of it stays: no process, file, lock, port lease or shared memory."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from vdibench.errors import LabError
from vdibench.lab import DesktopSpec, Lab, LabSpec
from vdibench.lab.traces import marked_processes, read_mark, role_of
from vdibench.records import Display, Workload

from .footprints import SMALL, Footprint, Owner, await_true

ONE = LabSpec((SMALL,), turn=False)


def kill_role(mark: str, role: str) -> int:
    (pid,) = [pid for pid in marked_processes(mark) if role_of(pid) == role]
    os.kill(pid, signal.SIGKILL)
    return pid


def test_down(lab: Lab) -> None:
    """Beside another lab, with which it shares nothing."""
    spec = DesktopSpec(display=Display(320, 240, 15), workload=Workload.IDLE, basic_auth=False, audible=False)
    lines: list[str] = []
    with Lab.up(LabSpec((spec, spec)), owned=True, on_progress=lines.append) as other:
        mine, theirs = Footprint.of(other.directory), Footprint.of(lab.directory)
        assert mine.displays
        assert mine.ports
        assert not mine.displays.keys() & theirs.displays.keys()
        assert not mine.ports & theirs.ports
        assert not mine.sockets & theirs.sockets
        assert not mine.pids & theirs.pids
        assert not mine.paths & theirs.paths
        assert other.desktops[0].endpoint.credentials is None
        assert set(Lab.all()) >= {lab.status(), other.status()}
        assert len(mine.remains()) > 10, "the footprint does not see a living lab"
        other.down()
        assert mine.remains() == []
        assert other.status().state == "gone"
        # The supervisor was our child: its exit status is taken. (Whatever became an orphan is init's to take.)
        assert not Path(f"/proc/{other.status().supervisor_pid}").exists()
    assert "desktop 1/2: X server ready" in lines
    assert lines[-1].startswith("lab ready: 2 desktops in ")
    assert lab.status().state == "running"


def test_sigkill_of_a_part_then_of_the_supervisor() -> None:
    lab = Lab.up(ONE, name="victim", owned=True)
    left = Footprint.of(lab.directory)
    assert left.displays
    os.kill(next(p.pid or 0 for p in lab.status().desktops[0].parts if p.name == "xvfb"), signal.SIGKILL)
    await_true(lambda: lab.status().state == "failed", 5, lambda: str(lab.status()))
    status = lab.status()
    assert status.desktops[0].state == "failed"
    (number,) = left.displays
    assert Path(f"/tmp/.X11-unix/X{number}").exists(), "the test shall show that a dead server's socket goes"
    assert "desktop-0: xvfb was killed by signal 9" in status.failure
    assert Lab.find("victim").status().state == "failed"
    kill_role(left.mark, "supervisor")
    left.await_nothing(5)
    assert lab.status().state == "gone"
    lab.down()


def test_reaper_is_replaced_and_a_killed_selkies_is_named() -> None:
    with Lab.up(ONE, owned=True) as lab:
        left = Footprint.of(lab.directory)
        old = kill_role(left.mark, "reaper")
        await_true(
            lambda: {role_of(pid) for pid in marked_processes(left.mark) if pid != old} >= {"reaper"},
            5,
            lambda: "no new reaper",
        )
        left.pids |= set(marked_processes(left.mark))
        kill_role(left.mark, "selkies")
        await_true(lambda: lab.status().state == "failed", 5, lambda: str(lab.status()))
        assert "desktop-0: selkies was killed by signal 9: INFO:server:Selkies server running" in lab.status().failure
        kill_role(left.mark, "supervisor")
        left.await_nothing(5)


def test_supervisor_and_reaper_killed_at_once_are_swept_by_the_next_caller() -> None:
    lab = Lab.up(ONE, name="stale", owned=True)
    left = Footprint.of(lab.directory)
    roles = {role_of(pid): pid for pid in marked_processes(left.mark)}
    os.kill(roles["supervisor"], signal.SIGSTOP)
    os.kill(roles["reaper"], signal.SIGKILL)
    os.kill(roles["supervisor"], signal.SIGKILL)
    await_true(lambda: not marked_processes(left.mark), 5, lambda: "the children outlived their parent")
    assert left.remains()
    assert "stale" not in [status.name for status in Lab.all()]
    assert left.remains() == []
    lab.down()


def test_owner_killed(owner: Callable[..., Owner]) -> None:
    process = owner(owned=True, name="orphan")
    process.await_line("up")
    left = Footprint.of(Lab.find("orphan").directory)
    process.process.kill()
    left.await_nothing(5)


def test_owner_killed_while_a_fork_of_it_lives_on(owner: Callable[..., Owner]) -> None:
    process = owner(owned=True, name="forked", fork=True)
    process.await_line("up")
    left = Footprint.of(Lab.find("forked").directory)
    process.process.kill()
    left.await_nothing(5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_ended_while_it_comes_up(owner: Callable[..., Owner], state_root: Path, number: signal.Signals) -> None:
    process = owner(owned=False, name="halfway", desktops=2)
    process.await_line("X server ready")
    left = Footprint.of(state_root / "vdibench" / "labs" / "halfway")
    process.process.send_signal(number)
    left.await_nothing(5)
    assert process.process.wait(timeout=10) in (-number, 1)
    if number == signal.SIGINT:
        assert process.process.stderr is not None
        assert process.process.stderr.read().rstrip().endswith("KeyboardInterrupt")


def test_a_lab_without_owner_outlives_who_started_it(owner: Callable[..., Owner]) -> None:
    process = owner(owned=False, name="lasting")
    process.await_line("up")
    lab = Lab.find("lasting")
    assert not lab.status().owned
    left = Footprint.of(lab.directory)
    process.end()
    # It would notice within its polling interval of half a second.
    with pytest.raises(AssertionError, match="still there"):
        await_true(lambda: lab.status().state != "running", 1, lambda: "still there")
    Lab.take_down("lasting")
    assert left.remains() == []
    with pytest.raises(LabError, match="no lab named 'lasting'"):
        Lab.take_down("lasting")


def test_progress_callback_that_raises(state_root: Path) -> None:
    seen: list[Footprint] = []

    def fail(line: str) -> None:
        if "sound server" in line:
            seen.append(Footprint.of(state_root / "vdibench" / "labs" / "broken"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Lab.up(ONE, name="broken", owned=True, on_progress=fail)
    assert seen[0].remains() == []


def test_time_limit(state_root: Path) -> None:
    with pytest.raises(LabError, match=r"is not ready after 0.3 s \(waiting for .*\).*: .*allow more time"):
        Lab.up(ONE, name="slow", owned=True, timeout_seconds=0.3)
    assert not (state_root / "vdibench" / "labs" / "slow").exists()


def test_program_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, state_root: Path) -> None:
    for name in ("pulseaudio", "turnserver", "xkbcomp", "ldd"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match=r"^this machine lacks Xvfb for a lab: apt-get install xvfb$"):
        Lab.up(ONE, name="bare", owned=True)
    assert not (state_root / "vdibench" / "labs" / "bare").exists()


def test_part_that_fails_is_named_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, state_root: Path
) -> None:
    server = tmp_path / "turnserver"
    server.write_text('#!/bin/sh\ngrep ^static-auth-secret "$2" | cut -d= -f2-\necho\nexit 3\n')
    server.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(LabError) as caught:
        Lab.up(LabSpec((SMALL,)), name="unlucky", owned=True)
    assert str(caught.value).startswith("turn: coturn exited with status 3, last line of coturn.log: ***: ")
    assert "\n" not in str(caught.value)
    assert not (state_root / "vdibench" / "labs" / "unlucky").exists()


def test_mark_is_new_for_every_lab(lab: Lab) -> None:
    assert len(read_mark(lab.directory)) == 36
