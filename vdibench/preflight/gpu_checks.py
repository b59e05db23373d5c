"""Checks of GPUs on the nodes: slices, how they are made, encoders, runtime. Pure judgement.

What a node really offers is read from its status; a configuration says only what somebody wished.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from vdibench.preflight.cluster_findings import ClusterEvidence
from vdibench.preflight.cluster_snapshot import Object, labels, name
from vdibench.preflight.encoder_engines import (
    GEFORCE_SESSIONS,
    SLOWEST_FRAMES_PER_SECOND,
    engines_of,
    is_geforce,
)
from vdibench.preflight.findings import failed, no_data, passed
from vdibench.records import Check

__all__ = [
    "INSTALL",
    "NodeGpus",
    "check_encoder_engines",
    "check_encoder_sessions",
    "check_gpu_config",
    "check_gpu_sharing",
    "check_gpu_slices",
    "check_runtime_class",
    "gpu_nodes",
]

RESOURCE = "nvidia.com/gpu"
_LABELS = "labels nvidia.com/gpu.* and status.allocatable of the nodes"
INSTALL = "install NVIDIA's GPU Operator on a node that has a GPU (manifests/gpu), and wait for its node labels"


@dataclass(frozen=True, slots=True)
class NodeGpus:
    """What one node says about its GPUs.

    :param replicas: slices of each GPU; None without the label.
    :param count: None without the label.
    """

    node: str
    product: str
    count: int | None
    replicas: int | None
    strategy: str
    allocatable: int
    renamed: int


def check_gpu_slices(evidence: ClusterEvidence) -> Check:
    """Every GPU node offers GPUs × replicas."""
    found = gpu_nodes(evidence)
    if not found:
        return failed("gpu_slices", "no node has a GPU", _LABELS, INSTALL)
    wanted = evidence.context.replicas
    wrong, total = [], 0
    for gpus in found:
        total += gpus.allocatable
        if gpus.count is None:
            wrong.append(f"{gpus.node} offers {gpus.allocatable} and no label says of which GPU")
        elif gpus.renamed:
            wrong.append(f"{gpus.node} offers {gpus.renamed} as {RESOURCE}.shared")
        elif gpus.allocatable != gpus.count * wanted:
            wrong.append(f"{gpus.node} offers {gpus.allocatable}, not {gpus.count} × {wanted}")
        elif gpus.replicas != wanted:
            wrong.append(f"{gpus.node} is labelled with {gpus.replicas} replicas, not {wanted}")
    if wrong:
        if all(gpus.count is None for gpus in found):
            return failed("gpu_slices", "; ".join(wrong), _LABELS, INSTALL)
        remedy = (
            "set devicePlugin.config.default besides its name, renameByDefault: false, restart the device plugin's "
            "DaemonSet (it does not see changes of the ConfigMap), and look at allocatable again"
        )
        return failed("gpu_slices", "; ".join(wrong), _LABELS, remedy)
    return passed("gpu_slices", f"{total} slices on {len(found)} nodes, {wanted} a GPU", _LABELS)


def check_gpu_config(evidence: ClusterEvidence) -> Check:
    """The operator's configuration has a default: its name alone yields no slices."""
    source = "spec.devicePlugin.config of the ClusterPolicy"
    policies = evidence.snapshot.all("ClusterPolicy")
    if not policies:
        if any(gpus.count for gpus in gpu_nodes(evidence)):
            return passed(
                "gpu_config", "no GPU Operator here: the device plugin has a configuration of its own", source
            )
        return no_data("gpu_config", "there is no ClusterPolicy: no GPU Operator is installed", source, INSTALL)
    config = _plugin_config(policies[0])
    chosen, default = config.get("name", ""), config.get("default", "")
    if not chosen:
        remedy = "set spec.devicePlugin.config.name and .default (manifests/gpu/time-slicing)"
        return failed("gpu_config", "no configuration is named: every GPU is one slice", source, remedy)
    if not default:
        nodes = evidence.snapshot.nodes
        labelled = [node for node in nodes if labels(node).get("nvidia.com/device-plugin.config")]
        wanted = {gpus.node for gpus in gpu_nodes(evidence)}
        if wanted and wanted <= {name(node) for node in labelled}:
            return passed("gpu_config", f"{chosen}, chosen by a label on each GPU node", source)
        remedy = (
            f"kubectl patch clusterpolicy/{name(policies[0])} --type merge "
            '-p \'{"spec": {"devicePlugin": {"config": {"default": "any"}}}}\''
        )
        return failed("gpu_config", f"{chosen} is named without a default: nodes take an empty one", source, remedy)
    maps = {name(one): one for one in evidence.snapshot.all("ConfigMap")}
    if "ConfigMap" not in evidence.snapshot.unread and default not in (maps.get(chosen, {}).get("data") or {}):
        remedy = f"create the ConfigMap {chosen} with the key {default} in {evidence.context.gpu_namespace}"
        return failed("gpu_config", f"there is no key {default} in a ConfigMap {chosen}", source, remedy)
    return passed("gpu_config", f"{chosen}, by default its key {default}", source)


