"""Values that helm refuses, and the table of them in the chart's README."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from .helm import CHART, Object, template

WHERE = "values don't meet the specifications of the schema"


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"setings": {}}, "setings"),
        ({"settings": {"domian": "vdi.test"}}, "domian"),
        ({"settings": {"domain": ""}}, "domain"),
        ({"settings": {"domain": "https://vdi.test"}}, "domain"),
        ({"settings": {"domain": "Vdi.test"}}, "domain"),
        ({"settings": {"namespace": "vdi_sessions"}}, "namespace"),
        ({"settings": {"port": "443"}}, "port"),
        ({"settings": {"port": 70000}}, "port"),
        ({"settings": {"entryPoints": []}}, "entryPoints"),
        ({"settings": {"entryPoints": "websecure"}}, "entryPoints"),
        ({"settings": {"relayAddresses": ["turn.vdi.test"]}}, "relayAddresses"),
        ({"settings": {"relayAddresses": ["192.0.2.10/32"]}}, "relayAddresses"),
        ({"settings": {"traefik": {"namespace": "traefik", "name": "traefik", "labels": {}}}}, "labels"),
        ({"settings": {"checkerAddress": "traefik"}}, "checkerAddress"),
        ({"settings": {"turnLifetimeSeconds": 5}}, "turnLifetimeSeconds"),
        ({"settings": {"idleLookSeconds": 0.5}}, "idleLookSeconds"),
        ({"settings": {"workers": 0}}, "workers"),
        ({"settings": {"requireEvidence": "yes"}}, "requireEvidence"),
        ({"settings": {"allowLabEvidence": 1}}, "allowLabEvidence"),
        ({"settings": {"gpus": -1}}, "gpus"),
        ({"settings": {"gpus": 0.5}}, "gpus"),
        ({"settings": {"sessionsPerUser": -1}}, "sessionsPerUser"),
        ({"settings": {"sessionsPerNamespace": "many"}}, "sessionsPerNamespace"),
        ({"settings": {"queuePriorities": {"cad": "high"}}}, "queuePriorities"),
        ({"settings": {"queuePriorities": {"Cad Team": 1}}}, "Cad Team"),
        ({"settings": {"placeholderPriorityClass": "Low Priority"}}, "placeholderPriorityClass"),
        # What the chart knows by itself.
        ({"settings": {"readNodes": True}}, "readNodes"),
        ({"settings": {"checkerUrl": "http://elsewhere"}}, "checkerUrl"),
        ({"readNodes": "yes"}, "readNodes"),
        ({"turn": {"secretKey": "../token"}}, "secretKey"),
        ({"image": {"digest": "sha256:abc"}}, "digest"),
        ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"operator": {"replicas": 2}}, "replicas"),
        ({"operator": {"logFormat": "xml"}}, "logFormat"),
        ({"checker": {"replicas": 0}}, "replicas"),
        ({"oidc": {"enabled": True}}, "address"),
        ({"oidc": {"enabled": True, "address": "auth.test"}}, "address"),
        ({"networkPolicies": {"apiServerNetworks": ["kubernetes.default"]}}, "apiServerNetworks"),
        ({"networkPolicies": {"traefikPorts": []}}, "traefikPorts"),
        ({"graduated": {"template": True}}, "template"),
        ({"graduated": {"templates": "yes"}}, "templates"),
        ({"graduated": {"parts": {"securty": True}}}, "securty"),
        ({"graduated": {"parts": {"network": "yes"}}}, "network"),
        ({"createPlatform": "yes"}, "createPlatform"),
        ({"templates": [{"name": "desktop"}]}, "spec"),
        ({"templates": [{"name": "desktop", "spec": {}}]}, "image"),
        ({"templates": [{"name": "Desk Top", "spec": {"image": "x"}}]}, "name"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else None,
)
def test_bad_values_are_refused_by_name(values: Object, word: str) -> None:
    done = template(values)
    assert done.returncode != 0
    assert WHERE in done.stderr
    assert word in done.stderr.partition(WHERE)[2]


def flat(values: Any, path: str = "") -> dict[str, Any]:
    """Path -> value of every leaf; lists and maps of the user's own are leaves."""
    if not isinstance(values, dict) or not values or path in ("settings.traefik", "metrics.dashboard.labels"):
        return {path: values}
    if path.endswith("resources"):
        return {path: values}
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{path}.{key}" if path else key)
    return found


def rows() -> dict[str, tuple[str, str]]:
    """Path -> default and meaning, of the README's table."""
    text = (CHART / "README.md").read_text()
    lines = re.findall(r"^\| `([\w.]+)` \| `(.*?)` \| (.*) \|$", text, flags=re.MULTILINE)
    assert len(lines) == len({path for path, _, _ in lines}), "a value is there twice"
    return {path: (default, meaning) for path, default, meaning in lines}


def test_the_readme_tells_every_value_with_its_default() -> None:
    values = flat(yaml.safe_load((CHART / "values.yaml").read_text()))
    assert {path: default for path, (default, _) in rows().items()} == {
        path: json.dumps(value) for path, value in values.items()
    }


def test_the_readme_says_of_each_value_what_its_comment_says() -> None:
    comments: dict[str, str] = {}
    path: list[str] = []
    said = ""
    for line in (CHART / "values.yaml").read_text().splitlines():
        comment = re.fullmatch(r"\s*# -- (.*)", line)
        if comment:
            said = comment[1]
        key = re.match(r"( *)(\w+):", line)
        if key:
            path[len(key[1]) // 2 :] = [key[2]]
            if said:
                comments[".".join(path)] = said
                said = ""
    assert {name: meaning for name, (_, meaning) in rows().items()} == comments
