"""A real desktop, looked at and listened to: likeness falls with the bit rate, and a delay of the sound is measured."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from vdibench.client import DesktopSession
from vdibench.client.quality import score
from vdibench.client.screenshots import PictureSampler, ProbeFolder
from vdibench.client.synchronisation import ClickPair, SynchronisationProbe
from vdibench.lab import DesktopSpec, Lab, LabSpec
from vdibench.records import Display, Workload

STEP = 0.5
RICH, POOR = 8_000_000, 400_000


@pytest.fixture(scope="module")
def desktops() -> Iterator[Lab]:
    """Two desktops that differ in their bit rate."""
    display = Display(640, 360, 60)
    specs = tuple(DesktopSpec(display=display, workload=Workload.TEXT, bitrate_bps=rate) for rate in (RICH, POOR))
    with Lab.up(LabSpec(specs, turn=False), owned=True) as lab:
        yield lab


class Notes:
    """Keeps the rows of the table ``audio``."""

    def __init__(self) -> None:
        self.audio: list[Mapping[str, Any]] = []

    def row(self, session: str, table: str, values: Mapping[str, Any]) -> None:
        if table == "audio":
            self.audio.append(values)

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


async def watch(session: DesktopSession, seconds: float, folder: ProbeFolder, **requests: str) -> None:
    """Watch, and keep requests alive meanwhile."""
    for _ in range(round(seconds / STEP)):
        for request, text in requests.items():
            folder.ask(request, text)
        await session.watch(STEP)


async def likeness(session: DesktopSession, folder: ProbeFolder) -> float:
    """Median SSIM of three seconds, after one and a half for the encoder to settle."""
    await watch(session, 1.5, folder, screenshots="")
    sampler = session.picture.sampler = PictureSampler()
    scores = []
    for _ in range(3):
        await watch(session, 1, folder, screenshots="")
        for kept in sampler.take():
            if (screenshot := folder.find(kept.marker_microseconds)) is not None:
                scores.append(await asyncio.to_thread(score, kept, screenshot))
    folder.stop("screenshots")
    assert scores
    return statistics.median(one.ssim_ratio for one in scores)


async def test_a_lower_bit_rate_is_seen(desktops: Lab) -> None:
    found = []
    for desktop in desktops.desktops:
        async with DesktopSession(desktop, Notes()) as session:
            await session.first_frame()
            found.append(await likeness(session, ProbeFolder(Path(desktop.probes))))
    rich, poor = found
    assert rich > 0.98
    assert poor < rich - 0.1


async def offsets(session: DesktopSession, folder: ProbeFolder, delay: str) -> tuple[ClickPair, ...]:
    """The click pairs of five seconds, after one and a half for the desk to notice."""
    await watch(session, 1.5, folder, clicks=delay)
    probe = session.synchronisation = SynchronisationProbe()
    await watch(session, 5, folder, clicks=delay)
    session.synchronisation = None
    return (await asyncio.to_thread(probe.result)).pairs


async def test_a_delay_of_the_sound_is_measured(desktops: Lab) -> None:
    desktop, notes = desktops.desktops[0], Notes()
    folder = ProbeFolder(Path(desktop.probes))
    async with DesktopSession(desktop, notes) as session:
        await session.first_frame()
        found = [await offsets(session, folder, delay) for delay in ("0", "0.1")]
        folder.stop("clicks")
    assert min(len(pairs) for pairs in found) >= 3
    plain, delayed = (statistics.median(pair.offset_seconds for pair in pairs) for pairs in found)
    assert abs(plain) < 0.06, "sound and picture of one host are further apart than a viewer would notice"
    assert delayed - plain == pytest.approx(0.1, abs=0.015)
    received, missing = (sum(second[f"{name}_seconds"] for second in notes.audio) for name in ("received", "missing"))
    assert received > 8
    # A sound server that is kept from its CPU leaves sound out: that is a finding, and no fault of this client.
    assert missing < 0.1 * received
