"""The parts of a watch, without a desktop."""

from __future__ import annotations

import json
import math
import random
import socket
import subprocess
import sys
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from vdibench.cli import cli
from vdibench.client import CandidatePair, FrameRecord, InputRecord, NetworkRecord
from vdibench.errors import AuthenticationError, TargetUnavailable, UsageError, VdibenchError
from vdibench.metrics.pacing import freezes
from vdibench.selkies import close_reason
from vdibench.watch import Down, Gauge, ListenAddress, Reading, Screen, SessionFacts, TextLines, parse_listen
from vdibench.watch.distribution import Distribution
from vdibench.watch.facts import clock_bound_seconds
from vdibench.watch.freezes import FreezeCounter
from vdibench.watch.gauge import Counters
from vdibench.watch.monitor import retry_seconds, worth_another_try
from vdibench.watch.reading import to_json
from vdibench.watch.sparkline import sparkline

FACTS = SessionFacts(
    unix_seconds=1.0,
    url="https://desktop.example.com/a/rather/long/path/to/a/desktop/behind/an/ingress",
    role="viewer",
    dialect="selkies-2-webrtc",
    codec="H264",
    profile="High",
    level="4.2",
    encoder="nvh264enc",
    encoder_setting="h264enc",
    encoder_reason=None,
    hardware=True,
    width=1920,
    height=1080,
    nominal_frames_per_second=60.0,
    candidate_pair="relay 198.51.100.200:49152 → host 203.0.113.200:65535",
    relay=True,
    session_ready_seconds=0.612,
    clock_bound_seconds=None,
    version="1",
)


def frame(arrival: float, latency: float = math.nan, *, complete: bool = True, repeated: bool = False) -> FrameRecord:
    decoded = arrival + 0.002 if complete else math.nan
    return FrameRecord(arrival, 0, 1, 1000, False, complete, decoded, decoded - latency, repeated)


def reading(gauge: Gauge, counters: Counters | None = None, backlog: int = 0) -> tuple[Reading, Reading]:
    return gauge.take(counters or Counters(), nominal=60, backlog=backlog, clock_bound_seconds=0.0)


@pytest.mark.parametrize("scale", [0.001, 0.03, 2.0])
def test_distribution_is_within_one_per_cent(scale: float) -> None:
    values = np.random.default_rng(1).lognormal(math.log(scale), 1.0, 5000)
    distribution = Distribution()
    for value in values:
        distribution.add(float(value))
    for q in (0.5, 0.95, 0.99, 1.0):
        true = float(np.quantile(values, q, method="inverted_cdf"))
        found = distribution.quantile(q)
        assert found is not None
        assert true <= found <= 1.01 * true
    assert distribution.max == values.max()
    assert distribution.sum == pytest.approx(values.sum())
    assert distribution.buckets() == [
        *((bound, int((values <= bound).sum())) for bound, _ in distribution.buckets()[:-1]),
        (math.inf, 5000),
    ]


def test_distribution_keeps_what_a_wrong_clock_makes() -> None:
    distribution = Distribution()
    assert distribution.quantile(0.5) is None
    for value in (-0.020, -0.010, 0.0):
        distribution.add(value)
    assert distribution.quantile(0.5) == pytest.approx(-0.010, rel=0.01)
    assert distribution.quantile(1.0) == 0.0


def test_freezes_are_those_of_the_metric() -> None:
    rng = random.Random(3)
    for _ in range(20):
        intervals = [rng.choice((0.016, 0.017, 0.033, 0.2, 0.6)) for _ in range(200)]
        counter, now = FreezeCounter(), 100.0
        counter.arrived(now)
        for interval in intervals:
            counter.passed(now + interval * rng.random())  # whether somebody looked meanwhile must not matter
            now += interval
            counter.arrived(now)
        frozen = freezes(np.array(intervals))
        assert counter.count == frozen.sum() > 0
        assert counter.seconds == pytest.approx(np.array(intervals)[frozen].sum())


def test_freeze_that_lasts_is_counted_while_it_lasts() -> None:
    counter = FreezeCounter()
    for index in range(10):
        counter.arrived(index / 60)
    counter.passed(9 / 60 + 0.1)
    assert (counter.count, counter.frozen_for_seconds) == (0, 0)
    counter.passed(9 / 60 + 1.0)
    counter.passed(9 / 60 + 3.0)
    assert counter.count == 1
    assert counter.seconds == pytest.approx(3.0)
    assert counter.frozen_for_seconds == pytest.approx(3.0)
    counter.arrived(9 / 60 + 4.0)
    assert (counter.count, counter.frozen_for_seconds) == (1, 0)
    assert counter.seconds == pytest.approx(4.0)


def test_nothing_measured_is_null_and_not_zero() -> None:
    gauge = Gauge()
    gauge.connecting()
    gauge.begin()
    now, _ = reading(gauge)
    record = json.loads(to_json(now))
    latencies = [key for key in record if "_p50_" in key or "_p95_" in key or "_max_" in key]
    assert len(latencies) == 6
    for key in (*latencies, "packets_lost_ratio", "jitter_seconds", "event_loop_lag_seconds"):
        assert record[key] is None, key
    assert record["frames"] == 0


