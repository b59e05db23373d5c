"""Checks of notebook 02 that look into picture and sound: encoder in use, likeness, gaps, audio against video.

Likeness and synchronisation have the desk take screenshots and click, which costs the desktop time: they run beside
the measurement (phase ``probe``), and only their own rows count (phase ``steady``).
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import av

from vdibench.client import DesktopSession
from vdibench.client.encoder import stated_encoder
from vdibench.client.quality import PictureScore, score, vmaf_program, vmaf_remedy
from vdibench.client.screenshots import PictureSampler, ProbeFolder
from vdibench.client.synchronisation import Synchronisation, SynchronisationProbe
from vdibench.errors import VdibenchError
from vdibench.records import Check, Outcome
from vdibench.report import formats
from vdibench.selkies import ControlMessage, Dialect

if TYPE_CHECKING:
    from vdibench.suites.measurement import Measurement

__all__ = [
    "audio_gaps",
    "encoder_finding",
    "encoder_in_use",
    "judge_likeness",
    "judge_synchronisation",
    "likeness",
    "synchronisation",
]

_STREAM_INFO_SECONDS = 4.0
_STEP_SECONDS = 0.5
# The desk looks for requests once a second, and a click is 0.7 to 1.3 s away.
_NOTICE_SECONDS = 1.2
_LEAST_PAIRS = 3


async def encoder_in_use(session: DesktopSession, *, gpu: bool) -> list[Check]:
    """What the server says it encodes with; 2.x tells it about a second after capture began, to controllers only."""
    assert session.dialect is not None
    for _ in range(int(_STREAM_INFO_SECONDS / 0.1)):
        found = encoder_finding(session.messages, session.dialect, controlling=session.desktop.owned, gpu=gpu)
        if found.outcome is not Outcome.NO_DATA:
            break
        await session.watch(0.1)
    return [found]


def encoder_finding(messages: dict[str, ControlMessage], dialect: Dialect, *, controlling: bool, gpu: bool) -> Check:
    """The encoder by a desktop's messages: hardware, or software although there is a GPU (a silent fall-back).

    :param messages: the latest of each kind, ``system`` messages under ``system:<verb>``.
    :param gpu: a hardware encoder is expected.
    """
    if dialect is not Dialect.SELKIES_1_WEBRTC and not controlling:
        cause = "a viewer is not told which encoder is in use"
        return Check("encoder", Outcome.NOT_APPLICABLE, cause, "", "use take_control to see it")
    found = stated_encoder(messages, dialect)
    if found is None:
        return Check(
            "encoder",
            Outcome.NO_DATA,
            "the desktop did not say which encoder it uses",
            f"nothing within {_STREAM_INFO_SECONDS:g} s",
            "update Selkies, or look into its log",
        )
    codec = "" if dialect is Dialect.SELKIES_1_WEBRTC else f", {found.codec or 'unknown codec'}"
    fallback = gpu and not found.hardware
    return Check(
        "encoder",
        Outcome.FAIL if fallback else Outcome.PASS,
        f"{found.name} ({'hardware' if found.hardware else 'software'}){codec}",
        found.reason,
        "the GPU's encoder did not open: check driver, NVENC sessions and the container's GPU" if fallback else "",
    )


async def likeness(measurement: Measurement, session: DesktopSession, *, seconds: float) -> list[Check]:
    """SSIM (and VMAF, where there is one) of a frame a second against the desk's screenshot at the same marker."""
    if not session.desktop.probes:
        cause = "no screenshot of this desktop can be had"
        remedy = "run its desk with --probes on a folder that this host shares"
        return [Check("picture", Outcome.NOT_APPLICABLE, cause, "", remedy)]
    folder = ProbeFolder(Path(session.desktop.probes))
    measurement.recorder.move(phase="probe")
    sampler = session.picture.sampler = PictureSampler()
    scores: list[PictureScore] = []
    kept, reason = 0, "no frame and screenshot of one marker"
    try:
        for _ in range(math.ceil((seconds + _NOTICE_SECONDS) / _STEP_SECONDS)):
            folder.ask("screenshots")
            await session.watch(_STEP_SECONDS)
            for picture in sampler.take():
                kept += 1
                try:
                    screenshot = folder.find(picture.marker_microseconds)
                    if screenshot is None:
                        continue
                    scores.append(await asyncio.to_thread(score, picture, screenshot))
                except (ValueError, VdibenchError, av.FFmpegError) as error:
                    reason = f"the picture cannot be compared ({error})"
    finally:
        session.picture.sampler = None
        folder.stop("screenshots")
    for one in scores:
        values = {
            "marker_unix_seconds": one.marker_unix_seconds,
            "ssim_ratio": one.ssim_ratio,
            "vmaf_score": one.vmaf_score,
        }
        measurement.recorder.row(session.desktop.id, "pictures", values, phase="steady")
    return judge_likeness(scores, kept, reason)


