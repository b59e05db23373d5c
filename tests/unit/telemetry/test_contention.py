"""Real claims in real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator

import pytest

from vdibench.errors import VdibenchError
from vdibench.telemetry import MeasuringClaim, others

_CLAIMANT = """
import sys, time
from vdibench.telemetry.contention import MeasuringClaim
print("ready", flush=True)
for line in sys.stdin:
    name, seconds = line.split()
    with MeasuringClaim(name) as claim:
        print("in", flush=True)
        time.sleep(float(seconds)) if seconds != "-" else sys.stdin.readline()
    print(" ".join(claim.contended_by) or "-", flush=True)
"""


class Claimant:
    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CLAIMANT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self.hear() == "ready"

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def claimant() -> Iterator[Callable[[], Claimant]]:
    made: list[Claimant] = []

    def start() -> Claimant:
        made.append(Claimant())
        return made[-1]

    yield start
    for one in made:
        one.end()


@pytest.fixture
def run_name() -> Callable[[str], str]:
    # Other tests of this machine may measure too.
    unique = uuid.uuid4().hex[:8]
    return lambda label: f"20260101T000000Z-{label}-{unique}"


def mine(names: tuple[str, ...] | list[str], run_name: Callable[[str], str]) -> list[str]:
    unique = run_name("x").rpartition("-")[2]
    return [name for name in names if name.endswith(unique)]


def test_a_claim_alone_is_not_contended_and_others_can_see_it(run_name):
    with MeasuringClaim(run_name("one")) as claim:
        assert claim.supported
        assert run_name("one") in [other.run for other in others()]
        assert os.getpid() in [other.pid for other in others() if other.run == run_name("one")]
        assert run_name("one") not in [other.run for other in others(run_name("one"))]
    assert mine(claim.contended_by, run_name) == []
    assert run_name("one") not in [other.run for other in others()]


def test_two_processes_that_overlap_for_fifty_milliseconds_know_of_each_other(claimant, run_name):
    long, short = claimant(), claimant()
    long.tell(f"{run_name('long')} -")
    assert long.hear() == "in"
    short.tell(f"{run_name('short')} 0.05")
    assert short.hear() == "in"
    assert mine(short.hear().split(), run_name) == [run_name("long")]
    long.tell("")
    assert mine(long.hear().split(), run_name) == [run_name("short")]


def test_the_shortest_possible_overlap_is_seen_by_both_sides(run_name):
    with MeasuringClaim(run_name("long")) as long:
        for number in range(50):
            with MeasuringClaim(run_name(f"n{number:02}")) as short:
                pass
            assert mine(short.contended_by, run_name) == [run_name("long")]
    assert mine(long.contended_by, run_name) == sorted(run_name(f"n{number:02}") for number in range(50))


def test_claims_that_begin_and_end_at_once_agree_on_whether_they_met(run_name):
    for _ in range(100):
        gate = threading.Barrier(2)
        claims = [MeasuringClaim(run_name("a")), MeasuringClaim(run_name("b"))]

        def hold(claim: MeasuringClaim, gate: threading.Barrier = gate) -> None:
            gate.wait()
            with claim:
                pass

        threads = [threading.Thread(target=hold, args=(claim,)) for claim in claims]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        a, b = (bool(mine(claim.contended_by, run_name)) for claim in claims)
        assert a == b


def test_runs_one_after_the_other_are_not_contended(run_name):
    with MeasuringClaim(run_name("first")) as first:
        pass
    with MeasuringClaim(run_name("second")) as second:
        pass
    assert mine(first.contended_by + second.contended_by, run_name) == []


def test_the_processes_of_one_run_are_not_contention(claimant, run_name):
    kernel = claimant()
    with MeasuringClaim(run_name("same")) as claim:
        kernel.tell(f"{run_name('same')} 0.01")
        assert kernel.hear() == "in"
        assert mine(kernel.hear().split(), run_name) == []
        with MeasuringClaim(run_name("same")) as again:
            pass
    assert mine(claim.contended_by + again.contended_by, run_name) == []


def test_runs_of_one_name_in_two_results_folders_are_two_runs(run_name, tmp_path):
    with (
        MeasuringClaim(run_name("twin"), tmp_path / "a" / "run") as one,
        MeasuringClaim(run_name("twin"), tmp_path / "b" / "run") as two,
    ):
        with MeasuringClaim(run_name("twin"), tmp_path / "a" / ".." / "a" / "run") as kernel_of_one:
            pass
        assert {other.run for other in others()} >= {run_name("twin")}
    assert mine(one.contended_by, run_name) == mine(two.contended_by, run_name) == [run_name("twin")]
    assert mine(kernel_of_one.contended_by, run_name) == [run_name("twin")]


def test_a_claim_ends_with_a_process_that_is_killed(claimant, run_name):
    victim = claimant()
    victim.tell(f"{run_name('victim')} -")
    assert victim.hear() == "in"
    assert run_name("victim") in [other.run for other in others()]
    victim.process.kill()
    victim.process.wait()
    assert run_name("victim") not in [other.run for other in others()]
    with MeasuringClaim(run_name("next")) as claim:
        pass
    assert mine(claim.contended_by, run_name) == []


def test_a_run_that_is_too_busy_to_answer_counts_on_both_sides(claimant, run_name):
    stopped = claimant()
    stopped.tell(f"{run_name('stopped')} -")
    assert stopped.hear() == "in"
    os.kill(stopped.process.pid, signal.SIGSTOP)
    with MeasuringClaim(run_name("newcomer")) as claim:
        assert mine(claim.contended_by, run_name) == [run_name("stopped")]
    os.kill(stopped.process.pid, signal.SIGCONT)
    stopped.tell("")
    assert mine(stopped.hear().split(), run_name) == [run_name("newcomer")]


def test_what_a_stranger_sends_or_binds_is_not_believed(run_name):
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as squatter,
        MeasuringClaim(run_name("honest")) as claim,
    ):
        squatter.bind(b"\0vdibench/measuring/<b>evil</b>/1")
        squatter.listen()
        (address,) = [other.address for other in others() if other.run == run_name("honest")]
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stranger:
            stranger.connect(b"\0" + address.encode())
            stranger.sendall(b"<script>\n")
            assert stranger.recv(100).decode().strip() == run_name("honest")
        assert not [other for other in others() if "evil" in other.run]
    assert not [name for name in claim.contended_by if "script" in name]


@pytest.mark.parametrize("name", ["", "with space", "a/b", "x" * 73, "-dash", "new\nline"])
def test_a_name_that_cannot_be_announced_is_refused(name):
    with pytest.raises(VdibenchError, match="cannot be announced"):
        MeasuringClaim(name)
