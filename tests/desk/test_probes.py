"""Screenshots and clicks on request: what they show and sound like, and that a request ends by itself."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vdibench.client.audio import click_onsets
from vdibench.client.marker import MarkerReader
from vdibench.client.screenshots import ProbeFolder, Screenshot
from vdibench.desk.desk import CLICK_INTERVALS

PATIENCE = 20.0
RATE = 48_000


@pytest.fixture
def folder(tmp_path: Path) -> ProbeFolder:
    (tmp_path / "probes").mkdir()
    return ProbeFolder(tmp_path / "probes")


def until(condition, renew=lambda: None):
    """The first result that is true; a desk answers within a second or two."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "nothing came"
        renew()
        time.sleep(0.01)  # a folder can only be looked at
    return found


def shots(folder: ProbeFolder) -> list[Screenshot]:
    times = sorted(int(path.stem) for path in folder.path.glob("*.bgrx"))
    return [shot for value in times if (shot := folder.find(value)) is not None]


def test_a_screenshot_shows_the_screen_of_its_marker(start_desk, folder: ProbeFolder) -> None:
    eye = start_desk("--session-id", "77", "--probes", str(folder.path))
    folder.ask("screenshots")
    eye.tap(2, 38)
    found = until(lambda: shots(folder)[1:2])[0]
    marker = MarkerReader().read(luma(found.pixels))
    assert marker is not None
    assert (marker.session_id, marker.key_patch, found.session_id) == (77, True, 77)
    assert round(marker.drawn_unix_seconds * 1e6) == found.marker_microseconds
    # Nothing moves on an idle desk but the marker: the rest is what another client sees.
    assert np.array_equal(found.pixels[64:, :, :3], eye.picture(0, 64, 1280, 656))


