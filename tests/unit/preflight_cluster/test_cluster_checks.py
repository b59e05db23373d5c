"""Each check passes on a good cluster and finds the one thing that is made wrong there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from vdibench.preflight import CLUSTER_CHECKS, ClusterCheck, Severity, judge_cluster, outcome_of
from vdibench.preflight.cluster_readings import (
    ClockReading,
    DiskReading,
    ExporterReading,
    NameReading,
    SessionReading,
)
from vdibench.records import Outcome

PASS, FAIL, NO_DATA = Outcome.PASS, Outcome.FAIL, Outcome.NO_DATA
NOT_APPLICABLE = Outcome.NOT_APPLICABLE


def test_a_good_cluster_passes_everything(world):
    found = judge_cluster(world.evidence)
    assert [finding.check.name for finding in found] == [check.name for check in CLUSTER_CHECKS]
    wrong = {finding.check.name: finding.check for finding in found if finding.check.outcome is not PASS}
    # A property of time-slicing, which no admin can mend.
    assert list(wrong) == ["dcgm_time_slicing"]
    assert outcome_of(found) is PASS


def test_names_are_unique_and_severities_used():
    names = [check.name for check in CLUSTER_CHECKS]
    assert len(set(names)) == len(names)
    assert {check.severity for check in CLUSTER_CHECKS} == set(Severity)


def change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Sets what a path leads to, ``~`` for a slash in a name; ``None`` removes it."""
    *folders, last = (part.replace("~", "/") for part in path.split("/"))

    def apply(one: dict[str, Any]) -> None:
        for folder in folders:
            one = one[int(folder) if folder.isdigit() else folder]  # type: ignore[assignment,index] # lists too
        if value is None:
            del one[last]
        else:
            one[last] = value

    return apply


def to(kind: str, name: str, path: str, value: Any) -> Callable[[Any], None]:
    return lambda world: change(path, value)(world.one(kind, name))


def without(kind: str, name: str = "") -> Callable[[Any], None]:
    return lambda world: world.remove(kind, name)


def labelled(**labels: str | None) -> Callable[[Any], None]:
    def apply(world: Any) -> None:
        for short, value in labels.items():
            key = f"nvidia.com/gpu.{short.replace('_', '-')}"
            if value is None:
                del world.node_labels[key]
            else:
                world.node_labels[key] = value

    return apply


def no_gpu(world: Any) -> None:
    labelled(count=None, product=None, replicas=None, sharing_strategy=None)(world)
    del world.node["status"]["allocatable"]["nvidia.com/gpu"]


def read(area: str, index: int | None = 0, **changes: Any) -> Callable[[Any], None]:
    def apply(world: Any) -> None:
        before = world.readings[area]
        if index is None:
            world.readings[area] = dataclasses.replace(before, **changes)
        else:
            changed = dataclasses.replace(before[index], **changes)
            world.readings[area] = (*before[:index], changed, *before[index + 1 :])

    return apply


def missing(*areas: str, **reasons: str) -> Callable[[Any], None]:
    def apply(world: Any) -> None:
        for area in areas:
            world.readings[area] = None if area in ("resolved", "certificate") else ()
        world.readings["missing"] = reasons

    return apply


def named(**context: Any) -> Callable[[Any], None]:
    return lambda world: world.context.update(context)


def asked(**said: Any) -> Callable[[Any], None]:
    """A Prometheus was named, and says this."""
    return lambda world: world.readings.update(exporter=ExporterReading("https://p.example.com", **said))


def unread(*kinds: str) -> Callable[[Any], None]:
    def apply(world: Any) -> None:
        for kind in kinds:
            world.remove(kind)
        world.unread = dict.fromkeys(kinds, "403 Forbidden")

    return apply


def scraped(**endpoint: Any) -> Callable[[Any], None]:
    """What the exporter's monitor says beside its port."""
    return lambda world: world.one("ServiceMonitor", "dcgm")["spec"]["endpoints"][0].update(endpoint)


