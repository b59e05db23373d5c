"""Limits of a user and of the namespace: who has a desktop keeps it, the oldest one is next, and what is said."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdi_operator.api.reasons import Reason
from vdi_operator.core.decision import Blocked, Place, Queue
from vdi_operator.core.desired import desired
from vdi_operator.core.limits import Allowance, refusal
from vdi_operator.core.line import Claim
from vdi_operator.core.world import LimitFact

from .process import begun, ready, reason, running, settled

FULL = LimitFact(Reason.USER_LIMIT_REACHED, most=2, taken=2, position=1, waiting=3, names=("cad-1", "cad-2"))
CROWDED = LimitFact(Reason.NAMESPACE_LIMIT_REACHED, most=100, taken=100, position=4, waiting=9)


def claim(name: str, created: float = 0.0, *, user: str = "alice", priority: int = 0) -> Claim:
    return Claim(created, name, "cad", user, priority)


def pass_(found: Allowance, one: Claim, most: int) -> LimitFact:
    fact = found.look(one, most)
    if fact.reason is None:
        found.hold(one)
    else:
        found.wait(one)
    return fact


def test_the_limit_is_of_each_user_by_itself() -> None:
    found = Allowance()
    assert [pass_(found, claim(name), 2).reason for name in "abc"] == [None, None, Reason.USER_LIMIT_REACHED]
    assert pass_(found, claim("d", user="bob"), 2).reason is None
    assert found.look(claim("e", 9.0), 2) == LimitFact(Reason.USER_LIMIT_REACHED, 2, 2, 2, 2, ("a", "b"))
    assert (found.holds("a"), found.waits("c"), found.waits("e"), found.waiting()) == (True, True, False, 1)


def test_the_oldest_is_next_and_a_higher_priority_is_before_it() -> None:
    found = Allowance()
    found.hold(claim("runs"))
    for one in (claim("young", 5.0), claim("old", 1.0), claim("urgent", 9.0, priority=1)):
        found.wait(one)
    assert found.line("alice") == ["urgent", "old", "young"]
    assert [found.look(claim("old", 1.0), 1).position, found.look(claim("young", 5.0), 1).position] == [2, 3]
    assert found.next("alice", 1) == []
    assert found.leave("runs") == "alice"
    assert found.next("alice", 1) == ["urgent"]
    assert found.look(claim("urgent", 9.0, priority=1), 1).reason is None
    # The urgent one is as good as in.
    assert found.look(claim("old", 1.0), 1) == LimitFact(Reason.USER_LIMIT_REACHED, 1, 1, 1, 2, ())


def test_a_lower_limit_takes_nothing_from_whoever_has_it() -> None:
    found = Allowance()
    for name in "abc":
        found.hold(claim(name))
    assert found.look(claim("a"), 1).reason is None
    assert found.look(claim("d"), 1) == LimitFact(Reason.USER_LIMIT_REACHED, 1, 3, 1, 1, ("a", "b", "c"))
    found.leave("a")
    assert found.next("alice", 1) == []


def test_who_waits_again_frees_what_it_had() -> None:
    found = Allowance()
    found.hold(claim("a"))
    assert found.wait(claim("b", 1.0)) == ""
    assert found.wait(claim("a")) == "alice"
    assert found.wait(claim("a")) == "", "nothing is new"
    assert found.line("alice") == ["a", "b"]
    assert (found.leave("a"), found.leave("b"), found.leave("b")) == ("alice", "alice", "")
    assert (found.waiting(), found.line("alice")) == (0, [])


@given(st.data())
def test_never_more_than_the_limit_and_everybody_in_the_end(data: st.DataObject) -> None:
    most = data.draw(st.integers(1, 3), "limit")
    names = [f"s{number}" for number in range(data.draw(st.integers(1, 12), "sessions"))]
    everyone = {
        name: claim(
            name,
            float(data.draw(st.integers(0, 3))),
            user=data.draw(st.sampled_from(["alice", "bob"])),
            priority=data.draw(st.integers(0, 1)),
        )
        for name in names
    }
    found = Allowance()
    for name, leaves in data.draw(st.lists(st.tuples(st.sampled_from(names), st.booleans()), max_size=50), "passes"):
        if leaves:
            found.leave(name)
        else:
            pass_(found, everyone[name], most)
        for user in ("alice", "bob"):
            own = [one for one in everyone.values() if one.user == user]
            assert sum(found.holds(one.name) for one in own) <= most
            waiting = sorted((one for one in own if found.waits(one.name)), key=lambda one: (-one.priority, one))
            assert found.line(user) == [one.name for one in waiting]
            free = len(found.next(user, most))
            positions = [found.look(one, most).position for one in waiting]
            assert positions == [0] * free + list(range(1, len(waiting) - free + 1))
    for name in names:
        found.wait(everyone[name])
    came = []
    while found.waiting():
        for user in ("alice", "bob"):
            for name in found.next(user, most):
                assert pass_(found, everyone[name], most).reason is None
                came.append(name)
                found.leave(name)
    assert sorted(came) == sorted(names)


def test_a_refusal_says_how_many_there_are_and_what_frees_one() -> None:
    assert refusal("alice", None) is None
    assert refusal("alice", LimitFact()) is None
    said = "alice has 2 of 2 sessions that run or wait for a GPU (cad-1, cad-2); position 1 of 3: suspend or delete one"
    assert refusal("alice", FULL) == Blocked(FULL.reason or Reason.PENDING, f"{said} of them", queue=Queue(1, 3))
    found = refusal("alice", replace(FULL, most=5, taken=5))
    assert found is not None
    assert "(cad-1, cad-2 and 3 more)" in found.message
    found = refusal("alice", CROWDED)
    assert found is not None
    assert (found.reason, found.queue) == (Reason.NAMESPACE_LIMIT_REACHED, Queue(4, 9))
    assert found.message.startswith("the namespace has 100 of 100 sessions that run or wait for a GPU; position 4 of 9")
    assert "cad-" not in found.message, "whose they are is nobody else's business"


def test_what_a_session_has_goes_on_under_another_name() -> None:
    allowance, one = Allowance(), Claim(0.0, "a", "t", "alice")
    allowance.hold(one)
    allowance.rename("a", "a (ending)")
    allowance.rename("nobody", "nobody (ending)")
    assert allowance.look(one, 1).names == ("a (ending)",)
    assert allowance.look(Claim(0.0, "a", "t", "bob"), 1) == LimitFact()
    assert allowance.leave("a (ending)") == "alice"
    assert allowance.look(one, 1) == LimitFact()


@pytest.mark.parametrize(("fact", "place"), [(FULL, Place.USER), (CROWDED, Place.NAMESPACE)], ids=["user", "namespace"])
def test_a_session_beyond_a_limit_waits_and_is_no_failure(fact: LimitFact, place: Place) -> None:
    _, operator = begun()
    session, template, world = operator.look()
    decision = desired(session, template, replace(world, limit=fact))
    assert fact.reason is not None
    assert ready(decision.status) == reason(decision.status, "Admitted") == ("False", fact.reason.value)
    assert decision.status["queue"] == {"position": fact.position, "waiting": fact.waiting}
    assert (decision.objects, decision.absent, decision.place, decision.failure) == ((), (), place, None)
    assert [(one.reason, one.warning) for one in decision.notices] == [(fact.reason.value, False)]
    assert decision.look_again_seconds == 30.0, "whoever frees one wakes it"


def test_within_the_limits_a_session_has_its_part_whether_or_not_gpus_are_counted() -> None:
    _, operator = begun()
    session, template, world = operator.look()
    assert desired(session, template, replace(world, limit=LimitFact())).place is Place.HELD
    assert desired(session, template, world).place is Place.NONE


def test_a_desktop_that_runs_is_not_ended_for_a_limit() -> None:
    _, operator = running()
    session, template, world = operator.look()
    told = desired(session, template, replace(world, limit=FULL))
    assert ready(told.status) == ("True", "Published")
    assert reason(told.status, "Admitted") == ("False", "UserLimitReached")
    assert told.absent == ()
    assert "queue" not in told.status


def test_who_rests_for_nobody_is_there_has_no_part_and_stands_at_the_limit_when_woken() -> None:
    cluster, operator = begun()
    cluster.edit_template(idleTimeout="30m")
    assert ready(settled(operator).status) == ("True", "Published")
    operator.left_alone(1800.0)
    assert ready(settled(operator).status) == ("False", "Idle")
    session, template, world = operator.look()
    rests = desired(session, template, replace(world, limit=FULL))
    assert (ready(rests.status), rests.place, "queue" in rests.status) == (("False", "Idle"), Place.NONE, False)
    cluster.wake("again")
    session, template, world = operator.look()
    waits = desired(session, template, replace(world, limit=FULL))
    assert (ready(waits.status), waits.place) == (("False", "UserLimitReached"), Place.USER)
    assert waits.status["queue"] == {"position": 1, "waiting": 3}
    assert "idle" not in waits.status
    assert ready(settled(operator).status) == ("True", "Published"), "let in, it starts"
