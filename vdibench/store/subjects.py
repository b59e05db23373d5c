"""``subjects.json`` as text and back, and what suites of one run add to it. Pure but for :func:`load_subjects`."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vdibench.errors import StoreError
from vdibench.records import SUBJECTS_FILE, SUBJECTS_SCHEMA, Image, Node, Subjects
from vdibench.records.subjects import MEASURED_VARIABLES
from vdibench.store.documents import jsonable, read_document
from vdibench.store.redaction import Redactor

__all__ = ["as_written", "dump_subjects", "known_images", "load_subjects", "merged_subjects", "unmeasured"]

_SECRET = "Secret"
# What must be the same in all suites of a run, in the words of its error.
_LASTING: Mapping[str, str] = {
    "lab": "the kind of the cluster",
    "overlay": "the session's overlay",
    "platform": "the platform's overlay",
    "placeholder": "the placeholder of the user",
    "session": "the session's manifests",
    "objects": "the platform's manifests",
    "kubernetes": "the version of Kubernetes",
    "domain": "the sessions' domain",
    "relay": "the relay's address",
}


def dump_subjects(subjects: Subjects, redactor: Redactor) -> bytes:
    """The record as UTF-8 JSON, redacted.

    :raises StoreError: a Secret is among its objects.
    """
    for one in (*subjects.session, *subjects.objects):
        if one.get("kind") == _SECRET:
            name = one.get("metadata", {}).get("name", "")
            raise StoreError(f"the Secret {name} was not written into {SUBJECTS_FILE}", "leave it out of the subjects")
    plain = redactor.value(jsonable(dataclasses.asdict(subjects)))
    return (json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def as_written(subjects: Subjects, redactor: Redactor) -> Subjects:
    """The record as it reads once it was written: in JSON's types, without secrets.

    :raises StoreError: a Secret is among its objects.
    """
    return _subjects(json.loads(dump_subjects(subjects, redactor)))


def load_subjects(folder: Path) -> Subjects | None:
    """What a run was of; None where it does not say, as one that was on no cluster.

    :raises StoreError: damaged, or of a newer vdibench.
    """
    path = folder / SUBJECTS_FILE
    if not path.exists():
        return None
    raw = read_document(path, SUBJECTS_SCHEMA)
    try:
        return _subjects(raw)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(f"{path} is damaged: {error}", "remove the folder or restore the file") from error


def merged_subjects(earlier: Subjects | None, new: Subjects) -> Subjects:
    """What a run is of after another suite: images, nodes and differences of the cluster are added, all else stays.

    The session's measured variables (:data:`vdibench.records.subjects.MEASURED_VARIABLES`) are those of the first
    suite: what each suite asked for is in its parameters.

    :raises StoreError: the suites were of different things.
    """
    if earlier is None:
        return new
    changed = [words for name, words in _LASTING.items() if _lasting(earlier, name) != _lasting(new, name)]
    if changed:
        raise StoreError(
            f"{' and '.join(changed)} changed during the run: its suites would speak of different things",
            "let manifests and cluster alone while a run measures, and run it again",
        )
    return dataclasses.replace(
        earlier,
        applied=tuple(dict.fromkeys((*earlier.applied, *new.applied))),
        images=known_images((*earlier.images, *new.images)),
        nodes=_nodes((*earlier.nodes, *new.nodes)),
    )


def _nodes(found: Iterable[Node]) -> tuple[Node, ...]:
    """Alike ones once; of two numbers the larger: no suite needs all nodes of a run."""
    most: dict[Node, int] = {}
    for node in found:
        kind = dataclasses.replace(node, count=1)
        most[kind] = max(most.get(kind, 0), node.count)
    return tuple(dataclasses.replace(node, count=count) for node, count in most.items())


def known_images(images: Iterable[Image]) -> tuple[Image, ...]:
    """Each once, by name; one without a digest only where none is known of that name."""
    found = set(images)
    resolved = {image.name for image in found if image.digest}
    kept = (image for image in found if image.digest or image.name not in resolved)
    return tuple(sorted(kept, key=lambda image: (image.name, image.digest)))


def unmeasured(session: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A session's objects without the variables that each suite sets for itself."""
    objects = [copy.deepcopy(dict(one)) for one in session]
    for one in objects:
        if one.get("kind") == "Pod":
            for container in one.get("spec", {}).get("containers", ()):
                if "env" in container:
                    container["env"] = [item for item in container["env"] if item["name"] not in MEASURED_VARIABLES]
    return objects


def _lasting(subjects: Subjects, name: str) -> Any:
    value = getattr(subjects, name)
    return unmeasured(value) if name == "session" else value


def _subjects(raw: Mapping[str, Any]) -> Subjects:
    known = _known(Subjects, raw)
    for name in ("session", "objects"):
        known[name] = tuple(known[name])
        for one in known[name]:
            if not isinstance(one, Mapping) or not isinstance(one.get("kind"), str):
                raise ValueError(f"{name} holds what is no object")
    known["applied"] = tuple(str(line) for line in known.get("applied", ()))
    known["images"] = tuple(Image(**_known(Image, image)) for image in known.get("images", ()))
    known["nodes"] = tuple(Node(**_known(Node, node)) for node in known.get("nodes", ()))
    return Subjects(**known)


def _known(kind: type[Any], document: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in document.items() if name in names}
