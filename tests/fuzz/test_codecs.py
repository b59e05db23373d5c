"""No crash, no hang, no unbounded memory from hostile input: property-based inputs, old breakers, a short fuzz."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

HERE = Path(__file__).parent
FUZZ_SECONDS = 6


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"vdibench_fuzz_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TARGETS = _load("targets")
NAMES = [name for name in TARGETS.TARGETS if name != TARGETS.ANY]


@st.composite
def damaged(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A real input with a part cut out, repeated or replaced; or noise."""
    if not seeds or draw(st.booleans()):
        return draw(st.binary(max_size=400))
    data = draw(st.sampled_from(seeds))[:4096]
    begin = draw(st.integers(0, len(data)))
    end = draw(st.integers(begin, len(data)))
    return data[:begin] + draw(st.binary(max_size=40)) + data[end:]


@pytest.mark.parametrize("name", NAMES)
def test_hostile_input(name: str) -> None:
    target: Callable[[bytes], None] = TARGETS.TARGETS[name]

    @settings(max_examples=100, deadline=2000, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(damaged(TARGETS.seeds(name)))
    def attack(data: bytes) -> None:
        target(data)

    attack()


@pytest.mark.parametrize("name", NAMES)
def test_what_broke_once_and_what_servers_said(name: str) -> None:
    for seed in TARGETS.seeds(name):
        TARGETS.TARGETS[name](seed)


def test_a_broken_parser_is_found() -> None:
    with pytest.raises(TARGETS.Violation):
        TARGETS._require(False, "always")


def test_coverage_guided_fuzzing_finds_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, HERE / "fuzzer.py", "--target", "any", "--seconds", str(FUZZ_SECONDS), "--crashes", tmp_path],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("any: ")
    assert done.stdout.endswith(": ok\n")
