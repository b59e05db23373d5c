"""How many sessions a second the operator makes, how soon and at what cost, beside a client that makes the same.

``python benchmarks/operator_throughput.py`` (``make bench-operator``) brings up a cluster lab with played nodes, runs
the operator as a process with exactly its chart's rights, and measures a burst, a steady pace, a restart and an end. It
writes ``docs/results/operator.md`` and ``.json``; exit status 1 says that a target was missed. Linux, as root.

Pods are played by kwok and frames by a checker that always sees one: the figures are of operator, API server and
controllers, never of a desktop.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

# Run from a checkout, without installing it.
_ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(Path(__file__).parent), str(_ROOT), str(_ROOT / "operator")]

import numpy as np
import psutil
from operator_api import NAMESPACE, ApiServer, Object, Seen, at_once, opened
from operator_page import page, targets

from results import RESULTS, cpu_seconds, provenance, write
from vdi_operator import settings as site
from vdi_operator.api.session import Session
from vdi_operator.api.template import Template
from vdi_operator.children.all import children
from vdi_operator.children.names import home_name
from vdi_operator.core.world import World
from vdibench.errors import LabError
from vdibench.lab import ClusterSpec, Lab, LabSpec
from vdibench.lab.cluster.access import ClusterAccess
from vdibench.lab.cluster.furnishing import DOMAIN, TURN_SECRET
from vdibench.lab.cluster.objects import SLICES
from vdibench.lab.cluster.operating import OperatorProcess, apply, run
from vdibench.lab.cluster.played_desktops import PlayedChecker, played_storage, played_template

__all__ = ["main"]

# Creators at the same time, as in the peers' benchmarks.
_CREATORS = 32
_PATIENCE_SECONDS = 900.0
# Of a thousand wishes at once the last waits for minutes, on purpose: the operator is not to give it up.
_DEADLINE = "1h"
_LABEL = "app.kubernetes.io/managed-by=vdi-operator"
# What makes a session; of the node's own programs only the kubelet could have to do with played pods.
_PROGRAMS = frozenset({"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "kubelet"})
# Deleted one after the other: sessions first, so that nothing is made again.
_KINDS = (
    *("VDISession", "Pod", "Service", "IngressRoute", "Middleware", "NetworkPolicy", "Secret"),
    "PersistentVolumeClaim",
)
_HOMES = 400  # volumes of one request
_LOOK = "get Secret"
# Ten a second were asked for on a host whose API server took 76 of a bare client with as many objects. A second pace
# is the same share of what this host's takes.
_SHARE = 10 / 76
_FEW = 120  # sessions at that pace, which may take minutes


@dataclasses.dataclass(slots=True)
class Bench:
    """What is measured with.

    :param parts: the cluster's processes by the name of their program.
    """

    cluster: ClusterAccess
    api: ApiServer
    operator: OperatorProcess
    settings: site.Settings
    parts: dict[str, psutil.Process]

    def used(self) -> dict[str, float]:
        """Processor seconds until now of everything that makes a session: the cluster, the operator, this process."""
        own = psutil.Process().cpu_times()
        seconds = {name: cpu_seconds([process.pid]) for name, process in self.parts.items()}
        seconds["this client and the played checker"] = own.user + own.system
        with contextlib.suppress(LabError):  # the bare client is measured before there is an operator
            seconds["operator"] = cpu_seconds([self.operator.pid])
        return seconds

    def wish(self, name: str) -> Object:
        """A VDISession."""
        return {
            "apiVersion": "vdibench.io/v1alpha1",
            "kind": "VDISession",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"user": f"{name}@{DOMAIN}", "templateRef": {"name": "played"}},
        }

    def homes(self, names: Sequence[str]) -> None:
        """Volumes for these sessions' homes, which no provisioner could make."""
        claims = [home_name(f"{name}@{DOMAIN}") for name in names]
        for begin in range(0, len(claims), _HOMES):
            apply(self.cluster, played_storage(NAMESPACE, claims[begin : begin + _HOMES]))

    async def clear(self) -> None:
        """No session and nothing of one."""
        await self.api.clear("VDISession")
        for kind in _KINDS[1:]:
            await self.api.clear(kind, _LABEL)
        await self.api.clear("Event")
        run(self.cluster, "kubectl", "delete", "pv", "-l", "vdibench.io/played=true", "--wait=true", "--timeout=300s")


