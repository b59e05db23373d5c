"""Checks of the GPUs' exporter and of who scrapes it: where, how often, under which labels. Pure judgement.

A Prometheus that was asked says how it is; without one the monitors of its operator say what somebody wished.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vdibench.preflight.cluster_findings import ClusterEvidence
from vdibench.preflight.cluster_snapshot import (
    Object,
    container_images,
    is_running,
    labels,
    name,
    namespace,
    selects,
)
from vdibench.preflight.findings import failed, no_data, not_applicable, passed
from vdibench.preflight.gpu_checks import INSTALL, gpu_nodes
from vdibench.records import Check
from vdibench.telemetry.prometheus import duration_seconds

__all__ = [
    "DEVICE_LABELS",
    "NODE_LABELS",
    "check_dcgm_exporter",
    "check_dcgm_interval",
    "check_dcgm_labels",
    "check_dcgm_time_slicing",
]

DEVICE_LABELS = ("UUID", "modelName")
"""Labels by which rules and dashboard (``manifests/observability``) tell devices apart."""
NODE_LABELS = ("Hostname", "hostname")
"""The device's node: the exporter wrote it with a capital until 4.7."""

_IMAGE = "dcgm-exporter"
_RUN = "let the GPU Operator run it (dcgmExporter.enabled), and scrape it (manifests/observability)"
# Of dcgm-exporter's command line (pkg/cmd/app.go), in milliseconds; the flag goes before the variable.
_FLAGS, _VARIABLE, _DEFAULT_SECONDS = ("-c", "--collect-interval"), "DCGM_EXPORTER_INTERVAL", 30.0
_NAME_SERVER = "name the Prometheus that scrapes it (--prometheus URL)"
_LOOK_AT_SERVER = "look at its targets: it should scrape the exporter by itself (manifests/observability)"
# Each kind with where it has what it scrapes.
_MONITORS = {"ServiceMonitor": "endpoints", "PodMonitor": "podMetricsEndpoints"}


def check_dcgm_exporter(evidence: ClusterEvidence) -> Check:
    """Every GPU node has an exporter of its GPU's load."""
    source = "running pods with dcgm-exporter in their image"
    wanted = {gpus.node for gpus in gpu_nodes(evidence) if gpus.count}
    nodes = {str(pod["spec"].get("nodeName", "")) for pod in _exporters(evidence)}
    if not wanted:
        return no_data("dcgm_exporter", "no node is labelled with a GPU", source, INSTALL)
    without = sorted(wanted - nodes)
    if without:
        return failed("dcgm_exporter", f"none on {', '.join(without)}", source, _RUN)
    return passed("dcgm_exporter", f"on all {len(wanted)} GPU nodes", source)


def check_dcgm_interval(evidence: ClusterEvidence) -> Check:
    """Figures come often enough for a trial to have several."""
    check, longest = "dcgm_interval", evidence.context.dcgm_seconds
    source = f"{_VARIABLE} and arguments of the exporter's pods; interval of its monitors, or of Prometheus' target"
    if (missing := _nothing_to_look_at(check, evidence, source)) is not None:
        return missing
    asked = {name(pod): _collect_seconds(pod) for pod in _exporters(evidence)}
    scraped, unknown = _scrape_seconds(evidence)
    slow = [f"{pod} asks DCGM every {seconds:g} s" for pod, seconds in asked.items() if (seconds or 0.0) > longest]
    if scraped is not None and scraped > longest:
        slow.append(f"Prometheus scrapes every {scraped:g} s")
    if slow:
        remedy = (
            f"set {_VARIABLE} to {longest * 1000:.0f} or less (dcgmExporter.env, manifests/gpu/values.yaml), and the "
            f"interval of its monitor to {longest:g}s (manifests/observability)"
        )
        return failed(check, f"{'; '.join(slow)}: a trial wants a figure every {longest:g} s", source, remedy)
    hidden = [pod for pod, seconds in asked.items() if seconds is None]
    if hidden:
        remedy = f"write {_VARIABLE} into the exporter's pod as a number of milliseconds"
        return no_data(check, f"how often {', '.join(hidden)} asks DCGM is not in its pod", source, remedy)
    if scraped is None:
        asking = evidence.readings.exporter is not None
        return no_data(check, unknown, source, _LOOK_AT_SERVER if asking else _NAME_SERVER)
    slowest = max(seconds for seconds in asked.values() if seconds is not None)
    return passed(check, f"DCGM is asked every {slowest:g} s, the exporter scraped every {scraped:g} s", source)


