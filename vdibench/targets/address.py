"""The text that names a target: a lab, a URL, pods of the manifests, sessions of an operator, a replay. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from vdibench.errors import UsageError

__all__ = ["FORMS", "TargetAddress", "desktop_url", "parse_target"]

FORMS = "lab, lab:NAME, url:URL, manifests, manifests:LAB, operator, operator:LAB, replay or replay:FILE"
"""Every form, for people."""


@dataclass(frozen=True, slots=True)
class TargetAddress:
    """A parsed target.

    :param kind: ``lab`` (its own lab for the run, or the named one), ``url``, ``manifests`` (pods on a cluster),
        ``operator`` (VDISessions on one), or ``replay`` of a recorded trace.
    :param name: the lab's name, empty for one of its own; the URL; the name of the lab with the cluster, empty for the
        default one or where a context is named; the trace's file, empty for one of a lab desktop.
    """

    kind: Literal["lab", "url", "manifests", "operator", "replay"]
    name: str = ""

    @property
    def on_cluster(self) -> bool:
        """Its desktops are pods on a cluster."""
        return self.kind in ("manifests", "operator")

    @property
    def synthetic(self) -> bool:
        """No desktop is there, but a replay of one."""
        return self.kind == "replay"

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


def parse_target(text: str) -> TargetAddress:
    """Read a target.

    :raises UsageError: another form, a URL without host, or one with a password in it.
    """
    kind, _, name = text.partition(":")
    if text == "lab" or (kind == "lab" and name):
        return TargetAddress("lab", name)
    if kind == "url" and name:
        return TargetAddress("url", desktop_url(name))
    if text == "replay" or (kind == "replay" and name):
        return TargetAddress("replay", name)
    if text == "operator" or (kind == "operator" and name):
        return TargetAddress("operator", name)
    if text == "manifests" or (kind == "manifests" and name):
        return TargetAddress("manifests", name)
    if kind in {"http", "https"}:
        raise UsageError(f"target {text!r} lacks its kind", f"write url:{text}")
    raise UsageError(f"unknown target {text!r}", f"use {FORMS}")


def desktop_url(text: str) -> str:
    """The URL of a desktop's page without trailing slash.

    :raises UsageError: no http(s) URL with a host, or credentials inside it.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{text!r} is not a URL: {error}", "give one such as https://desktop.example.com") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(f"{text!r} is not the URL of a desktop", "give one such as https://desktop.example.com")
    if parts.username is not None or parts.password is not None:
        # It would stand in process listings, shell histories and run folders. Say it without repeating it.
        raise UsageError(
            "the URL holds credentials, which others can read in the process list",
            "give --user, and the password in VDIBENCH_PASSWORD or by --password-file",
        )
    if parts.query or parts.fragment:
        raise UsageError(f"{text!r} has a query or a fragment", "give the desktop's page alone")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"
