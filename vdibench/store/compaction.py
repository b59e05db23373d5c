"""Many small parts of a finished run become few: quicker to read, smaller to keep. Rewrites part files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path

import pyarrow as pa

from vdibench.records import TABLES
from vdibench.store.files import exclusive, publish, stage, write_failure
from vdibench.store.parts import Part, decode, list_parts, merge

__all__ = ["compact"]

_LIMIT_BYTES = 64 * 1024 * 1024  # of parts merged at once: bounds the memory it takes


def compact(samples: Path, lock: Path) -> None:
    """Merge the parts of each table and suite; a crash at any moment neither loses nor doubles a row.

    Parts that cannot be read are left as they are, for the reader to report.

    :raises StoreError: the disk refuses; the parts are then as they were.
    """
    with exclusive(lock):
        for _, group in groupby(list_parts(samples), key=lambda part: (part.table, part.suite)):
            for batch in _batches(list(group)):
                _merge(batch)


def _batches(parts: list[Part]) -> Iterator[list[Part]]:
    batch: list[Part] = []
    size = 0
    for part in parts:
        size += part.path.stat().st_size
        batch.append(part)
        if size > _LIMIT_BYTES:
            yield batch
            batch, size = [], 0
    yield batch


def _merge(parts: list[Part]) -> None:
    rows: dict[int, pa.Table] = {}
    replaced: set[int] = set()
    readable: dict[int, Part] = {}
    for part in parts:
        with suppress(pa.ArrowException, OSError, KeyError, ValueError):  # for the reader to report
            rows[part.number], older = decode(part)
            readable[part.number] = part
            replaced.update(older)
    alive = [number for number in sorted(rows) if number not in replaced]
    if len(readable) < 2:
        return
    last = readable[alive[-1]]
    gone = sorted((replaced | set(alive)) - {last.number})
    publish(stage(last.path, merge(TABLES[last.table], [rows[number] for number in alive], gone)), last.path)
    for number in gone:
        if number in readable:
            try:
                readable[number].path.unlink()
            except OSError as error:
                raise write_failure(readable[number].path, error) from error
