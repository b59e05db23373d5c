"""The reference page shows a file that loads, and names every key, suite and condition."""

from __future__ import annotations

import re
from pathlib import Path

from vdibench.slo import CONTEXT_KEYS, SUITES, load
from vdibench.slo.loading import _ENTRY

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "objectives.md").read_text(encoding="utf-8")


def test_the_example_loads() -> None:
    [example] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert len(load(example).objectives) == 5


def test_every_word_is_documented() -> None:
    documented = set(re.findall(r"`([\w-]+)`", PAGE))
    assert documented >= {*CONTEXT_KEYS, *SUITES, *_ENTRY}
