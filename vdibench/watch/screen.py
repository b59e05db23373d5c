"""A watch on a terminal. rich draws in a thread of its own, a few times a second: the loop only leaves the numbers."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from vdibench.report.formats import NO_DATA, bits_per_second, clean, count, duration, plain, ratio, seconds, shorten
from vdibench.watch.lines import clock_note, encoder_text, summary_lines
from vdibench.watch.reading import Down, Reading, SessionFacts, Summary
from vdibench.watch.sparkline import sparkline

__all__ = ["Screen"]

_REFRESH_PER_SECOND = 2
_HISTORY = 120
_SPACIOUS = 100  # from here on, tiles have room for whole words
_WIDE = 76  # below, the table's two halves stand one under the other


class Screen:
    """An output of the monitor that keeps a live view; a context manager that gives the terminal back.

    :param url: what is watched, without secrets.
    :param metrics_url: where Prometheus may ask, or empty.
    """

    def __init__(self, console: Console, url: str, metrics_url: str = "") -> None:
        self._console = console
        self._url = url
        self._metrics_url = metrics_url
        self._began = time.monotonic()
        self._facts: SessionFacts | None = None
        self._now: Reading | None = None
        self._minute: Reading | None = None
        self._down: Down | None = None
        self._history: deque[float | None] = deque(maxlen=_HISTORY)
        self._live = Live(
            get_renderable=self.view, console=console, refresh_per_second=_REFRESH_PER_SECOND, transient=False
        )

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def connecting(self) -> None:
        """The line of the last error stays until there is a picture."""

    def session(self, facts: SessionFacts) -> None:
        """There is a picture."""
        self._facts, self._down = facts, None

    def reading(self, now: Reading, minute: Reading) -> None:
        """New numbers."""
        self._now, self._minute = now, minute
        self._history.append(now.glass_to_glass_p95_seconds)

    def down(self, down: Down) -> None:
        """The numbers are old now."""
        self._down, self._now = down, None
        self._history.append(None)

    def summary(self, summary: Summary) -> None:
        """The last view stays, the summary follows it."""
        self._live.stop()
        for line in summary_lines(summary):
            self._console.print(Text(line))

    # drawing, in rich's thread

    def view(self) -> RenderableType:
        """The whole view as it stands now."""
        now, minute = self._now, self._minute
        parts: list[RenderableType] = [self._header()]
        if minute is not None:
            parts += [self._tiles(now, minute), self._table(now, minute)]
            parts += [Text(f"! {warning}", style="bold yellow") for warning in _warnings(now)]
        if self._down is not None:
            parts.append(Text(f"! {clean(self._down.error)}", style="bold red"))
        return Group(*parts)

    def _header(self) -> RenderableType:
        facts, down = self._facts, self._down
        width = self._console.width
        elapsed = round(time.monotonic() - self._began)
        clock = f"{elapsed // 3600:d}:{elapsed // 60 % 60:02d}:{elapsed % 60:02d}"
        if down is not None:
            wait = max(0, round(down.unix_seconds + down.retry_seconds - time.time()))
            state = Text(f"down, next try in {wait} s" if wait else "down, trying again", style="bold red")
        elif facts is None:
            state = Text("connecting", style="bold yellow")
        else:
            state = Text(f"watching as {facts.role}", style="bold green")
        state.append(f"  {clock}", style="default not bold")
        top = Table.grid(expand=True)
        top.add_column(no_wrap=True)
        top.add_column(justify="right", no_wrap=True)
        top.add_row(Text(shorten(self._url, max(20, width - len(state) - 2)), style="bold"), state)
        lines: list[RenderableType] = [top]
        if facts is not None:
            lines += [Text(shorten(line, width), style="dim") for line in _facts_lines(facts)]
        if self._metrics_url:
            lines.append(Text(f"Prometheus: {self._metrics_url}", style="dim"))
        return Group(*lines)

    def _tiles(self, now: Reading | None, minute: Reading) -> RenderableType:
        tiles = Table.grid(expand=True, padding=(0, 0))
        nominal = minute.nominal_frames_per_second
        wide = self._console.width >= _SPACIOUS
        rate = _tile(
            "frames per second" if wide else "frames/s",
            plain(now.frames_per_second) if now else NO_DATA,
            f"minute {plain(minute.frames_per_second)}" + (f" of {nominal:g}" if wide and nominal is not None else ""),
            bad=bool(now and nominal and now.frames_per_second is not None and now.frames_per_second < 0.9 * nominal),
        )
        if not minute.glass_to_glass_samples:
            tiles.add_column(ratio=3)
            tiles.add_column(ratio=1)
            message = Text("no marker: start desk inside the desktop", justify="center", style="bold yellow")
            hint = Text("it draws what latency is measured by", justify="center", style="dim")
            tiles.add_row(Panel(Group(message, hint), title="glass-to-glass"), rate)
            return tiles
        note = clock_note(minute.clock_bound_seconds)
        for _ in range(4):
            tiles.add_column(ratio=1)
        tiles.add_row(
            *(
                _tile(
                    f"glass-to-glass {name}" if wide else f"g2g {name}",
                    seconds(getattr(now, field)) if now else NO_DATA,
                    f"minute {seconds(getattr(minute, field))}",
                )
                for name, field in (
                    ("p50", "glass_to_glass_p50_seconds"),
                    ("p95", "glass_to_glass_p95_seconds"),
                    ("max", "glass_to_glass_max_seconds"),
                )
            ),
            rate,
        )
        label = "p95 "
        tail = f" {note}" if note else ""
        line = sparkline(
            list(self._history),
            self._console.width - len(label) - len(tail) - 22,
            ascii_only=self._console.options.ascii_only,
        )
        span = Text.assemble((label, "dim"), (line.bars, "cyan"), (f" {line.caption}", "dim"), (tail, "bold yellow"))
        return Group(tiles, span)

    def _table(self, now: Reading | None, minute: Reading) -> RenderableType:
        halves = [_rows(now, minute)[:5], _rows(now, minute)[5:]]
        if self._console.width < _WIDE:
            return _half([row for half in halves for row in half])
        both = Table.grid(expand=True, padding=(0, 1))
        both.add_column(ratio=1)
        both.add_column(ratio=1)
        both.add_row(*(_half(half) for half in halves))
        return both


def _facts_lines(facts: SessionFacts) -> list[str]:
    size = "size unknown" if facts.width is None else f"{facts.width}×{facts.height}"
    rate = "" if facts.nominal_frames_per_second is None else f"@{facts.nominal_frames_per_second:g}"
    codec = " ".join(clean(part) for part in (facts.codec, facts.profile, facts.level) if part)
    relay = {True: "through a relay", False: "no relay", None: "relay unknown"}[facts.relay]
    return [
        f"{facts.dialect} · {codec} · {size}{rate} · first picture after {seconds(facts.session_ready_seconds)}",
        f"encoder {encoder_text(facts)}",
        f"{facts.candidate_pair or 'path unknown'} · {relay}",
    ]


def _tile(title: str, value: str, below: str, *, bad: bool = False) -> Panel:
    body = Group(
        Text(value, justify="center", style="bold red" if bad else "bold"), Text(below, justify="center", style="dim")
    )
    return Panel(body, title=title, border_style="dim")


def _half(rows: list[tuple[str, str, str]]) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1), header_style="dim")
    table.add_column("", no_wrap=True)
    table.add_column("now", justify="right", no_wrap=True)
    table.add_column("minute", justify="right", no_wrap=True, style="dim")
    for row in rows:
        table.add_row(*row)
    return table


def _rows(now: Reading | None, minute: Reading) -> list[tuple[str, str, str]]:
    def row(name: str, text: str, whole: str) -> tuple[str, str, str]:
        return name, text if now is not None else NO_DATA, whole

    last = now or minute
    rows = [
        row("bitrate", bits_per_second(last.bitrate_bits_per_second), bits_per_second(minute.bitrate_bits_per_second)),
        row("loss", ratio(last.packets_lost_ratio), ratio(minute.packets_lost_ratio)),
        row("jitter", seconds(last.jitter_seconds), seconds(minute.jitter_seconds)),
        row("freezes", count(last.freezes), f"{count(minute.freezes)} ({duration(minute.frozen_seconds)})"),
        row("NACK / PLI", _pair(last), _pair(minute)),
        row("decode p95", seconds(last.decode_p95_seconds), seconds(minute.decode_p95_seconds)),
        row("audio packets/s", plain(last.audio_packets_per_second), plain(minute.audio_packets_per_second)),
        row("this client's lag", seconds(last.event_loop_lag_seconds), seconds(minute.event_loop_lag_seconds)),
    ]
    if minute.inputs_sent:
        rows += [
            row(
                "input-to-photon",
                seconds(last.input_to_photon_p50_seconds),
                seconds(minute.input_to_photon_p50_seconds),
            ),
            row("inputs lost", count(last.inputs_lost), f"{count(minute.inputs_lost)} of {count(minute.inputs_sent)}"),
        ]
    return rows


def _pair(reading: Reading) -> str:
    return f"{count(reading.nack_count)} / {count(reading.pli_count)}"


def _warnings(now: Reading | None) -> list[str]:
    if now is None:
        return []
    found = []
    if now.frozen_for_seconds:
        found.append(f"the picture has stood still for {seconds(now.frozen_for_seconds)}")
    if not now.trustworthy:
        late = seconds(now.event_loop_lag_seconds)
        backlog = f", {count(now.decoder_backlog_frames)} frames wait" if now.decoder_backlog_frames else ""
        found.append(f"this client is up to {late} late{backlog}: latencies may be as much too high")
    return found
