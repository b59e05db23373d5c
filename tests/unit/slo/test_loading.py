"""Objective files are checked to the last word, and a typo is told with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from vdibench.errors import ObjectiveError
from vdibench.slo import Place, load

WHOLE = """
schema: 1
name: lab-smoke
objectives:
  glass_to_glass_seconds: p(95) < 0.050            # short form
  input_to_photon_seconds:
    - expect: p(95) < 0.150
      suites: [stream_validation, latency_under_load]
      where: {gpu: false, dialect: [selkies-2-webrtc, selkies-2-websocket]}
      at: level 1
      min_samples: 50
    - p(50) < 0.1 at highest
  packets_lost_ratio: {expect: max < 0.01, suites: stream_validation}
"""


def _file(metric: str = "glass_to_glass_seconds", entry: str = "p(95) < 0.05") -> str:
    return f"schema: 1\nobjectives:\n  {metric}: {entry}\n"


def test_a_file_in_all_its_forms() -> None:
    loaded = load(WHOLE)
    assert loaded.name == "lab-smoke"
    assert loaded.text == WHOLE
    short, long, listed, single = loaded.objectives
    assert (short.metric, short.expectation.text, short.line) == ("glass_to_glass_seconds", "p(95) < 0.050", 5)
    assert (short.suites, dict(short.where), short.at, short.min_samples) == ((), {}, Place("level", 1), 1)
    assert long.suites == ("stream_validation", "latency_under_load")
    assert dict(long.where) == {"gpu": (False,), "dialect": ("selkies-2-webrtc", "selkies-2-websocket")}
    assert (long.at, long.min_samples, long.line) == (Place("level", 1), 50, 7)
    assert listed.at == Place("highest")
    assert single.suites == ("stream_validation",)


def test_text_and_file_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "slo.yaml"
    path.write_text(WHOLE)
    assert load(path).objectives == load(str(path)).objectives == load(WHOLE).objectives
    path.write_text(_file("glass_to_glas_seconds"))
    with pytest.raises(ObjectiveError, match=r"^slo\.yaml:3: 'glass_to_glas_seconds' is not a known metric"):
        load(path)


@pytest.mark.parametrize(
    ("text", "line", "bad", "hint"),
    [
        (_file("glas_to_glass_seconds"), 3, "'glas_to_glass_seconds'", "did you mean 'glass_to_glass_seconds'?"),
        (_file("zzz"), 3, "'zzz'", "allowed: glass_to_glass_seconds, draw_to_arrival_seconds"),
        (_file(entry="p95 < 0.05"), 3, "'p95'", "p(95)"),
        (_file(entry="\n    - expct: p(95) < 1"), 4, "'expct'", "did you mean 'expect'?"),
        (_file(entry="\n    - suites: [preflight]"), 4, "lacks 'expect'", "add one"),
        (
            _file(entry="\n    - expect: max < 1\n      suites: stream_valdation"),
            5,
            "'stream_valdation'",
            "did you mean",
        ),
        (_file(entry="\n    - expect: max < 1\n      where: {gpus: true}"), 5, "'gpus'", "did you mean 'gpu'?"),
        (_file(entry="\n    - expect: max < 1\n      where: {gpu: 1}"), 5, "'1'", "allowed: true, false"),
        (_file(entry="\n    - expect: max < 1\n      where: {dialect: selkies}"), 5, "'selkies'", "selkies-2-webrtc"),
        (_file(entry="\n    - expect: max < 1\n      where: gpu"), 5, "mapping of condition", "objectives.md"),
        (_file(entry="\n    - expect: max < 1\n      at: level one"), 5, "'level one'", "level N"),
        (_file(entry="\n    - expect: max < 1 at knee\n      at: highest"), 5, "both name a level", "one of them"),
        (_file(entry="\n    - expect: max < 1\n      min_samples: 0"), 5, "min_samples 0", "1 or more"),
        (_file(entry="\n    - expect: max < 1\n      min_samples: true"), 5, "min_samples True", "1 or more"),
        (_file(entry="[]"), 3, "no expectation", ""),
        (_file(entry="max < 1\n  glass_to_glass_seconds: max < 2"), 4, "stands here twice", "merge"),
        (_file("sessions_per_gpu", "avg > 3"), 3, "does not fit sessions_per_gpu", "knee_lower_bound"),
        (_file("jitter_seconds", "knee_lower_bound > 3"), 3, "does not fit jitter_seconds", "p(N)"),
        (_file("jitter_seconds", "max < target"), 3, "target is a frame rate", "write a number"),
        (_file("packets_lost_ratio", "max < 5"), 3, "5 is not a ratio", "0.01 for 1 %"),
        ("schema: 2\nobjectives: {}\n", 1, "schema 2", "use 1"),
        ("objectives:\n  jitter_seconds: max < 1\n", 1, "schema None", "use 1"),
        ("schema: 1\nobjetives: {}\n", 2, "'objetives'", "did you mean 'objectives'?"),
        ("schema: 1\nname: x\n", 1, "no objectives", ""),
        ("schema: 1\nobjectives: {}\n", 2, "no objectives", ""),
        ("schema: 1\nobjectives: {jitter_seconds: max < 1\n", 3, "not YAML", "correct"),
        ("schema: 1\nobjectives:\n  jitter_seconds: !!python/name:os.system x\n", 3, "not plain YAML", "plain"),
        ("- a\n- b\n", 1, "mapping of key", ""),
    ],
)
def test_a_typo_is_told_with_its_line_and_what_is_allowed(text: str, line: int, bad: str, hint: str) -> None:
    with pytest.raises(ObjectiveError) as caught:
        load(text)
    assert caught.value.cause.startswith(f"objectives:{line}: ")
    assert bad in caught.value.cause
    assert hint in caught.value.remedy
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ObjectiveError, match=r"cannot read objectives from .*absent\.yaml: No such file"):
        load(tmp_path / "absent.yaml")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ObjectiveError, match="not UTF-8"):
        load(binary)
    with pytest.raises(ObjectiveError, match="is empty"):
        load("\n")
    with pytest.raises(ObjectiveError, match="not YAML"):
        load("a: \x01\n")
