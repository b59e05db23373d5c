"""Which level comes next: the search ends, encloses the knee, forgives outliers, and can be taken up again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vdibench.analysis import IntegerSearch, Search, SequentialTest, Sweep, Trial

CLEAR = 0.6
PATIENT = settings(deadline=None, max_examples=60)  # a loaded machine is slow and not wrong


def outcome(level: int, number: int, margin: float) -> Trial:
    return Trial(number, level if margin >= 0 else 0, level, margin=margin)


def run(search: Search, margin: Callable[[int, int], float]) -> list[int]:
    """Search to the end; returns the levels of the trials in order."""
    course: list[int] = []
    while (level := search.next()) is not None:
        assert len(course) < 5000, "a search must end"
        search.add(level, outcome(level, search.trials(level), margin(level, search.trials(level))))
        course.append(level)
    return course


def step(knee: int) -> Callable[[int, int], float]:
    return lambda level, _: CLEAR if level <= knee else -CLEAR


def bounds(search: Search) -> tuple[int, int | None] | None:
    found = search.knee()
    return None if found is None else (found.lower, found.upper)


def test_doubles_then_bisects_then_confirms_the_bounds() -> None:
    search = IntegerSearch(16)
    assert run(search, step(5)) == [1, 2, 4, 8, 6, 5, 6, 5, 5]
    assert bounds(search) == (5, 5)


@PATIENT
@given(st.integers(1, 300).flatmap(lambda largest: st.tuples(st.just(largest), st.integers(0, largest))))
def test_a_clear_knee_is_pinned_with_one_trial_a_level_but_the_bounds(given_: tuple[int, int]) -> None:
    largest, knee = given_
    search = IntegerSearch(largest)
    course = run(search, step(knee))
    assert bounds(search) == (knee, None if knee == largest else knee)
    assert len(course) <= 2 * largest.bit_length() + 4
    assert all(course.count(level) == 1 for level in course if level not in (knee, knee + 1))
    assert course.count(knee) in (0, 3)
    assert course.count(knee + 1) in (0, 2)


@PATIENT
@given(st.integers(1, 40), st.lists(st.floats(-1, 1), min_size=1, max_size=40), st.integers(1, 40))
def test_whatever_trials_show_the_search_ends_and_its_bounds_hold_together(
    largest: int, margins: list[float], start: int
) -> None:
    search = IntegerSearch(largest, min(start, largest))
    course = run(search, lambda level, number: margins[(7 * level + number) % len(margins)])
    assert len(course) <= largest * search.rule.most_trials
    found = search.knee()
    if found is not None:
        good = {level.level for level in found.levels if level.good is True}
        bad = {level.level for level in found.levels if level.good is False}
        assert found.lower in good | {0}
        assert found.upper is None or found.upper + 1 in bad
        assert found.upper is None or found.lower <= found.upper
        assert set(found.contradicting) == {level for level in good if found.upper is not None and level > found.upper}


@PATIENT
@given(st.lists(st.floats(-1, 1), min_size=3, max_size=40), st.randoms(use_true_random=False), st.integers(0, 60))
def test_a_search_that_was_cut_off_goes_on_where_it_was(margins: list[float], random, cut: int) -> None:
    def margin(level: int, number: int) -> float:
        return margins[(5 * level + number) % len(margins)]

    whole, first = IntegerSearch(12), IntegerSearch(12)
    course = run(whole, margin)
    for level in course[:cut]:
        first.add(level, outcome(level, first.trials(level), margin(level, first.trials(level))))
    stored = first.knee()
    second = IntegerSearch(12)
    if stored is not None:
        levels = list(stored.levels)
        random.shuffle(levels)
        second.resume(levels)
        assert second.next() == first.next()
        assert run(second, margin) == course[cut:]
        assert second.knee() == whole.knee()


def test_an_outlier_on_the_way_up_is_tried_again_and_not_believed() -> None:
    search = IntegerSearch(16)
    course = run(search, lambda level, number: -1.0 if (level, number) == (4, 0) else step(9)(level, number))
    assert bounds(search) == (9, 9)
    assert course.count(4) > 1


def test_an_outlier_while_bisecting_is_not_believed_either() -> None:
    search = IntegerSearch(16)
    run(search, lambda level, number: -1.0 if (level, number) == (12, 0) else step(13)(level, number))
    assert bounds(search) == (13, 13)


def test_a_level_that_is_too_close_leaves_the_bounds_open_around_it() -> None:
    search = IntegerSearch(8)
    run(search, lambda level, number: CLEAR if level < 5 else -CLEAR if level > 5 else (0.03, -0.03)[number % 2])
    assert bounds(search) == (4, 5)
    known = {level.level: level for level in search.knee().levels}
    assert known[5].good is None
    assert len(known[5].trials) == search.rule.most_trials
    assert "too close" in known[5].decision.reason


def test_a_smallest_level_that_is_bad_is_a_knee_of_zero() -> None:
    search = IntegerSearch(8)
    assert run(search, step(0)) == [1, 1]
    assert bounds(search) == (0, 0)
    later = IntegerSearch(8, start=4)
    run(later, step(0))
    assert bounds(later) == (0, 0)


def test_good_levels_above_a_bad_one_are_reported_and_not_believed() -> None:
    search = IntegerSearch(8)
    for level, margin in (*[(1, CLEAR)] * 3, (2, -CLEAR), (2, -CLEAR), *[(4, CLEAR)] * 3):
        search.add(level, outcome(level, search.trials(level), margin))
    found = search.knee()
    assert (found.lower, found.upper, found.contradicting) == (1, 1, (4,))
    assert search.next() is None


def test_bounds_that_are_close_enough_end_a_large_search() -> None:
    exact, coarse = IntegerSearch(256), IntegerSearch(256, resolution=0.1)
    assert len(run(coarse, step(100))) < len(run(exact, step(100)))
    low, high = bounds(coarse)
    assert low <= 100 <= high < low * 1.1


def test_a_budget_ends_a_search() -> None:
    search = IntegerSearch(16, most_trials=3)
    assert run(search, step(16)) == [1, 2, 4]
    assert bounds(search) is None, "none was confirmed"


def test_numbers_alone_will_do() -> None:
    search = IntegerSearch(4)
    while (level := search.next()) is not None:
        search.observe(level, good=level if level < 3 else 0, sessions=level, margin=CLEAR if level < 3 else -CLEAR)
    assert bounds(search) == (2, 2)
    search = IntegerSearch(2)
    search.observe(1, good=0, sessions=0)
    assert search.knee() is None
    assert search.next() == 1


def test_trials_that_measure_nothing_end_too() -> None:
    search = IntegerSearch(4)
    while (level := search.next()) is not None:
        search.observe(level, good=0, sessions=0)
    assert search.knee() is None


def test_a_trial_that_measures_nothing_is_made_again_and_takes_none_away() -> None:
    search = IntegerSearch(4, rule=SequentialTest(most_trials=3))
    while (level := search.next()) is not None:
        known = search.trials(level) not in (0, 2)
        good = level if known and level <= 2 else 0
        search.observe(level, good=good, sessions=level * known, margin=(CLEAR if good else -CLEAR) if known else None)
    assert bounds(search) == (2, 2)


def test_what_makes_no_sense_is_refused() -> None:
    search = IntegerSearch(4)
    for wrong in (0, 5):
        with pytest.raises(ValueError, match="not among"):
            search.observe(wrong, good=1, sessions=1)
    with pytest.raises(ValueError, match="3 good of 2"):
        search.observe(2, good=3, sessions=2)
    for largest, start in ((0, 1), (4, 5), (4, 0)):
        with pytest.raises(ValueError, match="level"):
            IntegerSearch(largest, start)
    with pytest.raises(ValueError, match="at least 1"):
        Sweep(4, 0)


def test_a_sweep_stops_above_the_first_bad_level_unless_told_otherwise() -> None:
    search = Sweep(8, trials=2)
    assert run(search, step(2)) == [1, 1, 2, 2, 3, 3]
    assert bounds(search) == (2, 2)
    whole = Sweep(4, trials=2, all_levels=True)
    assert run(whole, step(2)) == [1, 1, 2, 2, 3, 3, 4, 4]
    assert bounds(whole) == (2, 2)
    none_bad = Sweep(3, trials=1, start=2)
    assert run(none_bad, step(8)) == [2, 3]
    assert bounds(none_bad) == (3, None)