def check_gpu_sharing(evidence: ClusterEvidence) -> Check:
    """GPUs are shared in the way that the sessions expect, and nobody is deceived about what a slice is."""
    source = "label nvidia.com/gpu.sharing-strategy, the device plugin's configuration"
    found = [gpus for gpus in gpu_nodes(evidence) if gpus.count]
    if not found:
        return no_data("gpu_sharing", "no node is labelled with a GPU", source, INSTALL)
    strategies = {gpus.strategy or "unknown" for gpus in found}
    if len(strategies) > 1:
        remedy = "share alike on every node, or give sessions a node selector"
        return failed("gpu_sharing", f"nodes differ: {', '.join(sorted(strategies))}", source, remedy)
    strategy = strategies.pop()
    if evidence.context.replicas > 1 and strategy not in ("time-slicing", "mps"):
        remedy = "share by time-slicing (manifests/gpu/time-slicing), or say that one session has a whole GPU"
        return failed("gpu_sharing", f"the strategy is {strategy}", source, remedy)
    if strategy == "mps":
        remedy = "use time-slicing, or measure graphics and encoding beside MPS before you rely on them"
        return failed(
            "gpu_sharing", "MPS: memory is capped, graphics and NVENC beside it are not known", source, remedy
        )
    if strategy == "time-slicing" and _refuses_more_than_one(evidence) is False:
        remedy = "set failRequestsGreaterThanOne: true: a pod that asks for two gets no more GPU than with one"
        return failed("gpu_sharing", "a pod may ask for two slices and gets one", source, remedy)
    return passed("gpu_sharing", f"strategy {strategy} on {len(found)} nodes", source)


def check_encoder_engines(evidence: ClusterEvidence) -> Check:
    """Every GPU has a video encoder."""
    source = "label nvidia.com/gpu.product"
    products = {gpus.product for gpus in gpu_nodes(evidence) if gpus.product}
    if not products:
        return no_data("encoder_engines", "no node names its GPU", source, INSTALL)
    known = {product: engines_of(product) for product in sorted(products)}
    without = {product: entry for product, entry in known.items() if entry is not None and entry.count == 0}
    if without:
        reasons = "; ".join(dict.fromkeys(entry.source for entry in without.values()))
        remedy = "take GPUs with NVENC: on these every session is encoded in software, without a word"
        return failed("encoder_engines", f"no encoder in {', '.join(without)}", f"{source}; {reasons}", remedy)
    unknown = [product for product, entry in known.items() if entry is None]
    if unknown:
        remedy = "look it up in NVIDIA's Video Encode and Decode GPU Support Matrix"
        return no_data("encoder_engines", f"nothing is known of {', '.join(unknown)}", source, remedy)
    context = evidence.context
    needed = context.replicas * context.framerate
    said, sources = [], [source]
    for product, entry in known.items():
        if entry is None:
            continue
        holds = entry.count * SLOWEST_FRAMES_PER_SECOND
        said.append(
            f"{product} has {entry.count} for {needed} pictures a second"
            + ("" if holds >= needed else f", more than {holds} that as many Blackwell engines encode at P5")
        )
        sources.append(entry.source if entry.certain else f"{entry.source}: look it up")
    return passed("encoder_engines", "; ".join(said), "; ".join(dict.fromkeys(sources)))


