"""What the checks of a cluster are told: names that a site may have changed, and what counts as good enough. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["ClusterContext"]


@dataclass(frozen=True, slots=True)
class ClusterContext:
    """The platform on a cluster, as ``manifests`` calls it.

    :param domain: of the desktops; empty takes it from Traefik's store or from the routes.
    :param ingress: ``HOST`` or ``HOST:PORT`` where users reach Traefik; empty takes it from Traefik's Service.
    :param authority: PEM file of the authority that signs the desktops' certificate; None trusts what this host trusts.
    :param image: of the pods that are placed: the desktop's, since python3 is in it; empty takes a session's.
    :param relay_names: further names and addresses of coturn, as sessions may give them to their users.
    :param place_pods: measure the home volume and the nodes' clocks from pods; False leaves the cluster unchanged.
    :param replicas: sessions that share one GPU.
    :param framerate: of each session.
    :param policy_enforced: what the conformance test of the policies found; None where it has not run or cannot tell.
    :param policy_fault: what it found to be otherwise than policies say, or why it cannot tell.
    :param prometheus: URL of the server that scrapes the DCGM exporter; empty: what monitors in the cluster say counts.
    :param pod_seconds: for all pods to get ready.
    :param answer_seconds: for one question over the network.
    :param fsync_seconds: longest good p99 of a write of 4 KiB that is synced.
    :param write_bytes_per_second: lowest good rate of a long write.
    :param clock_seconds: how far a node's clock may be from ours.
    :param dcgm_seconds: longest good time from one figure of a GPU to the next.
    """

    session_namespace: str = "vdi-sessions"
    turn_namespace: str = "vdi-turn"
    ingress_namespace: str = "traefik"
    gpu_namespace: str = "gpu-operator"
    home_class: str = "vdi-home"
    runtime_class: str = "nvidia"
    turn_secret_name: str = "coturn-auth"
    turn_secret_key: str = "static-auth-secret"
    turn_port: int = 3478
    domain: str = ""
    ingress: str = ""
    authority: Path | None = None
    image: str = ""
    relay_names: tuple[str, ...] = ()
    place_pods: bool = True
    replicas: int = 8
    framerate: int = 60
    policy_enforced: bool | None = None
    policy_fault: str = ""
    prometheus: str = ""
    pod_seconds: float = 120.0
    answer_seconds: float = 5.0
    # A browser syncs its profile while it starts: some hundred times 50 ms are what a user still waits for (choice).
    fsync_seconds: float = 0.05
    write_bytes_per_second: float = 50e6
    # Minted credentials end to the second, and one-way latency is compared between clocks (choice).
    clock_seconds: float = 1.0
    # A trial of the density search is watched for 30 s: six figures of it (choice).
    dcgm_seconds: float = 5.0
