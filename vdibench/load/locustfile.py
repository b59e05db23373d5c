"""The locustfile of the scenario that the roster names. Runs inside Locust.

Locust takes every user class that it finds as a name of this module: there is exactly one.
"""

from __future__ import annotations

import os

from vdibench.load.roster import ROSTER_VARIABLE, read_roster
from vdibench.load.scenario_users import USERS
from vdibench.load.scenarios import scenario
from vdibench.load.users import DesktopUser

__all__ = ["Scenario"]


def _chosen() -> type[DesktopUser]:
    named = os.environ.get(ROSTER_VARIABLE, "")
    # Without a roster nothing starts, which the plugin says better than a failed import would.
    return USERS[scenario(read_roster(named).scenario).name if named else "watch"]


Scenario = _chosen()
