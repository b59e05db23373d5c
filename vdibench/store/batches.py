"""From what a caller appends to checked columns. Pure.

Rows are mappings of column name to value, or one mapping of column name to equally long sequences, or a frame.
A ``float64`` column may be left out or hold None: not measured. Every other column must be there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache

import numpy as np
import pandas as pd

from vdibench.errors import StoreError
from vdibench.records import TABLES, Column, Table

__all__ = ["Columns", "Rows", "checked", "table_named"]

Columns = dict[str, list[object]]
Rows = Sequence[Mapping[str, object]] | Mapping[str, Sequence[object]] | pd.DataFrame

_ACCEPTED: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "int64": (int, np.integer),
    "float64": (float, int, np.floating, np.integer, type(None)),
    "bool": (bool, np.bool_),
}
_MAX, _MIN = int(np.iinfo(np.int64).max), int(np.iinfo(np.int64).min)


def table_named(name: str) -> Table:
    """The table of that name, or an error with the nearest."""
    if name in TABLES:
        return TABLES[name]
    raise StoreError(f"there is no table {name!r}", _nearest(name, TABLES))


def checked(table: Table, rows: Rows) -> tuple[Columns, int]:
    """The columns of ``rows``, complete and of the right types, and how many rows they are.

    :raises StoreError: for a column that the table lacks, a missing one, or a value of another type.
    """
    columns = _columns(table, rows)
    if not columns:
        return {}, 0
    _refuse_unknown(table, columns)
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise StoreError(f"the columns given for table {table.name} differ in length", "give one value a row")
    count = lengths.pop()
    if count == 0:
        return {}, 0
    return {column.name: _column(table, column, columns.get(column.name), count) for column in table.columns}, count


def _columns(table: Table, rows: Rows) -> Columns:
    if isinstance(rows, pd.DataFrame):
        return {str(name): rows[name].tolist() for name in rows.columns}
    if isinstance(rows, Mapping):
        return {name: _listed(values) for name, values in rows.items()}
    if not rows:
        return {}
    names = rows[0].keys()
    for row in rows:
        if row.keys() != names:
            strange = sorted(row.keys() ^ names)
            raise StoreError(
                f"rows appended together to table {table.name} differ in their columns ({', '.join(strange)})",
                "give every row the same columns",
            )
    return {name: [row[name] for row in rows] for name in names}


def _listed(values: Sequence[object] | np.ndarray | pd.Series) -> list[object]:
    if isinstance(values, np.ndarray | pd.Series):
        return list(values.tolist())
    return list(values)


def _refuse_unknown(table: Table, columns: Columns) -> None:
    names = table.names
    for name in columns:
        if name not in names:
            raise StoreError(f"table {table.name} has no column {name!r}", _nearest(name, names))


def _column(table: Table, column: Column, values: list[object] | None, count: int) -> list[object]:
    if values is None:
        if column.dtype == "float64":
            return [None] * count
        raise StoreError(f"a row for table {table.name} lacks column {column.name!r}", f"give it as {column.dtype}")
    for kind in set(map(type, values)):
        if not _fits(column.dtype, kind):
            raise StoreError(
                f"column {column.name!r} of table {table.name} takes {column.dtype}, not {kind.__name__}",
                f"convert it: {column.meaning}",
            )
    if column.dtype == "int64" and (max(values) > _MAX or min(values) < _MIN):  # type: ignore[type-var, operator]  # all int by now
        raise StoreError(f"a value of column {column.name!r} of table {table.name} exceeds 64 bits", column.meaning)
    return values


@cache
def _fits(dtype: str, kind: type) -> bool:
    """Whether values of a type may stand in a column; a bool is an int to Python and never a measurement."""
    return issubclass(kind, _ACCEPTED[dtype]) and (dtype == "bool" or not issubclass(kind, bool | np.bool_))


def _nearest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
