"""What a site says once."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from vdi_operator.settings import Settings, load


def test_nothing_said_is_the_defaults() -> None:
    assert Settings.of({}) == Settings()


def test_keys_are_in_camel_case() -> None:
    read = Settings.of(
        {
            "namespace": "desks",
            "entryPoints": ["web", "websecure"],
            "relayAddresses": ["192.0.2.1"],
            "turnLifetimeSeconds": 3600,
            "readNodes": True,
            "traefik": {"namespace": "kube-system", "name": "traefik"},
            "checkerTokenFile": "/etc/checker/token",
            "workers": 4,
            "sessionsPerUser": 2,
            "sessionsPerNamespace": 100,
            "queuePriorities": {"cad-first": 10},
        }
    )
    assert read == Settings(
        namespace="desks",
        entry_points=("web", "websecure"),
        relay_addresses=("192.0.2.1",),
        turn_lifetime_seconds=3600.0,
        read_nodes=True,
        traefik={"namespace": "kube-system", "name": "traefik"},
        checker_token_file="/etc/checker/token",
        workers=4,
        sessions_per_user=2,
        sessions_per_namespace=100,
        queue_priorities={"cad-first": 10},
    )
    assert isinstance(read.turn_lifetime_seconds, float)


def test_every_field_can_be_set_to_its_default() -> None:
    words = {one.name: one.name.split("_") for one in fields(Settings)}
    keys = {name: parts[0] + "".join(part.capitalize() for part in parts[1:]) for name, parts in words.items()}
    default = Settings()
    document: dict[str, Any] = {}
    for name, key in keys.items():
        value = getattr(default, name)
        document[key] = list(value) if isinstance(value, tuple) else value
    assert Settings.of(document) == default


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"name_space": "x"}, "settings: 'name_space' is unknown, known are "),
        ({"namespace": 7}, "settings: namespace is 7, it must be of type str"),
        ({"port": "443"}, "settings: port is '443', it must be of type int"),
        ({"port": True}, "settings: port is True, it must be of type int"),
        ({"readNodes": 1}, "settings: readNodes is 1, it must be of type bool"),
        ({"entryPoints": "websecure"}, "settings: entryPoints is 'websecure', it must be of type tuple"),
        ({"turnLifetimeSeconds": True}, "settings: turnLifetimeSeconds is True, it must be of type float"),
        ({"turnLifetimeSeconds": "1h"}, "settings: turnLifetimeSeconds is '1h', it must be of type float"),
        ({"traefik": ["traefik"]}, "settings: traefik is "),
        ({"workers": None}, "settings: workers is None, it must be of type int"),
        ({"requireEvidence": "yes"}, "settings: requireEvidence is 'yes', it must be of type bool"),
        ({"idleLookSeconds": 0.5}, "settings: idleLookSeconds is 0.5, 1 is the least"),
        ({"idleLookSeconds": float("nan")}, "settings: idleLookSeconds is nan, 1 is the least"),
        ({"gpus": True}, "settings: gpus is True, it must be of type int"),
        ({"gpus": -1}, "settings: gpus is -1, it must be 0 or more"),
        ({"sessionsPerUser": -1}, "settings: sessionsPerUser is -1, it must be 0 or more"),
        ({"sessionsPerNamespace": -5}, "settings: sessionsPerNamespace is -5, it must be 0 or more"),
        ({"queuePriorities": ["cad"]}, "settings: queuePriorities is "),
        ({"queuePriorities": {"cad": "9"}}, "settings: queuePriorities has '9' for cad, it must be a whole number"),
        ({"queuePriorities": {"cad": True}}, "settings: queuePriorities has True for cad, it must be a whole number"),
        ({"turnLifetimeSeconds": 59.9}, "settings: turnLifetimeSeconds is 59.9, 60 are the least"),
        ({"turnLifetimeSeconds": float("nan")}, "settings: turnLifetimeSeconds is nan, 60 are the least"),
        ({"relayAddresses": ["192.0.2.1", "turn.test"]}, "settings: relayAddresses has 'turn.test', which is no IP"),
        ({"relayAddresses": ["192.0.2.0/24"]}, "settings: relayAddresses has '192.0.2.0/24', which is no IP"),
        ({"relayAddresses": [7]}, "settings: relayAddresses has 7, which is no IP"),
    ],
)
def test_what_is_wrong_is_named(document: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Settings.of(document)
    assert str(caught.value).startswith(message)


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("domain: desks.example.com\nport: 30443\n")
    assert load(file) == Settings(domain="desks.example.com", port=30_443)


@pytest.mark.parametrize("text", ["", "- a\n", "text\n"])
def test_a_file_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"settings\.yaml: not a mapping"):
        load(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"settings\.yaml"):
        load(tmp_path / "settings.yaml")
