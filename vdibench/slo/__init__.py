"""Objectives: what is expected of the numbers, read and checked before anything connects, judged afterwards."""

from vdibench.slo.coverage import LEVELED, SUITES, finds_knee, measures
from vdibench.slo.evaluation import CHECK_PREFIX, KneeBounds, evaluate
from vdibench.slo.grammar import Expectation, Place, parse_expectation, parse_place
from vdibench.slo.loading import load
from vdibench.slo.objectives import CONTEXT_KEYS, OBJECTIVES_SCHEMA, Applicability, Objective, Objectives

__all__ = [
    "CHECK_PREFIX",
    "CONTEXT_KEYS",
    "LEVELED",
    "OBJECTIVES_SCHEMA",
    "SUITES",
    "Applicability",
    "Expectation",
    "KneeBounds",
    "Objective",
    "Objectives",
    "Place",
    "evaluate",
    "finds_knee",
    "load",
    "measures",
    "parse_expectation",
    "parse_place",
]
