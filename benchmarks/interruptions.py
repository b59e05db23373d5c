"""What the client says and does when a desktop, its TURN server or its link fails in mid-stream.

``python benchmarks/interruptions.py`` brings a fresh desktop up for each dialect and interruption, watches it as its
controller, interrupts, reconnects where the session ended, and writes ``docs/results/interruptions.md`` and ``.json``.
One session at a time; loopback only; it ends no process that it did not start.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import re
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import numpy as np
from breakage import Breakable, breakable
from samples import Samples

from results import RESULTS, provenance, write
from vdibench.client import DesktopSession, SessionOptions
from vdibench.errors import VdibenchError
from vdibench.links import DIRECT, Relay, RelayRoute
from vdibench.metrics.pacing import freezes
from vdibench.records import Display
from vdibench.selkies import Dialect, Role

_STEADY_SECONDS, _AFTER_SECONDS = 5.0, 3.0
_DOWN_SECONDS = 2.0
_COLUMNS = (
    "dialect",
    "what broke",
    "noticed after",
    "the client says",
    "picture back after it was whole again",
    "frames before / after",
)
_PATIENCE_SECONDS = 90.0
_WEBRTC = (Dialect.SELKIES_2_WEBRTC, Dialect.SELKIES_1_WEBRTC)
_SELKIES_2 = (Dialect.SELKIES_2_WEBRTC, Dialect.SELKIES_2_WEBSOCKET)


@dataclass(frozen=True)
class Interruption:
    """One thing that goes wrong.

    :param seconds: how long; of a server: until it is started again (0: only once it was noticed).
    :param media_only: HTTP and signalling go past the cut link.
    """

    name: str
    seconds: float
    stall_seconds: float = 5.0
    relay: str = ""
    orderly: bool = False
    media_only: bool = False
    dialects: tuple[Dialect, ...] = tuple(Dialect)

    @property
    def is_cut(self) -> bool:
        """A cut link, rather than a process that ends."""
        return "cut" in self.name


INTERRUPTIONS = (
    Interruption("server killed, up again after 2 s", _DOWN_SECONDS),
    Interruption("server stopped, up again after 2 s", _DOWN_SECONDS, orderly=True, dialects=_SELKIES_2),
    Interruption("TURN server killed (UDP)", 0, relay="udp", dialects=_WEBRTC),
    Interruption("TURN server killed (TCP)", 0, relay="tcp", dialects=(Dialect.SELKIES_2_WEBRTC,)),
    Interruption("link cut for 5 s", 5.0),
    Interruption("link cut for 5 s, stall limit 10 s", 5.0, stall_seconds=10.0),
    Interruption("link cut for 60 s", 60.0),
    Interruption("link cut for 60 s, stall limit 90 s", 60.0, stall_seconds=90.0),
    Interruption("UDP alone cut for 60 s", 60.0, media_only=True, dialects=_WEBRTC),
    Interruption(
        "UDP alone cut for 60 s, stall limit 90 s", 60.0, stall_seconds=90.0, media_only=True, dialects=_WEBRTC
    ),
)


class MediaOnly:
    """A route on which HTTP and signalling go straight to the desktop."""

    hides_client = True

    def __init__(self, route: RelayRoute) -> None:
        self._route = route
        self.udp, self.addresses, self.socket = route.udp, route.addresses, route.socket

    async def tcp(self, host: str, port: int) -> tuple[str, int]:
        """Where it would go anyway."""
        return host, port


class Kept(Samples):
    """Keeps the instants of every milestone, not of the latest only."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[tuple[str, float]] = []

    def milestone(self, session: str, event: str, unix_seconds: float) -> None:
        """One step of a session's life."""
        super().milestone(session, event, unix_seconds)
        self.history.append((event, unix_seconds))


@dataclass
class Outcome:
    """What became of one session; durations in seconds, NaN where there was none."""

    dialect: str
    interruption: str
    seconds: float
    stall_seconds: float
    recovered: bool = False
    error: str = ""
    cause: str = ""
    remedy: str = ""
    noticed_seconds: float = math.nan
    freezes_seconds: list[float] = field(default_factory=list)
    undecoded_seconds: float = math.nan
    leaving_seconds: float = math.nan
    attempts: int = 0
    back_seconds: float = math.nan
    reconnect_error: str = ""
    frames_before: int = 0
    frames_after: int = 0
    facts: dict[str, str] = field(default_factory=dict)


