"""What follows from many levels and sessions: density knee, fairness, worst session. Pure."""

from vdibench.analysis.density import Knee, Level, found, knee, measured_trial, tried_levels
from vdibench.analysis.recorded import (
    recorded_criteria,
    recorded_framerate,
    recorded_gpus,
    recorded_knee,
    recorded_levels,
    recorded_parameters,
)
from vdibench.analysis.search import IntegerSearch, Search, Sweep
from vdibench.analysis.sequential import PassedShare, SequentialTest, rule_of
from vdibench.analysis.sessions import (
    Criterion,
    criteria,
    good_sessions,
    jain_index,
    session_margins,
    worst_session,
)
from vdibench.analysis.trials import GOOD_SHARE, Decision, Rule, Trial

__all__ = [
    "GOOD_SHARE",
    "Criterion",
    "Decision",
    "IntegerSearch",
    "Knee",
    "Level",
    "PassedShare",
    "Rule",
    "Search",
    "SequentialTest",
    "Sweep",
    "Trial",
    "criteria",
    "found",
    "good_sessions",
    "jain_index",
    "knee",
    "measured_trial",
    "recorded_criteria",
    "recorded_framerate",
    "recorded_gpus",
    "recorded_knee",
    "recorded_levels",
    "recorded_parameters",
    "rule_of",
    "session_margins",
    "tried_levels",
    "worst_session",
]
