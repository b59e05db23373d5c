"""Checks of what the cluster is: versions, nodes, Traefik's definitions and routes. Pure judgement."""

from __future__ import annotations

import re

from vdibench.preflight.cluster_findings import ClusterEvidence
from vdibench.preflight.cluster_snapshot import Object, name, namespace, version_numbers
from vdibench.preflight.findings import failed, no_data, passed
from vdibench.records import Check

__all__ = [
    "check_kubelet_versions",
    "check_nodes",
    "check_old_traefik_crds",
    "check_server_version",
    "check_traefik_crds",
    "check_traefik_routes",
    "takes_pods",
]

# ReadWriteOncePod, which the homes ask for, is stable from 1.29 on.
_OLDEST_SERVER = (1, 29)
# Kubernetes' version skew policy: a kubelet may be three minor versions older, and never newer.
_KUBELET_MINORS = 3
_ROUTE_GROUP, _OLD_ROUTE_GROUP = "traefik.io", "traefik.containo.us"
_ROUTE_KINDS = ("IngressRoute", "Middleware", "TLSOption", "TLSStore")
# Version 2's {name:pattern} inside a matcher; version 3 takes the braces for a part of the pattern.
_NAMED_GROUP = re.compile(r"Host(?:Regexp)?\(`[^`]*\{\w+:[^`]*`")


def check_server_version(evidence: ClusterEvidence) -> Check:
    """The API server has what the manifests use."""
    version = evidence.snapshot.version
    numbers = version_numbers(version)
    if len(numbers) < 2:
        remedy = "compare 'kubectl version' with what the manifests need, 1.29"
        return no_data("server_version", f"the API server calls itself {version!r}", "/version", remedy)
    oldest = ".".join(map(str, _OLDEST_SERVER))
    if numbers[:2] < _OLDEST_SERVER:
        remedy = f"upgrade to {oldest} or newer: homes are ReadWriteOncePod"
        return failed("server_version", f"Kubernetes {version} is older than {oldest}", "/version", remedy)
    return passed("server_version", f"Kubernetes {version}", "/version")


def check_kubelet_versions(evidence: ClusterEvidence) -> Check:
    """No kubelet is newer than the API server, and none is too old for it."""
    server = version_numbers(evidence.snapshot.version)[:2]
    kubelets = {name(node): _kubelet(node) for node in evidence.snapshot.nodes}
    source = "status.nodeInfo.kubeletVersion of the nodes"
    if len(server) < 2 or not kubelets:
        return no_data("kubelet_versions", "no versions to compare", source, "look at 'kubectl get nodes -o wide'")
    apart = {
        node: version
        for node, version in kubelets.items()
        if (numbers := version_numbers(version)[:2])[:1] != server[:1]
        or not server[1] - _KUBELET_MINORS <= numbers[-1] <= server[1]
    }
    if apart:
        said = ", ".join(f"{node} has {version}" for node, version in sorted(apart.items()))
        remedy = "upgrade servers before agents, and agents to at most three minor versions behind"
        return failed("kubelet_versions", f"{said}; the API server has {evidence.snapshot.version}", source, remedy)
    return passed("kubelet_versions", f"kubelets: {', '.join(sorted(set(kubelets.values())))}", source)


def check_nodes(evidence: ClusterEvidence) -> Check:
    """There is a node that takes pods."""
    nodes = evidence.snapshot.nodes
    open_nodes = [node for node in nodes if takes_pods(node)]
    source = "conditions and spec.unschedulable of the nodes"
    if not open_nodes:
        remedy = "see 'kubectl describe nodes' for the reason, and uncordon those that are cordoned"
        return failed("nodes", f"none of {len(nodes)} nodes takes pods", source, remedy)
    closed = sorted({name(node) for node in nodes} - {name(node) for node in open_nodes})
    rest = f"; not {', '.join(closed)}" if closed else ""
    return passed("nodes", f"{len(open_nodes)} of {len(nodes)} nodes take pods{rest}", source)


def check_traefik_crds(evidence: ClusterEvidence) -> Check:
    """The kinds of Traefik 3 are there."""
    served = {
        crd["spec"]["names"]["kind"]
        for crd in evidence.snapshot.all("CustomResourceDefinition")
        if crd["spec"]["group"] == _ROUTE_GROUP
        and any(version["name"] == "v1alpha1" and version["served"] for version in crd["spec"]["versions"])
    }
    missing = [kind for kind in _ROUTE_KINDS if kind not in served]
    source = f"CustomResourceDefinitions of {_ROUTE_GROUP}/v1alpha1"
    if missing:
        remedy = (
            "install Traefik's chart, which brings them (manifests/network); K3s with --disable=traefik has none, "
            "and helm upgrade does not renew them: apply the chart's folder crds server-side"
        )
        return failed("traefik_crds", f"missing: {', '.join(missing)}", source, remedy)
    return passed("traefik_crds", f"{len(served)} kinds, {', '.join(_ROUTE_KINDS)} among them", source)


def check_old_traefik_crds(evidence: ClusterEvidence) -> Check:
    """No kinds of Traefik 2 are left, whose routes nobody serves any more."""
    old = sorted(
        name(crd)
        for crd in evidence.snapshot.all("CustomResourceDefinition")
        if crd["spec"]["group"] == _OLD_ROUTE_GROUP
    )
    source = f"CustomResourceDefinitions of {_OLD_ROUTE_GROUP}"
    if old:
        remedy = (
            f"write what is left of {_OLD_ROUTE_GROUP} anew as {_ROUTE_GROUP}/v1alpha1, delete the old definitions: "
            "the API server goes on to accept them and Traefik 3 does not look at them"
        )
        return failed("old_traefik_crds", f"{len(old)} of Traefik 2: {old[0]} …", source, remedy)
    return passed("old_traefik_crds", "none of Traefik 2", source)


def check_traefik_routes(evidence: ClusterEvidence) -> Check:
    """No route is written in the words of Traefik 2."""
    routes = evidence.snapshot.all("IngressRoute")
    old = sorted(
        {
            f"{namespace(route)}/{name(route)}"
            for route in routes
            for rule in route["spec"].get("routes") or ()
            if _NAMED_GROUP.search(rule.get("match", "")) and rule.get("syntax") != "v2"
        }
    )
    source = "spec.routes[].match of the IngressRoutes"
    if old:
        remedy = (
            "name exactly one host, Host(`alice.vdi.example.com`), or a plain pattern, HostRegexp(`^[a-z0-9-]+\\.…$`)"
        )
        return failed("traefik_routes", f"a named group of Traefik 2 in {', '.join(old)}", source, remedy)
    return passed("traefik_routes", f"{len(routes)} routes, none in the words of Traefik 2", source)


def _kubelet(node: Object) -> str:
    return str(node.get("status", {}).get("nodeInfo", {}).get("kubeletVersion", ""))


def takes_pods(node: Object) -> bool:
    """Whether a pod could be placed on it now."""
    if node.get("spec", {}).get("unschedulable"):
        return False
    if _is_tainted(node):
        return False
    conditions = node.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _is_tainted(node: Object) -> bool:
    taints = node.get("spec", {}).get("taints") or ()
    return any(
        taint["effect"] != "PreferNoSchedule" and taint["key"] == "node-role.kubernetes.io/control-plane"
        for taint in taints
    )
