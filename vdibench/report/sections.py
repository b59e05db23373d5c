"""What stands in a report, in which order, and what is said where something was not measured. Pure.

A section holds blocks: a paragraph, a table, a chart or preformatted text. A table or chart without rows becomes a
sentence that says what is missing and why; nothing empty is ever drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pandas as pd

from vdibench.metrics import REGISTRY
from vdibench.records import Outcome
from vdibench.report import (
    density_charts,
    density_tables,
    formats,
    latency_charts,
    pacing_charts,
    quality_tables,
    run_tables,
    selftest_tables,
    session_charts,
    session_tables,
    stage_charts,
    stage_tables,
    verdict_tables,
)
from vdibench.report import latency_tables as latency
from vdibench.report.absence import no_latency, no_rows, no_suite
from vdibench.report.evidence import Evidence
from vdibench.report.style import Chart
from vdibench.slo import LEVELED, SUITES

__all__ = ["Block", "Section", "sections"]


@dataclass(frozen=True)
class Block:
    """One piece of a section; exactly one of the fields is filled.

    :param missing: said in place of something that was not measured.
    :param file: name of the chart's file under ``figures/``, without ending.
    """

    heading: str = ""
    text: str = ""
    missing: str = ""
    code: str = ""
    table: pd.DataFrame | None = None
    chart: Chart | None = None
    file: str = ""


@dataclass
class Section:
    """A heading with its blocks; ``anchor`` is its id in the page."""

    title: str
    anchor: str
    blocks: list[Block] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Add a paragraph."""
        self.blocks.append(Block(text=text))

    def lack(self, text: str) -> None:
        """Say what is missing and why."""
        self.blocks.append(Block(missing=text))

    def tabulate(self, table: pd.DataFrame, heading: str = "", *, missing: str = "") -> None:
        """Add a table, or without rows what is missing."""
        if not table.empty:
            filled = [name for name in table.columns if (table[name] != "").any()]
            self.blocks.append(Block(table=table[filled], heading=heading))
        elif missing:
            self.lack(missing)

    def tabulate_suites(self, table: pd.DataFrame, what: str = "", *, missing: str = "") -> None:
        """Add a table with a column ``suite`` as one table a suite, in the order in which they come."""
        if table.empty:
            self.tabulate(table, missing=missing)
        for suite in table["suite"].unique():
            heading = f"{what} · {suite}" if what else str(suite)
            self.tabulate(table[table["suite"] == suite].drop(columns="suite"), heading)

    def draw(self, chart: Chart | None, file: str) -> None:
        """Add a chart, where there is one."""
        if chart is not None:
            self.blocks.append(Block(chart=chart, file=file))


def sections(evidence: Evidence) -> list[Section]:
    """The sections of a run's report, in order; figures are drawn here."""
    return [build(evidence) for build in _SECTIONS]


def _measured(evidence: Evidence) -> Section:
    section = Section("What was measured", "measured")
    section.tabulate(run_tables.measured_table(evidence))
    return section


def _objectives(evidence: Evidence) -> Section:
    section = Section("Objectives", "objectives")
    if evidence.verdict is None:
        section.lack("There is no verdict: only tables were given.")
        return section
    section.tabulate(verdict_tables.reasons_table(evidence.verdict), missing="No suite reached a verdict.")
    section.tabulate_suites(
        verdict_tables.objectives_table(evidence.verdict),
        missing="No objective was evaluated: no suite that has objectives came to its end.",
    )
    return section


def _checks(evidence: Evidence) -> Section:
    section = Section("Manual checks", "checks")
    for suite in evidence.suites:
        section.tabulate(verdict_tables.checks_table(evidence, suite), suite)
    if not section.blocks:
        section.lack(
            "No check was made: preflight and stream_validation make them, and "
            + (
                "neither of them ran."
                if not {"preflight", "stream_validation"} & set(evidence.suites)
                else "none ended."
            )
        )
    return section


def _latency(evidence: Evidence) -> Section:
    section = Section("Latency", "latency")
    section.say(
        f"{REGISTRY['glass_to_glass_seconds'].boundary} What happens after the picture was decoded is not measured."
    )
    if evidence.run is not None:
        clock = run_tables.clock_text(evidence.run)
        section.say(f"Clock: {clock}.")
    found = latency.latency_table(evidence, evidence.suites)
    section.tabulate(found, "Glass to glass", missing=no_latency(evidence))
    _say_error(section, evidence, "glass_to_glass_seconds", "capture_to_arrival_seconds", "draw_to_arrival_seconds")
    for suite, level in _shown(evidence, "glass_to_glass_seconds"):
        chart = latency_charts.glass_to_glass_distribution(evidence, suite, level=level)
        section.draw(chart, f"{suite}-glass-to-glass")
        if level is not None:
            continue  # the frames of all levels over time stand under "Latency under load"
        section.draw(latency_charts.glass_to_glass_over_time(evidence, suite), f"{suite}-glass-to-glass-over-time")
    section.tabulate(
        latency.input_table(evidence, evidence.suites),
        "Input to photon",
        missing=no_rows(
            evidence, "inputs", "No key was pressed and nothing clicked, so there is no input-to-photon latency"
        ),
    )
    _say_error(section, evidence, "input_to_photon_seconds")
    for suite, _ in _shown(evidence, "input_to_photon_seconds"):
        section.draw(latency_charts.input_to_photon(evidence, suite), f"{suite}-input-to-photon")
    return section


