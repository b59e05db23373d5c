"""Preflight of a cluster from beginning to end: read, measure, judge. Blocking I/O.

Everything that is read is read once; what is placed on the cluster is a pod a node with its volume, and it is removed.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import time
import uuid
from collections.abc import Callable
from typing import Any

from vdibench.clusters import Cluster
from vdibench.preflight.address_checks import domain_of
from vdibench.preflight.cluster_checks import judge_cluster
from vdibench.preflight.cluster_context import ClusterContext
from vdibench.preflight.cluster_findings import ClusterEvidence, ClusterFinding
from vdibench.preflight.cluster_reader import read_snapshot
from vdibench.preflight.cluster_readings import ClockReading, ClusterReadings, DiskReading, SessionReading
from vdibench.preflight.cluster_snapshot import ClusterSnapshot, Object, labels, name
from vdibench.preflight.exporter_probe import read_exporter
from vdibench.preflight.ingress_probe import find_ingress, read_certificate, resolve
from vdibench.preflight.pod_programs import ask_session, compare_clock, measure_disk
from vdibench.preflight.probe_pods import FOLDER, ProbePods
from vdibench.preflight.relay_checks import relay_addresses
from vdibench.preflight.turn_in_cluster import (
    SecretUnread,
    ask_binding,
    minted,
    read_turn_log,
    read_turn_secret,
    try_relay,
)
from vdibench.preflight.version_checks import takes_pods

__all__ = ["gather", "lab_context", "run_cluster_checks"]

_MOST_NODES = 8
_MOST_SESSIONS = 8
_DESKTOP = "desktop"

Say = Callable[[str], None]


def run_cluster_checks(
    cluster: Cluster, context: ClusterContext | None = None, *, progress: Say = lambda line: None
) -> tuple[ClusterFinding, ...]:
    """Every check of a cluster, in order.

    :param context: what the platform is called there; by default as the manifests have it, or a lab's.
    :param progress: called with a line per step.
    """
    chosen = context or ClusterContext()
    if cluster.ours:
        chosen = lab_context(cluster, chosen)
    return judge_cluster(gather(cluster, chosen, progress=progress))


def lab_context(cluster: Cluster, context: ClusterContext) -> ClusterContext:
    """What differs in a lab's cluster, where the caller said nothing else."""
    from vdibench.lab.cluster.furnishing import DOMAIN, WILDCARD_AUTHORITY
    from vdibench.lab.cluster.images import image_names

    return dataclasses.replace(
        context,
        domain=context.domain or DOMAIN,
        authority=context.authority or cluster.kubeconfig.parents[1] / WILDCARD_AUTHORITY,
        image=context.image or image_names()["desktop"],
    )


def gather(cluster: Cluster, context: ClusterContext, *, progress: Say = lambda line: None) -> ClusterEvidence:
    """Read the objects and measure what can be measured; nothing is judged."""
    progress("objects")
    snapshot = read_snapshot(cluster, context)
    progress(f"{len(snapshot.nodes)} nodes, {len(snapshot.all('Pod'))} pods")
    evidence = ClusterEvidence(context, snapshot)
    missing: dict[str, str] = {}
    found: dict[str, Any] = {}
    steps = {"relay": _relays, "ingress": _ingress, "sessions": _sessions, "exporter": _exporter, "pods": _pods}
    for step, ask in steps.items():
        progress(step)
        try:
            found |= ask(cluster, evidence, missing)
        except Exception as error:  # what one probe did not foresee must not hide what the others find
            missing[step] = f"the probe failed with {type(error).__name__}: {_words(error)}"
    readings = ClusterReadings(now_unix_seconds=time.time(), missing=missing, **found)
    return dataclasses.replace(evidence, readings=readings)


def _relays(cluster: Cluster, evidence: ClusterEvidence, missing: dict[str, str]) -> dict[str, Any]:
    context, seconds = evidence.context, evidence.context.answer_seconds
    hosts = relay_addresses(evidence)
    if not hosts:
        missing["relay"] = missing["turn"] = "no coturn runs on a node's network"
        return {}
    found: dict[str, Any] = {
        "bindings": tuple(ask_binding(host, context.turn_port, seconds) for host in hosts),
        "turn_log": read_turn_log(cluster, context, evidence.snapshot),
    }
    try:
        secret = read_turn_secret(cluster, context)
    except SecretUnread as error:
        missing["turn"] = str(error)
        return found
    attempts = (try_relay(minted(secret, host, context.turn_port), seconds) for host in hosts)
    return found | {"turn": tuple(one for attempt in attempts for one in attempt)}


