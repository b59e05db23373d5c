"""The order in which places are given: priority, fairness by user, and that nobody waits for ever, in simulated queues.

A simulated queue is the ledger itself with sessions that come and end as a seeded generator says.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdi_operator.core.line import LEAST, MOST, Claim, Line
from vdi_operator.core.slots import Book

SHARES = {"whole": Fraction(1), "half": Fraction(1, 2), "third": Fraction(1, 3), "eighth": Fraction(1, 8)}
FLOOD = 500


def claim(created: float, name: str, user: str, *, priority: int = 0, template: str = "eighth") -> Claim:
    return Claim(created, name, template, user, priority)


def line(*claims: Claim) -> Line:
    made = Line()
    for one in claims:
        made.add(one)
    return made


def names(claims: Iterable[Claim]) -> list[str]:
    return [one.name for one in claims]


def test_users_take_turns_and_the_older_one_of_equals_is_first() -> None:
    found = line(
        claim(0, "a1", "alice"),
        claim(1, "a2", "alice"),
        claim(2, "a3", "alice"),
        claim(3, "b1", "bob"),
        claim(4, "b2", "bob"),
        claim(5, "c1", "carol"),
    )
    assert found.names() == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert [found.index(name) for name in found.names()] == [0, 1, 2, 3, 4, 5]
    assert names(found.order()) == found.names()


def test_what_a_user_has_counts_as_before_what_the_user_waits_for() -> None:
    found = line(claim(0, "a2", "alice"), claim(9, "b1", "bob"))
    found.take(claim(0, "a1", "alice"))
    assert found.names() == ["b1", "a2"]
    found.give_back("alice")
    assert found.names() == ["b1", "a2"], "alice had a place while bob waited, so bob is first all the same"
    found.remove("b1")
    found.remove("a2")
    found.add(claim(10, "b2", "bob"))
    found.add(claim(0, "a3", "alice"))
    assert found.names() == ["a3", "b2"], "where nobody waited, nothing is remembered"


def test_higher_priorities_are_first_among_a_users_own_too() -> None:
    found = line(
        claim(0, "a1", "alice"),
        claim(1, "b1", "bob", priority=5),
        claim(2, "b2", "bob", priority=5),
        claim(3, "a2", "alice", priority=5),
        claim(4, "low", "carol", priority=-1),
    )
    assert found.names() == ["b1", "a2", "b2", "a1", "low"]


def test_who_leaves_lets_the_users_others_move_up() -> None:
    found = line(claim(0, "a1", "alice"), claim(1, "a2", "alice"), claim(2, "b1", "bob"))
    assert found.remove("a1")
    assert not found.remove("a1")
    assert found.names() == ["a2", "b1"]
    assert ("a1" in found, "a2" in found, len(found), dict(found.templates)) == (False, True, 2, {"eighth": 2})


def test_one_user_of_one_place_does_not_come_again_and_again() -> None:
    """Each of the flood's sessions is older than bob's, and at each end the flood has nothing."""
    found = line(*(claim(number, f"a{number:03}", "alice") for number in range(FLOOD)), claim(FLOOD, "b", "bob"))
    given = []
    while "b" in found:
        first = next(found.order())
        found.take(first)
        found.give_back(first.user)
        given.append(first.name)
    assert given == ["a000", "b"]


def test_after_a_round_the_oldest_is_next_whoever_it_is() -> None:
    found = line(claim(0, "old", "carol", priority=-5))
    given = []
    for number in range(3 * (LEAST + 1)):
        found.add(claim(1 + number, f"n{number:02}", f"user-{number}", priority=5))
        first = next(found.order())
        assert (found.index("old") == 0) == (len(given) == LEAST)
        assert found.names()[0] == first.name
        if first.name == "old":
            break
        found.take(first)
        given.append(first.name)
    assert given == [f"n{number:02}" for number in range(LEAST)]
    assert found.before("old", "n08")


def test_where_the_oldest_is_always_next_nobody_is_passed() -> None:
    """Of users with one session each it is first come, first served."""
    found, came = line(*(claim(number, f"s{number:03}", f"u{number}") for number in range(100))), []
    while len(found):
        assert names(found.order()) == found.names() == sorted(found.names())
        first = next(found.order())
        found.take(first)
        came.append(first.name)
    assert came == sorted(came)


def standing(claims: dict[str, Claim], has: Counter[str]) -> list[str]:
    """The rules in short, with nothing remembered: a sort of all."""
    keys = {}
    for user in {one.user for one in claims.values()}:
        own = sorted((one for one in claims.values() if one.user == user), key=lambda one: (-one.priority, one))
        for index, one in enumerate(own):
            keys[one.name] = (-one.priority, has[user] + index, one.created_unix_seconds, one.name)
    return sorted(claims, key=keys.__getitem__)


@given(st.data())
def test_it_stands_as_a_sort_of_all_would_have_it(data: st.DataObject) -> None:
    """Entering, leaving and giving back, each moving only what it must. Nobody gets a place while others wait."""
    found, there, has = Line(), dict[str, Claim](), Counter[str]()
    users = ["alice", "bob", "carol"]
    for user in data.draw(st.lists(st.sampled_from(users), max_size=6), "places that are had before anybody waits"):
        found.take(claim(0, f"has-{has.total()}", user))
        has[user] += 1
    for number in range(data.draw(st.integers(0, 30), "events")):
        what = data.draw(st.sampled_from(["enters", "enters", "leaves", "gives back"]))
        if what == "enters":
            user, created = data.draw(st.sampled_from(users)), float(data.draw(st.integers(0, 5)))
            one = claim(created, f"s{number:02}", user, priority=data.draw(st.integers(0, 2)))
            found.add(one)
            there[one.name] = one
        elif what == "leaves" and there:
            name = data.draw(st.sampled_from(sorted(there)))
            assert found.remove(name)
            del there[name]
        elif what == "gives back" and has.total():
            user = data.draw(st.sampled_from(sorted(has.elements())))
            found.give_back(user)
            has[user] -= 1
        wanted = standing(there, has)
        assert found.names() == wanted
        assert [found.index(name) for name in wanted] == list(range(len(wanted)))
        assert found.templates.total() == len(found) == len(there)


def test_many_of_a_user_move_as_few_do() -> None:
    flood = {f"a{number:03}": claim(number, f"a{number:03}", "alice") for number in range(FLOOD)}
    others = {f"b{number:03}": claim(number + 0.5, f"b{number:03}", f"u{number % 50}") for number in range(200)}
    found, has = line(*flood.values(), *others.values()), Counter[str]()
    assert found.names() == standing(flood | others, has)
    found.remove("a000")
    del flood["a000"]
    assert found.names() == standing(flood | others, has)


class Simulated:
    """A queue: who waits, who runs, and how many have got a place."""

    def __init__(self, gpus: int, seed: int) -> None:
        self.chance = random.Random(seed)
        self.gpus = gpus
        self.book = Book(SHARES.__getitem__)
        self.claims: dict[str, Claim] = {}
        self.running: list[str] = []
        # In this order.
        self.given: list[str] = []
        self.now = 0.0

    def come(self, user: str, *, priority: int = 0, template: str = "eighth") -> str:
        self.now += 1.0
        one = claim(self.now, f"s{len(self.claims):05}", user, priority=priority, template=template)
        self.claims[one.name] = one
        self.book.wait(one)
        return one.name

    def admit(self) -> None:
        """Whoever may have a place gets it, one after the other, as their passes come."""
        while entering := self.book.next(self.gpus):
            name = entering[0]
            assert self.book.look(self.claims[name], self.gpus).admitted
            self.book.hold(self.claims[name])
            self.running.append(name)
            self.given.append(name)
            assert self.book.held() <= self.gpus

    def end(self, name: str = "") -> None:
        """A session ends: this one, or any."""
        name = name or self.chance.choice(self.running)
        self.running.remove(name)
        self.book.leave(name)


def starving(seed: int) -> Simulated:
    """A queue in which somebody comes whenever somebody goes, and mostly would be before all that were there."""
    found = Simulated(gpus=1 + seed % 3, seed=seed)
    chance = found.chance
    sizes = sorted(SHARES) if seed % 2 else ["eighth"]
    for _ in range(chance.randint(2, 6)):
        user, template = chance.choice(["alice", "bob"]), chance.choice(sizes)
        found.come(user, priority=chance.choice([-1, 0]), template=template)
    first, most = set(found.claims), LEAST
    number = 0
    while first - set(found.given):
        found.admit()
        for _ in range(chance.randint(1, 2)):
            number += 1
            user = "flood" if chance.random() < 0.3 else f"new-{number}"
            found.come(user, priority=chance.choice([0, 0, 9]), template=chance.choice(sizes))
        waiting = {found.claims[name].user for name in found.book.line()}
        most = max(most, min(len(waiting), MOST))
        for older, name in enumerate(sorted(first)):
            if name not in found.given:
                assert len(found.given) <= (older + 1) * (most + 1), f"{name} starves"
        if found.running:
            found.end()
    return found


@pytest.mark.parametrize("seeds", [range(start, start + 250) for start in range(0, 1000, 250)], ids=str)
def test_nobody_starves_in_a_thousand_queues(seeds: range) -> None:
    passed = 0
    for seed in seeds:
        found = starving(seed)
        passed += found.given != sorted(found.given)
    assert passed > len(seeds) / 2, "in most of them somebody was passed, else this shows nothing"


def delays(seed: int) -> list[int]:
    """Of each user's first session beside a flood: how many places the flood had while it waited."""
    found = Simulated(gpus=1 + seed % 2, seed=seed)
    for _ in range(FLOOD):
        found.come("flood")
    found.admit()
    users = 1 + seed % 40
    comes = sorted(found.chance.randint(0, 30) for _ in range(users))
    since: dict[str, int] = {}
    for ends in range(FLOOD):
        for number in range(users):
            if comes[number] == ends:
                since[found.come(f"user-{number}")] = len(found.given)
        # The one that runs longest ends, the last one, or any.
        found.end(("", found.running[0], found.running[-1])[seed % 3])
        found.admit()
        if len(since) == users and set(since) <= set(found.given):
            break
    else:
        raise AssertionError(f"{set(since) - set(found.given)} never had a place")
    return [
        sum(found.claims[one].user == "flood" for one in found.given[at : found.given.index(name)])
        for name, at in since.items()
    ]


@pytest.mark.parametrize("seeds", [range(start, start + 50) for start in range(0, 200, 50)], ids=str)
def test_a_flood_delays_nobodys_first_session_by_more_than_one_place(seeds: range) -> None:
    """At each end of a session one place is given, so a place is a release."""
    worst = Counter(max(delays(seed)) for seed in seeds)
    assert max(worst) == 1, worst


def test_three_thousand_wait_and_an_event_moves_few() -> None:
    """What an event costs, in keys that are made anew; no clock."""
    found = line(*(claim(number, f"s{number:04}", f"u{number % 1500}") for number in range(3000)))
    before = dict(found._keys)
    found.take(next(found.order()))
    found.add(claim(3000, "s3000", "u7"))
    found.remove("s0009")
    after = found._keys
    changed = {name for name in after if before.get(name) is not after[name]}
    assert changed == {"s1500", "s3000", "s1509"}, "the second ones of the two users, and the new one"
