"""Real X servers and real desks for the tests of the marker program."""

from __future__ import annotations

import os
import re
import secrets
import select
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from vdibench.desk import DESK_FILE
from vdibench.desk.desk import Connection, request

Picture = npt.NDArray[np.uint8]

PATIENCE = 20.0
CELL = 16
GET_IMAGE, GET_INPUT_FOCUS, GET_GEOMETRY, QUERY_TREE = 73, 43, 14, 15
CHANGE_WINDOW_ATTRIBUTES, SET_FONT_PATH = 2, 51


@dataclass
class XServer:
    """One Xvfb."""

    process: subprocess.Popen[bytes]
    display: str
    authority: Path


class Eye:
    """A second connection to a desk's screen, which looks and types."""

    def __init__(self, server: XServer) -> None:
        self.connection = Connection(server.display)
        self.root = self.connection.screen.root

    def picture(self, x: int, y: int, width: int, height: int) -> Picture:
        """Return a part of the screen: rows, columns, blue green red unused."""
        body = struct.pack("<IhhHHI", self.root, x, y, width, height, 0xFFFFFFFF)
        reply = self.connection.call(request(GET_IMAGE, 2, body))
        assert reply[0] == 1, f"GetImage failed with error {reply[1]}"
        return np.frombuffer(reply, np.uint8, 4 * width * height, 32).reshape(height, width, 4)[:, :, :3]

    def bits(self, cell: int = CELL) -> npt.NDArray[np.bool_]:
        """Return the marker's 128 bits; every pixel must be pure black or white as its cell is."""
        cells = self.picture(0, 0, 32 * cell, 4 * cell).reshape(4, cell, 32, cell, 3)
        first = cells[:, :1, :, :1, :1]
        assert np.isin(first, (0, 255)).all(), "a cell is neither black nor white"
        assert (cells == first).all(), "a cell has two colours"
        return (first == 255).reshape(128)

    def microseconds(self) -> int:
        """Return the time that the marker shows."""
        return int.from_bytes(np.packbits(self.bits()).tobytes()[4:11], "big")

    def patches(self, cell: int = CELL) -> tuple[bool, bool]:
        """Return whether key and click patch are white; each must be of one pure colour."""
        side = 4 * cell
        values = [np.unique(self.picture(x, side, side, side)).tolist() for x in (0, side)]
        assert all(value in ([0], [255]) for value in values), f"mixed patches {values}"
        return values[0] == [255], values[1] == [255]

    def fake(self, kind: int, detail: int, x: int = 0, y: int = 0) -> None:
        """Inject an event by XTEST: 2/3 key press/release, 4/5 button press/release, 6 motion."""
        body = struct.pack("<BB2xII8xhh8x", kind, detail, 0, self.root, x, y)
        self.connection.send([request(self.connection.extension("XTEST"), 2, body)])

    def settle(self) -> None:
        """Return when the desk has answered every event before this call.

        When the server answers, it has sent them; the frame after the next one is drawn by a desk that read them.
        """
        self.connection.call(request(GET_INPUT_FOCUS))
        for _ in range(3):
            seen = self.bits()
            while (self.bits() == seen).all():
                pass  # the suite's time limit ends a desk that stands still

    def desk_window(self) -> int:
        """Return the id of the topmost window."""
        reply = self.connection.call(request(QUERY_TREE, 0, struct.pack("<I", self.root)))
        (count,) = struct.unpack_from("<H", reply, 16)
        return int(struct.unpack_from("<I", reply, 32 + 4 * (count - 1))[0])

    def window_size(self) -> tuple[int, int]:
        """Return the size of the topmost window."""
        reply = self.connection.call(request(GET_GEOMETRY, 0, struct.pack("<I", self.desk_window())))
        width, height = struct.unpack_from("<HH", reply, 16)
        return width, height

    def watch_keys(self) -> None:
        """Ask for the key presses that the desk gets, without its switch for repeated ones."""
        body = struct.pack("<III", self.desk_window(), 0x800, 1)
        self.connection.send([request(CHANGE_WINDOW_ATTRIBUTES, 0, body)])

    def wait_for_key_press(self) -> None:
        """Return at the next key press."""
        while not any(message[0] & 0x7F == 2 for message in self.connection.read()):
            pass

    def hide_fonts(self, folder: Path) -> None:
        """Let the server find fonts in a folder only."""
        path = os.fsencode(folder)
        body = struct.pack("<H2xB", 1, len(path)) + path
        self.connection.send([request(SET_FONT_PATH, 0, body)])
        self.connection.call(request(GET_INPUT_FOCUS))

    def wait_for_marker(self) -> None:
        """Return when the marker's place shows one again: a server that resizes blanks its windows for a moment."""
        while not np.isin(self.picture(0, 0, 32 * CELL, 4 * CELL), (0, 255)).all():
            pass

    def tap(self, press: int, detail: int) -> tuple[bool, bool]:
        """Press and release a key (2) or a button (4); return the patches after it."""
        self.fake(press, detail)
        self.fake(press + 1, detail)
        self.settle()
        return self.patches()


