"""One check of a cluster's policies: make pods, wait until they have settled, probe from each, judge. Blocking I/O."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from vdibench.clusters import Cluster
from vdibench.clusters.api import Api, Object
from vdibench.clusters.execution import execute
from vdibench.clusters.ownership import announcement, counts
from vdibench.conformance.edges import SESSION_PORT, Door, Edge, Places, Source, StandIn, edges
from vdibench.conformance.execution import probe
from vdibench.conformance.judgement import Judgement, Opening, Try, judge
from vdibench.conformance.pods import OPENING_SECONDS, Platform, Sort, node_pod, service, stand_in
from vdibench.conformance.stage import Stage
from vdibench.conformance.survey import Survey, survey
from vdibench.errors import UsageError, VdibenchError

__all__ = ["Options", "check_policies", "outside"]

_START_SECONDS = 15.0
_ASK_OPENING = (
    "import http.client as h; c = h.HTTPConnection('127.0.0.1', {port}, timeout=60); "
    "c.request('GET', '/opening'); print(c.getresponse().read().decode())"
)


@dataclass(frozen=True, slots=True)
class Options:
    """How a cluster is checked.

    :param image: with ``python3``, 3.9 or later; empty: a session's that runs there, in a lab the desktop's.
    :param node: where the pods run; empty: where a session runs, else anywhere.
    :param internet: something outside that answers TLS; None: that edge is not tried.
    :param host_network: start a pod on its node's network too, for the exceptions.
    :param rounds: tries of each edge.
    :param timeout_seconds: of one try.
    :param pause_seconds: between two tries.
    :param start_seconds: for a pod to get Ready.
    """

    image: str = ""
    node: str = ""
    internet: Door | None = None
    host_network: bool = True
    rounds: int = 3
    timeout_seconds: float = 2.0
    pause_seconds: float = 1.0
    start_seconds: float = 120.0
    platform: Platform = dataclasses.field(default_factory=Platform)


def outside(text: str) -> Door:
    """``ADDRESS:PORT`` of something outside.

    :raises UsageError: it is none; a name could not be looked up where egress is shut.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
        number = int(port)
    except ValueError as error:
        raise UsageError(f"{text!r} is no address with a port", "write one such as 198.51.100.7:443") from error
    if not 0 < number < 65536:
        raise UsageError(f"{number} is no port", "write one such as 198.51.100.7:443")
    return Door(host, number)


def check_policies(
    cluster: Cluster, options: Options | None = None, say: Callable[[str], None] = lambda line: None
) -> Judgement:
    """Probe every edge on a cluster; what was made for that is gone afterwards.

    :param say: called with what is about to be done, first of all with what will be created where.
    :raises UsageError: the cluster lacks the sessions' namespace, or no image is known.
    :raises AuthenticationError: this user may not do something of it.
    :raises TargetUnavailable: the cluster does not answer, or a pod does not start.
    """
    options = options or Options()
    api = Api(cluster)
    found = survey(api, options.platform)
    if Source.SESSION not in found.homes:
        raise UsageError(
            f"the cluster has no namespace {options.platform.sessions}",
            "apply the platform's manifests first (manifests/README.md)",
        )
    sort = _sort(cluster, found, options)
    homes = [options.platform.home(source, "") for source in Source if source in found.homes]
    for line in _announced(cluster, api, homes, options):
        say(line)
    with Stage(api, homes, say) as stage:
        show = _Cast(stage, sort, options)
        show.start(found, say)
        say(f"waiting {OPENING_SECONDS:g} s: a new pod may be open at first")
        opening = _opening(cluster, show.pods[Source.SESSION])
        tried = edges(show.places(found))
        say(f"probing {len(tried)} edges from {len(show.pods)} places, {options.rounds} times")
        seen = _probe_all(cluster, show.pods, tried, options)
    return judge(tried, seen, opening, policies=found.policies)


def _sort(cluster: Cluster, found: Survey, options: Options) -> Sort:
    node = options.node or found.node
    if options.image:
        image = options.image
    elif cluster.ours:
        from vdibench.lab.cluster.images import image_names

        image = image_names()["desktop"]
    elif found.image:
        image = found.image
    else:
        raise UsageError(
            f"no session runs in {options.platform.sessions} whose image could be used",
            "name one with Python 3.9 or later, which the nodes have or can pull (--image)",
        )
    # Beside the lab's one real node there may be played ones, where nothing runs.
    return Sort(image, node, {"vdibench.io/real": "true"} if cluster.ours else {})


def _announced(cluster: Cluster, api: Api, homes: list[str], options: Options) -> Iterable[str]:
    planned: list[Object] = [{"kind": "Pod"}, {"kind": "Pod"}, {"kind": "Service"}]
    sessions = options.platform.sessions
    yield from announcement(cluster, counts(api, "", sessions), planned, namespace=sessions)
    others = ", ".join(home for home in homes if home != sessions)
    own = "two pods, one of them on its node's network" if options.host_network else "one pod"
    yield f"one pod in each of: {others or 'no other namespace'}; in a namespace of its own: {own}"


