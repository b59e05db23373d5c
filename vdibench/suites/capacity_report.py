"""Suite of notebook 06: the report of a stored run, and the capacity plan that follows from it.

Reads only; needs no network, GPU or desktop.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import pandas as pd

from vdibench.errors import NoData, RunInvalid
from vdibench.records import RunState
from vdibench.report import density_curve, density_table, latency_by_level, measured_table
from vdibench.report.capacity_assumptions import assumptions, warnings
from vdibench.report.capacity_charts import day_chart, users_chart
from vdibench.report.capacity_tables import cost_table, logins_table, plan_lead, plan_table, sources_table
from vdibench.store import Recording, resolve
from vdibench.suites.capacity_plan import NotPerGpu, PlanOptions, Sizing, make_plan
from vdibench.suites.display import Figures, Judgement
from vdibench.suites.parameters import RunParameters, parameter
from vdibench.suites.profiles import results_folder

__all__ = ["SUITE", "CapacityReport", "Page", "Parameters", "open_run", "planned_seconds"]

SUITE = "capacity_report"


@dataclass(frozen=True)
class Parameters(RunParameters):
    """Parameters of notebook 06."""

    run: str = parameter("reference", "run to report on: a path, a folder's name, latest or reference")
    users: int = parameter(500, "users to plan for", minimum=1)
    templates: str = parameter(
        "", "templates as plan --run takes them, separated by semicolons; empty: all users on the run"
    )
    day: str = parameter("", "who is there when: a CSV file, or office; empty: everybody at once")
    headroom: float = parameter(0.2, "more sessions than at the peak, as a share of it", minimum=0)
    spare_nodes: int = parameter(1, "nodes that may be missing, for each template", minimum=0)
    gpus_per_node: int = parameter(0, "GPUs of a node, for runs on one GPU; 0: one", minimum=0)
    max_sessions: int = parameter(0, "at most so many sessions on one GPU or host; 0: as many as were good", minimum=0)
    prices: str = parameter("", "price file in YAML; empty: no cost")
    allow_synthetic: bool = parameter(False, "plan from runs of replayed traces, labelled as such")


def planned_seconds(parameters: Parameters) -> float:
    """About how long the suite takes."""
    return 8.0


class Page:
    """Sentences and tables of a plan below each other, or why there is none."""

    def __init__(self, lead: str, tables: Iterable[tuple[str, pd.DataFrame]] = (), lists: Iterable[str] = ()) -> None:
        self._lead = lead
        self._tables = tuple(tables)
        self._lists = tuple(lists)

    def __repr__(self) -> str:
        return self._lead

    def _repr_html_(self) -> str:
        tables = "".join(
            f"<h4>{html.escape(heading)}</h4>{table.to_html(index=False, escape=True, border=0)}"
            for heading, table in self._tables
        )
        listed = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in self._lists)
        return f"<p><b>{html.escape(self._lead)}</b></p>{tables}{f'<ul>{listed}</ul>' if listed else ''}"


class CapacityReport:
    """The steps of notebook 06 are figures and tables of :mod:`vdibench.report` over stored runs."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.recording: Recording = open_run(parameters)
        self._sizing: Sizing | None = None
        self._refusal = ""
        try:
            self._sizing = make_plan(_options(parameters))
        except (NoData, RunInvalid, NotPerGpu) as error:
            # The rest of the report stands without a plan; that there is none, and why, is a finding.
            self._refusal = f"No plan: {error}."

    def summary(self) -> pd.DataFrame:
        """What was measured and where."""
        return measured_table(self.recording)

    def verdict(self) -> Judgement:
        """The stored run's verdict in force, every objective with it."""
        running = self.recording.run.state is RunState.RUNNING
        return Judgement(self.recording.verdict, note="this run is still being written" if running else "")

    def density(self) -> pd.DataFrame:
        """One row a level that was tried."""
        return density_table(self.recording)

    def figures(self) -> Figures:
        """The figures that a capacity planner looks at."""
        source = self.recording
        return Figures(
            (
                ("density", density_curve(source)),
                ("latency by level", latency_by_level(source, "latency_under_load")),
            )
        )

    def plan(self) -> Page:
        """GPUs and nodes for the users, what they cost, and what must not be overlooked; or why there is no plan."""
        if self._sizing is None:
            return Page(self._refusal)
        plan, cost = self._sizing.plan, self._sizing.cost
        tables = [("Plan", plan_table(plan, cost)), ("Login peaks", logins_table(plan))]
        if cost is not None:
            tables.append(("Cost", cost_table(cost)))
        return Page(f"{plan_lead(plan)}.", tables, warnings(plan))

    def plan_figures(self) -> Figures:
        """The day against what is carried, and what other numbers of users need."""
        plan = self._sizing.plan if self._sizing is not None else None
        return Figures(
            (
                ("what other numbers of users need", users_chart(plan) if plan is not None else None),
                ("the day against what is carried", day_chart(plan) if plan is not None else None),
            )
        )

    def assumptions(self) -> Page:
        """Where the numbers come from, and what was taken for granted."""
        if self._sizing is None:
            return Page(self._refusal)
        plan, cost = self._sizing.plan, self._sizing.cost
        return Page("What the plan rests on", [("Sources", sources_table(plan))], assumptions(plan, cost))


def open_run(parameters: Parameters) -> Recording:
    """Open the stored run.

    :raises StoreError: there is none of that name.
    """
    return Recording.open(resolve(results_folder(parameters.results), parameters.run))


def _options(parameters: Parameters) -> PlanOptions:
    """The parameters of a notebook, as somebody would type them."""
    several = tuple(part.strip() for part in parameters.templates.split(";") if part.strip())
    return PlanOptions(
        runs=several or (f"desktops={parameters.run}",),
        results=results_folder(parameters.results),
        users=parameters.users,
        day=parameters.day,
        # As it is written: 0.2 is a fifth, not the nearest binary fraction.
        headroom=Fraction(str(parameters.headroom)),
        spare_nodes=parameters.spare_nodes,
        gpus_per_node=(str(parameters.gpus_per_node),) if parameters.gpus_per_node else (),
        max_sessions=(str(parameters.max_sessions),) if parameters.max_sessions else (),
        prices=parameters.prices,
        allow_synthetic=parameters.allow_synthetic,
        allow_running=True,
    )
