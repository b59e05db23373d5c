"""The only formatter: numbers become tables, charts, a page and lines at the terminal.

Charts take a :class:`vdibench.store.Recording` or a mapping of tables, and a suite; they give a matplotlib figure
that shows itself in a notebook, or None where nothing was measured. Tables are pandas frames of text cells.
"""

from vdibench.report.density_charts import density_curve, knee_text
from vdibench.report.density_tables import (
    density_table,
    fairness_table,
    limit_sentence,
    limits_table,
    neighbours_table,
    sharing_table,
)
from vdibench.report.document import REPORT_FILE, write_report
from vdibench.report.evidence import Evidence, Source
from vdibench.report.formats import NO_DATA, NOT_APPLICABLE, outcome_word, quantity
from vdibench.report.latency_charts import (
    glass_to_glass_distribution,
    glass_to_glass_over_time,
    input_to_photon,
    latency_by_level,
)
from vdibench.report.latency_tables import (
    input_table,
    latency_table,
    levels_table,
    links_table,
    pacing_table,
)
from vdibench.report.pacing_charts import frame_intervals, frame_rate
from vdibench.report.quality_tables import quality_table
from vdibench.report.run_tables import (
    command,
    facts_table,
    measured_table,
    parameters_table,
    phases_table,
    versions_table,
)
from vdibench.report.session_charts import resources_over_time, session_ready_phases
from vdibench.report.session_tables import audio_table, network_table, ready_table, resources_table, unready_table
from vdibench.report.stage_charts import input_stages, latency_stages
from vdibench.report.stage_tables import elements_table, input_paths_table, server_table, stages_table
from vdibench.report.style import Chart
from vdibench.report.terminal import final_line, runs_table, show, stage_lines, verdict_lines
from vdibench.report.verdict_tables import checks_table, objectives_table, reasons_table, verdict_table

__all__ = [
    "NOT_APPLICABLE",
    "NO_DATA",
    "REPORT_FILE",
    "Chart",
    "Evidence",
    "Source",
    "audio_table",
    "checks_table",
    "command",
    "density_curve",
    "density_table",
    "elements_table",
    "facts_table",
    "fairness_table",
    "final_line",
    "frame_intervals",
    "frame_rate",
    "glass_to_glass_distribution",
    "glass_to_glass_over_time",
    "input_paths_table",
    "input_stages",
    "input_table",
    "input_to_photon",
    "knee_text",
    "latency_by_level",
    "latency_stages",
    "latency_table",
    "levels_table",
    "limit_sentence",
    "limits_table",
    "links_table",
    "measured_table",
    "neighbours_table",
    "network_table",
    "objectives_table",
    "outcome_word",
    "pacing_table",
    "parameters_table",
    "phases_table",
    "quality_table",
    "quantity",
    "ready_table",
    "reasons_table",
    "resources_over_time",
    "resources_table",
    "runs_table",
    "server_table",
    "session_ready_phases",
    "sharing_table",
    "show",
    "stage_lines",
    "stages_table",
    "unready_table",
    "verdict_lines",
    "verdict_table",
    "versions_table",
    "write_report",
]
