"""GPUs whose figures were not read on the measuring host, as a run remembers them: facts by dotted name. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["SOURCE_FACT", "ScrapedGpu", "scraped_gpus"]

# Only figures that were scraped have it.
SOURCE_FACT = "telemetry.gpus.source"
_SCOPE = re.compile(r"telemetry\.(gpu-[^.]+)")


@dataclass(frozen=True, slots=True)
class ScrapedGpu:
    """A GPU, or an instance of one.

    :param scope: what it is called in the table ``resources``: ``gpu-N``, ``gpu-N/I`` for an instance.
    :param identity: which device it is, in words.
    :param model: product name; empty when nobody says it.
    :param frame_buffer_bytes: used and free together, without the driver's reserve; None when nobody says it.
    """

    scope: str
    identity: str
    model: str = ""
    frame_buffer_bytes: float | None = None

    @property
    def whole(self) -> bool:
        """It is no instance of another."""
        return "/" not in self.scope

    def facts(self) -> dict[str, str]:
        """What :func:`scraped_gpus` reads."""
        found = {f"telemetry.{self.scope}": self.identity}
        if self.model:
            found[f"telemetry.{self.scope}.model"] = self.model
        if self.frame_buffer_bytes is not None:
            found[f"telemetry.{self.scope}.frame_buffer_bytes"] = f"{self.frame_buffer_bytes:.0f}"
        return found


def scraped_gpus(facts: Iterable[tuple[object, object]]) -> dict[str, ScrapedGpu] | None:
    """The GPUs that figures are of, by scope; None where what was read was the measuring host's, or nothing.

    :param facts: of a run or one of its suites, pairs of key and value in the order in which they were written.
    """
    said = {str(key): str(value) for key, value in facts}
    if SOURCE_FACT not in said:
        return None
    found = {}
    for key, identity in said.items():
        if match := _SCOPE.fullmatch(key):
            buffer = said.get(f"{key}.frame_buffer_bytes", "")
            found[match[1]] = ScrapedGpu(
                match[1], identity, said.get(f"{key}.model", ""), float(buffer) if buffer.isdecimal() else None
            )
    return found
