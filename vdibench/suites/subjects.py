"""What a run on a cluster is of, kept in its folder and stated for comparisons. I/O but for :func:`stated_subjects`."""

from __future__ import annotations

import hashlib
import json

from vdibench.records import Subjects
from vdibench.store import RunFolder, unmeasured

__all__ = ["keep_subjects", "stated_subjects"]

_DIGITS = 12


def keep_subjects(folder: RunFolder, subjects: Subjects | None) -> None:
    """Write what a suite measured into its run, and what of it other runs have to share into the run's context.

    :param subjects: None where the target does not say: then nothing is written.
    :raises StoreError: it is something else than what an earlier suite of the run measured.
    """
    if subjects is not None:
        folder.update(context=stated_subjects(folder.write_subjects(subjects)))


def stated_subjects(subjects: Subjects) -> dict[str, str]:
    """``image_digest`` and ``manifests`` of a run's context, which two runs that are compared must share. Pure.

    The manifests' digest is of a session without what is stated elsewhere or belongs to a place: images, the variables
    of its parameters, domain and relay. So one change under test is one difference.
    """
    objects = unmeasured(subjects.session)
    for one in objects:
        if one["kind"] == "Pod":
            for part in ("initContainers", "containers"):
                for container in one["spec"].get(part) or ():
                    container.pop("image", None)
    text = json.dumps(objects, sort_keys=True, separators=(",", ":"))
    for place in (subjects.domain, subjects.relay):
        if place:
            text = text.replace(place, "-")
    stated = {"manifests": hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]}
    # A node that does not resolve names leaves the name to tell images apart.
    images = sorted({image.digest or image.name for image in subjects.images})
    return stated | ({"image_digest": " / ".join(images)} if images else {})
