"""Keys, pointer and size of an X screen, for the stand-in's media process. Standard library only.

Runs under the system's Python, where vdibench is not installed: the desk's X11 client is loaded from its file.
"""

from __future__ import annotations

import importlib.util
import struct
import sys
from pathlib import Path
from types import ModuleType

DESK = Path(__file__).parents[2] / "vdibench" / "desk" / "desk.py"
KEY_PRESS, KEY_RELEASE, BUTTON_PRESS, BUTTON_RELEASE, MOTION = 2, 3, 4, 5, 6
GET_KEYBOARD_MAPPING = 101


def _load_desk() -> ModuleType:
    specification = importlib.util.spec_from_file_location("desk", DESK)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["desk"] = module
    specification.loader.exec_module(module)
    return module


class Hands:
    """One X11 connection that types, points and resizes by XTEST and RANDR."""

    def __init__(self, display: str) -> None:
        self._desk = _load_desk()
        self._x = self._desk.Connection(display)
        self._root = self._x.screen.root
        self._xtest = self._x.extension("XTEST")
        self._randr = self._x.extension("RANDR")
        self._plain: dict[int, int] = {}
        self._keycodes = self._read_keycodes()
        self._buttons = 0

    def _read_keycodes(self) -> dict[int, int]:
        first, count = 8, 248
        reply = self._x.call(self._desk.request(GET_KEYBOARD_MAPPING, 0, struct.pack("<BB2x", first, count)))
        width = reply[1]
        keysyms = struct.unpack_from(f"<{width * count}I", reply, 32)
        found: dict[int, int] = {}
        for index, keysym in enumerate(keysyms):
            if keysym:
                found.setdefault(keysym, first + index // width)
                self._plain.setdefault(first + index // width, keysym)
        return found

    def _fake(self, kind: int, detail: int, x: int = 0, y: int = 0) -> None:
        body = struct.pack("<BB2xII8xhh8x", kind, detail, 0, self._root, x, y)
        self._x.send([self._desk.request(self._xtest, 2, body)])

    def close(self) -> None:
        """Let the screen go."""
        self._x.close()

    def key(self, keysym: int, *, down: bool) -> None:
        """Press or release a key, as it is: no Shift is added."""
        keycode = self._keycodes.get(keysym)
        if keycode is not None:
            self._fake(KEY_PRESS if down else KEY_RELEASE, keycode)

    def point(self, x: int, y: int, mask: int) -> None:
        """Move the pointer; bits 0 to 2 of the mask are the left, middle and right button."""
        self._fake(MOTION, 0, x, y)
        for bit in range(3):
            if (mask ^ self._buttons) >> bit & 1:
                self._fake(BUTTON_PRESS if mask >> bit & 1 else BUTTON_RELEASE, bit + 1)
        self._buttons = mask & 7

    def held(self) -> list[int]:
        """Keysyms of the keys that are down, without Shift, whoever pressed them."""
        reply = self._x.call(self._desk.request(44))
        down = {8 * index + bit for index in range(32) for bit in range(8) if reply[8 + index] >> bit & 1}
        return sorted(self._plain[keycode] for keycode in down if keycode in self._plain)

    def buttons(self) -> int:
        """Which buttons are down, whoever pressed them: bits 0 to 2 are the left, middle and right one."""
        reply = self._x.call(self._desk.request(38, 0, struct.pack("<I", self._root)))
        (state,) = struct.unpack_from("<H", reply, 24)
        return state >> 8 & 7

    def resize(self, width: int, height: int) -> None:
        """Give the screen another size by a mode of its own."""
        reply = self._ask(8, struct.pack("<I", self._root))
        _, _, crtcs, _ = struct.unpack_from("<IIHH", reply, 8)
        (crtc,) = struct.unpack_from("<I", reply, 32)
        (output,) = struct.unpack_from("<I", reply, 32 + 4 * crtcs)
        name = f"{width}x{height}".encode()
        shape = (0, width, height, 60, width, width, width, 0, height, height, height, len(name), 0)
        try:
            reply = self._ask(16, struct.pack("<I", self._root) + struct.pack("<IHHIHHHHHHHHI", *shape) + name)
            (mode,) = struct.unpack_from("<I", reply, 8)
        except ValueError:
            mode = self._mode(name)  # there is one of this name
        self._x.send([self._desk.request(self._randr, 18, struct.pack("<II", output, mode))])
        self._set_crtc(crtc, 0, b"")
        size = struct.pack("<IHHII", self._root, width, height, width // 4, height // 4)
        self._x.send([self._desk.request(self._randr, 7, size)])
        self._set_crtc(crtc, mode, struct.pack("<I", output))

    def _mode(self, name: bytes) -> int:
        reply = self._ask(8, struct.pack("<I", self._root))
        crtcs, outputs, modes, length = struct.unpack_from("<HHHH", reply, 16)
        at = 32 + 4 * (crtcs + outputs)
        names = reply[at + 32 * modes : at + 32 * modes + length]
        start = 0
        for index in range(modes):
            (identity,) = struct.unpack_from("<I", reply, at + 32 * index)
            (size,) = struct.unpack_from("<H", reply, at + 32 * index + 26)
            if names[start : start + size] == name:
                return int(identity)
            start += size
        raise ValueError(f"no mode {name!r}")

    def _set_crtc(self, crtc: int, mode: int, outputs: bytes) -> None:
        self._ask(21, struct.pack("<IIIhhIH2x", crtc, 0, 0, 0, 0, mode, 1) + outputs)

    def _ask(self, minor: int, body: bytes) -> bytes:
        reply: bytes = self._x.call(self._desk.request(self._randr, minor, body))
        if reply[0] != 1:
            raise ValueError(f"RANDR request {minor} failed with error {reply[1]}")
        return reply
