"""Conditions of a session and the closed list of their reasons. Pure.

Metrics label failures by these words, so none is made up at run time.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["CONDITIONS", "FAILURES", "QUEUES", "ConditionType", "Reason"]


class ConditionType(StrEnum):
    """Types of conditions, in the order in which a start reaches them."""

    ADMITTED = "Admitted"
    HOME_BOUND = "HomeBound"
    SCHEDULED = "Scheduled"
    POD_READY = "PodReady"
    ROUTE_READY = "RouteReady"
    STREAM_READY = "StreamReady"
    # True: encoded by hardware. False where the template wants hardware and software does it.
    HARDWARE_ENCODING = "HardwareEncoding"
    # True: the desktop that runs was made from an older state of its template.
    TEMPLATE_DRIFTED = "TemplateDrifted"
    READY = "Ready"


class Reason(StrEnum):
    """Why a condition is as it is."""

    # Good ones.
    ACCEPTED = "Accepted"
    BOUND = "Bound"
    ASSIGNED = "Assigned"
    SERVING = "Serving"
    ROUTED = "Routed"
    FRAME_DECODED = "FrameDecoded"
    HARDWARE = "Hardware"
    SOFTWARE_AS_WANTED = "SoftwareAsWanted"
    AS_TEMPLATE = "AsTemplate"
    PUBLISHED = "Published"
    # On the way, or at rest.
    PENDING = "Pending"
    WAITING_FOR_VOLUME = "WaitingForVolume"
    USER_LIMIT_REACHED = "UserLimitReached"
    NAMESPACE_LIMIT_REACHED = "NamespaceLimitReached"
    CAPACITY_REACHED = "CapacityReached"
    NO_FREE_SLICE = "NoFreeSlice"
    HOME_NODE_FULL = "HomeNodeFull"
    PULLING_IMAGE = "PullingImage"
    STARTING = "Starting"
    CHECKING = "Checking"
    RESTARTING = "Restarting"
    DRAINING = "Draining"
    TEMPLATE_CHANGED = "TemplateChanged"
    SUSPENDED = "Suspended"
    IDLE = "Idle"
    EXPIRED = "Expired"
    DELETING = "Deleting"
    # A person has to do something.
    TEMPLATE_NOT_FOUND = "TemplateNotFound"
    TEMPLATE_INVALID = "TemplateInvalid"
    EVIDENCE_MISSING = "EvidenceMissing"
    EVIDENCE_EXPIRED = "EvidenceExpired"
    EVIDENCE_MISMATCH = "EvidenceMismatch"
    EVIDENCE_OF_LAB = "EvidenceOfLab"
    SESSION_INVALID = "SessionInvalid"
    HOST_TAKEN = "HostTaken"
    HOME_IN_USE = "HomeInUse"
    HOME_NODE_LOST = "HomeNodeLost"
    VOLUME_FAILED = "VolumeFailed"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_UNAVAILABLE = "ImageUnavailable"
    CONTAINER_CONFIG = "ContainerConfig"
    CRASH_LOOP = "CrashLoop"
    QUOTA_EXCEEDED = "QuotaExceeded"
    FORBIDDEN = "Forbidden"
    NODE_LOST = "NodeLost"
    OUT_OF_MEMORY = "OutOfMemory"
    EVICTED = "Evicted"
    GPU_ADMISSION = "GpuAdmission"
    NO_RELAY = "NoRelay"
    STREAM_FAILED = "StreamFailed"
    SOFTWARE_FALLBACK = "SoftwareFallback"
    CHECKER_UNREACHABLE = "CheckerUnreachable"
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"


CONDITIONS = tuple(ConditionType)

# Where a session waits for others, so that it has a position.
QUEUES = (
    Reason.USER_LIMIT_REACHED,
    Reason.NAMESPACE_LIMIT_REACHED,
    Reason.CAPACITY_REACHED,
    Reason.HOME_NODE_FULL,
)

# What `vdi_session_failures_total` counts.
FAILURES = tuple(
    reason for reason in Reason if list(Reason).index(reason) >= list(Reason).index(Reason.TEMPLATE_NOT_FOUND)
)
