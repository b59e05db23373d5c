"""The desk follows its screen."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from vdibench.desk.desk import REPLY, request


class Randr:
    """Just enough of the RANDR extension to give a virtual screen another size."""

    def __init__(self, eye) -> None:
        self.eye = eye
        self.opcode = eye.connection.extension("RANDR")
        reply = self._ask(8, struct.pack("<I", eye.root))
        self.stamp, _, crtcs, outputs = struct.unpack_from("<IIHH", reply, 8)
        (self.crtc,) = struct.unpack_from("<I", reply, 32)
        (self.output,) = struct.unpack_from("<I", reply, 32 + 4 * crtcs)
        assert (crtcs, outputs) == (1, 1)

    def resize(self, width: int, height: int) -> None:
        name = f"{width}x{height}".encode()
        mode = struct.pack(
            "<IHHIHHHHHHHHI", 0, width, height, 60, width, width, width, 0, height, height, height, len(name), 0
        )
        reply = self._ask(16, struct.pack("<I", self.eye.root) + mode + name)
        (identity,) = struct.unpack_from("<I", reply, 8)
        size = struct.pack("<IHHII", self.eye.root, width, height, width // 4, height // 4)
        self.eye.connection.send([request(self.opcode, 18, struct.pack("<II", self.output, identity))])
        self._set_crtc(0, b"")
        self.eye.connection.send([request(self.opcode, 7, size)])
        self._set_crtc(identity, struct.pack("<I", self.output))

    def _set_crtc(self, mode: int, outputs: bytes) -> None:
        body = struct.pack("<IIIhhIH2x", self.crtc, 0, 0, 0, 0, mode, 1)
        assert self._ask(21, body + outputs)[1] == 0

    def _ask(self, minor: int, body: bytes) -> bytes:
        reply = self.eye.connection.call(request(self.opcode, minor, body))
        assert reply[0] == REPLY, f"RANDR request {minor} failed with error {reply[1]}"
        return reply


@pytest.mark.parametrize("workload", ["text", "window", "video", "3d"])
def test_resize(start_desk, make_screen, workload: str) -> None:
    with make_screen(screen="1600x900x24") as server:
        eye = start_desk("--workload", workload, server=server)
        randr = Randr(eye)
        assert eye.tap(2, 38) == (True, False)
        for width, height in ((1024, 600), (1500, 800), (800, 500)):
            randr.resize(width, height)
            eye.wait_for_marker()
            eye.settle()
            assert eye.window_size() == (width, height)
            assert eye.patches() == (True, False), "a resize changes the patches"
            first = eye.picture(0, 128, width, height - 128)
            # The background of the window (0x505860) is what a workload that missed the resize leaves.
            bare = (first == (0x60, 0x58, 0x50)).all(axis=2)
            assert bare.mean() < 0.01
            changed = np.zeros(first.shape[:2], bool)
            for _ in range(4):
                eye.settle()
                changed |= (eye.picture(0, 128, width, height - 128) != first).any(axis=2)
            assert changed[:, width // 2 :].any()
        assert eye.tap(2, 38) == (False, False), "the keyboard is lost"
