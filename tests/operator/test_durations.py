"""Durations as the schema and the operator read them."""

from __future__ import annotations

import re

import pytest

from vdi_operator.api.durations import LONGEST, PATTERN, seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("45s", 45.0),
        ("90m", 5400.0),
        ("8h", 28_800.0),
        ("1h30m", 5400.0),
        ("30m1h", 5400.0),
        ("1.5h", 5400.0),
        ("500ms", 0.5),
        ("1m0s", 60.0),
        (LONGEST, 2_592_000.0),
    ],
)
def test_seconds(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)
    assert re.search(PATTERN, text)


@pytest.mark.parametrize(
    "text", ["", "8", "h", "8d", "8 h", "-8h", "+8h", "8h ", "8H", "٨h", "1.h", ".5h", "8h\n", "1e3s"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration: write it as 8h"):
        seconds(text)
    # Python lets a line end before the end; the API server does not.
    assert not re.search(PATTERN.removesuffix("$") + r"\Z", text)


@pytest.mark.parametrize("text", ["0s", "0h0m", "0.0ms", "720h1ms", "721h", "999999999h"])
def test_what_is_too_short_or_too_long(text: str) -> None:
    with pytest.raises(ValueError, match=r"at most 30 days \(720h\)"):
        seconds(text)