def _say_error(section: Section, evidence: Evidence, *metrics: str) -> None:
    """Below a table of latencies: by how much this client may be wrong, where there is anything to be wrong about."""
    run = evidence.run
    if run is not None and section.blocks and section.blocks[-1].table is not None:
        dialect = str(run.context.get("dialect", ""))
        section.say(selftest_tables.error_sentence(evidence.selftest, metrics, dialect, run.started_unix_seconds))


def _stages(evidence: Evidence) -> Section:
    section = Section("Where the latency goes", "stages")
    section.tabulate_suites(
        stage_tables.stages_table(evidence, evidence.suites),
        "Stages of a frame",
        missing=no_rows(evidence, "frames", "No frame was received in a steady window, so there are no stages"),
    )
    for suite, level in _shown(evidence, "decode_seconds"):
        section.draw(stage_charts.latency_stages(evidence, suite, level=level), f"{suite}-stages")
    section.tabulate_suites(stage_tables.input_paths_table(evidence, evidence.suites), "The two ways of an input")
    for suite, level in _shown(evidence, "input_path_seconds"):
        section.draw(stage_charts.input_stages(evidence, suite, level=level), f"{suite}-input-paths")
    stated = stage_tables.server_table(evidence, evidence.suites)
    if not stated.empty:
        section.say(
            "What the server states of itself is its own word. It stands beside what was measured here and replaces "
            "none of it; the two need not have the same ends."
        )
    section.tabulate_suites(stated, "Stated by the server", missing="The server stated no figure of itself.")
    section.tabulate_suites(stage_tables.elements_table(evidence, evidence.suites), "Elements of its pipeline")
    return section


def _under_load(evidence: Evidence) -> Section:
    section = Section("Latency under load", "under-load")
    for suite in evidence.suites:
        if suite != "latency_under_load" and (suite in SUITES or len(evidence.levels(suite)) < 2):
            continue
        section.tabulate(latency.levels_table(evidence, suite), suite)
        section.draw(latency_charts.latency_by_level(evidence, suite), f"{suite}-by-level")
        section.draw(latency_charts.glass_to_glass_over_time(evidence, suite), f"{suite}-over-time")
        if levels := evidence.levels(suite):
            section.draw(stage_charts.latency_stages(evidence, suite, level=levels[-1]), f"{suite}-stages-at-most")
    if not any(block.table is not None for block in section.blocks):
        section.lack(no_suite(evidence, "latency_under_load"))
    return section


def _pacing(evidence: Evidence) -> Section:
    section = Section("Frame pacing", "pacing")
    section.tabulate(
        latency.pacing_table(evidence, evidence.suites),
        missing=no_rows(evidence, "frames", "No frame was received in a steady window, so nothing is known of pacing"),
    )
    for suite, level in _shown(evidence, "frame_interval_seconds"):
        section.draw(pacing_charts.frame_intervals(evidence, suite, level=level), f"{suite}-intervals")
    for suite in evidence.suites:
        section.draw(pacing_charts.frame_rate(evidence, suite), f"{suite}-frame-rate")
    return section


def _density(evidence: Evidence) -> Section:
    section = Section("Density", "density")
    suite = "gpu_density"
    table = density_tables.density_table(evidence, suite)
    if table.empty:
        section.lack(no_suite(evidence, suite))
        return section
    found = evidence.knee(suite)
    text = density_charts.knee_text(found)
    section.say(
        f"{text[0].upper()}{text[1:]}. A trial passes when at least 95 % of its sessions kept every objective; the "
        "knee lies between the largest level known to be good and the last one below the first that is known to be bad."
    )
    if found is not None and found.rule:
        section.say(f"A level is {found.rule}.")
    if found is not None and found.contradicting:
        listed = ", ".join(formats.count(level) for level in found.contradicting)
        section.say(f"Contradicting: {listed} sessions were good although fewer were bad; they are not believed.")
    section.tabulate(table)
    section.draw(density_charts.density_curve(evidence, suite), f"{suite}-curve")
    limiting = density_tables.limits_table(evidence, suite)
    if not limiting.empty:
        section.say(density_tables.limit_sentence(evidence, suite))
    section.tabulate(limiting, "What limits")
    section.tabulate(density_tables.fairness_table(evidence, suite), "Fairness and the worst session")
    beside = density_tables.neighbours_table(evidence)
    section.tabulate(beside, "Noisy neighbours")
    if not beside.empty:
        section.say(density_tables.neighbours_sentence(evidence))
    return section


