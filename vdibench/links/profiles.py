"""What a network link does to packets: :class:`LinkProfile`, the named ones, and how a user writes one. Pure.

Seconds, bits per second, ratios. Each direction has its own figures; *down* is desktop to client, *up* the way back,
so a round trip takes the delays of both. The sources of the named figures stand in ``docs/reference/links.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from vdibench.errors import ParameterError
from vdibench.links.quantities import bits_per_second, count, flag, ratio, seconds

__all__ = ["DIRECT", "PROFILES", "Direction", "LinkProfile", "profile"]

_LONGEST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction of a link.

    :param rate_bps: bits a second, headers included; None for unlimited.
    :param delay_seconds: the least that a packet is under way, beside what the rate costs it.
    :param jitter_seconds: the delay wanders between ``delay`` and ``delay + jitter``.
    :param loss_ratio: share of packets that vanish, in the long run.
    :param burst_packets: how many vanish in a row on average; 1 is loss without memory, where it is ``1 / (1 - loss)``.
    :param queue_seconds: how long a packet may wait for the rate before it is dropped; only with a rate.
    :param reorder: each packet draws its jitter by itself and may overtake; else order is kept.
    :param even: losses come at even distances instead of by chance, to hold two watchers against each other.
    :raises ParameterError: figures that no link can have.
    """

    rate_bps: float | None = None
    delay_seconds: float = 0.0
    jitter_seconds: float = 0.0
    loss_ratio: float = 0.0
    burst_packets: float = 1.0
    queue_seconds: float = 0.1
    reorder: bool = False
    even: bool = False

    def __post_init__(self) -> None:
        if self.rate_bps is not None and not 1_000 <= self.rate_bps <= 1e12:
            raise ParameterError(f"a link of {self.rate_bps:g} bit/s cannot be", "give 1kbit to 1000Gbit")
        for name in ("delay", "jitter", "queue"):
            value = getattr(self, f"{name}_seconds")
            if not 0.0 <= value <= _LONGEST_SECONDS:
                raise ParameterError(f"a link's {name} cannot be {value:g} s", f"give 0 to {_LONGEST_SECONDS:g} s")
        if not 0.0 <= self.loss_ratio <= 1.0:
            raise ParameterError(f"a loss of {self.loss_ratio:.0%} cannot be", "give 0% to 100%")
        if not 1.0 <= self.burst_packets <= 10_000:
            raise ParameterError(f"a burst of {self.burst_packets:g} packets cannot be", "give 1 to 10000")
        if self.even and self.burst_packets > 1.0:
            raise ParameterError("losses cannot come evenly and in bursts", "give even or burst, not both")

    @property
    def loss_ends(self) -> float:
        """Probability that a packet after a lost one passes."""
        return min(1.0 - self.loss_ratio, 1.0 / self.burst_packets)

    @property
    def loss_begins(self) -> float:
        """Probability that a packet after one that passed is lost."""
        return 1.0 if self.loss_ratio >= 1.0 else self.loss_ratio * self.loss_ends / (1.0 - self.loss_ratio)

    @property
    def shapes(self) -> bool:
        """Whether it does anything at all."""
        return bool(self.rate_bps or self.delay_seconds or self.jitter_seconds or self.loss_ratio)


@dataclass(frozen=True, slots=True)
class LinkProfile:
    """A link with a name; see :class:`Direction`."""

    name: str
    down: Direction = field(default_factory=Direction)
    up: Direction = field(default_factory=Direction)

    @property
    def round_trip_seconds(self) -> float:
        """Of a small packet on the idle link, without jitter."""
        return self.down.delay_seconds + self.up.delay_seconds

    def __str__(self) -> str:
        return self.name


def _both(name: str, **figures: Any) -> LinkProfile:
    one = replace(Direction(), **figures)
    return LinkProfile(name, one, one)


#: Packets go through the relay untouched.
DIRECT = LinkProfile("direct")

