"""A clock that follows the wall's, and does not jump with it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vdi_operator.api.session import Session
from vdi_operator.cluster.caches import Caches
from vdi_operator.cluster.clock import CATCHING_UP, STEP_SECONDS, SteadyClock
from vdi_operator.cluster.kube import Client
from vdi_operator.cluster.queue import WorkQueue
from vdi_operator.cluster.surroundings import Surroundings
from vdi_operator.settings import Settings

HOUR = 3600.0


class Clocks:
    """Both of a machine, which a test sets."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_800_000_000.0, 50.0
        self.clock = SteadyClock(lambda: self.wall, lambda: self.steady)

    def passes(self, seconds: float) -> float:
        self.wall += seconds
        self.steady += seconds
        return self.clock()


def test_it_is_the_walls() -> None:
    clocks = Clocks()
    assert [clocks.passes(seconds) - clocks.wall for seconds in (0.0, 1.0, 1000.0)] == [0.0, 0.0, 0.0]


def test_what_is_corrected_is_followed_at_once() -> None:
    clocks = Clocks()
    for correction in (0.9, -0.9):
        clocks.wall += correction
        assert clocks.clock() == clocks.wall


def test_a_step_comes_slowly() -> None:
    for step in (HOUR, -HOUR):
        clocks = Clocks()
        before = clocks.clock()
        clocks.wall += step
        assert clocks.clock() == before
        passed = clocks.passes(10.0) - before
        assert passed == 10.0 * (1.0 + (CATCHING_UP if step > 0 else -CATCHING_UP))


async def test_a_pass_knows_both_clocks(client: Client) -> None:
    clocks, settings = Clocks(), Settings()
    before = clocks.clock()
    clocks.wall += 24 * HOUR
    caches = Caches(settings, WorkQueue())
    surroundings = Surroundings(settings, caches, client, clock=clocks.clock, wall=lambda: clocks.wall)
    session = Session("vdi-sessions", "cad-7", "u-1", 1, "alice", "cad")
    world = await surroundings.look(session, surroundings.memory(session))
    assert (world.now, world.wall) == (before, before + 24 * HOUR)


def test_a_step_has_come_some_time() -> None:
    for step in (HOUR, -HOUR):
        clocks = Clocks()
        clocks.wall += step
        clocks.passes(HOUR / CATCHING_UP)
        assert abs(clocks.clock() - clocks.wall) <= STEP_SECONDS
        assert clocks.passes(1.0) == clocks.wall


@given(st.lists(st.tuples(st.floats(0.0, 1e4), st.floats(-1e6, 1e6).filter(lambda step: abs(step) > 2.0)), max_size=20))
def test_it_never_goes_back_by_a_step(turns: list[tuple[float, float]]) -> None:
    clocks = Clocks()
    last = clocks.clock()
    for seconds, step in turns:
        clocks.wall += step
        now = clocks.passes(seconds)
        # Where what is left of the steps is no step any more, it is followed as a correction is.
        assert now >= last - STEP_SECONDS
        assert now <= last + seconds * (1.0 + CATCHING_UP) + STEP_SECONDS + 1e-3
        last = now
