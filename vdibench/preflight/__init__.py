"""Checks of a host and of a cluster before anything is measured there, each with finding, evidence and remedy."""

from vdibench.preflight.cluster_checks import CLUSTER_CHECKS, judge_cluster
from vdibench.preflight.cluster_context import ClusterContext
from vdibench.preflight.cluster_findings import ClusterCheck, ClusterEvidence, ClusterFinding, Severity, outcome_of
from vdibench.preflight.cluster_run import run_cluster_checks
from vdibench.preflight.contexts import HostContext, TurnServer
from vdibench.preflight.host_checks import HOST_CHECKS, HostCheck, run_host_checks

__all__ = [
    "CLUSTER_CHECKS",
    "HOST_CHECKS",
    "ClusterCheck",
    "ClusterContext",
    "ClusterEvidence",
    "ClusterFinding",
    "HostCheck",
    "HostContext",
    "Severity",
    "TurnServer",
    "judge_cluster",
    "outcome_of",
    "run_cluster_checks",
    "run_host_checks",
]
