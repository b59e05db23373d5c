"""The HTML report of a run: one file that needs nothing else. Reads a run folder and writes into it."""

from __future__ import annotations

import base64
import textwrap
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

import vdibench
from vdibench.records import Outcome, Run, RunState, Verdict
from vdibench.report import formats
from vdibench.report.evidence import Evidence, is_check
from vdibench.report.sections import Section, sections
from vdibench.store import Recording, RunFolder

__all__ = ["REPORT_FILE", "html", "page_template", "style_sheet", "write_report"]

REPORT_FILE = "report.html"
_FIGURES = "figures"
_LEAD = {
    Outcome.PASS: "Every objective that applies was met.",
    Outcome.FAIL: "At least one objective was missed.",
    Outcome.NO_DATA: "Too little was measured to say: no data is never a pass.",
    Outcome.NOT_APPLICABLE: "No objective applied, so nothing can be said.",
    Outcome.INVALID: "The numbers must not be trusted.",
}
_STATES = {
    RunState.RUNNING: "The run is still going on: this is what there was when the report was written.",
    RunState.INTERRUPTED: "The run was interrupted: this is what was measured until then.",
    RunState.FAILED: "The run failed: this is what was measured until then.",
}
# Columns whose cells are numbers with units: set to the right, kept on one line.
_STATISTICS = frozenset(("n", "p50", "p95", "p99", "max", "mean", "observed", "samples", "took", "value"))
_AMOUNTS = frozenset(("readings", "sessions", "trials", "frames", "freezes", "frozen", "packets lost", "loss"))
_COUNTERS = frozenset(("NACKs", "PLIs", "never seen", "seconds watched", "freezes per minute", "audio packets, p50"))
_LONGEST_LEAD = 320
_WORDS = {formats.outcome_word(outcome): str(outcome).replace(" ", "-") for outcome in Outcome}


def write_report(run_folder: Path) -> Path:
    """Write ``report.html`` and ``figures/*.png`` into a run folder, whatever state the run is in.

    :returns: the path of the report.
    :raises StoreError: not a run folder, or it cannot be written.
    """
    recording = Recording.open(run_folder)
    folder = RunFolder.open(run_folder)
    try:
        evidence = Evidence.of(recording)
        parts = sections(evidence)
        pictures: dict[str, bytes] = {}
        for section in parts:
            for block in section.blocks:
                if block.chart is not None:
                    pictures[block.file] = block.chart.png()
                    folder.write_bytes(f"{_FIGURES}/{block.file}.png", pictures[block.file])
        _remove_stale(recording.path(_FIGURES), set(pictures))
        return folder.write_text(REPORT_FILE, html(recording.run, recording.verdict, parts, pictures))
    finally:
        folder.close()


def html(run: Run, verdict: Verdict, parts: list[Section], pictures: dict[str, bytes]) -> str:
    """The page as text. Pure; everything from outside is escaped."""
    encoded = {name: f"data:image/png;base64,{base64.b64encode(data).decode()}" for name, data in pictures.items()}
    return page_template("report.html.j2").render(
        run=run,
        title=f"{formats.outcome_word(verdict.outcome)} · {formats.clean(run.name)}",
        word=formats.outcome_word(verdict.outcome),
        style=_WORDS[formats.outcome_word(verdict.outcome)],
        lead=_lead(verdict),
        state=_STATES.get(run.state, ""),
        sections=parts,
        pictures=encoded,
        dialect=run.context.get("dialect") or "dialect unknown",
        started=formats.instant(run.started_unix_seconds),
        version=vdibench.__version__,
        css=style_sheet(),
    )


def style_sheet() -> str:
    """The look of every page."""
    return resources.files("vdibench.report").joinpath("templates/report.css").read_text(encoding="utf-8")


def _lead(verdict: Verdict) -> str:
    """What decided the verdict, in a sentence or two."""
    results = [(suite.suite, result) for suite in verdict.suites for result in suite.objectives]
    missed = [(suite, result) for suite, result in results if result.outcome is Outcome.FAIL]
    if verdict.outcome is Outcome.FAIL and missed:
        named = []
        for suite, result in missed[:4]:
            if is_check(result):
                named.append(f"{suite}: check {result.metric.partition(':')[2]} did not pass")
            else:
                wanted = formats.expectation(result.expect, result.bound, result.unit)
                named.append(
                    f"{suite}: {result.metric} is {formats.quantity(result.observed, result.unit)}, not {wanted}"
                )
        more = f"; and {len(missed) - 4} more" if len(missed) > 4 else ""
        return f"Missed: {'; '.join(formats.clean(text) for text in named)}{more}."
    decided = [suite for suite in verdict.suites if suite.outcome is verdict.outcome and suite.reasons]
    # What is said of the whole run repeats what its suites say, where they say anything.
    own = [suite for suite in decided if suite.suite != "run"] or decided
    reasons = [reason for suite in own for reason in suite.reasons]
    if verdict.outcome is not Outcome.PASS and reasons:
        said = textwrap.shorten(formats.clean("; ".join(dict.fromkeys(reasons))), _LONGEST_LEAD, placeholder=" …")
        return f"{_LEAD[verdict.outcome]} {said[:1].upper()}{said[1:]}."
    return _LEAD[verdict.outcome]


def _numeric(column: object) -> bool:
    words = str(column).replace(",", " ").split()
    return bool(words) and (words[0] in _STATISTICS or str(column) in _AMOUNTS | _COUNTERS or words[0] in ("p5", "CPU"))


def _word_style(cell: object) -> str:
    return _WORDS.get(str(cell), "")


def _finalize(value: Any) -> Any:
    """Every text that reaches the page loses control characters first, then is escaped."""
    return formats.clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _remove_stale(folder: Path, current: set[str]) -> None:
    """A report written again must not leave figures of an earlier one beside its own."""
    for path in folder.glob("*.png"):
        if path.stem not in current:
            path.unlink(missing_ok=True)


@cache
def page_template(name: str) -> jinja2.Template:
    """A template of this package; it may include ``sections.html.j2``, which shows ``sections`` and ``pictures``."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vdibench.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {"numeric": _numeric, "word_style": _word_style}
    environment.filters.update(filters)
    return environment.get_template(name)
