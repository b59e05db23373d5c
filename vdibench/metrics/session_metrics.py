"""Metrics of a session's life, of resources, and of how many sessions fit. Data only."""

from __future__ import annotations

from vdibench.metrics.metric import Direction, Metric, Provenance, define

__all__ = ["METRICS"]

_LOWER, _HIGHER, _NONE, _DERIVED = Direction.LOWER, Direction.HIGHER, Direction.NONE, Provenance.DERIVED

METRICS: tuple[Metric, ...] = (
    define(
        "session_ready_seconds",
        "seconds",
        "session",
        _LOWER,
        "milestones",
        "From the start of a session to its first decoded frame; sessions that never show one are in "
        "session_failure_ratio.",
    ),
    define(
        "session_phase_seconds",
        "seconds",
        "session",
        _LOWER,
        "milestones",
        "From one milestone of a session's start to the next, up to its first decoded frame.",
    ),
    define(
        "session_failure_ratio",
        "ratio",
        "session",
        _LOWER,
        "milestones",
        "From the start of a session to its end: 1 when no frame was decoded or a failure ended it, else 0.",
        provenance=_DERIVED,
    ),
    define(
        "desktop_cpu_cores",
        "cores",
        "reading",
        _LOWER,
        "resources",
        "Busy processor cores of one desktop's processes from one reading to the next.",
    ),
    define(
        "desktop_memory_bytes",
        "bytes",
        "reading",
        _LOWER,
        "resources",
        "Memory held by one desktop's processes at one reading.",
    ),
    define(
        "client_cpu_cores",
        "cores",
        "reading",
        _LOWER,
        "resources",
        "Busy processor cores of the measuring side's processes from one reading to the next.",
    ),
    define(
        "client_memory_bytes",
        "bytes",
        "reading",
        _LOWER,
        "resources",
        "Memory held by the measuring side's processes at one reading.",
    ),
    define(
        "gpu_utilization_ratio",
        "ratio",
        "reading",
        _NONE,
        "resources",
        "Share of the time between two readings in which the GPU ran a kernel, as its driver says.",
        gpu=True,
    ),
    define(
        "gpu_encoder_utilization_ratio",
        "ratio",
        "reading",
        _NONE,
        "resources",
        "Use of the GPU's video encoder between two readings, as its driver says.",
        gpu=True,
    ),
    define(
        "gpu_memory_bytes",
        "bytes",
        "reading",
        _NONE,
        "resources",
        "Frame buffer of the GPU in use at one reading, as its driver says.",
        gpu=True,
    ),
    define(
        "sessions_per_host",
        "sessions",
        "run",
        _HIGHER,
        "",
        "The largest number of sessions on one host at which at least 95 % were good, trial after trial.",
        provenance=_DERIVED,
    ),
    define(
        "sessions_per_gpu",
        "sessions",
        "run",
        _HIGHER,
        "",
        "The largest number of sessions on one GPU at which at least 95 % were good, trial after trial.",
        provenance=_DERIVED,
        gpu=True,
    ),
)
