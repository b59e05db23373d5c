"""Reception of one peer connection's media: SRTP in, frames and counters out, RTCP back.

Keys come from aiortc's DTLS transport, of which two private attributes are used: the SRTP session that receives, and
the call that encrypts and sends. Nothing here waits for a packet; each is dealt with in the call that brings it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pylibsrtp

from vdibench.client.assembly import AssembledFrame
from vdibench.client.mode import SAMPLE_SECONDS, Mode
from vdibench.client.rtcp import ReportBlock, parse_rtcp, receiver_report
from vdibench.client.rtp import RtpError, RtpHeader, is_rtcp, parse_header
from vdibench.client.streams import AudioStream, MediaSection, VideoStream

__all__ = ["MediaReception"]

_REPORT_SECONDS = (0.8, 1.2)
# Media may overtake the end of our handshake: what a desktop sends within its last round trip.
_BACKLOG = 1024
_DELAY_UNITS = 65536


class MediaReception:
    """Takes every RTP and RTCP datagram of a peer connection.

    :param frame: called with each assembled video frame.
    :param first_packet: called with the arrival of the first video packet.
    :param audio: called with each audio payload, its RTP time stamp and its arrival; None leaves audio encrypted.
    """

    def __init__(
        self,
        mode: Mode,
        frame: Callable[[AssembledFrame], None],
        first_packet: Callable[[float], None],
        audio: Callable[[bytes, int, float], None] | None = None,
    ) -> None:
        self._mode = mode
        self._frame = frame
        self._first_packet = first_packet
        self._listener = audio
        self._dtls: Any = None
        self._session: Any = None
        self._backlog: deque[tuple[bytes, float]] = deque(maxlen=_BACKLOG)
        self._takers: dict[int, Callable[[bytes, RtpHeader, float], None]] = {}
        self._reports: dict[int, tuple[int, float]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.hurry: Callable[[bool], None] | None = None
        """Called with True while a picture is waited for that will be decoded, else with False."""
        self.video: VideoStream | None = None
        self.audio: AudioStream | None = None
        self._counted: VideoStream | None = None
        self.refused_count = 0
        """Datagrams that were broken, or did not decrypt: duplicates, foreign or forged ones."""

    def start(self, dtls: Any, video: MediaSection | None, audio: MediaSection | None) -> None:
        """Say what was negotiated; reception begins when ``dtls`` is connected.

        :param dtls: an :class:`aiortc.RTCDtlsTransport`.
        """
        self._dtls = dtls
        if video is not None:
            self.video = VideoStream(video, self._mode, self._unprotect, self._emit, self._send, self._first_packet)
            self._counted = self.video if self._mode in {Mode.METER, Mode.SAMPLED} else None
            self._takers.update(dict.fromkeys(video.codecs, self.video.take))
            self._takers.update(dict.fromkeys(video.retransmissions, self.video.take_retransmission))
        if audio is not None:
            self.audio = AudioStream(audio, self._unprotect, self._listener)
            self._takers.update(dict.fromkeys(audio.codecs, self.audio.take))
        dtls.add_listener("statechange", self._state_changed)
        self._state_changed()

    def _state_changed(self) -> None:
        if self._session is not None or self._closed or self._dtls.state != "connected":
            return
        self._session = self._dtls._rx_srtp
        backlog = tuple(self._backlog)
        self._backlog.clear()
        for packet, arrival in backlog:
            self.datagram(packet, arrival)
        self._report()
        if self._mode is Mode.SAMPLED and self.video is not None:
            self._later("sample", SAMPLE_SECONDS, self._sample)

    def datagram(self, packet: bytes, arrival: float) -> None:
        """Take a datagram whose first byte is 128 to 191 (RFC 7983).

        :param arrival: Unix seconds.
        """
        if self._session is None:
            if not self._closed:
                self._backlog.append((packet, arrival))
            return
        counted = self._counted
        if counted is not None and counted.continues(packet, arrival):
            return
        if is_rtcp(packet):
            self._control(packet, arrival)
            return
        try:
            header = parse_header(packet)
        except RtpError:
            self.refused_count += 1
            return
        take = self._takers.get(header[0])
        if take is not None:
            take(packet, header, arrival)

    def _emit(self, frame: AssembledFrame) -> None:
        if self._mode is Mode.SAMPLED and frame.decodable and self.hurry is not None:
            self.hurry(False)
        self._frame(frame)

    def _unprotect(self, packet: bytes) -> bytes | None:
        try:
            clear: bytes = self._session.unprotect(packet)
        except (pylibsrtp.Error, ValueError):  # ValueError: longer than libsrtp's buffer
            self.refused_count += 1
            return None
        return clear

    def _control(self, packet: bytes, arrival: float) -> None:
        try:
            reports = parse_rtcp(self._session.unprotect_rtcp(packet))
        except (pylibsrtp.Error, ValueError):
            self.refused_count += 1
            return
        for report in reports:
            if self.video is not None and report.ssrc == self.video.ssrc:
                self.video.clock.capture.report(report)
            elif self.audio is not None and report.ssrc == self.audio.ssrc:
                self.audio.clock.report(report)
            else:
                continue
            self._reports[report.ssrc] = (report.middle, arrival)

    # what goes back

    def _later(self, name: str, between: tuple[float, float], call: Callable[[], None]) -> None:
        self._timers[name] = asyncio.get_running_loop().call_later(random.uniform(*between), call)

    def _report(self) -> None:
        now = time.time()
        blocks: list[ReportBlock] = []
        for stream in (self.video, self.audio):
            if stream is not None:
                middle, came = self._reports.get(stream.ssrc, (0, now))
                block = stream.meter.report(middle, round((now - came) * _DELAY_UNITS))
                blocks += [block] if block is not None else []
        own = self.video or self.audio
        if own is not None and blocks:
            self._send(receiver_report(own.section.ssrc, blocks))
        self._later("report", _REPORT_SECONDS, self._report)

    def _sample(self) -> None:
        if self.video is not None:
            if self.hurry is not None:
                self.hurry(True)
            self.video.sample()
        self._later("sample", SAMPLE_SECONDS, self._sample)

    def _send(self, packet: bytes) -> None:
        if self._closed:
            return
        task = asyncio.get_running_loop().create_task(self._deliver(packet))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, packet: bytes) -> None:
        with suppress(ConnectionError, pylibsrtp.Error):  # the connection is going, and says so by its state
            await self._dtls._send_rtp(packet)

    def close(self) -> None:
        """Send and take nothing any more."""
        self._closed = True
        self._session = None
        self._backlog.clear()
        if self.video is not None:
            self.video.close()
        for timer in self._timers.values():
            timer.cancel()
        for task in self._tasks:
            task.cancel()
