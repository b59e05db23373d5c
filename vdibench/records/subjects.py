"""``subjects.json``: what a run on a cluster was of, so that later nothing else is shipped in its name.

Objects are those that kustomize made of the overlays, for a user who does not exist: names of people, passwords and
TURN credentials are in none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["MEASURED_VARIABLES", "SUBJECTS_FILE", "SUBJECTS_SCHEMA", "Image", "Node", "Subjects"]

SUBJECTS_FILE = "subjects.json"
# History of the schema of subjects.json:
# 1  first
SUBJECTS_SCHEMA = 1

# Variables of the desktop that each suite sets by its parameters: picture, rates and mode.
MEASURED_VARIABLES = ("SCREEN", "SELKIES_FRAMERATE", "SELKIES_VIDEO_BITRATE", "SELKIES_MODE")


@dataclass(frozen=True, slots=True)
class Image:
    """An image of the session's pods.

    :param name: as the manifest names it.
    :param digest: ``sha256:…`` as the node resolved it; empty where no node said so.
    """

    name: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A node on which desktops ran. Its name is not kept: hardware is what counts.

    :param gpu: product as GPU feature discovery labels it, empty: no GPU.
    :param gpus: physical ones.
    :param slices: of ``nvidia.com/gpu`` that it offers.
    :param driver: version of the NVIDIA driver, empty: none.
    :param count: of nodes that are alike in all of this.
    """

    kubelet: str
    kernel: str = ""
    system: str = ""
    runtime: str = ""
    gpu: str = ""
    gpus: int = 0
    slices: int = 0
    driver: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class Subjects:
    """What was run.

    :param lab: on the project's own cluster, with GPU slices that no GPU stands behind.
    :param overlay: of a session, below ``manifests/overlays``, such as ``k3s/session``.
    :param platform: overlay of what every cluster gets, such as ``k3s``.
    :param session: the objects of one session as they ran, of the user ``placeholder``, without the measuring desk.
    :param objects: those of the platform's overlay.
    :param applied: where the cluster had something else than ``objects``: one difference a line, none if alike.
    :param images: of the session's pods.
    :param kubernetes: version of the API server.
    :param nodes: on which desktops ran, alike ones once.
    :param relay: address of the TURN relay as the session's objects name it.
    """

    lab: bool
    overlay: str
    platform: str
    placeholder: str
    session: tuple[Mapping[str, Any], ...]
    objects: tuple[Mapping[str, Any], ...]
    applied: tuple[str, ...] = ()
    images: tuple[Image, ...] = ()
    kubernetes: str = ""
    nodes: tuple[Node, ...] = ()
    domain: str = ""
    relay: str = ""
    schema: int = SUBJECTS_SCHEMA
