"""Draw a machine-readable marker, echo patches and a workload on an X11 screen; on request screenshots and clicks.

One file, standard library only, Python 3.9 or later: copy it into any desktop image and run
``python3 desk.py --display :1 --session-id 7``. It speaks the X11 protocol itself, over the unix
socket (or TCP when the display names a host), with the cookie that XAUTHORITY holds.

I/O: one X11 connection, and one line on stderr when it fails; with ``--probes`` a folder, with a click track a
PulseAudio connection. Units: pixels, seconds; the marker carries microseconds. Exit status: 0 ended as asked, 1 the
X server went away or failed, 2 it cannot be used.
"""

from __future__ import annotations

import argparse
import array
import binascii
import contextlib
import ctypes
import functools
import json
import math
import os
import random
import re
import select
import signal
import socket
import struct
import sys
import time
import types
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Connection", "DeskError", "main", "marker_bytes", "request"]

VERSION = "1.3"
BAD_DISPLAY = BAD_SOUND = BAD_GRAPHICS = 2
SERVER_FAILED = 1


class DeskError(Exception):
    """What ends the program: one line of cause and remedy, and an exit status (1 or 2)."""

    def __init__(self, cause: str, remedy: str, status: int) -> None:
        super().__init__(" ".join(f"{cause}: {remedy}".split()))
        self.status = status


# ---------------------------------------------------------------------------------------------------
# Protocol: connection, cookie, requests
# ---------------------------------------------------------------------------------------------------

SETUP_TIMEOUT = 10.0
PUT_IMAGE_BYTES = 200_000  # below 65535 words, which every server takes without BIG-REQUESTS
FAMILY_LOCAL, FAMILY_WILD, FAMILY_INTERNET, FAMILY_INTERNET6 = 256, 65535, 0, 6
COOKIE_NAME = b"MIT-MAGIC-COOKIE-1"

ERROR, REPLY, KEY_PRESS, KEY_RELEASE, BUTTON_PRESS = 0, 1, 2, 3, 4
FOCUS_OUT, EXPOSE, CONFIGURE_NOTIFY, GENERIC_EVENT = 10, 12, 22, 35
CREATE_WINDOW, CHANGE_WINDOW_ATTRIBUTES, MAP_WINDOW, CONFIGURE_WINDOW = 1, 2, 8, 12
CHANGE_PROPERTY, SET_INPUT_FOCUS, GET_INPUT_FOCUS, OPEN_FONT, QUERY_FONT = 18, 42, 43, 45, 47
CREATE_PIXMAP, FREE_PIXMAP, CREATE_GC, CHANGE_GC, COPY_AREA = 53, 54, 55, 56, 62
POLY_FILL_RECTANGLE, PUT_IMAGE, GET_IMAGE, IMAGE_TEXT8, QUERY_EXTENSION = 70, 72, 73, 76, 98


class Rect(NamedTuple):
    """A rectangle in pixels."""

    x: int
    y: int
    width: int
    height: int


class Screen(NamedTuple):
    """The first facts the server tells about a screen."""

    root: int
    white: int
    black: int
    width: int
    height: int
    depth: int


def padded(data: bytes) -> bytes:
    """Return ``data`` filled up to whole 32-bit words."""
    return data + bytes(-len(data) % 4)


