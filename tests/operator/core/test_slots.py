"""Places on GPUs: never more than there are, the oldest first, everybody in the end; and what a session says of it."""

from __future__ import annotations

import copy
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdi_operator.api.evidence import Evidence
from vdi_operator.api.objects import Object
from vdi_operator.api.reasons import Reason
from vdi_operator.api.template import Template
from vdi_operator.core.decision import Blocked, Decision, Place, Queue
from vdi_operator.core.desired import desired
from vdi_operator.core.instants import micro
from vdi_operator.core.line import TOLD_RATE
from vdi_operator.core.slots import UNCOUNTED, Book, Claim, admit, refusal
from vdi_operator.core.world import SlotFact

from .cluster import PLACES, Cluster, template
from .process import Operator, begun, ready, reason, settled

POD = PLACES["pod"]
SHARES = {"whole": Fraction(1), "half": Fraction(1, 2), "third": Fraction(1, 3), "eighth": Fraction(1, 8)}
FULL = SlotFact(False, gpus=1, taken=8, places=8, position=2, waiting=3)
ENDED: Object = {
    "phase": "Failed",
    "containerStatuses": [{"name": "desktop", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}],
}


def claims(*names: str, template: str = "eighth") -> list[Claim]:
    """In the order of their names."""
    return [Claim(0.0, name, template) for name in names]


def held(book: Book, *claims: Claim) -> Book:
    for claim in claims:
        book.hold(claim)
    return book


def pass_(book: Book, claim: Claim, gpus: int) -> SlotFact:
    """What a worker does: it asks, and has the answer written down."""
    slot = book.look(claim, gpus)
    if slot.admitted:
        book.hold(claim)
    else:
        book.wait(claim)
    return slot


def test_parts_add_up_to_wholes_and_no_further() -> None:
    line = [(name, Fraction(1, 3)) for name in "abcd"]
    assert list(admit(Fraction(0), line, 1)) == ["a", "b", "c"]
    assert list(admit(Fraction(1, 6), line, 1)) == ["a", "b"]
    assert list(admit(Fraction(1), line, 1)) == []
    assert list(admit(Fraction(0), line, 0)) == []


def test_nobody_overtakes_whoever_does_not_fit() -> None:
    line = [("small", Fraction(1, 8)), ("large", Fraction(1)), ("tiny", Fraction(1, 64))]
    assert list(admit(Fraction(0), line, 1)) == ["small"]
    assert list(admit(Fraction(0), line, 2)) == ["small", "large", "tiny"]


def test_eight_are_let_in_and_the_others_know_where_they_stand() -> None:
    book = Book(SHARES.__getitem__)
    found = [pass_(book, claim, 1) for claim in claims(*"abcdefghij")]
    assert [slot.admitted for slot in found] == [True] * 8 + [False] * 2
    assert found[8:] == [
        SlotFact(False, gpus=1, taken=8, places=8, position=1, waiting=1),
        SlotFact(False, gpus=1, taken=8, places=8, position=2, waiting=2),
    ]
    assert book.held() == 1
    assert book.line() == ["i", "j"]
    assert book.next(1) == []
    assert book.leave("c")
    assert book.next(1) == ["i"]
    assert pass_(book, *claims("j"), 1) == SlotFact(False, gpus=1, taken=8, places=8, position=1, waiting=1)
    assert pass_(book, *claims("i"), 1).admitted
    assert book.line() == ["j"]


def test_the_older_one_is_first_whoever_asks_first() -> None:
    book = held(Book(SHARES.__getitem__), Claim(0.0, "runs", "whole"))
    young, old = Claim(9.0, "a", "whole"), Claim(1.0, "z", "whole")
    assert pass_(book, young, 1).position == 1
    assert pass_(book, old, 1).position == 1
    assert book.look(young, 1).position == 2
    book.leave("runs")
    assert not book.look(young, 1).admitted
    assert book.look(old, 1).admitted


def test_looking_changes_nothing() -> None:
    book = held(Book(SHARES.__getitem__), *claims("runs", template="whole"))
    (new,) = claims("new")
    assert book.look(new, 1) == book.look(new, 1) == SlotFact(False, 1, taken=8, places=8, position=1, waiting=1)
    assert (book.waiting(), book.holds("new"), book.waits("new")) == (0, False, False)


def test_templates_of_several_sizes_share_a_gpu() -> None:
    book = held(Book(SHARES.__getitem__), *claims("a", "b"), *claims("c", template="half"))
    assert book.held() == Fraction(3, 4)
    # Two eighths and a half are as six eighths, or a half and a half.
    assert book.look(*claims("d"), 1) == SlotFact(True, 1, taken=6, places=8)
    assert book.look(*claims("d", template="half"), 1) == SlotFact(False, 1, taken=2, places=2, position=1, waiting=1)