def record(family: int, address: bytes, number: str, cookie: bytes) -> bytes:
    """Return one record of a cookie file."""
    parts = (address, number.encode(), b"MIT-MAGIC-COOKIE-1", cookie)
    return struct.pack(">H", family) + b"".join(struct.pack(">H", len(part)) + part for part in parts)


def read_within(descriptor: int) -> bytes:
    """Read once from a pipe; fail rather than hang."""
    assert select.select([descriptor], [], [], PATIENCE)[0], "nothing was written in time"
    return os.read(descriptor, 64)


@contextmanager
def x_server(folder: Path, *options: str, screen: str = "1280x720x24", locked: bool = False) -> Iterator[XServer]:
    """Run an Xvfb until the end of the block; a locked one wants a cookie."""
    authority = folder / "authority"
    command = ["Xvfb", "-screen", "0", screen, "-nolisten", "tcp", "-noreset", *options]
    if locked:
        authority.write_bytes(record(65535, b"", "", secrets.token_bytes(16)))
        command += ["-auth", str(authority)]
    reader, writer = os.pipe()
    try:
        command += ["-displayfd", str(writer)]
        process = subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL)
    finally:
        os.close(writer)
    try:
        yield XServer(process, f":{read_within(reader).decode().strip()}", authority)
    finally:
        os.close(reader)
        process.terminate()
        process.wait(PATIENCE)


@contextmanager
def drawing_desk(display: str, authority: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run a desk and wait until its first frame is on the screen."""
    reader, writer = os.pipe()
    try:
        process = start(display, authority, "--ready-fd", str(writer), *options, pass_fds=(writer,))
    finally:
        os.close(writer)
    try:
        ready = read_within(reader).decode()
        assert re.fullmatch(r"ready .+\n" if "3d" in options else r"ready\n", ready), ready
        assert read_within(reader) == b"", "the descriptor stays open after the first frame"
        yield process
    finally:
        os.close(reader)
        process.kill()
        process.communicate(timeout=PATIENCE)


def start(display: str, authority: Path, *options: str, pass_fds: tuple[int, ...] = ()) -> subprocess.Popen[str]:
    """Start a desk for which nothing but the standard library can be imported (-I -S)."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(DESK_FILE), "--display", display, *options],
        env={**os.environ, "XAUTHORITY": str(authority)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=pass_fds,
    )


def run_to_end(display: str, authority: Path, *options: str) -> tuple[int, str]:
    """Run a desk that ends by itself; return exit status and stderr."""
    process = start(display, authority, *options)
    try:
        return process.wait(PATIENCE), process.communicate(timeout=PATIENCE)[1]
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)


@pytest.fixture(scope="session")
def shared_screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[XServer]:
    """One X server for all tests that do it no harm. It wants a cookie, and held keys repeat fast on it."""
    with x_server(tmp_path_factory.mktemp("x"), "-ardelay", "60", "-arinterval", "20", locked=True) as server:
        yield server


@pytest.fixture
def make_screen(tmp_path: Path) -> Callable[..., AbstractContextManager[XServer]]:
    """Make X servers of one's own in this test's folder."""

    def make(*options: str, screen: str = "1280x720x24", locked: bool = False) -> AbstractContextManager[XServer]:
        return x_server(tmp_path, *options, screen=screen, locked=locked)

    return make


@pytest.fixture
def authority_record() -> Callable[[int, bytes, str, bytes], bytes]:
    """``record`` for the tests of cookie files."""
    return record


@pytest.fixture
def running_desk() -> Callable[..., AbstractContextManager[subprocess.Popen[str]]]:
    """``drawing_desk`` for the tests that look at the process."""
    return drawing_desk


@pytest.fixture
def outcome() -> Callable[..., tuple[int, str]]:
    """``run_to_end`` for the tests of exit statuses."""
    return run_to_end


@pytest.fixture
def look() -> Iterator[Callable[[XServer], Eye]]:
    """Open eyes on screens of one's own."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:

        def open_eye(server: XServer) -> Eye:
            patch.setenv("XAUTHORITY", str(server.authority))
            eye = Eye(server)
            stack.callback(eye.connection.close)
            return eye

        yield open_eye


@pytest.fixture
def start_desk(shared_screen: XServer, look: Callable[[XServer], Eye]) -> Iterator[Callable[..., Eye]]:
    """Start a desk with options, on the shared screen when no other is given; return an eye on it."""
    with ExitStack() as stack:

        def start_one(*options: str, server: XServer = shared_screen) -> Eye:
            stack.enter_context(drawing_desk(server.display, server.authority, *options))
            return look(server)

        yield start_one
