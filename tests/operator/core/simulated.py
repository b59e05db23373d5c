"""An API server with one session, its scheduler, kubelet and checker, and the operator's process beside it.

Time goes by only where a test says so, and everything happens where it says so: nothing here is random.
"""

from __future__ import annotations

import base64
import copy
import json
from dataclasses import dataclass, field, replace
from typing import Any

from vdi_operator.api.objects import Object, Ref
from vdi_operator.api.session import Session
from vdi_operator.api.template import Template
from vdi_operator.children import names
from vdi_operator.core.decision import Change, CheckWanted, Decision, Notice, Verb
from vdi_operator.core.desired import desired
from vdi_operator.core.instants import second, unix
from vdi_operator.core.plan import changes
from vdi_operator.core.world import CheckResult, NodeFact, World
from vdi_operator.settings import Settings

NAME, USER, NODE = "cad-7", "alice", "gpu-1"
BEGAN = 1_800_000_000.25
SETTINGS = Settings(checker_url="http://checker.test", relay_addresses=("192.0.2.10",), read_nodes=True)
HOME = Ref("PersistentVolumeClaim", names.home_name(USER))
# After it Kubernetes gives a node's pods up.
TOLERATED_SECONDS = 300.0

PLACES = {
    "pod": Ref("Pod", f"vdi-session-{NAME}"),
    "service": Ref("Service", f"vdi-session-service-{NAME}"),
    "route": Ref("IngressRoute", f"vdi-session-{NAME}"),
    "policy": Ref("NetworkPolicy", f"vdi-session-{NAME}"),
    "auth": Ref("Secret", f"vdi-session-auth-{NAME}"),
    "rtc": Ref("Secret", f"vdi-session-rtc-{NAME}"),
    "home": HOME,
}


class Outdated(Exception):
    """What the operator knew is not so any more."""


class Refused(Exception):
    """A pod must not be created."""


@dataclass
class Faults:
    """What is wrong at present."""

    node_lost: bool = False
    no_slice: bool = False
    no_image: bool = False
    no_checker: bool = False
    no_frame: bool = False
    no_relay: bool = False
    quota: bool = False


