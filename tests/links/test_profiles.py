"""What a user may write for a link, and what it means."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from vdibench.errors import ParameterError
from vdibench.links import DIRECT, PROFILES, Direction, profile


def test_names_that_everybody_expects_are_there() -> None:
    assert set(PROFILES) == {"direct", "lan", "fibre", "cable", "4g", "wifi", "transatlantic", "lossy"}
    assert profile("transatlantic").round_trip_seconds == pytest.approx(0.076)
    assert not DIRECT.down.shapes
    assert profile("Wi-Fi") == profile("wifi")


def test_figures_hold_for_each_direction() -> None:
    link = profile("delay=50ms, loss=1%, rate=20Mbit")
    expected = Direction(rate_bps=20e6, delay_seconds=0.05, loss_ratio=0.01)
    assert (link.down, link.up) == (expected, expected)
    assert str(link) == "delay=50ms,loss=1%,rate=20Mbit"


def test_a_direction_can_be_named() -> None:
    link = profile("down.loss=0.5%,up.delay=0.2s,jitter=2ms,reorder=yes,burst=2.5,queue=0")
    shared = {"jitter_seconds": 0.002, "reorder": True, "burst_packets": 2.5, "queue_seconds": 0.0}
    assert link.down == Direction(loss_ratio=0.005, **shared)
    assert link.up == Direction(delay_seconds=0.2, **shared)


def test_a_named_link_can_be_changed() -> None:
    link = profile("4g,loss=0%,rate=unlimited")
    assert link.down.loss_ratio == 0.0
    assert link.down.rate_bps is None
    assert link.down.delay_seconds == PROFILES["4g"].down.delay_seconds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("transatlantik", "did you mean transatlantic?"),
        ("", "there is no link named ''"),
        ("5g", "did you mean 4g?"),
        ("dely=50ms", "did you mean delay?"),
        ("4g,sideways.loss=1%", "'sideways.loss=1%' is no figure of a link"),
        ("delay=50", "a number and its unit, as in delay=50ms"),
        ("delay=50mm", "delay=50mm cannot be read"),
        ("rate=20", "as in rate=20Mbit"),
        ("delay=-1ms", "delay=-1ms cannot be read"),
        ("delay=nan", "delay=nan cannot be read"),
        ("delay=61s", "give 0 to 60 s"),
        ("loss=101%", "a loss of 101% cannot be"),
        ("loss=2", "a loss of 200% cannot be"),
        ("rate=1bit", "a link of 1 bit/s cannot be"),
        ("burst=0.5", "a burst of 0.5 packets cannot be"),
        ("reorder=perhaps", "give reorder=yes or reorder=no"),
        ("delay=1ms,delay=2ms", "'delay' is given twice"),
        ("delay=1ms,lan", "'lan' is no figure of a link"),
        (f"delay={'9' * 400}s", "is no finite figure"),
    ],
)
def test_a_mistake_is_named_with_what_to_do(text: str, says: str) -> None:
    with pytest.raises(ParameterError) as raised:
        profile(text)
    assert says in str(raised.value)


@pytest.mark.parametrize("loss", [0.0, 0.01, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("burst", [1.0, 2.0, 50.0])
def test_loss_is_the_long_run_of_its_two_probabilities(loss: float, burst: float) -> None:
    one = Direction(loss_ratio=loss, burst_packets=burst)
    assert 0.0 <= one.loss_begins <= 1.0
    assert 0.0 <= one.loss_ends <= 1.0
    total = one.loss_begins + one.loss_ends
    assert one.loss_begins / total == pytest.approx(loss)


def test_the_reference_page_has_every_figure() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "links.md").read_text()
    for link in PROFILES.values():
        row = re.search(rf"^\| `{link.name}` \|(.*)\|$", page, re.MULTILINE)
        assert row is not None, f"{link.name} has no row"
        cells = [cell.strip() for cell in row[1].split("|")]
        assert cells[:6] == [
            _both(link.down.rate_bps, link.up.rate_bps, 1e-6),
            _both(link.down.delay_seconds, link.up.delay_seconds, 1e3),
            _both(link.down.jitter_seconds, link.up.jitter_seconds, 1e3),
            _both(link.down.loss_ratio, link.up.loss_ratio, 100),
            _both(link.down.burst_packets, link.up.burst_packets, 1),
            _both(link.down.queue_seconds, link.up.queue_seconds, 1e3) if link.down.rate_bps else "–",
        ], link.name


def _both(down: float | None, up: float | None, factor: float) -> str:
    texts = ["unlimited" if value is None else f"{value * factor:g}" for value in (down, up)]
    return texts[0] if texts[0] == texts[1] else " / ".join(texts)


def test_a_profile_survives_json() -> None:
    link = PROFILES["cable"]
    document = json.loads(json.dumps(asdict(link)))
    assert Direction(**document["down"]) == link.down
