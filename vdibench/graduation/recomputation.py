"""The verdict of a stored run, made anew from its samples: what somebody wrote over the stored one counts for nothing.

Samples, checks, parameters and the objectives' own text go in, as a measurement had them at its end. Pure but for the
tables, which the recording reads.

What cannot be made anew is never made better. The reasons that stand in ``verdict.json`` stay, because some of them
are in no sample: that somebody else measured meanwhile, that a viewer was not told its encoder. A suite that was
invalid stays so, and so does one that ended before it had a verdict of its own. What the samples do say is added: a
late client, frames that were decoded before they were drawn, a software encoder where a GPU was asked for, and what
speaks against the load generator in each trial.

Whether desktops and generator shared a host is in the samples too: telemetry has figures of a desktop only where it
saw its processes. Runs before schema 3 have no figures of the generator, and runs that do not say how many workers or
cores there were cannot be asked: of these the stored reasons are all there is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vdibench.analysis import criteria, measured_trial, recorded_framerate, recorded_knee, recorded_parameters
from vdibench.analysis.neighbours import SUITE as NEIGHBOUR_SUITE
from vdibench.client.mode import Mode
from vdibench.errors import ObjectiveError
from vdibench.load.client_guard import client_reasons
from vdibench.load.guard import latency_bounds, limits_for, reasons
from vdibench.load.host_guard import generator_reasons
from vdibench.metrics import PROBE, Tables, chosen
from vdibench.records import Check, ObjectiveResult, Outcome, Run, SuiteVerdict, Verdict, worst
from vdibench.slo import SUITES, Objectives, evaluate, finds_knee, load
from vdibench.store import Recording
from vdibench.store.standing import RUN_SUITE, in_force

__all__ = ["CONDITION_PREFIX", "recomputed", "verdict_differences"]

CONDITION_PREFIX = "condition_"
"""Of checks that tell what an operator says of a session; they have no part in a suite's verdict."""

_SEARCHING = "gpu_density"
_LEVELED = frozenset({_SEARCHING, "latency_under_load"})
_LOAD = "load"
_READING = frozenset({"capacity_report", "graduation"})  # they judge nothing
# Since this schema of run.json the tables say how the load generator fared.
_ENGINE_SCHEMA = 3
# Sums of floats may come out otherwise with another release of what adds them up.
_TOLERANCE = 1e-9
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}
_DECODING = frozenset(mode.value for mode in Mode if mode.decodes)


def recomputed(recording: Recording) -> Verdict:
    """The verdict that follows from what a run folder holds, suites in the order of the stored one."""
    run = recording.run
    stored = {suite.suite: suite for suite in recording.verdict.suites if suite.suite != RUN_SUITE}
    # One that was taken out of the verdict was measured all the same.
    measured = [name for name in run.parameters if name in SUITES and name not in _READING]
    names = dict.fromkeys((*stored, *measured))
    suites = tuple(_suite(recording, name, stored.get(name)) for name in names)
    return in_force(run, Verdict(run.name, Outcome.NO_DATA, suites))


def _suite(recording: Recording, suite: str, stored: SuiteVerdict | None) -> SuiteVerdict:
    run, tables = recording.run, recording.tables
    said = stored.reasons if stored is not None else ()
    try:
        # As text: one line that ends like a file's name would be taken for one.
        objectives = load(run.objectives + "\n")
    except ObjectiveError as error:
        outcome = Outcome.INVALID if stored is not None and stored.outcome is Outcome.INVALID else Outcome.NO_DATA
        return SuiteVerdict(suite, outcome, (), (*said, f"the objectives of the run cannot be read: {error}"))
    context = _context(run, suite)
    again = evaluate(
        objectives,
        suite,
        tables,
        context,
        knee=recorded_knee(run, tables, suite) if finds_knee(suite) else None,
        checks=_checks(tables, suite),
        invalid_reasons=_invalid(run, tables, suite, objectives, context),
    )
    return SuiteVerdict(
        suite, _no_better(stored, again.outcome), again.objectives, tuple(dict.fromkeys((*said, *again.reasons)))
    )


