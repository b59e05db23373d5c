"""Tables of a density search: levels, fairness, the limiting resource, neighbours, ways of sharing. Text cells."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from vdibench.analysis import Decision, Knee, Level
from vdibench.analysis.fairness import fairness
from vdibench.analysis.limits import FEWEST_LEVELS, Limit, Usage, limits
from vdibench.analysis.neighbours import SUITE as NEIGHBOUR_SUITE
from vdibench.analysis.neighbours import Influence, neighbours
from vdibench.analysis.sharing import sharing
from vdibench.metrics import Statistic
from vdibench.report import formats
from vdibench.report.evidence import Evidence, Source
from vdibench.store import Recording

__all__ = [
    "density_table",
    "fairness_table",
    "limit_sentence",
    "limits_table",
    "neighbours_sentence",
    "neighbours_table",
    "sharing_table",
]

_G2G = "glass_to_glass_seconds"
_WORDS = {True: "good", False: "bad", None: "undecided"}
_ALONE = "alone"


def density_table(source: Source, suite: str = "gpu_density") -> pd.DataFrame:
    """Every level tried, a row each: good sessions by trial, what was decided and why, latency, processors."""
    evidence = Evidence.of(source)
    tried = {level.level: level for level in evidence.tried(suite)}
    found = evidence.knee(suite)
    rows = []
    for level in sorted(set(tried) | set(evidence.levels(suite))):
        known = tried.get(level)
        g2g = evidence.values(_G2G, suite, level=level)
        rows.append(
            [
                formats.count(level),
                _by_trial(known),
                _word(known.decision) if known is not None else "no objective to be good by",
                known.decision.reason if known is not None else "",
                _place(level, found),
                formats.count(len(g2g)),
                formats.seconds(Statistic("p", 95.0).of(g2g)),
                _cores(evidence.values("desktop_cpu_cores", suite, level=level)),
                _cores(evidence.values("client_cpu_cores", suite, level=level)),
            ]
        )
    columns = ["sessions", "good sessions, by trial", "level", "why", "bound", "frames", "p95 glass to glass"]
    return pd.DataFrame(rows, columns=[*columns, "CPU per desktop, mean", "CPU of the measuring side, mean"])


def fairness_table(source: Source, suite: str = "gpu_density") -> pd.DataFrame:
    """How evenly the sessions of each level were served, and the worst one."""
    rows = []
    for one in fairness(Evidence.of(source).tables, suite):
        worst = one.worst
        rows.append(
            [
                formats.count(one.level),
                formats.count(one.trials),
                _index(one.frame_rate),
                _index(one.latency),
                formats.seconds(worst.seconds) if worst is not None else formats.NO_DATA,
                f"{formats.clean(worst.session)}, trial {worst.trial + 1}" if worst is not None else formats.NO_DATA,
            ]
        )
    columns = ["sessions", "trials", "Jain index of frame rates", "Jain index of p95 latency", "worst p95", "of"]
    return pd.DataFrame(rows, columns=columns)


def limit_sentence(source: Source, suite: str = "gpu_density") -> str:
    """What limits the knee, in words."""
    return _limit(Evidence.of(source), suite).sentence


def limits_table(source: Source, suite: str = "gpu_density") -> pd.DataFrame:
    """Every resource that was read, the likeliest limit first: use at the knee and beyond, and in step with latency."""
    evidence = Evidence.of(source)
    limit, found = _limit(evidence, suite), evidence.knee(suite)
    rows = [
        [
            usage.name[0].upper() + usage.name[1:],
            _at(usage, found.lower if found is not None else None),
            _at(usage, limit.level),
            formats.quantity(usage.capacity, usage.unit) if usage.capacity is not None else "not known",
            formats.ratio(usage.saturation) if usage.saturation is not None else "",
            _correlation(usage),
        ]
        for usage in limit.ranked
    ]
    columns = ["resource", "mean at the lower bound", f"mean at {limit.level or 'the highest level'} sessions"]
    return pd.DataFrame(rows, columns=[*columns, "capacity", "share of it", "in step with latency"])


def neighbours_table(source: Source, suite: str = NEIGHBOUR_SUITE) -> pd.DataFrame:
    """The noisy-neighbour matrix: a row a victim and metric, a column each number of busy neighbours."""
    cells = neighbours(Evidence.of(source).tables, suite=suite)
    counts = sorted({cell.neighbours for cell in cells})
    groups: dict[tuple[str, str, str], dict[int, Influence]] = {}
    for cell in cells:
        groups.setdefault((cell.victim, cell.beside, cell.metric), {})[cell.neighbours] = cell
    rows = [
        [
            formats.clean(victim),
            formats.clean(beside) or "several",
            {_G2G: "p95 glass to glass"}.get(metric, "mean frame rate"),
            _alone(next(iter(by_count.values()))),
            *(_cell(by_count.get(count)) for count in counts),
        ]
        for (victim, beside, metric), by_count in groups.items()
    ]
    columns = ["user", "neighbours", "of the user", _ALONE, *(f"beside {count}" for count in counts)]
    return pd.DataFrame(rows, columns=columns)


def neighbours_sentence(source: Source, suite: str = NEIGHBOUR_SUITE) -> str:
    """How the cells of the matrix are to be read."""
    cells = neighbours(Evidence.of(source).tables, suite=suite)
    fewest = min((min(cell.trials, cell.alone) for cell in cells), default=0)
    within = " With fewer than three trials on a side it holds for these trials only." if fewest < 3 else ""
    return (
        "A cell: the value beside so many busy sessions, its change against being alone, and the 95 % interval of that "
        f"change with n trials.{within}"
    )


def sharing_table(recordings: Iterable[Recording], suite: str = "gpu_density") -> pd.DataFrame:
    """Runs by how their GPU was shared, a way without a run as no data; figures are those of the lower bound."""
    rows = []
    for one in sharing(recordings, suite=suite):
        known = one.lower is not None
        rows.append(
            [
                formats.clean(one.sharing),
                (formats.clean(one.run) + (" (synthetic)" if one.synthetic else "")) if one.run else formats.NO_DATA,
                formats.count(one.lower),
                (formats.count(one.upper) if one.upper is not None else "open") if known else formats.NO_DATA,
                formats.count(one.levels) if known else formats.NO_DATA,
                formats.ratio(one.gpu_utilization_ratio),
                formats.ratio(one.gpu_encoder_utilization_ratio),
                formats.seconds(one.worst_seconds),
                _index(one.frame_rate_index),
                _index(one.latency_index),
                formats.clean(one.limited_by) or ("undetermined" if known else formats.NO_DATA),
            ]
        )
    columns = [
        "sharing",
        "run",
        "knee, at least",
        "knee, at most",
        "levels",
        "GPU",
        "GPU encoder",
        "worst session's p95",
    ]
    return pd.DataFrame(
        rows, columns=[*columns, "Jain index of frame rates", "Jain index of p95 latency", "limited by"]
    )


def _word(decision: Decision) -> str:
    if decision.good is None and decision.open and decision.leaning:
        return "seems good" if decision.leaning > 0 else "seems bad"
    return _WORDS[decision.good]


def _by_trial(known: Level | None) -> str:
    trials = known.trials if known is not None else ()
    said = [f"{trial.good} of {trial.sessions}" if trial.measured else formats.NO_DATA for trial in trials]
    return ", ".join(said) or formats.NO_DATA


def _place(level: int, found: Knee | None) -> str:
    if found is None:
        return ""
    if level == found.lower:
        return "lower bound"
    if found.upper is not None and level == found.upper + 1:
        return "first bad level"
    return "contradicting" if level in found.contradicting else ""


def _limit(evidence: Evidence, suite: str) -> Limit:
    host = evidence.run.host if evidence.run is not None else {}
    return limits(evidence.tables, evidence.knee(suite), host, suite=suite)


def _at(usage: Usage, level: int | None) -> str:
    return formats.quantity(usage.means.get(level) if level is not None else None, usage.unit)


def _correlation(usage: Usage) -> str:
    if usage.correlation is None or usage.low is None or usage.high is None:
        return "not enough levels" if len(usage.means) < FEWEST_LEVELS else formats.NO_DATA
    return f"{usage.correlation:.2f} ({usage.low:.2f} … {usage.high:.2f})"


def _alone(cell: Influence) -> str:
    return f"{_value(cell, cell.shift.base if cell.shift is not None else None)}, n = {cell.alone}"


def _cell(cell: Influence | None) -> str:
    if cell is None or cell.shift is None:
        return formats.NO_DATA
    change = cell.relative
    interval = (
        f" ({_signed(cell, cell.shift.low)} … {_signed(cell, cell.shift.high)})"
        if cell.shift.low is not None and cell.shift.high is not None
        else ""
    )
    share = f", {change:+.0%}{interval}" if change is not None else ""
    return f"{_value(cell, cell.shift.new)}{share}, n = {cell.trials}"


def _value(cell: Influence, value: float | None) -> str:
    return formats.seconds(value) if cell.metric == _G2G else formats.quantity(value, "1/second")


def _signed(cell: Influence, value: float) -> str:
    return f"{'+' if value > 0 else '−' if value < 0 else ''}{_value(cell, abs(value))}"


def _index(value: float | None) -> str:
    return formats.NO_DATA if value is None else f"{value:.3f}"


def _cores(found: pd.Series) -> str:
    return formats.cores(Statistic("avg").of(found))
