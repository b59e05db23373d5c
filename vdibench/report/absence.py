"""Why something is missing from a run, in a sentence that a reader can act on. Pure."""

from __future__ import annotations

from vdibench.report import formats
from vdibench.report.evidence import Evidence
from vdibench.slo import SUITES

__all__ = ["no_latency", "no_rows", "no_suite"]


def no_latency(evidence: Evidence) -> str:
    """Why there is no glass-to-glass latency."""
    frames = evidence.tables["frames"]
    if frames.empty:
        return no_rows(evidence, "frames", "No frame was received, so there is no glass-to-glass latency")
    steady = frames[frames["phase"] == "steady"]
    if steady.empty:
        return (
            f"All {formats.counted(len(frames), 'frame')} came while warming up; the run ended before a steady window."
        )
    if steady["decoded_unix_seconds"].isna().all():
        return f"{formats.counted(len(steady), 'frame')} came and none was decoded: no data of glass-to-glass latency."
    return (
        f"{formats.counted(len(steady), 'frame')} came, but no marker was read from them: glass-to-glass latency needs "
        "the desk inside the desktop and is never estimated without it."
    )


def no_rows(evidence: Evidence, table: str, what: str) -> str:
    """Why a table has no steady rows, as a sentence."""
    rows = evidence.tables[table]
    if len(rows) and table != "milestones":
        return f"{what}: all {formats.counted(len(rows), 'row')} came while warming up."
    meant = [suite for suite in evidence.suites if table in SUITES.get(suite, frozenset())]
    if not meant:
        ran = ", ".join(evidence.suites) or "none"
        return f"{what}: no suite that measures it ran (ran: {ran})."
    return f"{what}: {', '.join(meant)} left no sample of it."


def no_suite(evidence: Evidence, suite: str) -> str:
    """Why a suite left nothing to show."""
    if suite in evidence.suites:
        return f"{suite} ran and left no sample of a steady window: no data."
    ran = ", ".join(evidence.suites) or "none"
    return f"{suite} did not run (ran: {ran})."