def test_readings_count_each_sample_once() -> None:
    gauge = Gauge()
    gauge.connecting()
    gauge.milestone("desktop", "started", 10.0)
    gauge.milestone("desktop", "first_frame", 10.5)
    assert gauge.ready_seconds == 0.5
    gauge.begin()
    for latency in (0.020, 0.030, 0.040):
        gauge.frame("desktop", frame(1.0, latency))
    gauge.frame("desktop", frame(1.0, 9.0, repeated=True))
    gauge.frame("desktop", frame(1.0, complete=False))
    gauge.input("desktop", InputRecord("key", 1.0, 1.05))
    gauge.input("desktop", InputRecord("key", 2.0, math.nan))
    gauge.network("desktop", NetworkRecord(1.0, 0, 0, 0, 0.0, 0, 0, 0, 0.02))
    first, _ = reading(gauge, Counters(100, 5, 1000, 2, 1, 50, 0, 0.003))
    assert first.glass_to_glass_samples == 3
    assert first.glass_to_glass_p50_seconds == pytest.approx(0.030)
    assert first.glass_to_glass_max_seconds == pytest.approx(0.040)
    assert (first.frames, first.inputs_sent, first.inputs_lost) == (4, 2, 1)
    assert first.input_to_photon_p50_seconds == pytest.approx(0.05)
    assert first.packets_lost_ratio == pytest.approx(5 / 105)
    assert not first.trustworthy
    second, minute = reading(gauge, Counters(200, 4, 3000, 2, 1, 150, 0, 0.001))
    assert (second.frames, second.packets_received, second.packets_lost) == (0, 100, 0)
    assert second.trustworthy
    assert minute.packets_lost_ratio == pytest.approx(4 / 204)
    assert minute.glass_to_glass_samples == 3
    gauge.lost(Counters(250, 4, 3500, 2, 1, 160, 0, 0.001))
    gauge.connecting()
    gauge.begin()
    third, _ = reading(gauge, Counters(10, 1, 100))
    assert third.packets_received == 10
    assert gauge.totals.packets_received == 260
    assert gauge.totals.packets_lost == 5
    assert gauge.totals.readings == 3


def test_frames_that_wait_for_the_decoder_are_no_freeze() -> None:
    for backlog, expected in ((3, 0), (0, 1)):
        gauge = Gauge()
        gauge.connecting()
        gauge.begin()
        for index in range(10):
            gauge.frame("desktop", frame(index / 60))  # long ago
        assert reading(gauge, backlog=backlog)[0].freezes == expected


def test_retries_back_off_to_half_a_minute() -> None:
    for failures in range(2000):
        delay = retry_seconds(failures % 12)
        assert 1 <= delay <= 30
        if failures % 12 == 0:
            assert delay <= 2
        if failures % 12 >= 5:
            assert delay >= 15
    assert len({retry_seconds(8) for _ in range(10)}) > 1


@pytest.mark.parametrize(
    ("error", "first", "later"),
    [
        (TargetUnavailable("nothing answers"), True, True),
        (close_reason(1001), True, True),
        (close_reason(4001, "Superseded by a new controller connection."), False, False),
        (AuthenticationError("wrong password"), False, True),
        (UsageError("cannot read the CA file"), False, False),
        (VdibenchError("the client failed"), False, False),
    ],
)
def test_only_what_time_may_heal_is_tried_again(error: VdibenchError, first: bool, later: bool) -> None:
    assert worth_another_try(error, pictured=False) is first
    assert worth_another_try(error, pictured=True) is later


def test_time_that_runs_out_without_a_picture_is_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        arguments = ["watch", url, "--json", "--reconnect", "--duration", "0.3"]
        with pytest.raises(TargetUnavailable, match="connection refused"):
            cli.main(arguments, standalone_mode=False)
    down, summary = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert down["kind"] == "down"
    assert 1 <= down["retry_seconds"] <= 2
    assert summary["kind"] == "summary"
    assert summary["error"] == down["error"]
    assert summary["glass_to_glass_p50_seconds"] is summary["frames_per_second"] is None


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (":9464", "127.0.0.1", 9464),
        ("0.0.0.0:80", "0.0.0.0", 80),
        ("[::1]:0", "::1", 0),
        ("[::]:9464", "::", 9464),
        ("9464", "127.0.0.1", 9464),
        ("probe.example.com:9464", "probe.example.com", 9464),
    ],
)
def test_address_to_listen_at(text: str, host: str, port: int) -> None:
    assert parse_listen(text) == ListenAddress(host, port)