def test_the_first_marker_of_each_second_and_the_newest_few(start_desk, folder: ProbeFolder) -> None:
    start_desk("--probes", str(folder.path), "--rate", "200")
    seen: set[int] = set()

    def look() -> bool:
        names = {int(path.stem) for path in folder.path.glob("*.bgrx")}
        assert len(names) <= 5  # one is removed after its successor came
        seen.update(names)
        return len(seen) >= 6

    until(look, lambda: folder.ask("screenshots"))
    later = sorted(seen)[1:]
    assert all(value % 1_000_000 < 100_000 for value in later), "drawn long after the second began"
    assert np.diff(np.array(later) // 1_000_000).tolist() == [1] * (len(later) - 1)
    assert {path.stat().st_mode & 0o777 for path in folder.path.glob("*.bgrx")} == {0o600}


def test_without_a_request_and_after_a_stale_one_there_is_none(start_desk, folder: ProbeFolder) -> None:
    eye = start_desk("--probes", str(folder.path))
    folder.ask("screenshots")
    until(lambda: shots(folder))
    os.utime(folder.path / "screenshots", (time.time() - 11, time.time() - 11))
    until(lambda: not list(folder.path.glob("*.bgrx")))
    second = int(time.time())
    until(lambda: time.time() > second + 2)
    eye.settle()
    assert [path.name for path in folder.path.iterdir()] == ["screenshots"]


def test_a_desk_removes_what_it_made(running_desk, shared_screen, folder: ProbeFolder) -> None:
    (folder.path / "1.bgrx").write_bytes(b"of a desk before")
    with running_desk(shared_screen.display, shared_screen.authority, "--probes", str(folder.path)) as desk:
        folder.ask("screenshots")
        until(lambda: shots(folder))
        assert folder.find(1) is None
        desk.terminate()
        assert desk.wait(PATIENCE) == 0
        assert shots(folder) == []


def test_a_folder_that_is_not_there_is_refused(outcome, shared_screen, tmp_path: Path) -> None:
    status, said = outcome(shared_screen.display, shared_screen.authority, "--probes", str(tmp_path / "gone"))
    assert status == 2
    assert "make it first" in said


@pytest.fixture
def sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A sound server with nothing but a null sink, for the desks of the test."""
    path = tmp_path / "native"
    command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--disable-shm=yes"]
    command += ["--realtime=no", "--high-priority=no", "-L", f"module-null-sink sink_name=output rate={RATE}"]
    command += ["-L", f"module-native-protocol-unix auth-anonymous=1 socket={path}"]
    own = {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path), "DBUS_SESSION_BUS_ADDRESS": "disabled:"}
    process = subprocess.Popen(command, env={**os.environ, **own}, stderr=subprocess.DEVNULL)
    try:
        until(path.exists)
        monkeypatch.setenv("PULSE_SERVER", f"unix:{path}")
        yield path
    finally:
        process.terminate()
        process.wait(PATIENCE)


def record(server: Path, seconds: float) -> tuple[float, np.ndarray]:
    """What the sink plays, and the Unix time of the last sample."""
    command = ["parec", "--latency-msec=10", "--device=output.monitor", f"--rate={RATE}", "--channels=1"]
    command += ["--format=float32le", "--raw"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, env={**os.environ, "PULSE_SERVER": f"unix:{server}"}, bufsize=0
    )
    assert process.stdout is not None
    data, end = b"", 0.0
    try:
        while len(data) < 4 * RATE * seconds:
            data += process.stdout.read(1 << 16)
            end = time.time()
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)
    return end, np.frombuffer(data[: len(data) // 4 * 4], "<f4")


@pytest.mark.parametrize("delay", [0.0, 0.2])
def test_clicks_sound_when_the_patch_inverts(start_desk, folder: ProbeFolder, sound: Path, delay: float) -> None:
    start_desk("--probes", str(folder.path))
    folder.ask("clicks", f"{delay}")
    until(lambda: len(folder.clicked()) >= 2, lambda: folder.ask("clicks", f"{delay}"))
    end, samples = record(sound, 4.0)
    folder.ask("clicks", f"{delay}")
    until(lambda: folder.clicked() and folder.clicked()[-1][1] > end)
    sounded = end + (click_onsets(samples) - len(samples)) / RATE
    noted = [(seen, heard) for seen, heard in folder.clicked() if end - 3.5 < heard < end - 0.1]
    assert len(noted) >= 2
    for seen, heard in noted:
        assert heard - seen == pytest.approx(delay, abs=0.05)
        # What parec and this process add lies in the tail: a recording read late is late as a whole.
        assert np.abs(sounded - heard).min() < 0.06
    spread = [float((sounded - heard)[np.abs(sounded - heard).argmin()]) for _, heard in noted]
    assert max(spread) - min(spread) < 0.02
    intervals = np.diff([seen for seen, _ in folder.clicked()])
    assert intervals.min() > CLICK_INTERVALS[0] - 0.1
    assert intervals.max() < CLICK_INTERVALS[1] + abs(delay) + 0.3


def luma(pixels: np.ndarray) -> np.ndarray:
    """Luma of a limited-range BT.601 stream."""
    return (16 + pixels[:, :, :3] @ np.array([25, 129, 66]) / 256).astype(np.uint8)


def test_clicks_from_the_start_invert_the_sync_patch(start_desk, sound: Path) -> None:
    eye, reader, states = start_desk("--clicks"), MarkerReader(), set()

    def both() -> bool:
        marker = reader.read(luma(eye.picture(0, 0, 1280, 128)))
        assert marker is not None
        assert (marker.key_patch, marker.click_patch) == (False, False)
        states.add(marker.sync_patch)
        return len(states) == 2

    until(both)


def test_no_sound_server_at_the_start_is_said(outcome, shared_screen, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PULSE_SERVER", f"unix:{tmp_path / 'none'}")
    status, said = outcome(shared_screen.display, shared_screen.authority, "--clicks")
    assert status == 2
    assert re.fullmatch(r"desk: no click track, .*: set PULSE_SERVER to a running PulseAudio\n", said)


def test_the_picture_goes_on_when_the_sound_server_ends(
    running_desk, shared_screen, look, folder: ProbeFolder, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PULSE_SERVER", f"unix:{tmp_path / 'none'}")
    with running_desk(shared_screen.display, shared_screen.authority, "--probes", str(folder.path)) as desk:
        folder.ask("clicks")
        assert desk.stderr is not None
        said = desk.stderr.readline()
        assert "no click track" in said
        look(shared_screen).settle()
        assert desk.poll() is None