def _ingress(cluster: Cluster, evidence: ClusterEvidence, missing: dict[str, str]) -> dict[str, Any]:
    context, seconds = evidence.context, evidence.context.answer_seconds
    hosts, port = find_ingress(context, evidence.snapshot)
    domain = domain_of(context, evidence.snapshot)
    if not domain:
        missing["ingress"] = "nobody says which domain the desktops have"
        return {"ingress": hosts}
    fresh = f"preflight-{uuid.uuid4().hex[:8]}.{domain}"
    found: dict[str, Any] = {"ingress": _as_addresses(hosts, seconds), "resolved": resolve(fresh, seconds)}
    if hosts:
        found["certificate"] = read_certificate(hosts[0], port, fresh, context.authority, seconds)
    else:
        missing["ingress"] = f"no Service of Traefik in {context.ingress_namespace} has an address"
    return found


def _sessions(cluster: Cluster, evidence: ClusterEvidence, missing: dict[str, str]) -> dict[str, Any]:
    context = evidence.context
    pods = list(evidence.snapshot.sessions(context.session_namespace))[:_MOST_SESSIONS]
    readings: list[SessionReading] = [
        ask_session(cluster, context.session_namespace, name(pod), _container(pod), 3 * context.answer_seconds)
        for pod in pods
    ]
    return {"sessions": tuple(readings)}


def _exporter(cluster: Cluster, evidence: ClusterEvidence, missing: dict[str, str]) -> dict[str, Any]:
    url = evidence.context.prometheus
    return {"exporter": read_exporter(url, evidence.context.answer_seconds)} if url else {}


def _pods(cluster: Cluster, evidence: ClusterEvidence, missing: dict[str, str]) -> dict[str, Any]:
    context, snapshot = evidence.context, evidence.snapshot
    image = context.image or _session_image(snapshot, context)
    nodes = _nodes_to_try(snapshot)
    if not context.place_pods:
        missing["pods"] = "no pod was to be placed"
    elif not image:
        missing["pods"] = "no image is known that pods could be made of"
    elif snapshot.named("Namespace", context.session_namespace) is None:
        missing["pods"] = f"there is no namespace {context.session_namespace}"
    elif not nodes:
        missing["pods"] = "no node takes pods"
    if "pods" in missing:
        return {}
    disks: list[DiskReading] = []
    clocks: list[ClockReading] = []
    with ProbePods(cluster, context, nodes, image) as placed:
        for node, pod in placed.running.items():
            clocks.append(compare_clock(cluster, placed.namespace, pod, node, context.answer_seconds))
            disks.append(measure_disk(cluster, placed.namespace, pod, node, FOLDER))
        for node, reason in placed.failures.items():
            clocks.append(ClockReading(node, error=reason))
            disks.append(DiskReading(node, error=reason))
    return {"disks": tuple(disks), "clocks": tuple(clocks)}


def _nodes_to_try(snapshot: ClusterSnapshot) -> list[str]:
    """Nodes that sessions could be on: those with slices, where any has; a few of them."""
    ready = [node for node in snapshot.nodes if takes_pods(node)]
    sliced = [node for node in ready if "nvidia.com/gpu" in (node["status"].get("allocatable") or {})]
    return [labels(node).get("kubernetes.io/hostname", name(node)) for node in (sliced or ready)[:_MOST_NODES]]


def _session_image(snapshot: ClusterSnapshot, context: ClusterContext) -> str:
    for pod in snapshot.sessions(context.session_namespace):
        for container in pod["spec"]["containers"]:
            if container["name"] == _container(pod):
                return str(container["image"])
    return ""


def _container(pod: Object) -> str:
    """The one with the desktop in it."""
    names = [str(container["name"]) for container in pod["spec"]["containers"]]
    return _DESKTOP if _DESKTOP in names else names[0]


def _words(error: Exception) -> str:
    """In short: the API client's errors carry whole answers."""
    reason = getattr(error, "reason", "")
    return f"{getattr(error, 'status', '')} {reason}".strip() if reason else str(error)


def _as_addresses(hosts: tuple[str, ...], seconds: float) -> tuple[str, ...]:
    """Each host's addresses: a balancer may be known by its name."""
    found: list[str] = []
    for host in hosts:
        try:
            found.append(str(ipaddress.ip_address(host)))
        except ValueError:
            found += resolve(host, seconds).addresses
    return tuple(dict.fromkeys(found))
