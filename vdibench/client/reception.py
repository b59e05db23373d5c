"""Reception of one peer connection's media: SRTP in, frames and counters out, RTCP back.

Keys come from aiortc's DTLS transport, of which two private attributes are used: the SRTP session that receives, and
the call that encrypts and sends; three more where the native receiver has to decrypt, which needs the keys themselves.
Nothing here waits for a packet; each is dealt with in the call that brings it.
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
from vdibench.client.native import Lane, Run
from vdibench.client.rtcp import ReportBlock, parse_rtcp, receiver_report
from vdibench.client.rtp import RtpError, RtpHeader, is_rtcp, parse_header
from vdibench.client.streams import AudioStream, MediaSection
from vdibench.client.video import VideoStream

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
    :param native: the module ``vdibench_native`` where its receiver reads; None where everything comes as datagrams.
    :param authenticate: decrypt every video packet in the modes that do not.
    """

    def __init__(
        self,
        mode: Mode,
        frame: Callable[[AssembledFrame], None],
        first_packet: Callable[[float], None],
        audio: Callable[[bytes, int, float], None] | None = None,
        *,
        native: Any = None,
        authenticate: bool = False,
    ) -> None:
        self.native = native
        self._authenticate = authenticate
        self._keys: Any = None
        self._lanes: set[Lane] = set()
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
            self.video = VideoStream(
                video,
                self._mode,
                self._unprotect,
                self._emit,
                self._send,
                self._first_packet,
                authenticate=self._authenticate,
            )
            if self._mode in {Mode.METER, Mode.SAMPLED} and not self._authenticate:
                self._counted = self.video
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
        if self._authenticate and self.native is not None:
            self._keys = self.native.Keys(*_receiving_key(self._dtls))
        for lane in self._lanes:
            self._prepare(lane)
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

    # what the native receiver reads

    def opened(self, lane: Lane) -> None:
        """A socket is read by a lane from now on."""
        self._lanes.add(lane)
        if self._session is not None:
            self._prepare(lane)

    def _prepare(self, lane: Lane) -> None:
        if self.video is not None:
            lane.touch([*self.video.section.codecs, *self.video.section.retransmissions])
        lane.keys = self._keys

    def run(self, run: Run) -> None:
        """What a lane added up, in its order among the datagrams."""
        if self.video is not None and self._session is not None:
            self.video.take_run(run)

    def settled(self, lane: Lane) -> None:
        """All that the lane has read was handed over: it may be armed."""
        if self.video is not None and self._session is not None:
            self.video.arm(lane)

    def closing(self, lane: Lane) -> None:
        """The lane reads no more; what it added up is taken."""
        self._lanes.discard(lane)
        if self.video is not None:
            self.video.disarm(lane)

    def _emit(self, frame: AssembledFrame) -> None:
        if self._mode is Mode.SAMPLED and frame.decodable and self.hurry is not None:
            self.hurry(False)
        self._frame(frame)

    def _unprotect(self, packet: bytes) -> bytes | None:
        try:
            # Whoever decrypts must have seen every packet: with keys of its own that is the native receiver.
            clear: bytes = (self._keys or self._session).unprotect(packet)
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


def _receiving_key(dtls: Any) -> tuple[bytes, int]:
    """Key with salt of what the other side sends, and libsrtp's number of the profile (RFC 5764 §4.2)."""
    chosen = dtls._ssl.get_selected_srtp_profile()
    profile = next(one for one in dtls._srtp_profiles if one.openssl_profile == chosen)
    length = 2 * (profile.key_length + profile.salt_length)
    material = dtls._ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", length)
    return profile.get_key_and_salt(material, 0 if dtls._role == "server" else 1), profile.libsrtp_profile
