"""Checks of where homes are kept: the class, who provides it, and how fast its volumes are. Pure judgement."""

from __future__ import annotations

import numpy as np

from vdibench.preflight.cluster_findings import ClusterEvidence
from vdibench.preflight.cluster_readings import DiskReading
from vdibench.preflight.cluster_snapshot import ClusterSnapshot, container_images, is_running, name
from vdibench.preflight.findings import failed, no_data, passed
from vdibench.records import Check

__all__ = ["FEWEST_SYNCS", "check_home_class", "check_home_disk"]

FEWEST_SYNCS = 200
"""Below that number of samples nothing is said about p99."""

# Provisioner -> what the image of its pod is called.
_LOCAL_PATH = {"rancher.io/local-path": "local-path-provisioner"}


def check_home_class(evidence: ClusterEvidence) -> Check:
    """The class of homes keeps data, waits for a node with a GPU, and somebody provides it."""
    wanted = evidence.context.home_class
    source = f"StorageClass {wanted}, pods of its provisioner"
    found = evidence.snapshot.named("StorageClass", wanted)
    if found is None:
        there = ", ".join(sorted(name(one) for one in evidence.snapshot.all("StorageClass"))) or "none"
        remedy = "kubectl apply -k manifests/storage, or name your own class"
        return failed("home_class", f"there is no {wanted}; there is {there}", source, remedy)
    wrong, remedies = [], []
    if found.get("reclaimPolicy", "Delete") != "Retain":
        wrong.append("a deleted claim takes the home with it")
        remedies.append("reclaimPolicy: Retain")
    if found.get("volumeBindingMode", "Immediate") != "WaitForFirstConsumer":
        wrong.append("the volume chooses the node, with or without a free GPU slice")
        remedies.append("volumeBindingMode: WaitForFirstConsumer")
    provisioner = str(found.get("provisioner", ""))
    if not _is_provided(evidence.snapshot, provisioner):
        wrong.append(f"no pod provides {provisioner}")
        remedies.append("start its provisioner (K3s brings it unless it was disabled)")
    if wrong:
        remedy = f"{'; '.join(remedies)}. A class cannot be changed: delete it and make it again, volumes stay"
        return failed("home_class", f"{wanted}: {'; '.join(wrong)}", source, remedy)
    return passed("home_class", f"{wanted} by {provisioner}, Retain, WaitForFirstConsumer", source)


def check_home_disk(evidence: ClusterEvidence) -> Check:
    """A home takes a synced write quickly, and a long one fast, on every node that was tried."""
    source = "synced writes of 4 KiB and a long write, in a pod, on a volume of the homes' class"
    readings, context = evidence.readings, evidence.context
    remedy = "put the homes on an SSD of the node's own, and look for what else writes there"
    if not readings.disks:
        reason = readings.missing.get("pods", "no pod was placed")
        return no_data("home_disk", reason, source, "let preflight place its pods, with --image of the desktop")
    broken = [f"{disk.node}: {disk.error}" for disk in readings.disks if disk.error]
    slow, said = [], []
    for disk in readings.disks:
        if disk.error:
            continue
        said.append(_figures(disk))
        p50, p99 = np.percentile(disk.fsync_seconds, [50, 99])
        if len(disk.fsync_seconds) < FEWEST_SYNCS:
            # The probe's time was over: they were few because they were long.
            if p50 > context.fsync_seconds:
                slow.append(f"{disk.node} syncs too slowly")
            else:
                broken.append(f"{disk.node}: {len(disk.fsync_seconds)} samples are too few")
        elif p99 > context.fsync_seconds:
            slow.append(f"{disk.node} syncs later than {context.fsync_seconds * 1000:g} ms")
        if disk.write_bytes_per_second < context.write_bytes_per_second:
            slow.append(f"{disk.node} writes less than {context.write_bytes_per_second / 1e6:g} MB/s")
    finding = "; ".join([*slow, *broken, *said])
    if slow:
        return failed("home_disk", finding, source, remedy)
    if broken:
        return no_data("home_disk", finding, source, "look at the events of the pods and claims that it names")
    return passed("home_disk", finding, source)


def _figures(disk: DiskReading) -> str:
    p50, p99 = np.percentile(disk.fsync_seconds, [50, 99])
    return (
        f"{disk.node}: fsync p50 {p50 * 1000:.2f} ms, p99 {p99 * 1000:.2f} ms of {len(disk.fsync_seconds)}, "
        f"{disk.write_bytes_per_second / 1e6:.0f} MB/s"
    )


def _is_provided(snapshot: ClusterSnapshot, provisioner: str) -> bool:
    """Whether its pod runs; of a provisioner that we do not know, nobody can say, and the disk's probe will."""
    wanted = _LOCAL_PATH.get(provisioner)
    if wanted is None:
        return True
    return any(
        is_running(pod) and any(wanted in image for image in container_images(pod)) for pod in snapshot.all("Pod")
    )
