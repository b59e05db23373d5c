"""The reference page and what is emitted say the same."""

from __future__ import annotations

import re
from pathlib import Path

from vdibench.records import TABLES
from vdibench.telemetry import gpus, sampler

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "telemetry.md").read_text(encoding="utf-8")
RESOURCE = re.compile(r'(?:scope|"host"), "(?!unix_seconds)(\w+)"')


def documented() -> set[str]:
    section = PAGE.partition("## Resources")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) - {"resource"}


def test_every_resource_is_documented_and_no_other():
    sources = "".join(Path(module.__file__ or "").read_text() for module in (sampler, gpus))
    assert documented() == set(RESOURCE.findall(sources))


def test_every_resource_of_the_table_is_documented():
    meaning = next(column.meaning for column in TABLES["resources"].columns if column.name == "resource")
    assert {name.strip() for name in meaning.split(",")} <= documented()
