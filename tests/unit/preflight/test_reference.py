"""The reference page lists the checks in their order, and its example runs."""

from __future__ import annotations

import re
from pathlib import Path

from vdibench.preflight import HOST_CHECKS

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "preflight.md").read_text(encoding="utf-8")


def test_every_check_is_documented_in_order():
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == [check.name for check in HOST_CHECKS]


def test_the_example_runs(turn, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [example] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    # The example's host is nobody's: the test's own server stands there instead.
    here = f'TurnServer("{turn.host}", {turn.port}, user="{turn.user}", password="{turn.password}")'
    example, replaced = re.subn(r"TurnServer\(\"turn.*\)", here, example)
    assert replaced == 1
    names: dict[str, object] = {}
    exec(example, names)
    assert [check.name for check in names["checks"]] == [check.name for check in HOST_CHECKS]  # type: ignore[attr-defined]
    assert "pass" in [check.outcome for check in names["checks"] if check.name == "turn"]  # type: ignore[attr-defined]
