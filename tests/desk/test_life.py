"""How the desk starts, ends, and says why it cannot."""

from __future__ import annotations

import ast
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from vdibench.desk import DESK_FILE
from vdibench.desk.desk import find_cookie

LOCAL, WILD, INTERNET = 256, 65535, 0


def one_line(text: str) -> str:
    assert text.endswith("\n")
    assert text.count("\n") == 1, text
    return text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once(running_desk, shared_screen, number) -> None:
    with running_desk(shared_screen.display, shared_screen.authority, "--workload", "video") as desk:
        begin = time.monotonic()
        desk.send_signal(number)
        assert desk.wait(10) == 0
        assert time.monotonic() - begin < 1
        assert desk.stderr.read() == ""


def test_it_ends_after_its_duration(outcome, shared_screen) -> None:
    begin = time.monotonic()
    assert outcome(shared_screen.display, shared_screen.authority, "--duration", "0.5") == (0, "")
    assert time.monotonic() - begin >= 0.5


def test_it_ends_with_its_x_server(running_desk, make_screen) -> None:
    with make_screen() as server, running_desk(server.display, server.authority) as desk:
        server.process.kill()
        assert desk.wait(10) == 1
        text = one_line(desk.stderr.read())
        assert f"the X server of display {server.display} has gone" in text
        assert "start it again" in text


def test_no_cookie_is_needed_without_access_control(running_desk, make_screen) -> None:
    with make_screen() as server, running_desk(server.display, server.authority) as desk:
        assert not server.authority.exists()
        assert desk.poll() is None


def test_wrong_cookie(outcome, make_screen, authority_record, tmp_path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_bytes(authority_record(WILD, b"", "", bytes(16)))
    with make_screen(locked=True) as server:
        status, text = outcome(server.display, wrong)
    assert status == 2
    assert "refuses the connection" in one_line(text)
    assert "the cookie in" in text
    assert "set XAUTHORITY" in text


def test_missing_cookie(outcome, make_screen, tmp_path) -> None:
    with make_screen(locked=True) as server:
        status, text = outcome(server.display, tmp_path / "none")
    assert status == 2
    assert "no cookie for this display" in one_line(text)


@pytest.mark.parametrize(
    ("display", "cause"),
    [
        (":60123", "cannot reach display :60123"),
        ("", "no display is named"),
        ("here", "not [host]:number[.screen]"),
        (":1x", "not [host]:number[.screen]"),
        ("127.0.0.1:70000", "cannot reach display 127.0.0.1:70000"),
    ],
)
def test_bad_display(outcome, tmp_path, display, cause) -> None:
    status, text = outcome(display, tmp_path / "none")
    assert status == 2
    assert cause in one_line(text)


def test_missing_screen(outcome, shared_screen) -> None:
    status, text = outcome(f"{shared_screen.display}.3", shared_screen.authority)
    assert status == 2
    assert "has no screen 3" in one_line(text)


def test_unusable_depth(outcome, make_screen) -> None:
    with make_screen(screen="640x480x16") as server:
        status, text = outcome(server.display, server.authority)
    assert status == 2
    assert "colour depth 16" in one_line(text)


def test_a_server_that_hangs_up(outcome, tmp_path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: listener.accept()[0].close())
        thread.start()
        status, text = outcome(f"127.0.0.1:{listener.getsockname()[1] - 6000}", tmp_path / "none")
        thread.join()
    assert status == 2
    assert "does not answer" in one_line(text)


def test_over_tcp_with_cookie(running_desk, shared_screen) -> None:
    """A display with a host name, carried to the server's socket by a relay on loopback."""
    far = socket.socket(socket.AF_UNIX)
    far.connect(f"/tmp/.X11-unix/X{shared_screen.display[1:]}")
    with far, socket.create_server(("127.0.0.1", 0)) as listener:
        display = f"127.0.0.1:{listener.getsockname()[1] - 6000}"

        def relay() -> None:
            near = listener.accept()[0]
            back = threading.Thread(target=pump, args=(far, near))
            back.start()
            pump(near, far)
            back.join()
            near.close()

        def pump(source: socket.socket, target: socket.socket) -> None:
            # A client that ends with data unread resets its connection; the other way must end then too.
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    target.sendall(data)
            with contextlib.suppress(OSError):  # the other way reset it already
                target.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=relay)
        thread.start()
        with running_desk(display, shared_screen.authority) as desk:
            desk.send_signal(signal.SIGTERM)
            assert desk.wait(10) == 0
        thread.join()


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("--session-id", "65536", "a whole number from 0 to 65535"),
        ("--session-id", "-1", "a whole number from 0 to 65535"),
        ("--rate", "0", "from 0.1 to 1000"),
        ("--rate", "nan", "from 0.1 to 1000"),
        ("--dither", "1", "from 0 to 0.9"),
        ("--cell", "5", "from 6 to 64"),
        ("--duration", "-1", "from 0.001"),
        ("--ready-fd", "77", "not an open file descriptor"),
        ("--workload", "film", "choose from"),
    ],
)
def test_bad_option(outcome, shared_screen, option, value, allowed) -> None:
    status, text = outcome(shared_screen.display, shared_screen.authority, f"{option}={value}")
    assert status == 2
    assert allowed in text.splitlines()[-1]


