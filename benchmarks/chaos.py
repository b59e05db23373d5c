"""A bad night of the operator: kills, an API server that misbehaves, restarts, clocks, nodes and people, under churn.

``python benchmarks/chaos.py`` (``make chaos``) brings up a cluster lab with played nodes and a hundred sessions whose
users change their minds all the time, and lets one thing after the other go wrong. After each of them everybody has to
have what they wish for within ten seconds: nothing missing, nothing twice, nothing of nobody, no home lost. Then it
soaks, and the operator's memory has to stay. It writes ``docs/results/chaos.md`` and ``.json``; exit status 1 says that
something of this did not hold. Linux, as root.

Pods are played by kwok and frames by a checker that always sees one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import random
import signal
import ssl
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Run from a checkout, without installing it.
_ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(Path(__file__).parent), str(_ROOT), str(_ROOT / "operator")]

import aiohttp
import psutil
from chaos_faults import TROUBLES, Stage, killed, library
from chaos_page import GROWTH_RATIO, LIMIT_SECONDS, growth, page, violations
from chaos_site import KINDS, Away, Churn, Expected, Site, user_of
from operator_api import NAMESPACE, paths

from results import RESULTS, provenance, write
from vdi_operator import settings as site_settings
from vdi_operator.children.names import home_name
from vdibench.errors import LabError
from vdibench.lab import ClusterSpec, Lab, LabSpec
from vdibench.lab.cluster.access import ClusterAccess
from vdibench.lab.cluster.faults import FaultProxy
from vdibench.lab.cluster.furnishing import TURN_SECRET
from vdibench.lab.cluster.objects import SLICES
from vdibench.lab.cluster.operating import OperatorProcess, apply, run
from vdibench.lab.cluster.played_desktops import PlayedChecker, played_storage, played_template

__all__ = ["main"]

_SEED = 10
# Beside the sessions that are there: desktops that end, and a node that goes.
_ROOM = 1.3
_LOOK_SECONDS = 0.1
# After that long nobody waits any more: what is wrong then is said. On a slow host scheduler and controllers are away
# for a minute after an outage: their clients come back by a pause that doubles, up to a minute.
_PATIENCE_SECONDS, _FIRST_SECONDS = 180.0, 300.0
# Of a start: what is late is said by the looks, and a start that was given up would never come.
_START_DEADLINE = "10m"
_READING_SECONDS, _SAY_SECONDS = 5.0, 60.0
_WARM_UP_SHARE, _WARM_UP_SECONDS = 0.25, 300.0
_SAID = 5  # of what is wrong


def say(text: str) -> None:
    """A line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


async def converged(stage: Stage, since: float, patience: float = _PATIENCE_SECONDS) -> dict[str, Any]:
    """How long after an instant everybody had what they wish for, and what was wrong last before that."""
    last: list[str] = []
    while True:
        began = time.monotonic()
        try:
            wrong = await stage.expected.wrong(stage.churn.wishes)
        except Away as away:
            wrong = [str(away)]
        if not wrong:
            return {"seconds": max(0.0, began - since), "last": last[:_SAID], "wrong": []}
        if began - since > patience:
            stuck = await stage.expected.stuck(stage.churn.wishes)
            return {"seconds": None, "last": last[:_SAID], "wrong": wrong[:_SAID], "stuck": stuck[:_SAID]}
        last = wrong
        await asyncio.sleep(_LOOK_SECONDS)  # the cluster is at work, and the next look asks for everything


async def through(stage: Stage, name: str, count: int, trouble: Any) -> dict[str, Any]:
    """One trouble under churn, and how long it took until it could not be seen any more.

    :param count: how many of it that was.
    """
    stage.churn.go()
    ended = await trouble(stage)
    unmet, stage.unmet = stage.unmet, []
    await stage.churn.stop()
    found = await converged(stage, ended)
    stage.churn.go()
    seconds = found["seconds"]
    told = (
        f"{seconds:.1f} s"
        if seconds is not None
        else f"NOT WITHIN {_PATIENCE_SECONDS:g} s: {found['wrong']} {found['stuck']}"
    )
    say(f"{name}: converged after {told}" + (f", last {found['last'][:1]}" if found["last"] else ""))
    return {"name": name, "count": count, "unmet": unmet, **found}


