"""Which keys type a text: X keysyms of characters, and whether Shift goes with them. Pure."""

from __future__ import annotations

from vdibench.errors import UsageError

__all__ = ["SHIFT", "keysym_of", "takes_shift"]

SHIFT = 0xFFE1
_UNICODE = 0x0100_0000
_NAMED = {"\b": 0xFF08, "\t": 0xFF09, "\n": 0xFF0D}
# Of a US keyboard, as a browser in front of one would send it.
_SHIFTED = frozenset('~!@#$%^&*()_+{}|:"<>?')


def keysym_of(character: str) -> int:
    """The X keysym of one character: Latin-1 is its own, the rest of Unicode stands above 0x01000000.

    :raises UsageError: a control character that no key types.
    """
    if character in _NAMED:
        return _NAMED[character]
    point = ord(character)
    if point < 0x20 or 0x7F <= point < 0xA0:
        raise UsageError(f"no key types the character {point:#04x}", "type printable text, tabs and line ends")
    return point if point <= 0xFF else _UNICODE | point


def takes_shift(character: str) -> bool:
    """Whether a keyboard holds Shift for it: 1.6 types small letters without, 2.x does not mind it."""
    return character in _SHIFTED or (character.isalpha() and character != character.lower())