def check_dcgm_labels(evidence: ClusterEvidence) -> Check:
    """Devices can be told apart in Prometheus, and their node named: rules and dashboard group by these labels."""
    check = "dcgm_labels"
    remedy = (
        f"keep {', '.join(DEVICE_LABELS)} and {' or '.join(NODE_LABELS)} as the exporter writes them: rules and "
        "dashboard group by them, and without UUID several GPUs are one"
    )
    wanted = f"{', '.join(DEVICE_LABELS)} and the node"
    reading, source = evidence.readings.exporter, "relabelings of the exporter's monitors"
    if reading is not None:
        source = f"series of DCGM in Prometheus at {reading.server}"
    if (missing := _nothing_to_look_at(check, evidence, source)) is not None:
        return missing
    if reading is not None:
        if reading.error:
            return no_data(check, reading.error, source, _LOOK_AT_SERVER)
        if reading.without:
            return failed(check, f"series are without {', '.join(reading.without)}", source, remedy)
        return passed(check, f"every series has {wanted}", source)
    found = _endpoints(evidence)
    if not found:
        return no_data(check, _unseen(evidence, "under which labels Prometheus has it"), source, _NAME_SERVER)
    lost = sorted({label for endpoint in found for label in _lost(endpoint)})
    if lost:
        return failed(check, f"a monitor takes away or overwrites {', '.join(lost)}", source, remedy)
    return passed(check, f"the exporter's monitors leave {wanted} as they are", source)


def check_dcgm_time_slicing(evidence: ClusterEvidence) -> Check:
    """Whether the exporter's figures can be told apart by session."""
    source = "label nvidia.com/gpu.replicas; NVIDIA/dcgm-exporter#307, #582"
    found = [gpus for gpus in gpu_nodes(evidence) if gpus.count]
    if not found:
        return not_applicable("dcgm_time_slicing", "no GPU is shared")
    shared = [gpus.node for gpus in found if (gpus.replicas or 1) > 1]
    if shared:
        remedy = (
            "read its figures as the whole GPU's, with max by device and never a sum over pods: it names the last pod "
            "of a device, or gives every pod the device's value"
        )
        finding = f"no figure of the exporter is one session's on {', '.join(shared)}"
        return failed("dcgm_time_slicing", finding, source, remedy)
    return passed("dcgm_time_slicing", "one session a GPU: its figures are the session's", source)


def _nothing_to_look_at(check: str, evidence: ClusterEvidence, source: str) -> Check | None:
    """No data where there is no GPU, or nobody who says anything of it."""
    if not any(gpus.count for gpus in gpu_nodes(evidence)):
        return no_data(check, "no node is labelled with a GPU", source, INSTALL)
    return None if _exporters(evidence) else no_data(check, "no DCGM exporter runs", source, _RUN)


def _exporters(evidence: ClusterEvidence) -> list[Object]:
    pods = evidence.snapshot.all("Pod")
    return [pod for pod in pods if is_running(pod) and any(_IMAGE in image for image in container_images(pod))]


