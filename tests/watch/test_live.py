"""A real desktop, watched as users watch it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import fields
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from vdibench.cli import cli
from vdibench.client import DesktopSession, FrameRecord, SampleSink, SessionOptions, open_http
from vdibench.errors import VdibenchError
from vdibench.records import Desktop
from vdibench.selkies import Role
from vdibench.watch import Down, Exposition, Gauge, Monitor, Reading, SessionFacts, Summary, WatchOptions

from .conftest import Watcher
from .relay import Relay

Start = Callable[..., Watcher]


class Frames(SampleSink):
    """A sink that counts complete frames and remembers when the last one came."""

    def __init__(self) -> None:
        self.complete = 0
        self.facts: dict[str, str] = {}

    def frame(self, session: str, record: FrameRecord) -> None:
        self.complete += record.complete

    def fact(self, session: str, key: str, value: str) -> None:
        self.facts[key] = value


class Log:
    """An output that keeps everything."""

    def __init__(self) -> None:
        self.sessions: list[SessionFacts] = []
        self.readings: list[tuple[Reading, Reading]] = []
        self.downs: list[Down] = []
        self.summaries: list[Summary] = []

    def connecting(self) -> None: ...

    def session(self, facts: SessionFacts) -> None:
        self.sessions.append(facts)

    def reading(self, now: Reading, minute: Reading) -> None:
        self.readings.append((now, minute))

    def down(self, down: Down) -> None:
        self.downs.append(down)

    def summary(self, summary: Summary) -> None:
        self.summaries.append(summary)


async def scrape(url: str) -> dict[str, float]:
    """Samples of an exposition by name and labels."""
    async with aiohttp.ClientSession() as client, client.get(url) as reply:
        assert reply.status == 200
        text = await reply.text()
    return {
        sample.name + "".join(f"{{{key}={value}}}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_json_lines_are_complete_and_plausible(on: Start, desktop: Desktop, guide: str) -> None:
    code, out, errors = on("--json", "--count", "3", "--interval", "0.5").end()
    assert (code, errors) == (0, "")
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["kind"] for record in records] == ["session", "reading", "reading", "reading", "summary"]
    session, *readings, summary = records
    for record, kind in ((session, SessionFacts), (readings[0], Reading), (summary, Summary)):
        assert set(record) == {"kind", *(field.name for field in fields(kind))}
    assert session["url"] == desktop.endpoint.url
    assert session["role"] == "viewer"
    assert (session["dialect"], session["codec"]) == ("selkies-2-webrtc", "H264")
    assert (session["width"], session["height"], session["nominal_frames_per_second"]) == (640, 360, 30)
    assert session["encoder_setting"] == "h264enc"
    assert session["hardware"] is None
    assert session["relay"] is False
    assert session["clock_bound_seconds"] == 0
    assert 0.01 < session["session_ready_seconds"] < 20
    for reading in readings:
        assert reading["interval_seconds"] == pytest.approx(0.5, abs=0.4)
        assert 1 < reading["frames_per_second"] < 45
        assert 0 < reading["glass_to_glass_p50_seconds"] <= reading["glass_to_glass_p95_seconds"]
        assert reading["glass_to_glass_p95_seconds"] <= reading["glass_to_glass_max_seconds"] < 10
        assert 0 < reading["glass_to_glass_samples"] <= reading["frames"]
        assert 0 < reading["decode_p95_seconds"] < 5
        assert 10_000 < reading["bitrate_bits_per_second"] < 50e6
        assert reading["packets_received"] >= reading["frames"]
        assert reading["inputs_sent"] == 0
        assert reading["input_to_photon_p50_seconds"] is None
    assert summary["readings"] == 3
    assert summary["error"] is None
    assert summary["glass_to_glass_samples"] >= sum(reading["glass_to_glass_samples"] for reading in readings)
    assert summary["packets_received"] >= sum(reading["packets_received"] for reading in readings)
    assert desktop.endpoint.credentials is not None
    assert desktop.endpoint.credentials.password not in out


@pytest.mark.parametrize("kind", [SessionFacts, Reading, Down, Summary])
def test_every_key_is_documented(kind: type, guide: str) -> None:
    section = guide.partition("## For scripts")[2].partition("## For Prometheus")[0]
    part = section.partition(f"`{kind.kind}`: ")[2]
    part = re.split(r"\n`\w+`: ", part)[0]
    assert [field.name for field in fields(kind) if f"`{field.name}`" not in part] == []


async def test_viewer_leaves_a_controller_undisturbed(on: Start, desktop: Desktop) -> None:
    frames = Frames()
    async with DesktopSession(desktop, frames, SessionOptions(role=Role.CONTROLLER)) as controller:
        await controller.first_frame()
        await controller.watch(1)
        said, settings = set(controller.messages), controller.messages["server_settings"]
        watcher = on("--json", "--count", "2", "--interval", "0.7")
        record = asyncio.create_task(asyncio.to_thread(watcher.record, "reading"))
        while not record.done():
            await controller.watch(0.1)
        async with open_http(desktop.endpoint) as http:
            reply = json.loads((await http.get("/api/sessions")).body)
        roles = sorted(session["role"] for session in reply["sessions"])
        assert roles == ["controller", "viewer"]
        before = frames.complete
        await controller.watch(1)
        assert frames.complete - before > 5, "the controller's stream stopped"
        code, _, errors = await asyncio.to_thread(watcher.end)
        assert (code, errors) == (0, "")
        before = frames.complete
        await controller.watch(1)
        assert frames.complete - before > 5, "the controller's stream stopped when the viewer left"
        # Nothing was set: the server would have announced another size, rate or encoder, or sent its settings anew.
        news = {name for name in set(controller.messages) - said if name.startswith("system:")}
        assert news == set()
        assert controller.messages["server_settings"] is settings
        assert frames.facts["picture.size"] == "640×360"


async def test_listening_outlives_the_desktop(on: Start, watch: Start, desktop: Desktop, guide: str) -> None:
    credentials = desktop.endpoint.credentials
    assert credentials is not None
    relay = Relay(desktop.endpoint.url)
    watcher = watch(relay.url, "--user", credentials.user, "--listen", ":0", password=credentials.password)
    metrics = (await asyncio.to_thread(watcher.line)).removeprefix("serving metrics at ")
    assert metrics.startswith("http://127.0.0.1:")
    down = await asyncio.to_thread(watcher.line)
    assert f"down: nothing answers at {relay.url}: connection refused" in down
    found = await scrape(metrics)
    assert found["vdibench_up"] == 0
    assert found["vdibench_glass_to_glass_latency_seconds_count"] == 0
    absent = {"vdibench_inbound_rtp_jitter_seconds", "vdibench_session_ready_duration_seconds"}
    assert not absent & set(found)

    await relay.open()
    await asyncio.to_thread(watcher.lines_until, "up: ")
    async with asyncio.timeout(20):
        while "vdibench_inbound_rtp_jitter_seconds" not in (found := await scrape(metrics)):
            pass
    assert found["vdibench_up"] == 1
    assert found["vdibench_reconnects_total"] >= 1
    assert found["vdibench_clock_bound_seconds"] == 0
    assert 0 < found["vdibench_session_ready_duration_seconds"] < 20
    assert 0 < found["vdibench_inbound_rtp_jitter_seconds"] < 1
    assert 1 < found["vdibench_inbound_rtp_frames_per_second"] < 45
    assert found["vdibench_inbound_rtp_packets_received_total{kind=video}"] > 10
    assert found["vdibench_inbound_rtp_packets_lost_total{kind=video}"] >= 0
    frames = found["vdibench_glass_to_glass_latency_seconds_count"]
    assert 0 < frames == found["vdibench_glass_to_glass_latency_seconds_bucket{le=+Inf}"]
    assert 0 < found["vdibench_glass_to_glass_latency_seconds_sum"] / frames < 10
    assert absent <= set(found)
    assert [name for name in found if (plain := re.split(r"[{]", name)[0]) and not documented(plain, guide)] == []
    assert not any(word in " ".join(found) for word in (credentials.password, credentials.user, "127.0.0.1"))

    await relay.close()
    await asyncio.to_thread(watcher.lines_until, "down: ")
    again = await scrape(metrics)
    assert again["vdibench_up"] == 0
    assert again["vdibench_glass_to_glass_latency_seconds_count"] >= frames, "counters fell"
    assert "vdibench_inbound_rtp_jitter_seconds" not in again
    watcher.interrupt(signal.SIGTERM)
    code, out, errors = await asyncio.to_thread(watcher.end)
    assert (code, errors) == (0, "")
    assert "reconnects" in out
    assert "glass-to-glass p50" in out


def documented(name: str, guide: str) -> bool:
    return any(f"`{name.removesuffix(ending)}`" in guide for ending in ("", "_bucket", "_sum", "_count"))


async def test_controller_measures_input_and_leaves_nothing_behind(desktop: Desktop) -> None:
    threads = set(threading.enumerate())
    gauge, log = Gauge(), Log()
    exposition = Exposition(gauge, sends_input=True)
    options = WatchOptions(desktop.endpoint, take_control=True, send_input=True, count=5, interval_seconds=0.5)
    await Monitor(options, gauge, [exposition, log]).run()
    await asyncio.get_running_loop().shutdown_default_executor()
    assert set(threading.enumerate()) <= threads
    assert (log.sessions[-1].role, log.sessions[-1].encoder, log.sessions[-1].hardware) == ("controller", "x264", False)
    assert len(log.readings) == 5
    minute = log.readings[-1][1]
    assert minute.frames == sum(now.frames for now, _ in log.readings)
    assert minute.interval_seconds == pytest.approx(sum(now.interval_seconds for now, _ in log.readings))
    summary = log.summaries[0]
    assert summary.inputs_sent >= 2
    assert summary.inputs_lost == 0
    assert summary.input_to_photon_p50_seconds is not None
    assert 0.001 < summary.input_to_photon_p50_seconds < 2
    families = {family.name: family for family in exposition.collect()}
    photon = {sample.name: sample.value for sample in families["vdibench_input_to_photon_latency_seconds"].samples}
    assert photon["vdibench_input_to_photon_latency_seconds_count"] == summary.inputs_sent


def test_refusals_are_one_line_with_the_right_code(desktop: Desktop, watch: Start) -> None:
    with socket.socket() as unheard, HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as site:
        unheard.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        serving = threading.Thread(target=site.serve_forever)
        serving.start()
        refused, other = (f"http://127.0.0.1:{port}" for port in (unheard.getsockname()[1], site.server_port))
        wrong = watch(desktop.endpoint.url, "--user", "lab", password="wrong")
        for arguments, wanted, cause in (
            ([refused], 98, f"nothing answers at {refused}: connection refused: "),
            ([other], 98, f"{other} is no Selkies desktop"),
            ([desktop.endpoint.url, "--json"], 2, "wants a user and a password: give --user"),
        ):
            with pytest.raises(VdibenchError) as caught:
                cli.main(["watch", *arguments], standalone_mode=False)
            assert caught.value.exit_code == wanted
            assert cause in str(caught.value)
            assert "\n" not in str(caught.value)
        site.shutdown()
        serving.join()
    code, _, errors = wrong.end()
    assert code == 2
    assert re.fullmatch(r"vdibench: error: .* refused user 'lab' and the password given: [^\n]+\n", errors), errors


def test_interrupt_gives_the_summary_and_takes_leave(on: Start, desktop: Desktop) -> None:
    watcher = on("--interval", "0.3")
    first = watcher.line()
    assert f"up: {desktop.endpoint.url} as viewer: selkies-2-webrtc, H264 Baseline" in first
    assert "640×360@30" in first
    assert " fps | " in watcher.line()
    watcher.interrupt()
    code, out, errors = watcher.end()
    assert (code, errors) == (0, "")
    assert re.search(r"watched \d+\.\d s of .* 0 reconnects, \d+ frames", out)
    assert "glass-to-glass p50" in out


def test_reader_that_goes_is_no_error(on: Start) -> None:
    watcher = on("--json", "--interval", "0.3")
    assert json.loads(watcher.line())["kind"] == "session"
    assert watcher.process.stdout is not None
    watcher.process.stdout.close()
    watcher.process.stdout = None
    code, _, errors = watcher.end()
    assert (code, errors) == (0, "")


def test_terminal_shows_a_live_view(on: Start, desktop: Desktop) -> None:
    master, slave = os.openpty()
    try:
        environment = {"COLUMNS": "80", "LINES": "30", "TERM": "xterm-256color"}
        before = {key: os.environ.get(key) for key in environment}
        os.environ.update(environment)
        try:
            watcher = on("--count", "2", "--interval", "0.6", stdout=slave, stderr=slave)
        finally:
            for key, value in before.items():
                if value is None:
                    del os.environ[key]
                else:
                    os.environ[key] = value
        os.close(slave)
        slave = -1
        shown = b""
        while chunk := _read(master):
            shown += chunk
        assert watcher.process.wait(10) == 0
    finally:
        os.close(master)
        if slave >= 0:
            os.close(slave)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    for expected in ("watching as viewer", desktop.endpoint.url, "g2g p95", "frames/s", "no relay", "watched 1."):
        assert expected in text, text
    assert shown.rstrip().rpartition(b"\x1b[?25")[2].startswith(b"h"), "the cursor stays hidden"


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:  # the other side is closed: how Linux ends a pseudo-terminal
        return b""


def test_desktop_that_dies_ends_the_watch(on: Start, desktop: Desktop) -> None:
    """The last test of this desktop."""
    watcher = on("--json", "--interval", "0.3")
    watcher.record("reading")
    server = next(pid for pid in desktop.pids if b"/selkies\0" in _command(pid))
    os.kill(server, signal.SIGKILL)
    killed = time.monotonic()
    record = watcher.record("summary")
    code, _, errors = watcher.end()
    assert code == 98
    assert re.fullmatch(r"vdibench: error: [^\n]+: [^\n]+\n", errors), errors
    assert f"vdibench: error: {record['error']}\n" == errors
    # Well before the 5 s without video after which even a silent network would be given up.
    assert time.monotonic() - killed < 4


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()