def test_a_screen_too_small_is_said(outcome, make_screen) -> None:
    with make_screen(screen="400x300x24") as server:
        status, text = outcome(server.display, server.authority, "--duration", "0.2")
    assert status == 0
    assert "use a larger screen or --cell 12" in one_line(text)


@pytest.mark.parametrize("workload", ["text", "window", "video", "3d"])
@pytest.mark.parametrize("screen", ["100x60x24", "600x130x24", "4096x2160x24"])
def test_workloads_on_unusual_screens(outcome, make_screen, workload, screen) -> None:
    with make_screen(screen=screen) as server:
        status, text = outcome(server.display, server.authority, "--workload", workload, "--duration", "0.3")
    assert status == 0, text


@pytest.mark.parametrize("lacking", ["library", "drivers"])
def test_no_opengl_is_said_and_nothing_else_is_drawn(outcome, shared_screen, tmp_path, monkeypatch, lacking) -> None:
    if lacking == "library":
        (tmp_path / "libEGL.so.1").write_bytes(b"")  # found first, and no library
        monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    else:
        monkeypatch.setenv("__EGL_VENDOR_LIBRARY_DIRS", str(tmp_path))
    status, text = outcome(shared_screen.display, shared_screen.authority, "--workload", "3d", "--duration", "5")
    assert status == 2
    assert "no OpenGL for workload 3d" in one_line(text)
    assert "libegl1" in text


def test_version_from_the_file_and_from_the_package() -> None:
    texts = {
        subprocess.run([sys.executable, *how, "--version"], capture_output=True, text=True, check=True).stdout
        for how in ((str(DESK_FILE),), ("-W", "error", "-m", "vdibench.desk.desk"))
    }
    assert len(texts) == 1
    assert "marker 1" in texts.pop()


def test_the_syntax_is_that_of_python_3_9() -> None:
    ast.parse(DESK_FILE.read_text(), feature_version=(3, 9))


def test_a_reader_of_readiness_that_has_gone(shared_screen) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, str(DESK_FILE), "--display", shared_screen.display, "--duration", "0.1"]
    environment = {**os.environ, "XAUTHORITY": str(shared_screen.authority)}
    try:
        done = subprocess.run([*command, "--ready-fd", str(writer)], pass_fds=[writer], env=environment)
    finally:
        os.close(writer)
    assert done.returncode == 0


def test_the_cookie_of_the_right_display_is_chosen(authority_record) -> None:
    records = (
        authority_record(LOCAL, b"here", "1", b"one")
        + authority_record(LOCAL, b"there", "2", b"two")
        + authority_record(INTERNET, bytes([10, 0, 0, 1]), "1", b"far")
        + authority_record(LOCAL, b"here", "2", b"three")
        + authority_record(LOCAL, b"there", "3", b"four")
    )
    assert find_cookie(records, LOCAL, b"here", 1) == b"one"
    assert find_cookie(records, LOCAL, b"here", 2) == b"three"
    assert find_cookie(records, LOCAL, b"here", 3) == b"four"  # a container whose name changed
    assert find_cookie(records, LOCAL, b"here", 4) == b""
    assert find_cookie(records, INTERNET, bytes([10, 0, 0, 1]), 1) == b"far"
    assert find_cookie(records, INTERNET, bytes([10, 0, 0, 2]), 1) == b""
    assert find_cookie(records + authority_record(WILD, b"", "", b"any"), LOCAL, b"x", 9) == b"any"
    assert find_cookie(records[:-2], LOCAL, b"here", 2) == b"three"
    assert find_cookie(records[:1], LOCAL, b"here", 1) == b""
