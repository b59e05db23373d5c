"""A sink that keeps everything, and sessions on a replay."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from vdibench.client import DesktopSession, FrameRecord, Mode, SampleSink, SessionOptions
from vdibench.records import Desktop, Display, Endpoint
from vdibench.replay.departures import FrameTimes
from vdibench.replay.process import ReplayServer
from vdibench.selkies import Role


class Kept(SampleSink):
    """Of one session."""

    def __init__(self) -> None:
        self.frames: list[FrameRecord] = []
        self.facts: dict[str, str] = {}
        self.lock = threading.Lock()

    def frame(self, session: str, record: FrameRecord) -> None:
        with self.lock:
            self.frames.append(record)

    def fact(self, session: str, key: str, value: str) -> None:
        self.facts[key] = value

    def column(self, name: str) -> Any:
        with self.lock:
            return np.array([getattr(frame, name) for frame in self.frames], dtype=float)

    def times(self) -> FrameTimes:
        with self.lock:
            whole = [frame for frame in self.frames if frame.complete]
        return FrameTimes(
            np.array([frame.rtp_timestamp for frame in whole], dtype=np.int64),
            np.array([frame.arrival_unix_seconds for frame in whole], dtype=np.float64),
        )


def session(server: ReplayServer, kept: Kept, *, mode: Mode = Mode.DECODE, **options: Any) -> DesktopSession:
    desktop = Desktop("desktop-0", Endpoint(server.url), owned=True, display=Display(640, 360, 30))
    return DesktopSession(desktop, kept, SessionOptions(role=Role.CONTROLLER, mode=mode, **options))
