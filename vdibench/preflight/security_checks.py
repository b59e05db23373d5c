"""Checks of what keeps sessions apart: Pod Security, policies, and whether anybody enforces them. Pure judgement."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from vdibench.preflight.cluster_findings import ClusterEvidence
from vdibench.preflight.cluster_snapshot import (
    ClusterSnapshot,
    Object,
    container_images,
    is_running,
    labels,
    name,
    selects,
)
from vdibench.preflight.findings import failed, no_data, passed
from vdibench.preflight.relay_checks import relay_addresses
from vdibench.records import Check

__all__ = ["check_default_deny", "check_pod_security", "check_policy_engine", "check_relay_policy"]

_LEVEL = "pod-security.kubernetes.io/enforce"
_SESSION = {"app.kubernetes.io/name": "vdi-session"}
# Part of an image's name -> the engine. One that is there need not enforce, and K3s has one without a pod.
_ENGINES = {
    "calico/node": "Calico",
    "cilium/cilium": "Cilium",
    "antrea": "Antrea",
    "kube-router": "kube-router",
    "kube-network-policies": "kube-network-policies",
    "weave-npc": "Weave",
}


def check_pod_security(evidence: ClusterEvidence) -> Check:
    """Desktops run under ``restricted``, and coturn's namespace lets it use the node's network."""
    context, snapshot = evidence.context, evidence.snapshot
    source = f"label {_LEVEL} of the namespaces"
    remedy = "kubectl apply --server-side -k manifests/security/base"
    wrong = []
    sessions = snapshot.named("Namespace", context.session_namespace)
    if sessions is None:
        wrong.append(f"there is no namespace {context.session_namespace}")
    elif (level := labels(sessions).get(_LEVEL, "no level")) != "restricted":
        wrong.append(f"{context.session_namespace} enforces {level}, not restricted")
    relays = snapshot.named("Namespace", context.turn_namespace)
    if relays is None:
        wrong.append(f"there is no namespace {context.turn_namespace}")
    elif (level := labels(relays).get(_LEVEL, "privileged")) != "privileged":
        wrong.append(f"{context.turn_namespace} enforces {level}, which forbids the node's network to coturn")
    if wrong:
        return failed("pod_security", "; ".join(wrong), source, remedy)
    finding = f"{context.session_namespace} restricted, {context.turn_namespace} privileged"
    return passed("pod_security", finding, source)


def check_default_deny(evidence: ClusterEvidence) -> Check:
    """In the sessions' namespace nothing is allowed that no policy names."""
    namespace = evidence.context.session_namespace
    source = f"NetworkPolicies of {namespace} that select every pod and allow nothing"
    denied: set[str] = set()
    for policy in evidence.snapshot.within("NetworkPolicy", namespace):
        spec = policy["spec"]
        if not spec.get("podSelector"):
            denied |= {way for way in _ways(spec) if not spec.get(way.lower())}
    missing = [way for way in ("Ingress", "Egress") if way not in denied]
    if missing:
        remedy = "kubectl apply --server-side -k manifests/security/base"
        return failed("default_deny", f"{' and '.join(missing)} of {namespace} is open by default", source, remedy)
    return passed("default_deny", "both ways", source)


def check_relay_policy(evidence: ClusterEvidence) -> Check:
    """Sessions may reach coturn at its node's present address, by UDP and TCP."""
    source = "egress of the policies that select sessions, status.hostIP of coturn"
    context = evidence.context
    addresses = relay_addresses(evidence)
    if not addresses:
        remedy = "start coturn first (manifests/network/turn)"
        return no_data("relay_policy", "no coturn runs on a node's network", source, remedy)
    rules = list(_session_egress(evidence.snapshot, context.session_namespace))
    if not rules:
        return passed("relay_policy", "no policy restricts what sessions send", source)
    shut = [
        f"{address}:{context.turn_port} {protocol}"
        for address in addresses
        for protocol in ("UDP", "TCP")
        if not any(_lets(rule, address, context.turn_port, protocol) for rule in rules)
    ]
    if shut:
        remedy = (
            "name coturn by its node's address, an ipBlock of /32 (turnCidr in the overlay's settings): a podSelector "
            "matches no pod on a node's network"
        )
        return failed("relay_policy", f"sessions may not reach {', '.join(shut)}", source, remedy)
    return passed("relay_policy", f"sessions may reach {', '.join(addresses)} by UDP and TCP", source)


def check_policy_engine(evidence: ClusterEvidence) -> Check:
    """Somebody enforces policies. Only a probe knows; names are evidence of nothing."""
    snapshot, enforced = evidence.snapshot, evidence.context.policy_enforced
    engines = sorted(
        {
            engine
            for pod in snapshot.all("Pod")
            if is_running(pod)
            for image in container_images(pod)
            for part, engine in _ENGINES.items()
            if part in image
        }
    )
    if "+k3s" in snapshot.version:
        engines.append("kube-router in K3s, unless it was disabled")
    seen = f"seen: {', '.join(engines) or 'no engine known by name'}"
    fault, source = evidence.context.policy_fault, "probes from pods"
    if enforced is None and not fault:
        remedy = "let it be probed (--probe-policies): every edge is tried from real pods"
        return no_data("policy_engine", f"nobody has probed it; {seen}", "pods' images", remedy)
    if enforced is None:
        remedy = "mend what it lacks; vdibench conformance shows every edge"
        return no_data("policy_engine", f"probed, and it cannot be told: {fault}; {seen}", source, remedy)
    if not enforced:
        remedy = (
            "install an engine (K3s without --disable-network-policy has one): policies are accepted and do nothing"
        )
        return failed("policy_engine", f"what a policy forbids gets through; {seen}", source, remedy)
    if fault:
        remedy = "vdibench conformance shows every edge; compare the cluster's policies with manifests/security"
        return failed("policy_engine", f"an engine enforces, and yet: {fault}; {seen}", source, remedy)
    return passed("policy_engine", f"what a policy forbids does not get through; {seen}", source)


def _ways(spec: Object) -> list[str]:
    """Directions that a policy is about; unsaid, ingress and, where it has rules for it, egress."""
    return list(spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])])


def _session_egress(snapshot: ClusterSnapshot, namespace: str) -> Iterator[Object]:
    """Rules for what sessions send; an empty rule stands for a policy that allows nothing."""
    for policy in snapshot.within("NetworkPolicy", namespace):
        spec = policy["spec"]
        # Expressions are left to the conformance test: it does not read policies, it tries them.
        if "Egress" not in _ways(spec) or not selects(spec.get("podSelector") or {}, _SESSION):
            continue
        yield from spec.get("egress") or [{"to": [{"nothing": name(policy)}]}]


def _lets(rule: Object, address: str, port: int, protocol: str) -> bool:
    ports = rule.get("ports")
    if ports and not any(_is_port(one, port, protocol) for one in ports):
        return False
    peers = rule.get("to")
    return not peers or any(_is_address(peer["ipBlock"], address) for peer in peers if "ipBlock" in peer)


def _is_port(one: Object, port: int, protocol: str) -> bool:
    if one.get("protocol", "TCP") != protocol:
        return False
    first = one.get("port")
    return first is None or (isinstance(first, int) and first <= port <= int(one.get("endPort", first)))


def _is_address(block: Object, address: str) -> bool:
    wanted = ipaddress.ip_address(address)
    return wanted in ipaddress.ip_network(block["cidr"]) and not any(
        wanted in ipaddress.ip_network(hole) for hole in block.get("except") or ()
    )