async def one(dialect: Dialect, what: Interruption, display: Display) -> Outcome:
    """Bring a desktop up, watch it, break it, watch what happens."""
    outcome, samples = Outcome(str(dialect), what.name, what.seconds, what.stall_seconds), Kept()
    with breakable(dialect, display) as broken:
        async with AsyncExitStack() as stack:
            route: RelayRoute | None = None
            if what.is_cut:
                route = (await stack.enter_async_context(Relay())).route(DIRECT)
            options = SessionOptions(
                role=Role.CONTROLLER,
                route=MediaOnly(route) if route is not None and what.media_only else route,
                stall_seconds=what.stall_seconds,
                relay_only=bool(what.relay),
                relay_transport=what.relay,
                connect_timeout_seconds=30.0,
            )
            session = await stack.enter_async_context(DesktopSession(broken.desktop, samples, options))
            await session.first_frame()
            await session.watch(_STEADY_SECONDS)
            outcome.frames_before = len(samples.frames)
            began, healed = await interrupt(broken, what, route)
            try:
                await session.watch(what.seconds + 15.0 if what.is_cut else 60.0)
                outcome.recovered = True
            except VdibenchError as error:
                outcome.noticed_seconds = time.time() - began
                outcome.error, outcome.cause, outcome.remedy = type(error).__name__, error.cause, error.remedy
                print(f"  {outcome.noticed_seconds:.2f} s: {type(error).__name__}: {error}", file=sys.stderr)
                await reconnect(session, broken, what, healed, samples, outcome)
            found(samples, began, outcome)
            await healed
            outcome.facts = {name: samples.facts[name] for name in ("ice.pair",) if name in samples.facts}
    outcome.frames_after = sum(one.arrival_unix_seconds > began for one in samples.frames)
    return outcome


async def interrupt(
    broken: Breakable, what: Interruption, route: RelayRoute | None
) -> tuple[float, asyncio.Future[float]]:
    """Break it; returns when, and a future of the instant at which it was whole again."""
    loop = asyncio.get_running_loop()
    if route is not None:
        began = route.cut(what.seconds)
        end = loop.create_future()
        loop.call_later(what.seconds + began - time.time(), lambda: end.done() or end.set_result(time.time()))
        return began, end
    began = time.time()
    if what.relay:
        await asyncio.to_thread(broken.turn.kill)
        return began, loop.create_future()
    killing = loop.create_task(asyncio.to_thread(broken.server.kill, orderly=what.orderly))

    async def again() -> float:
        await killing
        await asyncio.sleep(max(0.0, began + what.seconds - time.time()))  # until the link is whole again
        broken.server.start()
        return time.time()

    return began, loop.create_task(again())


async def reconnect(
    session: DesktopSession,
    broken: Breakable,
    what: Interruption,
    healed: asyncio.Future[float],
    samples: Kept,
    outcome: Outcome,
) -> None:
    """Reconnect at once, however long what broke stays so."""
    if what.relay:
        # Only now: started at once it would already answer again when the client asks it.
        broken.turn.start()
        healed.set_result(time.time())
    starts = sum(event == "started" for event, _ in samples.history)
    try:
        await session.reconnect(_PATIENCE_SECONDS)
    except VdibenchError as error:
        outcome.reconnect_error = str(error)
    else:
        outcome.back_seconds = samples.milestones["first_frame"] - await healed
        await session.watch(_AFTER_SECONDS)
    outcome.attempts = sum(event == "started" for event, _ in samples.history) - starts
    first = dict(reversed(samples.history))
    outcome.leaving_seconds = first["left"] - first["leaving"]


def found(samples: Kept, began: float, outcome: Outcome) -> None:
    """The freezes as the metrics find them, around the interruption, of a session that went on."""
    if not outcome.recovered:
        return
    arrivals = np.sort([one.arrival_unix_seconds for one in samples.frames if one.complete])
    durations = np.diff(arrivals)
    frozen = freezes(durations) & (arrivals[1:] > began)
    outcome.freezes_seconds = [float(seconds) for seconds in durations[frozen]]
    decoded = np.sort([t for one in samples.frames if not math.isnan(t := one.decoded_unix_seconds)])
    outcome.undecoded_seconds = float(np.diff(decoded).max())


