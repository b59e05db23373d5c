"""A whole self-test: desktops, relay, source and clients are started, measured with and ended. I/O; blocking."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable

import vdibench
from vdibench.errors import VdibenchError
from vdibench.lab import DesktopSpec, Lab, LabSpec
from vdibench.links import DIRECT, Relay
from vdibench.records import Accuracy, SelfTest, Workload
from vdibench.replay.process import ReplayServer
from vdibench.replay.traces import cached_trace
from vdibench.selftest.accuracy import Findings, measure_accuracy
from vdibench.selftest.cost import measure_cost
from vdibench.selftest.floors import FloorFindings, measure_floors
from vdibench.selftest.many import PICTURE, ManyFindings, measure_many
from vdibench.selftest.plan import Plan
from vdibench.selftest.rate import measure_rate
from vdibench.selftest.state import fingerprint
from vdibench.selkies import Dialect
from vdibench.telemetry import MeasuringClaim, host_facts

__all__ = ["run_selftest", "unproven"]

# Over WebSocket nothing tells how long a picture took in the desktop: there it shall always be the same little.
_WORKLOADS = {Dialect.SELKIES_2_WEBRTC: Workload.TEXT, Dialect.SELKIES_2_WEBSOCKET: Workload.IDLE}
_CLAIM = "selftest"
_DITHER = 0.9


def run_selftest(plan: Plan, say: Callable[[str], None], claim: MeasuringClaim | None = None) -> SelfTest:
    """Make the self-test that ``plan`` says. What cannot be measured is in the result, with its reason.

    Call it from a thread that lives as long as it takes: processes that it starts end with that thread.

    :param say: told a line at each step.
    :param claim: says to other runs that this machine measures; None for one of its own.
    """
    began, clock = time.time(), time.monotonic()
    host = host_facts()
    cores = float(host.get("cpu_cores_usable", 1))
    accuracy: list[Accuracy] = []
    invalid: list[str] = []
    missing: list[str] = []
    with claim or MeasuringClaim(_CLAIM) as held:
        for dialect in plan.dialects:
            try:
                found = _measure_dialect(dialect, plan, cores, say)
            except VdibenchError as error:
                missing.append(f"{dialect} was not measured: {error}")
                continue
            accuracy += found.rows
            invalid += found.doubts
        result = SelfTest(
            kind=plan.kind,
            version=vdibench.__version__,
            fingerprint=fingerprint(host),
            began_unix_seconds=began,
            took_seconds=0.0,
            host=host,
            desktop=_described(plan) if accuracy else "",
        )
        try:
            result = _with_cost(result, accuracy, plan, (invalid, missing), say)
        except VdibenchError as error:
            missing.append(f"the cost was not measured: {error}")
    invalid += [f"{other} measured on this machine at the same time" for other in held.contended_by]
    return dataclasses.replace(
        result,
        accuracy=tuple(accuracy),
        invalid=tuple(dict.fromkeys(invalid)),
        missing=tuple(missing),
        took_seconds=time.monotonic() - clock,
    )


def unproven(reason: str) -> SelfTest:
    """A self-test that says why there is none."""
    host = host_facts()
    return SelfTest(
        kind="quick",
        version=vdibench.__version__,
        fingerprint=fingerprint(host),
        began_unix_seconds=time.time(),
        took_seconds=0.0,
        host=host,
        missing=(reason,),
    )


def _described(plan: Plan) -> str:
    shown = ", ".join(f"{_WORKLOADS[dialect]} over {dialect}" for dialect in plan.dialects)
    return f"a lab desktop of {plan.display} ({shown})"


def _measure_dialect(dialect: Dialect, plan: Plan, cores: float, say: Callable[[str], None]) -> Findings:
    say(f"{dialect}: starting a desktop")
    # Silence: the only packets are those of the picture. And a drawing clock so unsteady that a few hundred frames see
    # every phase of the capture clock: with the usual one, two windows differ by milliseconds of luck.
    spec = DesktopSpec(
        display=plan.display, workload=_WORKLOADS[dialect], dialect=dialect, audible=False, dither=_DITHER
    )
    with Lab.up(LabSpec((spec,), turn=False), owned=True) as lab, Relay() as relay:
        route = relay.route(DIRECT, seed=1)
        return asyncio.run(measure_accuracy(lab.desktops[0], dialect, route, plan, cores, say))


def _with_cost(
    result: SelfTest,
    accuracy: list[Accuracy],
    plan: Plan,
    doubts: tuple[list[str], list[str]],
    say: Callable[[str], None],
) -> SelfTest:
    """Add what modes cost; what cannot be trusted and what is missing goes to ``doubts``."""
    invalid, missing = doubts
    trace = cached_trace(PICTURE, say) if plan.many else None
    with ReplayServer(trace, log=trace is not None) as source:
        if plan.rate_seconds:
            with Relay() as relay:
                accuracy.append(asyncio.run(measure_rate(source, relay.route(DIRECT), plan, say)))
        cost, found = measure_cost(plan.cost, plan.cost_seconds, source, say)
        many = measure_many(plan, source, trace, say) if trace is not None else ManyFindings()
        bitrate = source.bitrate_bps
    floors = FloorFindings()
    if plan.floor_seconds:
        say("cost without a client")
        floors = measure_floors(plan.floor_seconds, trace=trace, bitrate_bps=bitrate)
    accuracy += many.accuracy
    invalid += [*found, *many.doubts, *floors.doubts]
    missing += [*many.missing, *floors.missing]
    return dataclasses.replace(result, cost=cost + many.cost, floor=floors.cores | many.floor)