@pytest.mark.parametrize("text", ["", ":", "host:", ":70000", "::1:80", ":http", ":-1", ":٣"])
def test_address_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="is not an address to listen at"):
        parse_listen(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["http://localhost:1", "--input"], "--input sends key presses and clicks.*add --take-control"),
        (["http://user:secret@localhost:1"], "the URL holds credentials"),
        (["desktop.example.com"], "is not the URL of a desktop"),
        (["http://localhost:1", "--user", "u"], "no password for user 'u'"),
        (["http://localhost:1", "--listen", "x"], "'x' is not an address to listen at"),
        (["http://localhost:1", "--password-file", "/nonexistent"], "cannot read password file"),
        (["https://localhost:1", "--ca-file", "/nonexistent"], "cannot read the CA file"),
        (["http://localhost:1", "--listen", "nobody.invalid:9464"], "cannot listen at nobody.invalid:9464"),
    ],
)
def test_wrong_use_is_said_in_one_line(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("VDIBENCH_PASSWORD", raising=False)
    with pytest.raises(UsageError, match=message) as caught:
        cli.main(["watch", *arguments], standalone_mode=False)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_port_in_use_is_said_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot listen at 127.0.0.1:{port}: address already in use: choose"):
            cli.main(["watch", "http://localhost:1", "--listen", f":{port}"], standalone_mode=False)


def test_clock_is_ours_only_when_page_and_picture_come_from_here() -> None:
    here = CandidatePair("host", "127.0.0.1:1", "host", "127.0.0.1:2")
    elsewhere = CandidatePair("host", "192.0.2.9:1", "host", "203.0.113.77:2")
    assert clock_bound_seconds("http://localhost:8080", here) == 0
    assert clock_bound_seconds("http://localhost:8080", elsewhere) is None
    assert clock_bound_seconds("http://203.0.113.77:8080", here) is None


def filled_screen(width: int, facts: SessionFacts, latency: float) -> str:
    output = StringIO()
    console = Console(file=output, width=width, height=40, force_terminal=False, color_system=None)
    screen = Screen(console, facts.url, "http://127.0.0.1:9464/metrics")
    gauge = Gauge()
    gauge.connecting()
    gauge.begin()
    screen.session(facts)
    for index in range(150):
        gauge.frame("desktop", frame(index / 60, latency))
        gauge.network("desktop", NetworkRecord(1.0, 0, 0, 0, 0.0, 0, 0, 0, 0.06))
        gauge.input("desktop", InputRecord("key", 1.0, 1.05))
        now, minute = gauge.take(Counters(index * 1000), nominal=60, backlog=0, clock_bound_seconds=None)
        screen.reading(replace(now, frozen_for_seconds=12.3), minute)
    console.print(screen.view())
    screen.down(Down(1.0, "the desktop went away\x1b[2J: look into its log", 3.0))
    console.print(screen.view())
    return output.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_view_fits_its_terminal(width: int) -> None:
    shown = filled_screen(width, FACTS, 0.021)
    assert max(map(len, shown.splitlines())) <= width
    assert "\x1b" not in shown
    flat = " ".join(shown.split())
    for expected in ("clock offset unknown", "60.0 ms late", "stood still for 12.3 s", "the desktop went away", "9464"):
        assert expected in flat
    if width >= 80:
        for expected in ("nvh264enc (hardware)", "through a relay", "1920×1080@60", "watching as viewer", "21.0 ms"):
            assert expected in flat


@pytest.mark.parametrize("width", [80, 120])
def test_view_without_desk_says_what_to_do(width: int) -> None:
    shown = filled_screen(width, FACTS, math.nan)
    assert "no marker: start desk inside the desktop" in shown
    assert "clock offset" not in shown


def test_text_says_when_clocks_were_not_compared() -> None:
    output = StringIO()
    gauge = Gauge()
    gauge.connecting()
    gauge.begin()
    gauge.frame("desktop", frame(1.0, 0.02))
    TextLines(output).reading(*gauge.take(Counters(), nominal=None, backlog=0, clock_bound_seconds=None))
    assert "max 20.0 ms (clock offset unknown) | " in output.getvalue()


def test_sparkline() -> None:
    assert sparkline([0.0, 0.05, None, 0.1], 10).bars == "▁▅ █"
    assert sparkline([0.1] * 10, 4) == ("████", "full height 100 ms")
    assert sparkline([0.1, -0.1], 4, ascii_only=True).bars == "#_"
    assert sparkline([], 4) == ("", "")


def test_watch_can_be_imported_on_other_systems() -> None:
    """As on Windows: modules that only Unix has are missing when ours are imported."""
    script = """
import sys
import aiohttp, aiortc, click, pandas, prometheus_client, psutil, rich.live
import matplotlib.figure
for name in ("fcntl", "grp", "pwd", "pty", "resource", "syslog", "termios", "tty"):
    sys.modules[name] = None
sys.platform = "win32"
import vdibench.commands.watch
assert not [name for name in sys.modules if name.startswith(("vdibench.lab", "vdibench.suites"))]
import vdibench.watch, vdibench.targets.credentials
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
