"""What the steps of notebook 02 conclude from what they saw. One function a step, each gives its checks."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from vdibench.client import DesktopSession, open_http
from vdibench.errors import VdibenchError
from vdibench.metrics import Statistic, values
from vdibench.records import Check, Desktop, Outcome
from vdibench.report import formats
from vdibench.selkies import Dialect

if TYPE_CHECKING:
    from vdibench.suites.measurement import Measurement

__all__ = [
    "first_frame",
    "frame_rate",
    "ice_pair",
    "input_echo",
    "latency",
    "left",
    "reachable",
    "relay",
    "sequence_parameters",
    "signalling",
]

SUITE = "stream_validation"
_FORGET_SECONDS = 5.0


async def reachable(desktop: Desktop) -> list[Check]:
    """Detection; a wrong address or service raises."""
    async with open_http(desktop.endpoint) as http:
        detection = await http.detect_or_refuse()
    return [Check("reachable", Outcome.PASS, detection.statement, f"GET {desktop.endpoint.url}/api/status")]


def signalling(session: DesktopSession, steps: Mapping[str, float]) -> list[Check]:
    """The milestones of the connect that just succeeded."""
    took = steps["channel_open"] - steps["started"]
    what = "WebSocket" if session.dialect is Dialect.SELKIES_2_WEBSOCKET else "data channel"
    parts = ", ".join(
        f"{name} {formats.seconds(steps[name] - steps['started'])}"
        for name in ("signalled", "offered", "ice_connected", "connected", "channel_open")
        if name in steps
    )
    return [Check("signalling", Outcome.PASS, f"{what} open after {formats.seconds(took)}", parts)]


async def ice_pair(session: DesktopSession) -> list[Check]:
    """The nominated pair."""
    pair = session.pair
    if session.dialect is Dialect.SELKIES_2_WEBSOCKET:
        return [Check("ice_pair", Outcome.NOT_APPLICABLE, "video comes over the WebSocket: there is no ICE")]
    if pair is None:
        return [Check("ice_pair", Outcome.NO_DATA, "no pair is nominated", "", "run the steps in order")]
    return [Check("ice_pair", Outcome.PASS, str(pair), "nominated candidate pair")]


async def relay(measurement: Measurement, desktop: Desktop, session: DesktopSession, *, wanted: bool) -> list[Check]:
    """A viewer beside the session, over the relay alone."""
    transports = sorted({server.transport for server in session.ice_servers if server.is_turn})
    if not wanted:
        return [Check("relay", Outcome.NOT_APPLICABLE, "not asked for (relay = False)")]
    if session.dialect is Dialect.SELKIES_2_WEBSOCKET:
        return [
            Check("relay", Outcome.NOT_APPLICABLE, "video comes over the WebSocket: a TURN server has no part in it")
        ]
    if not transports:
        return [
            Check(
                "relay",
                Outcome.FAIL,
                "the desktop names no TURN server",
                "GET /api/turn",
                "give it one: users behind a NAT cannot connect",
            )
        ]
    found = []
    for transport in transports:
        # A name of its own keeps its samples apart; as a viewer it disturbs nobody.
        probe = dataclasses.replace(desktop, id=f"{desktop.id}-relay-{transport}", owned=False)
        try:
            async with measurement.session(probe, relay_only=True, relay_transport=transport) as through:
                await through.first_frame()
                await through.watch(1.0)
                pair = through.pair
                steps = measurement.recorder.milestones(probe.id)
        except VdibenchError as error:
            # One broken transport is a finding; the others, and the rest of the walk, are still worth looking at.
            how = f"iceTransportPolicy relay, TURN over {transport}"
            found.append(Check(f"relay_{transport}", Outcome.FAIL, error.cause, how, error.remedy))
            continue
        relayed = pair is not None and pair.local_type == "relay"
        took = formats.seconds(steps["first_frame"] - steps["started"])
        found.append(
            Check(
                f"relay_{transport}",
                Outcome.PASS if relayed else Outcome.FAIL,
                f"first frame after {took} over {pair}",
                f"iceTransportPolicy relay, TURN over {transport}",
                "" if relayed else "check the TURN server's log",
            )
        )
    return found


async def sequence_parameters(session: DesktopSession) -> list[Check]:
    """Profile, level and what the stream says of reordering."""
    sps = session.picture.sps
    if sps is None and session.connection.video_codec not in ("", "H264"):
        finding = f"the desktop sends {session.connection.video_codec}, not H.264"
        return [Check("sps_without_reordering", Outcome.NOT_APPLICABLE, finding)]
    if sps is None:
        return [Check("sps_without_reordering", Outcome.NO_DATA, "no sequence parameter set was seen")]
    where = f"H.264 {sps.profile} level {sps.level}, {sps.width}×{sps.height}"
    evidence = f"pic_order_cnt_type {sps.picture_order_type}, max_num_reorder_frames {sps.reorder_frames}"
    if sps.reorders is False:
        return [Check("sps_without_reordering", Outcome.PASS, f"{where}: no reordering", evidence)]
    finding = "reorders frames" if sps.reorders else "leaves reordering open"
    return [
        Check(
            "sps_without_reordering",
            Outcome.FAIL,
            f"{where}: {finding}",
            evidence,
            "let the encoder write bitstream_restriction with max_num_reorder_frames 0, and no B-frames",
        )
    ]


def first_frame(measurement: Measurement) -> list[Check]:
    """All sessions that were started."""
    ready = values("session_ready_seconds", measurement.tables().tables, suite=SUITE)
    if not len(ready):
        return [Check("first_frame", Outcome.NO_DATA, "no session reached its first frame")]
    return [
        Check(
            "first_frame",
            Outcome.PASS,
            f"median {formats.seconds(float(ready.median()))}, at most {formats.seconds(float(ready.max()))}",
            f"{len(ready)} sessions, first request to first decoded frame",
        )
    ]


def frame_rate(measurement: Measurement, target: int) -> list[Check]:
    """Frames per second of the steady window against what was asked for."""
    found = values("frames_per_second", measurement.tables().tables, suite=SUITE, trial=0)
    mean = Statistic.parse("avg").of(found)
    if mean is None:
        return [
            Check("frame_rate", Outcome.NO_DATA, "no frame in the steady window", "", "look into the desktop's log")
        ]
    enough = mean >= 0.9 * target
    return [
        Check(
            "frame_rate",
            Outcome.PASS if enough else Outcome.FAIL,
            f"{mean:.1f} frames per second of {target}",
            f"{len(found)} seconds of the steady window",
            "" if enough else "check the encoder's load and the desktop's CPU limit",
        )
    ]


def latency(measurement: Measurement, session: DesktopSession, *, marked: bool, why: str = "") -> list[Check]:
    """Whether the marker was there to be read; how fast is the objectives' business.

    :param why: no desk draws, where that is known.
    """
    found = values("glass_to_glass_seconds", measurement.tables().tables, suite=SUITE, trial=0)
    if not len(found):
        if not marked and not session.picture.marker_seen:
            return [
                Check(
                    "latency",
                    Outcome.NO_DATA,
                    "no desk runs in this desktop, so glass-to-glass cannot be measured",
                    why or "no marker in any decoded frame",
                    "start vdibench/desk/desk.py inside the desktop",
                )
            ]
        return [
            Check("latency", Outcome.NO_DATA, "no marker could be read", "", "check that the desk is on the screen")
        ]
    shown = ", ".join(
        f"p{share} {formats.seconds(float(Statistic.parse(f'p({share})').of(found) or 0))}" for share in (50, 95, 99)
    )
    return [
        Check(
            "latency",
            Outcome.PASS,
            f"glass-to-glass {shown}",
            f"{len(found)} frames, marker drawn to frame decoded, display not included",
        )
    ]


def input_echo(measurement: Measurement, desktop: Desktop, wanted: int) -> list[Check]:
    """Every event must have made its change."""
    if not desktop.owned:
        return [Check("input", Outcome.NOT_APPLICABLE, "a viewer sends no input", "", "use take_control to test input")]
    if not wanted:
        return [Check("input", Outcome.NOT_APPLICABLE, "not asked for (inputs = 0)")]
    tables = measurement.tables().tables
    sent = values("input_loss_ratio", tables, suite=SUITE)
    if not len(sent):
        return [
            Check("input", Outcome.NO_DATA, "no event was sent", "", "the desk must run there, to show what arrives")
        ]
    lost = int(sent.sum())
    seen = values("input_to_photon_seconds", tables, suite=SUITE)
    median = formats.seconds(float(seen.median())) if len(seen) else "never"
    return [
        Check(
            "input",
            Outcome.FAIL if lost else Outcome.PASS,
            f"{len(sent) - lost} of {len(sent)} events shown, median {median} from sent to decoded",
            "key presses and clicks in turn, one outstanding at a time",
            "check focus and input permissions of the desktop" if lost else "",
        )
    ]


async def left(
    desktop: Desktop, steps: Mapping[str, float], *, legacy: bool = False, routed: bool = False
) -> list[Check]:
    """Leaving was quick, and the server lists no session of ours any more.

    :param legacy: Selkies 1.6, which has no such list.
    :param routed: what stands in front of the desktop may keep the list to itself.
    """
    took = steps["left"] - steps["leaving"]
    sessions: list[object] | None = None
    async with open_http(desktop.endpoint) as http:
        for _ in range(int(_FORGET_SECONDS / 0.1)):
            reply = await http.get("/api/sessions")
            if reply.status != 200:
                break
            try:
                sessions = list(json.loads(reply.body)["sessions"])
            except (ValueError, KeyError, TypeError):
                sessions = None
                break
            # A desktop that is not ours has other users; they are none of our business.
            if not desktop.owned or not sessions:
                break
            await asyncio.sleep(0.1)  # Selkies forgets within a second or two
    if sessions is None and legacy:
        finding = f"left within {formats.seconds(took)}; Selkies 1.6 lists no sessions"
        return [Check("clean_leave", Outcome.NOT_APPLICABLE, finding)]
    if sessions is None and routed:
        finding = f"left within {formats.seconds(took)}; the route lets no list of sessions through"
        return [Check("clean_leave", Outcome.NOT_APPLICABLE, finding, "GET /api/sessions")]
    if sessions is None:
        return [
            Check("clean_leave", Outcome.NO_DATA, f"left within {formats.seconds(took)}", "GET /api/sessions fails")
        ]
    if not desktop.owned:
        finding = f"left within {formats.seconds(took)}; whose the sessions are that stay is not ours to know"
        return [Check("clean_leave", Outcome.NOT_APPLICABLE, finding, f"{len(sessions)} sessions listed after")]
    evidence, forgotten = f"{len(sessions)} sessions listed after", not sessions
    return [
        Check(
            "clean_leave",
            Outcome.PASS if forgotten else Outcome.FAIL,
            f"left within {formats.seconds(took)}",
            evidence,
            "" if forgotten else "the server keeps dead sessions: look into its log",
        )
    ]
