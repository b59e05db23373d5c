"""What has nodes fetch a template's image before anybody asks for it. Pure.

A DaemonSet, because nodes come and go: the kubelet of each fetches what a pod of its own wants, and does not throw away
what one runs from. The pod is the image itself, asleep, so that no second image has to be had from anywhere.
"""

from __future__ import annotations

from vdi_operator.api.evidence import digest
from vdi_operator.api.objects import GROUP, Object
from vdi_operator.api.template import Template
from vdi_operator.children import names
from vdi_operator.children.asleep import asleep
from vdi_operator.children.kinds import KINDS
from vdi_operator.children.pod import placement
from vdi_operator.settings import Settings

__all__ = ["DIGEST_ANNOTATION", "prepull", "prepull_name"]

# SHA-256 of what it was made as: where that is another one, it is made so.
DIGEST_ANNOTATION = f"{GROUP}/prepull"

_NAME = "vdi-prepull"
_TEMPLATE_LABEL = f"{GROUP}/template"
# Every image with a desktop in it has it.
_COMMAND = ("sleep", "infinity")
_LONGEST_SLUG = 48


def prepull_name(template: Template) -> str:
    """Of a template's DaemonSet."""
    return f"{_NAME}-{names.slug(template.name, _LONGEST_SLUG)}"


def prepull(template: Template, settings: Settings) -> Object:
    """The DaemonSet of a template; it goes with it.

    Its pods have no label by which a desktop is chosen, and none by which the operator follows those of sessions.
    """
    owner, kind = KINDS["VDITemplate"], KINDS["DaemonSet"]
    mine = {names.NAME_LABEL: _NAME, _TEMPLATE_LABEL: names.slug(template.name, _LONGEST_SLUG)}
    common = {"app.kubernetes.io/component": "prepull", "app.kubernetes.io/part-of": "vdi-platform"}
    resources = {"requests": {"cpu": "1m", "memory": "4Mi"}, "limits": {"memory": "32Mi"}}
    spec = asleep(template, settings, name="image", command=_COMMAND, resources=resources)
    if template.gpu is not None:
        # Where its desktops go; but it wants no GPU, and no runtime that brings one.
        spec |= {key: value for key, value in placement(template.gpu).items() if key != "runtimeClassName"}
    made: Object = {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": {
            "name": prepull_name(template),
            "namespace": settings.namespace,
            "labels": {**mine, **common, "app.kubernetes.io/managed-by": names.MANAGER},
            "ownerReferences": [
                {
                    "apiVersion": owner.api_version,
                    "kind": owner.name,
                    "name": template.name,
                    "uid": template.uid,
                    "controller": True,
                }
            ],
        },
        "spec": {
            "selector": {"matchLabels": mine},
            # Nobody waits for it, so all nodes may fetch at once.
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%"}},
            "template": {"metadata": {"labels": {**mine, **common}}, "spec": spec},
        },
    }
    made["metadata"]["annotations"] = {DIGEST_ANNOTATION: digest(made)}
    return made
