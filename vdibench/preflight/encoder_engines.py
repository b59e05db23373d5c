"""NVENC engines of GPU products, by the name that the node's label gives. Pure; a table with its sources.

Only products whose number somebody has written down are in it: another one has no data, and nobody guesses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["ENGINES", "GEFORCE_SESSIONS", "SLOWEST_FRAMES_PER_SECOND", "Engines", "engines_of", "is_geforce"]

GEFORCE_SESSIONS = 8
"""Encoding sessions of a *system*, all its GeForce cards together: NVENC Application Note of SDK 13.0.

Later drivers are said to allow 12; professional cards have no such limit.
"""

SLOWEST_FRAMES_PER_SECOND = 323
"""1080p H.264 of one Blackwell engine at preset P5, constant bit rate, low latency: the same note. At P1 it is 977."""


@dataclass(frozen=True, slots=True)
class Engines:
    """How many encoders a product has.

    :param words: of the product's name, one after the other.
    :param count: engines of one GPU.
    :param source: who says so.
    :param certain: by the maker or by measurement; otherwise told by others, to be looked up before it is relied on.
    """

    words: tuple[str, ...]
    count: int
    source: str
    certain: bool = False


_OMITTED = "datacentre parts omit NVENC: docs.nvidia.com/dynamo, requirements of video decoding"

ENGINES: tuple[Engines, ...] = (
    Engines(("A100",), 0, f"GA100 has none: wikiblah.com/wiki/nvenc; {_OMITTED}", True),
    Engines(("H100",), 0, f"{_OMITTED}; livekit/rust-sdks#1015", True),
    Engines(("H200",), 0, f"{_OMITTED}; the same chip family as H100"),
    Engines(("T4",), 1, "Turing has one a chip: developer.nvidia.com/video-codec-sdk", True),
    Engines(("L4",), 2, "NVIDIA support, quoted by others"),
    Engines(("L40S",), 3, "NVIDIA support, quoted by others"),
    Engines(("RTX", "5090"), 3, "told by others"),
    Engines(("RTX", "5080"), 2, "told by others"),
    Engines(("RTX", "5070"), 1, "told by others"),
    Engines(("RTX", "4090"), 2, "told by others"),
    Engines(("RTX", "PRO", "6000", "Blackwell"), 4, "told by others"),
)


def engines_of(product: str) -> Engines | None:
    """The entry of a product; None when it is in nobody's list.

    :param product: as in the label ``nvidia.com/gpu.product``: ``NVIDIA-A100-SXM4-80GB``, ``Tesla-T4-SHARED``.
    """
    words = [word.casefold() for word in re.split(r"[-_ ]+", product) if word]
    for entry in ENGINES:
        wanted = [word.casefold() for word in entry.words]
        if any(words[start : start + len(wanted)] == wanted for start in range(len(words))):
            return entry
    return None


def is_geforce(product: str) -> bool:
    """Whether a system limits the encoding sessions of this product."""
    return "geforce" in product.casefold()
