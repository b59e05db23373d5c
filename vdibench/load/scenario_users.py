"""The scenarios as users of Locust, for locustfiles. Runs inside Locust.

A user does what its scenario says (:mod:`vdibench.load.scenarios`), the same in every run for the same desktop. An own
locustfile takes them as they are, gives them a weight, or mixes them with users of its own::

    from vdibench.load.scenario_users import CadUser, OfficeUser

    class Writers(OfficeUser):
        weight = 3

    class Designers(CadUser):
        weight = 1
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from locust import task

from vdibench.client import Mode
from vdibench.load.scenarios import Action, Click, Drag, Press, Scroll, TypeText, Watch, pixels, scenario
from vdibench.load.users import DesktopUser, WatchUser

__all__ = ["USERS", "CadUser", "IdleUser", "OfficeUser", "PressUser", "ScenarioUser", "SceneUser", "VideoUser"]


class ScenarioUser(DesktopUser):
    """Does what a scenario says.

    :cvar scenario: its name.
    :cvar seed: another one makes users that do the same kind of things at other moments.
    """

    abstract = True
    scenario: ClassVar[str] = "office"
    seed: ClassVar[int] = 0

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._actions: Iterator[Action] | None = None

    @task
    def act(self) -> None:
        """Do the next thing."""
        if self._actions is None:
            self._actions = scenario(self.scenario).of(self.desktop.id, self.seed)
        self.perform(next(self._actions))

    def perform(self, action: Action) -> None:
        """Do one thing.

        :raises VdibenchError: it failed, and the session goes on.
        """
        display = self.desktop.display
        if isinstance(action, Watch):
            self.watch(action.seconds)
        elif isinstance(action, TypeText):
            self.type_text(action.text, characters_per_second=action.characters_per_second)
        elif isinstance(action, Scroll):
            self.scroll(action.steps)
        elif isinstance(action, Click):
            self.click_at(*pixels(action.x, action.y, display))
        elif isinstance(action, Drag):
            self.move([pixels(x, y, display) for x, y in action.path], action.seconds, drag=True)
        else:
            self._press(action)

    def _press(self, action: Press) -> None:
        # Without a desk, or where nothing is decoded, no photon can be seen: a wait for it would look like a loss.
        if self.sees_markers:
            self.press(action.kind)
        elif action.kind == "click":
            self.click_at(*pixels(0.5, 0.5, self.desktop.display))
        else:
            self.type_text("a")

    @property
    def sees_markers(self) -> bool:
        """Whether this user's photons can be seen."""
        return self._side.roster.mode is Mode.DECODE and self.desktop.marker_id is not None


class OfficeUser(ScenarioUser):
    """Types, clicks and reads."""

    scenario = "office"


class CadUser(ScenarioUser):
    """Turns a part with the mouse."""

    scenario = "cad"


class VideoUser(ScenarioUser):
    """Watches a film."""

    scenario = "video"


class SceneUser(ScenarioUser):
    """Looks round in a scene."""

    scenario = "3d"


class PressUser(ScenarioUser):
    """Presses a key and clicks in turn, one at a time."""

    scenario = "press"


class IdleUser(ScenarioUser):
    """Is connected, and away."""

    scenario = "idle"


USERS: dict[str, type[DesktopUser]] = {
    "watch": WatchUser,
    **{kind.scenario: kind for kind in (PressUser, OfficeUser, CadUser, VideoUser, SceneUser, IdleUser)},
}
"""User by scenario."""
