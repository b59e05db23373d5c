"""Named network links: a user-space relay and ``tc netem`` in a network namespace. Linux and loopback only."""

__all__: list[str] = []
