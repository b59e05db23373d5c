"""A watch as lines of text: JSON for scripts, text for people, changes of state for a log. Writes to one stream."""

from __future__ import annotations

from typing import TextIO

from vdibench.report.formats import bits_per_second, clean, count, duration, instant, plain, ratio, seconds
from vdibench.watch.reading import Down, Reading, SessionFacts, Summary, to_json

__all__ = ["JsonLines", "StateLines", "TextLines", "clock_note", "encoder_text", "facts_text", "summary_lines"]


class JsonLines:
    """One JSON object a line, as it happens.

    :raises BrokenPipeError: by any call, when nobody reads any more.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def connecting(self) -> None:
        """Nothing: what comes of it will be said."""

    def session(self, facts: SessionFacts) -> None:
        """A line of kind ``session``."""
        self._write(facts)

    def reading(self, now: Reading, minute: Reading) -> None:
        """A line of kind ``reading``; the minute is the reader's to compute."""
        self._write(now)

    def down(self, down: Down) -> None:
        """A line of kind ``down``."""
        self._write(down)

    def summary(self, summary: Summary) -> None:
        """The last line, of kind ``summary``."""
        self._write(summary)

    def _write(self, record: SessionFacts | Reading | Down | Summary) -> None:
        print(to_json(record), file=self._stream, flush=True)


class StateLines:
    """A line when something changed: for the log of a watch that Prometheus asks for its numbers."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def connecting(self) -> None:
        """Nothing: what comes of it will be said."""

    def session(self, facts: SessionFacts) -> None:
        """What is being watched."""
        self._write(facts.unix_seconds, f"up: {facts_text(facts)}")

    def reading(self, now: Reading, minute: Reading) -> None:
        """Nothing: a reading is no change."""

    def down(self, down: Down) -> None:
        """Why it cannot be watched."""
        self._write(down.unix_seconds, f"down: {clean(down.error)}; next try in {duration(down.retry_seconds)}")

    def summary(self, summary: Summary) -> None:
        """The whole watch."""
        for line in summary_lines(summary):
            self._write(summary.unix_seconds, line)

    def _write(self, unix_seconds: float, text: str) -> None:
        print(f"{instant(unix_seconds)}  {text}", file=self._stream, flush=True)


class TextLines(StateLines):
    """A line a reading besides."""

    def reading(self, now: Reading, minute: Reading) -> None:
        """The interval."""
        parts = [
            _latency_text(now),
            f"{plain(now.frames_per_second)}{_of(now)} fps",
            bits_per_second(now.bitrate_bits_per_second),
            f"loss {ratio(now.packets_lost_ratio)}",
            f"jitter {seconds(now.jitter_seconds)}",
            f"freezes {count(now.freezes)}",
        ]
        if now.frozen_for_seconds:
            parts.append(f"frozen for {seconds(now.frozen_for_seconds)}")
        if now.inputs_sent:
            parts.append(f"input-to-photon {seconds(now.input_to_photon_p50_seconds)}")
        if now.inputs_lost:
            parts.append(f"inputs lost {count(now.inputs_lost)}")
        if not now.trustworthy:
            parts.append(f"client up to {seconds(now.event_loop_lag_seconds)} late: latencies may be as much too high")
        self._write(now.unix_seconds, " | ".join(parts))


def facts_text(facts: SessionFacts) -> str:
    """A connection in one line."""
    size = "size unknown" if facts.width is None else f"{facts.width}×{facts.height}"
    rate = "" if facts.nominal_frames_per_second is None else f"@{facts.nominal_frames_per_second:g}"
    codec = " ".join(clean(part) for part in (facts.codec, facts.profile, facts.level) if part)
    path = f"{facts.candidate_pair or 'path unknown'}{' through a relay' if facts.relay else ''}"
    ready = f"first picture after {seconds(facts.session_ready_seconds)}"
    return f"{facts.url} as {facts.role}: " + ", ".join(
        (facts.dialect, codec, encoder_text(facts), f"{size}{rate}", clean(path), ready)
    )


def encoder_text(facts: SessionFacts) -> str:
    """The encoder in use, or the one that was set where the server does not say more."""
    if facts.encoder is None:
        return f"{clean(facts.encoder_setting or 'encoder unknown')} (hardware or software: told to controllers only)"
    kind = {True: "hardware", False: "software", None: "hardware or software unknown"}[facts.hardware]
    return f"{clean(facts.encoder)} ({kind})"


def clock_note(clock_bound_seconds: float | None) -> str:
    """What must stand beside a one-way latency; empty on one host."""
    if clock_bound_seconds is None:
        return "clock offset unknown"
    return f"± {seconds(clock_bound_seconds)}" if clock_bound_seconds else ""


def _lost(summary: Summary) -> str:
    if summary.packets_lost is None:
        return ""  # over TCP nothing is lost
    return f", {count(summary.packets_lost)} of {count(summary.packets_received + summary.packets_lost)} packets lost"


def summary_lines(summary: Summary) -> list[str]:
    """The whole watch in a few lines."""
    if not summary.frames:
        return [f"no picture in {duration(summary.seconds)}, {count(summary.reconnects)} reconnects"]
    lines = [
        f"watched {duration(summary.watched_seconds)} of {duration(summary.seconds)}, "
        f"{count(summary.reconnects)} reconnects, {count(summary.frames)} frames "
        f"({plain(summary.frames_per_second)} per second), "
        f"{count(summary.freezes)} freezes ({seconds(summary.frozen_seconds)}){_lost(summary)}"
    ]
    if summary.glass_to_glass_samples:
        note = clock_note(summary.clock_bound_seconds)
        lines.append(
            f"glass-to-glass p50 {seconds(summary.glass_to_glass_p50_seconds)}, "
            f"p95 {seconds(summary.glass_to_glass_p95_seconds)}, p99 {seconds(summary.glass_to_glass_p99_seconds)}, "
            f"max {seconds(summary.glass_to_glass_max_seconds)} of {count(summary.glass_to_glass_samples)} frames"
            + (f", {note}" if note else "")
        )
    if summary.inputs_sent:
        lines.append(
            f"input-to-photon p50 {seconds(summary.input_to_photon_p50_seconds)}, "
            f"p95 {seconds(summary.input_to_photon_p95_seconds)}, max {seconds(summary.input_to_photon_max_seconds)}, "
            f"{count(summary.inputs_lost)} of {count(summary.inputs_sent)} not shown"
        )
    return lines


def _latency_text(reading: Reading) -> str:
    if not reading.glass_to_glass_samples:
        return "glass-to-glass no marker"
    note = clock_note(reading.clock_bound_seconds)
    return (
        f"glass-to-glass p50 {seconds(reading.glass_to_glass_p50_seconds)} "
        f"p95 {seconds(reading.glass_to_glass_p95_seconds)} max {seconds(reading.glass_to_glass_max_seconds)}"
        + (f" ({note})" if note else "")
    )


def _of(reading: Reading) -> str:
    return "" if reading.nominal_frames_per_second is None else f"/{reading.nominal_frames_per_second:g}"
