"""How soon a user sees a desktop: with warm slots, without them, and where the time goes. One real node.

``python benchmarks/warm_start.py`` (``make bench-warm``) brings up a cluster lab, installs the chart, and starts
sessions one after the other, each until a user's client has decoded a frame through Traefik and the relay:

- ``new home``: the first session of each user, whose home is made with it;
- ``cold``: with the home of before, free slices, no placeholder;
- ``warm``: the same while placeholders hold every slice: the operator takes one away;
- ``preempted``: the same with a template without warm slots: the scheduler takes one away.

The image is on the node in all of them: a lab has no registry to pull from, and what a pull takes is the site's. It
writes ``docs/results/warm-start.md`` and ``.json``. Exit status 99: the target was missed. Linux, as root.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# Run from a checkout, without installing it.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import numpy as np
from warm_page import SERIES, page, targets

from results import RESULTS, provenance, write
from vdibench.client import DesktopSession, SessionOptions
from vdibench.clusters.api import Api, path_of
from vdibench.clusters.connection import connect
from vdibench.lab import ClusterSpec, Lab, LabSpec
from vdibench.lab.cluster.access import ClusterAccess
from vdibench.lab.cluster.adding import add_images
from vdibench.lab.cluster.furnishing import WILDCARD_AUTHORITY
from vdibench.lab.cluster.objects import SLICES
from vdibench.lab.cluster.operating import run as said_by
from vdibench.lab.cluster.played_desktops import played_template
from vdibench.lab.cluster.releasing import install, release_values
from vdibench.records import Credentials, Desktop, Display, Endpoint
from vdibench.selkies import Role

__all__ = ["main"]

_SESSIONS = "vdi-sessions"
_TEMPLATES = f"/apis/vdibench.io/v1alpha1/namespaces/{_SESSIONS}/vditemplates"
_PLACEHOLDERS = {"labelSelector": "app.kubernetes.io/name=vdi-placeholder"}
_CLASS = "vdi-placeholder"
_PORT = 30443
_PATIENCE_SECONDS, _LOOK_SECONDS = 120.0, 0.1
_DISPLAY = Display(1280, 720, 30)
_MISSED = 99
# Small enough for two cores.
_SPEC: dict[str, Any] = {
    "gpu": {"resource": "nvidia.com/gpu", "runtimeClassName": "", "nodeSelector": {"vdibench.io/real": "true"}},
    "display": {"width": 1280, "height": 720, "framerate": 30, "bitrate": 4_000_000},
    "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "2Gi"}},
    "home": {"storageClassName": "vdi-home", "size": "1Gi"},
}


class _Sink:
    """Takes samples and keeps none."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


