"""The coverage-guided fuzzer: ``python tests/fuzz/fuzzer.py [--seconds 600] [--target NAME]``; ``make fuzz`` runs it.

Each target runs in a process of its own, with libFuzzer's limits on time (5 s an input) and memory (512 MiB). What
breaks a parser is written to the folder given by ``--crashes``, from where it belongs into ``tests/data/fuzz/NAME``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
SLOWEST_SECONDS, MOST_MEBIBYTES, LONGEST_INPUT = 5, 512, 4096


def fuzz(target: str, arguments: list[str]) -> None:
    """Fuzz one target in this process; libFuzzer ends it."""
    import atheris

    sys.path[:0] = [str(HERE), str(HERE.parent.parent)]
    with atheris.instrument_imports(
        include=["vdibench.selkies", "vdibench.client", "vdibench.telemetry.dcgm", "prometheus_client.parser"]
    ):
        import targets
    atheris.Setup([sys.argv[0], *arguments], targets.TARGETS[target])
    atheris.Fuzz()


def campaign(names: list[str], seconds: float, crashes: Path) -> dict[str, int]:
    """Fuzz each target for its share of the time; returns how many inputs broke each."""
    sys.path[:0] = [str(HERE), str(HERE.parent.parent)]
    import targets

    crashes.mkdir(parents=True, exist_ok=True)
    found = {}
    for name in names:
        with tempfile.TemporaryDirectory(prefix="vdibench-fuzz-") as folder:
            for number, seed in enumerate(targets.seeds(name)):
                Path(folder, f"seed-{number}").write_bytes(seed)
            began = time.monotonic()
            done = subprocess.run(
                [
                    sys.executable,
                    __file__,
                    "--one",
                    name,
                    folder,
                    f"-max_total_time={max(1, round(seconds / len(names)))}",
                    f"-timeout={SLOWEST_SECONDS}",
                    f"-rss_limit_mb={MOST_MEBIBYTES}",
                    f"-max_len={LONGEST_INPUT}",
                    f"-artifact_prefix={crashes}/{name}-",
                    "-print_final_stats=1",
                ],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=seconds / len(names) + 120,
                check=False,
            )
            units = [line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line]
            found[name] = done.returncode
            outcome = "ok" if done.returncode == 0 else f"BROKEN (exit {done.returncode}, input in {crashes})"
            print(
                f"{name}: {units[-1] if units else 0} inputs in {time.monotonic() - began:.0f} s: {outcome}", flush=True
            )
            if done.returncode:
                print("\n".join(done.stderr.splitlines()[-40:]), flush=True)
    return found


def main() -> int:
    """Run a campaign; the exit code says whether anything broke."""
    if sys.argv[1:2] == ["--one"]:
        fuzz(sys.argv[2], sys.argv[3:])
        return 0
    sys.path[:0] = [str(HERE), str(HERE.parent.parent)]
    import targets

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="for all targets together")
    parser.add_argument("--target", choices=sorted(targets.TARGETS), action="append", help="again for more; else all")
    parser.add_argument("--crashes", type=Path, default=Path(tempfile.gettempdir()) / "vdibench-fuzz-crashes")
    arguments = parser.parse_args()
    names = arguments.target or [name for name in targets.TARGETS if name != targets.ANY]
    return 1 if any(campaign(names, arguments.seconds, arguments.crashes).values()) else 0


if __name__ == "__main__":
    sys.exit(main())
