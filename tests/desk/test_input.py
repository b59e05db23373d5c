"""Keys and clicks, injected by XTEST as Selkies injects them, and what the patches make of them."""

from __future__ import annotations

import struct
import time

from vdibench.desk.desk import request

KEY, BUTTON, MOTION = 2, 4, 6
KEY_A = 38


def test_each_key_press_toggles_the_key_patch_once(start_desk) -> None:
    eye = start_desk()
    assert eye.patches() == (False, False)
    assert [eye.tap(KEY, KEY_A + i % 2)[0] for i in range(4)] == [True, False, True, False]
    assert eye.patches()[1] is False


def test_each_click_toggles_the_click_patch_once(start_desk) -> None:
    eye = start_desk()
    eye.fake(MOTION, 0, 700, 400)
    assert [eye.tap(BUTTON, button)[1] for button in (1, 2, 3, 1)] == [True, False, True, False]
    assert eye.patches()[0] is False


def test_wheel_and_motion_toggle_nothing(start_desk) -> None:
    eye = start_desk()
    for button in (4, 5, 6, 7):
        assert eye.tap(BUTTON, button) == (False, False)
    eye.fake(MOTION, 0, 10, 10)
    eye.settle()
    assert eye.patches() == (False, False)


def test_a_held_key_toggles_once(start_desk) -> None:
    eye = start_desk()
    eye.watch_keys()
    eye.fake(KEY, KEY_A)
    for _ in range(8):  # the first is the press itself, the others the server repeats
        eye.wait_for_key_press()
        eye.settle()
        assert eye.patches() == (True, False)
    eye.fake(KEY + 1, KEY_A)
    assert eye.tap(KEY, KEY_A) == (False, False)


def test_two_keys_held_together_toggle_twice(start_desk) -> None:
    eye = start_desk()
    eye.fake(KEY, KEY_A)
    eye.settle()
    assert eye.patches() == (True, False)
    eye.fake(KEY, KEY_A + 1)
    eye.settle()
    assert eye.patches() == (False, False)
    eye.fake(KEY + 1, KEY_A)
    eye.fake(KEY + 1, KEY_A + 1)


def test_the_patch_answers_before_the_next_frame(start_desk) -> None:
    """With a marker of its own: the time in a picture that shows the change is one at which the event was there."""
    eye = start_desk("--rate", "0.1")  # the second frame comes after ten seconds
    before = eye.microseconds()
    pressed = time.time_ns() // 1000
    eye.fake(BUTTON, 1)
    eye.fake(BUTTON + 1, 1)
    while not eye.patches()[1]:
        pass
    assert before < pressed <= eye.microseconds() <= time.time_ns() // 1000 < pressed + 5_000_000


def test_focus_is_the_desks_own(start_desk) -> None:
    eye = start_desk()
    reply = eye.connection.call(request(43))
    assert struct.unpack_from("<I", reply, 8)[0] == eye.desk_window()
