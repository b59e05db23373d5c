"""The self-test of a machine as JSON and back. Pure but for :func:`load_selftest`.

The document has the keys that ``vdibench selftest --json`` prints; a run folder keeps it as ``selftest.json``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vdibench.errors import StoreError
from vdibench.records import SELFTEST_SCHEMA, Accuracy, Cost, SelfTest
from vdibench.store.documents import jsonable

__all__ = ["SELFTEST_FILE", "load_selftest", "selftest_document", "selftest_from"]

SELFTEST_FILE = "selftest.json"


def selftest_document(found: SelfTest) -> dict[str, Any]:
    """The self-test in JSON's types; ``outcome`` beside its fields."""
    plain = jsonable(dataclasses.asdict(found))
    assert isinstance(plain, dict)
    return plain | {"outcome": str(found.outcome)}


def selftest_from(document: Mapping[str, Any]) -> SelfTest:
    """The inverse of :func:`selftest_document`; keys of a newer writer are left out.

    :raises ValueError: it is no such document, or one of a newer schema.
    """
    try:
        if not isinstance(document["schema"], int) or document["schema"] > SELFTEST_SCHEMA:
            raise ValueError(f"has schema {document['schema']!r}, this vdibench reads up to {SELFTEST_SCHEMA}")
        known: dict[str, Any] = _known(SelfTest, document)
        known["accuracy"] = tuple(Accuracy(**_known(Accuracy, row)) for row in known.get("accuracy", ()))
        known["cost"] = tuple(Cost(**_known(Cost, row)) for row in known.get("cost", ()))
        for name in ("invalid", "missing"):
            known[name] = tuple(str(item) for item in known.get(name, ()))
        return SelfTest(**known)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"is no self-test: {error}") from error


def load_selftest(folder: Path) -> SelfTest | None:
    """The self-test that a run folder keeps; None when it keeps none.

    :raises StoreError: damaged, or of a newer vdibench.
    """
    path = folder / SELFTEST_FILE
    try:
        return selftest_from(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}", "check the permissions of the folder") from error
    except ValueError as error:
        raise StoreError(f"{path} {error}", "remove it, or read the run with a newer vdibench") from error


def _known(kind: type[Any], document: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in document.items() if name in names}