async def bare(bench: Bench, names: Sequence[str], secret: str) -> dict[str, Any]:
    """The same objects with one patch of a status, made by this process, without an operator."""
    bench.homes(names)
    (stored,) = await bench.api.items("VDITemplate")
    template = Template.of(stored)
    status = _status()

    async def make(name: str) -> None:
        session = Session.of(await bench.api.create(bench.wish(name)))
        world = World(
            time.time(),
            bench.settings,
            0.0,
            relay_addresses=bench.settings.relay_addresses,
            turn_secret=secret,
            spare_password="a-password-that-is-long-enough",
        )
        *rest, pod = children(session, template, world)
        await asyncio.gather(*(bench.api.create(one) for one in rest))
        await bench.api.create(pod)
        await bench.api.merge_status(name, status)

    async with Seen(bench.api) as seen:
        began, used = time.monotonic(), bench.used()
        await at_once([_later(make, name) for name in names], _CREATORS)
        await seen.until(lambda: len(seen.pods_ready) >= len(names), _PATIENCE_SECONDS)
        seconds = time.monotonic() - began
        spent = _a_session(used, bench.used(), len(names))
    return {
        "sessions": len(names),
        "seconds": seconds,
        "per_second": len(names) / seconds,
        "cpu_ms_per_session": spent,
    }


async def burst(bench: Bench, names: Sequence[str]) -> dict[str, Any]:
    """All wishes as quickly as the API server takes them."""
    bench.homes(names)
    return await _through(bench, names, lambda make: at_once([_later(make, name) for name in names], _CREATORS))


async def paced(bench: Bench, names: Sequence[str], per_second: float) -> dict[str, Any]:
    """One wish after the other, at a steady pace, whether the ones before are done or not."""
    bench.homes(names)

    async def create(make: Callable[[str], Any]) -> None:
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number, name in enumerate(names):
                # The pace is what is asked for, and does not drift by what a request takes.
                await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))
                group.create_task(make(name))

    return {"asked_per_second": per_second} | await _through(bench, names, create)


async def _through(bench: Bench, names: Sequence[str], create: Callable[[Any], Any]) -> dict[str, Any]:
    """Wishes until all are Ready: instants, processor time, requests, memory."""
    created: dict[str, float] = {}

    async def make(name: str) -> None:
        created[name] = time.time()
        await bench.api.create(bench.wish(name))

    before = bench.operator.requests()
    used = bench.used()
    async with Seen(bench.api) as seen:
        began = time.monotonic()
        await create(make)
        await seen.until(lambda: len(seen.ready) >= len(names), _PATIENCE_SECONDS)
        seconds = time.monotonic() - began
    spent = _a_session(used, bench.used(), len(names))
    after = bench.operator.requests()
    requests: dict[str, float] = {}
    for (verb, kind, code), number in after.items():
        made = number - before.get((verb, kind, code), 0.0)
        if made:
            requests[f"{verb} {kind}"] = requests.get(f"{verb} {kind}", 0.0) + made
    # Looks at Secrets by turns come at a pace of their own, whether a session starts or not.
    looks = requests.pop(_LOOK, 0.0)
    count = len(names)
    return {
        "sessions": count,
        "seconds": seconds,
        # Until the first frame: what a session waits after it, on purpose, is no matter of pace.
        "per_second": count / (max(seen.streams.values()) - min(created.values())),
        "pod_seconds": _spread([seen.pods[name] - created[name] for name in names]),
        "stream_seconds": _spread([seen.streams[name] - created[name] for name in names]),
        "ready_seconds": _spread([seen.ready[name] - created[name] for name in names]),
        "cpu_ms_per_session": spent,
        "requests_per_session": sum(requests.values()) / count,
        "requests": {what: made / count for what, made in sorted(requests.items())},
        "looks_per_second": looks / seconds,
        "rss_mib": psutil.Process(bench.operator.pid).memory_info().rss / 2**20,
    }


