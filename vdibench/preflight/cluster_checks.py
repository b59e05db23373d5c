"""The checks of a cluster in order, and how they are judged. Pure: everything was read and measured before."""

from __future__ import annotations

from collections.abc import Sequence

from vdibench.preflight.address_checks import check_certificate, check_clocks, check_wildcard_name
from vdibench.preflight.cluster_findings import ClusterCheck, ClusterEvidence, ClusterFinding, Severity
from vdibench.preflight.exporter_checks import (
    check_dcgm_exporter,
    check_dcgm_interval,
    check_dcgm_labels,
    check_dcgm_time_slicing,
)
from vdibench.preflight.findings import no_data
from vdibench.preflight.gpu_checks import (
    check_encoder_engines,
    check_encoder_sessions,
    check_gpu_config,
    check_gpu_sharing,
    check_gpu_slices,
    check_runtime_class,
)
from vdibench.preflight.relay_checks import (
    check_relay,
    check_relay_tcp,
    check_relay_udp,
    check_relay_version,
    check_udp_path,
)
from vdibench.preflight.security_checks import (
    check_default_deny,
    check_pod_security,
    check_policy_engine,
    check_relay_policy,
)
from vdibench.preflight.session_checks import check_session_relay, check_session_secret
from vdibench.preflight.storage_checks import check_home_class, check_home_disk
from vdibench.preflight.version_checks import (
    check_kubelet_versions,
    check_nodes,
    check_old_traefik_crds,
    check_server_version,
    check_traefik_crds,
    check_traefik_routes,
)
from vdibench.records import Check

__all__ = ["CLUSTER_CHECKS", "judge_cluster"]

_BLOCKING, _WARNING, _INFORMATION = Severity.BLOCKING, Severity.WARNING, Severity.INFORMATION
_CRDS = ("CustomResourceDefinition",)

CLUSTER_CHECKS: tuple[ClusterCheck, ...] = (
    ClusterCheck("server_version", _BLOCKING, "is Kubernetes new enough", check_server_version),
    ClusterCheck("kubelet_versions", _WARNING, "do kubelets fit the API server", check_kubelet_versions, ("Node",)),
    ClusterCheck("nodes", _BLOCKING, "does a node take pods", check_nodes, ("Node",)),
    ClusterCheck("traefik_crds", _BLOCKING, "does the cluster know Traefik 3's kinds", check_traefik_crds, _CRDS),
    ClusterCheck("old_traefik_crds", _WARNING, "are kinds of Traefik 2 left", check_old_traefik_crds, _CRDS),
    ClusterCheck(
        "traefik_routes", _BLOCKING, "are routes written for Traefik 3", check_traefik_routes, ("IngressRoute",)
    ),
    ClusterCheck("gpu_slices", _BLOCKING, "are slices GPUs × replicas", check_gpu_slices, ("Node",)),
    ClusterCheck("gpu_config", _BLOCKING, "has time-slicing a default", check_gpu_config, ("ClusterPolicy", "Node")),
    ClusterCheck("gpu_sharing", _WARNING, "how are GPUs shared", check_gpu_sharing, ("Node",)),
    ClusterCheck("encoder_engines", _BLOCKING, "has each GPU a video encoder", check_encoder_engines, ("Node",)),
    ClusterCheck("encoder_sessions", _WARNING, "does the driver limit sessions", check_encoder_sessions, ("Node",)),
    ClusterCheck("runtime_class", _BLOCKING, "is NVIDIA's runtime there", check_runtime_class, ("RuntimeClass",)),
    ClusterCheck("home_class", _BLOCKING, "are homes kept", check_home_class, ("StorageClass", "Pod")),
    ClusterCheck("home_disk", _WARNING, "are homes fast", check_home_disk),
    ClusterCheck("relay", _BLOCKING, "does coturn run", check_relay, ("Pod",)),
    ClusterCheck("relay_version", _WARNING, "is coturn new enough", check_relay_version, ("Pod",)),
    ClusterCheck("udp_path", _BLOCKING, "does UDP get to coturn", check_udp_path, ("Pod",)),
    ClusterCheck("relay_udp", _BLOCKING, "does coturn relay, by UDP", check_relay_udp, ("Pod",)),
    ClusterCheck("relay_tcp", _WARNING, "does coturn relay, by TCP", check_relay_tcp, ("Pod",)),
    ClusterCheck("relay_policy", _BLOCKING, "may sessions reach coturn", check_relay_policy, ("Pod", "NetworkPolicy")),
    ClusterCheck("session_relay", _BLOCKING, "do sessions use our relay", check_session_relay, ("Pod",)),
    ClusterCheck("session_secret", _BLOCKING, "can sessions read their configuration", check_session_secret, ("Pod",)),
    ClusterCheck("wildcard_name", _BLOCKING, "do desktops' names lead here", check_wildcard_name),
    ClusterCheck("certificate", _BLOCKING, "is the certificate trusted", check_certificate),
    ClusterCheck("clocks", _WARNING, "do the nodes' clocks agree", check_clocks),
    ClusterCheck("dcgm_exporter", _WARNING, "is each GPU's load exported", check_dcgm_exporter, ("Pod", "Node")),
    ClusterCheck("dcgm_interval", _WARNING, "is load exported often", check_dcgm_interval, ("Pod", "Node")),
    ClusterCheck("dcgm_labels", _WARNING, "can GPUs be told apart", check_dcgm_labels, ("Pod", "Node")),
    ClusterCheck("dcgm_time_slicing", _INFORMATION, "whose load is exported", check_dcgm_time_slicing, ("Node",)),
    ClusterCheck("pod_security", _BLOCKING, "are desktops restricted", check_pod_security, ("Namespace",)),
    ClusterCheck("default_deny", _BLOCKING, "is everything denied by default", check_default_deny, ("NetworkPolicy",)),
    ClusterCheck("policy_engine", _BLOCKING, "does anybody enforce policies", check_policy_engine, ("Pod",)),
)


def judge_cluster(
    evidence: ClusterEvidence, checks: Sequence[ClusterCheck] = CLUSTER_CHECKS
) -> tuple[ClusterFinding, ...]:
    """Judge everything, in order. A check whose objects may not be read has no data, and so has one that breaks."""
    return tuple(ClusterFinding(_judge(check, evidence), check.severity, check.question) for check in checks)


def _judge(check: ClusterCheck, evidence: ClusterEvidence) -> Check:
    unread = {kind: evidence.snapshot.unread[kind] for kind in check.needs if kind in evidence.snapshot.unread}
    if unread:
        said = ", ".join(f"{kind}: {reason}" for kind, reason in unread.items())
        remedy = f"let this user list {', '.join(unread)} of all namespaces, or use an administrator's context"
        return no_data(check.name, f"cannot be read: {', '.join(unread)}", said, remedy)
    try:
        return check.judge(evidence)
    except Exception as error:  # an object that nobody foresaw must not hide what the other checks find
        return no_data(
            check.name,
            f"the check itself failed with {type(error).__name__}",
            str(error) or type(error).__name__,
            "report this as a defect, with the message",
        )
