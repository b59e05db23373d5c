"""A session, a template and a world to build children from."""

from __future__ import annotations

import base64
from typing import Any

from vdi_operator.api.session import Session
from vdi_operator.api.template import Template
from vdi_operator.core.world import World
from vdi_operator.settings import Settings

Object = dict[str, Any]

RELAY = "192.0.2.10"
NOW = 1_800_000_000.25
PASSWORD = "nobody-guesses-this"
# What notes a password that is made at NOW.
MINTED = {"vdibench.io/password-minted": "2027-01-15T08:00:00.250000Z"}
SETTINGS = Settings()
OWNERS = [
    {
        "apiVersion": "vdibench.io/v1alpha1",
        "kind": "VDISession",
        "name": "cad-7",
        "uid": "6f1f9a8e-0000-4000-8000-000000000001",
        "controller": True,
    }
]


def session(**changes: Any) -> Session:
    """Alice's."""
    given = {
        "namespace": "vdi-sessions",
        "name": "cad-7",
        "uid": "6f1f9a8e-0000-4000-8000-000000000001",
        "generation": 2,
        "user": "alice",
        "template": "cad",
    }
    return Session(**{**given, **changes})


def template(**changes: Any) -> Template:
    """With every default."""
    given = {"name": "cad", "uid": "t-1", "generation": 3, "image": "registry.test/desktop:2.1.0"}
    given["spec_digest"] = "0123456789abcdef" * 4
    return Template(**{**given, **changes})


def world(**changes: Any) -> World:
    """With nothing made yet, one relay and its secret."""
    given = {
        "now": NOW,
        "settings": SETTINGS,
        "seen_unix_seconds": NOW,
        "relay_addresses": (RELAY,),
        "turn_secret": "north",
        "spare_password": PASSWORD,
    }
    return World(**{**given, **changes})


def labels(component: str) -> dict[str, str]:
    """Of an object of :func:`session`."""
    return {
        "app.kubernetes.io/name": "vdi-session",
        "app.kubernetes.io/instance": "cad-7",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/part-of": "vdi-platform",
        "app.kubernetes.io/managed-by": "vdi-operator",
    }


def metadata(name: str, component: str) -> Object:
    """Of an object of :func:`session`."""
    return {"name": name, "namespace": "vdi-sessions", "labels": labels(component), "ownerReferences": OWNERS}


def stored(**texts: str) -> Object:
    """A Secret as the API server has it, under the keys ``username``, ``password`` and so on."""
    return {"data": {key.replace("_", "."): base64.b64encode(text.encode()).decode() for key, text in texts.items()}}


def texts(secret: Object) -> dict[str, str]:
    """What a Secret says."""
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
