"""Where what would be shipped now differs from what was run: manifests, images, cluster. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vdibench.graduation.findings import Finding
from vdibench.records import Image, Node

__all__ = [
    "applied_findings",
    "driver_findings",
    "field_differences",
    "image_findings",
    "kubernetes_findings",
    "manifest_findings",
]

Object = Mapping[str, Any]

_NAMED = 3  # differences of one object in a sentence
_SHOWN = 60  # characters of a value
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_MINOR = re.compile(r"v?(\d+)\.(\d+)")
_ENVIRONMENT = "env"
_AGAIN = "measure again with what shall be shipped, or restore what was measured"


def field_differences(old: object, new: object, path: str = "") -> list[str]:
    """Where two values of YAML differ, a line a field: its path, what it was and what it is.

    A field that is missing is not one that is empty, and ``1`` is not ``"1"``. Lists are compared place by place, for
    the order of containers or of arguments counts; the environment of a container by name.
    """
    return list(_differences(old, new, path))


def _differences(old: object, new: object, path: str) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(map(str, old.keys() | new.keys())):
            yield from _present(old, new, key, _joined(path, key))
    elif _is_list(old) and _is_list(new):
        named = _is_environment(path, old) and _is_environment(path, new)
        before, after = (_by_name(one) if named else _by_place(one) for one in (old, new))
        for key in dict.fromkeys((*before, *after)):
            yield from _present(before, after, key, f"{path}[{key}]")
    elif type(old) is not type(new) or old != new:
        yield f"{path or 'the whole'}: was {_shown(old)}, is {_shown(new)}"


def _present(old: Mapping[str, Any], new: Mapping[str, Any], key: str, path: str) -> Iterator[str]:
    if key not in new:
        yield f"{path}: was {_shown(old[key])}, is missing"
    elif key not in old:
        yield f"{path}: was missing, is {_shown(new[key])}"
    else:
        yield from _differences(old[key], new[key], path)


def _joined(path: str, key: str) -> str:
    if not _PLAIN.fullmatch(key):
        return f"{path}[{json.dumps(key)}]"
    return f"{path}.{key}" if path else key


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _is_environment(path: str, value: Any) -> bool:
    """A list whose entries are told apart by their names; one with a name twice is not."""
    if path.rpartition(".")[2] != _ENVIRONMENT or not all(isinstance(one, Mapping) and "name" in one for one in value):
        return False
    return len({str(one["name"]) for one in value}) == len(value)


def _by_name(value: Any) -> dict[str, Any]:
    return {str(one["name"]): one for one in value}


def _by_place(value: Any) -> dict[str, Any]:
    return {str(number): one for number, one in enumerate(value)}


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str, sort_keys=True)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


# what is shipped


def manifest_findings(old: Sequence[Object], new: Sequence[Object], *, of: str) -> Iterator[Finding]:
    """One finding for each object that is another one now, is gone, or came.

    :param of: ``a session`` or ``the platform``.
    """
    before, after = ({_identity(one): one for one in objects} for objects in (old, new))
    for name in dict.fromkeys((*before, *after)):
        if name not in after:
            yield Finding("manifest", f"{name} of {of} was there in the run, and manifests have it no more", _AGAIN)
        elif name not in before:
            yield Finding("manifest", f"{name} of {of} is in the manifests, and was not there in the run", _AGAIN)
        elif found := field_differences(before[name], after[name]):
            yield Finding("manifest", f"{name} of {of} is not as it was in the run: {_first(found)}", _AGAIN)


def _identity(one: Object) -> str:
    metadata = one.get("metadata") or {}
    home = metadata.get("namespace")
    name = f"{home}/{metadata.get('name')}" if home else str(metadata.get("name"))
    return f"{one.get('kind')} {name}"


def _first(lines: Sequence[str]) -> str:
    rest = len(lines) - _NAMED
    return "; ".join(lines[:_NAMED]) + (f"; and {rest} more" if rest > 0 else "")


def image_findings(images: Sequence[Image], current: Mapping[str, str], *, lab: bool) -> Iterator[Finding]:
    """Images that would be shipped and were not run.

    :param current: digest by name as manifests name them now; empty where it is not known. Nothing at all: not asked.
    :param lab: images of a lab are built on its host and have no digest of a registry.
    """
    known: dict[str, list[str]] = {}
    for image in images:
        known.setdefault(image.name, []).extend([image.digest] if image.digest else [])
    if not known and not lab:
        yield Finding("image", "the run does not say which images its sessions had", "measure again")
    for name, digests in known.items():
        if not digests and not lab:
            yield Finding(
                "image",
                f"image {name} of the run has no digest: a tag can be moved",
                "name it by digest or let the nodes pull it from a registry, and measure again",
            )
        if len(digests) > 1:
            cause = f"image {name} was not one image during the run: {', '.join(map(_short, digests))}"
            yield Finding("image", cause, "name it by digest, and measure again")
        if current and name not in current:
            yield Finding("image", f"image {name} was run, and manifests name it no more", _AGAIN)
        elif digests and current.get(name) and current[name] not in digests:
            cause = f"image {name} was {_short(digests[0])} in the run, and is {_short(current[name])} now"
            yield Finding("image", cause, _AGAIN)
    for name in current:
        if name not in known:
            yield Finding("image", f"image {name} was not run, and manifests name it now", _AGAIN)


def _short(digest: str) -> str:
    return digest[: len("sha256:") + 12]


def applied_findings(applied: Sequence[str]) -> Iterator[Finding]:
    """What the cluster had otherwise than manifests while it was measured."""
    for line in applied:
        cause = f"the cluster had something else than the manifests: {line}"
        yield Finding("applied", cause, "apply the manifests, and measure again")


# what it ran on


def kubernetes_findings(old: str, new: str) -> Iterator[Finding]:
    """Another minor version; patches are alike. Nothing where one of them is not known."""
    before, after = (_MINOR.match(version) for version in (old, new))
    if before and after and before.groups() != after.groups():
        cause = f"the run was on Kubernetes {old}, and the cluster is {new} now"
        yield Finding("kubernetes", cause, "measure again on this version")


def driver_findings(nodes: Sequence[Node], new: str) -> Iterator[Finding]:
    """Another major version of the NVIDIA driver. Nothing where one of them is not known."""
    for old in sorted({node.driver for node in nodes if node.driver}):
        if new and old.partition(".")[0] != new.partition(".")[0]:
            cause = f"the run was with NVIDIA driver {old}, and nodes have {new} now"
            yield Finding("driver", cause, "measure again with this driver")
