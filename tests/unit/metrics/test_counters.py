"""Rates and loss from counters, and what becomes of them when a connection begins anew."""

from __future__ import annotations

import pytest

from vdibench.metrics import values


def _readings(*rows, **changes):
    names = ("unix_seconds", "packets_received", "packets_lost", "bytes_received", "audio_packets_received")
    return [{**dict(zip(names, row, strict=True)), **changes} for row in rows]


def test_rates_are_between_readings(tables) -> None:
    made = tables(network=_readings((1e9, 0, 0, 0, 0), (1e9 + 1, 100, 0, 1000, 50), (1e9 + 3, 300, 0, 2000, 150)))
    assert values("bitrate_bits_per_second", made, suite="s").tolist() == [8000.0, 4000.0]
    assert values("audio_packets_per_second", made, suite="s").tolist() == [50.0, 50.0]
    assert values("bitrate_bits_per_second", made, suite="s").index.tolist() == [1e9 + 1, 1e9 + 3]


def test_loss_is_of_all_that_was_sent_in_the_window(tables) -> None:
    made = tables(network=_readings((1e9, 1000, 500, 0, 0), (1e9 + 1, 1080, 510, 0, 0), (1e9 + 2, 1090, 510, 0, 0)))
    assert values("packets_lost_ratio", made, suite="s").tolist() == [pytest.approx(0.1)]


def test_a_counter_that_fell_is_a_new_connection(tables) -> None:
    made = tables(
        network=_readings(
            (1e9, 1000, 0, 5000, 10), (1e9 + 1, 1090, 10, 6000, 20), (1e9 + 2, 5, 0, 50, 0), (1e9 + 3, 105, 0, 150, 10)
        )
    )
    assert values("bitrate_bits_per_second", made, suite="s").tolist() == [8000.0, 800.0]
    assert values("packets_lost_ratio", made, suite="s").tolist() == [pytest.approx(10 / 200)]


def test_sessions_have_counters_of_their_own(tables) -> None:
    rows = _readings((1e9, 0, 0, 0, 0), (1e9 + 1, 10, 0, 10, 0)) + _readings(
        (1e9, 900, 0, 9000, 0), (1e9 + 1, 950, 50, 9010, 0), session="desktop-1"
    )
    made = tables(network=rows)
    assert values("bitrate_bits_per_second", made, suite="s").tolist() == [80.0, 80.0]
    assert values("packets_lost_ratio", made, suite="s").tolist() == [0.0, 0.5]
