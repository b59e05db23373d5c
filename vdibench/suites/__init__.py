"""Suites compose the rooms: one module per notebook. The CLI, papermill and a person's kernel call the same code."""

from vdibench.suites.catalogue import DEFAULT_SUITES, SUITES, Suite, choose, profile_of
from vdibench.suites.pipeline import PipelineOptions, PipelineResult, cluster_notice, plan_pipeline, run_pipeline
from vdibench.suites.profiles import load_objectives, load_profile, notebooks_folder
from vdibench.suites.progress import ProgressReading, read_progress

__all__ = [
    "DEFAULT_SUITES",
    "SUITES",
    "PipelineOptions",
    "PipelineResult",
    "ProgressReading",
    "Suite",
    "choose",
    "cluster_notice",
    "load_objectives",
    "load_profile",
    "notebooks_folder",
    "plan_pipeline",
    "profile_of",
    "read_progress",
    "run_pipeline",
]
