"""Every metric of vdibench, in the order in which they are listed. Data only."""

from __future__ import annotations

from vdibench.metrics import latency_metrics, server_metrics, session_metrics, stream_metrics
from vdibench.metrics.metric import Registry

__all__ = ["REGISTRY"]

REGISTRY = Registry()

for _room in (latency_metrics, stream_metrics, server_metrics, session_metrics):
    for _metric in _room.METRICS:
        REGISTRY.register(_metric)
