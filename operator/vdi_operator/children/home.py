"""A user's home: it belongs to the user, not to a session, and outlives every one. Pure."""

from __future__ import annotations

from vdi_operator.api.objects import Object
from vdi_operator.api.session import Session
from vdi_operator.api.template import Template
from vdi_operator.children import names

__all__ = ["home"]


def home(session: Session, template: Template) -> Object:
    """The claim of the session's user, or the temporary one beside it.

    Without an owner: deleting a session must not be ``rm -rf`` of a home. Size and class hold where there is no claim
    yet: those of a claim cannot be changed.
    """
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": names.claim_name(session),
            "namespace": session.namespace,
            "labels": names.home_labels(session.user),
            "annotations": {names.USER_ANNOTATION: session.user},
        },
        "spec": {
            "storageClassName": template.home.storage_class,
            # With ReadWriteOnce two pods of one node would mount it at the same time.
            "accessModes": ["ReadWriteOncePod"],
            "resources": {"requests": {"storage": template.home.size}},
        },
    }
