"""The desktop's pod. Pure.

It is that of ``manifests/session``: Pod Security ``restricted``, a read-only root, no token, memory-backed places to
write to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vdi_operator.api.objects import Object
from vdi_operator.api.session import Session
from vdi_operator.api.template import Gpu, Template
from vdi_operator.children import dialects, names
from vdi_operator.settings import Settings

__all__ = ["CONTAINER", "USER", "made_from", "placement", "pod"]

CONTAINER = "desktop"

# Uid and gid of the image's user.
USER = 1000
# Selkies says goodbye to its clients before the X server goes.
_GRACE_SECONDS = 10
# Of a digest, enough to tell states of one template apart.
_DIGITS = 16
# What GPU nodes are tainted with, whatever their slices are called.
_TAINT = "nvidia.com/gpu"


@dataclass(frozen=True, slots=True)
class _Volume:
    name: str
    path: str
    source: Object
    read_only: bool = False


def pod(
    session: Session, template: Template, settings: Settings, relay_addresses: Sequence[str], minted: str = ""
) -> Object:
    """The pod of a session that runs.

    :param minted: when the password that it reads was made, empty: nobody has noted it.
    :raises ValueError: the template's dialect needs a relay and none is known.
    """
    metadata = names.metadata(session, names.pod_name(session), "desktop")
    metadata["annotations"] = {names.TEMPLATE_ANNOTATION: made_from(template)}
    if minted:
        metadata["annotations"][names.MINT_ANNOTATION] = minted
    volumes = _volumes(session, template)
    spec: Object = {
        "serviceAccountName": settings.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            # A home of a million files is not walked at each start.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(session, template, settings, relay_addresses, volumes)],
        "volumes": [{"name": volume.name, **volume.source} for volume in volumes],
    }
    if template.priority_class:
        spec["priorityClassName"] = template.priority_class
    if template.gpu is not None:
        spec |= placement(template.gpu)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def made_from(template: Template) -> str:
    """What a pod of this template, as it is now, has as :data:`names.TEMPLATE_ANNOTATION`."""
    return f"{template.uid}/{template.spec_digest[:_DIGITS]}"


def _container(
    session: Session,
    template: Template,
    settings: Settings,
    relay_addresses: Sequence[str],
    volumes: Sequence[_Volume],
) -> Object:
    limits = dict(template.limits)
    variables = dialects.environment(template, settings, relay_addresses, names.auth_name(session))
    # Of the image's entrypoint. Always said: what was measured must not depend on an image's own size.
    variables.append({"name": "SCREEN", "value": f"{template.display.width}x{template.display.height}"})
    if template.gpu is not None:
        # As text: so the API server keeps it.
        limits[template.gpu.resource] = "1"
        if _has_driver(template.gpu):
            # Without "video" there is no NVENC, without "graphics" no OpenGL. Which GPUs it sees says the device plugin
            # alone: NVIDIA_VISIBLE_DEVICES written here would show every GPU of the node.
            wanted = "compute,display,graphics,utility,video"
            variables.insert(0, {"name": "NVIDIA_DRIVER_CAPABILITIES", "value": wanted})
    return {
        "name": CONTAINER,
        "image": template.image,
        "imagePullPolicy": template.image_pull_policy,
        "ports": [{"name": "http", "containerPort": names.SESSION_PORT}],
        "env": variables,
        "resources": {"requests": dict(template.requests), "limits": limits},
        **dialects.probes(template.dialect),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": volume.name, "mountPath": volume.path, **({"readOnly": True} if volume.read_only else {})}
            for volume in volumes
        ],
    }


def _volumes(session: Session, template: Template) -> list[_Volume]:
    made = [
        # 64 MiB, which a container has by itself, ends browsers and X at the first large picture.
        _memory("shm", "/dev/shm", template.shared_memory),
        _memory("tmp", "/tmp", "256Mi"),
        _memory("run", "/run/user", "64Mi"),
        _Volume("home", "/home/user", {"persistentVolumeClaim": {"claimName": names.claim_name(session)}}),
    ]
    if dialects.needs_relay(template.dialect):
        # Not optional: without it a desktop would go to a public relay in silence. So the pod waits.
        secret = {"secretName": names.rtc_name(session), "defaultMode": 0o440}
        made.append(_Volume("rtc", "/run/rtc", {"secret": secret}, read_only=True))
    return made


def _memory(name: str, path: str, size: str) -> _Volume:
    return _Volume(name, path, {"emptyDir": {"medium": "Memory", "sizeLimit": size}})


def _has_driver(gpu: Gpu) -> bool:
    """Whether NVIDIA's runtime stands behind a slice; where neither is named it is only counted, as in the lab."""
    return bool(gpu.runtime_class or gpu.node_selector)


def placement(gpu: Gpu) -> Object:
    """Of a pod that gets such a slice: to which nodes it may go, and by which runtime."""
    made: Object = {}
    if gpu.runtime_class:
        made["runtimeClassName"] = gpu.runtime_class
    if gpu.node_selector:
        made["nodeSelector"] = dict(gpu.node_selector)
    if _has_driver(gpu):
        made["tolerations"] = [{"key": _TAINT, "operator": "Exists", "effect": "NoSchedule"}]
    return made