async def soak(stage: Stage, seconds: float) -> dict[str, Any]:
    """Churn without faults: the operator's memory, and whether everything is right at the end."""
    stage.churn.go()
    process = psutil.Process(stage.operator.pid)
    began = said = time.monotonic()
    readings: list[tuple[float, float]] = []
    while (now := time.monotonic()) - began < seconds:
        readings.append((now - began, float(process.memory_info().rss)))
        if now - said >= _SAY_SECONDS:
            said = now
            say(f"soak: {now - began:.0f} of {seconds:.0f} s, {readings[-1][1] / 2**20:.1f} MiB")
        await asyncio.sleep(min(_READING_SECONDS, seconds))  # the pace of the readings
    await stage.churn.stop()
    found = await converged(stage, time.monotonic())
    warm_up = min(_WARM_UP_SECONDS, _WARM_UP_SHARE * seconds)
    return {"seconds": seconds, "warm_up_seconds": warm_up, "end": found, **growth(readings, warm_up)}


async def night(stage: Stage, options: argparse.Namespace) -> dict[str, Any]:
    """All of it."""
    await stage.churn.begin()
    await stage.start()
    first = await converged(stage, time.monotonic(), _FIRST_SECONDS)
    if first["seconds"] is None:
        raise RuntimeError(f"the sessions do not come up: {first['wrong']}")
    say(f"{len(stage.churn.wishes)} sessions are ready")
    rounds = []
    left = options.kills
    while left:
        now = min(left, options.kills_per_look)
        left -= now
        named = f"kill -9 of the operator ({options.kills - left} of {options.kills})"
        done = await through(stage, named, now, lambda stage, now=now: killed(stage, now, options.longest_life))
        rounds.append(done | {"name": "kill -9 of the operator"})
    for number in range(options.rounds):
        for name in options.troubles:
            rounds.append(await through(stage, name, 1, TROUBLES[name]))
        say(f"round {number + 1} of {options.rounds} is over")
    soaked = await soak(stage, options.soak_seconds) if options.soak_seconds else None
    return {
        "rounds": rounds,
        "soak": soaked,
        "changes": stage.churn.changes,
        "pace": stage.churn.pace(),
        "edits": stage.edits,
        "homes": len(stage.expected.homes),
        "proxy": _totals(stage.proxy),
    }


def _totals(proxy: FaultProxy) -> dict[str, int]:
    found: dict[str, int] = {}
    for (what, _, _), count in proxy.counts().items():
        found[what] = found.get(what, 0) + count
    return found


async def clear(site: Site, pool: Sequence[str]) -> None:
    """Nothing of the night: no session, child, home or volume."""
    for name in pool:
        await site.delete("VDISession", name)
    for kind in KINDS:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while any("vdi-session" in name for name in await site.all(kind)):
            if time.monotonic() > deadline:
                break  # whoever has this lab sees what is left
            await asyncio.sleep(_LOOK_SECONDS)  # the garbage collector is at work; nothing tells when it has done
    for name in pool:
        claim = home_name(user_of(name))
        await site.delete("PersistentVolumeClaim", claim)
        await site.surely("DELETE", f"/api/v1/persistentvolumes/played-{claim}")
    await site.surely("DELETE", f"{paths['VDITemplate']}/played")


async def stand(cluster: ClusterAccess, place: Path, checker: PlayedChecker, options: argparse.Namespace) -> Any:
    """The night on a cluster that is up, and the cluster afterwards as it was before."""
    pki = cluster.kubeconfig.parent
    admin = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    admin.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    # Who comes without a token is nobody here: the proxy shows no certificate.
    trust = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    pool = [f"chaos-{number:03}" for number in range(options.sessions)]
    with FaultProxy(cluster.api_url, trust=trust, seed=options.seed).serving() as proxy:
        operator = OperatorProcess(cluster, place, checker.url, server=proxy.url)
        checker.token = operator.checker_token
        volumes = played_storage(NAMESPACE, [home_name(user_of(name)) for name in pool])
        apply(cluster, [*volumes, played_template(NAMESPACE, startDeadline=_START_DEADLINE)])
        settings = site_settings.load(place / "settings.yaml")
        secret = (cluster.kubeconfig.parents[1] / TURN_SECRET).read_text()
        async with aiohttp.ClientSession(cluster.api_url, connector=aiohttp.TCPConnector(ssl=admin)) as http:
            site = Site(http)
            churn = Churn(site, pool, options.seed, options.pause_seconds)
            changing = asyncio.create_task(churn.run())
            stage = Stage(
                cluster,
                site,
                churn,
                Expected(site, settings, secret),
                operator,
                proxy,
                random.Random(options.seed),
                options.fault_seconds,
                place / "clock",
            )
            going = asyncio.create_task(night(stage, options))
            try:
                # Users who fail are no users: the night ends with them.
                await asyncio.wait({going, changing}, return_when=asyncio.FIRST_COMPLETED)
                if not going.done():
                    changing.result()
                return await going
            finally:
                for task in (going, changing):
                    task.cancel()
                await asyncio.gather(going, changing, return_exceptions=True)
                operator.kill()
                if options.lab:
                    await clear(site, pool)