def test_what_is_held_where_gpus_do_not_count_keeps_nobody_out() -> None:
    shut: set[str] = set()
    book = Book(SHARES.__getitem__, lambda: shut)
    for claim, at in zip(claims("a", "b", "c", "d", template="half"), ("n1", "n1", "n2", "n2"), strict=True):
        assert not book.hold(claim, at)
    first, second = claims("e", "f", template="half")
    assert [pass_(book, one, 2).position for one in (first, second)] == [1, 2]
    shut.add("n1")
    assert (book.held(), book.counted(), book.next(1)) == (2, 1, [])
    assert book.look(first, 1) == SlotFact(False, gpus=1, taken=2, places=2, position=1, waiting=2)
    book.leave("c")
    assert book.next(1) == ["e"]
    assert pass_(book, first, 1).admitted
    assert not pass_(book, second, 1).admitted, "the other node is full again"
    shut.clear()
    assert (book.held(), book.counted(), book.next(2)) == (2, 2, [])


def test_a_place_that_moves_counts_where_it_is_and_is_no_new_one() -> None:
    book = Book(SHARES.__getitem__, lambda: {"n1"})
    (one,) = claims("a", template="whole")
    assert not book.hold(one)
    assert book.counted() == 1
    assert book.hold(one, "n1"), "others may have one"
    assert (book.held(), book.counted()) == (1, 0)
    assert not book.hold(one, "n1"), "nothing is new"
    assert not book.hold(one)
    assert book.counted() == 1
    assert not book.hold(one, "n2")
    assert book.counted() == 1
    assert book.leave("a")
    assert (book.held(), book.counted()) == (0, 0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdef"),
            st.sampled_from([*sorted(SHARES), ""]),
            st.sampled_from(["", "n1", "n2", "n3"]),
        ),
        max_size=30,
    ),
    st.sets(st.sampled_from(["n1", "n2", "n3"])),
)
def test_what_counts_is_what_is_held_elsewhere(steps: list[tuple[str, str, str]], shut: set[str]) -> None:
    book, held_at = Book(SHARES.__getitem__, lambda: shut), dict[str, tuple[str, str]]()
    for name, of, at in steps:
        if of:
            book.hold(Claim(0.0, name, of), at)
            held_at[name] = of, at
        else:
            book.leave(name)
            held_at.pop(name, None)
        assert book.held() == sum(SHARES[of] for of, _ in held_at.values())
        assert book.counted() == sum(SHARES[of] for of, at in held_at.values() if at not in shut)


def test_a_place_goes_on_under_another_name_and_nobody_is_served_by_it() -> None:
    book = held(Book(SHARES.__getitem__), Claim(0.0, "a", "whole", "alice"))
    book.hold(Claim(0.0, "a", "whole", "alice"), "n1")
    for one in (Claim(1.0, "b", "whole", "alice"), Claim(2.0, "c", "whole", "carol")):
        book.wait(one)
    line = book.line()
    book.rename("a", "a (ending)")
    book.rename("nobody", "nobody (ending)")
    assert (book.holds("a"), book.holds("a (ending)"), book.held(), book.line()) == (False, True, 1, line)
    assert not book.look(Claim(3.0, "a", "eighth"), 1).admitted
    assert not book.leave("a")
    assert book.leave("a (ending)")
    assert book.held() == 0


def test_another_capacity_counts_at_once_for_those_who_run() -> None:
    shares = {"t": Fraction(1, 2)}
    book = held(Book(shares.__getitem__), *claims("a", "b", template="t"))
    (new,) = claims("c", template="t")
    assert not pass_(book, new, 1).admitted
    shares["t"] = Fraction(1, 3)
    assert book.next(1) == ["c"]
    shares["t"] = Fraction(1)
    assert book.look(new, 1) == SlotFact(False, 1, taken=2, places=1, position=1, waiting=1)
    assert book.holds("a"), "nobody loses a place"


def test_who_had_a_place_and_waits_again_frees_it() -> None:
    book = held(Book(SHARES.__getitem__), *claims("a", "b", template="half"))
    (first, second) = claims("a", "c", template="half")
    assert not book.wait(second), "it had none"
    assert book.wait(first), "b and c may go on"
    assert book.held() == Fraction(1, 2)
    assert not book.wait(first), "nothing is new"
    assert not book.leave("nobody")


def test_a_session_of_the_same_name_stands_where_its_own_age_says() -> None:
    book = held(Book(SHARES.__getitem__), Claim(0.0, "runs", "whole"))
    for claim in (Claim(1.0, "a", "whole"), Claim(2.0, "b", "whole")):
        book.wait(claim)
    again = Claim(3.0, "a", "whole")
    book.leave("runs")
    assert not book.look(again, 1).admitted, "b is older"
    book.wait(again)
    assert book.line() == ["b", "a"]


