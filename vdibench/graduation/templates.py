"""The VDITemplate that says again what was validated, read from the objects of one session. Pure.

Every field of its spec is written out: the defaulting of an API server adds nothing, so a digest of the spec stays
true. What a pod has and a template has no word for is found by holding what the operator makes against these objects.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from vdibench.errors import UsageError
from vdibench.records import Subjects

__all__ = ["template_spec", "vdi_template"]

_CONTAINER = "desktop"
# SELKIES_MODE -> dialect; 1.6 has no modes.
_DIALECTS: Mapping[Any, str] = {
    None: "selkies-1-webrtc",
    "webrtc": "selkies-2-webrtc",
    "websockets": "selkies-2-websocket",
}
# What the image takes where nothing is said (manifests/session/image).
_IMAGES_SCREEN = "1920x1080"
# What a template without a slice says of slices: the schema's own name.
_RESOURCE = "nvidia.com/gpu"
_INTERNET = "allow-session-to-internet"
# No object says how long a start may take; this is the schema's.
_START_DEADLINE = "60s"

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")
_WHOLE = re.compile(r"([1-9][0-9]*)(?:-([1-9][0-9]*))?")
_SCREEN = re.compile(r"([1-9][0-9]*)x([1-9][0-9]*)")


def vdi_template(
    subjects: Subjects, *, name: str, sessions_per_gpu: int | None, annotations: Mapping[str, str]
) -> dict[str, Any]:
    """The VDITemplate of what a run was of.

    :param name: by which sessions ask for it.
    :param sessions_per_gpu: what the run has shown to fit; None: it did not ask, so nothing is said.
    :param annotations: its evidence.
    :raises UsageError: the name is none, or a field cannot be read from the objects.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name of a template", "use at most 63 of a-z, 0-9, - and .")
    return {
        "apiVersion": "vdibench.io/v1alpha1",
        "kind": "VDITemplate",
        "metadata": {"name": name, "annotations": dict(annotations)},
        "spec": template_spec(subjects, sessions_per_gpu=sessions_per_gpu),
    }


def template_spec(subjects: Subjects, *, sessions_per_gpu: int | None) -> dict[str, Any]:
    """Its spec alone: the evidence has a digest of it.

    What makes no desktop (``lifetime``, ``idleTimeout``, ``warmSlots``, ``prepull``, ``priorityClassName``) has no
    default and no object says it: it is a site's choice.

    :raises UsageError: a field cannot be read from the objects, or no session fits.
    """
    if sessions_per_gpu is not None and sessions_per_gpu < 1:
        raise UsageError(
            f"capacity.sessionsPerGPU would be {sessions_per_gpu}",
            "graduate a run whose density has a knee of 1 or more",
        )
    pod, claim = _only(subjects.session, "Pod"), _only(subjects.session, "PersistentVolumeClaim")
    desktop = _named(_list(pod, "spec", "containers"), _CONTAINER, "the Pod's spec.containers")
    variables = _variables(desktop)
    gpu = _gpu(pod, desktop)
    made: dict[str, Any] = {
        "image": str(_read(desktop, "image")),
        "imagePullPolicy": str(desktop.get("imagePullPolicy", "IfNotPresent")),
        "dialect": _dialect(variables),
        "encoder": _text(variables, "SELKIES_ENCODER"),
        # A driver stands behind a slice where its runtime or its nodes are named; else it is only counted.
        "hardwareEncoding": bool(gpu["count"] and (gpu["runtimeClassName"] or gpu["nodeSelector"])),
        "display": _display(variables),
        "gpu": gpu,
        "sharedMemory": _shared_memory(pod, desktop),
        "resources": {
            "requests": {name: str(_read(desktop, "resources", "requests", name)) for name in ("cpu", "memory")},
            "limits": {"memory": str(_read(desktop, "resources", "limits", "memory"))},
        },
        "home": {
            "storageClassName": str(_read(claim, "spec", "storageClassName")),
            "size": str(_read(claim, "spec", "resources", "requests", "storage")),
        },
        "egress": _egress(subjects.objects),
        "startDeadline": _START_DEADLINE,
    }
    if sessions_per_gpu is not None:
        made["capacity"] = {"sessionsPerGPU": sessions_per_gpu}
    return made


def _unreadable(cause: str) -> UsageError:
    return UsageError(cause, "write it into the session's manifests and measure again")


def _only(objects: Sequence[Mapping[str, Any]], kind: str) -> Mapping[str, Any]:
    found = [one for one in objects if one.get("kind") == kind]
    if len(found) != 1:
        raise _unreadable(f"the run's session has {len(found)} objects of kind {kind}, a template is made from one")
    return found[0]


