"""What a person does about a condition's reason. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from vdi_operator.api.reasons import Reason

__all__ = ["REMEDIES"]

_WAIT = "wait; it goes on by itself"

# Every reason there is; empty where nothing is to be done.
REMEDIES: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.ACCEPTED: "",
        Reason.BOUND: "",
        Reason.ASSIGNED: "",
        Reason.SERVING: "",
        Reason.ROUTED: "",
        Reason.FRAME_DECODED: "",
        Reason.HARDWARE: "",
        Reason.SOFTWARE_AS_WANTED: "",
        Reason.AS_TEMPLATE: "",
        Reason.PUBLISHED: "",
        Reason.PENDING: f"{_WAIT}; if nothing changes for a minute, see whether the operator runs",
        Reason.WAITING_FOR_VOLUME: f"{_WAIT}; if not, see the events of the claim and the storage class's provisioner",
        Reason.USER_LIMIT_REACHED: "wait, or suspend or delete another session of this user",
        Reason.NAMESPACE_LIMIT_REACHED: "wait until other sessions end, or have the site raise sessionsPerNamespace",
        Reason.CAPACITY_REACHED: "wait, or suspend or delete another session; more GPUs carry more sessions",
        Reason.NO_FREE_SLICE: "wait until another session is suspended or deleted, or add a GPU",
        Reason.HOME_NODE_FULL: "wait, or set spec.homePolicy to Fresh for a temporary home (empty at first, then on "
        "the node where it was made; vdi-operator purge-home --fresh deletes it)",
        Reason.PULLING_IMAGE: f"{_WAIT}; with prepull in the template nodes have the image before anybody waits for it",
        Reason.STARTING: f"{_WAIT}; if not, the pod's log says where it hangs",
        Reason.CHECKING: f"{_WAIT}; the message says why the last look found no frame",
        Reason.RESTARTING: f"{_WAIT}; the pod's log says why it ended",
        Reason.DRAINING: "save what is open; it starts elsewhere, or here after kubectl uncordon of the home's node",
        Reason.TEMPLATE_CHANGED: "suspend and resume to have the desktop as the template is now; else its next start",
        Reason.SUSPENDED: "set spec.operatingMode to Running to have the desktop back, with the same home",
        Reason.IDLE: "open it with vdi-operator open, or suspend and resume; the home is kept",
        Reason.EXPIRED: "its lifetime is over; create another session, the home is kept",
        Reason.DELETING: "wait until it is gone; create another session then, the home is kept",
        Reason.TEMPLATE_NOT_FOUND: "create the VDITemplate, or another session that names one of this namespace",
        Reason.TEMPLATE_INVALID: "mend the field that the message names in the VDITemplate",
        Reason.EVIDENCE_MISSING: "install the template from the chart that vdibench graduate made of a passing run",
        Reason.EVIDENCE_EXPIRED: "run the suites again on these nodes, graduate that run, upgrade the chart",
        Reason.EVIDENCE_MISMATCH: "put the template back as it was graduated, or graduate a run of what it is now",
        Reason.EVIDENCE_OF_LAB: "graduate a run on this site's own nodes, or set allowLabEvidence",
        Reason.SESSION_INVALID: "create another session without the fault that the message names",
        Reason.HOST_TAKEN: "create another session with another spec.host, or delete the one that has it",
        Reason.HOME_IN_USE: "suspend or delete the other session of this user: a home is open in one desktop at a time",
        Reason.HOME_NODE_LOST: "bring back the node that the home lies on, or restore the home elsewhere",
        Reason.VOLUME_FAILED: "see the events of claim and pod: the volume cannot be made or mounted",
        Reason.UNSCHEDULABLE: "compare the template's nodeSelector, resources and GPU with the nodes' labels and sizes",
        Reason.IMAGE_UNAVAILABLE: "check the template's image, its digest, and the nodes' access to the registry",
        Reason.CONTAINER_CONFIG: "see the pod's events: a Secret is missing, or the image does not fit the template",
        Reason.CRASH_LOOP: "read the pod's log: the desktop ends by itself; suspend and resume to try again",
        Reason.QUOTA_EXCEEDED: "raise the namespace's ResourceQuota, or delete sessions",
        Reason.FORBIDDEN: "grant the right that the message names, or change what refuses (Pod Security, a webhook)",
        Reason.NODE_LOST: "see what happened to the node; suspend and resume to start elsewhere, if the home can move",
        Reason.OUT_OF_MEMORY: "raise resources.limits.memory in the template; /dev/shm and /tmp count too",
        Reason.EVICTED: "see the node's pressure (disk, memory); suspend and resume to start again",
        Reason.GPU_ADMISSION: "see the node's device plugin: it gave out a slice that it does not have any more",
        Reason.NO_RELAY: "give the operator the address and secret of your TURN server; else a public one serves",
        Reason.STREAM_FAILED: "read the message and the pod's log: the desktop runs and nobody sees a picture",
        Reason.SOFTWARE_FALLBACK: "check the node's driver and the image's NVENC, or set hardwareEncoding to false",
        Reason.CHECKER_UNREACHABLE: "see whether the frame checker runs and the operator has its URL and token",
        Reason.PROGRESS_DEADLINE_EXCEEDED: "see the condition that does not hold; suspend and resume to try again",
    }
)
