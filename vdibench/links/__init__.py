"""Named network links for one session: by a user-space relay, or by ``tc netem`` in a network namespace. Linux only."""

from vdibench.links.counters import DirectionCounters, HoldTimes, LinkCounters
from vdibench.links.netem import NamespaceRoute, available
from vdibench.links.profiles import DIRECT, PROFILES, Direction, LinkProfile, profile
from vdibench.links.relay import Relay, RelayRoute

__all__ = [
    "DIRECT",
    "PROFILES",
    "Direction",
    "DirectionCounters",
    "HoldTimes",
    "LinkCounters",
    "LinkProfile",
    "NamespaceRoute",
    "Relay",
    "RelayRoute",
    "available",
    "profile",
]
