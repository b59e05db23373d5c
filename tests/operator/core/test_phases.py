"""Phases of a start: whatever was seen in whatever order, they add up to the whole, to the microsecond."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from vdi_operator.api.reasons import CONDITIONS, ConditionType, Reason
from vdi_operator.api.schema import MILESTONES
from vdi_operator.core.conditions import Condition, State
from vdi_operator.core.instants import micro, moment, number, second, unix
from vdi_operator.core.phases import documents, passed

from .cluster import BEGAN

instants = st.floats(BEGAN - 10, BEGAN + 100_000)


def found(*holds: ConditionType) -> dict[ConditionType, Condition]:
    return {kind: Condition(kind, State.YES if kind in holds else State.NO, Reason.PENDING) for kind in CONDITIONS}


@given(st.dictionaries(st.sampled_from(sorted(MILESTONES)), instants), instants)
def test_phases_add_up(milestones: dict[str, float], begin: float) -> None:
    made = documents(begin, milestones)
    if not milestones:
        assert made == {}
        return
    assert set(made["phases"]) == set(made["milestones"]) == set(milestones)
    assert all(seconds >= 0 for seconds in made["phases"].values())
    whole = sum(micro(seconds) for seconds in made["phases"].values())
    assert ("readyInSeconds" in made) == ("published" in milestones)
    assert whole == micro(made.get("readyInSeconds", number(whole)))
    assert whole == max(0, *(micro(at) - micro(begin) for at in milestones.values()))


@given(instants)
@example(1_800_763_774.6189766)  # half a microsecond, but for the last bits
def test_what_is_written_is_read_and_written_alike(at: float) -> None:
    text = moment(at)
    read = unix(text)
    assert read is not None
    assert abs(read - at) <= 1e-6
    assert micro(read) == micro(at), "else the phases of a status that was read were others"
    assert moment(read) == text
    assert unix(second(at)) == int(at)


def test_numbers_are_as_an_api_server_gives_them_back() -> None:
    assert [repr(number(one)) for one in (0, 2_000_000, 2_750_000)] == ["0", "2", "2.75"]


def test_texts_that_are_no_instant() -> None:
    assert [unix(text) for text in (None, 5, "", "soon", "2027-13-01T00:00:00Z")] == [None] * 5
    assert unix("2027-01-15T08:00:00") == unix("2027-01-15T09:00:00+01:00") == 1_800_000_000.0


def test_the_first_sight_of_a_milestone_counts() -> None:
    before = passed({}, found(ConditionType.ADMITTED), None, 1.0)
    assert before == {"accepted": 1.0}
    later = passed(before, found(ConditionType.ADMITTED, ConditionType.ROUTE_READY), None, 2.0)
    assert later == {"accepted": 1.0, "routed": 2.0}
    assert passed(later, found(), None, 3.0) == later


def test_after_the_last_milestone_none_is_added() -> None:
    done = passed({}, found(ConditionType.ADMITTED, ConditionType.READY), None, 1.0)
    assert passed(done, found(*CONDITIONS), None, 9.0) == done == {"accepted": 1.0, "published": 1.0}
