"""What engines said of late, as a master and a driver keep it: bounded for each engine, totals over all of it. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from vdibench.load.messages import EngineSecond

__all__ = ["KEPT_SECONDS", "KeptSeconds"]

KEPT_SECONDS = 600
"""So many seconds of each engine are kept for whoever looks on, however many engines there are."""


class KeptSeconds:
    """The last seconds of each engine.

    :ivar count: seconds that ever came; ``freezes`` in them. Neither ever falls.
    """

    def __init__(self) -> None:
        self.count = self.freezes = 0
        self._engines: dict[str, deque[EngineSecond]] = {}

    def append(self, second: EngineSecond) -> None:
        """Another one came."""
        self.count += 1
        self.freezes += second.freezes
        self._engines.setdefault(second.engine, deque(maxlen=KEPT_SECONDS)).append(second)

    def __iter__(self) -> Iterator[EngineSecond]:
        """All that are kept, the latest last."""
        kept = [second for engine in self._engines.values() for second in engine]
        return iter(sorted(kept, key=lambda second: second.unix_seconds))

    def since(self, unix_seconds: float) -> list[EngineSecond]:
        """Those after an instant, the latest last; looks at no others."""
        found = []
        for engine in self._engines.values():
            for second in reversed(engine):
                if second.unix_seconds <= unix_seconds:
                    break
                found.append(second)
        return sorted(found, key=lambda second: second.unix_seconds)
