"""The sink of a watched desktop: samples come in from loop and decoder thread, readings go out. Thread-safe; no I/O.

A :class:`Slice` holds the raw samples of one interval; the slices of the last minute are kept, so that its percentiles
come from its own samples. What must last as long as the watch is kept as counters and distributions.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from vdibench.client import Counters, FrameRecord, InputRecord, NetworkRecord
from vdibench.metrics import Statistic
from vdibench.watch.distribution import Distribution
from vdibench.watch.freezes import FreezeCounter
from vdibench.watch.reading import Reading

__all__ = ["TRUST_LAG_SECONDS", "Gauge", "Totals"]

MINUTE_SECONDS = 60.0
# A fifth of the 50 ms that a good desktop may take: beyond it the client explains what it measures.
TRUST_LAG_SECONDS = 0.010
TRUST_BACKLOG_FRAMES = 5
_COUNTED = (
    "packets_received",
    "packets_lost",
    "bytes_received",
    "nack_count",
    "pli_count",
    "audio_packets_received",
    "audio_packets_lost",
)
# What a connection counts from.
_ZERO = Counters(packets_lost=0, jitter_seconds=0, nack_count=0, pli_count=0, audio_packets_lost=0, socket_drops=0)
_P50, _P95, _MAX = Statistic("p", 50), Statistic("p", 95), Statistic("max")


@dataclass
class Slice:
    """The samples of one interval."""

    ended: float = 0.0
    seconds: float = 0.0
    glass_to_glass: list[float] = field(default_factory=list)
    decode: list[float] = field(default_factory=list)
    input_to_photon: list[float] = field(default_factory=list)
    frames: int = 0
    inputs: int = 0
    freezes: int = 0
    frozen_seconds: float = 0.0
    lag: float | None = None
    before: Counters = _ZERO
    after: Counters = _ZERO


@dataclass
class Totals:
    """What happened since the watch began; counters never fall."""

    glass_to_glass: Distribution = field(default_factory=Distribution)
    input_to_photon: Distribution = field(default_factory=Distribution)
    decode: Distribution = field(default_factory=Distribution)
    frames: int = 0
    frames_incomplete: int = 0
    inputs: int = 0
    freezes: int = 0
    frozen_seconds: float = 0.0
    watched_seconds: float = 0.0
    readings: int = 0
    lag_max: float | None = None
    lossy: bool = False  # packets can be lost: a connection over RTP was among them
    packets_received: int = 0
    packets_lost: int = 0
    bytes_received: int = 0
    nack_count: int = 0
    pli_count: int = 0
    audio_packets_received: int = 0
    audio_packets_lost: int = 0


class Gauge:
    """A :class:`vdibench.client.SampleSink` for one desktop, over any number of connections."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.totals = Totals()
        self.facts: dict[str, str] = {}
        self.marker_seen = False
        self.ready_seconds: float | None = None
        # The desktop's clock minus ours; 0 on one host, None while two hosts' clocks were not compared well enough.
        self.clock_offset_seconds: float | None = 0.0
        self._started = math.nan
        self._minute: deque[Slice] = deque()
        self._slice = Slice()
        self._freezes = FreezeCounter()
        self._counters = _ZERO
        self._since = math.nan

    def connecting(self) -> None:
        """Forget what belonged to the connection before; totals stay."""
        with self.lock:
            self.facts = {}
            self.marker_seen = False
            self.ready_seconds = None
            self._slice = Slice()
            self._freezes = FreezeCounter()
            self._counters = _ZERO

    def begin(self) -> None:
        """The first interval of a connection begins: its first picture was decoded."""
        self._since = time.monotonic()

    # the sink

    def frame(self, session: str, record: FrameRecord) -> None:
        """One video frame."""
        with self.lock:
            self._freeze(record)
            if math.isnan(record.decoded_unix_seconds):
                return
            decode = record.decoded_unix_seconds - record.arrival_unix_seconds
            self._slice.decode.append(decode)
            self.totals.decode.add(decode)
            if math.isnan(record.marker_unix_seconds):
                return
            self.marker_seen = True
            if not record.marker_repeated:
                latency = record.decoded_unix_seconds - record.marker_unix_seconds
                self._slice.glass_to_glass.append(latency + (self.clock_offset_seconds or 0.0))
                # What lasts takes only what is known: an uncorrected value would stay its maximum for ever.
                if self.clock_offset_seconds is not None:
                    self.totals.glass_to_glass.add(latency + self.clock_offset_seconds)

    def _freeze(self, record: FrameRecord) -> None:
        if not record.complete:
            self.totals.frames_incomplete += 1
            return
        self._slice.frames += 1
        self.totals.frames += 1
        self._freezes.arrived(record.arrival_unix_seconds)

    def input(self, session: str, record: InputRecord) -> None:
        """One key press or click."""
        with self.lock:
            self._slice.inputs += 1
            self.totals.inputs += 1
            if not math.isnan(record.photon_unix_seconds):
                latency = record.photon_unix_seconds - record.sent_unix_seconds
                self._slice.input_to_photon.append(latency)
                self.totals.input_to_photon.add(latency)

    def network(self, session: str, record: NetworkRecord) -> None:
        """One reading of the counters; only the lag is taken, counters are read at each reading's own instant."""
        with self.lock:
            self._slice.lag = max(self._slice.lag or 0.0, record.event_loop_lag_seconds)
            self.totals.lag_max = max(self.totals.lag_max or 0.0, record.event_loop_lag_seconds)

    def milestone(self, session: str, event: str, unix_seconds: float) -> None:
        """One step of the session's life."""
        with self.lock:
            if event == "started":
                self._started = unix_seconds
            elif event == "first_frame":
                self.ready_seconds = unix_seconds - self._started

    def fact(self, session: str, key: str, value: str) -> None:
        """One thing that the session said of itself."""
        with self.lock:
            self.facts[key] = value

    def row(self, session: str, table: str, values: Mapping[str, Any]) -> None:
        """Rows of the tables that only run folders keep: a watch shows none of them."""

    # readings

    def take(
        self, counters: Counters, *, nominal: float | None, backlog: int, clock_bound_seconds: float | None
    ) -> tuple[Reading, Reading]:
        """End the interval.

        :param counters: of this connection, now.
        :param nominal: frames per second that the desktop is set to.
        :param backlog: frames that wait for the decoder.
        :returns: the reading of the interval and that of the last minute.
        """
        with self.lock:
            now, unix = time.monotonic(), time.time()
            if not backlog:
                # Frames that still wait would look like a freeze.
                self._freezes.passed(unix)
            piece, self._slice = self._slice, Slice()
            piece.ended, piece.seconds, self._since = now, now - self._since, now
            piece.before, piece.after, self._counters = self._counters, counters, counters
            self._count(piece)
            self._minute.append(piece)
            while self._minute[0].ended <= now - MINUTE_SECONDS:
                self._minute.popleft()
            return (
                self._reading([piece], unix, nominal, backlog, clock_bound_seconds),
                self._reading(self._minute, unix, nominal, backlog, clock_bound_seconds),
            )

    def lost(self, counters: Counters) -> None:
        """The connection ended: count what came since the last reading."""
        with self.lock:
            now = time.monotonic()
            self._slice.before, self._slice.after, self._counters = self._counters, counters, counters
            self._slice.seconds, self._since = now - self._since, now
            self._count(self._slice, reading=False)
            self._slice = Slice()

    def _count(self, piece: Slice, *, reading: bool = True) -> None:
        piece.freezes, self._freezes.count = self._freezes.count, 0
        piece.frozen_seconds, self._freezes.seconds = self._freezes.seconds, 0.0
        totals, before, after = self.totals, piece.before, piece.after
        totals.readings += reading
        totals.watched_seconds += piece.seconds
        totals.freezes += piece.freezes
        totals.frozen_seconds += piece.frozen_seconds
        for name in _COUNTED:
            gained = getattr(after, name) - getattr(before, name)
            if not math.isnan(gained):
                setattr(totals, name, getattr(totals, name) + int(gained))
        totals.lossy |= not math.isnan(after.packets_lost)

    def _reading(
        self,
        pieces: Sequence[Slice] | deque[Slice],
        unix_seconds: float,
        nominal: float | None,
        backlog: int,
        clock_bound_seconds: float | None,
    ) -> Reading:
        seconds = sum(piece.seconds for piece in pieces)
        latencies = _joined([piece.glass_to_glass for piece in pieces])
        photons = _joined([piece.input_to_photon for piece in pieces])
        frames = sum(piece.frames for piece in pieces)
        inputs = sum(piece.inputs for piece in pieces)
        received, size = _gained(pieces, "packets_received") or 0, _gained(pieces, "bytes_received") or 0
        # A late packet takes back a loss of the interval before.
        lost = _gained(pieces, "packets_lost")
        lost = lost if lost is None else max(0, lost)
        audio = _gained(pieces, "audio_packets_received") or 0
        jitters = [piece.after.jitter_seconds for piece in pieces if not math.isnan(piece.after.jitter_seconds)]
        lag = max((piece.lag for piece in pieces if piece.lag is not None), default=None)
        return Reading(
            unix_seconds=unix_seconds,
            interval_seconds=seconds,
            glass_to_glass_samples=len(latencies),
            glass_to_glass_p50_seconds=_P50.of(latencies),
            glass_to_glass_p95_seconds=_P95.of(latencies),
            glass_to_glass_max_seconds=_MAX.of(latencies),
            clock_bound_seconds=clock_bound_seconds,
            frames=frames,
            frames_per_second=_rate(frames, seconds),
            nominal_frames_per_second=nominal,
            freezes=sum(piece.freezes for piece in pieces),
            frozen_seconds=sum(piece.frozen_seconds for piece in pieces),
            frozen_for_seconds=self._freezes.frozen_for_seconds,
            decode_p95_seconds=_P95.of(_joined([piece.decode for piece in pieces])),
            bitrate_bits_per_second=_rate(8 * size, seconds),
            packets_received=received,
            packets_lost=lost,
            packets_lost_ratio=lost / (received + lost) if lost is not None and received + lost else None,
            jitter_seconds=max(jitters, default=None) if received else None,
            nack_count=_gained(pieces, "nack_count"),
            pli_count=_gained(pieces, "pli_count"),
            audio_packets_per_second=_rate(audio, seconds),
            inputs_sent=inputs,
            inputs_lost=inputs - len(photons),
            input_to_photon_p50_seconds=_P50.of(photons),
            input_to_photon_max_seconds=_MAX.of(photons),
            event_loop_lag_seconds=lag,
            decoder_backlog_frames=backlog,
            trustworthy=(lag is None or lag <= TRUST_LAG_SECONDS) and backlog <= TRUST_BACKLOG_FRAMES,
        )


def _gained(pieces: Sequence[Slice] | deque[Slice], name: str) -> int | None:
    """By how much a counter rose; None where no connection has it."""
    steps = [getattr(piece.after, name) - getattr(piece.before, name) for piece in pieces]
    known = [int(step) for step in steps if not math.isnan(step)]
    return sum(known) if known else None


def _joined(lists: list[list[float]]) -> pd.Series:
    return pd.Series([value for values in lists for value in values], dtype=float)


def _rate(amount: float, seconds: float) -> float | None:
    return amount / seconds if seconds > 0 else None
