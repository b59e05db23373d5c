"""An API server with one session, and the scheduler, provisioner and kubelet that act on its objects.

Time goes by only where a test says so, and everything happens where it says so: nothing here is random.
"""

from __future__ import annotations

import base64
import copy
import json
from dataclasses import dataclass
from typing import Any

from vdi_operator.api.objects import Object, Ref
from vdi_operator.children import names
from vdi_operator.core.decision import Change, Verb
from vdi_operator.core.homes import mounted
from vdi_operator.core.instants import second
from vdi_operator.settings import Settings

NAME, USER, NODE = "cad-7", "alice", "gpu-1"
BEGAN = 1_800_000_000.25
SETTINGS = Settings(checker_url="http://checker.test", relay_addresses=("192.0.2.10",), read_nodes=True)
HOME, FRESH = (Ref("PersistentVolumeClaim", name(USER)) for name in (names.home_name, names.fresh_home_name))
# After it Kubernetes gives a node's pods up.
TOLERATED_SECONDS = 300.0

PLACES = {
    "pod": Ref("Pod", f"vdi-session-{NAME}"),
    "service": Ref("Service", f"vdi-session-service-{NAME}"),
    "route": Ref("IngressRoute", f"vdi-session-{NAME}"),
    "policy": Ref("NetworkPolicy", f"vdi-session-{NAME}"),
    "login": Ref("Middleware", f"vdi-session-auth-{NAME}"),
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
    # The node takes no new pods.
    cordoned: bool = False
    # All places are taken, where the template has a capacity.
    full: bool = False
    # The node that the user's own home is on has no free slice, and others have.
    home_full: bool = False
    # Or has slices, and no memory for another desktop.
    home_crowded: bool = False


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
        # Seconds that the clock of the API server is behind everybody else's.
        self.behind = 0.0
        # And that the clock on the wall, which somebody has set, is ahead of the operator's.
        self.ahead = 0.0
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

    def wake(self, value: str) -> None:
        """Come back to a session that was stopped."""
        assert self.session is not None
        self.session["metadata"]["annotations"] = {"vdibench.io/wake": value}
        self.version += 1

    def evict(self) -> None:
        """As the eviction API does, which kubectl drain asks."""
        pod = self.objects.get(PLACES["pod"])
        if pod is not None and pod["spec"].get("nodeName") and pod["status"]["phase"] not in ("Failed", "Succeeded"):
            condition(pod, "DisruptionTarget", "True", "EvictionByEvictionAPI", "Eviction API: evicting")
            self.delete(PLACES["pod"])
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
            if actual is not None and change.body.get("type", actual.get("type")) != actual.get("type"):
                raise AssertionError("a Secret's type is changed, which no API server lets anybody")
            made = self.defaulted(change.body) if actual is None else applied(actual, change.body)
            self._store(change.ref, made)
        elif actual is None:
            raise Outdated
        else:
            self._store(change.ref, merged(actual, change.body))

    def delete(self, one: Ref) -> None:
        """As anybody's DELETE: a pod that has a node goes when its kubelet says so, a home when no pod has it."""
        assert one.kind != "PersistentVolumeClaim", "a home is deleted"
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
        one["metadata"] |= {"uid": self._uid(), "creationTimestamp": second(self.now - self.behind)}
        spec = one.get("spec", {})
        if one["kind"] == "Service":
            spec |= {"clusterIP": "10.43.0.9", "type": "ClusterIP", "sessionAffinity": "None", "ipFamilies": ["IPv4"]}
            for port in spec["ports"]:
                port["protocol"] = "TCP"
        elif one["kind"] == "NetworkPolicy":
            one["spec"] = {key: value for key, value in spec.items() if value != []}
        elif one["kind"] == "Secret":
            one.setdefault("type", "Opaque")
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
            others["home"] = Ref("PersistentVolumeClaim", mounted(one))
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
        elif self.faults.cordoned:
            why = "0/1 nodes are available: 1 node(s) were unschedulable."
        elif self.faults.no_slice:
            why = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: 0/1 nodes are available."
        elif self.faults.home_full and mounted(pod) == HOME.name:
            why = "0/2 nodes are available: 1 Insufficient nvidia.com/gpu, 1 node(s) had volume node affinity conflict."
        elif self.faults.home_crowded and mounted(pod) == HOME.name:
            why = "0/2 nodes are available: 1 Insufficient memory, 1 node(s) had volume node affinity conflict."
        if why:
            condition(pod, "PodScheduled", "False", "Unschedulable", why)
            return
        condition(pod, "PodScheduled", "True")
        pod["spec"]["nodeName"] = NODE
        home = self.objects.get(Ref("PersistentVolumeClaim", mounted(pod)))
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


def template(uid: str = "t-1", **spec: Any) -> Object:
    return {
        "metadata": {"name": "cad", "uid": uid, "generation": 1},
        "spec": {"image": "registry.test/desktop:2.1.0", **spec},
    }


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
