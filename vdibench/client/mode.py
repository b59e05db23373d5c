"""How much of a stream is looked at. Pure.

``meter``       headers only: nothing is decrypted, every frame is counted and timed
``sampled``     as ``meter``, and about one key frame a second is asked for, decrypted and decoded
``depacketise`` every packet decrypted, every frame put together, none decoded
``decode``      every frame decoded, every marker read
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["SAMPLE_SECONDS", "Mode"]

SAMPLE_SECONDS = (0.7, 1.3)
"""Shortest and longest time between the key frames that mode ``sampled`` asks for."""


class Mode(StrEnum):
    """What a client does with each frame; cheapest first."""

    METER = "meter"
    SAMPLED = "sampled"
    DEPACKETISE = "depacketise"
    DECODE = "decode"

    @property
    def decodes(self) -> bool:
        """Whether any picture comes out."""
        return self in {Mode.SAMPLED, Mode.DECODE}
