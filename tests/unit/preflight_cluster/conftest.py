"""A cluster on which every check passes, for tests that change one thing of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from vdibench.preflight import CLUSTER_CHECKS, ClusterContext, ClusterEvidence, judge_cluster
from vdibench.preflight.cluster_readings import (
    BindingReading,
    CertificateReading,
    ClockReading,
    ClusterReadings,
    DiskReading,
    NameReading,
    SessionReading,
    TurnReading,
)
from vdibench.preflight.cluster_snapshot import ClusterSnapshot
from vdibench.records import Check

DATA = Path(__file__).parents[2] / "data" / "cluster"
NOW = 1_700_000_000.0
DAY = 86_400.0
COTURN = "192.0.2.10:3478"


class World:
    """Objects, readings and names; ``check`` judges one of the checks by them."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = list(yaml.safe_load_all((DATA / "good.yaml").read_text()))
        self.version = "v1.34.4+k3s1"
        self.unread: dict[str, str] = {}
        self.context: dict[str, Any] = {"policy_enforced": True}
        self.readings: dict[str, Any] = {
            "bindings": (BindingReading(COTURN, "198.51.100.7:40000", "Coturn-4.17.1 'Gorst'"),),
            "turn": tuple(
                TurnReading(COTURN, transport, "192.0.2.10:50000", 0.01, 0.002, "refused with 401 Unauthorized")
                for transport in ("udp", "tcp")
            ),
            "sessions": (SessionReading("vdi-session-alice", (f"turn:{COTURN}?transport=udp", f"stun:{COTURN}")),),
            "disks": (DiskReading("gpu-1", (0.001,) * 300, 400e6),),
            "clocks": (ClockReading("gpu-1", 0.001, 0.003),),
            "ingress": ("192.0.2.10",),
            "resolved": NameReading("preflight-1.vdi.example.com", ("192.0.2.10",)),
            "certificate": CertificateReading(
                "192.0.2.10:443",
                "preflight-1.vdi.example.com",
                issuer="R11",
                names=("vdi.example.com", "*.vdi.example.com"),
                begins_unix_seconds=NOW - 30 * DAY,
                ends_unix_seconds=NOW + 60 * DAY,
            ),
            "now_unix_seconds": NOW,
        }

    def one(self, kind: str, name: str) -> dict[str, Any]:
        [found] = [one for one in self.documents if one["kind"] == kind and one["metadata"]["name"].startswith(name)]
        return found

    def remove(self, kind: str, name: str = "") -> None:
        left = [one for one in self.documents if one["kind"] != kind or not one["metadata"]["name"].startswith(name)]
        assert len(left) < len(self.documents)
        self.documents = left

    @property
    def node(self) -> dict[str, Any]:
        return self.one("Node", "gpu-1")

    @property
    def node_labels(self) -> dict[str, str]:
        labels: dict[str, str] = self.node["metadata"]["labels"]
        return labels

    @property
    def evidence(self) -> ClusterEvidence:
        return ClusterEvidence(
            ClusterContext(**self.context),
            ClusterSnapshot.of(self.version, self.documents, self.unread),
            ClusterReadings(**self.readings),
        )

    def check(self, name: str) -> Check:
        [wanted] = [check for check in CLUSTER_CHECKS if check.name == name]
        [found] = judge_cluster(self.evidence, [wanted])
        assert found.check.name == name
        return found.check


@pytest.fixture
def world() -> World:
    return World()
