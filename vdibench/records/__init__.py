"""Frozen records shared by every room. Standard library only; no I/O.

Units are base units and stand in the names: seconds, bytes, ratio. Wall-clock instants are UTC seconds since
the Unix epoch (``*_unix_seconds``); durations come from the monotonic clock.
"""

from vdibench.records.check import Check
from vdibench.records.outcome import EXIT_CODES, Outcome, worst
from vdibench.records.run import RUN_SCHEMA, Phase, Run, RunState
from vdibench.records.selftest import SELFTEST_SCHEMA, Accuracy, Cost, SelfTest
from vdibench.records.subjects import SUBJECTS_FILE, SUBJECTS_SCHEMA, Image, Node, Subjects
from vdibench.records.tables import TABLES, Column, Table
from vdibench.records.target import Credentials, Desktop, Display, Endpoint, Workload
from vdibench.records.verdict import VERDICT_SCHEMA, ObjectiveResult, SuiteVerdict, Verdict

__all__ = [
    "EXIT_CODES",
    "RUN_SCHEMA",
    "SELFTEST_SCHEMA",
    "SUBJECTS_FILE",
    "SUBJECTS_SCHEMA",
    "TABLES",
    "VERDICT_SCHEMA",
    "Accuracy",
    "Check",
    "Column",
    "Cost",
    "Credentials",
    "Desktop",
    "Display",
    "Endpoint",
    "Image",
    "Node",
    "ObjectiveResult",
    "Outcome",
    "Phase",
    "Run",
    "RunState",
    "SelfTest",
    "Subjects",
    "SuiteVerdict",
    "Table",
    "Verdict",
    "Workload",
    "worst",
]
