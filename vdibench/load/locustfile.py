"""The locustfile of the scenario that the roster names. Runs inside Locust."""

from __future__ import annotations

from vdibench.load.users import WatchUser

__all__ = ["WatchUser"]
