"""The reference page names every table, and its example runs."""

from __future__ import annotations

import re
from pathlib import Path

from vdibench.records import TABLES, RunState
from vdibench.store import RunFolder

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "run-folder.md").read_text(encoding="utf-8")


def test_every_table_is_documented_with_what_its_row_is() -> None:
    for table in TABLES.values():
        [line] = [line for line in PAGE.splitlines() if line.startswith(f"| `{table.name}` |")]
        assert table.row.split(";")[0].split(" (")[0] in line


def test_the_example_runs(run, tmp_path: Path, monkeypatch) -> None:
    RunFolder.create(tmp_path / "results", run).finish(RunState.FINISHED)
    monkeypatch.chdir(tmp_path)
    [example] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    exec(example, names)
    assert names["recording"].run.state is RunState.FINISHED
