"""The page of parameters says what the suites take."""

from __future__ import annotations

import ast
import dataclasses
import re
from typing import Any

import pytest

from vdibench.suites import gpu_density, latency_under_load, notebooks_folder

PAGE = notebooks_folder().parent / "docs" / "reference" / "load-notebooks.md"
ROW = re.compile(r"^\| `(\w+)` \| (\S+|`''`) \| (\S+|`''`) \| (.+) \|$", re.MULTILINE)


@pytest.mark.parametrize(("column", "parameters"), [(1, latency_under_load.Parameters), (2, gpu_density.Parameters)])
def test_the_page_has_every_parameter_with_its_default_and_meaning(column: int, parameters: type[Any]) -> None:
    rows = {found[0]: found for found in ROW.findall(PAGE.read_text())}
    fields = {item.name: item for item in dataclasses.fields(parameters)}
    assert {name for name, row in rows.items() if row[column] != "–"} == fields.keys()
    for name, item in fields.items():
        assert ast.literal_eval(rows[name][column].strip("`")) == item.default, name
    # Where a parameter means something else in the other notebook, the page has the words of 04.
    for name, item in fields.items():
        if parameters is gpu_density.Parameters:
            assert rows[name][3].startswith(item.metadata["help"]), name
