"""A real Prometheus scrapes a replay of a DCGM exporter, and what it says of it becomes figures."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest

from vdibench.analysis.limits import limits
from vdibench.analysis.metadata import CONDITIONS
from vdibench.errors import TargetUnavailable, UsageError
from vdibench.lab.cluster import dcgm as replay
from vdibench.lab.ports import PortLeases
from vdibench.metrics import values
from vdibench.preflight.cluster_readings import ExporterReading
from vdibench.preflight.exporter_probe import read_exporter
from vdibench.records import RunState
from vdibench.records.gpus import scraped_gpus
from vdibench.store import Recording
from vdibench.suites import stream_validation
from vdibench.suites.measurement import Measurement
from vdibench.telemetry import Sampler
from vdibench.telemetry.gpus import GpuFigure
from vdibench.telemetry.prometheus import Prometheus
from vdibench.telemetry.scraped import DcgmGpus

from .waiting import PATIENCE, until

RECORDINGS = Path(__file__).resolve().parents[1] / "data" / "dcgm"
TRACE = RECORDINGS.parent / "replay" / "text.trace"
SUITE = "stream_validation"
CONFIGURATION = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: nvidia-dcgm-exporter
    static_configs: [{{targets: ["{target}"]}}]
    metric_relabel_configs: [{relabelings}]
"""


class Exporter:
    """A replay in a process of its own; its values come back within four seconds."""

    def __init__(self, recording: str) -> None:
        file = RECORDINGS / f"{recording}.prom"
        line = [sys.executable, replay.__file__, f"--recording={file}", "--port=0", "--period=4"]
        self.process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    @property
    def target(self) -> str:
        return self.url.removeprefix("http://").removesuffix("/metrics")

    def end(self) -> int:
        self.process.terminate()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.process.wait(PATIENCE)


class Server:
    """Debian's Prometheus on loopback, which scrapes one target each second."""

    def __init__(self, folder: Path, port: int, target: str, relabelings: str) -> None:
        configuration = folder / "prometheus.yml"
        configuration.write_text(CONFIGURATION.format(target=target, relabelings=relabelings))
        line = ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}"]
        line += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(line, stdout=log, stderr=log, cwd=folder)
        self.client = Prometheus(f"http://127.0.0.1:{port}")
        until(self._ready, "Prometheus")

    def _ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.client.ready()
        except TargetUnavailable:
            return False

    def end(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def exporter() -> Iterator[Callable[[str], Exporter]]:
    started: list[Exporter] = []

    def start(recording: str) -> Exporter:
        started.append(Exporter(recording))
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str], Server]]:
    """Starts a Prometheus for one target."""
    leases = PortLeases()
    started: list[Server] = []

    def start(target: str, relabelings: str = "") -> Server:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Server(folder, leases.lease().start, target, relabelings))
        return started[-1]

    yield start
    for one in started:
        one.end()
    leases.close()


def test_the_replay_says_that_it_is_one_and_ends_when_told(exporter: Callable[[str], Exporter]) -> None:
    running = exporter("two-gpus")
    with urllib.request.urlopen(running.url) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = answer.read().decode()
    assert 'vdibench_replay_info{exporter="dcgm",recording="two-gpus.prom"} 1\n' in text
    with urllib.request.urlopen(running.url.replace("/metrics", "/health")) as answer:
        assert answer.status == 200
    with pytest.raises(HTTPError, match="404") as caught:
        urllib.request.urlopen(running.url.replace("/metrics", "/"))
    caught.value.close()
    assert running.end() == 0


