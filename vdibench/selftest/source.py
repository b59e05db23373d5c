"""A source of canned video for many clients at once, as a process of its own. I/O.

It is what the cost of a client mode is measured against: real signalling, ICE, DTLS and SRTP, canned pictures, so that
neither an encoder nor a screen takes the processor from the client. ``vdibench.selftest.server`` is the process.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from vdibench.selftest.children import Child

__all__ = ["Source"]

_START_SECONDS = 60.0
_ANSWER_SECONDS = 10.0


class Source:
    """The process; a context manager.

    :param url: of the desktop that it stands for; any number of clients may connect.
    :param packets_per_second: of each session, mean.
    """

    def __init__(
        self, *, width: int = 1920, height: int = 1080, framerate: int = 60, bitrate_bps: int = 8_500_000
    ) -> None:
        size = ("--width", str(width), "--height", str(height))
        self._child = Child(
            "vdibench.selftest.server", (*size, "--framerate", str(framerate), "--bitrate", str(bitrate_bps))
        )
        self.description = f"canned H.264 {width}×{height}@{framerate}, {bitrate_bps / 1e6:g} Mbit/s"
        self.bitrate_bps = bitrate_bps
        self.url = ""
        self.packets_per_second = 0.0

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
        self.url, self.packets_per_second = said["url"], said["packets_per_second"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.__exit__(kind, error, trace)

    def count(self) -> dict[str, Any]:
        """What was sent until ``unix_seconds``: ``packets``, ``bytes`` (RTP payload), ``refused`` by sockets.

        ``sessions`` are those that are fed, ``overhead_bytes`` of a packet RTP header and SRTP tag, ``late_seconds``
        the largest delay with which a frame left since the last call.
        """
        self._child.say("count")
        return self._child.hear(_ANSWER_SECONDS)