PROFILES: dict[str, LinkProfile] = {
    link.name: link
    for link in (
        DIRECT,
        _both("lan", rate_bps=1e9, delay_seconds=0.000_2, jitter_seconds=0.000_1, queue_seconds=0.01),
        LinkProfile(
            "fibre",
            Direction(300e6, 0.005_5, 0.001, loss_ratio=0.000_1, queue_seconds=0.03),
            Direction(300e6, 0.005_5, 0.001, loss_ratio=0.000_1, queue_seconds=0.03),
        ),
        LinkProfile(
            "cable",
            Direction(100e6, 0.009, 0.003, loss_ratio=0.001, burst_packets=2, queue_seconds=0.1),
            Direction(10e6, 0.009, 0.006, loss_ratio=0.001, burst_packets=2, queue_seconds=0.25),
        ),
        LinkProfile(
            "4g",
            Direction(14.7e6, 0.020, 0.013, loss_ratio=0.002, burst_packets=3, queue_seconds=0.3),
            Direction(13.6e6, 0.020, 0.013, loss_ratio=0.002, burst_packets=3, queue_seconds=0.3),
        ),
        LinkProfile(
            "wifi",
            Direction(50e6, 0.001, 0.010, loss_ratio=0.005, burst_packets=4, queue_seconds=0.1),
            Direction(50e6, 0.001, 0.010, loss_ratio=0.005, burst_packets=4, queue_seconds=0.1),
        ),
        _both("transatlantic", rate_bps=100e6, delay_seconds=0.038, jitter_seconds=0.001, loss_ratio=0.000_5),
        _both("lossy", rate_bps=20e6, delay_seconds=0.025, jitter_seconds=0.005, loss_ratio=0.02, burst_packets=2),
    )
}

_KEYS = {
    "delay": ("delay_seconds", seconds),
    "jitter": ("jitter_seconds", seconds),
    "loss": ("loss_ratio", ratio),
    "burst": ("burst_packets", count),
    "rate": ("rate_bps", bits_per_second),
    "queue": ("queue_seconds", seconds),
    "reorder": ("reorder", flag),
    "even": ("even", flag),
}


def profile(text: str) -> LinkProfile:
    """Read a link: a name, or figures such as ``delay=50ms,loss=1%,rate=20Mbit``, or a name and figures after it.

    A figure holds for each direction, so that ``delay=50ms`` adds 100 ms to a round trip; ``down.`` and ``up.`` before
    its key give it to one of them.

    :raises ParameterError: unknown name, key or unit, or figures that cannot be; with the nearest that can.
    """
    first, *rest = [part.strip() for part in text.split(",")]
    if "=" in first:
        first, rest = DIRECT.name, [first, *rest]
    named = PROFILES.get(first.lower().replace("-", ""))
    if named is None:
        near = get_close_matches(first.lower(), PROFILES, n=1, cutoff=0.5)
        remedy = (
            f"did you mean {near[0]}?"
            if near
            else "give one of them, or figures such as delay=50ms,loss=1%,rate=20Mbit"
        )
        raise ParameterError(f"there is no link named {first!r} among {', '.join(PROFILES)}", remedy)
    changes: dict[str, dict[str, Any]] = {"down": {}, "up": {}}
    for part in rest:
        key, separator, value = (word.strip() for word in part.partition("="))
        direction, dot, name = key.rpartition(".")
        if not separator or name not in _KEYS or (dot and direction not in changes):
            near = get_close_matches(name, _KEYS, n=1)
            remedy = f"did you mean {near[0]}?" if near and name not in _KEYS else f"give {', '.join(_KEYS)}"
            raise ParameterError(f"{part!r} is no figure of a link", f"{remedy}, as in down.loss=1%")
        parameter, read = _KEYS[name]
        for one in (direction,) if dot else tuple(changes):
            if parameter in changes[one]:
                raise ParameterError(f"{key!r} is given twice", "give each figure once for a direction")
            changes[one][parameter] = read(key, value)
    if not rest:
        return named
    return LinkProfile(
        text.replace(" ", ""), replace(named.down, **changes["down"]), replace(named.up, **changes["up"])
    )
