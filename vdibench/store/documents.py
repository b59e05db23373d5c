"""``run.json`` and ``verdict.json`` as text and back. Pure but for what loads and reads them."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vdibench.errors import StoreError
from vdibench.records import (
    RUN_SCHEMA,
    VERDICT_SCHEMA,
    ObjectiveResult,
    Outcome,
    Phase,
    Run,
    RunState,
    SuiteVerdict,
    Verdict,
)
from vdibench.store.redaction import Redactor

__all__ = ["dump", "jsonable", "load_run", "load_verdict", "read_document"]


def dump(record: Run | Verdict, redactor: Redactor) -> bytes:
    """A record as UTF-8 JSON, redacted, one key a line."""
    plain = redactor.value(jsonable(dataclasses.asdict(record)))
    return (json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def jsonable(value: object) -> object:
    """A value in JSON's types: what JSON lacks becomes text, and a number that is none becomes null."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if hasattr(value, "item"):
        return jsonable(value.item())
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return str(value)


def load_run(folder: Path) -> Run:
    """The run of a folder, as written.

    :raises StoreError: not a run folder, damaged, or of a newer vdibench.
    """
    path = folder / "run.json"
    raw = read_document(path, RUN_SCHEMA)
    try:
        known = {field.name: raw[field.name] for field in dataclasses.fields(Run) if field.name in raw}
        known["state"] = RunState(known.get("state", RunState.RUNNING))
        known["phases"] = tuple(Phase(**phase) for phase in known.get("phases", ()))
        for name in ("contention", "errors"):
            known[name] = tuple(known.get(name, ()))
        return Run(**known)
    except (TypeError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {error}", "remove the folder or restore the file") from error


def load_verdict(folder: Path) -> Verdict | None:
    """The verdict of a folder, as written; None when no suite has reached one.

    :raises StoreError: damaged, or of a newer vdibench.
    """
    path = folder / "verdict.json"
    if not path.exists():
        return None
    raw = read_document(path, VERDICT_SCHEMA)
    try:
        suites = tuple(_suite(suite) for suite in raw.get("suites", ()))
        return Verdict(raw["run"], Outcome(raw["outcome"]), suites, raw["schema"])
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {error}", "run the suite again") from error


def _suite(raw: Mapping[str, Any]) -> SuiteVerdict:
    results = tuple(
        ObjectiveResult(**{**result, "outcome": Outcome(result["outcome"])}) for result in raw["objectives"]
    )
    return SuiteVerdict(raw["suite"], Outcome(raw["outcome"]), results, tuple(raw["reasons"]))


def read_document(path: Path, schema: int) -> dict[str, Any]:
    """A JSON document of a run folder that has a schema version.

    :raises StoreError: not there, damaged, or of a newer schema than ``schema``.
    """
    try:
        raw = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreError(
            f"{path.parent} is not a run folder", "name one of those that `vdibench runs list` shows"
        ) from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}", "check the permissions of the folder") from error
    except ValueError as error:
        raise StoreError(f"{path} is damaged: {error}", "remove the folder or restore the file") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("schema"), int):
        raise StoreError(f"{path} has no schema version", "it was not written by vdibench")
    if raw["schema"] > schema:
        raise StoreError(
            f"{path} has schema {raw['schema']}, this vdibench reads up to {schema}", "read it with a newer vdibench"
        )
    return raw
