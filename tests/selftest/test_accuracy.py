"""A real desktop behind a real relay: what is injected is found, and a relay that says another thing is found out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from vdibench.links import DIRECT, LinkProfile, Relay, RelayRoute
from vdibench.records import Accuracy, Desktop
from vdibench.selftest import QUICK
from vdibench.selftest.accuracy import measure_accuracy
from vdibench.selkies import Dialect

DIALECT = Dialect.SELKIES_2_WEBRTC
# Short, and without a second try: what is tested here does not hang on a quiet machine.
SHORT = dataclasses.replace(
    QUICK, delays=(0.04,), window_seconds=1.5, freezes=0, loss_seconds=0.0, repeats=0, settle_seconds=0.2
)


class Liar:
    """A route whose relay holds packets 40 ms longer than it was told, whenever it was told to hold them."""

    def __init__(self, route: RelayRoute) -> None:
        self._route = route

    def __getattr__(self, name: str) -> Any:
        return getattr(self._route, name)

    def set_profile(self, profile: LinkProfile) -> None:
        if profile.down.delay_seconds:
            longer = dataclasses.replace(profile.down, delay_seconds=profile.down.delay_seconds + 0.04)
            profile = dataclasses.replace(profile, down=longer)
        self._route.set_profile(profile)


@pytest.fixture
def route() -> Iterator[RelayRoute]:
    with Relay() as relay:
        yield relay.route(DIRECT, seed=1)


def by_metric(rows: tuple[Accuracy, ...]) -> dict[str, Accuracy]:
    return {row.metric: row for row in rows}


async def test_what_is_injected_is_found(desktop: Desktop, route: RelayRoute) -> None:
    plan = dataclasses.replace(
        SHORT,
        presses=10,
        window_seconds=2.5,
        freezes=2,
        freeze_period_seconds=1.0,
        loss_ratio=0.05,
        loss_seconds=1.5,
    )
    said: list[str] = []
    found = by_metric((await measure_accuracy(desktop, DIALECT, route, plan, 2.0, said.append)).rows)
    for metric in ("capture_to_arrival_seconds", "glass_to_glass_seconds"):
        # The bound holds on a quiet machine; tests share theirs.
        assert found[metric].measured == pytest.approx(0.04, abs=0.015), metric
        assert found[metric].samples > 20
    assert found["freezes"].measured == 2
    assert found["freeze_duration_seconds"].measured == pytest.approx(0.6, rel=0.2)
    assert found["packets_lost"].injected > 5
    assert found["packets_lost"].ok is True
    assert found["input_to_photon_seconds"].injected == pytest.approx(0.08), "held on both ways"
    assert found["input_to_photon_seconds"].measured == pytest.approx(0.08, abs=0.03)
    assert any("held for 40 ms" in line for line in said)


async def test_a_relay_that_holds_longer_than_it_says_is_found_out(desktop: Desktop, route: RelayRoute) -> None:
    liar: Any = Liar(route)
    found = await measure_accuracy(desktop, DIALECT, liar, SHORT, 2.0, lambda line: None)
    for row in found.rows:
        assert row.ok is False, row
        assert row.error == pytest.approx(0.04, abs=0.015)


async def test_a_loaded_machine_is_a_reason_and_no_miss(
    desktop: Desktop, route: RelayRoute, burn: Callable[[], None]
) -> None:
    burn()
    found = await measure_accuracy(desktop, DIALECT, route, SHORT, 2.0, lambda line: None)
    assert found.doubts
    assert all(doubt.startswith("selkies-2-webrtc: ") for doubt in found.doubts)