class Cluster:
    """The API server and what acts on its objects."""

    def __init__(self) -> None:
        self.now = BEGAN
        self.version = 0
        self.objects: dict[Ref, Object] = {}
        self.template: Object | None = template()
        self.session: Object | None = None
        self.faults = Faults()
        self.lost_since = 0.0
        # A pass that knows old things may make a pod beside what was deleted since.
        self.stale = False
        self._uids = 0

    # What users and administrators do.

    def create_session(self, **spec: Any) -> None:
        self.session = {
            "metadata": {
                "namespace": "vdi-sessions",
                "name": NAME,
                "uid": self._uid(),
                "generation": 1,
                "creationTimestamp": second(self.now),
            },
            "spec": {"user": USER, "templateRef": {"name": "cad"}, **spec},
        }
        self.version += 1

    def edit_session(self, **spec: Any) -> None:
        assert self.session is not None
        self.session["spec"].update(spec)
        self.session["spec"] = {key: value for key, value in self.session["spec"].items() if value is not None}
        self.session["metadata"]["generation"] += 1
        self.version += 1

    def delete_session(self) -> None:
        self.session = None
        self.version += 1

    def edit_template(self, **spec: Any) -> None:
        if self.template is None:
            self.template = template(uid=self._uid())
        self.template["spec"].update(spec)
        self.template["metadata"]["generation"] += 1
        self.version += 1

    # What the API server does.

    def make(self, change: Change) -> None:
        """One request.

        :raises Outdated: it cannot be made any more.
        :raises Refused: by a quota.
        """
        actual = self.objects.get(change.ref)
        if change.verb is Verb.CREATE:
            if actual is not None:
                raise Outdated
            if change.ref.kind == "Pod" and self.faults.quota:
                raise Refused('pods "x" is forbidden: exceeded quota: desktops, requested: pods=1, used: pods=9')
            self._store(change.ref, self.defaulted(change.body))
        elif change.verb is Verb.DELETE:
            if actual is None:
                return
            if actual["metadata"]["uid"] != change.uid:
                raise Outdated
            self.delete(change.ref)
        elif change.verb is Verb.APPLY:
            if actual is None and "spec" not in change.body and "data" not in change.body:
                raise Outdated  # 422: that is no pod and no claim
            made = self.defaulted(change.body) if actual is None else applied(actual, change.body)
            self._store(change.ref, made)
        elif actual is None:
            raise Outdated
        else:
            self._store(change.ref, merged(actual, change.body))

    def delete(self, one: Ref) -> None:
        """As anybody's DELETE: a pod that has a node goes when its kubelet says so, a home when no pod has it."""
        assert one != HOME, "a home is deleted"
        actual = self.objects[one]
        if one.kind == "Pod" and actual["spec"].get("nodeName"):
            if "deletionTimestamp" not in actual["metadata"]:
                actual["metadata"]["deletionTimestamp"] = second(self.now)
                self.version += 1
            return
        del self.objects[one]
        self.version += 1

    def defaulted(self, body: Object) -> Object:
        """A new object as the API server stores it."""
        one = json.loads(json.dumps(body))
        one["metadata"] |= {"uid": self._uid(), "creationTimestamp": second(self.now)}
        spec = one.get("spec", {})
        if one["kind"] == "Service":
            spec |= {"clusterIP": "10.43.0.9", "type": "ClusterIP", "sessionAffinity": "None", "ipFamilies": ["IPv4"]}
            for port in spec["ports"]:
                port["protocol"] = "TCP"
        elif one["kind"] == "NetworkPolicy":
            one["spec"] = {key: value for key, value in spec.items() if value != []}
        elif one["kind"] == "Secret":
            one["type"] = "Opaque"
        elif one["kind"] == "PersistentVolumeClaim":
            spec["volumeMode"] = "Filesystem"
            one["status"] = {"phase": "Pending"}
        elif one["kind"] == "Pod":
            spec |= {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"}
            spec.setdefault("tolerations", []).append({"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"})
            one["status"] = {"phase": "Pending"}
            # Read once, when it starts.
            one["password"] = self.password()
        return one

    def password(self) -> str:
        auth = self.objects.get(PLACES["auth"])
        return "" if auth is None else base64.b64decode(auth["data"].get("password", "")).decode()

    def _store(self, place: Ref, one: Object) -> None:
        if place.kind == "Pod" and place not in self.objects and not self.stale:
            relayed = any(volume["name"] == "rtc" for volume in one["spec"]["volumes"])
            others = {name: at for name, at in PLACES.items() if name != "pod" and (relayed or name != "rtc")}
            missing = [name for name, at in others.items() if at not in self.objects]
            assert not missing, f"a pod without {missing}"
        self.objects[place] = one
        self.version += 1

    def _uid(self) -> str:
        self._uids += 1
        return f"uid-{self._uids}"

    # What acts by itself: one step of each.

    def tick(self) -> None:
        self._collect()
        pod = self.objects.get(PLACES["pod"])
        if pod is None:
            return
        before = copy.deepcopy(pod)
        if not pod["spec"].get("nodeName"):
            self._schedule(pod)
        elif not self.faults.node_lost:
            if "deletionTimestamp" in pod["metadata"]:
                del self.objects[PLACES["pod"]]
                self.version += 1
                return
            self._run(pod)
        elif self.now - self.lost_since > TOLERATED_SECONDS:
            pod["metadata"].setdefault("deletionTimestamp", second(self.now))
        elif pod["status"]["phase"] == "Running":
            condition(pod, "Ready", "False", "NodeStatusUnknown")
        if pod != before:
            self.version += 1

    def lose_node(self) -> None:
        self.faults.node_lost, self.lost_since = True, self.now

    def crash(self, status: Object) -> None:
        """A pod ends for good."""
        pod = self.objects.get(PLACES["pod"])
        if pod is not None and pod["spec"].get("nodeName"):
            pod["status"] = status
            self.version += 1

    def _collect(self) -> None:
        uid = self.session["metadata"]["uid"] if self.session is not None else ""
        for place, one in list(self.objects.items()):
            owners = one["metadata"].get("ownerReferences")
            if owners and all(owner["uid"] != uid for owner in owners):
                self.delete(place)

    def _schedule(self, pod: Object) -> None:
        why = ""
        if self.faults.node_lost:
            why = "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }."
        elif self.faults.no_slice:
            why = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: 0/1 nodes are available."
        if why:
            condition(pod, "PodScheduled", "False", "Unschedulable", why)
            return
        condition(pod, "PodScheduled", "True")
        pod["spec"]["nodeName"] = NODE
        home = self.objects.get(HOME)
        if home is not None:
            home["status"] = {"phase": "Bound"}
            home["spec"]["volumeName"] = "pv-1"

    def _run(self, pod: Object) -> None:
        if pod["status"]["phase"] in ("Failed", "Succeeded"):
            return
        states = pod["status"].get("containerStatuses")
        if self.faults.no_image and not (states and "running" in states[0]["state"]):
            waits = {"reason": "ImagePullBackOff", "message": "desktop:9: not found"}
            pod["status"]["containerStatuses"] = [{"name": "desktop", "state": {"waiting": waits}, "restartCount": 0}]
        elif not states or "running" not in states[0]["state"]:
            pod["status"]["phase"] = "Running"
            running = {"startedAt": second(self.now)}
            pod["status"]["containerStatuses"] = [{"name": "desktop", "state": {"running": running}, "restartCount": 0}]
        else:
            condition(pod, "Ready", "True")


@dataclass
class Operator:
    """The operator's process: what it remembers, until it is killed."""

    cluster: Cluster
    settings: Settings = SETTINGS
    wish: tuple[str, str] = ("", "")
    seen: float = 0.0
    refusal: str = ""
    check: CheckResult | None = None
    asked: CheckWanted | None = None
    attempts: int = 0
    notices: list[Notice] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def restarted(self) -> Operator:
        """Another process, which knows nothing."""
        return Operator(self.cluster, self.settings, notices=self.notices, failures=self.failures)

    def known(self) -> dict[Ref, Object]:
        """What its watches have told until now."""
        return copy.deepcopy(self.cluster.objects)

    def look(self, known: dict[Ref, Object] | None = None) -> tuple[Session, Template | None, World]:
        """What a pass is made from."""
        cluster = self.cluster
        assert cluster.session is not None
        session = Session.of(copy.deepcopy(cluster.session))
        if self.wish != (session.uid, session.mode):
            self.wish, self.seen, self.check, self.refusal = (session.uid, session.mode), cluster.now, None, ""
        there = self.known() if known is None else known
        pod, home = there.get(PLACES["pod"]), there.get(HOME)
        at = (pod["spec"].get("nodeName", "") if pod is not None else "") or (
            NODE if pod is None and home is not None and home["status"]["phase"] == "Bound" else ""
        )
        world = World(
            now=cluster.now,
            settings=self.settings,
            seen_unix_seconds=self.seen,
            node=NodeFact(at, ready=not cluster.faults.node_lost) if at else None,
            relay_addresses=() if cluster.faults.no_relay else self.settings.relay_addresses,
            turn_secret="north",
            spare_password=f"spare-{cluster.version:08}",
            check=self.check,
            refusal=self.refusal,
            **{name: there.get(place) for name, place in PLACES.items()},
        )
        return session, Template.of(cluster.template) if cluster.template is not None else None, world

    def decide(self, known: dict[Ref, Object] | None = None) -> tuple[Decision, tuple[Change, ...]]:
        session, made_from, world = self.look(known)
        decision = desired(session, made_from, world)
        return decision, changes(decision, world)

    def pass_(
        self, *, killed_at: int | None = None, conflict_at: int | None = None, known: dict[Ref, Object] | None = None
    ) -> Decision | None:
        """One pass.

        :param killed_at: the process ends before this change, or, behind the last one, before the status.
        :param conflict_at: this change meets a conflict.
        :returns: None where it did not come to its end.
        """
        decision, todo = self.decide(known)
        for number, change in enumerate(todo):
            if number == killed_at:
                return None
            try:
                if number == conflict_at:
                    raise Outdated
                self.cluster.make(change)
                self.refusal = ""
            except Outdated:
                return None
            except Refused as refused:
                self.refusal = str(refused)
                break
        if killed_at is not None:
            return None
        self.write(decision)
        return decision

    def write(self, decision: Decision) -> None:
        """The status and what goes with it."""
        session = self.cluster.session
        assert session is not None
        status = json.loads(json.dumps(decision.status))
        if status != session.get("status", {}):
            session["status"] = status
            self.cluster.version += 1
        self.notices.extend(decision.notices)
        if decision.failure is not None:
            self.failures.append(decision.failure.value)
        if decision.check is not None and self.asked is None:
            if self.check is None or self.check.pod_uid != decision.check.pod_uid:
                self.attempts = 0
            self.asked = decision.check

    def checked(self) -> None:
        """The check that is under way ends."""
        asked, cluster = self.asked, self.cluster
        if asked is None:
            return
        self.asked = None
        if cluster.faults.no_checker:
            self.check = CheckResult(asked.pod_uid, False, cluster.now, "refused", unreachable=True)
            return
        self.attempts += 1
        pod = cluster.objects.get(PLACES["pod"])
        there = pod is not None and pod["metadata"]["uid"] == asked.pod_uid
        ways = PLACES["service"] in cluster.objects and PLACES["route"] in cluster.objects
        ok = (
            there and ways and not cluster.faults.no_frame and pod is not None and pod["password"] == cluster.password()
        )
        self.check = replace(seen(asked.pod_uid, cluster.now), ok=ok, attempts=self.attempts)
        if not ok:
            self.check = replace(self.check, message="no frame")

    def settle(self, passes: int = 150) -> Decision | None:
        """Passes until nothing but a distant time will change anything.

        :returns: the last decision, None: there is no session any more.
        """
        quiet = 0
        for _ in range(passes):
            before = self.cluster.version
            self.cluster.tick()
            self.checked()
            if self.cluster.session is None:
                if self.cluster.version == before:
                    return None
                continue
            decision = self.pass_()
            assert decision is not None or self.cluster.version != before, "it conflicts with nobody"
            if decision is None or self.cluster.version != before:
                quiet = 0
                self.cluster.now += 0.05
                continue
            quiet += 1
            again = decision.look_again_seconds
            if (quiet >= 4 and (again is None or again >= 5.0)) or quiet >= 20:
                return decision
            self.cluster.now += 1.0 if again is None else min(again, 10.0)
        raise AssertionError(f"never at rest: {self.decide()}")


def template(uid: str = "t-1", **spec: Any) -> Object:
    return {
        "metadata": {"name": "cad", "uid": uid, "generation": 1},
        "spec": {"image": "registry.test/desktop:2.1.0", **spec},
    }


def seen(pod_uid: str, left: float) -> CheckResult:
    """A good check."""
    return CheckResult(
        pod_uid,
        ok=True,
        left_unix_seconds=left,
        codec="H264",
        encoder="nvh264enc",
        hardware=True,
        transport="webrtc",
        width=1920,
        height=1080,
        first_frame_seconds=0.8124,
    )


def condition(pod: Object, kind: str, status: str, reason: str = "", message: str = "") -> None:
    """Set a pod's condition."""
    others = [one for one in pod["status"].get("conditions", ()) if one["type"] != kind]
    made = {"type": kind, "status": status, "reason": reason, "message": message}
    pod["status"]["conditions"] = [*others, {key: value for key, value in made.items() if value}]


def applied(actual: Object, body: Object) -> Object:
    """Server-side apply, forced, of a manager that takes nothing away."""
    made = copy.deepcopy(actual)
    for key, value in body.items():
        before = made.get(key)
        if key == "ownerReferences":
            ours = {owner["uid"] for owner in value}
            made[key] = [*(one for one in before or () if one["uid"] not in ours), *copy.deepcopy(value)]
        elif key == "ports" and isinstance(before, list) and value and "targetPort" in value[0]:
            # A Service's: a list by port.
            mine = {port["port"] for port in value}
            made[key] = [
                *({"protocol": "TCP", **port} for port in value),
                *(port for port in before if port["port"] not in mine),
            ]
        elif key == "selector":
            made[key] = copy.deepcopy(value)  # an atomic map
        elif isinstance(value, dict) and isinstance(before, dict):
            made[key] = applied(before, value)
        else:
            made[key] = copy.deepcopy(value)
    return made


def merged(actual: Object, patch: Object) -> Object:
    """JSON merge patch, RFC 7386."""
    made = copy.deepcopy(actual)
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        elif isinstance(value, dict):
            made[key] = merged(made.get(key) or {}, value)
        else:
            made[key] = copy.deepcopy(value)
    return made


def ready(status: Object) -> tuple[str, str]:
    """Status and reason of Ready."""
    return reason(status, "Ready")


def reason(status: Object, kind: str) -> tuple[str, str]:
    """Status and reason of a condition."""
    found = next(one for one in status["conditions"] if one["type"] == kind)
    return found["status"], found["reason"]


def age(status: Object, name: str) -> float:
    """Seconds from the beginning of a start to a milestone."""
    began, at = unix(status["startedAt"]), unix(status["milestones"][name])
    assert began is not None
    assert at is not None
    return at - began


def begun(**spec: Any) -> tuple[Cluster, Operator]:
    """A session that nobody has looked at yet."""
    cluster = Cluster()
    cluster.create_session(**spec)
    return cluster, Operator(cluster)


def running(**spec: Any) -> tuple[Cluster, Operator]:
    """A session whose user has a desktop."""
    cluster, operator = begun(**spec)
    assert ready(settled(operator).status) == ("True", "Published")
    return cluster, operator


def settled(operator: Operator) -> Decision:
    """What is decided in the end."""
    decision = operator.settle()
    assert decision is not None
    return decision
