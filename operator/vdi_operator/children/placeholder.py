"""A pod that keeps a place warm for the next session of a template. Pure.

It has the template's image, so that the image stays on its node, and asks for what a desktop asks for, so that a
desktop fits where it was: the same slice, the same requests, the same nodes. It runs nothing, listens nowhere, mounts
nothing and has no user. Its priority is the lowest, so whoever needs the place takes it away.
"""

from __future__ import annotations

from vdi_operator.api.evidence import digest
from vdi_operator.api.objects import Object
from vdi_operator.api.template import Template
from vdi_operator.children import names
from vdi_operator.children.asleep import asleep
from vdi_operator.children.pod import placement
from vdi_operator.settings import Settings

__all__ = ["placeholder"]

# The first process of a container dies of no signal that it does not ask for: without the trap its end would take the
# kubelet two seconds more. Every image with a desktop in it has these two.
_COMMAND = ("sh", "-c", "trap 'exit 0' TERM INT; sleep infinity & wait")


def placeholder(template: Template, settings: Settings) -> Object:
    """One of a template's, whose annotation says what it was made as: where that is another one, it is made anew."""
    limits = dict(template.limits)
    if template.gpu is not None:
        limits[template.gpu.resource] = "1"
    resources = {"requests": dict(template.requests), "limits": limits}
    spec = asleep(template, settings, name="placeholder", command=_COMMAND, resources=resources)
    spec["priorityClassName"] = settings.placeholder_priority_class
    # As the class has it: where a site's own class has another one, the API server refuses the pod and says so.
    spec["preemptionPolicy"] = "Never"
    if template.gpu is not None:
        spec |= placement(template.gpu)
    made: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": names.placeholder_metadata(template, settings.namespace),
        "spec": spec,
    }
    made["metadata"]["annotations"] = {names.PLACEHOLDER_ANNOTATION: digest(made)}
    return made