def _no_better(stored: SuiteVerdict | None, again: Outcome) -> Outcome:
    if stored is None:
        return again
    if stored.outcome is Outcome.INVALID:
        return Outcome.INVALID
    # It ended early, or nothing applied: what was measured until then is no verdict.
    if stored.outcome is Outcome.NO_DATA and stored.reasons:
        return Outcome.NO_DATA
    return again


def _context(run: Run, suite: str) -> dict[str, Any]:
    """What objectives may ask about: the run's context, and the frame rate that the suite asked for."""
    framerate = recorded_parameters(run, suite).get("framerate")
    return {**run.context} | ({} if framerate is None else {"framerate": framerate})


def _checks(tables: Tables, suite: str) -> list[Check]:
    """The checks of a suite in the order in which they were made; one that was made twice counts twice, as it did."""
    rows = chosen(tables["checks"], suite=suite, phase=None)
    rows = rows[~rows["name"].str.startswith(CONDITION_PREFIX)]
    return [
        Check(
            str(row["name"]),
            # A word that is none is no pass.
            _OUTCOMES.get(str(row["outcome"]), Outcome.NO_DATA),
            str(row["finding"]),
            str(row["evidence"]),
            str(row["remedy"]),
        )
        for row in rows.to_dict("records")
    ]


# what makes numbers invalid


def _invalid(
    run: Run, tables: Tables, suite: str, objectives: Objectives, context: Mapping[str, Any]
) -> tuple[str, ...]:
    found = client_reasons(tables, suite)
    if suite in _LEVELED or suite == _LOAD:
        found += _software(run, tables, suite)
        found += _generator(run, tables, suite, objectives, context)
    return tuple(dict.fromkeys(found))


def _software(run: Run, tables: Tables, suite: str) -> list[str]:
    """Sessions that a GPU should have encoded, and whose server did not say that one did."""
    if recorded_parameters(run, suite).get("gpu") is not True:
        return []
    facts = chosen(tables["facts"], suite=suite, phase=None)
    found = []
    for session in sorted(chosen(tables["frames"], suite=suite)["session"].unique()):
        own = facts[facts["session"] == session]
        said = dict(zip(own["key"], own["value"], strict=True))
        if said.get("stream.hardware") != "True":
            encoder = said.get("stream.encoder") or "unknown"
            found.append(f"{session}: encoder in use is {encoder}, not the GPU's")
    return found


def _generator(run: Run, tables: Tables, suite: str, objectives: Objectives, context: Mapping[str, Any]) -> list[str]:
    """What speaks against the load generator, asked as it was after each trial."""
    workers = _number(recorded_parameters(run, suite).get("workers"))
    if run.schema < _ENGINE_SCHEMA or workers is None:
        return []
    if suite == _LOAD:
        return _of_load(run, tables, objectives, context, int(workers))
    cores = _number(run.host.get("cpu_cores_usable"))
    if cores is None:
        return []
    expectations = criteria(objectives, suite, context)
    bounds = [expectation.limit(None) for metric, expectation in expectations if metric.endswith("_seconds")]
    limits = limits_for(
        [bound for bound in bounds if bound is not None],
        decoding_cores=int(cores) if _decodes(run, suite, "client_mode") else 1,
    )
    shared = _shares_host(tables, suite)
    framerate = recorded_framerate(run, suite)
    found: list[str] = []
    for name in (suite, NEIGHBOUR_SUITE) if suite == _SEARCHING else (suite,):
        for level, trial in _trials(tables, name):
            found += generator_reasons(
                tables,
                suite=name,
                level=level,
                trial=trial,
                workers=int(workers),
                limits=limits,
                cores=cores,
                shared_host=shared,
                passed=measured_trial(tables, expectations, level, trial, suite=name, framerate=framerate).passed,
            )
    return found


def _of_load(run: Run, tables: Tables, objectives: Objectives, context: Mapping[str, Any], workers: int) -> list[str]:
    parameters = recorded_parameters(run, _LOAD)
    every, one_way = latency_bounds(objectives, _LOAD, context)
    cores = int(_number(run.host.get("cpu_cores")) or 1)
    return reasons(
        tables,
        suite=_LOAD,
        workers=workers + int(_number(parameters.get("remote_workers")) or 0),
        asked=bool(parameters.get("shape")),
        limits=limits_for(every, decoding_cores=cores if _decodes(run, _LOAD, "mode") else 1),
        clock_bound_seconds=_number(context.get("clock_bound_seconds")) or 0.0,
        one_way_bounds=one_way,
    )