@contextmanager
def cluster_of(options: argparse.Namespace) -> Iterator[ClusterAccess]:
    """A lab's own for the night, or the one that is named; its played nodes take desktops."""
    if options.lab:
        found = Lab.find(options.lab).cluster
        if found is None:
            raise LabError(f"the lab {options.lab!r} has no cluster", "start one with 'vdibench lab up --cluster'")
        yield found
        return
    nodes = math.ceil(_ROOM * options.sessions / SLICES) + 2
    spec = LabSpec((), cluster=ClusterSpec(played_nodes=nodes))
    with Lab.up(spec, name="chaos", owned=True, timeout_seconds=180) as lab:
        assert lab.cluster is not None
        run(lab.cluster, "kubectl", "taint", "nodes", "-l", "vdibench.io/played=true", "vdibench.io/played:NoSchedule-")
        yield lab.cluster


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=100, help="users who change their minds (default 100)")
    parser.add_argument("--kills", type=int, default=200, help="of the operator (default 200)")
    parser.add_argument(
        "--kills-per-look", type=_positive, default=5, metavar="N", help="between two looks (default 5)"
    )
    parser.add_argument("--longest-life", type=float, default=3.0, metavar="S", help="between two kills (default 3)")
    parser.add_argument("--fault-seconds", type=float, default=10.0, metavar="S", help="of each other (default 10)")
    parser.add_argument("--rounds", type=int, default=1, help="of all others (default 1)")
    parser.add_argument("--soak-seconds", type=float, default=1800.0, metavar="S", help="at the end (default 1800)")
    parser.add_argument("--pause-seconds", type=float, default=0.1, metavar="S", help="between changes (default 0.1)")
    parser.add_argument("--seed", type=int, default=_SEED, help=f"of users and faults (default {_SEED})")
    parser.add_argument("--lab", default="", metavar="NAME", help="a running lab with played nodes, in place of an own")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument(
        "--troubles", nargs="*", default=list(TROUBLES), choices=list(TROUBLES), metavar="NAME", help="all by default"
    )
    return parser.parse_args()


def main() -> int:
    """A night, and its page."""
    options = _options()
    # As Ctrl-C, also where a shell had this ignore it: the operator and the lab end with us.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    if any("clock" in name or "libfaketime" in name for name in options.troubles):
        library()  # before a quarter of an hour has passed
    began = time.monotonic()
    try:
        with (
            cluster_of(options) as cluster,
            tempfile.TemporaryDirectory(prefix="vdibench-chaos-") as place,
            PlayedChecker().serving() as checker,
        ):
            try:
                found = asyncio.run(stand(cluster, Path(place), checker, options))
            except Exception:  # whatever it was goes on; the folder goes, and with it what the operator said
                with contextlib.suppress(OSError):  # it has said nothing yet
                    print((Path(place) / "operator.log").read_text()[-4000:], file=sys.stderr)
                raise
    except KeyboardInterrupt:
        say("interrupted: nothing was written")
        return 130
    asked = {name: getattr(options, name) for name in ("sessions", "kills", "fault_seconds", "seed", "pause_seconds")}
    document = {**provenance(), "options": asked, "seconds": time.monotonic() - began, **found}
    document["limits"] = {"converged_seconds": LIMIT_SECONDS, "growth_ratio": GROWTH_RATIO}
    document["violations"] = violations(document)
    write(options.output, "chaos", document, page(document))
    for what in document["violations"]:
        print(f"violated: {what}", file=sys.stderr)
    return 1 if document["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
