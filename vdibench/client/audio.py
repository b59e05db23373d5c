"""Sound as a stream of Opus packets: how much of it arrived, and where in it the desk's clicks are. Pure.

Time stamps are RTP's (RFC 7587: 48 kHz, modulo 2^32), -1 where the dialect carries none. Instants are this host's
wall clock. What a player adds (jitter buffer, resampling, sound card) is not here: a sample counts from the arrival
of its packet on.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt

__all__ = [
    "AudioContinuity",
    "AudioPacket",
    "AudioSecond",
    "click_onsets",
    "click_template",
    "decode_opus",
    "heard_clicks",
    "opus_seconds",
]

Samples = npt.NDArray[np.float32]

RATE = 48_000
# The desk's click (vdibench/desk/desk.py): a burst of 4 kHz, loudest in its middle.
CLICK_HERTZ = 4000.0
CLICK_SECONDS = 0.004
# Quieter than this (70 dB below full scale) is no click, however silent the rest is.
_FAINTEST = 3e-4
_ABOVE_THE_REST = 10.0
_CLICKS_APART_SECONDS = 0.3
# A desktop that pauses for longer was silent (Selkies 2.x sends nothing then), or started anew.
SILENCE_SECONDS = 1.0
_WRAP = 1 << 32


@dataclass(frozen=True, slots=True)
class AudioPacket:
    """One Opus packet.

    :param timestamp: of its first sample, 48 kHz, modulo 2^32; -1 when unknown.
    """

    payload: bytes
    timestamp: int
    arrival_unix_seconds: float


@dataclass(frozen=True, slots=True)
class AudioSecond:
    """One second of a stream in which packets came: a row of the table ``audio``."""

    unix_seconds: float
    packets: int
    received_seconds: float
    missing_seconds: float


def opus_seconds(payload: bytes) -> float:
    """How long a packet sounds, by its first byte (RFC 6716 §3.1); 0 when it is none."""
    if not payload:
        return 0.0
    configuration, code = payload[0] >> 3, payload[0] & 3
    if configuration < 12:
        frame = (0.01, 0.02, 0.04, 0.06)[configuration % 4]
    elif configuration < 16:
        frame = (0.01, 0.02)[configuration % 2]
    else:
        frame = (0.0025, 0.005, 0.01, 0.02)[configuration % 4]
    if code == 3:
        return frame * (payload[1] & 0x3F) if len(payload) > 1 else 0.0
    return frame * (1, 2, 2)[code]


class AudioContinuity:
    """Counts what is missing in a stream that should sound without pause.

    By time stamps a gap is exact. Without them a gap is sound that came later than all before it and was never caught
    up with: the smallest lateness of each second is compared with that of the second before, to a packet's length.
    A pause beyond :data:`SILENCE_SECONDS` is silence, not a gap.
    """

    def __init__(self) -> None:
        self.seconds: deque[AudioSecond] = deque(maxlen=3600)
        self._expected: int | None = None
        self._played = 0.0
        self._base = math.nan
        self._least = math.inf
        self._last = -math.inf
        self._second = -1
        self._packets = 0
        self._received = self._missing = 0.0

    def add(self, packet: AudioPacket) -> AudioSecond | None:
        """Take a packet; the second before it, when it is the first of a new one."""
        length, now = opus_seconds(packet.payload), packet.arrival_unix_seconds
        done = self.end() if self._second not in (-1, int(now)) else None
        self._second = int(now)
        if packet.timestamp >= 0:
            self._stamped(packet.timestamp, length)
        else:
            self._unstamped(now, length)
        self._packets += 1
        self._received += length
        self._last = now
        return done

    def end(self) -> AudioSecond | None:
        """Close the second that is open; None when it had no packet."""
        if not self._packets:
            return None
        if not math.isinf(self._least):
            late = self._least - self._base
            if math.isnan(late):
                self._base = self._least
            elif abs(late) >= self._received / self._packets:
                self._missing = max(0.0, late)
                self._base = self._least
        second = AudioSecond(self._last, self._packets, self._received, max(0.0, self._missing))
        self.seconds.append(second)
        self._packets, self._received, self._missing, self._least = 0, 0.0, 0.0, math.inf
        return second

    def _stamped(self, timestamp: int, length: float) -> None:
        span = round(length * RATE)
        if self._expected is not None:
            ahead = (timestamp - self._expected) % _WRAP
            if ahead >= _WRAP // 2:
                # Late: it was counted as missing when its successor came.
                if _WRAP - ahead < SILENCE_SECONDS * RATE:
                    self._missing -= length
                    return
            elif ahead < SILENCE_SECONDS * RATE:
                self._missing += ahead / RATE
        self._expected = (timestamp + span) % _WRAP

    def _unstamped(self, now: float, length: float) -> None:
        if now - self._last > SILENCE_SECONDS:
            self._played, self._base, self._least = now, math.nan, math.inf
        self._least = min(self._least, now - self._played)
        self._played += length


def decode_opus(packets: Iterable[AudioPacket]) -> tuple[Samples, npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Decode packets in order; packets that are not Opus are left out.

    :return: mono samples at 48 kHz, and for each decoded packet the index of its first sample and its arrival.
    """
    codec = av.CodecContext.create("opus", "r")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate = RATE
    codec.layout = "stereo"
    parts: list[Samples] = []
    starts: list[int] = []
    arrivals: list[float] = []
    position = 0
    for packet in packets:
        if not opus_seconds(packet.payload):
            continue  # an empty packet would end the decoder
        try:
            frames = codec.decode(av.Packet(packet.payload))
        except av.FFmpegError:
            continue
        starts.append(position)
        arrivals.append(packet.arrival_unix_seconds)
        for frame in frames:
            part = _mono(frame)
            parts.append(part)
            position += len(part)
    samples = np.concatenate(parts) if parts else np.empty(0, np.float32)
    return samples, np.array(starts, np.intp), np.array(arrivals, np.float64)