def by_pod_monitor(world: Any) -> None:
    """The exporter's pods are chosen, and not its Service; who scrapes them loses a label."""
    world.remove("ServiceMonitor")
    endpoint = {"port": "metrics", "interval": "1m", "metricRelabelings": [{"action": "labeldrop", "regex": "U.*"}]}
    world.one("Pod", "nvidia-dcgm")["metadata"]["labels"] = {"app": "exporter"}
    spec = {"selector": {"matchLabels": {"app": "exporter"}}, "podMetricsEndpoints": [endpoint]}
    metadata = {"name": "exporters", "namespace": "gpu-operator"}
    world.documents.append({"kind": "PodMonitor", "metadata": metadata, "spec": spec})


def version(text: str) -> Callable[[Any], None]:
    return lambda world: setattr(world, "version", text)


def both(*changes: Callable[[Any], None]) -> Callable[[Any], None]:
    def apply(world: Any) -> None:
        for one in changes:
            one(world)

    return apply


def old_crd(world: Any) -> None:
    names = {"kind": "IngressRoute", "plural": "ingressroutes"}
    spec = {"group": "traefik.containo.us", "names": names, "versions": [{"name": "v1alpha1", "served": True}]}
    metadata = {"name": "ingressroutes.traefik.containo.us"}
    world.documents.append({"kind": "CustomResourceDefinition", "metadata": metadata, "spec": spec})


def second_node(world: Any) -> None:
    node = {**world.node, "metadata": {"name": "gpu-2", "labels": {**world.node_labels}}}
    node["metadata"]["labels"]["nvidia.com/gpu.sharing-strategy"] = "mps"
    world.documents.append(node)


CONFIG = "spec/devicePlugin/config"
SESSION = "spec/containers/0/env/0/value"
POLICY = "spec/egress/0"
EXPORTER = ("Pod", "nvidia-dcgm")
EXPORTER_ENV, EXPORTER_ARGS = "spec/containers/0/env", "spec/containers/0/args"
TARGET_UUID = {"targetLabel": "UUID", "sourceLabels": ["__meta_kubernetes_pod_uid"]}
FROM_ELSEWHERE = {"name": "DCGM_EXPORTER_INTERVAL", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}

