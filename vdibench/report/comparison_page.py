"""The HTML page of a comparison: one file that needs nothing else. Writes that file only."""

from __future__ import annotations

import base64
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

import vdibench
from vdibench.analysis.comparison import Comparison
from vdibench.errors import StoreError
from vdibench.records import Outcome
from vdibench.report import formats
from vdibench.report.comparison_charts import difference_chart
from vdibench.report.comparison_tables import (
    checked_table,
    comparison_lines,
    difference_table,
    limits_table,
    names,
)

__all__ = ["comparison_html", "write_comparison"]


def write_comparison(found: Comparison, path: Path) -> Path:
    """Write the page.

    :raises StoreError: it cannot be written.
    """
    try:
        path.write_text(comparison_html(found), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}", "name a file in a folder that exists") from error
    return path


def comparison_html(found: Comparison) -> str:
    """The page as text. Pure; everything from outside is escaped."""
    drawn = difference_chart(found)
    sections: list[dict[str, Any]] = []
    if found.limits:
        sections.append(_section("Limits", limits_table(found), ""))
    if drawn is not None:
        picture = f"data:image/png;base64,{base64.b64encode(drawn.png()).decode()}"
        sections.append({"title": "Changes", "picture": picture, "text": drawn.caption})
    sections.append(_section("Metrics", difference_table(found), "Nothing could be compared: no data on both sides."))
    sections.append(_section("What must agree", checked_table(found), "The runs state nothing of themselves."))
    # Without a limit nothing was judged, and a word would claim that it was.
    word = formats.outcome_word(found.outcome) if found.limits or found.outcome is not Outcome.PASS else ""
    return _template().render(
        title=f"{names(found.base)} → {names(found.new)}",
        word=word,
        style=word.lower().replace(" ", "-"),
        base=names(found.base),
        new=names(found.new),
        lines=comparison_lines(found),
        sections=sections,
        synthetic=found.synthetic,
        version=vdibench.__version__,
        css=resources.files("vdibench.report").joinpath("templates/report.css").read_text(encoding="utf-8"),
    )


def _section(title: str, table: pd.DataFrame, missing: str) -> dict[str, Any]:
    return {"title": title, "picture": "", "table": table, "text": missing}


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vdibench.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("comparison.html.j2")