class Site:
    """The lab, as users and an administrator have it."""

    def __init__(self, cluster: ClusterAccess, lab: str) -> None:
        self.cluster = cluster
        self._authority = str(cluster.kubeconfig.parents[1] / WILDCARD_AUTHORITY)
        self._connection = connect(lab=lab)
        self.api = Api(self._connection)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def until(self, holds: Callable[[], object], what: str) -> None:
        """Wait for it.

        :raises TimeoutError: it does not come.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} did not come within {_PATIENCE_SECONDS:g} s")
            time.sleep(_LOOK_SECONDS)  # a cluster is at work; there is nothing of it to wait on

    def offer(self, name: str, warm_slots: int) -> None:
        """A template with so many warm slots, and none of its placeholders missing."""
        spec = {**_SPEC, "warmSlots": warm_slots}
        one = played_template(_SESSIONS, name, **spec)
        self.api.apply(f"{_TEMPLATES}/{name}", one, manager="benchmark")
        self.until(lambda: self.warm() == warm_slots, f"{warm_slots} placeholders")

    def warm(self) -> int:
        """Placeholders that run; -1 where one is on its way or goes."""
        pods = self.api.items(path_of("Pod", _SESSIONS), _PLACEHOLDERS)
        settled = all(_condition(one, "Ready") and "deletionTimestamp" not in one["metadata"] for one in pods)
        return len(pods) if settled else -1

    def end(self, name: str) -> None:
        """Delete a session, and return when its pod has ended."""
        self.api.delete(path_of("VDISession", _SESSIONS, name))
        self.until(lambda: self.api.get(path_of("Pod", _SESSIONS, f"vdi-session-{name}")) is None, f"{name}'s end")

    async def start(self, name: str, user: str, template: str) -> dict[str, Any]:
        """Create a session and be its user until the first frame; gives when what was reached."""
        path = path_of("VDISession", _SESSIONS, name)
        document = {
            "apiVersion": "vdibench.io/v1alpha1",
            "kind": "VDISession",
            "metadata": {"name": name, "namespace": _SESSIONS},
            "spec": {"user": user, "templateRef": {"name": template}},
        }
        since = self.api.version_of(path_of("VDISession", _SESSIONS))
        began = time.time()
        self.api.apply(path, document, manager="benchmark")
        status = await asyncio.to_thread(self._published, name, since)
        published = time.time()
        options = SessionOptions(role=Role.CONTROLLER, relay_only=True)
        async with DesktopSession(self._desktop(name, status), _Sink(), options) as session:
            await session.first_frame()
            framed = time.time()
        return {
            "frame_seconds": framed - began,
            "published_seconds": published - began,
            "client_seconds": framed - published,
            "checker_frame_seconds": status["stream"]["firstFrameSeconds"],
            "phases": dict(status["phases"]),
            "restarts": status.get("attempts", 0),
        }

    def _published(self, name: str, since: str) -> Mapping[str, Any]:
        """The status of a session once it is Ready.

        :raises RuntimeError: it is not.
        """
        query = {"watch": "true", "resourceVersion": since, "fieldSelector": f"metadata.name={name}"}
        status: Mapping[str, Any] = {}
        for line in self.api.lines(path_of("VDISession", _SESSIONS), {**query, "timeoutSeconds": "90"}):
            one = json.loads(line)["object"]
            status = one.get("status") or {}
            if _condition(one, "Ready"):
                return status
        raise RuntimeError(f"session {name} does not become ready: {status}")

    def _desktop(self, name: str, status: Mapping[str, Any]) -> Desktop:
        secret = path_of("Secret", _SESSIONS, status["credentialsSecretRef"]["name"])
        data = (self.api.get(secret) or {})["data"]
        login = Credentials(*(base64.b64decode(data[key]).decode() for key in ("username", "password")))
        resolve = f"{self.cluster.node_address}:{_PORT}"
        endpoint = Endpoint(status["url"].rstrip("/"), login, ca_file=self._authority, resolve=resolve)
        return Desktop(name, endpoint, owned=True, display=_DISPLAY)


def _condition(one: Mapping[str, Any], kind: str) -> bool:
    conditions = (one.get("status") or {}).get("conditions") or ()
    return any(found["type"] == kind and found["status"] == "True" for found in conditions)


async def series(site: Site, name: str, template: str, count: int, warm_slots: int) -> list[dict[str, Any]]:
    """So many starts, one after the other; before each all placeholders are there."""
    made = []
    for number in range(1, count + 1):
        site.until(lambda: site.warm() == warm_slots, f"{warm_slots} placeholders")
        session = f"user-{number}"
        made.append(await site.start(session, session, template))
        site.end(session)
        print(f"warm_start: {name} {number}: {made[-1]['frame_seconds']:.2f} s", file=sys.stderr, flush=True)
    return made


async def measure(site: Site, options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """All series, by name."""
    site.offer("cold", 0)
    # Whatever imports at its first use, and Traefik's and the checker's first connection.
    await site.start("nobody", "nobody", "cold")
    site.end("nobody")
    # The first one makes the homes that the others have.
    wanted = [one for one in SERIES if one in (SERIES[0], *options.series)]
    found: dict[str, list[dict[str, Any]]] = {}
    for name in wanted:
        full = name in ("warm", "preempted")
        # They hold every slice: free ones would let a session start as without them.
        site.offer("warm", SLICES if full else 0)
        template = "warm" if name == "warm" else "cold"
        found[name] = await series(site, name, template, options.sessions, SLICES if full else 0)
    site.offer("warm", 0)
    return found


def summary(made: list[dict[str, Any]]) -> dict[str, Any]:
    """Percentiles of a series."""

    def percentiles(values: list[float]) -> dict[str, float]:
        return {f"p{share}": float(np.percentile(values, share)) for share in (50, 95)}

    names = ("frame_seconds", "published_seconds", "client_seconds", "checker_frame_seconds")
    phases = {name: percentiles([one["phases"].get(name, 0.0) for one in made]) for name in made[0]["phases"]}
    figures = {name: percentiles([one[name] for one in made]) for name in names}
    return {"starts": len(made), **figures, "phases": phases}


def main() -> None:
    """Measure and write what was found."""
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--sessions", type=int, default=20, help="starts of each series")
    line.add_argument("--series", nargs="+", choices=SERIES, default=list(SERIES))
    line.add_argument("--throttle", default="", metavar="DURATION", help="Traefik's, between two configurations")
    line.add_argument("--output", type=Path, default=RESULTS)
    options = line.parse_args()
    where, began = provenance(), time.monotonic()
    name = f"warm-{os.getpid()}"
    with Lab.up(LabSpec((), cluster=ClusterSpec()), name=name, owned=True) as lab:
        assert lab.cluster is not None, "a lab with a cluster"
        add_images(lab.cluster, ("operator", "checker"), lambda said: print(f"warm_start: {said}", file=sys.stderr))
        site_values = {"settings": {"placeholderPriorityClass": _CLASS}}
        # Role and account are those of manifests/security, which the lab has applied.
        more = {**site_values, "rbac": {"create": False}, "serviceAccount": {"create": False}}
        install(lab.cluster, release_values(lab.cluster, more))
        if options.throttle:
            throttled(lab.cluster, options.throttle)
        site = Site(lab.cluster, name)
        try:
            found = asyncio.run(measure(site, options))
        finally:
            site.close()
    document: dict[str, Any] = {
        **where,
        "seconds": time.monotonic() - began,
        "throttle": options.throttle,
        "series": {name: summary(made) for name, made in found.items()},
        "each": found,
    }
    document["targets"] = targets(document)
    write(options.output, "warm-start", document, page(document))
    if any(one["met"] is False for one in document["targets"]):
        sys.exit(_MISSED)


def throttled(cluster: ClusterAccess, duration: str) -> None:
    """Have Traefik wait that long between two configurations, in the place of two seconds."""
    option = f"--providers.providersthrottleduration={duration}"
    change = [{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": option}]
    words = ("-n", "traefik", "patch", "deployment", "traefik", "--type=json", "-p", json.dumps(change))
    said_by(cluster, "kubectl", *words)
    said_by(cluster, "kubectl", "-n", "traefik", "rollout", "status", "deployment/traefik", "--timeout=60s")


if __name__ == "__main__":
    main()
