"""Parameters of suites that load desktops with users."""

from __future__ import annotations

from dataclasses import dataclass

from vdibench.client import Mode
from vdibench.load.scenarios import SCENARIOS, scenario
from vdibench.suites.parameters import DesktopParameters, parameter

__all__ = ["SHARINGS", "LoadParameters"]

SHARINGS = ("none", "time-slicing", "whole", "mps", "mig")


@dataclass(frozen=True)
class LoadParameters(DesktopParameters):
    """What suites with levels take."""

    workers: int = parameter(1, "Locust workers, each with an engine process that hosts its sessions", minimum=1)
    client_mode: str = parameter("decode", "how much of each stream is looked at", choices=tuple(Mode))
    scenario: str = parameter("watch", "what users do", choices=tuple(SCENARIOS))

    @property
    def scenario_here(self) -> str:
        """The scenario, or looking on where the desktops are not ours to take: they get no input."""
        ours = self.take_control or not self.target.startswith("url:")
        return self.scenario if ours or not scenario(self.scenario).sends_input else "watch"