def page(document: dict[str, Any]) -> str:
    """The table as Markdown."""
    host, display = document["host"], document["display"]
    lines = [
        "# When something breaks in mid-stream",
        "",
        f"Measured {document['date']} by `python benchmarks/interruptions.py` on {host['cpu_model']}, "
        f"{host['cpu_cores']} cores; {display['width']}×{display['height']} at {display['framerate']} frames per "
        "second, a fresh desktop for each row, one session each. `selkies-2-*` are the real server, `selkies-1-webrtc` "
        "is the tests' stand-in with Debian's webrtcbin. Links are cut in the relay (`vdibench.links`), which loses "
        "datagrams and holds byte streams; HTTP goes the same way as the media unless it says UDP alone. Seconds.",
        "",
        f"| {' | '.join(_COLUMNS)} |",
        f"|{'---|' * len(_COLUMNS)}",
    ]
    for row in document["outcomes"]:
        if row["recovered"]:
            found = ", ".join(f"{seconds:.2f}" for seconds in row["freezes_seconds"])
            error = 100 * (row["freezes_seconds"][0] / row["seconds"] - 1) if row["freezes_seconds"] else math.nan
            said = f"nothing, the session goes on; freezes: {found} (the first {error:+.1f} %)"
            noticed, back = "–", f"{max(0.0, row['undecoded_seconds'] - row['seconds']):.2f}, by itself"
        else:
            said = f"{masked(row['cause'])}: {masked(row['remedy'])}"
            noticed = f"{row['noticed_seconds']:.1f}"
            back = row["reconnect_error"] or f"{row['back_seconds']:.1f}, attempt {row['attempts']}"
        lines.append(
            f"| {row['dialect']} | {row['interruption']} | {noticed} | {said} | {back} | "
            f"{row['frames_before']} / {row['frames_after']} |"
        )
    lines += [
        "",
        "What ends a session is a `StreamLost`. *Noticed* counts from the interruption. A stall is noticed after the "
        "stall limit (5 s unless named); then desktop, TURN server and sound are asked, which takes up to 3 s where "
        "nobody answers (6 s for 1.6). ICE gives a path up after about half a minute without an answer.",
        "",
        f"*Picture back* is `session.reconnect(patience_seconds={_PATIENCE_SECONDS:g})`, called at once and counted "
        "from the instant at which the link was whole or the process was started again: a server's start is in it. "
        "TURN servers are started again once the client has noticed.",
        "",
        "A link that is back after exactly the stall limit may end the session or not. After a cut, the WebSocket "
        "server empties its queue, finds its client too slow and begins anew with a key frame: a second, short freeze.",
        "",
    ]
    return "\n".join(lines)


def masked(text: str) -> str:
    """Without ports, which differ each time."""
    text = re.sub(r"\b[0-9.]+:\d{2,5}\b", "…", text)
    return re.sub(r"\[?[0-9a-f]*:[0-9a-f:]+:\d{4,5}\b", "…", text).replace("|", "/")


def chosen(words: Sequence[str], text: str) -> bool:
    """Whether a name is wanted."""
    return not words or any(word in text for word in words)


def main() -> int:
    """Break everything and write what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dialects", nargs="*", default=[], help="parts of names; all without")
    parser.add_argument("--interruptions", nargs="*", default=[], help="parts of names; all without")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    display = Display(1280, 720, 30)
    outcomes = []
    for what in INTERRUPTIONS:
        for dialect in what.dialects:
            if chosen(arguments.dialects, dialect) and chosen(arguments.interruptions, what.name):
                print(f"{dialect}: {what.name}", file=sys.stderr, flush=True)
                outcomes.append(asyncio.run(one(dialect, what, display)))
                print(f"  {asdict(outcomes[-1])}", file=sys.stderr, flush=True)
    document = {
        **provenance(),
        "display": asdict(display),
        "outcomes": [known(asdict(outcome)) for outcome in outcomes],
    }
    write(arguments.output, "interruptions", document, page(document))
    return 0


def known(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in values.items()}


if __name__ == "__main__":
    sys.exit(main())