CASES: list[tuple[str, str, Callable[[Any], None], Outcome, str]] = [
    ("server_version", "old", version("v1.28.9"), FAIL, "older than 1.29"),
    ("server_version", "unknown", version("devel"), NO_DATA, "'devel'"),
    ("kubelet_versions", "newer", to("Node", "gpu-1", "status/nodeInfo/kubeletVersion", "v1.35.0"), FAIL, "v1.35.0"),
    ("kubelet_versions", "four older", to("Node", "gpu-1", "status/nodeInfo/kubeletVersion", "v1.30.1"), FAIL, "gpu-1"),
    ("kubelet_versions", "three older", to("Node", "gpu-1", "status/nodeInfo/kubeletVersion", "v1.31.1"), PASS, "1.31"),
    ("kubelet_versions", "none", without("Node"), NO_DATA, "no versions"),
    ("nodes", "cordoned", to("Node", "gpu-1", "spec/unschedulable", True), FAIL, "none of 1"),
    ("nodes", "not ready", to("Node", "gpu-1", "status/conditions/1/status", "Unknown"), FAIL, "none of 1"),
    ("traefik_crds", "one missing", without("CustomResourceDefinition", "tlsstores"), FAIL, "TLSStore"),
    (
        "traefik_crds",
        "not served",
        to("CustomResourceDefinition", "ingress", "spec/versions/0/served", False),
        FAIL,
        "IngressRoute",
    ),
    ("old_traefik_crds", "left", old_crd, FAIL, "traefik.containo.us"),
    (
        "traefik_routes",
        "of version 2",
        to("IngressRoute", "vdi", "spec/routes/0/match", "HostRegexp(`{user:[a-z]+}.vdi.example.com`)"),
        FAIL,
        "vdi-sessions/vdi-session-alice",
    ),
    (
        "traefik_routes",
        "of version 3",
        to("IngressRoute", "vdi", "spec/routes/0/match", r"HostRegexp(`^[a-z]{1,9}\.vdi\.example\.com$`)"),
        PASS,
        "1 routes",
    ),
    ("gpu_slices", "no GPU", no_gpu, FAIL, "no node has a GPU"),
    ("gpu_slices", "one a GPU", to("Node", "gpu-1", "status/allocatable/nvidia.com~gpu", "1"), FAIL, "not 1 × 8"),
    ("gpu_slices", "no label", labelled(count=None), FAIL, "no label says"),
    ("gpu_slices", "other replicas", labelled(replicas="4"), FAIL, "4 replicas"),
    ("gpu_slices", "whole", both(labelled(replicas="1"), named(replicas=1)), FAIL, "not 1 × 1"),
    ("gpu_config", "no default", to("ClusterPolicy", "c", f"{CONFIG}/default", None), FAIL, "without a default"),
    ("gpu_config", "nothing named", to("ClusterPolicy", "c", CONFIG, {}), FAIL, "no configuration is named"),
    ("gpu_config", "no such key", to("ClusterPolicy", "c", f"{CONFIG}/default", "other"), FAIL, "no key other"),
    ("gpu_config", "no ConfigMap", without("ConfigMap"), FAIL, "ConfigMap time-slicing-config"),
    ("gpu_config", "no operator", without("ClusterPolicy"), PASS, "no GPU Operator"),
    ("gpu_config", "nothing at all", both(no_gpu, without("ClusterPolicy")), NO_DATA, "no ClusterPolicy"),
    ("gpu_sharing", "not shared", labelled(sharing_strategy="none"), FAIL, "none"),
    ("gpu_sharing", "by MPS", labelled(sharing_strategy="mps"), FAIL, "MPS"),
    ("gpu_sharing", "nodes differ", second_node, FAIL, "nodes differ"),
    ("gpu_sharing", "two slices", to("ConfigMap", "t", "data/any", "sharing: {timeSlicing: {}}"), FAIL, "ask for two"),
    ("gpu_sharing", "unreadable", to("ConfigMap", "t", "data/any", "a: ["), PASS, "time-slicing"),
    ("gpu_sharing", "no GPU", no_gpu, NO_DATA, "no node is labelled"),
    ("encoder_engines", "A100", labelled(product="NVIDIA-A100-SXM4-80GB"), FAIL, "A100"),
    ("encoder_engines", "H100", labelled(product="NVIDIA-H100-80GB-HBM3-SHARED"), FAIL, "H100"),
    ("encoder_engines", "H200", labelled(product="NVIDIA-H200"), FAIL, "H200"),
    ("encoder_engines", "unknown", labelled(product="NVIDIA-Z1"), NO_DATA, "NVIDIA-Z1"),
    ("encoder_engines", "one engine", labelled(product="Tesla-T4-SHARED"), PASS, "more than 323"),
    ("encoder_engines", "no GPU", no_gpu, NO_DATA, "no node names"),
    ("encoder_sessions", "GeForce at the limit", labelled(product="NVIDIA-GeForce-RTX-4090"), PASS, "at most 8"),
    (
        "encoder_sessions",
        "GeForce above it",
        both(
            labelled(product="NVIDIA-GeForce-RTX-4090"),
            to("Node", "gpu-1", "status/allocatable/nvidia.com~gpu", "16"),
        ),
        FAIL,
        "16 slices",
    ),
    ("encoder_sessions", "no GPU", no_gpu, NO_DATA, "no node names"),
    ("runtime_class", "missing", without("RuntimeClass"), FAIL, "there is no nvidia; there is none"),
    ("home_class", "missing", without("StorageClass"), FAIL, "there is no vdi-home"),
    ("home_class", "deletes", to("StorageClass", "v", "reclaimPolicy", "Delete"), FAIL, "takes the home with it"),
    ("home_class", "binds at once", to("StorageClass", "v", "volumeBindingMode", None), FAIL, "chooses the node"),
    ("home_class", "nobody", without("Pod", "local-path"), FAIL, "no pod provides"),
    ("home_class", "other", to("StorageClass", "v", "provisioner", "csi.example.com"), PASS, "csi.example.com"),
    ("home_disk", "slow sync", read("disks", fsync_seconds=(0.001,) * 290 + (0.2,) * 10), FAIL, "later than 50 ms"),
    ("home_disk", "slow write", read("disks", write_bytes_per_second=1e6), FAIL, "less than 50 MB/s"),
    ("home_disk", "few and slow", read("disks", fsync_seconds=(0.3,) * 90), FAIL, "too slowly"),
    ("home_disk", "few", read("disks", fsync_seconds=(0.001,) * 90), NO_DATA, "too few"),
    ("home_disk", "no pod", missing("disks", pods="no image is known"), NO_DATA, "no image is known"),
    ("home_disk", "refused", read("disks", fsync_seconds=(), error="violates PodSecurity"), NO_DATA, "PodSecurity"),
    ("relay", "none", without("Pod", "coturn"), FAIL, "no coturn runs"),
    ("relay", "ending", to("Pod", "coturn", "metadata/deletionTimestamp", "now"), FAIL, "no coturn runs"),
    ("relay", "inner", to("Pod", "coturn", "spec/hostNetwork", False), FAIL, "not on its node's network"),
    ("relay_version", "old", read("bindings", software="Coturn-4.6.1 'Gorst'"), FAIL, "4.6.1 is older"),
    ("relay_version", "by its image", read("bindings", software=""), PASS, "4.17.1"),
    (
        "relay_version",
        "old image",
        both(read("bindings", software=""), to("Pod", "coturn", "spec/containers/0/image", "coturn/coturn:4.6.2-r3")),
        FAIL,
        "4.6.2",
    ),
    (
        "relay_version",
        "silent",
        both(read("bindings", software=""), to("Pod", "coturn", "spec/containers/0/image", "coturn@sha256:00")),
        NO_DATA,
        "no version",
    ),
    ("udp_path", "lost", read("bindings", error="no answer in time"), FAIL, "no answer in time"),
    ("udp_path", "nobody", missing("bindings"), NO_DATA, "no coturn"),
    ("relay_udp", "refused", read("turn", 0, error="refused with 401 Unauthorized"), FAIL, "401"),
    ("relay_udp", "no passage", read("turn", 0, passage_seconds=None, passage_error="403 Forbidden"), FAIL, "403"),
    ("relay_udp", "open", read("turn", 0, wrong_password="accepted"), FAIL, "relays for anybody"),
    ("relay_udp", "mute", read("turn", 0, wrong_password="no answer (timed out)"), FAIL, "says nothing"),
    ("relay_udp", "no secret", missing("turn", turn="Secret x cannot be read: 403 Forbidden"), NO_DATA, "403"),
    ("relay_udp", "TCP is another check", read("turn", 1, error="refused"), PASS, "192.0.2.10:50000"),
    ("relay_tcp", "refused", read("turn", 1, error="Connection refused"), FAIL, "Connection refused"),
    ("relay_policy", "moved", to("Pod", "coturn", "status/hostIP", "192.0.2.11"), FAIL, "192.0.2.11:3478 UDP"),
    ("relay_policy", "a selector", to("NetworkPolicy", "allow", f"{POLICY}/to", [{"podSelector": {}}]), FAIL, "TCP"),
    (
        "relay_policy",
        "no TCP",
        to("NetworkPolicy", "allow", f"{POLICY}/ports", [{"port": 3478, "protocol": "UDP"}]),
        FAIL,
        "may not reach 192.0.2.10:3478 TCP",
    ),
    (
        "relay_policy",
        "a hole",
        to("NetworkPolicy", "allow", f"{POLICY}/to/0/ipBlock/except", ["192.0.2.0/28"]),
        FAIL,
        "UDP",
    ),
    ("relay_policy", "no exception", without("NetworkPolicy", "allow"), FAIL, "may not reach"),
    ("relay_policy", "open", without("NetworkPolicy"), PASS, "no policy restricts"),
    ("relay_policy", "no coturn", without("Pod", "coturn"), NO_DATA, "no coturn runs"),
    (
        "session_relay",
        "public",
        read("sessions", urls=("stun:stun.example.org:19302", "turn:relay.example.org:443")),
        FAIL,
        "relay.example.org, stun.example.org",
    ),
    ("session_relay", "no relay", read("sessions", urls=("stun:192.0.2.10:3478",)), FAIL, "names no relay"),
    ("session_relay", "nothing", read("sessions", urls=()), FAIL, "names no relay"),
    ("session_relay", "unasked", read("sessions", error="/api/turn answers 401"), NO_DATA, "401"),
    ("session_relay", "no session", missing("sessions"), NOT_APPLICABLE, "no session runs"),
    ("session_relay", "broken", missing("sessions", sessions="the probe failed with x"), NO_DATA, "the probe failed"),
    (
        "session_relay",
        "by another name",
        both(read("sessions", urls=("turn:turn.example.com",)), named(relay_names=("turn.example.com",))),
        PASS,
        "turn.example.com",
    ),
    ("session_secret", "a link", to("Pod", "vdi", SESSION, "/run/rtc/rtc.json"), FAIL, "vdi-session-alice"),
    ("session_secret", "its target", to("Pod", "vdi", SESSION, "/run/rtc/..data/rtc.json"), PASS, "plain file"),
    (
        "session_secret",
        "subPath",
        both(
            to("Pod", "vdi", SESSION, "/run/rtc/rtc.json"),
            to("Pod", "vdi", "spec/containers/0/volumeMounts/1/subPath", "rtc.json"),
        ),
        PASS,
        "plain file",
    ),
    ("session_secret", "no session", without("Pod", "vdi"), NOT_APPLICABLE, "no session runs"),
    ("wildcard_name", "unknown", read("resolved", None, addresses=(), error="no address: x"), FAIL, "no address"),
    ("wildcard_name", "elsewhere", read("resolved", None, addresses=("203.0.113.1",)), FAIL, "203.0.113.1"),
    ("wildcard_name", "no ingress", missing("ingress"), NO_DATA, "nobody knows where"),
    ("wildcard_name", "no domain", missing("resolved", ingress="nobody says"), NO_DATA, "nobody says"),
    ("certificate", "none", read("certificate", None, error="Connection refused"), FAIL, "Connection refused"),
    ("certificate", "distrusted", read("certificate", None, distrust="self-signed"), FAIL, "not trusted, self-signed"),
    ("certificate", "of one host", read("certificate", None, names=("a.vdi.example.com",)), FAIL, "not for *.vdi"),
    ("certificate", "ending", read("certificate", None, ends_unix_seconds=1.7e9 + 86_400), FAIL, "1 days left"),
    ("certificate", "beginning", read("certificate", None, begins_unix_seconds=1.7e9 + 9), FAIL, "not valid yet"),
    ("certificate", "no domain", missing("certificate", ingress="nobody says"), NO_DATA, "nobody says"),
    ("clocks", "apart", read("clocks", offset_seconds=-5.0), FAIL, "-5000.0"),
    ("clocks", "unsure", read("clocks", bound_seconds=3.0), NO_DATA, "cannot be told"),
    ("clocks", "no pod", missing("clocks", pods="no pod was to be placed"), NO_DATA, "no pod was to be placed"),
    ("dcgm_exporter", "missing", without("Pod", "nvidia-dcgm"), FAIL, "none on gpu-1"),
    ("dcgm_exporter", "no GPU", no_gpu, NO_DATA, "no node is labelled"),
    ("dcgm_interval", "as the exporter has it", to(*EXPORTER, EXPORTER_ENV, None), FAIL, "asks DCGM every 30 s"),
    ("dcgm_interval", "by an argument", to(*EXPORTER, EXPORTER_ARGS, ["-c", "1000"]), PASS, "asked every 1 s"),
    ("dcgm_interval", "by another", to(*EXPORTER, EXPORTER_ARGS, ["--collect-interval=60000"]), FAIL, "every 60 s"),
    ("dcgm_interval", "an empty argument", to(*EXPORTER, EXPORTER_ARGS, ["-c"]), NO_DATA, "not in its pod"),
    ("dcgm_interval", "from elsewhere", to(*EXPORTER, EXPORTER_ENV, [FROM_ELSEWHERE]), NO_DATA, "not in its pod"),
    ("dcgm_interval", "scraped seldom", scraped(interval="15s"), FAIL, "Prometheus scrapes every 15 s"),
    ("dcgm_interval", "Prometheus' own", scraped(interval=None), NO_DATA, "names no interval"),
    ("dcgm_interval", "by its pods", by_pod_monitor, FAIL, "scrapes every 60 s"),
    ("dcgm_interval", "no monitor", without("ServiceMonitor"), NO_DATA, "no monitor in the cluster chooses"),
    ("dcgm_interval", "another's", to("ServiceMonitor", "d", "spec/namespaceSelector", {}), NO_DATA, "no monitor"),
    ("dcgm_interval", "no rights", unread("ServiceMonitor"), NO_DATA, "ServiceMonitor cannot be read"),
    ("dcgm_interval", "asked", both(without("ServiceMonitor"), asked(interval_seconds=2.0)), PASS, "every 2 s"),
    ("dcgm_interval", "asked and slow", asked(interval_seconds=60.0), FAIL, "Prometheus scrapes every 60 s"),
    ("dcgm_interval", "asked in vain", asked(error="it does not answer"), NO_DATA, "it does not answer"),
    ("dcgm_interval", "asked a store", asked(), NO_DATA, "does not say how often"),
    ("dcgm_interval", "no exporter", without(*EXPORTER), NO_DATA, "no DCGM exporter runs"),
    ("dcgm_interval", "no GPU", no_gpu, NO_DATA, "no node is labelled"),
    (
        "dcgm_labels",
        "dropped",
        scraped(metricRelabelings=[{"action": "labeldrop", "regex": "UUID|modelName"}]),
        FAIL,
        "UUID, modelName",
    ),
    (
        "dcgm_labels",
        "not kept",
        scraped(metricRelabelings=[{"action": "LabelKeep", "regex": "__name__|gpu|[Hh]ostname|modelName"}]),
        FAIL,
        "overwrites UUID",
    ),
    (
        "dcgm_labels",
        "kept",
        scraped(metricRelabelings=[{"action": "labelkeep", "regex": "__name__|UUID|[Hh]ostname|modelName"}]),
        PASS,
        "leave UUID",
    ),
    ("dcgm_labels", "of the target", scraped(relabelings=[TARGET_UUID]), FAIL, "overwrites UUID"),
    ("dcgm_labels", "honoured", scraped(relabelings=[TARGET_UUID], honorLabels=True), PASS, "leave UUID"),
    ("dcgm_labels", "its own", scraped(metricRelabelings=[TARGET_UUID], honorLabels=True), FAIL, "overwrites UUID"),
    (
        "dcgm_labels",
        "emptied",
        scraped(metricRelabelings=[{"targetLabel": "Hostname", "replacement": ""}]),
        FAIL,
        "overwrites Hostname",
    ),
    (
        "dcgm_labels",
        "the node by another name",
        scraped(relabelings=[{"targetLabel": "Hostname", "sourceLabels": ["__meta_kubernetes_pod_node_name"]}]),
        PASS,
        "leave UUID",
    ),
    ("dcgm_labels", "by its pods", by_pod_monitor, FAIL, "overwrites UUID"),
    ("dcgm_labels", "no monitor", without("ServiceMonitor"), NO_DATA, "under which labels"),
    ("dcgm_labels", "asked", both(without("ServiceMonitor"), asked()), PASS, "every series has UUID"),
    ("dcgm_labels", "asked and without", asked(without=("UUID",)), FAIL, "series are without UUID"),
    ("dcgm_labels", "asked in vain", asked(error="it does not answer"), NO_DATA, "it does not answer"),
    ("dcgm_labels", "no exporter", without(*EXPORTER), NO_DATA, "no DCGM exporter runs"),
    ("dcgm_labels", "no GPU", no_gpu, NO_DATA, "no node is labelled"),
    ("dcgm_time_slicing", "shared", named(), FAIL, "no figure of the exporter is one session's on gpu-1"),
    ("dcgm_time_slicing", "whole", labelled(replicas="1"), PASS, "one session a GPU"),
    ("dcgm_time_slicing", "no GPU", no_gpu, NOT_APPLICABLE, "no GPU is shared"),
    (
        "pod_security",
        "baseline",
        lambda world: world.one("Namespace", "vdi-sessions")["metadata"].update(labels={}),
        FAIL,
        "enforces no level",
    ),
    ("pod_security", "no namespace", without("Namespace", "vdi-sessions"), FAIL, "no namespace vdi-sessions"),
    (
        "pod_security",
        "coturn cannot",
        lambda world: world.one("Namespace", "vdi-turn")["metadata"].update(
            labels={"pod-security.kubernetes.io/enforce": "restricted"}
        ),
        FAIL,
        "forbids the node's network",
    ),
    ("default_deny", "none", without("NetworkPolicy", "default-deny"), FAIL, "Ingress and Egress"),
    ("default_deny", "one way", to("NetworkPolicy", "default", "spec/policyTypes", ["Ingress"]), FAIL, "Egress of"),
    ("default_deny", "a hole", to("NetworkPolicy", "default", "spec/ingress", [{}]), FAIL, "Ingress of"),
    ("policy_engine", "nobody", named(policy_enforced=False), FAIL, "gets through"),
    ("policy_engine", "not probed", named(policy_enforced=None), NO_DATA, "nobody has probed it; seen: kube-router in"),
    (
        "policy_engine",
        "probed in vain",
        named(policy_enforced=None, policy_fault="there is no image"),
        NO_DATA,
        "probed, and it cannot be told: there is no image",
    ),
    (
        "policy_engine",
        "a hole",
        named(policy_fault="open, and should not be: session_to_session"),
        FAIL,
        "and yet: open, and should not be: session_to_session",
    ),
]


