"""The edges, held against the policies themselves by the evaluator that tests the manifests."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from vdibench.conformance import Edge, Expected, Places, Platform, Source, edges
from vdibench.conformance.pods import labels

ROOT = Path(__file__).parents[3]
OWN = "vdibench-conformance-1"


@pytest.fixture(scope="module")
def evaluator() -> ModuleType:
    """``tests/repository/policies.py``."""
    specification = importlib.util.spec_from_file_location(
        "policies_of_the_repository", ROOT / "tests" / "repository" / "policies.py"
    )
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def policies() -> list[dict[str, Any]]:
    folder = ROOT / "manifests" / "security" / "base"
    documents = [one for file in folder.glob("*.yaml") for one in yaml.safe_load_all(file.read_text()) if one]
    found = [one for one in documents if one["kind"] == "NetworkPolicy"]
    assert len(found) == 6
    return found


def ends(module: ModuleType, places: Places) -> dict[str, Any]:
    """Address -> the end that policies see there; a Service's is that of the pods behind it."""

    def pod(source: Source, address: str) -> Any:
        return module.End(Platform().home(source, OWN), labels(source, str(source)), address)

    assert places.monitoring is not None
    return {
        places.session.address: pod(Source.SESSION, places.session.address),
        places.service: pod(Source.SESSION, places.session.address),
        places.neighbour.address: pod(Source.SESSION, places.neighbour.address),
        places.outsider.address: pod(Source.OUTSIDER, places.outsider.address),
        places.monitoring.address: pod(Source.MONITORING, places.monitoring.address),
        places.dns: module.End("kube-system", {"k8s-app": "kube-dns"}, "10.42.0.10"),
    }


def test_what_is_expected_is_what_the_policies_say(
    evaluator: ModuleType, policies: list[dict[str, Any]], places: Places
) -> None:
    known = ends(evaluator, places)
    home = Platform().home
    for edge in edges(places):
        assert not edge.missing, edge
        if edge.source is Source.NODE:
            source = evaluator.End(address=places.node)
        else:
            source = evaluator.End(home(edge.source, OWN), labels(edge.source, "x"), "10.42.0.99")
        target = known.get(edge.host, evaluator.End(address=edge.host))
        said = evaluator.allowed(policies, source, target, edge.port, edge.protocol)
        # What is exempt is so although no policy says it.
        assert said is (edge.expected is Expected.ALLOWED), edge


def test_controls_may_reach_what_they_prove(
    evaluator: ModuleType, policies: list[dict[str, Any]], places: Places
) -> None:
    known = ends(evaluator, places)
    for edge in edges(places):
        target = known.get(edge.host, evaluator.End(address=edge.host))
        for control in edge.controls:
            if control is Source.NODE:
                continue  # by exemption, not by a policy
            source = evaluator.End(Platform().home(control, OWN), labels(control, "x"), "10.42.0.99")
            assert evaluator.allowed(policies, source, target, edge.port, edge.protocol), (edge, control)


def test_names_are_unique_and_every_forbidden_edge_has_controls(places: Places) -> None:
    found = edges(places)
    names = [edge.name for edge in found]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9_]+", name) for name in names)
    for edge in found:
        assert edge.why
        assert edge.source not in edge.controls
        assert edge.controls or edge.expected is not Expected.DENIED


def test_the_edges_are_those_that_the_security_folder_names(places: Places) -> None:
    page = (ROOT / "manifests" / "security" / "README.md").read_text()
    promised = set(re.findall(r"\| `(allow-[\w-]+)` \|", page))
    said = " ".join(edge.why for edge in edges(places) if edge.expected is Expected.ALLOWED)
    assert {policy for policy in promised if policy not in said} == set()


def by_name(places: Places) -> dict[str, Edge]:
    return {edge.name: edge for edge in edges(places)}


def test_what_is_not_there_is_listed_and_says_why(places: Places) -> None:
    bare = dataclasses.replace(
        places,
        sources=frozenset({Source.SESSION, Source.OUTSIDER}),
        monitoring=None,
        coturn="",
        dns="",
        api_service=None,
        api_server=None,
        node_port=None,
        internet=None,
    )
    found, full = by_name(bare), by_name(places)
    assert set(found) == set(full)
    missing = {name for name, edge in found.items() if edge.missing}
    assert missing >= {"traefik_to_session", "session_to_coturn_udp", "session_to_dns_tcp", "session_to_internet"}
    assert all(edge.askers == () for edge in found.values() if edge.missing)
    assert found["session_to_session"].askers == (Source.SESSION,)
    assert found["session_to_metadata"].askers == (Source.SESSION, Source.OUTSIDER)


def test_the_nodes_of_session_and_coturn_are_both_tried(places: Places) -> None:
    apart = by_name(dataclasses.replace(places, coturn="192.0.2.11"))
    assert apart["session_to_kubelet"].host == "192.0.2.10"
    assert apart["session_to_kubelet_of_coturn"].host == "192.0.2.11"
    assert apart["coturn_to_session"].missing == "coturn runs on another node than this session"
    assert "session_to_kubelet_of_coturn" not in by_name(places)
    assert not by_name(places)["coturn_to_session"].missing


def test_what_a_probe_is_told_is_json(places: Places) -> None:
    assert by_name(places)["outsider_to_service"].request() == {
        "name": "outsider_to_service",
        "host": "10.43.0.50",
        "port": 8080,
        "protocol": "TCP",
        "speaks": "http",
        "expects": "token-of-the-session",
        "question": "/api/health",
    }
