"""One desktop through named network links, one after the other: what a user at home would see. I/O.

Rows of these sessions are probes: what a bad link does is not what the desktop is judged by.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

from vdibench.client import Route
from vdibench.errors import VdibenchError
from vdibench.links import LinkProfile, NamespaceRoute, Relay, profile
from vdibench.metrics import PROBE
from vdibench.records import Desktop
from vdibench.suites.levels import press_many
from vdibench.suites.measurement import Measurement

__all__ = ["METHODS", "link_profiles", "link_session", "measure_links"]

METHODS = ("relay", "netem")
WARM_UP = 1
_WARM_UP_SECONDS = 1.0


def link_profiles(text: str) -> tuple[LinkProfile, ...]:
    """Links separated by semicolons, each a name or figures.

    :raises ParameterError: one that is no link.
    """
    return tuple(profile(part.strip()) for part in text.split(";") if part.strip())


def link_session(desktop: Desktop, link: LinkProfile) -> str:
    """The session id under which a link's samples are kept."""
    return f"{desktop.id}-link-{link}"


async def measure_links(
    measurement: Measurement,
    desktop: Desktop,
    links: tuple[LinkProfile, ...],
    *,
    method: str,
    seconds: float,
    inputs: int,
) -> dict[str, VdibenchError]:
    """Watch ``desktop`` through each link; returns the links that failed, with what ended them."""
    failures: dict[str, VdibenchError] = {}
    recorder = measurement.recorder
    recorder.watched = frozenset({desktop.id})
    try:
        for link in links:
            measurement.progress.say(f"through {link} ({method})")
            # A name of its own keeps its samples apart; the trial tells the warm-up from what counts.
            through = dataclasses.replace(desktop, id=link_session(desktop, link))
            recorder.move(level=1, trial=WARM_UP, phase=PROBE)
            try:
                with _way(link, method) as route:
                    async with measurement.session(through, route=route) as session:
                        await session.first_frame()
                        await session.watch(_WARM_UP_SECONDS)
                        recorder.move(trial=0)
                        if desktop.owned and session.picture.marker_seen and inputs:
                            await press_many(session, inputs)
                        await session.watch(seconds)
                        # Behind a link, too, one host has one clock; its pings would tell half of what the link adds.
                        measurement.note_session(session)
            except VdibenchError as error:
                failures[str(link)] = error
                recorder.fact(through.id, "failure.link", str(error))
    finally:
        recorder.move(phase="warmup", trial=0)
    return failures


@contextmanager
def _way(link: LinkProfile, method: str) -> Iterator[Route]:
    if method == "netem":
        with NamespaceRoute(link) as route:
            yield route
        return
    with Relay() as relay:
        yield relay.route(link)