class _Cast:
    """The pods of one check by what they stand for."""

    def __init__(self, stage: Stage, sort: Sort, options: Options) -> None:
        self.pods: dict[Source, Object] = {}
        self._stage = stage
        self._sort = sort
        self._options = options
        self._tokens: dict[str, str] = {}
        self._neighbour: Object = {}
        self._service = ""

    def start(self, found: Survey, say: Callable[[str], None]) -> None:
        """Start them, in the order in which they need each other, and return when all are Ready."""
        say("starting pods")
        self.pods[Source.OUTSIDER] = self._ready(*self._stage.make([self._stand_in(Source.OUTSIDER)]))
        avoided = self._as_stand_in(self.pods[Source.OUTSIDER])
        session = self._stand_in(Source.SESSION, avoids=avoided)
        others = [source for source in (Source.TRAEFIK, Source.MONITORING, Source.OPERATOR) if source in found.homes]
        planned = [session, self._stand_in(Source.SESSION, "neighbour"), *(self._stand_in(one) for one in others)]
        name, home = session["metadata"]["name"], session["metadata"]["namespace"]
        first, neighbour, *rest = self._stage.make(planned)
        (made,) = self._stage.make([service(name, home, name)])
        self._service = str(made["spec"]["clusterIP"])
        self.pods[Source.SESSION] = self._ready(first)
        self._neighbour = self._ready(neighbour)
        for source, pod in zip(others, rest, strict=True):
            self.pods[source] = self._ready(pod)
        if self._options.host_network:
            # On the session's own node: that is whom engines exempt.
            sort = dataclasses.replace(self._sort, node=str(self.pods[Source.SESSION]["spec"]["nodeName"]))
            (made,) = self._stage.make([node_pod(self._name("node"), self._stage.own, sort)])
            self.pods[Source.NODE] = self._ready(made)

    def places(self, found: Survey) -> Places:
        """Where everything is."""
        session = self.pods[Source.SESSION]
        node = str(session["status"]["hostIP"])
        monitoring = self.pods.get(Source.MONITORING)
        return Places(
            sources=frozenset(self.pods),
            session=self._as_stand_in(session),
            service=self._service,
            neighbour=self._as_stand_in(self._neighbour),
            outsider=self._as_stand_in(self.pods[Source.OUTSIDER]),
            node=node,
            monitoring=self._as_stand_in(monitoring) if monitoring is not None else None,
            coturn=found.coturn,
            dns=found.dns,
            api_service=found.api_service,
            api_server=found.api_server,
            node_port=Door(node, *found.node_port) if found.node_port is not None else None,
            internet=self._options.internet,
        )

    def _stand_in(self, source: Source, word: str = "", *, avoids: StandIn | None = None) -> Object:
        name = self._name(word or source)
        self._tokens[name] = secrets.token_hex(8)
        home = self._options.platform.home(source, self._stage.own)
        return stand_in(source, name, home, self._tokens[name], self._sort, avoids=avoids)

    def _name(self, word: str) -> str:
        return f"conformance-{self._stage.run}-{word}"

    def _as_stand_in(self, pod: Object) -> StandIn:
        return StandIn(str(pod["status"]["podIP"]), self._tokens[pod["metadata"]["name"]])

    def _ready(self, pod: Object) -> Object:
        return self._stage.ready(pod, seconds=self._options.start_seconds)


def _opening(cluster: Cluster, session: Object) -> Opening | None:
    """For how long the session was open; returns when it has settled. None when it cannot be asked."""
    began = time.monotonic()
    command = ["python3", "-I", "-c", _ASK_OPENING.format(port=SESSION_PORT)]
    name, home = session["metadata"]["name"], session["metadata"]["namespace"]
    try:
        said = execute(cluster, home, name, command, seconds=OPENING_SECONDS + _START_SECONDS)
        return Opening.from_json(json.loads(said))
    except (VdibenchError, ValueError, KeyError):
        left = OPENING_SECONDS - (time.monotonic() - began)
        time.sleep(max(0.0, left))  # it must have settled all the same
        return None


def _probe_all(
    cluster: Cluster, pods: Mapping[Source, Object], tried: Iterable[Edge], options: Options
) -> dict[tuple[str, Source], list[Try]]:
    """From all pods at once; where a probe cannot be run, that is what its edges say."""
    tried = tuple(tried)

    def ask(source: Source) -> dict[tuple[str, Source], list[Try]]:
        own = [edge for edge in tried if source in edge.askers]
        metadata = pods[source]["metadata"]
        try:
            said = probe(
                cluster,
                metadata["namespace"],
                metadata["name"],
                own,
                rounds=options.rounds,
                timeout_seconds=options.timeout_seconds,
                pause_seconds=options.pause_seconds,
            )
        except VdibenchError as error:
            said = {edge.name: [Try("error", error.cause)] for edge in own}
        return {(name, source): tries for name, tries in said.items()}

    seen: dict[tuple[str, Source], list[Try]] = {}
    with ThreadPoolExecutor(len(pods)) as pool:
        for part in pool.map(ask, pods):
            seen |= part
    return seen