@pytest.mark.parametrize(
    ("check", "spoil", "outcome", "words"),
    [(check, spoil, outcome, words) for check, _, spoil, outcome, words in CASES],
    ids=[f"{check}: {title}" for check, title, *_ in CASES],
)
def test_one_thing_is_changed(world, check: str, spoil: Callable[[Any], None], outcome: Outcome, words: str):
    spoil(world)
    found = world.check(check)
    assert found.outcome is outcome, found
    assert words in found.finding, found
    assert bool(found.remedy) == (outcome in (FAIL, NO_DATA))
    assert "\n" not in found.finding + found.evidence + found.remedy


def test_every_check_is_proven_both_ways(world):
    """It passes on the good cluster or in a case of its own, and fails in one."""
    good = {finding.check.name for finding in judge_cluster(world.evidence) if finding.check.outcome is PASS}
    passing = good | {check for check, _, _, outcome, _ in CASES if outcome is PASS}
    failing = {check for check, _, _, outcome, _ in CASES if outcome is FAIL}
    names = {check.name for check in CLUSTER_CHECKS}
    assert passing == names
    assert failing == names


def test_coturn_s_log_names_its_version_where_stun_does_not(world):
    read("bindings", software="")(world)
    world.readings["turn_log"] = "0: : Coturn Version Coturn-4.5.2 'dan Eider'\n0: : Max number of open files"
    found = world.check("relay_version")
    assert found.outcome is FAIL
    assert found.evidence == "coturn's log"