async def restart(bench: Bench, name: str, there: int) -> dict[str, Any]:
    """An end by SIGTERM and a new start among so many sessions; how soon a new one then has its pod."""
    bench.homes([name])
    ended = bench.operator.end()
    async with Seen(bench.api) as seen:
        await bench.api.create(bench.wish(name))
        began = time.time()
        # In a thread: it waits for the process to listen, and watches are to go on meanwhile.
        await asyncio.to_thread(bench.operator.start)
        await seen.until(lambda: name in seen.pods, _PATIENCE_SECONDS)
        served = seen.pods[name] - began
        await seen.until(lambda: name in seen.ready, _PATIENCE_SECONDS)
    rss = psutil.Process(bench.operator.pid).memory_info().rss / 2**20
    return {"sessions": there, "end_seconds": ended, "served_seconds": served, "rss_mib": rss}


async def measure(bench: Bench, options: argparse.Namespace, secret: str, document: dict[str, Any]) -> None:
    """All of it into a document, each part in a namespace without sessions but for those of the restarts."""
    names = [f"s{number:05}" for number in range(max((options.sessions, *options.restarts)))]
    document["bare"] = await bare(bench, names[: options.sessions], secret)
    print(f"bare client: {document['bare']['per_second']:.1f} sessions a second", flush=True)
    await bench.clear()
    bench.operator.start()
    await _until(bench.operator.ready)
    document["burst"] = await burst(bench, names[: options.sessions])
    print(f"burst: {document['burst']['per_second']:.1f} sessions a second", flush=True)
    await bench.clear()
    document["paced"] = []
    for rate, most in ((options.rate, options.paced), (_SHARE * document["bare"]["per_second"], _FEW)):
        document["paced"].append(await paced(bench, names[: min(most, options.paced)], rate))
        await bench.clear()
        print(f"{rate:.2g} a second: pod p99 {1000 * document['paced'][-1]['pod_seconds']['p99']:.0f} ms", flush=True)
    document["restarts"] = []
    there = 0
    for count in sorted(options.restarts):
        print(f"restart at {count}", flush=True)
        await burst(bench, names[there:count])
        there = count
        document["restarts"].append(await restart(bench, f"late-{count}", count))
    document["failures"] = _failures(bench.operator)


def _alone(cluster: ClusterAccess) -> None:
    """End the platform's own pods: nothing here needs a proxy, a relay, names or metrics, and all of them watch.

    Traefik alone takes a tenth of the processor's time, since it reads its configuration anew for every route.
    """
    fields = "--output=jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name}{'\\n'}{end}"
    for line in run(cluster, "kubectl", "get", "deployments", "--all-namespaces", fields).splitlines():
        namespace, name = line.split()
        run(cluster, "kubectl", "--namespace", namespace, "scale", f"deployment/{name}", "--replicas=0")
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while run(cluster, "kubectl", "get", "pods", "--all-namespaces", "--output=name").strip():
        if time.monotonic() > deadline:
            raise TimeoutError("the platform's pods do not end")
        time.sleep(0.5)  # they end in their own time


def _failures(operator: OperatorProcess) -> dict[str, float]:
    """Requests that the API server did not take, by code."""
    found: dict[str, float] = {}
    for (_, _, code), count in operator.requests().items():
        if not code.startswith("2"):
            found[code] = found.get(code, 0.0) + count
    return found


async def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("the operator does not get ready: read its log")
        await asyncio.sleep(0.05)  # it lists what there is; its /readyz tells when it has done


def _later(make: Callable[[str], Any], name: str) -> Callable[[], Any]:
    return lambda: make(name)


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    p50, p99 = np.percentile(seconds, (50, 99), method="inverted_cdf")
    return {"p50": float(p50), "p99": float(p99), "mean": statistics.fmean(seconds), "max": max(seconds)}


