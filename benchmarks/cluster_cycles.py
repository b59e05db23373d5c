"""A cluster lab up and down, again and again: how long it takes, and whether the host is as it was.

``python benchmarks/cluster_cycles.py`` (part of ``make soak``) brings a lab with a cluster and the platform on it up
and takes it down, ten times, and compares interfaces, routes, packet filter, kernel settings, mounts, control groups
and vdibench's temporary files with those before. It writes ``docs/results/cluster-cycles.md`` and ``.json``; exit
status 1 says that something was left, or that a time was missed. Linux, as root.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# Run from a checkout, without installing it.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from results import RESULTS, provenance, write
from vdibench.lab import ClusterSpec, Lab, LabSpec
from vdibench.lab.cluster.host import host_state
from vdibench.lab.cluster.packages import node_packages
from vdibench.lab.cluster.prepared import prepare

__all__ = ["main"]

UP_SECONDS, DOWN_SECONDS = 15.0, 5.0


def cycle(packages: Path) -> tuple[float, float, list[str]]:
    """Seconds up, seconds down, and what of the host was not as before."""
    before, files = host_state(packages), temporary()
    began = time.monotonic()
    lab = Lab.up(LabSpec((), cluster=ClusterSpec()), name="cycles", owned=True, timeout_seconds=120)
    up = time.monotonic() - began
    began = time.monotonic()
    lab.down()
    down = time.monotonic() - began
    after = host_state(packages)
    left = [name for name in before if after[name] != before[name]]
    left += [f"temporary file {path.name}" for path in temporary() - files]
    return up, down, left


def temporary() -> set[Path]:
    """Temporary files of vdibench: other programs of the machine have theirs."""
    return set(Path(tempfile.gettempdir()).glob("vdibench*"))


def page(document: dict[str, Any]) -> str:
    """The result for people."""
    cycles, host = document["cycles"], document["host"]
    ups, downs = [one["up_seconds"] for one in cycles], [one["down_seconds"] for one in cycles]
    left = sorted({item for one in cycles for item in one["left"]})
    lines = [
        "# Cluster lab, up and down",
        "",
        f"Measured {document['date']} by `python benchmarks/cluster_cycles.py` on {host['cpu_model']}, "
        f"{host['cpu_cores']} cores: {len(cycles)} times one real node with CoreDNS, local-path, Traefik, coturn and "
        "Prometheus, all of them available; everything built and imported before.",
        "",
        "| | median | longest | at most |",
        "|---|---|---|---|",
        f"| up | {statistics.median(ups):.1f} s | {max(ups):.1f} s | {UP_SECONDS:g} s |",
        f"| down | {statistics.median(downs):.1f} s | {max(downs):.1f} s | {DOWN_SECONDS:g} s |",
        "",
        f"Left on the host: {', '.join(left) if left else 'nothing'}. Compared were interfaces, addresses, routes, "
        "packet filter, kernel settings, mounts, control groups and temporary files of vdibench.",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=10)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    prepare(print)
    packages = node_packages()
    cycles = []
    for number in range(options.cycles):
        up, down, left = cycle(packages)
        cycles.append({"up_seconds": up, "down_seconds": down, "left": left})
        print(
            f"{number + 1} of {options.cycles}: up {up:.1f} s, down {down:.1f} s, left: {', '.join(left) or 'nothing'}"
        )
    document = {**provenance(), "cycles": cycles}
    write(options.output, "cluster-cycles", document, page(document))
    late = any(one["up_seconds"] > UP_SECONDS or one["down_seconds"] > DOWN_SECONDS for one in cycles)
    return 1 if late or any(one["left"] for one in cycles) else 0


if __name__ == "__main__":
    sys.exit(main())
