"""A locustfile with no users in it: the load shape of a run whose number of users a driver says. Runs inside Locust."""

from __future__ import annotations

from locust import LoadTestShape

from vdibench.load.plugin import master_side

__all__ = ["Controlled"]


class Controlled(LoadTestShape):
    """Follows the driver."""

    def tick(self) -> tuple[int, float] | None:
        """Wait for the driver's next word: users and users a second."""
        master = master_side(self.runner.environment) if self.runner is not None else None
        return master.next_scale() if master is not None else None
