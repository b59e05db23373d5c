"""What a Prometheus has of DCGM exporters: how often it scrapes them, and under which labels. Blocking I/O."""

from __future__ import annotations

from vdibench.errors import VdibenchError
from vdibench.preflight.cluster_readings import ExporterReading
from vdibench.preflight.exporter_checks import DEVICE_LABELS, NODE_LABELS
from vdibench.telemetry.prometheus import Access, Prometheus

__all__ = ["read_exporter"]

# A MIG instance has no utilisation, and memory every GPU has.
_SERIES = '{__name__=~"DCGM_FI_DEV_(GPU_UTIL|FB_USED)"}'


def read_exporter(url: str, timeout_seconds: float) -> ExporterReading:
    """Ask the server at a URL; what goes wrong is in the answer.

    :param timeout_seconds: of each of its answers.
    """
    try:
        server = Prometheus(url, Access.from_environment(), timeout_seconds=timeout_seconds)
        series = [one.labels for one in server.query(_SERIES)]
        if not series:
            return ExporterReading(url, error="it has no series of a DCGM exporter")
        scraped = {(one.get("job", ""), one.get("instance", "")) for one in series}
        seconds = [one.interval_seconds for one in server.targets() if (one.job, one.instance) in scraped]
    except VdibenchError as error:
        return ExporterReading(url, error=str(error))
    without = [label for label in DEVICE_LABELS if not all(one.get(label) for one in series)]
    if not all(any(one.get(label) for label in NODE_LABELS) for one in series):
        without.append(" or ".join(NODE_LABELS))
    known = [one for one in seconds if one is not None]
    return ExporterReading(url, max(known) if known and len(known) == len(seconds) else None, tuple(without))
