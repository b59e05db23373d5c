"""The suites by notebook: what ``vdibench run`` knows. Pure but for listing the notebooks' folder."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vdibench.errors import ParameterError, UsageError
from vdibench.records import SuiteVerdict
from vdibench.suites import (
    capacity_report,
    gpu_density,
    graduation,
    latency_under_load,
    load,
    preflight,
    stream_validation,
)
from vdibench.suites.parameters import RunParameters, build
from vdibench.suites.profiles import Profile, load_profile, notebooks_folder

__all__ = ["DEFAULT_SUITES", "SUITES", "Suite", "choose", "profile_of"]


@dataclass(frozen=True, slots=True)
class Suite:
    """One suite and its notebook.

    :param name: suite name; the notebook is ``<number>_<name>.ipynb``.
    :param run: all steps without a notebook; None where the notebook only reads.
    """

    number: str
    name: str
    parameters: type[RunParameters]
    planned_seconds: Callable[[Any], float]
    run: Callable[[Any], SuiteVerdict] | None

    @property
    def notebook(self) -> str:
        """The notebook's file name without its ending."""
        return f"{self.number}_{self.name}"

    @property
    def path(self) -> Path:
        """The notebook's file."""
        return notebooks_folder() / f"{self.notebook}.ipynb"

    @property
    def parameter_names(self) -> frozenset[str]:
        """What the suite takes."""
        return frozenset(item.name for item in dataclasses.fields(self.parameters))

    def build(self, profile: Profile, given: Mapping[str, Any]) -> RunParameters:
        """Parameters from a profile and what was given beside it, which wins.

        :raises ParameterError: a value that cannot be.
        """
        try:
            return build(self.parameters, profile.values(self.name, self.parameter_names) | dict(given))
        except ParameterError as error:
            raise ParameterError(f"{self.notebook}: {error.cause}", error.remedy) from error


SUITES: Mapping[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite("01", "preflight", preflight.Parameters, preflight.planned_seconds, preflight.run),
        Suite(
            "02",
            "stream_validation",
            stream_validation.Parameters,
            stream_validation.planned_seconds,
            stream_validation.run,
        ),
        Suite(
            "03",
            "latency_under_load",
            latency_under_load.Parameters,
            latency_under_load.planned_seconds,
            latency_under_load.run,
        ),
        Suite("04", "gpu_density", gpu_density.Parameters, gpu_density.planned_seconds, gpu_density.run),
        Suite("05", "graduation", graduation.Parameters, graduation.planned_seconds, None),
        Suite("06", "capacity_report", capacity_report.Parameters, capacity_report.planned_seconds, None),
    )
}
# Graduation is a step of its own: it changes what is shipped, and nobody wants that by default.
DEFAULT_SUITES = ("preflight", "stream_validation", "latency_under_load", "gpu_density", "capacity_report")


def choose(names: Sequence[str]) -> tuple[Suite, ...]:
    """The suites named: by number (``02``), by name or by notebook; all but graduation when none is.

    :raises UsageError: an unknown name.
    """
    if not names:
        return tuple(SUITES[name] for name in DEFAULT_SUITES)
    known = {key: suite for suite in SUITES.values() for key in (suite.number, suite.name, suite.notebook)}
    chosen = []
    for name in names:
        suite = known.get(Path(name).name.removesuffix(".ipynb"))
        if suite is None:
            near = difflib.get_close_matches(name, known, 1)
            notebooks = ", ".join(item.notebook for item in SUITES.values())
            raise UsageError(
                f"unknown notebook {name!r}", f"did you mean {near[0]}?" if near else f"known: {notebooks}"
            )
        if suite not in chosen:
            chosen.append(suite)
    return tuple(chosen)


def profile_of(name: str) -> Profile:
    """A parameter profile, checked against every suite."""
    known = {suite.name: suite.parameter_names for suite in SUITES.values()}
    # A load has no notebook, and its place in the profiles all the same.
    return load_profile(name, known | {load.SUITE: frozenset(load.Parameters.__dataclass_fields__)})