def request(opcode: int, detail: int = 0, body: bytes = b"") -> bytes:
    """Return one request in little-endian byte order, padded, with its length set."""
    body = padded(body)
    return struct.pack("<BBH", opcode, detail, 1 + len(body) // 4) + body


def parse_display(text: str) -> tuple[str, int, int]:
    """Split ``[host]:number[.screen]`` into host ("" for this machine), number and screen."""
    match = re.fullmatch(r"(?:(.*?):)(\d+)(?:\.(\d+))?", text, re.ASCII)
    if match is None:
        cause = f"display '{text}' is not [host]:number[.screen]" if text else "no display is named"
        raise DeskError(cause, "pass --display :0 or set DISPLAY", BAD_DISPLAY)
    host = match[1].strip("[]")
    return ("" if host == "unix" else host), int(match[2]), int(match[3] or 0)


def authority_file() -> Path:
    """Return the path of the cookie file, as Xlib would choose it."""
    named = os.environ.get("XAUTHORITY")
    return Path(named) if named else Path(os.environ.get("HOME", "/")) / ".Xauthority"


def find_cookie(records: bytes, family: int, address: bytes, number: int) -> bytes:
    """Return the cookie for one display from the bytes of a cookie file, or ``b""``.

    A local entry under another host name is the second choice: containers change their host name.
    """
    second = b""
    position = 0
    try:
        while position < len(records):
            (kind,) = struct.unpack_from(">H", records, position)
            position += 2
            fields = []
            for _ in range(4):
                (length,) = struct.unpack_from(">H", records, position)
                fields.append(records[position + 2 : position + 2 + length])
                position += 2 + length
            if fields[2] != COOKIE_NAME or fields[1] not in (b"", b"%d" % number):
                continue
            if kind == FAMILY_WILD or (kind == family and fields[0] == address):
                return fields[3]
            if kind == family == FAMILY_LOCAL:
                second = second or fields[3]
    except struct.error:
        pass  # a cut-off file: what was whole before the cut still counts, as in Xlib
    return second


class Connection:
    """One X11 connection. Blocking; the caller selects on it before ``read``.

    :param display: ``[host]:number[.screen]``.
    :raises DeskError: status 2 when the display cannot be used, status 1 when the server goes away later.
    """

    def __init__(self, display: str) -> None:
        self.display = display
        host, number, index = parse_display(display)
        self._buffer = bytearray()
        self._waiting: deque[bytes] = deque()
        self._sequence = 0
        self._last_id = 0
        self._socket = self._connect(host, number)
        self._socket.settimeout(SETUP_TIMEOUT)
        self._setup(self._authorization(host, number), index)
        self._socket.settimeout(None)

    def fileno(self) -> int:
        """Return the descriptor, for ``select``."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the connection; the server frees everything made over it."""
        self._socket.close()

    def new_id(self) -> int:
        """Return a fresh resource id."""
        self._last_id += 1
        return self._last_id

    def send(self, requests: list[bytes]) -> None:
        """Send whole requests with one write."""
        self._sequence = (self._sequence + len(requests)) & 0xFFFF
        try:
            self._socket.sendall(b"".join(requests))
        except OSError as error:
            raise self._gone() from error

    def call(self, one: bytes) -> bytes:
        """Send a request and wait for its reply; events that arrive meanwhile stay for ``read``.

        An X error that answers the request is returned in the reply's place (first byte 0).
        """
        self.send([one])
        kept: list[bytes] = []
        while True:
            while not self._waiting:
                self._fill()
            message = self._waiting.popleft()
            if message[0] in (ERROR, REPLY) and struct.unpack_from("<H", message, 2)[0] == self._sequence:
                self._waiting.extendleft(reversed(kept))
                return message
            kept.append(message)

    def extension(self, name: str) -> int:
        """Return the opcode of an extension, 0 when the server lacks it."""
        body = struct.pack("<H2x", len(name)) + name.encode()
        reply = self.call(request(QUERY_EXTENSION, 0, body))
        return int(reply[9]) if reply[0] == REPLY and reply[8] else 0

    def read(self) -> list[bytes]:
        """Return the events, errors and replies that one read brings (wait for at least one byte)."""
        if not self._waiting:
            self._fill()
        messages = list(self._waiting)
        self._waiting.clear()
        return messages

    @property
    def pending(self) -> bool:
        """Whether ``read`` has messages without waiting."""
        return bool(self._waiting)

    def _connect(self, host: str, number: int) -> socket.socket:
        if host:
            try:
                stream = socket.create_connection((host, 6000 + number), SETUP_TIMEOUT)
            except OSError as error:
                cause = f"cannot reach display {self.display} (TCP port {6000 + number}: {error})"
                raise DeskError(cause, "check that the X server listens on TCP", BAD_DISPLAY) from error
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return stream
        path = f"/tmp/.X11-unix/X{number}"
        first: OSError | None = None
        for address in (path, "\0" + path):  # some containers share only the abstract name
            stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            stream.settimeout(SETUP_TIMEOUT)
            try:
                stream.connect(address)
            except OSError as error:
                stream.close()
                first = first or error
            else:
                return stream
        cause = f"cannot reach display {self.display} ({path}: {first.strerror if first else ''})"
        raise DeskError(cause, "start the X server first or pass another --display", BAD_DISPLAY) from first

    def _authorization(self, host: str, number: int) -> bytes:
        family, address = FAMILY_LOCAL, socket.gethostname().encode()
        if host:
            peer = self._socket.getpeername()[0]
            inet6 = self._socket.family == socket.AF_INET6
            if peer not in ("127.0.0.1", "::1"):
                family = FAMILY_INTERNET6 if inet6 else FAMILY_INTERNET
                address = socket.inet_pton(self._socket.family, peer)
        try:
            records = authority_file().read_bytes()
        except OSError:
            return b""  # a server without access control needs none; one with it says so
        return find_cookie(records, family, address, number)

    def _setup(self, cookie: bytes, index: int) -> None:
        name = COOKIE_NAME if cookie else b""
        hello = struct.pack("<BxHHHH2x", ord("l"), 11, 0, len(name), len(cookie))
        try:
            self._socket.sendall(hello + padded(name) + padded(cookie))
            head = self._exactly(8)
            body = self._exactly(4 * struct.unpack_from("<H", head, 6)[0])
        except (OSError, EOFError) as error:
            cause = f"display {self.display} does not answer ({error or 'connection closed'})"
            raise DeskError(cause, "check that an X server runs there", BAD_DISPLAY) from error
        if head[0] != 1:
            # The line feed that servers put at the end of the reason is not part of it.
            reason = body[: head[1]].decode("latin-1").strip("\0\n ") or "no reason given"
            sent = "the cookie in" if cookie else "no cookie for this display in"
            cause = f"display {self.display} refuses the connection ({reason}; {sent} {authority_file()})"
            raise DeskError(cause, "set XAUTHORITY to the cookie file of this X server", BAD_DISPLAY)
        _, self._last_id, _, _, vendor, _, roots, formats = struct.unpack_from("<IIIIHHBB", body)
        at = 32 + vendor + -vendor % 4
        bits = {body[at + 8 * i]: body[at + 8 * i + 1] for i in range(formats)}
        at += 8 * formats
        screens = []
        for _ in range(roots):
            root, _, white, black, _, width, height = struct.unpack_from("<IIIIIHH", body, at)
            depth, depths = body[at + 38], body[at + 39]
            screens.append(Screen(root, white, black, width, height, depth))
            at += 40
            for _ in range(depths):
                at += 8 + 24 * struct.unpack_from("<H", body, at + 2)[0]
        if index >= len(screens):
            cause = f"display {self.display} has no screen {index}"
            raise DeskError(cause, f"name a screen from 0 to {len(screens) - 1}", BAD_DISPLAY)
        self.screen = screens[index]
        if self.screen.depth != 24 or bits.get(24) != 32:
            cause = f"display {self.display} has colour depth {self.screen.depth}"
            raise DeskError(cause, "start the X server with depth 24 (Xvfb -screen 0 WxHx24)", BAD_DISPLAY)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self._socket.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def _fill(self) -> None:
        try:
            data = self._socket.recv(1 << 16)
        except OSError as error:
            raise self._gone() from error
        if not data:
            raise self._gone()
        self._buffer += data
        start, end = 0, len(self._buffer)
        while end - start >= 32:
            size = 32
            if self._buffer[start] in (REPLY, GENERIC_EVENT):
                size += 4 * int(struct.unpack_from("<I", self._buffer, start + 4)[0])
            if end - start < size:
                break
            self._waiting.append(bytes(self._buffer[start : start + size]))
            start += size
        del self._buffer[:start]

    def _gone(self) -> DeskError:
        cause = f"the X server of display {self.display} has gone"
        return DeskError(cause, "start it again, then start desk again", SERVER_FAILED)


# ---------------------------------------------------------------------------------------------------
# Canvas: the window and what is drawn in it, as requests
# ---------------------------------------------------------------------------------------------------

GREY = 0x505860
INK = 0x202428
PAPER = 0xF4F4F0
EVENTS_WINDOW = 0x1 | 0x2 | 0x4 | 0x8000 | 0x200000  # keys, button press, exposure, focus
EVENTS_ROOT = 0x20000  # structure: the screen's size


class Canvas:
    """A full-screen window above everything else, and the requests that draw in it.

    Methods return requests; only what must exist before (contexts, pixmaps) is sent at once.
    """

    def __init__(self, connection: Connection, top: int) -> None:
        self.connection = connection
        self.top = top
        self.width, self.height = connection.screen.width, connection.screen.height
        self.window = connection.new_id()
        self._contexts: dict[tuple[int, int, int], int] = {}
        root = connection.screen.root
        # North-west bit gravity keeps the marker in place while the window is resized.
        values = struct.pack("<IIII", GREY, 1, 1, EVENTS_WINDOW)
        shape = struct.pack("<IIhhHHHHII", self.window, root, 0, 0, self.width, self.height, 0, 1, 0, 0xA12)
        title = struct.pack("<IIIB3xI", self.window, 39, 31, 8, 4) + b"desk"
        connection.send(
            [
                request(CREATE_WINDOW, 0, shape + values),
                request(CHANGE_PROPERTY, 0, title),
                request(CHANGE_WINDOW_ATTRIBUTES, 0, struct.pack("<III", root, 0x800, EVENTS_ROOT)),
                request(MAP_WINDOW, 0, struct.pack("<I", self.window)),
                *self.to_front(),
            ]
        )

    @property
    def area(self) -> Rect:
        """The part below marker and patches, which the workload owns (empty on a very small screen)."""
        return Rect(0, self.top, self.width, max(0, self.height - self.top))

    def to_front(self) -> list[bytes]:
        """Cover the whole screen, above all other windows, with the keyboard."""
        shape = struct.pack("<IH2xIII", self.window, 0x4C, self.width, self.height, 0)
        return [
            request(CONFIGURE_WINDOW, 0, shape),
            request(SET_INPUT_FOCUS, 1, struct.pack("<II", self.window, 0)),
        ]

    def context(self, colour: int, tile: int = 0, font: int = 0) -> int:
        """Return a graphics context that paints with a colour or a tile; made at first use."""
        key = (colour, tile, font)
        if key not in self._contexts:
            self._contexts[key] = identity = self.connection.new_id()
            # No exposure events for copies: nobody reads them and they would wake the loop.
            mask, values = 0x10000 | 0x4 | 0x8, [colour, PAPER]
            if tile:
                mask, values = mask | 0x100 | 0x400, [*values, 1, tile]
            if font:
                mask, values = mask | 0x4000, [*values, font]
            body = struct.pack(f"<III{len(values) + 1}I", identity, self.window, mask, *values, 0)
            self.connection.send([request(CREATE_GC, 0, body)])
        return self._contexts[key]

    def pixmap(self, width: int, height: int, image: bytes = b"") -> int:
        """Make a pixmap in the server, with an image of 4 bytes a pixel when given; return its id."""
        identity = self.connection.new_id()
        requests = [request(CREATE_PIXMAP, 24, struct.pack("<IIHH", identity, self.window, width, height))]
        self.connection.send(requests + self.put(identity, width, memoryview(image)))
        return identity

    def put(self, drawable: int, width: int, image: memoryview) -> list[bytes]:
        """Put rows of ``width`` pixels, 4 bytes each, at the top left of a pixmap."""
        requests = []
        rows = max(1, PUT_IMAGE_BYTES // (4 * width))
        context = self.context(0)
        for top in range(0, len(image) // (4 * width), rows):
            part = image[4 * width * top : 4 * width * (top + rows)]
            head = (drawable, context, width, len(part) // (4 * width), 0, top, 0, 24)
            requests.append(request(PUT_IMAGE, 2, struct.pack("<IIHHhhBB2x", *head) + part))
        return requests

    def fill(self, drawable: int, context: int, rects: list[Rect]) -> bytes:
        """Fill rectangles of a window or pixmap."""
        body = struct.pack("<II", drawable, context)
        return request(POLY_FILL_RECTANGLE, 0, body + b"".join(struct.pack("<hhHH", *rect) for rect in rects))

    def copy(self, source: int, target: int, origin: tuple[int, int], to: Rect) -> bytes:
        """Copy a rectangle whose top left is ``origin`` in the source to ``to`` in the target."""
        context = self.context(0)
        body = struct.pack("<IIIhhhhHH", source, target, context, *origin, *to)
        return request(COPY_AREA, 0, body)

    def tile_origin(self, context: int, x: int, y: int) -> bytes:
        """Move the origin of a tiled context."""
        return request(CHANGE_GC, 0, struct.pack("<IIii", context, 0x1000 | 0x2000, x, y))


# ---------------------------------------------------------------------------------------------------
# Marker and echo patches
# ---------------------------------------------------------------------------------------------------

MAGIC, MARKER_VERSION = 0xA5, 1
COLUMNS, ROWS = 32, 4
CELLS = (6, 64)  # smaller cells do not survive an encoder


def marker_bytes(session_id: int, microseconds: int) -> bytes:
    """Return the 16 bytes of marker version 1: magic, version, session, time, reserved, CRC-16."""
    body = struct.pack(">BBH", MAGIC, MARKER_VERSION, session_id) + microseconds.to_bytes(7, "big") + bytes(3)
    return body + struct.pack(">H", binascii.crc_hqx(body, 0xFFFF))  # this is CRC-16/CCITT-FALSE


@functools.lru_cache(maxsize=4096)
def white_runs(position: int, value: int, cell: int) -> bytes:
    """Return the white rectangles of one marker byte, packed for the wire (kept: bytes repeat)."""
    row, column = divmod(position * 8, COLUMNS)
    runs = re.finditer("1+", f"{value:08b}")
    return b"".join(
        struct.pack("<hhHH", (column + r.start()) * cell, row * cell, (r.end() - r.start()) * cell, cell) for r in runs
    )


PATCHES = ("key", "click", "sync")


class Marker:
    """The marker and the patches below it."""

    def __init__(self, canvas: Canvas, session_id: int, cell: int) -> None:
        self._canvas = canvas
        self._session_id = session_id
        self._cell = cell
        screen = canvas.connection.screen
        self._black, self._white = canvas.context(screen.black), canvas.context(screen.white)
        self._whole = Rect(0, 0, COLUMNS * cell, ROWS * cell)
        self._pixmap = canvas.pixmap(self._whole.width, self._whole.height)
        self._lit = dict.fromkeys(PATCHES, False)

    def stamp(self, microseconds: int) -> list[bytes]:
        """Show a time: drawn aside, then brought up by one copy, so that no capture sees it half done."""
        canvas, pixmap = self._canvas, self._pixmap
        data = marker_bytes(self._session_id, microseconds)
        white = b"".join(white_runs(i, value, self._cell) for i, value in enumerate(data))
        return [
            canvas.fill(pixmap, self._black, [self._whole]),
            request(POLY_FILL_RECTANGLE, 0, struct.pack("<II", pixmap, self._white) + white),
            canvas.copy(pixmap, canvas.window, (0, 0), self._whole),
        ]

    def toggle(self, patch: str) -> bytes:
        """Invert one of the patches."""
        self._lit[patch] = not self._lit[patch]
        return self.patch(patch)

    def patch(self, name: str) -> bytes:
        """Draw a patch as it stands. It tells that something came, by change alone: it counts nothing."""
        side = 4 * self._cell
        rect = Rect(PATCHES.index(name) * side, side, side, side)
        return self._canvas.fill(self._canvas.window, self._white if self._lit[name] else self._black, [rect])


class Input:
    """Tells a fresh key press from an auto-repeated one and a click from the wheel."""

    def __init__(self, connection: Connection) -> None:
        self._down: set[int] = set()
        opcode = connection.extension("XKEYBOARD")
        if opcode:
            # Detectable auto-repeat: a held key repeats KeyPress alone, without made-up releases between.
            connection.call(request(opcode, 0, struct.pack("<HH", 1, 0)))
            connection.call(request(opcode, 21, struct.pack("<H2xIIIII", 0x100, 1, 1, 0, 0, 0)))

    def patch_for(self, event: bytes) -> str:
        """Return the patch that an event toggles, or ``""``."""
        kind, detail = event[0] & 0x7F, event[1]
        if kind == BUTTON_PRESS:
            return "click" if detail <= 3 else ""
        if kind == KEY_RELEASE:
            self._down.discard(detail)
        elif kind == FOCUS_OUT:
            self._down.clear()  # the release may go elsewhere
        elif kind == KEY_PRESS and detail not in self._down:
            self._down.add(detail)
            return "key"
        return ""


# ---------------------------------------------------------------------------------------------------
# Workloads
# ---------------------------------------------------------------------------------------------------

TILE_WIDTH, TILE_HEIGHT = 1024, 512
GRAIN_HALVINGS = 4  # the grain's amplitude is 255 / 2**this


@functools.lru_cache(maxsize=2)
def every_byte(value: int) -> int:
    """Return the picture-sized integer whose bytes are all ``value``."""
    return int.from_bytes(bytes([value]) * (4 * TILE_WIDTH * TILE_HEIGHT), "little")


def mean(a: int, b: int) -> int:
    """Average two pictures byte by byte.

    A picture is one long integer here: so plain Python handles half a million pixels at the speed of C.
    """
    return (a & b) + (((a ^ b) & every_byte(0xFE)) >> 1)


def turned(picture: int, pixels: int) -> int:
    """Shift a picture by a number of pixels, around its edges."""
    size, bits = 32 * TILE_WIDTH * TILE_HEIGHT, 32 * pixels
    return ((picture << bits) & every_byte(0xFF)) | (picture >> (size - bits))


def noise(rng: random.Random, step: int, coloured: bool) -> int:
    """Return smooth noise with a feature size of ``step`` pixels (a power of two)."""
    columns, rows = TILE_WIDTH // step, TILE_HEIGHT // step
    points = bytearray(rng.getrandbits(32 * columns * rows).to_bytes(4 * columns * rows, "little"))
    if not coloured:
        for channel in (1, 2, 3):
            points[channel::4] = points[0::4]
    coarse = array.array("I", bytes(points))
    lines = []
    for row in range(rows):
        line = array.array("I", bytes(4 * TILE_WIDTH))
        for offset in range(step):
            line[offset::step] = coarse[row * columns : (row + 1) * columns]
        lines.append(line.tobytes() * step)
    picture = int.from_bytes(b"".join(lines), "little")
    while step > 1:  # halving shifts add up to a box as wide as a feature: linear interpolation
        step //= 2
        picture = mean(picture, turned(picture, step))
        picture = mean(picture, turned(picture, step * TILE_WIDTH))
    return picture


def scenery(seed: int, grains: int) -> list[bytes]:
    """Return one scene with several different grains over it, as images of 4 bytes a pixel.

    Amplitude falls as detail gets finer, colour is coarser than brightness, surfaces end in edges, and
    the grain changes from frame to frame: what decides in camera pictures how much an encoder must send.
    """
    rng = random.Random(seed)
    steps = (2, 4, 8, 16, 32, 64, 128)
    relief = functools.reduce(mean, [noise(rng, step, coloured=step == 128) for step in steps])
    size = 4 * TILE_WIDTH * TILE_HEIGHT
    # More contrast, and a step in brightness wherever the relief crosses one of a few heights.
    tones = bytes(max(0, min(255, 128 + 2 * (level - 128) + 24 * (level // 16 % 2))) for level in range(256))
    scene = int.from_bytes(relief.to_bytes(size, "little").translate(tones), "little")
    images = []
    for _ in range(grains):
        picture = noise(rng, 1, coloured=False)
        for _ in range(GRAIN_HALVINGS):
            picture = mean(picture, scene)
        images.append(picture.to_bytes(size, "little"))
    return images


class Workload:
    """Idle: a plain background. The other workloads derive from it.

    ``paint`` draws everything anew for the canvas as it is now; ``step`` advances to a time in seconds
    since the start. Both return requests and draw inside ``canvas.area`` only.

    :ivar label: what draws it, where that is not the X server.
    """

    label = ""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas

    def paint(self) -> list[bytes]:
        """Draw the whole area."""
        return [self.canvas.fill(self.canvas.window, self.canvas.context(GREY), [self.canvas.area])]

    def step(self, now: float) -> list[bytes]:
        """Draw what changes until ``now``."""
        return []


WORDS = re.findall(
    r"\w+",
    """a above after all and as at before between build by can cluster desktop each encoder every fifty five for
    frame from graphics home hour how in input is it key latency line link many measure memory more network node
    not of on one or packet path picture policy rate reads route same screen second sends server session share so
    stream that the then time to under until user video volume wait when where which with work""",
)


class Text(Workload):
    """A page of text that scrolls up at reading speed."""

    SPEED = 120.0  # pixels a second

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        connection = canvas.connection
        self._font = connection.new_id()
        connection.send([request(OPEN_FONT, 0, struct.pack("<IH2x", self._font, 5) + b"fixed")])
        reply = connection.call(request(QUERY_FONT, 0, struct.pack("<I", self._font)))
        self._advance, self._ascent, self._height = 6, 11, 13
        if reply[0] == REPLY:
            self._advance = struct.unpack_from("<h", reply, 28)[0]
            self._ascent, descent = struct.unpack_from("<hh", reply, 52)
            self._height = self._ascent + descent
        else:
            self._font = 0
        self._pitch = self._height + 3
        self._scrolled = 0

    def paint(self) -> list[bytes]:
        """Draw a page of lines."""
        return self._lines(0, self.canvas.area.height)

    def step(self, now: float) -> list[bytes]:
        """Scroll, and draw the lines that came into sight."""
        area, window = self.canvas.area, self.canvas.window
        by = int(now * self.SPEED) - self._scrolled
        self._scrolled += by
        if by <= 0:
            return []
        if by >= area.height:
            return self.paint()
        rest = Rect(area.x, area.y, area.width, area.height - by)
        return [
            self.canvas.copy(window, window, (area.x, area.y + by), rest),
            *self._lines(area.height - by, area.height),
        ]

    def _lines(self, top: int, bottom: int) -> list[bytes]:
        """Draw the lines that touch the rows from ``top`` to ``bottom`` of the area."""
        area, canvas = self.canvas.area, self.canvas
        paper = Rect(area.x, area.y + top, area.width, bottom - top)
        requests = [canvas.fill(canvas.window, canvas.context(PAPER), [paper])]
        first = (self._scrolled + top) // self._pitch
        last = (self._scrolled + bottom - 1) // self._pitch
        for number in range(first, last + 1):
            y = number * self._pitch - self._scrolled
            if y >= 0:  # a line that begins above the area would reach into the marker
                requests.append(self._line(number, area.y + y))
        return requests

    def _line(self, number: int, y: int) -> bytes:
        canvas, rng = self.canvas, random.Random(number)
        count = max(1, min(255, (canvas.area.width - 16) // self._advance))
        text = ""
        while len(text) < count and number % 9:  # a blank line ends each paragraph
            text += rng.choice(WORDS) + " "
        text = text[:count]
        if self._font:
            context = canvas.context(INK if number % 9 > 1 else 0x1040A0, font=self._font)
            body = struct.pack("<IIhh", canvas.window, context, 8, y + self._ascent) + text.encode()
            return request(IMAGE_TEXT8, len(text), body)
        bars = [
            Rect(8 + self._advance * match.start(), y + 3, self._advance * len(match[0]), self._height - 6)
            for match in re.finditer(r"\w+", text)
        ]
        return canvas.fill(canvas.window, canvas.context(INK), bars)


class Window(Workload):
    """A window with title bar and content, dragged along a curve over a textured background."""

    TITLE = 28

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        image = scenery(1, 1)[0]
        self._backdrop = canvas.context(0, canvas.pixmap(TILE_WIDTH, TILE_HEIGHT, image))
        self._content = canvas.pixmap(TILE_WIDTH, TILE_HEIGHT)
        self._at: Rect | None = None

    def paint(self) -> list[bytes]:
        """Draw the background and make the window anew in a size that suits the screen."""
        canvas, area = self.canvas, self.canvas.area
        width, height = min(TILE_WIDTH, area.width // 2), min(TILE_HEIGHT, area.height // 2)
        self._at = None
        if min(width, height) <= 2 * self.TITLE:
            return super().paint()
        self._at = Rect(area.x, area.y, width, height)
        whole = Rect(0, 0, width, height)
        page = Rect(1, self.TITLE, width - 2, height - self.TITLE - 1)
        rng = random.Random(2)
        bars = [Rect(24, y, rng.randrange(width // 4, width - 48), 7) for y in range(self.TITLE + 16, height - 12, 15)]
        button = Rect(width - self.TITLE, 8, 12, 12)
        return [
            canvas.fill(self._content, canvas.context(0x2C5AA0), [whole]),
            canvas.fill(self._content, canvas.context(PAPER), [page, Rect(8, 10, width // 3, 8), button]),
            canvas.fill(self._content, canvas.context(INK), bars),
            canvas.fill(canvas.window, self._backdrop, [area]),
            canvas.copy(self._content, canvas.window, (0, 0), self._at),
        ]

    def step(self, now: float) -> list[bytes]:
        """Move the window, then repaint only the strips it left: nothing flickers."""
        old, area, canvas = self._at, self.canvas.area, self.canvas
        if old is None:
            return []
        x = area.x + round((area.width - old.width) * (1 + math.sin(0.9 * now)) / 2)
        y = area.y + round((area.height - old.height) * (1 + math.sin(1.3 * now)) / 2)
        self._at = Rect(x, y, old.width, old.height)
        across, down = x - old.x, y - old.y
        strips = []
        if across:
            left = old.x if across > 0 else max(x + old.width, old.x)
            strips.append(Rect(left, old.y, min(abs(across), old.width), old.height))
        if down:
            top = old.y if down > 0 else max(y + old.height, old.y)
            strips.append(Rect(old.x, top, old.width, min(abs(down), old.height)))
        if not strips:
            return []
        moved = canvas.copy(self._content, canvas.window, (0, 0), self._at)
        return [moved, canvas.fill(canvas.window, self._backdrop, strips)]


class Video(Workload):
    """A moving picture: scenes that pan, figures that cross them, fresh grain in every frame, cuts.

    The pictures lie in the server from the start, so that a frame costs a few short requests here and
    one pass over the pixels there.
    """

    SCENES, GRAINS, SCENE_SECONDS = 2, 3, 5.0

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self._tiles = [
            [
                canvas.context(0, canvas.pixmap(TILE_WIDTH, TILE_HEIGHT, image))
                for image in scenery(3 + scene, self.GRAINS)
            ]
            for scene in range(self.SCENES)
        ]
        self._frame = 0

    def paint(self) -> list[bytes]:
        """Draw one frame."""
        return self.step(0.0)

    def step(self, now: float) -> list[bytes]:
        """Draw the frame of a time."""
        canvas, area = self.canvas, self.canvas.area
        if not area.height:
            return []
        self._frame += 1
        scene = int(now / self.SCENE_SECONDS) % self.SCENES
        # Not the grain of the last frame, and not always the same next one.
        grain = (self._frame + self._frame // self.GRAINS) % self.GRAINS
        behind = self._tiles[scene][grain]
        before = self._tiles[scene - 1][grain]
        pan = (round(300 * math.sin(0.23 * now)), round(90 * now) % TILE_HEIGHT)
        figures = []
        for number in range(3):
            width, height = area.width // 5, area.height // 3
            phase = now * (0.5 + 0.2 * number) + 2 * number
            x = area.x + round((area.width - width) * (1 + math.sin(phase)) / 2)
            y = area.y + round((area.height - height) * (1 + math.cos(0.7 * phase)) / 2)
            figures.append(Rect(x, y, width, height))
        return [
            canvas.tile_origin(behind, *pan),
            canvas.tile_origin(before, figures[0].x, figures[0].y),
            canvas.fill(canvas.window, behind, [area]),
            canvas.fill(canvas.window, before, figures),
        ]


# ---------------------------------------------------------------------------------------------------
# Workload 3d: OpenGL ES 2 by EGL, beside the screen; its picture then goes to the X server as an image
# ---------------------------------------------------------------------------------------------------

GRAPHICS_REMEDY = "install libegl1 and libgl1-mesa-dri, or the GPU's driver with graphics, or choose another workload"
SOFTWARE = ("llvmpipe", "softpipe", "swrast", "software", "swiftshader")  # in names of renderers that are no GPU

EGL_NONE, EGL_EXTENSIONS, EGL_WIDTH, EGL_HEIGHT, EGL_ES = 0x3038, 0x3055, 0x3057, 0x3056, 0x30A0
EGL_DEVICES, EGL_SURFACELESS, DEVICES_AT_MOST = 0x313F, 0x31DD, 16
# A surface beside the screen, OpenGL ES 2, eight bits a colour and a depth buffer; the context: version 2.
EGL_CONFIG = (0x3033, 1, 0x3040, 4, 0x3024, 8, 0x3023, 8, 0x3022, 8, 0x3025, 16, EGL_NONE)
EGL_CONTEXT = (0x3098, 2, EGL_NONE)
GL_RENDERER, GL_RGBA, GL_BYTE, GL_FLOAT, GL_SHORT, GL_TRIANGLES = 0x1F01, 0x1908, 0x1401, 0x1406, 0x1403, 4
GL_ARRAY, GL_ELEMENTS, GL_STATIC, GL_DEPTH_TEST, GL_CLEAR = 0x8892, 0x8893, 0x88E4, 0x0B71, 0x4100
GL_VERTEX, GL_FRAGMENT, GL_LINKED = 0x8B31, 0x8B30, 0x8B82

# Result, then arguments: v nothing, i number, f float, p pointer, s text.
EGL_FUNCTIONS = """eglGetProcAddress ps, eglGetDisplay pp, eglInitialize ippp, eglBindAPI ii, eglQueryString spi,
    eglChooseConfig ipppip, eglCreateContext ppppp, eglCreatePbufferSurface pppp, eglDestroySurface ipp,
    eglMakeCurrent ipppp, eglTerminate ip, eglGetError i"""
EGL_EXTRAS = "eglQueryDevicesEXT iipp, eglQueryDeviceStringEXT spi, eglGetPlatformDisplayEXT pipp"
GL_FUNCTIONS = """glGetString si, glGetError i, glCreateShader ii, glShaderSource viipp, glCompileShader vi,
    glCreateProgram i, glAttachShader vii, glBindAttribLocation viis, glLinkProgram vi, glGetProgramiv viip,
    glUseProgram vi, glGetUniformLocation iis, glUniform2f viff, glUniform3f vifff, glUniformMatrix3fv viiip,
    glGenBuffers vip, glBindBuffer vii, glBufferData vippi, glEnableVertexAttribArray vi,
    glVertexAttribPointer viiiiip, glEnable vi, glViewport viiii, glClearColor vffff, glClear vi,
    glDrawElements viiip, glReadPixels viiiiiip"""

VERTEX_SHADER = b"""
attribute vec3 position; attribute vec3 normal;
uniform mat3 turn; uniform vec3 place; uniform vec2 focal;
varying vec3 at; varying vec3 up; varying vec3 own;
void main() {
    own = position; at = turn * position + place; up = turn * normal;
    // Rows are read from below, and an X server wants them from above: so the picture is drawn upside down.
    gl_Position = vec4(at.x * focal.x, -at.y * focal.y, -1.02 * at.z - 2.02, -at.z);
}
"""
FRAGMENT_SHADER = b"""
precision mediump float;
uniform vec3 colour;
varying vec3 at; varying vec3 up; varying vec3 own;
vec3 lit(vec3 lamp, vec3 shine, vec3 base) {
    vec3 to = normalize(lamp - at); vec3 n = normalize(up);
    float glance = max(dot(reflect(-to, n), normalize(-at)), 0.0);
    return shine * (base * max(dot(n, to), 0.0) + 0.6 * pow(glance, 24.0));
}
void main() {
    vec3 base = colour * (0.75 + 0.25 * sin(9.0 * own.x) * sin(9.0 * own.y) * sin(9.0 * own.z));
    vec3 sum = 0.12 * base + lit(vec3(3.0, 4.0, 2.0), vec3(1.0, 0.95, 0.85), base)
        + lit(vec3(-5.0, 1.0, -3.0), vec3(0.25, 0.35, 0.6), base);
    gl_FragColor = vec4(sum.bgr, 1.0);  // the order of bytes that an X server wants
}
"""


def functions(table: str, address: Callable[[str], int]) -> Any:
    """Return an object with the functions of a table, each at its address.

    :raises DeskError: one of them is nowhere.
    """
    kinds: dict[str, Any] = {
        "v": None,
        "i": ctypes.c_int,
        "f": ctypes.c_float,
        "p": ctypes.c_void_p,
        "s": ctypes.c_char_p,
    }
    found = {}
    for entry in table.split(","):
        name, signature = entry.split()
        where = address(name)
        if not where:
            raise no_graphics(f"{name} is missing")
        found[name] = ctypes.CFUNCTYPE(*(kinds[letter] for letter in signature))(where)
    return types.SimpleNamespace(**found)


def no_graphics(cause: str) -> DeskError:
    """Return what to say when there is no OpenGL: another picture in its place would be another workload."""
    return DeskError(f"no OpenGL for workload 3d ({cause})", GRAPHICS_REMEDY, BAD_GRAPHICS)


def numbers(*values: int) -> ctypes.Array[ctypes.c_int]:
    """Return an array as EGL and OpenGL take it."""
    return (ctypes.c_int * len(values))(*values)


class Graphics:
    """A current OpenGL ES 2 context with a surface beside the screen: on a GPU where EGL has one, else in software.

    :raises DeskError: status 2 when there is no OpenGL, or it does not do what is asked.
    """

    def __init__(self) -> None:
        os.environ.setdefault("EGL_LOG_LEVEL", "fatal")  # what a driver tried in vain is not the desk's to tell
        try:
            library = ctypes.CDLL("libEGL.so.1")
            self._egl = functions(EGL_FUNCTIONS, lambda name: address_of(getattr(library, name)))
        except (OSError, AttributeError) as error:
            raise no_graphics(str(error)) from error
        self.gl = functions(GL_FUNCTIONS, lambda name: int(self._egl.eglGetProcAddress(name.encode()) or 0))
        self.renderer = ""
        self._display = self._config = self._context = self._surface = 0
        for display in self._displays():
            if self._open(display):
                break
        if not self.renderer:
            raise no_graphics("EGL offers no device that draws")

    def resize(self, width: int, height: int) -> None:
        """Draw at another size from now on, in pixels."""
        egl, old = self._egl, self._surface
        shape = numbers(EGL_WIDTH, width, EGL_HEIGHT, height, EGL_NONE)
        self._surface = egl.eglCreatePbufferSurface(self._display, self._config, shape) or 0
        if not self._surface or not egl.eglMakeCurrent(self._display, self._surface, self._surface, self._context):
            raise no_graphics(f"no surface of {width}x{height}, EGL error {egl.eglGetError():#x}")
        if old:
            egl.eglDestroySurface(self._display, old)

    def _displays(self) -> Iterator[int]:
        """Every display that EGL has: GPUs and software by device, Mesa without a device, and the default."""
        egl = self._egl
        known = (egl.eglQueryString(None, EGL_EXTENSIONS) or b"").split()
        if b"EGL_EXT_platform_base" in known:
            more = functions(EGL_EXTRAS, lambda name: int(egl.eglGetProcAddress(name.encode()) or 0))
            if b"EGL_EXT_platform_device" in known:
                devices, count = (ctypes.c_void_p * DEVICES_AT_MOST)(), ctypes.c_int()
                more.eglQueryDevicesEXT(DEVICES_AT_MOST, devices, ctypes.byref(count))
                for device in devices[: count.value]:
                    yield more.eglGetPlatformDisplayEXT(EGL_DEVICES, device, None) or 0
            if b"EGL_MESA_platform_surfaceless" in known:
                yield more.eglGetPlatformDisplayEXT(EGL_SURFACELESS, None, None) or 0
        yield egl.eglGetDisplay(None) or 0

    def _open(self, display: int) -> bool:
        """Try a display, and keep it when it is a GPU's (then True) or the first that draws at all."""
        egl, config, count = self._egl, ctypes.c_void_p(), ctypes.c_int()
        if not display or not egl.eglInitialize(display, None, None):
            return False
        before = self._display, self._config, self._context, self._surface
        egl.eglBindAPI(EGL_ES)
        if egl.eglChooseConfig(display, numbers(*EGL_CONFIG), ctypes.byref(config), 1, ctypes.byref(count)):
            context = egl.eglCreateContext(display, config, None, numbers(*EGL_CONTEXT)) if count.value else None
            if context:
                self._display, self._config, self._context, self._surface = display, config.value or 0, context, 0
                try:
                    self.resize(16, 16)
                except DeskError:
                    self._display, self._config, self._context, self._surface = before
                    return False
                found = (self.gl.glGetString(GL_RENDERER) or b"unknown").decode("ascii", "replace")
                hardware = not any(word in found.lower() for word in SOFTWARE)
                if hardware or not self.renderer:
                    self.renderer = " ".join(found.split())
                    return hardware
                self._display, self._config, self._context, self._surface = before
                egl.eglMakeCurrent(self._display, self._surface, self._surface, self._context)
        return False


def address_of(function: Any) -> int:
    """Return where a library's function is."""
    return ctypes.cast(function, ctypes.c_void_p).value or 0


Vector = tuple[float, float, float]  # x to the right, y up, z towards the eye


def torus_knot(around: int, across: int) -> tuple[array.array[float], array.array[int]]:
    """Return the points (position and normal, six numbers) and triangles of a tube along a (2, 3) torus knot."""
    points, triangles = array.array("f"), array.array("H")
    for i in range(around):
        here, ahead = knot(2 * math.pi * i / around), knot(2 * math.pi * i / around + 1e-3)
        along = unit((ahead[0] - here[0], ahead[1] - here[1], ahead[2] - here[2]))
        side = unit(cross(along, (0.0, 0.0, 1.0)))
        top = cross(side, along)
        for j in range(across):
            angle = 2 * math.pi * j / across
            normal = [math.cos(angle) * side[axis] + math.sin(angle) * top[axis] for axis in range(3)]
            points.extend([here[axis] + 0.24 * normal[axis] for axis in range(3)] + normal)
            right, ring = (j + 1) % across, (i + 1) % around * across
            corners = (i * across + j, ring + j, i * across + right, ring + right)
            triangles.extend(corners[k] for k in (0, 1, 2, 2, 1, 3))
    return points, triangles


def knot(turn: float) -> Vector:
    """Return a point of the knot."""
    reach = 1 + 0.45 * math.cos(3 * turn)
    return reach * math.cos(2 * turn), reach * math.sin(2 * turn), 0.45 * math.sin(3 * turn)


def cross(a: Vector, b: Vector) -> Vector:
    """Return the vector that is perpendicular to both."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def unit(a: Vector) -> Vector:
    """Return the vector of length one in the same direction."""
    length = math.hypot(*a)
    return a[0] / length, a[1] / length, a[2] / length


class Scene(Workload):
    """Three knots that turn under two lamps: 9,216 triangles a frame, lit for each pixel.

    Drawn by OpenGL, read back and put on the screen as an image: what a desktop without a screen of its own does with
    a program's picture. ``label`` says what drew it.
    """

    AROUND, ACROSS = 128, 12
    # Where, its colour, and how fast it turns in radians a second.
    KNOTS = (
        ((0.0, 0.0, -4.6), (0.9, 0.45, 0.15), (0.9, 0.5)),
        ((-3.4, 0.3, -6.5), (0.2, 0.6, 0.9), (-0.7, 0.8)),
        ((3.4, -0.3, -6.5), (0.35, 0.8, 0.35), (0.6, -1.1)),
    )

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self._graphics = Graphics()
        self.label = self._graphics.renderer
        self._gl = self._graphics.gl
        self._uniforms = self._build()
        self._count = self._upload()
        self._size = (0, 0)
        self._pixmap = 0
        self._image = bytearray()

    def paint(self) -> list[bytes]:
        """Draw the picture at the size that the canvas has now."""
        return self.step(0.0)

    def step(self, now: float) -> list[bytes]:
        """Draw the picture of a time."""
        area, canvas, gl = self.canvas.area, self.canvas, self._gl
        width, height = area.width, area.height
        if not height:
            return []
        freed = self._fit(width, height)
        gl.glClear(GL_CLEAR)
        gl.glUniform2f(self._uniforms["focal"], 2.2 * height / width, 2.2)
        for place, colour, (yaw, pitch) in self.KNOTS:
            a, b, c, d = math.cos(yaw * now), math.sin(yaw * now), math.cos(pitch * now), math.sin(pitch * now)
            turn = array.array("f", (a, b * d, -b * c, 0.0, c, d, b, -a * d, a * c))
            gl.glUniformMatrix3fv(self._uniforms["turn"], 1, 0, turn.buffer_info()[0])
            gl.glUniform3f(self._uniforms["place"], *place)
            gl.glUniform3f(self._uniforms["colour"], *colour)
            gl.glDrawElements(GL_TRIANGLES, self._count, GL_SHORT, None)
        pixels = (ctypes.c_char * len(self._image)).from_buffer(self._image)
        gl.glReadPixels(0, 0, width, height, GL_RGBA, GL_BYTE, ctypes.addressof(pixels))
        error = gl.glGetError()
        if error:
            raise no_graphics(f"{self.label} fails with error {error:#x}")
        return [
            *freed,
            *canvas.put(self._pixmap, width, memoryview(self._image)),
            canvas.copy(self._pixmap, canvas.window, (0, 0), area),
        ]

    def _fit(self, width: int, height: int) -> list[bytes]:
        """Take on a size; return the request that gives back what the size before needed."""
        if (width, height) == self._size:
            return []
        old, self._size = self._pixmap, (width, height)
        self._graphics.resize(width, height)
        self._gl.glViewport(0, 0, width, height)
        self._image = bytearray(4 * width * height)
        self._pixmap = self.canvas.pixmap(width, height)
        return [request(FREE_PIXMAP, 0, struct.pack("<I", old))] if old else []

    def _build(self) -> dict[str, int]:
        """Make the program of both shaders the current one; return where its inputs are."""
        gl, linked = self._gl, ctypes.c_int()
        program = gl.glCreateProgram()
        for kind, source in ((GL_VERTEX, VERTEX_SHADER), (GL_FRAGMENT, FRAGMENT_SHADER)):
            shader = gl.glCreateShader(kind)
            gl.glShaderSource(shader, 1, ctypes.byref(ctypes.c_char_p(source)), None)
            gl.glCompileShader(shader)
            gl.glAttachShader(program, shader)
        for index, name in enumerate((b"position", b"normal")):
            gl.glBindAttribLocation(program, index, name)
        gl.glLinkProgram(program)
        gl.glGetProgramiv(program, GL_LINKED, ctypes.byref(linked))
        if not linked.value:
            raise no_graphics(f"{self.label} refuses the shaders")
        gl.glUseProgram(program)
        gl.glEnable(GL_DEPTH_TEST)
        gl.glClearColor(0.16, 0.13, 0.11, 1.0)  # blue, green, red
        names = ("turn", "place", "focal", "colour")
        return {name: int(gl.glGetUniformLocation(program, name.encode())) for name in names}

    def _upload(self) -> int:
        """Hand the knot over once; return how many corners its triangles have."""
        gl, buffers = self._gl, numbers(0, 0)
        points, triangles = torus_knot(self.AROUND, self.ACROSS)
        gl.glGenBuffers(2, buffers)
        gl.glBindBuffer(GL_ARRAY, buffers[0])
        gl.glBufferData(GL_ARRAY, len(points) * points.itemsize, points.buffer_info()[0], GL_STATIC)
        gl.glBindBuffer(GL_ELEMENTS, buffers[1])
        gl.glBufferData(GL_ELEMENTS, len(triangles) * triangles.itemsize, triangles.buffer_info()[0], GL_STATIC)
        for index in (0, 1):
            gl.glEnableVertexAttribArray(index)
            gl.glVertexAttribPointer(index, 3, GL_FLOAT, 0, 24, 12 * index)
        return len(triangles)


WORKLOADS = {"idle": Workload, "text": Text, "window": Window, "video": Video, "3d": Scene}


# ---------------------------------------------------------------------------------------------------
# Probes: what a measurement asks for while it runs, by files of a folder
# ---------------------------------------------------------------------------------------------------

# A request that nobody renews ends by itself: a measurement that was killed leaves no load behind.
REQUEST_SECONDS = 10.0
SCREENSHOTS, SCREENSHOT_BYTES = 4, 64 << 20


def warn(text: str) -> None:
    """Say on stderr what is not done, in one line; the drawing goes on."""
    print(f"desk: warning: {' '.join(text.split())}", file=sys.stderr, flush=True)


class Probes:
    """The folder of requests and answers. A request is a file that its asker touches every few seconds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: deque[tuple[Path, int]] = deque()
        self._clicked: deque[str] = deque(maxlen=32)
        for path in (*folder.glob("*.bgrx"), *folder.glob("*.part")):  # of a desk before this one
            path.unlink(missing_ok=True)

    def wanted(self, name: str) -> str | None:
        """Return the text of a fresh request, else None."""
        path = self._folder / name
        try:
            if time.time() - path.stat().st_mtime > REQUEST_SECONDS:
                return None
            return path.read_text("ascii", "replace")[:32].strip()
        except OSError:
            return None

    def keep(self, microseconds: int, head: dict[str, object], pixels: memoryview) -> None:
        """Store a screenshot under its marker's time: a line of JSON, then the rows. The newest few stay."""
        path = self._folder / f"{microseconds}.bgrx"
        line = json.dumps({"marker_microseconds": microseconds, **head}).encode() + b"\n"
        self._write(path, line, pixels)
        self._kept.append((path, len(pixels)))
        while len(self._kept) > SCREENSHOTS or (
            len(self._kept) > 1 and sum(size for _, size in self._kept) > SCREENSHOT_BYTES
        ):
            self._kept.popleft()[0].unlink(missing_ok=True)

    def clicked(self, seen: int, heard: int) -> None:
        """Note the instants, in microseconds, at which a click was drawn and at which it was to begin to sound."""
        self._clicked.append(f"{seen} {heard}\n")
        self._write(self._folder / "clicked", "".join(self._clicked).encode())

    def _write(self, path: Path, *parts: bytes | memoryview) -> None:
        part = path.with_suffix(".part")
        # It may show what a user sees: nobody else may read it.
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            for data in parts:
                file.write(data)
        part.replace(path)

    def clear(self) -> None:
        """Remove all screenshots."""
        while self._kept:
            self._kept.popleft()[0].unlink(missing_ok=True)


# ---------------------------------------------------------------------------------------------------
# Click track: PulseAudio's native protocol, as much as plays one sample
# ---------------------------------------------------------------------------------------------------

SOUND_TIMEOUT = 5.0
SOUND_RATE = 48000
CLICK_HERTZ, CLICK_SECONDS, CLICK_LEVEL = 4000.0, 0.004, 0.5
CLICK_INTERVALS = (0.7, 1.3)
# A sound server that mixes ahead has given away the next few milliseconds already when a sound is asked for, and
# the beginning is lost. So silence goes first, and the asking is as much earlier.
CLICK_LEAD = 0.1
CLICK_DELAYS = (-0.5, 0.5)
PULSE_VERSION = 12  # the last one without property lists
PULSE_ERROR, PULSE_REPLY, PULSE_AUTH, PULSE_NAME = 0, 2, 8, 9
PULSE_UPLOAD, PULSE_UPLOADED, PULSE_PLAY, PULSE_REMOVE = 15, 17, 18, 19
NO_INDEX = 0xFFFFFFFF
SAMPLE_NAME = f"vdibench-click-{os.getpid()}"


def click_sample() -> bytes:
    """Return the lead and one click: a burst of :data:`CLICK_SECONDS`, loudest in its middle, mono, 16 bits."""
    count = round(CLICK_SECONDS * SOUND_RATE)
    silence = bytes(2 * round(CLICK_LEAD * SOUND_RATE))
    values = []
    for index in range(count):
        hull = math.sin(math.pi * (index + 0.5) / count) ** 2
        wave = math.sin(2 * math.pi * CLICK_HERTZ * (index + 0.5) / SOUND_RATE)
        values.append(round(CLICK_LEVEL * 32767 * hull * wave))
    return silence + struct.pack(f"<{count}h", *values) + silence


def sound_address() -> tuple[int, str | tuple[str, int]]:
    """Return family and address of the sound server, as PULSE_SERVER names it."""
    first = (os.environ.get("PULSE_SERVER", "").split() or [""])[0]
    first = re.sub(r"^\{[^}]*\}", "", first)
    if first.startswith(("tcp:", "tcp4:")):
        host, _, port = first.partition(":")[2].rpartition(":")
        return socket.AF_INET, (host or port, int(port) if host and port.isdigit() else 4713)
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    return socket.AF_UNIX, first.partition("unix:")[2] or first or f"{runtime}/pulse/native"


def sound_cookie() -> bytes:
    """Return the sound server's cookie, zeros when there is none: a server with anonymous access takes any."""
    home = Path(os.environ.get("HOME", "/"))
    named = os.environ.get("PULSE_COOKIE")
    for path in [Path(named)] if named else [home / ".config/pulse/cookie", home / ".pulse-cookie"]:
        with contextlib.suppress(OSError):  # none there, or not ours to read
            return path.read_bytes()[:256].ljust(256, b"\0")
    return bytes(256)


def tagged(*values: int | str | bytes | None) -> bytes:
    """Return values in PulseAudio's tagged form: numbers as 32 bits, bytes as they are (already tagged)."""
    parts = []
    for value in values:
        if value is None:
            parts.append(b"N")
        elif isinstance(value, str):
            parts.append(b"t" + value.encode() + b"\0")
        elif isinstance(value, int):
            parts.append(struct.pack(">cI", b"L", value))
        else:
            parts.append(value)
    return b"".join(parts)


class Sound:
    """The click, kept in the sound server and played by one message: nothing is buffered on the way.

    :raises OSError: the server cannot be reached or refuses.
    """

    def __init__(self) -> None:
        family, address = sound_address()
        self._tag = 0
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.settimeout(SOUND_TIMEOUT)
        try:
            self._socket.connect(address)
            if family == socket.AF_INET:
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            cookie = sound_cookie()
            self._call(PULSE_AUTH, PULSE_VERSION, struct.pack(">cI", b"x", len(cookie)) + cookie)
            self._call(PULSE_NAME, "vdibench desk")
            sample = click_sample()
            form = struct.pack(">cBBI", b"a", 3, 1, SOUND_RATE) + b"m\1\0"  # 16 bits little-endian, mono
            reply = self._call(PULSE_UPLOAD, SAMPLE_NAME, form, len(sample))
            (channel,) = struct.unpack_from(">xI", reply)
            self._socket.sendall(struct.pack(">IIIII", len(sample), channel, 0, 0, 0) + sample)
            self._call(PULSE_UPLOADED, channel)
        except BaseException:  # whatever it is, Ctrl-C too: nothing stays open
            self._socket.close()
            raise

    def fileno(self) -> int:
        """Return the descriptor, for ``select``."""
        return self._socket.fileno()

    def play(self) -> None:
        """Play the sample now, on the default sink: its click sounds :data:`CLICK_LEAD` later."""
        self._send(PULSE_PLAY, NO_INDEX, None, 0x10000, SAMPLE_NAME)

    def drain(self) -> None:
        """Read what the server says; its answer to :meth:`play` may be a refusal.

        :raises OSError: it refused or has gone.
        """
        self._answer()

    def close(self) -> None:
        """Let the server forget the click."""
        with contextlib.suppress(OSError):  # a server that has gone forgets by itself
            self._send(PULSE_REMOVE, SAMPLE_NAME)
        self._socket.close()

    def _send(self, command: int, *values: int | str | bytes | None) -> None:
        self._tag += 1
        body = tagged(command, self._tag, *values)
        self._socket.sendall(struct.pack(">IIIII", len(body), NO_INDEX, 0, 0, 0) + body)

    def _call(self, command: int, *values: int | str | bytes | None) -> bytes:
        self._send(command, *values)
        while True:
            tag, rest = self._answer()
            if tag == self._tag:
                return rest

    def _answer(self) -> tuple[int, bytes]:
        (length,) = struct.unpack_from(">I", self._exactly(20))
        if length > 1 << 20:
            raise OSError("not the protocol of PulseAudio")
        data = self._exactly(length)
        if length < 10:
            return 0, b""
        command, tag = struct.unpack_from(">xIxI", data)
        if command == PULSE_ERROR:
            (code,) = struct.unpack_from(">xI", data, 10)
            raise OSError(f"it refused with error {code}")
        return (tag if command == PULSE_REPLY else 0), data[10:]

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self._socket.recv(count - len(data))
            if not more:
                raise OSError("it has gone")
            data += more
        return data


class ClickTrack:
    """Clicks at random intervals, each at the instant at which the patch ``sync`` inverts.

    :param delay: seconds from the patch to the sound; 0 but for calibration.
    """

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.sound = Sound()
        self._patch_due = self._sound_due = 0.0
        self._seen = self._heard = 0
        self._plan(time.monotonic())

    @property
    def due(self) -> float:
        """Return the monotonic time at which :meth:`act` has something to do."""
        return min(self._patch_due, self._sound_due)

    def act(self, now: float, toggle: Callable[[], None]) -> tuple[int, int] | None:
        """Do what is due; return both instants in microseconds when a click is complete."""
        if now >= self._sound_due:
            self._heard = time.time_ns() // 1000 + round(1e6 * CLICK_LEAD)
            self.sound.play()
            self._sound_due = math.inf
        if now >= self._patch_due:
            self._seen = time.time_ns() // 1000
            toggle()
            self._patch_due = math.inf
        if math.isinf(self.due):
            self._plan(now)
            return self._seen, self._heard
        return None

    def _plan(self, now: float) -> None:
        # Random, so that the sequence of intervals says which sound belongs to which picture.
        at = now + random.uniform(*CLICK_INTERVALS)
        self._patch_due = at + max(0.0, -self.delay)
        self._sound_due = at + max(0.0, self.delay) - CLICK_LEAD


# ---------------------------------------------------------------------------------------------------
# Main
# ---------------------------------------------------------------------------------------------------

FRAMES_IN_FLIGHT = 2


class Desk:
    """The frame loop over one connection."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._connection = Connection(options.display)
        self._canvas = Canvas(self._connection, 8 * options.cell)
        self._marker = Marker(self._canvas, options.session_id, options.cell)
        self._input = Input(self._connection)
        self._workload = WORKLOADS[options.workload](self._canvas)
        self._in_flight = 0
        self._probes = Probes(options.probes) if options.probes is not None else None
        self._clicks: ClickTrack | None = None
        self._clicks_fail = False
        self._second = 0
        self._warn_if_small()
        if options.clicks is not None:
            try:
                self._clicks = ClickTrack(options.clicks)
            except OSError as error:
                cause = f"no click track, the sound server cannot be used ({error})"
                raise DeskError(cause, "set PULSE_SERVER to a running PulseAudio", BAD_SOUND) from error

    def close(self) -> None:
        """Leave nothing behind in the folder of probes and in the sound server."""
        if self._probes is not None:
            self._probes.clear()
        self._quiet()

    def run(self) -> None:
        """Draw until the duration ends (for ever without one)."""
        rng = random.Random()
        options, connection = self._options, self._connection
        connection.send(self._static())
        connection.call(request(GET_INPUT_FOCUS))
        if connection.pending:  # the exposure of the new window, which asks for one more painting
            self._answer(connection.read())
        start = time.monotonic()
        self._frame(0.0)
        connection.call(request(GET_INPUT_FOCUS))  # its reply says that all before it has been drawn
        self._report_ready()
        end = start + options.duration if options.duration else math.inf
        due = start + 1 / options.rate
        while True:
            now = time.monotonic()
            if now >= end:
                return
            if now >= due:
                # A slow server is not given more than it can draw: frames that queue up would show
                # times that are not the desktop's but the queue's.
                if self._in_flight < FRAMES_IN_FLIGHT:
                    self._frame(now - start)
                # A constant period would keep one phase against the capture for a whole run, and the
                # wait from draw to capture would be a constant of luck. Dithered, the phase runs
                # through all values and the mean wait is half a capture interval.
                due += rng.uniform(1 - options.dither, 1 + options.dither) / options.rate
                due = max(due, now)
            self._click(now)
            wait = max(0.0, min(due, end, self._clicks.due if self._clicks else end) - time.monotonic())
            listened = [connection.fileno(), *([self._clicks.sound.fileno()] if self._clicks else [])]
            ready = listened[:1] if connection.pending else select.select(listened, [], [], wait)[0]
            if listened[0] in ready:
                self._answer(connection.read())
            elif ready:
                self._with_sound(lambda track: track.sound.drain())

    def _frame(self, now: float) -> None:
        """Send one frame with one write, the marker first: its time is that of its own draw alone."""
        step = self._workload.step(now)
        first, microseconds, stamp = self._stamp()
        self._connection.send([*stamp, *step, request(GET_INPUT_FOCUS)])
        self._in_flight += 1
        if first and self._probes is not None:
            self._serve(self._probes, microseconds)

    def _stamp(self) -> tuple[bool, int, list[bytes]]:
        """Return whether this marker is the first of a new second, its time, and the requests that draw it."""
        microseconds = time.time_ns() // 1000
        before, self._second = self._second, microseconds // 1_000_000
        return self._second > before, microseconds, self._marker.stamp(microseconds)

    def _serve(self, probes: Probes, microseconds: int) -> None:
        """Do what a measurement asks for: once a second, right after the first marker of that second."""
        if probes.wanted("screenshots") is None:
            probes.clear()
        else:
            self._screenshot(probes, microseconds)
        if self._options.clicks is not None:
            return
        asked = probes.wanted("clicks")
        if asked is None:
            self._clicks_fail = False
            self._quiet()
        elif not self._clicks_fail:
            try:
                delay = number(asked or "0", *CLICK_DELAYS, float)
                if self._clicks is None:
                    self._clicks = ClickTrack(delay)
                self._clicks.delay = delay
            except (OSError, argparse.ArgumentTypeError) as error:
                self._silence(error)

    def _screenshot(self, probes: Probes, microseconds: int) -> None:
        """Keep the screen as it is, before anything else is drawn."""
        canvas, connection = self._canvas, self._connection
        body = struct.pack("<IhhHHI", connection.screen.root, 0, 0, canvas.width, canvas.height, 0xFFFFFFFF)
        reply = connection.call(request(GET_IMAGE, 2, body))
        size = 4 * canvas.width * canvas.height
        if reply[0] != REPLY or len(reply) < 32 + size:
            return  # the screen's size changes at this moment
        head = {"width": canvas.width, "height": canvas.height, "session_id": self._options.session_id}
        try:
            probes.keep(microseconds, {"format": "BGRX", **head}, memoryview(reply)[32 : 32 + size])
        except OSError as error:
            warn(f"no screenshot can be kept ({error}): check the space in the folder of probes")

    def _click(self, now: float) -> None:
        """Click when it is time to: sound and patch go out together."""
        if self._clicks is None or now < self._clicks.due:
            return

        def act(track: ClickTrack) -> None:
            done = track.act(now, lambda: self._connection.send([self._marker.toggle("sync")]))
            if done is not None and self._probes is not None:
                # The notes are for calibration only; a full disk ends no click track.
                with contextlib.suppress(OSError):
                    self._probes.clicked(*done)

        self._with_sound(act)

    def _with_sound(self, work: Callable[[ClickTrack], None]) -> None:
        try:
            if self._clicks is not None:
                work(self._clicks)
        except OSError as error:
            self._silence(error)

    def _silence(self, error: Exception) -> None:
        """Go on without clicks until they are asked for anew; the picture must not end with the sound."""
        warn(f"no click track, the sound server cannot be used ({error}): check PULSE_SERVER and PulseAudio")
        self._clicks_fail = True
        self._quiet()

    def _quiet(self) -> None:
        if self._clicks is not None:
            self._clicks.sound.close()
            self._clicks = None

    def _static(self) -> list[bytes]:
        return [*(self._marker.patch(name) for name in PATCHES), *self._workload.paint()]

    def _answer(self, messages: list[bytes]) -> None:
        """React to what the server sent; all that follows from it goes out at once."""
        requests: list[bytes] = []
        repaint = False
        for message in messages:
            kind = message[0] & 0x7F
            if kind == ERROR:
                self._judge(message)
            elif message[0] == REPLY:
                self._in_flight -= 1
            elif kind == EXPOSE:
                repaint = True
            elif kind == CONFIGURE_NOTIFY:
                _, window, _, _, _, width, height = struct.unpack_from("<IIIhhHH", message, 4)
                size = (self._canvas.width, self._canvas.height)
                if window == self._connection.screen.root and (width, height) != size:
                    self._canvas.width, self._canvas.height = width, height
                    requests += self._canvas.to_front()
                    repaint = True
                    self._warn_if_small()
            else:
                patch = self._input.patch_for(message)
                if patch:
                    # The marker first: whoever sees the patch changed then sees a time at which the event was here.
                    requests += [*self._marker.stamp(time.time_ns() // 1000), self._marker.toggle(patch)]
        if repaint:
            requests += [*self._static(), *self._stamp()[2]]
        if requests:
            self._connection.send(requests)

    def _judge(self, error: bytes) -> None:
        code, opcode = error[1], error[10]
        # The focus is refused while another client hides the screen; without its font, text is bars.
        if opcode in (SET_INPUT_FOCUS, OPEN_FONT):
            return
        cause = f"the X server of display {self._options.display} refused request {opcode} with error {code}"
        raise DeskError(cause, "check its memory and its log, then start desk again", SERVER_FAILED)

    def _warn_if_small(self) -> None:
        width, height, cell = self._canvas.width, self._canvas.height, self._options.cell
        if width < COLUMNS * cell or height < 8 * cell:
            need = f"{COLUMNS * cell}x{8 * cell}"
            fits = min(width // COLUMNS, height // 8)
            smaller = f" or --cell {fits}" if fits >= CELLS[0] else ""
            print(
                f"desk: warning: the screen ({width}x{height}) cuts the marker off ({need}): "
                f"use a larger screen{smaller}",
                file=sys.stderr,
            )

    def _report_ready(self) -> None:
        if self._options.ready_fd is None:
            return
        with contextlib.suppress(BrokenPipeError):  # whoever waited has gone; the desktop stays
            os.write(self._options.ready_fd, f"ready {self._workload.label}".strip().encode() + b"\n")
        os.close(self._options.ready_fd)


def number(text: str, low: float, high: float, kind: type[int] | type[float]) -> float:
    """Parse an option's number inside its bounds."""
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        what = "a whole number" if kind is int else "a number"
        raise argparse.ArgumentTypeError(f"'{text}' is not {what} from {low:g} to {high:g}")
    return value


def bounded(low: float, high: float, kind: type[int] | type[float] = float) -> functools.partial[float]:
    """Return the parser of a number from ``low`` to ``high``."""
    return functools.partial(number, low=low, high=high, kind=kind)


def descriptor(text: str) -> int:
    """Parse an open file descriptor."""
    try:
        os.fstat(int(text))
    except (ValueError, OverflowError, OSError) as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not an open file descriptor: pass one on") from error
    return int(text)


def folder(text: str) -> Path:
    """Parse a folder that can be written to."""
    if not os.access(text, os.R_OK | os.W_OK | os.X_OK) or not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"'{text}' is not a folder that can be written to: make it first")
    return Path(text)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    line = argparse.ArgumentParser(
        prog="desk",
        description="Draw marker, input echo and a workload on an X11 screen, until SIGTERM.",
    )
    add = line.add_argument
    add("--display", default=os.environ.get("DISPLAY", ""), help="[host]:number[.screen], DISPLAY without it")
    add("--session-id", type=bounded(0, 65535, int), default=0, help="number in the marker, 0 to 65535")
    add("--workload", choices=sorted(WORKLOADS), default="idle", help="what else to draw (default: idle)")
    add("--rate", type=bounded(0.1, 1000), default=60.0, help="frames drawn per second (default: 60)")
    add(
        "--dither",
        type=bounded(0, 0.9),
        default=0.2,
        help="spread of the period, a ratio (default: 0.2)",
    )
    add("--cell", type=bounded(*CELLS, int), default=16, help="side of a marker cell in pixels (default: 16)")
    add("--duration", type=bounded(0.001, 1e9), help="end after this many seconds")
    add("--probes", type=folder, metavar="DIR", help="take screenshots and click while files there ask for it")
    add(
        "--clicks",
        type=bounded(*CLICK_DELAYS),
        nargs="?",
        const=0.0,
        metavar="DELAY",
        help="click from the start, the sound this many seconds after the picture (default: 0)",
    )
    add(
        "--ready-fd",
        type=descriptor,
        help="write 'ready' here when the first frame is on the screen, and what draws workload 3d",
    )
    add("--version", action="version", version=f"desk {VERSION} (marker {MARKER_VERSION})")
    return line


def stop(*_: object) -> None:
    """End at once; the server drops the window with the connection."""
    sys.exit(0)


def main(arguments: list[str] | None = None) -> int:
    """Run the program and return its exit status."""
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, stop)
    options = parser().parse_args(arguments)
    desk = None
    try:
        desk = Desk(options)
        desk.run()
    except DeskError as error:
        with contextlib.suppress(BrokenPipeError):  # nobody reads: the status still tells
            print(f"desk: {error}", file=sys.stderr)
        return error.status
    finally:
        if desk is not None:
            desk.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
