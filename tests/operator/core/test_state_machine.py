"""Any sequence of what users, administrators and machines do ends as `desired` says, and well once all is mended."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from vdi_operator.api.objects import Object, Ref, ref
from vdi_operator.core import pods
from vdi_operator.core.decision import Decision
from vdi_operator.core.homes import mounted
from vdi_operator.core.instants import micro, unix
from vdi_operator.core.plan import changes

from .cluster import FRESH, HOME, NAME, PLACES, Cluster
from .process import Operator, ready

CHILDREN = sorted(name for name in PLACES if name != "home")
ENDS: dict[str, Object] = {
    "crashed": {
        "phase": "Failed",
        "containerStatuses": [{"name": "desktop", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}],
    },
    "evicted": {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."},
    "refused": {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": "Allocate failed"},
    "ended": {"phase": "Succeeded"},
}
# By hand: what would let somebody in, lead astray, or leave something behind.
EDITS: dict[str, Any] = {
    "service": lambda one: one["spec"]["selector"].update({"app.kubernetes.io/instance": "mallory"}),
    "route": lambda one: one["spec"]["routes"].append({"kind": "Rule", "match": "PathPrefix(`/`)"}),
    "policy": lambda one: one["spec"]["ingress"].append({}),
    "login": lambda one: one["spec"]["basicAuth"].update({"secret": "vdi-session-auth-mallory"}),
    "auth": lambda one: one["data"].update({"password": "c2hvcnQ="}),
    "rtc": lambda one: one["data"].update({"rtc.json": "e30="}),
    "pod": lambda one: one["metadata"]["labels"].update({"app.kubernetes.io/instance": "mallory"}),
    "owner": lambda one: one["metadata"].update({"ownerReferences": []}),
}


class Life(RuleBasedStateMachine):
    """One session's name, over several sessions of it."""

    @initialize()
    def begin(self) -> None:
        self.cluster = Cluster()
        self.cluster.edit_template(capacity={"sessionsPerGPU": 8}, idleTimeout="30m")
        self.operator = Operator(self.cluster)
        self.homes: dict[Ref, str] = {}
        self.before: list[dict[Ref, Object]] = []
        self.cluster.create_session()

    # Users and administrators.

    @rule(wait=st.sampled_from([0.1, 0.5, 1.0, 3.0, 5.0, 31.0, 61.0, 400.0, 50_000.0]))
    def time_goes_by(self, wait: float) -> None:
        self.cluster.now += wait

    @precondition(lambda self: self.cluster.session is not None)
    @rule(mode=st.sampled_from(["Running", "Suspended"]))
    def user_wants(self, mode: str) -> None:
        self.cluster.edit_session(operatingMode=mode)

    @precondition(lambda self: self.cluster.session is not None)
    @rule(lifetime=st.sampled_from([None, "10m", "24h"]))
    def user_sets_lifetime(self, lifetime: str | None) -> None:
        self.cluster.edit_session(lifetime=lifetime)

    @precondition(lambda self: self.cluster.session is not None)
    @rule(policy=st.sampled_from(["Wait", "Fresh"]))
    def user_chooses_a_home(self, policy: str) -> None:
        self.cluster.edit_session(homePolicy=policy)

    @rule()
    def session_is_deleted_or_made(self) -> None:
        if self.cluster.session is None:
            self.cluster.create_session()
        else:
            self.cluster.delete_session()

    @rule()
    def template_is_edited(self) -> None:
        self.cluster.edit_template(image="registry.test/desktop:2.1.1")

    @rule()
    def template_is_deleted(self) -> None:
        self.cluster.template = None

    @rule(name=st.sampled_from(CHILDREN))
    def somebody_deletes(self, name: str) -> None:
        self.cluster.now += 1.0  # people are slower than the API server's stamps
        if PLACES[name] in self.cluster.objects:
            self.cluster.delete(PLACES[name])

    @rule(name=st.sampled_from(sorted(EDITS)))
    def somebody_edits(self, name: str) -> None:
        self.cluster.now += 1.0
        one = self.cluster.objects.get(PLACES["service" if name == "owner" else name])
        if one is not None:
            EDITS[name](one)
            self.cluster.version += 1

    # Machines.

    @rule(end=st.sampled_from(sorted(ENDS)))
    def the_pod_ends(self, end: str) -> None:
        self.cluster.crash(copy.deepcopy(ENDS[end]))

    @rule(
        fault=st.sampled_from(
            ["no_slice", "no_image", "no_checker", "no_frame", "no_relay", "quota", "full", "home_full"]
        )
    )
    def something_breaks_or_is_mended(self, fault: str) -> None:
        setattr(self.cluster.faults, fault, not getattr(self.cluster.faults, fault))

    @rule(minutes=st.sampled_from([0.0, 21.0, 31.0]))
    def nobody_is_there(self, minutes: float) -> None:
        self.operator.nobody_for(60.0 * minutes)

    @rule()
    def still_nobody_is_there(self) -> None:
        self.operator.still_nobody()

    @precondition(lambda self: self.cluster.session is not None)
    @rule(value=st.sampled_from(["first", "second"]))
    def user_comes_back(self, value: str) -> None:
        self.cluster.wake(value)

    @rule()
    def the_node_is_drained_or_let_in(self) -> None:
        self.cluster.faults.cordoned = not self.cluster.faults.cordoned
        if self.cluster.faults.cordoned:
            self.cluster.evict()

    @rule()
    def the_node_is_lost_or_back(self) -> None:
        if self.cluster.faults.node_lost:
            self.cluster.faults.node_lost = False
        else:
            self.cluster.lose_node()

    @rule(behind=st.sampled_from([0.0, 3600.0, -3600.0]))
    def the_api_servers_clock_is_set(self, behind: float) -> None:
        self.cluster.behind = behind

    @rule()
    def the_cluster_acts(self) -> None:
        self.cluster.tick()

    @rule()
    def the_checker_answers(self) -> None:
        self.operator.checked()

    # The operator.

    @precondition(lambda self: self.cluster.session is not None)
    @rule()
    def a_pass(self) -> None:
        self.operator.pass_()

    @precondition(lambda self: self.cluster.session is not None)
    @rule(at=st.integers(0, 7))
    def a_pass_is_killed(self, at: int) -> None:
        self.operator.pass_(killed_at=at)
        self.operator = self.operator.restarted()

    @precondition(lambda self: self.cluster.session is not None)
    @rule(at=st.integers(0, 7))
    def a_pass_meets_a_conflict(self, at: int) -> None:
        self.operator.pass_(conflict_at=at)

    @precondition(lambda self: self.cluster.session is not None)
    @rule()
    def a_status_is_lost(self) -> None:
        assert self.cluster.session is not None
        stored = copy.deepcopy(self.cluster.session.get("status"))
        self.operator.pass_()
        self.cluster.session["status"] = stored or {}

    @rule()
    def the_operator_looks_away(self) -> None:
        self.before = [*self.before[-2:], self.operator.known()]

    @precondition(lambda self: self.cluster.session is not None and self.before)
    @rule()
    def a_pass_with_old_knowledge(self) -> None:
        self.cluster.stale = True
        self.operator.pass_(known=self.before[0])
        self.cluster.stale = False

    @rule()
    def all_comes_to_rest(self) -> None:
        decision = self.operator.settle()
        if decision is not None:
            self._as_desired(decision)
        elif not self.cluster.faults.node_lost:
            owned = {place for place, one in self.cluster.objects.items() if one["metadata"].get("ownerReferences")}
            assert not owned, "an orphan"

    # What holds always, and in the end.

    @invariant()
    def homes_stay(self) -> None:
        for home in (HOME, FRESH):
            if home in self.homes:
                assert self.cluster.objects[home]["metadata"]["uid"] == self.homes[home]
            elif home in self.cluster.objects:
                self.homes[home] = self.cluster.objects[home]["metadata"]["uid"]

    def teardown(self) -> None:
        """Everything is mended and the user tries again: there is a desktop."""
        cluster = getattr(self, "cluster", None)
        if cluster is None:
            return
        cluster.faults = type(cluster.faults)()
        self.operator.activity = None
        if cluster.template is None:
            cluster.edit_template()
        if cluster.session is None:
            cluster.create_session()
        self.operator.settle()
        cluster.edit_session(operatingMode="Running", lifetime=None)
        decision = self.operator.settle()
        assert decision is not None
        self._as_desired(decision)
        self.homes_stay()
        assert ready(decision.status) == ("True", "Published"), decision.status
        pod = cluster.objects[PLACES["pod"]]
        home = Ref("PersistentVolumeClaim", mounted(pod))
        assert set(PLACES.values()) - {HOME} | {home} == set(cluster.objects) - ({HOME, FRESH} - {home})
        assert pod["password"] == cluster.password()
        status = decision.status
        parts = sum(micro(seconds) for seconds in status["phases"].values())
        assert parts == micro(status["readyInSeconds"])

    def _as_desired(self, decision: Decision) -> None:
        session, _, world = self.operator.look()
        assert changes(decision, world) == ()
        assert decision.status == session.status
        there = {place for place, one in self.cluster.objects.items() if not pods.going(one)}
        ending = set(self.cluster.objects) - there
        assert {ref(one) for one in decision.objects} <= there | ending
        assert not set(decision.absent) & there
        # Only a node that is lost keeps a pod that is to go.
        assert not ending or self.cluster.faults.node_lost
        state, _ = ready(decision.status)
        assert (state == "True") == ("url" in decision.status)
        if state == "True":
            pod = self.cluster.objects[PLACES["pod"]]
            assert pods.ready(pod)
            assert decision.status["stream"]["podUID"] == pods.uid(pod)
            assert self.cluster.objects[PLACES["auth"]]["metadata"]["name"].endswith(NAME)
            left = unix(decision.status["stream"]["leftAt"])
            assert left is not None
            assert self.cluster.now >= left + 0.5 - 1e-6


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