@pytest.mark.parametrize("check", [check for check in CLUSTER_CHECKS if check.needs], ids=lambda check: check.name)
def test_what_may_not_be_read_is_no_data(world, check: ClusterCheck):
    world.unread = {check.needs[0]: "403 Forbidden"}
    found = world.check(check.name)
    assert found.outcome is NO_DATA
    assert check.needs[0] in found.finding
    assert "403" in found.evidence


def test_a_check_that_breaks_is_no_data_and_the_others_are_judged(world):
    del world.node["status"]["conditions"][0]["type"]
    found = {finding.check.name: finding.check for finding in judge_cluster(world.evidence)}
    assert found["nodes"].outcome is NO_DATA
    assert "KeyError" in found["nodes"].finding
    assert found["gpu_slices"].outcome is PASS


def test_information_does_not_decide(world):
    found = judge_cluster(world.evidence)
    [information] = [finding for finding in found if not finding.counts]
    assert information.check.outcome is FAIL
    world.context["policy_enforced"] = False
    assert outcome_of(judge_cluster(world.evidence)) is FAIL


def test_played_nodes_are_no_nodes(world):
    played = {"name": "played-0", "annotations": {"kwok.x-k8s.io/node": "fake"}, "labels": {}}
    world.documents.append({"kind": "Node", "metadata": played, "status": {"allocatable": {"nvidia.com/gpu": "8"}}})
    assert world.check("gpu_slices").outcome is PASS


def test_several_readings_are_all_told(world):
    world.readings["disks"] = (*world.readings["disks"], DiskReading("gpu-2", error="0/2 nodes are available"))
    world.readings["clocks"] = (*world.readings["clocks"], ClockReading("gpu-2", error="not running"))
    for check in ("home_disk", "clocks"):
        found = world.check(check)
        assert found.outcome is NO_DATA
        assert "gpu-2" in found.finding
    world.readings["sessions"] = (*world.readings["sessions"], SessionReading("bob", ("stun:stun.example.org",)))
    assert world.check("session_relay").finding == "bob names stun.example.org"


def test_a_balancer_s_name_is_no_mistake(world):
    world.readings |= {"ingress": ("192.0.2.10", "192.0.2.11")}
    world.readings["resolved"] = NameReading("preflight-1.vdi.example.com", ("192.0.2.11",))
    assert world.check("wildcard_name").outcome is PASS