def _mono(frame: av.AudioFrame) -> Samples:
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, len(frame.layout.channels)).T
    scale = 1.0 if values.dtype.kind == "f" else 1.0 / (1 << (8 * values.dtype.itemsize - 1))
    mono: Samples = (values.mean(axis=0) * scale).astype(np.float32)
    return mono


def click_template(rate: int = RATE) -> Samples:
    """The click as the desk plays it, at level 1."""
    count = round(CLICK_SECONDS * rate)
    at = np.arange(count) + 0.5
    template: Samples = (np.sin(np.pi * at / count) ** 2 * np.sin(2 * np.pi * CLICK_HERTZ * at / rate)).astype(
        np.float32
    )
    return template


def click_onsets(samples: Samples, rate: int = RATE) -> npt.NDArray[np.float64]:
    """Where clicks begin, in samples with fractions.

    The envelope at 4 kHz peaks in the middle of a click, whatever its phase, and other sound passes it by unless it
    is a burst there too. Good to a tenth of a millisecond on what Opus makes of a click.

    :param samples: mono, full scale 1.
    """
    count = round(CLICK_SECONDS * rate)
    if len(samples) < 2 * count:
        return np.empty(0)
    at = np.arange(count) + 0.5
    hull = np.sin(np.pi * at / count) ** 2
    kernel = hull * np.exp(-2j * np.pi * CLICK_HERTZ * at / rate) * 2 / (hull**2).sum()
    size = 1 << (len(samples) + count).bit_length()
    # Correlation by the transform: sums over the kernel at every place.
    spectrum = np.fft.fft(samples, size) * np.conj(np.fft.fft(np.conj(kernel), size))
    envelope = np.abs(np.fft.ifft(spectrum)[: len(samples) - count + 1])
    bound = max(_FAINTEST, _ABOVE_THE_REST * float(np.median(envelope)))
    found: list[float] = []
    loud = np.flatnonzero(envelope > bound)
    apart = int(_CLICKS_APART_SECONDS * rate)
    while len(loud):
        group = loud[loud < loud[0] + apart]
        peak = int(group[np.argmax(envelope[group])])
        found.append(peak + _vertex(envelope, peak))
        loud = loud[loud >= max(group[-1] + 1, peak + apart)]
    return np.array(found)


def _vertex(values: npt.NDArray[np.float64], peak: int) -> float:
    """Offset of the summit of a parabola through a peak and its neighbours."""
    if not 0 < peak < len(values) - 1:
        return 0.0
    left, middle, right = values[peak - 1 : peak + 2]
    bend = left - 2 * middle + right
    return float((left - right) / (2 * bend)) if bend else 0.0


def heard_clicks(packets: Iterable[AudioPacket]) -> list[float]:
    """Unix seconds at which each click would begin to sound in a player without buffers: arrival of the packet that
    its first sample is in, and the place inside that packet."""
    samples, starts, arrivals = decode_opus(packets)
    heard = []
    for onset in click_onsets(samples):
        index = int(np.searchsorted(starts, onset, side="right")) - 1
        if index >= 0:
            heard.append(float(arrivals[index] + (onset - starts[index]) / RATE))
    return heard
