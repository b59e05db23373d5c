"""How fast sessions were seen to start: bursts, and what a login peak is against the largest of them."""

from __future__ import annotations

import pytest

from vdibench.analysis.logins import Burst, Standing, check_logins, largest_burst


def _starts(level: int, ready: list[float | None], *, trial: int = 0, every: float = 0.0, phase: str = "warmup"):
    """One session a value, which is how long it took to its first frame; None: it never had one."""
    rows = []
    for number, seconds in enumerate(ready):
        place = {"level": level, "trial": trial, "phase": phase, "session": f"desktop-{number}"}
        begun = 1e9 + 1000 * level + number * every
        rows.append({**place, "event": "started", "unix_seconds": begun})
        if seconds is not None:
            rows.append({**place, "event": "first_frame", "unix_seconds": begun + seconds})
        else:
            rows.append({**place, "event": "failed", "unix_seconds": begun + 5})
    return rows


def _burst(tables, rows, most_sessions: int = 100) -> Burst | None:
    return largest_burst(tables(milestones=rows)["milestones"], most_sessions)


def test_the_largest_burst_counts_and_of_equal_ones_the_slowest(tables) -> None:
    rows = _starts(1, [0.1]) + _starts(4, [1.0, 1.2, 0.9, 1.5]) + _starts(4, [1.0, 2.0, 1.0, 1.0], trial=1)
    assert _burst(tables, rows) == Burst(4, pytest.approx(2.0), pytest.approx(2.0))


def test_a_storm_lasts_from_its_first_start_to_its_last_picture(tables) -> None:
    found = _burst(tables, _starts(10, [0.5] * 10, every=0.25))
    assert found == Burst(10, pytest.approx(2.75), pytest.approx(0.5))


def test_a_short_burst_is_no_more_logins_a_minute_than_were_seen() -> None:
    assert Burst(8, 2.0, 1.0).per_minute == 8
    assert Burst(8, 60.0, 1.0).per_minute == 8
    assert Burst(100, 120.0, 1.0).per_minute == 50


def test_a_burst_above_the_knee_says_nothing(tables) -> None:
    rows = _starts(2, [0.5, 0.6]) + _starts(3, [0.5, 0.6, 0.7])
    assert _burst(tables, rows, 2) == Burst(2, pytest.approx(0.6), pytest.approx(0.6))
    assert _burst(tables, rows, 3).sessions == 3
    assert _burst(tables, rows, 1) is None


def test_a_burst_of_which_one_session_showed_nothing_is_none(tables) -> None:
    assert _burst(tables, _starts(2, [0.5, 0.6]) + _starts(3, [0.5, 0.6, None])).sessions == 2
    assert _burst(tables, _starts(3, [0.5, 0.6, None])) is None


def test_a_session_that_fails_after_its_first_picture_did_start(tables) -> None:
    later = {"level": 2, "phase": "steady", "session": "desktop-1", "event": "failed", "unix_seconds": 1e9 + 2030}
    assert _burst(tables, [*_starts(2, [0.5, 0.6]), later]).sessions == 2


def test_probes_and_second_starts_are_no_logins(tables) -> None:
    again = [{**row, "unix_seconds": row["unix_seconds"] + 60} for row in _starts(2, [0.5, None])]
    found = _burst(tables, _starts(2, [0.5, 0.7]) + again + _starts(8, [0.1] * 8, phase="probe"))
    assert found == Burst(2, pytest.approx(0.7), pytest.approx(0.7))
    assert _burst(tables, []) is None


BURST = Burst(120, 60.0, 2.0)  # 120 logins a minute


@pytest.mark.parametrize(
    ("per_minute", "carriers", "takes", "standing"),
    [
        (240.0, 2, 2, Standing.WITHIN),
        (240.1, 2, 3, Standing.BEYOND),
        (0.0, 5, 0, Standing.WITHIN),
        (1.0, 5, 1, Standing.WITHIN),
    ],
)
def test_a_peak_is_within_or_beyond(per_minute, carriers, takes, standing) -> None:
    found = check_logins(per_minute, stated=True, measured=BURST, carriers=carriers)
    assert (found.carriers, found.standing) == (takes, standing)
    assert found.each_per_minute == pytest.approx(per_minute / carriers)


def test_without_a_peak_or_without_a_measurement_there_is_no_data() -> None:
    assert check_logins(None, stated=False, measured=BURST, carriers=2).standing is Standing.NO_DATA
    unmeasured = check_logins(60.0, stated=True, measured=None, carriers=2)
    assert (unmeasured.standing, unmeasured.carriers, unmeasured.each_per_minute) == (Standing.NO_DATA, None, 30.0)
    assert check_logins(0.0, stated=True, measured=None, carriers=0).each_per_minute == 0.0
