"""How often the knee search is right, and what it saves: simulated systems whose knee is known.

``python benchmarks/knee_simulation.py`` searches thousands of them, sweeps the same ones, and writes
``docs/results/knee-simulation.md`` and ``.json``. No network: minutes of arithmetic on all cores.

A system has latencies that grow with load as a queue's do, ``quiet * (1 + growth * load / (1 - load))`` with ``load`` =
sessions / capacity. In a trial they are multiplied by what all of its sessions share (host, minute) and by what each
has of its own, both log-normal and wider under load; now and then something else happens on the host and the whole
trial is late. A session is good when it stays inside the objective. Systems with ``stalls`` are of another sort: their
latency stays far inside the objective, but from one level on a share of trials stalls, as freezes come and go.

The *true knee* of a system is the largest k so that at k and at every level below at least 80 % of all trials pass
(``holds`` of :class:`vdibench.analysis.SequentialTest`). It is computed by numerical integration, not simulated.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import numpy as np
from scipy import special, stats

from results import RESULTS, provenance, write
from vdibench.analysis import IntegerSearch, Knee, Search, SequentialTest, Sweep
from vdibench.analysis.trials import needed

LIMIT_SECONDS = 0.050
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(61)
_SEED = 6
_REPETITIONS = 3  # trials of a level in a sweep


@dataclass(frozen=True)
class Kind:
    """Systems of one kind; deviations are those of the logarithm of a latency, at full load.

    :param trial_deviation: what the sessions of one trial share.
    :param session_deviation: what each has of its own.
    :param outliers: share of trials in which something else happens on the host.
    :param growth: how early latency rises before the capacity: smaller is steeper.
    :param holds: share of trials that pass at the true knee and below.
    :param margins: whether the search is told margins, or only how many sessions were good.
    :param stalls: share of trials that stall from the level above the knee on; (0, 0): latency rises instead.
    """

    name: str
    largest: int = 16
    trial_deviation: float = 0.08
    session_deviation: float = 0.08
    outliers: float = 0.02
    growth: tuple[float, float] = (0.05, 0.6)
    holds: float = 0.8
    margins: bool = True
    stalls: tuple[float, float] = (0.0, 0.0)


KINDS = (
    Kind("1 … 16 sessions"),
    Kind("1 … 64 sessions", largest=64),
    Kind("quiet trials", trial_deviation=0.02, session_deviation=0.02),
    Kind("noisy trials", trial_deviation=0.16, session_deviation=0.08),
    Kind("s 0.24: very noisy trials", trial_deviation=0.24, session_deviation=0.08),
    Kind("sessions alike", trial_deviation=0.12, session_deviation=0.02),
    Kind("one trial in twenty an outlier", outliers=0.05),
    Kind("steep: a cliff", growth=(0.005, 0.02)),
    Kind("gentle slope", growth=(0.6, 1.5)),
    Kind("margins unknown, half of trials must pass", margins=False, holds=0.5),
    Kind("bimodal: 50–70 % of trials pass above the knee", stalls=(0.3, 0.5)),
)


@dataclass(frozen=True)
class System:
    """One system."""

    kind: Kind
    capacity: float
    quiet_seconds: float
    growth: float
    onset: int = 0  # first level at which trials stall; 0: none
    stall: float = 0.0  # share of them
    true_knee: int = field(init=False)

    def __post_init__(self) -> None:
        level = 0
        while level <= self.kind.largest and self.passing(level + 1) >= self.kind.holds:
            level += 1
        object.__setattr__(self, "true_knee", level)

    @classmethod
    def drawn(cls, kind: Kind, chance: np.random.Generator) -> System:
        """One with a knee from 1 to the largest level, every place of it as likely."""
        if any(kind.stalls):
            onset, quiet = int(chance.integers(2, kind.largest + 2)), chance.uniform(0.4, 0.6) * LIMIT_SECONDS
            return cls(kind, 4.0 * kind.largest, quiet, kind.growth[0], onset, chance.uniform(*kind.stalls))
        while True:
            knee = chance.uniform(1.0, kind.largest + 1)
            quiet = chance.uniform(0.4, 0.75) * LIMIT_SECONDS
            growth = chance.uniform(*kind.growth)
            # The load at which the median latency meets the objective; noise puts the knee a little below.
            excess = (LIMIT_SECONDS / quiet - 1) / growth
            system = cls(kind, knee * (1 + excess) / excess, quiet, growth)
            if 1 <= system.true_knee <= kind.largest:
                return system

    def median(self, level: int) -> float:
        """Seconds of latency in the middle of the sessions."""
        load = level / self.capacity
        if load >= 0.98:
            return self.quiet_seconds * (1 + self.growth * 49 * (load / 0.98) ** 8)
        return self.quiet_seconds * (1 + self.growth * load / (1 - load))

    def deviations(self, level: int) -> tuple[float, float]:
        """Of a trial and of a session within it."""
        load = min(level / self.capacity, 1.0)
        return self.kind.trial_deviation * (0.4 + 0.6 * load), self.kind.session_deviation * (0.4 + 0.6 * load)

    def passing(self, level: int) -> float:
        """Probability that a trial passes; one that stalls and an outlier never do."""
        of_trial, of_session = self.deviations(level)
        distance = math.log(LIMIT_SECONDS / self.median(level)) - of_trial * _NODES
        good = special.ndtr(distance / of_session)
        enough = special.bdtrc(needed(level) - 1, level, good)
        spared = (1 - self.kind.outliers) * (1 - self.stalling(level))
        return float(spared * np.sum(_WEIGHTS * enough) / np.sum(_WEIGHTS))

    def stalling(self, level: int) -> float:
        """Share of trials that stall."""
        return self.stall if 0 < self.onset <= level else 0.0

    def trial(self, level: int, chance: np.random.Generator) -> tuple[int, float]:
        """Good sessions and margin of one trial."""
        of_trial, of_session = self.deviations(level)
        late = self.median(level) * np.exp(chance.normal(0, of_trial) + chance.normal(0, of_session, level))
        if chance.random() < 1 - (1 - self.kind.outliers) * (1 - self.stalling(level)):
            late *= chance.uniform(2.0, 4.0) * LIMIT_SECONDS / late.min()
        margins = np.sort(np.clip((LIMIT_SECONDS - late) / LIMIT_SECONDS, -1, 1))[::-1]
        return int((margins >= 0).sum()), float(margins[needed(level) - 1])


@dataclass(frozen=True)
class Ended:
    """What one search of one system found."""

    true: int
    knee: Knee | None
    levels: int
    trials: int

    @property
    def inside(self) -> bool:
        """The true knee lies within the bounds."""
        found = self.knee
        return found is not None and found.lower <= self.true <= (math.inf if found.upper is None else found.upper)

    @property
    def near(self) -> bool:
        """It lies within the bounds or next to them."""
        found = self.knee
        return found is not None and found.lower - 1 <= self.true <= (
            math.inf if found.upper is None else found.upper + 1
        )

    def width(self, largest: int) -> int:
        """Levels between the bounds."""
        found = self.knee
        if found is None:
            return largest
        return (largest if found.upper is None else found.upper) - found.lower


def run(system: System, search: Search, chance: np.random.Generator) -> Ended:
    """Search one system to the end."""
    tried: set[int] = set()
    trials = 0
    while (level := search.next()) is not None:
        good, margin = system.trial(level, chance)
        search.observe(level, good=good, sessions=level, margin=margin if system.kind.margins else None)
        tried.add(level)
        trials += 1
    return Ended(system.true_knee, search.knee(), len(tried), trials)


@dataclass(frozen=True)
class Row:
    """Many systems of one kind, searched in one way; shares are ratios, counts are means over systems."""

    kind: str
    method: str
    systems: int
    inside: float
    inside_low: float
    near: float
    too_high: float
    too_low: float
    width: float
    exact: float
    levels: float
    trials: float
    levels_of_sweep: float
    trials_of_sweep: float


METHODS: Mapping[str, Callable[[Kind], Search]] = {
    "search": lambda kind: IntegerSearch(kind.largest, rule=SequentialTest(holds=kind.holds)),
    "sweep, to the first bad level": lambda kind: Sweep(kind.largest, _REPETITIONS),
    "sweep, all levels": lambda kind: Sweep(kind.largest, _REPETITIONS, all_levels=True),
}


def simulate(kind: Kind, systems: int, seed: int = _SEED) -> list[Row]:
    """The same systems by every method."""
    chance = np.random.default_rng(seed)
    drawn = [System.drawn(kind, chance) for _ in range(systems)]
    ended = {name: [run(system, make(kind), chance) for system in drawn] for name, make in METHODS.items()}
    sweep = ended["sweep, all levels"]
    return [_row(kind, name, results, sweep) for name, results in ended.items()]


def _row(kind: Kind, method: str, ended: Sequence[Ended], sweep: Sequence[Ended]) -> Row:
    inside = sum(one.inside for one in ended)
    known = [(one, one.knee) for one in ended if one.knee is not None]
    return Row(
        kind.name,
        method,
        len(ended),
        inside / len(ended),
        stats.binomtest(inside, len(ended)).proportion_ci(method="exact").low,
        sum(one.near for one in ended) / len(ended),
        sum(found.lower > one.true for one, found in known) / len(ended),
        sum(found.upper is not None and found.upper < one.true for one, found in known) / len(ended),
        float(np.mean([one.width(kind.largest) for one in ended])),
        sum(one.inside and one.width(kind.largest) == 0 for one in ended) / len(ended),
        float(np.mean([one.levels for one in ended])),
        float(np.mean([one.trials for one in ended])),
        sum(one.levels for one in ended) / sum(one.levels for one in sweep),
        sum(one.trials for one in ended) / sum(one.trials for one in sweep),
    )


_HEADINGS = (
    "systems",
    "method",
    "true knee inside",
    "or one level beside",
    "lower bound too high",
    "upper bound too low",
    "mean width",
    "levels",
    "trials",
    "levels of a sweep",
    "trials of a sweep",
)


def page(rows: Sequence[Row], where: Mapping[str, Any], systems: int, seconds: float) -> str:
    """The results as a page."""
    host = where["host"]
    lines = [
        "# How often the knee search is right, and what it saves",
        "",
        f"Simulated {where['date']} by `python benchmarks/knee_simulation.py --systems {systems}` on "
        f"{host.get('cpu_model', 'an unknown processor')}, {host['cpu_cores']} cores, in {seconds:.0f} s; "
        f"seed {_SEED}, {systems:,} systems of each kind. Nothing was measured on a desktop.",
        "",
        *_EXPLAINED.format(rule=SequentialTest(), repetitions=_REPETITIONS).splitlines(),
        "",
        "| " + " | ".join(_HEADINGS) + " |",
        "|" + "---|" * len(_HEADINGS),
        *("| " + " | ".join(_cells(row)) + " |" for row in rows),
        "",
        "The kinds, as standard deviations of the logarithm of a latency at full load:",
        "",
        "| systems | knees | of a trial | of a session | outliers | growth | stalls above the knee |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {kind.name} | 1 … {kind.largest} | {kind.trial_deviation:g} | {kind.session_deviation:g} | "
            f"{kind.outliers:.0%} | {_growth(kind)} |"
            for kind in KINDS
        ),
    ]
    return "\n".join(lines) + "\n"


_EXPLAINED = (
    "A system's latencies grow with load as a queue's do; the sessions of a trial share part of their luck, and some "
    "trials are ruined from outside. The **true knee** is the largest k so that at k and at every level below at least "
    "80 % of all trials pass, that is, have at least 95 % of their sessions inside the objective (computed by "
    "integration; 50 % where no margins are told). The search decides a level as {rule}. A sweep "
    "makes {repetitions} trials at every level, and calls a level good when all of them passed.\n\n"
    "*Inside*: lower bound ≤ true knee ≤ upper bound, with the lower end of its exact 95 % interval. *Width*: upper − "
    "lower bound; 0 pins the knee. The last two columns compare with the sweep of all levels.\n\n"
    "In the *bimodal* kind latency stays far inside the objective at every level, but from the level above the knee on "
    "a trial stalls by chance: nothing in the trials that pass tells of it, and half a dozen trials cannot tell 70 % "
    "of passed ones from 80 %."
)


def _growth(kind: Kind) -> str:
    if any(kind.stalls):
        return f"– | {kind.stalls[0]:.0%} … {kind.stalls[1]:.0%}"
    return f"{kind.growth[0]:g} … {kind.growth[1]:g} | –"


def _cells(row: Row) -> list[str]:
    return [
        row.kind,
        row.method,
        f"{row.inside:.1%} (≥ {row.inside_low:.1%})",
        f"{row.near:.1%}",
        f"{row.too_high:.1%}",
        f"{row.too_low:.1%}",
        f"{row.width:.2f}",
        f"{row.levels:.1f}",
        f"{row.trials:.1f}",
        f"{row.levels_of_sweep:.0%}",
        f"{row.trials_of_sweep:.0%}",
    ]


def main() -> None:
    """Simulate and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--systems", type=int, default=1000, help="of each kind")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the page and its numbers")
    options = parser.parse_args()
    begun = time.monotonic()
    with ProcessPoolExecutor() as pool:
        rows = [row for of_kind in pool.map(simulate, KINDS, repeat(options.systems)) for row in of_kind]
    where = provenance()
    text = page(rows, where, options.systems, time.monotonic() - begun)
    document = {
        **where,
        "seed": _SEED,
        "kinds": [asdict(kind) for kind in KINDS],
        "rows": [asdict(row) for row in rows],
    }
    write(options.output, "knee-simulation", document, text)


if __name__ == "__main__":
    main()