def _collect_seconds(pod: Object) -> float | None:
    """How often an exporter asks DCGM; None where its pod does not show it."""
    container = next(one for one in pod["spec"]["containers"] if _IMAGE in str(one.get("image", "")))
    words = [str(word) for word in (*(container.get("command") or ()), *(container.get("args") or ()))]
    for at, word in enumerate(words):
        flag, joined, value = word.partition("=")
        if flag in _FLAGS:
            return _milliseconds(value if joined else "".join(words[at + 1 : at + 2]))
    for variable in container.get("env") or ():
        if variable["name"] == _VARIABLE:
            return _milliseconds(str(variable.get("value", "")))
    return _DEFAULT_SECONDS


def _milliseconds(text: str) -> float | None:
    return int(text) / 1000 if text.isdecimal() else None


def _scrape_seconds(evidence: ClusterEvidence) -> tuple[float | None, str]:
    """How often Prometheus scrapes the exporter, or why that is not known."""
    reading = evidence.readings.exporter
    if reading is not None:
        return reading.interval_seconds, reading.error or "Prometheus does not say how often it scrapes the exporter"
    found = _endpoints(evidence)
    if not found:
        return None, _unseen(evidence, "how often Prometheus scrapes it")
    seconds = [duration_seconds(str(endpoint.get("interval") or "")) for endpoint in found]
    known = [one for one in seconds if one is not None]
    if len(known) < len(seconds):
        return None, "the exporter's monitor names no interval, so that Prometheus' own counts"
    return max(known), ""


def _unseen(evidence: ClusterEvidence, what: str) -> str:
    unread = [kind for kind in (*_MONITORS, "Service") if kind in evidence.snapshot.unread]
    if unread:
        return f"{', '.join(unread)} cannot be read: nobody knows {what}"
    return f"no monitor in the cluster chooses the exporter: nobody knows {what}"


def _endpoints(evidence: ClusterEvidence) -> list[Mapping[str, Any]]:
    """What monitors of Prometheus' operator have to say of scraping the exporter."""
    pods = _exporters(evidence)
    homes = {namespace(pod) for pod in pods}
    services = [
        service
        for service in evidence.snapshot.all("Service")
        if namespace(service) in homes and any(_leads(service, pod) for pod in pods)
    ]
    found: list[Mapping[str, Any]] = []
    for kind, key in _MONITORS.items():
        for monitor in evidence.snapshot.all(kind):
            if any(_chooses(monitor, one) for one in (services if kind == "ServiceMonitor" else pods)):
                found += monitor["spec"].get(key) or ()
    return found


def _leads(service: Object, pod: Object) -> bool:
    selector = service["spec"].get("selector") or {}
    return bool(selector) and namespace(service) == namespace(pod) and dict(selector).items() <= labels(pod).items()


def _chooses(monitor: Object, one: Object) -> bool:
    spec = monitor["spec"]
    homes = spec.get("namespaceSelector") or {}
    reaches = homes.get("any") or namespace(one) in (homes.get("matchNames") or [namespace(monitor)])
    return bool(reaches) and selects(spec.get("selector") or {}, labels(one))


def _lost(endpoint: Mapping[str, Any]) -> Iterator[str]:
    """Labels of the exporter that are gone, or are no longer its own, once an endpoint was scraped."""
    wanted = (*DEVICE_LABELS, *NODE_LABELS)
    rules: Sequence[Mapping[str, Any]] = endpoint.get("metricRelabelings") or ()
    for rule in rules:
        action, pattern = str(rule.get("action") or "replace").lower(), str(rule.get("regex") or "(.*)")
        if action in ("labeldrop", "labelkeep"):
            yield from (label for label in wanted if bool(re.fullmatch(pattern, label)) is (action == "labeldrop"))
    # A label of the target displaces the exporter's, unless that is to be honoured.
    if not endpoint.get("honorLabels"):
        rules = [*rules, *(endpoint.get("relabelings") or ())]
    for rule in rules:
        if str(rule.get("action") or "replace").lower() == "replace":
            label, emptied = rule.get("targetLabel"), rule.get("replacement") == ""
            # Another name for the node is a name for it too.
            if label in DEVICE_LABELS or (label in NODE_LABELS and emptied):
                yield str(label)
