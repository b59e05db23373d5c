"""What every benchmark says of where it measured, where its results go, and the processor time of what it watched."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

from vdibench.telemetry import host_facts, versions

__all__ = ["RESULTS", "cpu_seconds", "provenance", "write"]

RESULTS = Path(__file__).parent.parent / "docs" / "results"


def provenance() -> dict[str, Any]:
    """Day, host and versions; the load average is that of now."""
    return {"date": time.strftime("%Y-%m-%d", time.gmtime()), "host": host_facts(), "versions": versions()}


def write(folder: Path, name: str, document: dict[str, Any], text: str) -> None:
    """Write numbers and page, and print the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    (folder / f"{name}.md").write_text(text)
    print(text)


def cpu_seconds(pids: Iterable[int]) -> float:
    """Processor seconds of some processes and everything below them until now."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):  # ended: what it used is lost
            process = psutil.Process(pid)
            for one in (process, *process.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):  # ended: what it used is lost
                    times = one.cpu_times()
                    total += times.user + times.system
    return total