def judge_likeness(scores: list[PictureScore], kept: int, reason: str) -> list[Check]:
    """What the scores of one probe say.

    :param kept: frames that were kept for comparison.
    :param reason: why there is no score, where there is none.
    """
    if not scores:
        remedy = "check that the desk is on the screen and that its folder of probes is the desktop's"
        return [Check("picture", Outcome.NO_DATA, reason, f"{kept} frames kept", remedy)]
    ratios = [one.ssim_ratio for one in scores]
    evidence = f"{len(ratios)} frames against screenshots at the same marker, luma"
    finding = f"SSIM median {statistics.median(ratios):.4f}, lowest {min(ratios):.4f}"
    found = [Check("picture", Outcome.PASS, finding, evidence)]
    if not vmaf_program():
        cause = "VMAF is not computed: no ffmpeg with libvmaf"
        return [*found, Check("vmaf", Outcome.NOT_APPLICABLE, cause, "ffmpeg -filters", vmaf_remedy())]
    vmafs = [one.vmaf_score for one in scores if not math.isnan(one.vmaf_score)]
    if not vmafs:
        cause = "ffmpeg with libvmaf gave no score"
        return [*found, Check("vmaf", Outcome.NO_DATA, cause, vmaf_program(), "run it by hand on two pictures")]
    text = f"VMAF median {statistics.median(vmafs):.1f}, lowest {min(vmafs):.1f}"
    return [*found, Check("vmaf", Outcome.PASS, text, f"{len(vmafs)} of these frames")]


async def synchronisation(measurement: Measurement, session: DesktopSession, *, seconds: float) -> list[Check]:
    """How late sound is against picture, by the desk's click track.

    A desk that was started with ``--clicks`` needs no folder: it clicks all the time.
    """
    folder = ProbeFolder(Path(session.desktop.probes)) if session.desktop.probes else None
    measurement.recorder.move(phase="probe")
    probe = session.synchronisation = SynchronisationProbe()
    try:
        for _ in range(math.ceil((seconds + _NOTICE_SECONDS) / _STEP_SECONDS)):
            if folder is not None:
                folder.ask("clicks")
            await session.watch(_STEP_SECONDS)
    finally:
        session.synchronisation = None
        if folder is not None:
            folder.stop("clicks")
    found = await asyncio.to_thread(probe.result)
    for pair in found.pairs:
        values = {"unix_seconds": pair.seen_unix_seconds, "offset_seconds": pair.offset_seconds}
        measurement.recorder.row(session.desktop.id, "synchronisation", values, phase="steady")
    check = judge_synchronisation(found)
    if folder is None and not found.seen:
        # Nobody promised clicks there.
        check = dataclasses.replace(check, outcome=Outcome.NOT_APPLICABLE)
    return [check]


def judge_synchronisation(found: Synchronisation) -> Check:
    """What one probe says."""
    evidence = f"{len(found.seen)} clicks seen, {len(found.heard)} heard in {found.packets} audio packets"
    if len(found.pairs) < _LEAST_PAIRS:
        if not found.seen:
            cause, remedy = "no click was seen", "run the desk there with --probes on a shared folder, or with --clicks"
        elif not found.packets:
            cause, remedy = "no audio packet came", "check the desktop's sound server in its log"
        elif not found.heard:
            cause, remedy = "no click was heard", "set PULSE_SERVER for the desk, and turn the desktop's volume up"
        else:
            cause, remedy = "sounds and pictures do not fit together", "try again with more seconds, and check the load"
        return Check("synchronisation", Outcome.NO_DATA, cause, evidence, remedy)
    offsets = [pair.offset_seconds for pair in found.pairs]
    middle = statistics.median(offsets)
    late = "audio late" if middle > 0 else "audio ahead"
    spread = f"{formats.seconds(min(offsets))} to {formats.seconds(max(offsets))}"
    return Check("synchronisation", Outcome.PASS, f"{formats.seconds(abs(middle))} {late} ({spread})", evidence)


async def audio_gaps(session: DesktopSession, *, audible: bool, seconds: float = 1.5) -> list[Check]:
    """Packets, codec, and what is missing between them.

    :param audible: something plays there without pause; a silent desktop sends nothing, which is no failure.
    :param seconds: more than one, because gaps are counted by whole seconds.
    """
    if not audible:
        return [Check("audio", Outcome.NOT_APPLICABLE, "the desktop is silent (audible = False)")]
    before, began = session.read(), time.time()
    await session.watch(seconds)
    after = session.read()
    count = after.audio_packets_received - before.audio_packets_received
    if not count:
        remedy = "play something there (2.x sends nothing while it is silent), or set audible to False"
        return [Check("audio", Outcome.NO_DATA, "no audio packet", f"{seconds:g} s watched", remedy)]
    missing = sum(second.missing_seconds for second in session.continuity.seconds if second.unix_seconds > began)
    lost = after.audio_packets_lost - before.audio_packets_lost
    losses = "" if math.isnan(lost) else f", {formats.counted(int(lost), 'packet')} lost"
    return [
        Check(
            "audio",
            Outcome.FAIL if missing else Outcome.PASS,
            f"{count / seconds:.0f} packets per second, {session.connection.audio_codec}; "
            + (f"{formats.seconds(missing)} of sound missing" if missing else "no gap"),
            f"{seconds:g} s watched{losses}",
            "check loss on the way and the desktop's load" if missing else "",
        )
    ]