def test_figures_of_a_sliced_gpu_until_its_exporter_ends(
    exporter: Callable[[str], Exporter], serve: Callable[[str], Server]
) -> None:
    running = exporter("time-sliced")
    server = serve(running.target)
    client = server.client
    assert client.version().startswith("2.")
    until(lambda: client.query("DCGM_FI_DEV_GPU_UTIL"), "the first scrape")
    (target,) = client.targets()
    assert (target.job, target.instance, target.interval_seconds) == ("nvidia-dcgm-exporter", running.target, 1.0)
    # The device's own and eight shares beside it.
    assert len(client.query("DCGM_FI_DEV_GPU_UTIL")) == 9
    (info,) = client.query("vdibench_replay_info")
    assert info.labels["recording"] == "time-sliced.prom"

    with DcgmGpus(client) as gpus:
        figures: list[GpuFigure] = []

        def power() -> set[float]:
            figures.extend(gpus.figures())
            return {one.value for one in figures if one.resource == "gpu_power_watts"}

        until(lambda: len(power()) >= 3, "values that move")
        assert {one.scope for one in figures} == {"gpu-0"}
        assert {one.resource for one in figures} == {
            "gpu_utilization_ratio",
            "gpu_encoder_utilization_ratio",
            "gpu_memory_bytes",
            "gpu_power_watts",
            "gpu_engine_active_ratio",
            "gpu_sm_active_ratio",
        }
        assert all(0.8 * 58.214 - 0.01 <= value <= 58.214 for value in power())
        use = [one for one in figures if one.resource == "gpu_utilization_ratio"]
        assert all(0.66 <= one.value <= 0.83 for one in use)
        instants = [one.unix_seconds for one in use]
        # One figure a scrape, each with the instant of its own.
        assert None not in instants
        assert instants == sorted(set(instants))
        assert all(later - earlier > 0.5 for earlier, later in itertools.pairwise(instants))
        rows = Sampler([], emit=lambda rows: None, gpus=gpus).read()
        assert not [row for row in rows if "vdi-session" in row["session"]]

        now = client.query("time()")[0].value
        (series,) = client.query_range("max(DCGM_FI_DEV_GPU_UTIL)", start=now - 2, end=now, step_seconds=1)
        assert all(66 <= value <= 83 for _, value in series.points)

        running.end()
        until(lambda: client.query("DCGM_FI_DEV_GPU_UTIL") == (), "the end of the series")
        # What was scraped is still there, and still it is no value any more.
        assert client.scraped("DCGM_FI_DEV_GPU_UTIL", seconds=60, at=client.query("time()")[0].value)
        until(lambda: "cannot scrape" in gpus.facts().get("telemetry.gpus.no_data", ""), "the reason")
        assert f"cannot scrape nvidia-dcgm-exporter at {running.target}: " in gpus.facts()["telemetry.gpus.no_data"]
        gpus.figures()
        assert gpus.figures() == []
        assert client.targets()[0].healthy is False


@pytest.mark.parametrize(
    ("recording", "scopes"),
    [("two-gpus", {"gpu-0", "gpu-1"}), ("mig", {"gpu-0", "gpu-0/1", "gpu-0/3"}), ("repeated", {"gpu-0"})],
)
def test_devices_of_a_node(
    exporter: Callable[[str], Exporter], serve: Callable[[str], Server], recording: str, scopes: set[str]
) -> None:
    server = serve(exporter(recording).target)
    until(lambda: server.client.query("DCGM_FI_DEV_FB_USED"), "the first scrape")
    seen: set[str] = set()
    with DcgmGpus(server.client) as gpus:

        def all_seen() -> bool:
            seen.update(one.scope for one in gpus.figures())
            return seen == scopes

        until(all_seen, f"{scopes}")
        told = scraped_gpus(gpus.facts().items())
        assert told is not None
        assert told.keys() == scopes
        assert all(gpu.model and gpu.frame_buffer_bytes for gpu in told.values())


@pytest.mark.parametrize(
    ("recording", "relabelings", "without"),
    [
        ("time-sliced", "", ()),
        ("last-pod", "", ()),
        ("mig", "", ()),
        ("two-gpus", "{action: labeldrop, regex: UUID}", ("UUID",)),
        ("repeated", "{action: labeldrop, regex: 'Host.*|modelName'}", ("modelName", "Hostname or hostname")),
    ],
)
def test_preflight_sees_how_often_and_under_which_labels_it_has_devices(
    exporter: Callable[[str], Exporter],
    serve: Callable[..., Server],
    recording: str,
    relabelings: str,
    without: tuple[str, ...],
) -> None:
    server = serve(exporter(recording).target, relabelings)
    until(lambda: server.client.query("DCGM_FI_DEV_FB_USED"), "the first scrape")
    assert read_exporter(server.client.url, PATIENCE) == ExporterReading(server.client.url, 1.0, without)


def test_preflight_says_why_it_sees_no_devices(serve: Callable[..., Server]) -> None:
    server = serve("127.0.0.1:1")  # nobody
    found = read_exporter(server.client.url, PATIENCE)
    assert (found.interval_seconds, found.error) == (None, "it has no series of a DCGM exporter")
    server.end()
    assert "does not answer" in read_exporter(server.client.url, PATIENCE).error
    assert "no URL of a Prometheus" in read_exporter("prometheus:9090", PATIENCE).error