def _decodes(run: Run, suite: str, parameter: str) -> bool:
    return str(recorded_parameters(run, suite).get(parameter, Mode.DECODE)) in _DECODING


def _trials(tables: Tables, suite: str) -> list[tuple[int, int]]:
    """Level and trial of each that was tried; below 0 stands what was done before anything was tried."""
    found: set[tuple[int, int]] = set()
    for name in ("engine", "milestones"):
        rows = chosen(tables[name], suite=suite, phase=None)
        rows = rows[(rows["phase"] != PROBE) & (rows["trial"] >= 0) & (rows["level"] >= 1)]
        found.update(zip(map(int, rows["level"]), map(int, rows["trial"]), strict=True))
    return sorted(found)


def _shares_host(tables: Tables, suite: str) -> bool:
    """Whether the desktops were on the measuring host: telemetry then says how it accounted for each, and its cores."""
    facts = chosen(tables["facts"], suite=suite, phase=None)
    if (facts["key"] == "telemetry").any():
        return True
    rows = chosen(tables["resources"], suite=suite, phase=None)
    return bool((rows["session"].str.startswith("desktop-") & (rows["resource"] == "cpu_cores")).any())


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


# the stored verdict against it


def verdict_differences(stored: Verdict, again: Verdict) -> list[str]:
    """Where two verdicts of one run differ, a line each: suite, objective, stored against recomputed.

    :param stored: as written.
    :param again: as recomputed.
    """
    old, new = ({suite.suite: suite for suite in one.suites if suite.suite != RUN_SUITE} for one in (stored, again))
    lines: list[str] = []
    for name in dict.fromkeys((*old, *new)):
        if name not in old:
            lines.append(f"{name}: the verdict leaves it out, its samples say {new[name].outcome}")
        elif name not in new:
            lines.append(f"{name}: the verdict says {old[name].outcome}, and it is not among what was run")
        else:
            lines += _suite_differences(old[name], new[name])
    whole = worst(suite.outcome for suite in stored.suites)
    if not lines and stored.outcome is not again.outcome:
        lines.append(f"the verdict says {stored.outcome}, its suites say {whole}, recomputed {again.outcome}")
    return lines


def _suite_differences(old: SuiteVerdict, new: SuiteVerdict) -> Iterator[str]:
    found = list(_objective_differences(old.objectives, new.objectives))
    yield from (f"{old.suite}: {line}" for line in found)
    if not found and old.outcome is not new.outcome:
        why = "; ".join(reason for reason in new.reasons if reason not in old.reasons)
        yield f"{old.suite}: stored {old.outcome}, recomputed {new.outcome}{': ' + why if why else ''}"


def _objective_differences(old: Sequence[ObjectiveResult], new: Sequence[ObjectiveResult]) -> Iterator[str]:
    before, after = ([f"{one.metric} {one.expect}" for one in results] for results in (old, new))
    if before == after:
        for pair in zip(old, new, strict=True):
            yield from _result_differences(*pair)
        return
    lost, added = Counter(after) - Counter(before), Counter(before) - Counter(after)
    yield from (f"{name}: the verdict leaves it out" for name in lost.elements())
    yield from (f"{name}: is in the verdict, and was not asked for" for name in added.elements())
    if not lost and not added:
        yield "its objectives stand in another order"


def _result_differences(old: ObjectiveResult, new: ObjectiveResult) -> Iterator[str]:
    name = f"{old.metric} {old.expect}"
    if old.outcome is not new.outcome or not _alike(old.observed, new.observed):
        yield f"{name}: stored {_result(old)}, recomputed {_result(new)}"
    elif old.samples != new.samples:
        yield f"{name}: stored of {old.samples} samples, recomputed of {new.samples}"
    elif not _alike(old.bound, new.bound):
        yield f"{name}: stored against {old.bound}, recomputed against {new.bound}"


def _result(result: ObjectiveResult) -> str:
    return str(result.outcome) if result.observed is None else f"{result.outcome} ({result.observed:.6g})"


def _alike(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
