"""Which sound belongs to which picture, found by the random intervals alone."""

from __future__ import annotations

import numpy as np
import pytest

from vdibench.client.marker import Marker
from vdibench.client.synchronisation import SynchronisationProbe, pair_clicks


def clicks(count: int, seed: int = 0) -> np.ndarray:
    return 1000 + np.cumsum(np.random.default_rng(seed).uniform(0.7, 1.3, count))


@pytest.mark.parametrize("offset", [-0.9, -0.3, -0.01, 0.0, 0.04, 0.125, 0.5, 0.95])
@pytest.mark.parametrize("seed", range(5))
def test_the_offset_is_found_also_beyond_half_an_interval(offset: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    seen = clicks(8, seed)
    heard = seen + offset + rng.uniform(-0.01, 0.01, len(seen))
    pairs = pair_clicks(list(seen), list(heard))
    assert len(pairs) == 8
    assert np.median([pair.offset_seconds for pair in pairs]) == pytest.approx(offset, abs=0.01)


def test_lost_and_foreign_clicks_do_not_shift_it() -> None:
    seen = clicks(10)
    heard = sorted([*(np.delete(seen, [2, 7]) + 0.08), seen[0] + 0.41, seen[5] + 0.33])
    pairs = pair_clicks(list(np.delete(seen, 4)), heard)
    assert len(pairs) == 7
    assert [pair.offset_seconds for pair in pairs] == pytest.approx([0.08] * 7)


@pytest.mark.parametrize(
    ("seen", "heard"),
    [
        ([], []),
        ([1.0, 2.1], [1.0, 2.1]),
        (list(clicks(8, 1)), list(clicks(8, 2) + 20)),
        (list(clicks(8, 1)), []),
        (list(np.arange(8.0)), list(np.arange(8.0) + 0.5)),
    ],
    ids=["nothing", "too few", "at other times", "unheard", "even intervals fit twice"],
)
def test_what_does_not_fit_gives_no_pair(seen: list[float], heard: list[float]) -> None:
    assert pair_clicks(seen, heard) == []


def test_sequences_that_have_nothing_to_do_with_each_other_hardly_ever_fit() -> None:
    found = sum(bool(pair_clicks(list(clicks(8, seed)), list(clicks(8, seed + 1000)))) for seed in range(200))
    assert found <= 10


def test_a_change_of_the_patch_is_a_click_seen() -> None:
    probe = SynchronisationProbe()
    for index, lit in enumerate([True, True, False, False, True]):
        probe.saw(
            Marker(1, 1000.0 + index, key_patch=bool(index % 2), click_patch=False, sync_patch=lit), 2000.0 + index
        )
    result = probe.result()
    assert result.seen == (2002.0, 2004.0)
    assert (result.heard, result.pairs, result.packets) == ((), (), 0)
