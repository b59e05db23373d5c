"""What goes wrong on a bad night, one after the other, on a lab's cluster under churn. Asyncio, Linux, as root."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos_site import Churn, Expected, Site
from operator_api import Object

from vdibench.lab.cluster.access import ClusterAccess
from vdibench.lab.cluster.faults import Fault, FaultKind, FaultProxy
from vdibench.lab.cluster.furnishing import DOMAIN
from vdibench.lab.cluster.objects import played_node
from vdibench.lab.cluster.operating import OperatorProcess
from vdibench.lab.cluster.restarting import restart_part

__all__ = ["TROUBLES", "Stage", "Trouble", "killed", "library"]

_LIBRARY = "*/faketime/libfaketimeMT.so.1"  # the operator has threads
_AWAY_SECONDS, _CUT_SECONDS, _EDIT_SECONDS, _LOOK_SECONDS = 3.0, 0.5, 0.2, 0.05
_PATIENCE_SECONDS = 120.0
_HOUR = 3600.0
# Large enough to be met by most passes, small enough that a few tries of a request get through.
_SHARE = 0.3


@dataclass
class Stage:
    """What a fault happens to.

    :param seconds: how long one lasts.
    :param clock: file that libfaketime reads the operator's clock from.
    :param unmet: what of the present trouble did not come about.
    """

    cluster: ClusterAccess
    site: Site
    churn: Churn
    expected: Expected
    operator: OperatorProcess
    proxy: FaultProxy
    random: random.Random
    seconds: float
    clock: Path
    edits: int = 0
    unmet: list[str] = field(default_factory=list)

    async def start(self) -> float:
        """Start the operator; the instant at which it was begun, from which its users wait."""
        began = time.monotonic()
        starting = asyncio.ensure_future(asyncio.to_thread(self.operator.start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            # A thread cannot be cancelled, and what it starts must not come after everything was ended.
            await asyncio.gather(starting, return_exceptions=True)
            raise
        return began


# Makes a fault and returns when it is over: that instant, monotonic.
Trouble = Callable[[Stage], Awaitable[float]]


async def killed(stage: Stage, times: int, longest_life: float) -> float:
    """Crashes of the operator, from in the middle of its first list to well into its passes."""
    began, short = time.monotonic(), False
    for number in range(times):
        if number:
            # Lives of very different lengths, among them many that end before the first pass.
            short = stage.random.random() < 0.5
        life = stage.random.uniform(0.0, longest_life / 6 if short else longest_life)
        await asyncio.sleep(life)  # it is at work until it is killed
        await asyncio.to_thread(stage.operator.kill)
        began = await stage.start()
    return began


def _proxied(*faults: Fault, cut: Sequence[FaultKind] = ()) -> Trouble:
    """Faults of the proxy.

    :param cut: how all open watches end, by turns: what is drawn for a watch is drawn when it opens, and none may.
    """
    kinds = (*(fault.kind for fault in faults), *cut)

    async def trouble(stage: Stage) -> float:
        before = {kind: stage.proxy.total(kind) for kind in kinds}
        turns = itertools.cycle(cut)
        end = time.monotonic() + stage.seconds
        stage.proxy.set(*faults)
        try:
            while (left := end - time.monotonic()) > 0:
                if cut:
                    await asyncio.to_thread(stage.proxy.cut, next(turns))
                await asyncio.sleep(min(left, _CUT_SECONDS) if cut else left)  # the pace, or the length, of the fault
        finally:
            stage.proxy.set()
        ended = time.monotonic()
        stage.unmet += [str(kind) for kind, count in before.items() if stage.proxy.total(kind) == count]
        return ended

    return trouble


def _restarted(*parts: str, away_seconds: float = _AWAY_SECONDS, then: Sequence[str] = ()) -> Trouble:
    """Parts of the control plane.

    :param then: these after them, without a pause.
    """

    async def trouble(stage: Stage) -> float:
        for part in parts:
            await asyncio.to_thread(restart_part, stage.cluster, part, away_seconds=away_seconds)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not await stage.site.ready():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the API server is not ready {_PATIENCE_SECONDS:g} s after {', '.join(parts)}")
            await asyncio.sleep(_LOOK_SECONDS)  # it starts; its /readyz tells when it has done
        for part in then:
            await asyncio.to_thread(restart_part, stage.cluster, part)
        return time.monotonic()

    return trouble


def library() -> str:
    """libfaketime.

    :raises RuntimeError: it is not installed.
    """
    found = sorted(Path("/usr/lib").glob(_LIBRARY))
    if not found:
        raise RuntimeError("libfaketime is not installed: apt-get install libfaketime, or make setup")
    return str(found[0])


async def _with_a_clock_of_its_own(stage: Stage) -> float:
    """The operator anew, with a clock that can be set. The monotonic one stays the machine's: nobody can set that."""
    stage.clock.write_text("+0\n")
    stage.operator.environment = {
        "LD_PRELOAD": library(),
        "FAKETIME_TIMESTAMP_FILE": str(stage.clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",  # as releases before 0.9.10 call it
    }
    await asyncio.to_thread(stage.operator.kill)
    return await stage.start()


async def _with_the_machines(stage: Stage) -> float:
    stage.operator.environment = {}
    stage.expected.ahead_seconds = 0.0
    await asyncio.to_thread(stage.operator.kill)
    return await stage.start()


def _jumped(ahead_seconds: float) -> Trouble:
    async def trouble(stage: Stage) -> float:
        if not stage.operator.environment:
            await _with_a_clock_of_its_own(stage)  # the machine's cannot be set
        # Renamed, so that nobody reads half of it.
        draft = stage.clock.with_suffix(".new")
        draft.write_text(f"{ahead_seconds:+.0f}\n")
        draft.replace(stage.clock)
        stage.expected.ahead_seconds = ahead_seconds
        await asyncio.sleep(stage.seconds)  # with a clock that is wrong, and stays so
        return time.monotonic()

    return trouble


async def _node_gone(stage: Stage) -> float:
    """The node with the most desktops goes with them, and comes back later, empty.

    Kubernetes' own collector deletes pods of a node that is gone after a minute; here they go at once, by force.
    """
    pods = await stage.site.all("Pod")
    on: dict[str, list[str]] = {}
    for name, one in pods.items():
        on.setdefault(one["spec"].get("nodeName", ""), []).append(name)
    played = {node: there for node, there in on.items() if node.startswith("played-")}
    node = max(played, key=lambda one: len(played[one]))
    try:
        await stage.site.surely("DELETE", f"/api/v1/nodes/{node}")
        for name in played[node]:
            await stage.site.delete("Pod", name, now=True)
        await asyncio.sleep(stage.seconds)  # as long as it is away
    finally:
        # After Ctrl-C too: whoever named a lab wants it whole.
        one = played_node(int(node.rpartition("-")[2]))
        one["spec"] = {}
        await stage.site.surely("POST", "/api/v1/nodes", one)
    return time.monotonic()


Edit = Callable[[Site, str, str], Awaitable[Any]]


def _deleted(kind: str, name: str) -> Edit:
    return lambda site, session, other: site.delete(kind, name.format(session))


def _changed(kind: str, name: str, change: Callable[[str], Object], below: str = "") -> Edit:
    return lambda site, session, other: site.merge(kind, name.format(session), change(other), below)


# By hand, to a session's children and its status: kind and name by the session's, and by that of another session.
_EDITS: dict[str, Edit] = {
    "the pod is deleted": _deleted("Pod", "vdi-session-{}"),
    "the Service is deleted": _deleted("Service", "vdi-session-service-{}"),
    "the route is deleted": _deleted("IngressRoute", "vdi-session-{}"),
    "the policy is deleted": _deleted("NetworkPolicy", "vdi-session-{}"),
    "the middleware is deleted": _deleted("Middleware", "vdi-session-auth-{}"),
    "the relay's Secret is deleted": _deleted("Secret", "vdi-session-rtc-{}"),
    "the password is deleted": _deleted("Secret", "vdi-session-auth-{}"),
    "the relay's Secret is emptied": _changed(
        "Secret", "vdi-session-rtc-{}", lambda other: {"data": {"rtc.json": "e30="}}
    ),
    "the policy lets everybody in": _changed(
        "NetworkPolicy", "vdi-session-{}", lambda other: {"spec": {"ingress": [{}]}}
    ),
    "the policy is nobody's": _changed(
        "NetworkPolicy", "vdi-session-{}", lambda other: {"metadata": {"ownerReferences": None}}
    ),
    "the Service leads elsewhere": _changed(
        "Service",
        "vdi-session-service-{}",
        lambda other: {"spec": {"selector": {"app.kubernetes.io/instance": other}}},
    ),
    "the pod has another's label": _changed(
        "Pod", "vdi-session-{}", lambda other: {"metadata": {"labels": {"app.kubernetes.io/instance": other}}}
    ),
    "the route is for every path": _changed(
        "IngressRoute",
        "vdi-session-{}",
        lambda other: {"spec": {"routes": [{"kind": "Rule", "match": f"Host(`{other}.{DOMAIN}`)", "services": []}]}},
    ),
    "the status is emptied": _changed("VDISession", "{}", lambda other: {"status": None}, "/status"),
}


async def _by_hand(stage: Stage) -> float:
    """Each edit once, as far as there is time, to sessions drawn for it; half of them however long it takes.

    What is not there, as of a session whose desktop just comes, is not edited: another session is drawn.
    """
    end = time.monotonic() + stage.seconds
    last = end + _PATIENCE_SECONDS
    edits = list(_EDITS.values())
    stage.random.shuffle(edits)
    while edits and (now := time.monotonic()) < last and (now < end or len(edits) > len(_EDITS) // 2):
        running = sorted(name for name, mode in stage.churn.wishes.items() if mode == "Running")
        if len(running) >= 2:
            session, other = stage.random.sample(running, 2)
            if await edits[-1](stage.site, session, other) is not None:
                edits.pop()
                stage.edits += 1
        await asyncio.sleep(_EDIT_SECONDS)  # the pace of the fault; and somebody will want a desktop again
    if len(edits) > len(_EDITS) // 2:
        stage.unmet.append("most of the edits")
    return time.monotonic()


async def _sessions_gone(stage: Stage) -> float:
    """Every third session is deleted by an administrator and wished for anew at once, of the same name."""
    for name in sorted(stage.churn.wishes)[::3]:
        await stage.site.delete("VDISession", name)
        await stage.churn.wish_again(name)
    return time.monotonic()


_OF_WATCHES = (FaultKind.CUT, FaultKind.TEAR, FaultKind.GONE)
_FOREVER = frozenset({"create", "apply", "patch", "delete", "update"})

TROUBLES: dict[str, Trouble] = {
    "409 to writes": _proxied(Fault(FaultKind.CONFLICT, _SHARE)),
    "429 with Retry-After": _proxied(Fault(FaultKind.THROTTLE, _SHARE)),
    "500": _proxied(Fault(FaultKind.ERROR, _SHARE)),
    "503": _proxied(Fault(FaultKind.UNAVAILABLE, _SHARE)),
    "503 to every write": _proxied(Fault(FaultKind.UNAVAILABLE, verbs=_FOREVER)),
    "every answer 2 s late": _proxied(Fault(FaultKind.SLOW, seconds=2.0)),
    "connections dropped before": _proxied(Fault(FaultKind.DROP, _SHARE)),
    "answers lost, requests done": _proxied(Fault(FaultKind.LOSE, _SHARE)),
    "every answer to a write lost": _proxied(Fault(FaultKind.LOSE, verbs=_FOREVER)),
    "watches end": _proxied(cut=(FaultKind.CUT,)),
    "watches torn in mid-event": _proxied(cut=(FaultKind.TEAR,)),
    "watches too old (410)": _proxied(cut=(FaultKind.GONE,)),
    "all of these at once": _proxied(
        *(Fault(kind, _SHARE / 5) for kind in FaultKind if kind not in (FaultKind.SLOW, *_OF_WATCHES)),
        Fault(FaultKind.SLOW, _SHARE),
        cut=_OF_WATCHES,
    ),
    "API server restarts": _restarted("kube-apiserver"),
    "etcd restarts": _restarted("etcd"),
    # K3s is one process: scheduler and controllers come back with its API server. By themselves they ask again after
    # pauses that grow, which is no operator's to shorten. kwok stays: it would not take its nodes
    # back before their leases have ended.
    "the server restarts": _restarted("etcd", "kube-apiserver", then=("kube-controller-manager", "kube-scheduler")),
    "controllers and scheduler restart": _restarted("kube-controller-manager", "kube-scheduler"),
    "a node goes with its desktops": _node_gone,
    "objects edited and deleted by hand": _by_hand,
    "sessions deleted and wished for anew": _sessions_gone,
    "operator restarts under libfaketime": _with_a_clock_of_its_own,
    "clock one hour ahead": _jumped(_HOUR),
    "clock one hour behind": _jumped(-_HOUR),
    "clock right again": _jumped(0.0),
    "clock of the machine": _with_the_machines,
}
