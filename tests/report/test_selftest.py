"""The self-test in the report: the client's own error beside its latencies, and where nothing is proven, that."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from vdibench.records import Accuracy, Cost, SelfTest
from vdibench.report import write_report
from vdibench.report.selftest_tables import (
    accuracy_table,
    cost_table,
    error_sentence,
    floor_sentence,
    standing_sentence,
)
from vdibench.store import selftest_document

WEBRTC, WEBSOCKET = "selkies-2-webrtc", "selkies-2-websocket"
BEGAN = 1_760_000_000.0
ROW = Accuracy("glass_to_glass_seconds", WEBRTC, 0.02, 0.0204, 0.0004, "seconds", 1240, 0.002, True, 0.0001, 0.0008)
FOUND = SelfTest(
    kind="full",
    version="1",
    fingerprint="abcdef012345",
    began_unix_seconds=BEGAN,
    took_seconds=300.0,
    desktop="a lab desktop of 1280×720@60, workload text",
    accuracy=(
        ROW,
        dataclasses.replace(ROW, injected=0.05, measured=0.0488, error=-0.0012, low=-0.002, high=-0.0005),
        dataclasses.replace(ROW, dialect=WEBSOCKET, error=0.009, ok=False, low=0.008, high=0.01),
        Accuracy("packets_lost", WEBRTC, 12, 13, 1, "packets", 1400, 2, True),
        Accuracy("freezes", WEBRTC, 10, None, None, "freezes", 0, 0, None, note="nothing was counted"),
        Accuracy("packets_lost", WEBSOCKET, 0, None, None, "packets", 0, 0, None, note="TCP", applicable=False),
    ),
    cost=(Cost("decode", 4, 938.5, 0.125, 8.0, 31 * 2**20, "canned H.264"),),
    floor={"receive": 0.004, "decode": 0.05},
)


def test_every_row_says_what_was_put_in_and_what_came_out() -> None:
    table = accuracy_table(FOUND)
    assert list(table["kept"]) == ["yes", "yes", "NO", "yes", "no data", "not applicable"]
    assert list(table["error"]) == ["+400 µs", "−1.20 ms", "+9.00 ms", "+1 packet", "no data", "no data"]
    assert list(table["injected"])[:4] == ["20.0 ms", "50.0 ms", "20.0 ms", "12 packets"]
    assert table["95 % interval"][0] == "+100 µs … +800 µs"
    assert table["samples"][0] == "1,240"
    assert table["bound"][0] == "± 2.00 ms"
    assert list(table["note"])[-2:] == ["nothing was counted", "TCP"]
    assert "note" not in accuracy_table(dataclasses.replace(FOUND, accuracy=(ROW,)))


def test_cost_is_told_with_what_it_is_compared_to() -> None:
    (row,) = cost_table(FOUND).itertuples(index=False)
    assert list(row) == ["decode", "4", "938 /s", "12.5 %", "8.00", "31.0 MiB", "canned H.264"]
    assert "0.400 %" in floor_sentence(FOUND)
    assert floor_sentence(dataclasses.replace(FOUND, floor={})) == ""


def test_error_beside_a_latency_is_that_of_the_dialect_that_was_watched() -> None:
    said = error_sentence(FOUND, ["glass_to_glass_seconds"], WEBRTC, BEGAN + 7200)
    assert said == (
        "This client's own error on this machine: glass to glass +400 µs of 20.0 ms injected (n = 1,240), "
        "glass to glass −1.20 ms of 50.0 ms injected (n = 1,240); full self-test, 2 h 00 min before the run."
    )
    assert "+9.00 ms" in error_sentence(FOUND, ["glass_to_glass_seconds"], WEBSOCKET, BEGAN + 7200)
    other = error_sentence(FOUND, ["glass_to_glass_seconds"], "selkies-1-webrtc", BEGAN + 7200)
    assert f"with {WEBRTC}" in other


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (None, "no self-test was made"),
        (dataclasses.replace(FOUND, invalid=("the host's processors were 99 % busy",)), "99 % busy"),
        (dataclasses.replace(FOUND, accuracy=(), missing=("no lab can come up here",)), "no lab can come up here"),
    ],
    ids=["none", "invalid", "no lab"],
)
def test_what_is_not_proven_is_said_with_the_reason(found: SelfTest | None, why: str) -> None:
    for said in (
        error_sentence(found, ["glass_to_glass_seconds"], WEBRTC, BEGAN),
        standing_sentence(found, BEGAN),
    ):
        assert why in said
    assert "not proven" in error_sentence(found, ["glass_to_glass_seconds"], WEBRTC, BEGAN)


def test_a_metric_that_was_no_part_of_it_is_not_made_up() -> None:
    said = error_sentence(FOUND, ["input_to_photon_seconds"], WEBRTC, BEGAN)
    assert "no part of the full self-test" in said


def test_report_tells_it_below_the_latencies_and_in_a_section(own_full: Path) -> None:
    (own_full / "selftest.json").write_text(json.dumps(selftest_document(FOUND)))
    page = write_report(own_full).read_text()
    assert page.count("This client&#39;s own error on this machine") >= 1
    assert "What the client costs" in page
    assert "abcdef012345" in page
    assert "not proven" not in page


def test_report_without_one_says_so(own_full: Path) -> None:
    page = write_report(own_full).read_text()
    assert "own error is not proven on this machine: no self-test was made" in page


def test_damaged_one_is_told_and_no_reason_to_fail(own_full: Path) -> None:
    (own_full / "selftest.json").write_text("{")
    page = write_report(own_full).read_text()
    assert "selftest.json" in page
    assert "not proven" in page
