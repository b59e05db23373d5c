"""What the children of a session are made from beside session and template. Pure.

A protocol, since the world that has it is one of the layer above.
"""

from __future__ import annotations

from typing import Protocol

from vdi_operator.api.objects import Object
from vdi_operator.settings import Settings

__all__ = ["Surroundings"]


class Surroundings(Protocol):
    """What :class:`vdi_operator.core.world.World` knows, as far as it shows in children."""

    @property
    def now(self) -> float:
        """Unix seconds, by a clock that does not jump."""

    @property
    def wall(self) -> float:
        """Unix seconds, as other hosts have them."""

    @property
    def settings(self) -> Settings:
        """The site's."""

    @property
    def auth(self) -> Object | None:
        """The stored Secret with user name and password."""

    @property
    def rtc(self) -> Object | None:
        """The stored Secret with the RTC configuration."""

    @property
    def relay_addresses(self) -> tuple[str, ...]:
        """Where coturn is."""

    @property
    def turn_secret(self) -> str:
        """What it shares, empty: unknown."""

    @property
    def spare_password(self) -> str:
        """Random; used where a password has to be made."""
