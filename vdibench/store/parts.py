"""Part files: ``samples/<table>-<suite>-<nnnnn>.parquet``, each complete and never changed once it has its name.

A part that stands for several older ones lists them in its metadata, so that a crash between writing it and
removing them shows no row twice.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from vdibench.records import TABLES, Table
from vdibench.store.batches import Columns, Rows, checked, table_named

__all__ = ["Part", "arrow_schema", "decode", "encode", "frame", "list_parts", "merge", "part_name"]

_NAME = re.compile(r"(?P<table>[a-z_]+)-(?P<suite>[a-z0-9_]+)-(?P<number>\d{5,})\.parquet")
_REPLACES = b"vdibench.replaces"
_ARROW = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}
_EMPTY = {"string": "", "int64": -1, "float64": float("nan"), "bool": False}
_NUMPY = {"int64": np.int64, "float64": np.float64, "bool": np.bool_}


@dataclass(frozen=True, slots=True)
class Part:
    """One part file on the disk."""

    path: Path
    table: str
    suite: str
    number: int


def part_name(table: str, suite: str, number: int) -> str:
    """The file name of a part."""
    return f"{table}-{suite}-{number:05d}.parquet"


def list_parts(samples: Path, table: str | None = None) -> list[Part]:
    """The parts in a ``samples`` folder, of one table or of all, by table, suite and number."""
    found = []
    for path in samples.glob(f"{table or ''}*.parquet"):
        match = _NAME.fullmatch(path.name)
        if match and (table is None or match["table"] == table):
            found.append(Part(path, match["table"], match["suite"], int(match["number"])))
    return sorted(found, key=lambda part: (part.table, part.suite, part.number))


def arrow_schema(table: Table) -> pa.Schema:
    """The parquet schema of a table: its columns in order, none nullable but ``float64`` NaN."""
    return pa.schema([pa.field(column.name, _ARROW[column.dtype]) for column in table.columns])


def frame(table: str, rows: Rows) -> pd.DataFrame:
    """Rows as the frame that a recording would give of them, without a run folder; typed also when there are none.

    :raises StoreError: rows that do not fit the table.
    """
    known = table_named(table)
    columns, count = checked(known, rows)
    arrow = _arrow(known, columns) if count else arrow_schema(known).empty_table()
    return arrow.to_pandas()  # type: ignore[no-any-return]  # pyarrow has no types


def encode(table: Table, columns: Columns) -> bytes:
    """A part file's content from checked columns."""
    return _serialised(table, _arrow(table, columns))


def _arrow(table: Table, columns: Columns) -> pa.Table:
    arrays = []
    for column in table.columns:
        values = columns[column.name]
        if column.dtype == "string":
            arrays.append(pa.array(values, pa.string()))
        else:
            arrays.append(pa.array(np.array(values, dtype=_NUMPY[column.dtype])))
    return pa.Table.from_arrays(arrays, schema=arrow_schema(table))


def decode(part: Part) -> tuple[pa.Table, tuple[int, ...]]:
    """A part's rows in the table's columns, and the numbers of the parts it stands for.

    Columns that came after its schema are filled with what stands for "not measured".

    :raises pa.ArrowException, OSError, KeyError, ValueError: for a torn or foreign file.
    """
    read = pq.ParquetFile(part.path).read(use_threads=False)
    replaced = json.loads((read.schema.metadata or {}).get(_REPLACES, b"[]"))
    table = TABLES[part.table]
    for column in table.columns:
        if column.since > 1 and column.name not in read.column_names:
            values = pa.array([_EMPTY[column.dtype]] * len(read), _ARROW[column.dtype])
            read = read.append_column(column.name, values)
    schema = arrow_schema(table)
    return read.select(schema.names).replace_schema_metadata(None).cast(schema), tuple(replaced)


def merge(table: Table, rows: list[pa.Table], numbers: list[int]) -> bytes:
    """One part's content that stands for the parts ``numbers``, whose rows are ``rows``."""
    whole = pa.concat_tables(rows).combine_chunks()
    return _serialised(table, whole.replace_schema_metadata({_REPLACES: json.dumps(numbers).encode()}))


def _serialised(table: Table, rows: pa.Table) -> bytes:
    texts = [column.name for column in table.columns if column.dtype == "string"]
    floats = {column.name: "BYTE_STREAM_SPLIT" for column in table.columns if column.dtype == "float64"}
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd", use_dictionary=texts, column_encoding=floats, write_statistics=False)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]  # pyarrow has no types