@given(st.data())
def test_never_over_capacity_and_in_the_order_of_age(data: st.DataObject) -> None:
    gpus = data.draw(st.integers(1, 3), "GPUs")
    names = [f"s{number:02}" for number in range(data.draw(st.integers(1, 24), "sessions"))]
    everyone = {
        name: Claim(float(data.draw(st.integers(0, 4))), name, data.draw(st.sampled_from(sorted(SHARES))))
        for name in names
    }
    book = Book(SHARES.__getitem__)
    for name, leaves in data.draw(st.lists(st.tuples(st.sampled_from(names), st.booleans()), max_size=60), "passes"):
        if leaves:
            book.leave(name)
        else:
            claim, had = everyone[name], book.holds(name)
            older = [everyone[other] for other in book.line() if everyone[other] < claim]
            before, entering = book.held(), [other for other in book.next(gpus) if everyone[other] < claim]
            slot = pass_(book, claim, gpus)
            fits = before + sum(SHARES[one.template] for one in (*older, claim)) <= gpus
            assert slot.admitted == (had or fits), "all who are older fit before it, or it waits"
            assert slot.position == (0 if slot.admitted else len(older) - len(entering) + 1)
        assert book.held() == sum(SHARES[everyone[name].template] for name in names if book.holds(name))
        assert book.held() <= gpus
        assert [everyone[name] for name in book.line()] == sorted(everyone[name] for name in names if book.waits(name))
    # In the end everybody is let in, in this order, as long as those who run come to their ends.
    expected, came = book.line(), []
    while book.waiting():
        for name in book.next(gpus):
            assert pass_(book, everyone[name], gpus).admitted
            came.append(name)
        assert book.held() <= gpus
        running = next((name for name in names if book.holds(name)), None)
        assert running is not None or not book.waiting(), "nobody runs and somebody waits"
        if running is not None:
            book.leave(running)
    assert came == expected


def test_a_refusal_says_how_many_of_what_and_where_one_stands() -> None:
    plain = Template("desktop", "t", 1, "i", sessions_per_gpu=8)
    assert refusal(plain, None) is None
    assert refusal(plain, SlotFact(True, gpus=1, taken=8, places=8)) is None
    said = "8 of 8 sessions on 1 GPU (template desktop: 8 per GPU); position 2 of 3"
    assert refusal(plain, FULL) == Blocked(Reason.CAPACITY_REACHED, said, queue=Queue(2, 3))
    proven = replace(plain, evidence=Evidence("r-1", "", "", 0.0, 0.0, lab=False))
    found = refusal(proven, SlotFact(False, gpus=2, taken=15, places=16, position=2, waiting=2))
    assert found is not None
    assert found.message == "15 of 16 sessions on 2 GPUs (template desktop: 8 per GPU by run r-1); position 2 of 2"


def counted(**spec: Any) -> tuple[Cluster, Operator]:
    """A session of a template with a capacity."""
    cluster, operator = begun(**spec)
    cluster.template = template(capacity={"sessionsPerGPU": 8})
    return cluster, operator


def adds_up(status: Object) -> bool:
    return sum(micro(seconds) for seconds in status["phases"].values()) == micro(status["readyInSeconds"])


def test_who_finds_no_place_waits_and_is_no_failure() -> None:
    cluster, operator = counted()
    cluster.faults.full = True
    decision = settled(operator)
    said = "8 of 8 sessions on 1 GPU (template cad: 8 per GPU); position 2 of 3"
    assert {(one["type"], one["status"], one["reason"]) for one in decision.status["conditions"]} == {
        *((kind, "False", "CapacityReached") for kind in ("Admitted", "Scheduled", "PodReady", "RouteReady")),
        *((kind, "False", "CapacityReached") for kind in ("StreamReady", "TemplateDrifted", "Ready")),
        ("HomeBound", "False", "Pending"),
        ("HardwareEncoding", "Unknown", "CapacityReached"),
    }
    assert decision.status["conditions"][0]["message"] == said
    assert (decision.objects, decision.absent, cluster.objects) == ((), (), {})
    assert (decision.place, decision.look_again_seconds) == (Place.WAITING, 30.0)
    assert decision.status["queue"] == {"position": 2, "waiting": 3}
    assert [(one.reason, one.message, one.warning) for one in operator.notices] == [("CapacityReached", said, False)]
    assert operator.failures == []


@pytest.mark.parametrize(("waiting", "again"), [(1500, 30.0), (3000, 60.0), (5000, 100.0)])
def test_in_a_long_line_nobody_looks_more_often_than_positions_are_told(waiting: int, again: float) -> None:
    _, operator = begun()
    session, made_from, world = operator.look()
    long = replace(FULL, position=waiting, waiting=waiting)
    assert desired(session, made_from, replace(world, slot=long)).look_again_seconds == again
    assert waiting / again <= TOLD_RATE


