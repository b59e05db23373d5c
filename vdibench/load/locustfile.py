"""The locustfile of the scenario that the roster names. Runs inside Locust.

Locust takes every user class that it finds as a name of this module: there is exactly one.
"""

from __future__ import annotations

import os

from vdibench.load.roster import ROSTER_VARIABLE, read_roster
from vdibench.load.scenario_users import USERS
from vdibench.load.scenarios import scenario

__all__ = ["Scenario"]

Scenario = USERS[scenario(read_roster(os.environ.get(ROSTER_VARIABLE, "")).scenario).name]
