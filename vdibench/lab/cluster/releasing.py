"""The operator on a cluster lab as a site installs it: by helm, from its chart or a packaged one, as pods. Linux only.

Operator and checker images must have been brought into the lab (:mod:`vdibench.lab.cluster.adding`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vdibench.lab.cluster.access import ClusterAccess
from vdibench.lab.cluster.furnishing import TURN_SECRET, WILDCARD_AUTHORITY
from vdibench.lab.cluster.images import image_names
from vdibench.lab.cluster.operating import NAMESPACE, RELEASE, apply, chart_folder, lab_values, run

__all__ = ["install", "release_values", "uninstall"]

Object = dict[str, Any]

_WAIT = ("--wait", "--timeout=180s")
_AUTHORITY = "vdi-authority"


def release_values(cluster: ClusterAccess, more: Mapping[str, Any] | None = None) -> Object:
    """Values of the chart for a lab: its domain and relay, its images, its real node.

    :param more: over these; ``settings`` key by key.
    """
    values = lab_values(cluster)
    given = dict(more or {})
    values["settings"] |= given.pop("settings", {})
    real = {"nodeSelector": {"vdibench.io/real": "true"}}
    values |= {
        "image": _image("operator"),
        "operator": real,
        "checker": {**real, "image": _image("checker"), "authorityConfigMap": _AUTHORITY},
    }
    return values | given


def install(cluster: ClusterAccess, values: Mapping[str, Any], chart: Path | None = None) -> str:
    """Install or upgrade the release, with the Secrets that an administrator makes before; gives helm's notes.

    :param chart: folder or package, None: the checkout's.
    :raises LabError: helm refuses, or something does not come up.
    """
    _prepare(cluster)
    words = ("upgrade", "--install", RELEASE, str(chart or chart_folder()), f"--namespace={NAMESPACE}", "--values=-")
    return run(cluster, "helm", *words, *_WAIT, given=json.dumps(values))


def uninstall(cluster: ClusterAccess) -> None:
    """Remove the release; homes, sessions and their definitions stay.

    :raises LabError: helm refuses.
    """
    run(cluster, "helm", "uninstall", RELEASE, f"--namespace={NAMESPACE}", "--ignore-not-found", *_WAIT)


def _prepare(cluster: ClusterAccess) -> None:
    """A copy of coturn's secret, and the authority of the hosts' certificate."""
    place = cluster.kubeconfig.parents[1]
    secret = base64.b64encode((place / TURN_SECRET).read_bytes()).decode()
    apply(
        cluster,
        [
            _named("Secret", "coturn-auth") | {"data": {"static-auth-secret": secret}},
            _named("ConfigMap", _AUTHORITY) | {"data": {"ca.crt": (place / WILDCARD_AUTHORITY).read_text()}},
        ],
    )


def _named(kind: str, name: str) -> Object:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"namespace": NAMESPACE, "name": name}}


def _image(name: str) -> Object:
    repository, _, tag = image_names()[name].rpartition(":")
    return {"repository": repository, "tag": tag, "pullPolicy": "Never"}
