from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdibench.errors import UsageError
from vdibench.selkies import keysym_of, pointer, takes_shift, wheel


@given(st.characters(exclude_categories=["Cc", "Cs"]))
def test_every_printable_character_has_a_key_of_its_own(sign: str) -> None:
    point = ord(sign)
    assert keysym_of(sign) == (point if point <= 0xFF else 0x01000000 + point)


@given(st.integers(0, 31) | st.integers(0x7F, 0x9F))
def test_no_key_types_a_control_character(point: int) -> None:
    if chr(point) in "\b\t\n":
        assert keysym_of(chr(point)) == {8: 0xFF08, 9: 0xFF09, 10: 0xFF0D}[point]
    else:
        with pytest.raises(UsageError, match="no key types"):
            keysym_of(chr(point))


def test_shift_goes_with_what_a_keyboard_needs_it_for() -> None:
    assert not any(takes_shift(sign) for sign in string.ascii_lowercase + string.digits + " \n`-=[]\\;',./ß")
    assert all(takes_shift(sign) for sign in string.ascii_uppercase + '~!@#$%^&*()_+{}|:"<>?Ä')


def test_a_notch_of_the_wheel_goes_on_and_off() -> None:
    assert wheel(3, 4, down=True) == ("m,3,4,8,1", pointer(3, 4))
    assert wheel(3, 4, down=False) == ("m,3,4,16,1", pointer(3, 4))