def _status() -> Object:
    """About as much as the operator writes of a session that is Ready."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    kinds = ("Admitted", "HomeBound", "Scheduled", "PodReady", "RouteReady", "StreamReady", "HardwareEncoding", "Ready")
    reasons = ("Accepted", "Bound", "Assigned", "Serving", "Routed", "FrameDecoded", "SoftwareAsWanted", "Published")
    conditions = [
        {"type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": now}
        for kind, reason in zip(kinds, reasons, strict=True)
    ]
    start = ("accepted", "homeBound", "scheduled", "containerStarted", "podReady", "routed", "streamReady", "published")
    return {
        "observedGeneration": 1,
        "conditions": conditions,
        "url": f"https://made-by-hand.{DOMAIN}/",
        "milestones": dict.fromkeys(start, now),
        "phases": dict.fromkeys(start, 0.1),
    }


def _parts(cluster: ClusterAccess) -> dict[str, psutil.Process]:
    """The cluster's processes by the name of their program: those that read this cluster's files."""
    folder = str(cluster.kubeconfig.parents[1])
    found = {}
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if line and any(folder in word for word in line[1:]) and (name := Path(line[0]).name) in _PROGRAMS:
            found[name] = process
    if lost := _PROGRAMS - set(found):
        raise RuntimeError(f"of the lab's cluster these are not among the processes: {', '.join(sorted(lost))}")
    return found


def _a_session(before: Mapping[str, float], after: Mapping[str, float], count: int) -> dict[str, float]:
    """Processor milliseconds a session by process; the operator's where it ran all the time."""
    return {name: 1000 * (seconds - before[name]) / count for name, seconds in after.items() if name in before}


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=500, help="of the burst (default 500)")
    parser.add_argument("--paced", type=int, default=300, help="sessions at a steady pace (default 300)")
    parser.add_argument("--rate", type=float, default=10.0, help="of the steady pace, per second (default 10)")
    parser.add_argument(
        "--restarts", type=int, nargs="*", default=[1000], help="sessions there at a restart (default 1000)"
    )
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    most = max(options.sessions, options.paced, *options.restarts) + len(options.restarts)
    nodes = math.ceil(most / SLICES) + 1
    with (
        Lab.up(LabSpec((), cluster=ClusterSpec(played_nodes=nodes)), owned=True, timeout_seconds=180) as lab,
        tempfile.TemporaryDirectory(prefix="vdibench-bench-") as place,
        PlayedChecker().serving() as checker,
    ):
        assert lab.cluster is not None
        cluster = lab.cluster
        run(cluster, "kubectl", "taint", "nodes", "-l", "vdibench.io/played=true", "vdibench.io/played:NoSchedule-")
        operator = OperatorProcess(cluster, Path(place), checker.url)
        checker.token = operator.checker_token
        apply(cluster, [*played_storage(NAMESPACE, ()), played_template(NAMESPACE, startDeadline=_DEADLINE)])
        _alone(cluster)
        settings = site.load(Path(place) / "settings.yaml")
        secret = (cluster.kubeconfig.parents[1] / TURN_SECRET).read_text()

        document: dict[str, Any] = {**provenance(), "played_nodes": nodes}

        async def work() -> None:
            async with opened(cluster.api_url, cluster.kubeconfig.parent) as api:
                bench = Bench(cluster, api, operator, settings, _parts(cluster))
                await measure(bench, options, secret, document)

        try:
            asyncio.run(work())
        except BaseException:
            # What was measured until then took minutes.
            options.output.mkdir(parents=True, exist_ok=True)
            kept = options.output / "operator-unfinished.json"
            kept.write_text(json.dumps(document, indent=1) + "\n")
            print(f"not finished: what was measured until then is in {kept}", file=sys.stderr)
            raise
        finally:
            operator.kill()
    document["targets"] = targets(document)
    write(options.output, "operator", document, page(document))
    return 1 if any(one["met"] is False for one in document["targets"]) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
