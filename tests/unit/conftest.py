"""Tables made of a few rows, as a recording would give them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import pytest

from vdibench.records import TABLES
from vdibench.store import frame

_ABSENT = {"string": "", "int64": 0, "float64": None, "bool": False}
_PLACE = {"suite": "s", "level": 1, "trial": 0, "phase": "steady", "session": "desktop-0"}


@pytest.fixture
def tables() -> Callable[..., dict[str, pd.DataFrame]]:
    """Make all tables; rows name only what matters."""

    def make(**rows: Sequence[Mapping[str, Any]]) -> dict[str, pd.DataFrame]:
        made = {}
        for name, table in TABLES.items():
            blank = {column.name: _ABSENT[column.dtype] for column in table.columns}
            complete = {"complete": True} if name == "frames" else {}
            made[name] = frame(name, [{**blank, **_PLACE, **complete, **row} for row in rows.pop(name, ())])
        assert not rows, f"no such table: {rows}"
        return made

    return make
