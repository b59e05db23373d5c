"""The kinds that the operator reads or writes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from vdi_operator.api.objects import GROUP, VERSION, Kind

__all__ = ["KINDS"]

_ALL = (
    Kind("v1", "Pod", "pods"),
    Kind("v1", "Service", "services"),
    Kind("v1", "Secret", "secrets"),
    Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    Kind("v1", "Event", "events"),
    Kind("apps/v1", "DaemonSet", "daemonsets"),
    # Of no namespace: Kind.path does not fit it.
    Kind("v1", "Node", "nodes"),
    Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    Kind("traefik.io/v1alpha1", "IngressRoute", "ingressroutes"),
    Kind("traefik.io/v1alpha1", "Middleware", "middlewares"),
    Kind(f"{GROUP}/{VERSION}", "VDISession", "vdisessions"),
    Kind(f"{GROUP}/{VERSION}", "VDITemplate", "vditemplates"),
)

KINDS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in _ALL})