def check_encoder_sessions(evidence: ClusterEvidence) -> Check:
    """No driver limits encoding sessions below the slices."""
    source = "label nvidia.com/gpu.product; NVENC Application Note, SDK 13.0"
    found = [gpus for gpus in gpu_nodes(evidence) if gpus.product]
    if not found:
        return no_data("encoder_sessions", "no node names its GPU", source, INSTALL)
    above = [
        f"{gpus.node} has {gpus.allocatable} slices of {gpus.product}"
        for gpus in found
        if is_geforce(gpus.product) and gpus.allocatable > GEFORCE_SESSIONS
    ]
    if above:
        remedy = f"at most {GEFORCE_SESSIONS} slices a node with GeForce cards, or professional cards"
        return failed("encoder_sessions", f"{'; '.join(above)}: the system allows {GEFORCE_SESSIONS}", source, remedy)
    limited = any(is_geforce(gpus.product) for gpus in found)
    said = f"at most {GEFORCE_SESSIONS} a node, which is enough" if limited else "no limit of the driver's"
    return passed("encoder_sessions", said, source)


def check_runtime_class(evidence: ClusterEvidence) -> Check:
    """The runtime that brings the driver into a container can be named."""
    wanted = evidence.context.runtime_class
    found = evidence.snapshot.named("RuntimeClass", wanted)
    if found is None:
        there = ", ".join(sorted(name(one) for one in evidence.snapshot.all("RuntimeClass"))) or "none"
        remedy = (
            "install the NVIDIA container toolkit before K3s starts, or let the GPU Operator bring it "
            "(CONTAINERD_RUNTIME_CLASS in manifests/gpu/values.yaml)"
        )
        return failed("runtime_class", f"there is no {wanted}; there is {there}", "RuntimeClasses", remedy)
    return passed("runtime_class", f"{wanted}, handler {found.get('handler', '')}", "RuntimeClasses")


def gpu_nodes(evidence: ClusterEvidence) -> list[NodeGpus]:
    """Nodes that offer slices, or are labelled with a GPU."""
    found = []
    for node in evidence.snapshot.nodes:
        said = labels(node)
        offered = node.get("status", {}).get("allocatable") or {}
        gpus = NodeGpus(
            node=name(node),
            product=said.get("nvidia.com/gpu.product", ""),
            count=_number(said.get("nvidia.com/gpu.count")),
            replicas=_number(said.get("nvidia.com/gpu.replicas")),
            strategy=said.get("nvidia.com/gpu.sharing-strategy", ""),
            allocatable=_number(offered.get(RESOURCE)) or 0,
            renamed=_number(offered.get(f"{RESOURCE}.shared")) or 0,
        )
        if gpus.count or gpus.allocatable or gpus.renamed:
            found.append(gpus)
    return found


def _number(text: Any) -> int | None:
    return int(text) if text is not None and str(text).isdigit() else None


def _plugin_config(policy: Object) -> dict[str, str]:
    config = ((policy.get("spec") or {}).get("devicePlugin") or {}).get("config") or {}
    return {key: str(value or "") for key, value in config.items()}


def _refuses_more_than_one(evidence: ClusterEvidence) -> bool | None:
    """What the operator's default configuration says; None where it cannot be known."""
    for policy in evidence.snapshot.all("ClusterPolicy"):
        config = _plugin_config(policy)
        for one in evidence.snapshot.all("ConfigMap"):
            text = (one.get("data") or {}).get(config.get("default", ""))
            if name(one) != config.get("name") or text is None:
                continue
            try:
                sharing = (yaml.safe_load(text) or {}).get("sharing") or {}
                return bool((sharing.get("timeSlicing") or {}).get("failRequestsGreaterThanOne", False))
            except (yaml.YAMLError, AttributeError):
                return None
    return None
