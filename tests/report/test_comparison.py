"""A comparison as tables, page and JSON: what a reader must see, and that nothing else gets through."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from vdibench.analysis.comparison import Comparison, Difference, Finding, LimitResult
from vdibench.analysis.metadata import Agreement, Checked
from vdibench.errors import StoreError
from vdibench.records import Outcome
from vdibench.report.comparison_charts import difference_chart
from vdibench.report.comparison_page import comparison_html, write_comparison
from vdibench.report.comparison_tables import (
    checked_table,
    comparison_document,
    comparison_lines,
    difference_table,
    limits_table,
)

WORSE = Difference(
    suite="gpu_density",
    level=2,
    metric="glass_to_glass_seconds",
    statistic="p(95)",
    unit="seconds",
    finding=Finding.WORSE,
    base=0.020,
    new=0.030,
    delta=0.010,
    low=0.008,
    high=0.012,
    p=0.00002,
    p_corrected=0.00006,
    method="relabelling",
    unit_of="trials",
    units=(8, 8),
    samples=(480, 480),
)
FOUND = Comparison(
    base=("20261124T174715Z-gpu_density-smoke",),
    new=("<script>alert(1)</script>\x1b[31m",),
    synthetic=False,
    checked=(
        Checked("width", "gpu_density", "1280", "1280", Agreement.SAME),
        Checked("encoder", "", "x264", "nvh264enc", Agreement.VARIED),
    ),
    differences=(
        dataclasses.replace(WORSE, metric="frame_interval_seconds", finding=Finding.NO_DIFFERENCE, p_corrected=0.4),
        dataclasses.replace(
            WORSE, metric="desktop_cpu_cores", unit="cores", finding=Finding.NO_DATA, note="base has no values"
        ),
        WORSE,
        dataclasses.replace(
            WORSE,
            metric="frames_per_second",
            unit="1/second",
            statistic="avg",
            base=30.0,
            new=28.5,
            delta=-1.5,
            low=-2.0,
            high=-1.0,
            finding=Finding.UNDECIDED,
            method="blocks",
            units=(1, 1),
            note="these sessions differ",
        ),
    ),
    limits=(
        LimitResult("glass_to_glass_seconds p95 5%", "gpu_density", 2, Outcome.FAIL, "worse by more", 0.006, 0.012),
    ),
    notes=("trials were resampled",),
)


def test_what_changed_stands_first_with_its_sign_interval_and_p() -> None:
    table = difference_table(FOUND)
    assert list(table["finding"]) == [
        "worse",
        "undecided: these sessions differ",
        "no difference shown",
        "no data: base has no values",
    ]
    assert list(table.iloc[0])[2:10] == [
        "glass_to_glass_seconds",
        "p(95)",
        "20.0 ms",
        "30.0 ms",
        "+10.0 ms (+50.0 %)",
        "+8.00 ms … +12.0 ms",
        "< 0.0001",
        "8 + 8 trials",
    ]
    assert list(table.iloc[1])[6:10] == [
        "−1.50 /s (−5.0 %)",
        "−2.00 /s … −1.00 /s",
        "< 0.0001",
        "time within 1 + 1 trials",
    ]
    assert list(difference_table(FOUND, every=False)["metric"]) == [
        "glass_to_glass_seconds",
        "frames_per_second",
        "desktop_cpu_cores",
    ]


def test_limits_and_what_was_under_test_are_told() -> None:
    assert list(limits_table(FOUND).iloc[0]) == [
        "glass_to_glass_seconds p95 5%",
        "gpu_density",
        "2",
        "FAIL",
        "0.012",
        "worse by more",
    ]
    assert checked_table(FOUND, same=False).to_numpy().tolist() == [["encoder", "x264", "nvh264enc", "under test"]]
    assert len(checked_table(FOUND)) == 2
    lines = comparison_lines(FOUND)
    assert lines[0] == (
        "worse 1, better 0, undecided 1, no difference shown 1, no data 1; p corrected for 4 comparisons (Holm)"
    )
    assert lines[1:] == [
        "limits: p of being worse by more, one-sided, corrected for 1 limit",
        "note: trials were resampled",
    ]


def test_synthetic_is_said_everywhere() -> None:
    found = dataclasses.replace(FOUND, synthetic=True)
    drawn = difference_chart(found)
    assert drawn is not None
    assert any("synthetic" in text.get_text() for text in drawn.texts)
    assert "synthetic" in comparison_html(found).partition("</header>")[0]
    assert any(line.startswith("synthetic") for line in comparison_lines(found))
    assert comparison_document(found)["synthetic"] is True


def test_the_chart_shows_what_has_an_interval() -> None:
    drawn = difference_chart(FOUND)
    assert drawn is not None
    labels = [label.get_text() for label in drawn.axes[0].get_yticklabels()]
    assert labels == ["glass_to_glass_seconds p(95)", "frames_per_second avg", "frame_interval_seconds p(95)"]
    assert drawn.png().startswith(b"\x89PNG")
    assert difference_chart(dataclasses.replace(FOUND, differences=())) is None


def test_the_chart_tells_what_was_0_in_base_in_its_unit() -> None:
    """There is no share of nothing: what came from nothing is the last that may be left out."""
    freezes = dataclasses.replace(
        WORSE,
        metric="freezes_per_minute",
        unit="1/minute",
        statistic="avg",
        base=0.0,
        new=3.0,
        delta=3.0,
        low=1.0,
        high=5.0,
    )
    failures = dataclasses.replace(
        WORSE, metric="session_failure_ratio", unit="ratio", base=0.0, new=1.0, delta=1.0, low=None, high=None
    )
    still = dataclasses.replace(failures, metric="loss_ratio", new=0.0, delta=0.0, finding=Finding.NO_DIFFERENCE)
    drawn = difference_chart(dataclasses.replace(FOUND, differences=(*FOUND.differences, freezes, failures, still)))
    assert drawn is not None
    labels = [label.get_text().split()[0] for label in drawn.axes[0].get_yticklabels()]
    assert labels[:3] == ["freezes_per_minute", "session_failure_ratio", "glass_to_glass_seconds"]
    assert "loss_ratio" not in labels
    assert [text.get_text() for text in drawn.axes[0].texts] == [
        "+3.00 /min (+1.00 /min … +5.00 /min), base is 0: worse",
        "+100 %, base is 0: worse",
    ]
    assert drawn.png().startswith(b"\x89PNG")
    alone = difference_chart(dataclasses.replace(FOUND, differences=(freezes,)))
    assert alone is not None
    assert alone.png().startswith(b"\x89PNG")


def test_the_page_needs_nothing_else_and_escapes_what_it_is_given(tmp_path: Path) -> None:
    page = write_comparison(FOUND, tmp_path / "page.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "\x1b" not in page
    assert "data:image/png;base64," in page
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    assert "FAIL" in page
    bare = comparison_html(dataclasses.replace(FOUND, differences=(), limits=()))
    assert "Nothing could be compared" in bare
    with pytest.raises(StoreError, match="cannot write"):
        write_comparison(FOUND, tmp_path / "none" / "page.html")


def test_the_document_is_plain_json() -> None:
    document = json.loads(json.dumps(comparison_document(FOUND)))
    assert (document["outcome"], document["exit_code"]) == ("fail", 99)
    assert [row["finding"] for row in document["differences"]] == [
        "no difference shown",
        "no data",
        "worse",
        "undecided",
    ]
    assert document["checked"][1]["agreement"] == "under test"
    assert document["limits"][0]["outcome"] == "fail"
