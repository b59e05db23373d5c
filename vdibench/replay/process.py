"""The replay for those who use it: its process, started tied to this one and ended with its owner. I/O; blocking."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vdibench.children import Child
from vdibench.errors import VdibenchError
from vdibench.replay.departures import DepartureLog, FrameTimes
from vdibench.selkies import Dialect

__all__ = ["DIALECTS", "SPACING_SECONDS", "ReplayServer"]

DIALECTS = (Dialect.SELKIES_2_WEBRTC, Dialect.SELKIES_2_WEBSOCKET)
"""What a replay can speak."""

SPACING_SECONDS = 0.5
"""What Selkies wants between two WebSockets from one address."""

_START_SECONDS = 60.0
_ANSWER_SECONDS = 10.0


class ReplayServer:
    """A server to which any number of clients may connect; a context manager.

    The process ends with the thread that started it.

    :param trace: file to replay; None encodes a canned picture of ``width`` × ``height`` first, for two seconds.
    :param spacing_seconds: refuse a WebSocket that comes sooner after another one of the same address, as Selkies does
        in half a second; 0 refuses none.
    :param log: note when each frame leaves, for :meth:`departures`.
    :param native: send by the native module, where it is there.
    :ivar url: of the desktop that it stands for.
    :ivar packets_per_second: of each session, mean, ``frames_per_second`` likewise, ``bitrate_bps`` asked of its
        encoder.
    :ivar description: one line for people.
    """

    def __init__(
        self,
        trace: Path | None = None,
        *,
        width: int = 1920,
        height: int = 1080,
        framerate: int = 60,
        bitrate_bps: int = 8_500_000,
        dialect: Dialect = Dialect.SELKIES_2_WEBRTC,
        spacing_seconds: float = 0.0,
        log: bool = False,
        native: bool = True,
    ) -> None:
        canned = ["--width", str(width), "--height", str(height), "--framerate", str(framerate)]
        source = [*canned, "--bitrate", str(bitrate_bps)] if trace is None else ["--trace", str(trace.absolute())]
        how = ["--dialect", str(dialect), "--spacing", f"{spacing_seconds:g}"]
        switches = ["--log"] * log + ["--no-native"] * (not native)
        self._child = Child("vdibench.replay.server", (*source, *how, *switches))
        self.dialect = dialect
        self.description = ""
        self.url = ""
        self.packets_per_second = self.frames_per_second = self.bitrate_bps = 0.0

    @property
    def pid(self) -> int:
        """Of the process, for telemetry."""
        return self._child.pid

    def __enter__(self) -> Self:
        self._child.__enter__()
        try:
            said = self._child.hear(_START_SECONDS)
        except BaseException as error:  # whatever it is, Ctrl-C too: no child stays
            self._child.__exit__(type(error), error, error.__traceback__)
            raise
        self.url, self.description = said["url"], said["description"]
        self.packets_per_second = said["packets_per_second"]
        self.frames_per_second = said["frames_per_second"]
        self.bitrate_bps = said["bitrate_bps"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.__exit__(kind, error, trace)

    def count(self) -> dict[str, Any]:
        """What was sent until ``unix_seconds``.

        :return: ``packets``, ``bytes`` (RTP payload, or WebSocket messages), ``frames``, ``refused`` by sockets;
            ``sessions`` that are fed, ``begun`` until now, ``turned_away`` for coming too soon; ``late_seconds``, the
            largest delay with which anything left since the last call; ``overhead_bytes`` of a packet
            beside its payload; ``cpu_seconds`` of the process; ``native``.
        :raises TargetUnavailable: it stopped sending, and says why.
        :raises VdibenchError: the process has ended.
        """
        return self._ask("count")

    def departures(self) -> dict[str, FrameTimes]:
        """When frames left since the last call, by session, of those that are fed; names are the server's own.

        Over WebSocket the frames' numbers stand for time stamps, here and in the client's records, and frames that
        waited for the client are left out.

        :raises VdibenchError: the process has ended.
        """
        said = self._ask("departures")["sessions"]
        return {name: DepartureLog.read(one) for name, one in said.items()}

    def _ask(self, what: str) -> dict[str, Any]:
        with suppress(VdibenchError):  # it has ended: the last that it said is why
            self._child.say(what)
        return self._child.hear(_ANSWER_SECONDS)
