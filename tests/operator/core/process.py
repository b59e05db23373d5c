"""The operator's process beside the simulated cluster: what it remembers, and passes until nothing changes any more."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field, replace
from typing import Any

from vdi_operator.api.objects import Object, Ref
from vdi_operator.api.session import Session
from vdi_operator.api.template import Template
from vdi_operator.children import names
from vdi_operator.core import pods
from vdi_operator.core.admission import foreign
from vdi_operator.core.decision import Change, CheckWanted, Decision, Notice, Place
from vdi_operator.core.desired import desired
from vdi_operator.core.homes import settled as settled_home
from vdi_operator.core.plan import changes
from vdi_operator.core.world import ActivityFact, CheckResult, NodeFact, SlotFact, World
from vdi_operator.settings import Settings

from .cluster import NODE, PLACES, SETTINGS, Cluster, Outdated, Refused


@dataclass
class Operator:
    """The operator's process: what it remembers, until it is killed."""

    cluster: Cluster
    settings: Settings = SETTINGS
    wish: tuple[str, str, str] = ("", "", "")
    seen: float = 0.0
    refusal: str = ""
    check: CheckResult | None = None
    asked: CheckWanted | None = None
    attempts: int = 0
    # What looks at its desktop have shown.
    activity: ActivityFact | None = None
    # It has a place, as far as this process knows.
    held: bool = False
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
        if self.wish != (wish := (session.uid, str(session.mode), session.wake)):
            self.wish, self.seen, self.check, self.refusal = wish, cluster.now, None, ""
        there = self.known() if known is None else known
        pod = there.get(PLACES["pod"])
        own = pod if pod is None or not foreign(session.uid, pod) else None
        home = there.get(Ref("PersistentVolumeClaim", names.claim_name(settled_home(session, own))))
        at = (pod["spec"].get("nodeName", "") if pod is not None else "") or (
            NODE if home is not None and home["status"]["phase"] == "Bound" else ""
        )
        world = World(
            now=cluster.now,
            wall_unix_seconds=cluster.now + cluster.ahead,
            settings=self.settings,
            seen_unix_seconds=self.seen,
            node=self.node(at),
            relay_addresses=() if cluster.faults.no_relay else self.settings.relay_addresses,
            turn_secret="north",
            spare_password=f"spare-{cluster.version:08}",
            check=self.check,
            refusal=self.refusal,
            slot=self.slot(pod),
            activity=self.activity,
            **{name: there.get(place) for name, place in PLACES.items()} | {"home": home},
        )
        return session, Template.of(cluster.template) if cluster.template is not None else None, world

    def node(self, name: str) -> NodeFact | None:
        """What is known of a node, where there is one to be known."""
        faults = self.cluster.faults
        if not name or not self.settings.read_nodes:
            return None
        return NodeFact(name, ready=not faults.node_lost, schedulable=not (faults.node_lost or faults.cordoned))

    def nobody_for(self, seconds: float) -> None:
        """Looks have found nobody at the desktop for so long, until now; 0: somebody is there."""
        now, pod = self.cluster.now, self.cluster.objects.get(PLACES["pod"])
        seen = now if seconds else float("-inf")
        self.activity = ActivityFact(pods.uid(pod), now - seconds, seen) if pod is not None else None

    def left_alone(self, seconds: float) -> None:
        """Looks have found nobody for so long, and nobody since the warning either: the next pass stops the desktop."""
        self.nobody_for(seconds)
        self.settle()
        self.cluster.now += self.settings.idle_look_seconds
        self.still_nobody()

    def still_nobody(self) -> None:
        """A look now finds nobody, as those before did."""
        known = self.activity
        if known is not None and known.looked_unix_seconds >= known.active_unix_seconds:
            self.activity = replace(known, looked_unix_seconds=self.cluster.now)

    def slot(self, pod: Object | None) -> SlotFact | None:
        """How the session stands for a place: a pod that has not ended holds its own."""
        if self.cluster.template is None or "capacity" not in self.cluster.template["spec"]:
            return None
        has = self.held or (pod is not None and not pods.ended(pod))
        if self.cluster.faults.full and not has:
            return SlotFact(False, gpus=1, taken=8, places=8, position=2, waiting=3)
        return SlotFact(True, gpus=1, places=8)

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
        decision, due = self.decide(known)
        self.held = decision.place is Place.HELD
        for number, change in enumerate(due):
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
            if self.asked is not None:
                self.cluster.now += 0.05
                continue
            quiet += 1
            again = decision.look_again_seconds
            if (quiet >= 4 and (again is None or again >= 5.0)) or quiet >= 20:
                return decision
            self.cluster.now += 1.0 if again is None else min(again, 10.0)
        raise AssertionError(f"never at rest: {self.decide()}")


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


def ready(status: Object) -> tuple[str, str]:
    """Status and reason of Ready."""
    return reason(status, "Ready")


def reason(status: Object, kind: str) -> tuple[str, str]:
    """Status and reason of a condition."""
    found = next(one for one in status["conditions"] if one["type"] == kind)
    return found["status"], found["reason"]


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