def _read(one: Mapping[str, Any], *way: str) -> Any:
    """A field that must be there."""
    value: Any = one
    for step in way:
        value = value.get(step) if isinstance(value, Mapping) else None
        if value is None:
            whose = one.get("kind", f"container {_CONTAINER}")
            raise _unreadable(f"{whose} has no {'.'.join(way)}")
    return value


def _list(one: Mapping[str, Any], *way: str) -> list[Mapping[str, Any]]:
    found = _read(one, *way)
    if not isinstance(found, list) or not all(isinstance(entry, Mapping) for entry in found):
        raise _unreadable(f"{one.get('kind', f'container {_CONTAINER}')} has no list {'.'.join(way)}")
    return found


def _named(entries: Sequence[Mapping[str, Any]], name: str, where: str) -> Mapping[str, Any]:
    found = [entry for entry in entries if entry.get("name") == name]
    if len(found) != 1:
        raise _unreadable(f"{where} has {len(found)} entries of name {name}, not one")
    return found[0]


def _variables(desktop: Mapping[str, Any]) -> dict[str, Any]:
    """Those with a value; the password is a reference to a Secret."""
    return {str(one.get("name")): one.get("value") for one in _list(desktop, "env")}


def _text(variables: Mapping[str, Any], name: str) -> str:
    value = variables.get(name)
    if not isinstance(value, str) or not value:
        raise _unreadable(f"container {_CONTAINER} has no value of {name}")
    return value


def _dialect(variables: Mapping[str, Any]) -> str:
    mode = variables.get("SELKIES_MODE")
    if mode not in _DIALECTS:
        raise _unreadable(f"SELKIES_MODE is {mode!r}, known are webrtc and websockets")
    return _DIALECTS[mode]


def _display(variables: Mapping[str, Any]) -> dict[str, int]:
    screen = variables.get("SCREEN", _IMAGES_SCREEN)
    size = _SCREEN.fullmatch(str(screen))
    if size is None:
        raise _unreadable(f"SCREEN is {screen!r}, not a size as in {_IMAGES_SCREEN}")
    return {
        "width": int(size[1]),
        "height": int(size[2]),
        "framerate": _whole(variables, "SELKIES_FRAMERATE"),
        "bitrate": 1000 * _whole(variables, "SELKIES_VIDEO_BITRATE"),  # given in kbit/s
    }


def _whole(variables: Mapping[str, Any], name: str) -> int:
    """A number; a range of one value is how a measurement locks it."""
    text = _text(variables, name)
    found = _WHOLE.fullmatch(text)
    if found is None or found[2] not in (None, found[1]):
        raise _unreadable(f"{name} is {text!r}, a template has one number")
    return int(found[1])


def _gpu(pod: Mapping[str, Any], desktop: Mapping[str, Any]) -> dict[str, Any]:
    """The slice: of extended resources alone have names with a domain."""
    limits = _read(desktop, "resources", "limits")
    slices = {str(name): str(amount) for name, amount in limits.items() if "/" in str(name) and str(amount) != "0"}
    if len(slices) > 1 or any(amount != "1" for amount in slices.values()):
        said = ", ".join(f"{amount} of {name}" for name, amount in sorted(slices.items()))
        raise _unreadable(f"resources.limits of container {_CONTAINER} are {said}: a template has one slice or none")
    return {
        "count": len(slices),
        "resource": next(iter(slices), _RESOURCE),
        "runtimeClassName": str(pod["spec"].get("runtimeClassName") or ""),
        "nodeSelector": dict(pod["spec"].get("nodeSelector") or {}),
    }


def _shared_memory(pod: Mapping[str, Any], desktop: Mapping[str, Any]) -> str:
    mounted = [one.get("name") for one in _list(desktop, "volumeMounts") if one.get("mountPath") == "/dev/shm"]
    if len(mounted) != 1:
        raise _unreadable(f"container {_CONTAINER} has {len(mounted)} volumes at /dev/shm, not one")
    volume = _named(_list(pod, "spec", "volumes"), str(mounted[0]), "the Pod's spec.volumes")
    size = (volume.get("emptyDir") or {}).get("sizeLimit")
    if size is None:
        raise _unreadable(f"the Pod's volume {mounted[0]} has no emptyDir.sizeLimit")
    return str(size)


def _egress(objects: Sequence[Mapping[str, Any]]) -> str:
    """The web only where the platform lets all sessions reach it: then it was open when they were measured."""
    opened = [one for one in objects if one.get("kind") == "NetworkPolicy" and one["metadata"]["name"] == _INTERNET]
    return "internet" if opened else "none"