def test_waiting_for_a_place_is_not_counted_and_is_in_the_phases() -> None:
    cluster, operator = counted()
    cluster.faults.full = True
    settled(operator)
    cluster.now += 86_400
    assert ready(settled(operator).status) == ("False", "CapacityReached")
    cluster.faults.full = False
    first = operator.pass_()
    assert first is not None
    assert first.place is Place.HELD
    assert first.look_again_seconds == pytest.approx(60.0), "the deadline begins now"
    status = settled(operator).status
    assert ready(status) == ("True", "Published")
    assert "queue" not in status
    assert status["phases"]["accepted"] > 86_400
    assert adds_up(status)


def test_a_desktop_that_runs_is_not_ended_for_capacity() -> None:
    cluster, operator = counted()
    assert ready(settled(operator).status) == ("True", "Published")
    cluster.faults.full = True
    decision = settled(operator.restarted())
    assert ready(decision.status) == ("True", "Published")
    assert decision.place is Place.HELD
    session, made_from, world = operator.look()
    told = desired(session, made_from, replace(world, slot=FULL))
    assert reason(told.status, "Admitted") == ("False", "CapacityReached")
    assert ready(told.status) == ("True", "Published")
    assert told.absent == ()


def test_between_two_desktops_of_a_start_a_place_is_kept() -> None:
    cluster, operator = counted()
    settled(operator)
    cluster.faults.full = True
    cluster.crash(copy.deepcopy(ENDED))
    between = operator.pass_()
    assert between is not None
    assert (ready(between.status), between.place) == (("False", "Restarting"), Place.HELD)
    assert ready(settled(operator).status) == ("True", "Published")


def test_a_process_that_knows_of_no_place_gives_none_for_a_pod_that_ended() -> None:
    cluster, operator = counted()
    settled(operator)
    uid = cluster.objects[POD]["metadata"]["uid"]
    cluster.faults.full = True
    cluster.crash(copy.deepcopy(ENDED))
    fresh = operator.restarted()
    assert ready(settled(fresh).status) == ("False", "CapacityReached")
    cluster.faults.full = False
    status = settled(fresh).status
    assert ready(status) == ("True", "Published")
    assert cluster.objects[POD]["metadata"]["uid"] != uid
    assert adds_up(status)


def test_what_was_given_up_holds_nothing_and_stands_in_no_line() -> None:
    cluster, operator = counted()
    cluster.faults.no_image = True
    decision = settled(operator)
    assert (ready(decision.status), decision.place) == (("False", "ImageUnavailable"), Place.NONE)
    cluster.faults.full = True
    decision = settled(operator)
    assert (ready(decision.status), decision.place) == (("False", "ImageUnavailable"), Place.NONE)
    cluster.now += 3600
    wished = cluster.now
    cluster.edit_session(lifetime="24h")  # another wish
    decision = settled(operator)
    assert (ready(decision.status), decision.place) == (("False", "CapacityReached"), Place.WAITING)
    cluster.faults.full = cluster.faults.no_image = False
    status = settled(operator).status
    assert ready(status) == ("True", "Published")
    assert status["readyInSeconds"] <= cluster.now - wished
    assert adds_up(status)


def test_who_rests_wants_no_place() -> None:
    cluster, operator = counted()
    settled(operator)
    cluster.edit_session(operatingMode="Suspended")
    assert settled(operator).place is Place.NONE
    cluster.faults.full = True
    cluster.edit_session(operatingMode="Running")
    assert (settled(operator).place, ready(settled(operator).status)) == (
        Place.WAITING,
        ("False", "CapacityReached"),
    )


def test_what_keeps_a_session_out_anyway_is_said_first() -> None:
    cluster, operator = counted()
    cluster.faults.full = cluster.faults.no_relay = True
    decision = settled(operator)
    assert (ready(decision.status), decision.place) == (("False", "NoRelay"), Place.NONE)


def test_where_nobody_knows_the_gpus_it_is_said() -> None:
    _, operator = counted()
    session, made_from, world = operator.look()
    decision = desired(session, made_from, replace(world, slot=SlotFact(True)))
    assert reason(decision.status, "Admitted") == ("True", "Accepted")
    assert decision.status["conditions"][0]["message"] == UNCOUNTED
    assert decision.place is Place.HELD


def test_without_a_capacity_nobody_counts() -> None:
    cluster, operator = begun()
    cluster.faults.full = True
    assert (operator.pass_() or Decision()).place is Place.NONE
    assert ready(settled(operator).status) == ("True", "Published")
