"""A template's image, asleep: what a pod runs that is there for its image or its place, and for nobody. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from vdi_operator.api.objects import Object
from vdi_operator.api.template import Template
from vdi_operator.children.pod import USER
from vdi_operator.settings import Settings

__all__ = ["asleep"]


def asleep(template: Template, settings: Settings, *, name: str, command: Sequence[str], resources: Object) -> Object:
    """The spec of such a pod: no token, no user, nothing mounted, and gone at once.

    :param name: of its container.
    :param command: every image with a desktop in it has a shell and ``sleep``.
    """
    return {
        "serviceAccountName": settings.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # It has nothing to put in order, and somebody may wait for its place.
        "terminationGracePeriodSeconds": 0,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": name,
                "image": template.image,
                "imagePullPolicy": template.image_pull_policy,
                "command": list(command),
                "resources": resources,
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    }