def test_a_measurement_has_the_figures_of_the_cluster_s_gpu(
    exporter: Callable[[str], Exporter], serve: Callable[[str], Server], tmp_path: Path
) -> None:
    server = serve(exporter("time-sliced").target)
    until(lambda: server.client.query("DCGM_FI_DEV_FB_FREE"), "the first scrape")
    parameters = stream_validation.Parameters(
        target=f"replay:{TRACE}", results=str(tmp_path / "results"), gpu=True, gpu_metrics=server.client.url
    )
    with Measurement(SUITE, parameters, desktops=1) as measurement:

        def sure() -> int:
            return len(values("gpu_engine_active_ratio", measurement.tables().tables, suite=SUITE))

        began = time.time()
        measurement.recorder.move(phase="steady")
        until(lambda: sure() >= 3, "figures of the window", pause=0.5)
        measurement.recorder.move(phase="warmup")
        measurement.judge()
    recording = Recording.open(measurement.folder.path)
    tables = recording.tables
    for metric, low, high in (
        ("gpu_utilization_ratio", 0.66, 0.83),
        ("gpu_encoder_utilization_ratio", 0.32, 0.41),
        ("gpu_power_watts", 0.8 * 58.214 - 0.01, 58.214),
    ):
        found = values(metric, tables, suite=SUITE)
        assert len(found) >= 3
        assert found.between(low, high).all()
        assert found.index.min() >= began
    facts = tables["facts"]
    said = dict(zip(facts["key"], facts["value"], strict=True))
    assert said["telemetry.gpus.source"] == f"DCGM by Prometheus {server.client.version()} at {server.client.url}"
    # The first figure of a window may always be of a sample before it.
    old, _, all_ = said["telemetry.gpus.too_old"].removesuffix(" figures of steady windows").partition(" of ")
    assert 0 < int(old) < int(all_)
    probes = tables["resources"].query("phase == 'probe' and session == 'gpu-0'")
    assert len(probes) == int(old)
    host = {"gpus": [{"name": "another", "memory_bytes": 1e9}]}
    (buffer,) = [one for one in limits(tables, None, host, suite=SUITE).ranked if one.name == "GPU 0 frame buffer"]
    assert buffer.capacity == 22551 * 2**20
    assert recording.run.context[CONDITIONS][SUITE]["gpu_model"] == "NVIDIA L4"


def test_a_measurement_without_the_gpus_that_it_was_promised_starts_nothing(
    serve: Callable[[str], Server], tmp_path: Path
) -> None:
    server = serve("127.0.0.1:1")  # nobody
    until(lambda: any(one.error for one in server.client.targets()), "the scrape that fails")
    parameters = stream_validation.Parameters(
        target=f"replay:{TRACE}", results=str(tmp_path / "results"), gpu_metrics=server.client.url
    )
    with pytest.raises(TargetUnavailable, match=r"no GPU figures by way of .*: Prometheus cannot scrape nvidia"):
        Measurement(SUITE, parameters, desktops=1)
    (folder,) = (path for path in (tmp_path / "results").iterdir() if path.is_dir() and not path.is_symlink())
    recording = Recording.open(folder)
    assert recording.run.state is RunState.FAILED
    assert "no GPU figures" in recording.run.errors[0]
    assert not [phase for phase in recording.run.phases if "replay:" in phase.name], "no desktop was started"


def test_what_prometheus_refuses_and_what_it_does_not_know(serve: Callable[[str], Server]) -> None:
    server = serve("127.0.0.1:1")  # nobody
    with pytest.raises(UsageError, match=r"refuses 'sum\(': .*parse error"):
        server.client.query("sum(")
    with pytest.raises(UsageError, match="gives a matrix"):
        server.client.query("up[1m]")
    assert server.client.query("DCGM_FI_DEV_GPU_UTIL") == ()
    with DcgmGpus(server.client) as gpus:
        assert gpus.figures() == []
        assert json.loads(json.dumps(gpus.facts()))["telemetry.gpus"] == "0"
    server.end()
    with pytest.raises(TargetUnavailable, match="does not answer: connection refused"):
        server.client.query("up")
