"""Kubernetes, as vdibench uses it: a connection, objects that are a run's own, and what events say of a session."""

from vdibench.clusters.connection import Cluster, connect

__all__ = ["Cluster", "connect"]