def _ready(evidence: Evidence) -> Section:
    section = Section("Session ready", "ready")
    section.tabulate_suites(
        session_tables.ready_table(evidence, evidence.suites),
        missing=no_rows(evidence, "milestones", "No session was started, so there are no steps to show"),
    )
    section.tabulate_suites(session_tables.unready_table(evidence, evidence.suites), "Never ready")
    for suite in evidence.suites:
        section.draw(session_charts.session_ready_phases(evidence, suite), f"{suite}-session-ready")
    return section


def _network(evidence: Evidence) -> Section:
    section = Section("Network", "network")
    section.tabulate(
        session_tables.network_table(evidence, evidence.suites),
        missing=no_rows(evidence, "network", "The counters of no video stream were read in a steady window"),
    )
    section.tabulate(session_tables.audio_table(evidence, evidence.suites), "Audio")
    return section


def _resources(evidence: Evidence) -> Section:
    section = Section("Resources", "resources")
    section.tabulate_suites(
        session_tables.resources_table(evidence, evidence.suites),
        missing=no_rows(
            evidence,
            "resources",
            "Nothing was read of processors and memory (they can be read only of desktops on the measuring host)",
        ),
    )
    for suite in evidence.suites:
        section.draw(session_charts.resources_over_time(evidence, suite), f"{suite}-resources")
    return section


def _quality(evidence: Evidence) -> Section:
    section = Section("Quality of the measuring", "quality")
    run, verdict = evidence.run, evidence.verdict
    if run is not None:
        for error in run.errors:
            section.lack(f"Ended early: {formats.clean(error)}")
        if run.contention:
            section.lack(f"Other runs measured here at the same time: {', '.join(map(formats.clean, run.contention))}")
        else:
            section.say("No other run measured on this machine at the same time.")
    for line in evidence.damage():
        section.lack(formats.clean(line))
    for one in verdict.suites if verdict is not None else ():
        if one.outcome is Outcome.INVALID and one.suite != "run":
            section.lack(f"{formats.clean(one.suite)} is invalid: {'; '.join(map(formats.clean, one.reasons))}")
    section.tabulate_suites(
        quality_tables.quality_table(evidence), missing="Nothing was measured, so nothing can be said of how well."
    )
    return section


def _selftest(evidence: Evidence) -> Section:
    section = Section("Self-test of the measuring", "selftest")
    found = evidence.selftest
    assert evidence.run is not None
    section.say(selftest_tables.standing_sentence(found, evidence.run.started_unix_seconds))
    if found is not None:
        section.tabulate(selftest_tables.accuracy_table(found), "What was injected, and what the client said of it")
        section.tabulate(selftest_tables.cost_table(found), "What the client costs")
        if floor := selftest_tables.floor_sentence(found):
            section.say(floor)
    return section


def _course(evidence: Evidence) -> Section:
    section = Section("Phases and their times", "phases")
    assert evidence.run is not None
    section.tabulate(run_tables.phases_table(evidence.run), missing="The run recorded no phase.")
    return section


def _settings(evidence: Evidence) -> Section:
    section = Section("Parameters, objectives and versions", "settings")
    run = evidence.run
    assert run is not None
    section.tabulate(run_tables.parameters_table(run), "Parameters", missing="The run recorded no parameter.")
    section.tabulate(run_tables.facts_table(evidence), "What the desktops said of themselves")
    section.tabulate(run_tables.versions_table(run), "Versions", missing="The run recorded no version.")
    if run.objectives.strip():
        section.blocks.append(Block(heading="Objective file in force", code=formats.clean(run.objectives)))
    else:
        section.lack("The run recorded no objective file.")
    section.blocks.append(Block(heading="To make such a run again", code=run_tables.command(run)))
    return section


_SECTIONS: tuple[Callable[[Evidence], Section], ...] = (
    _measured,
    _objectives,
    _checks,
    _latency,
    _stages,
    _under_load,
    _pacing,
    _density,
    _ready,
    _network,
    _resources,
    _quality,
    _selftest,
    _course,
    _settings,
)


def _shown(evidence: Evidence, metric: str) -> Iterator[tuple[str, int | None]]:
    """Suites whose values of a metric are drawn, and the level: levels are never mixed in one distribution.

    Those without levels; where none of them measured it, the lowest level of the first that did.
    """
    found = [suite for suite in evidence.suites if len(evidence.values(metric, suite))]
    single = [suite for suite in found if suite not in LEVELED]
    if single:
        yield from ((suite, None) for suite in single)
    elif found:
        yield found[0], min(evidence.levels(found[0]))
