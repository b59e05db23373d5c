"""Words at the terminal: outcome words without colour, aligned text in a pipe, nothing that steers the screen."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import threading
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from vdibench.records import Outcome, Verdict
from vdibench.report import final_line, runs_table, show, verdict_lines, verdict_table
from vdibench.store import Recording, runs


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        (Outcome.PASS, "PASS"),
        (Outcome.FAIL, "FAIL"),
        (Outcome.NO_DATA, "NO-DATA"),
        (Outcome.NOT_APPLICABLE, "NO-DATA"),
        (Outcome.INVALID, "INVALID"),
    ],
)
def test_final_line(outcome: Outcome, word: str) -> None:
    line = final_line(Verdict("name", outcome), Path("results/name/report.html"))
    assert line == f"verdict: {word}  results/name/report.html"


def test_verdict_as_plain_lines(full: Path) -> None:
    lines = verdict_lines(Recording.open(full).verdict)
    assert lines[0].split() == ["suite", "objective", "expectation", "observed", "samples", "outcome", "reason"]
    starts = {line.index("PASS") for line in lines if "  PASS" in line}
    assert len(starts) == 1, "the outcomes do not stand below each other"
    missed = [line for line in lines if "FAIL" in line]
    assert any("freezes_per_minute" in line for line in missed)
    assert any("encoder_in_use" in line and "give the desktop a GPU" in line for line in missed)
    assert any("NO DATA" in line and "audio_packets" in line for line in lines)
    assert all(line == line.rstrip() for line in lines)


def test_pipe_gets_plain_text(full: Path) -> None:
    verdict = Recording.open(full).verdict
    out = io.StringIO()
    show(verdict_table(verdict), out)
    assert out.getvalue().splitlines() == verdict_lines(verdict)
    assert "\x1b" not in out.getvalue()


def test_screen_gets_a_drawn_table_with_words(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.delenv("NO_COLOR", raising=False)
    text = on_screen(verdict_table(Recording.open(full).verdict))
    assert "\x1b[" in text
    assert "┃" in text
    assert "FAIL" in text
    assert "NOT APPLICABLE" in text


def test_text_from_outside_is_no_markup_and_no_escape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "100")
    table = pd.DataFrame([["[bold]name[/bold]", "[link=x]"]], columns=["run", "[red]note"])
    assert "[bold]name[/bold]" in on_screen(table)
    assert "[red]note" in on_screen(table)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{\x1b[31m")
    (row,) = runs_table(runs(tmp_path)).to_dict("records")
    assert row["state"] == "unreadable"
    assert "is damaged" in row["note"]
    assert "\x1b" not in row["note"]


def test_list_of_runs(full: Path, make: Callable[..., Path], results: Path) -> None:
    make()
    make(suite="gpu_density")
    table = runs_table(runs(results))
    assert len(table) == 2
    assert set(table["verdict"]) == {"NO DATA"}
    assert set(table["state"]) == {"finished"}
    assert all(text.endswith("UTC") for text in table["started"])
    (row,) = runs_table(runs(full.parent)).to_dict("records")
    assert row["run"] == full.name
    assert row["verdict"] == "FAIL"
    assert row["size"].endswith("iB")


def test_empty_list_says_so(tmp_path: Path) -> None:
    out = io.StringIO()
    show(runs_table(runs(tmp_path)), out, empty="there is no run yet")
    assert out.getvalue() == "there is no run yet\n"
    show(runs_table([]), out)
    assert out.getvalue() == "there is no run yet\n"


def on_screen(table: pd.DataFrame) -> str:
    """What a real terminal would be sent."""
    reader, writer = pty.openpty()
    parts: list[bytes] = []

    def drain() -> None:
        with contextlib.suppress(OSError):  # how a terminal says that its writer is gone
            while part := os.read(reader, 4096):
                parts.append(part)

    thread = threading.Thread(target=drain)
    thread.start()
    with os.fdopen(writer, "w") as screen:
        assert screen.isatty()
        show(table, screen)
    thread.join()
    os.close(reader)
    return b"".join(parts).decode()
