"""What follows from many levels and sessions: density knee, fairness, worst session. Pure."""

from vdibench.analysis.density import GOOD_SHARE, Knee, Level, Trial, knee, tried_levels
from vdibench.analysis.sessions import Criterion, criteria, good_sessions, jain_index, worst_session

__all__ = [
    "GOOD_SHARE",
    "Criterion",
    "Knee",
    "Level",
    "Trial",
    "criteria",
    "good_sessions",
    "jain_index",
    "knee",
    "tried_levels",
    "worst_session",
]
