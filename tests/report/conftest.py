"""Run folders as the real writer leaves them, filled with numbers whose statistics are known."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vdibench.analysis import IntegerSearch, criteria, knee, measured_trial, rule_of
from vdibench.clusters.phases import Observation
from vdibench.recorder import Place, Recorder
from vdibench.records import Check, Desktop, Endpoint, Outcome, Phase, Run, RunState
from vdibench.slo import evaluate, load
from vdibench.store import Recording, RunFolder
from vdibench.targets.pods import PodSession, PodSessions

BEGIN = 1_760_000_000.0
STEPS = (
    ("reachable", 0.05),
    ("signalled", 0.12),
    ("offered", 0.2),
    ("ice_connected", 0.4),
    ("connected", 0.1),
    ("channel_open", 0.06),
    ("first_packet", 0.3),
    ("first_frame", 0.15),
)
STATED = {
    "encode_seconds": 0.006,
    "pipeline_seconds": 0.0075,
    "send_seconds": 0.009,
    "round_trip_seconds": 0.0009,
    "frames_per_second": 60.0,
}
OBJECTIVES = """schema: 1
name: synthetic
objectives:
  glass_to_glass_seconds: p(95) < 0.050
  key_to_photon_seconds: p(95) < 0.100
  frames_per_second: p(5) > 0.9 * target
  freezes_per_minute: max <= 2
  session_ready_seconds: p(95) < 30
  gpu_utilization_ratio: avg > 0.80 at knee
  sessions_per_host: knee_lower_bound >= 2
"""
SEARCHED_BY = """schema: 1
name: searched
objectives:
  glass_to_glass_seconds: p(95) < 0.050
  sessions_per_host: knee_lower_bound >= 2
"""
NEIGHBOURS = "noisy_neighbour"
CHECKS = (
    Check("reachable", Outcome.PASS, "HTTP 200 in 12 ms", "GET /"),
    Check("turn_relay", Outcome.PASS, "relay pair after 310 ms", "candidate pair relay/relay udp"),
    Check(
        "encoder_in_use",
        Outcome.FAIL,
        "software x264 encodes although h264enc was asked for",
        "stream_info.encoder",
        "give the desktop a GPU or ask for x264enc in the profile",
    ),
    Check(
        "audio_packets",
        Outcome.NO_DATA,
        "no audio packet within 5 s",
        "inbound-rtp of the audio stream",
        "look at PulseAudio",
    ),
    Check("gpu_encoder", Outcome.NOT_APPLICABLE, "there is no GPU in this profile"),
)
LONG_NAME = "desktop-" + "x" * 24 + "-final-7"
assert len(LONG_NAME) == 40


@dataclass
class Part:
    """One session in one trial of one level."""

    suite: str
    session: str = "desktop-0"
    level: int = 1
    trial: int = 0
    begin: float = BEGIN
    seconds: float = 20.0
    warmup_seconds: float = 2.0
    fps: float = 60.0
    latency: float = 0.024
    spread: float = 0.18
    freezes: Sequence[float] = ()
    outliers: Sequence[float] = ()
    markers: bool = True
    stamps: bool = True
    inputs: int = 0
    seed: int = 1
    extra: dict[str, Any] = field(default_factory=dict)

    def fill(self, folder: RunFolder) -> None:
        """Write all tables of this session."""
        rng = np.random.default_rng(self.seed)
        folder.append("frames", self.frames(rng))
        folder.append("network", self.network(rng))
        folder.append("milestones", self.milestones(rng))
        if self.stamps:
            folder.append("server", self.server(rng))
        if self.inputs:
            folder.append("inputs", self.input_rows(rng))

    def place(self, count: int, phase: str = "steady") -> dict[str, Any]:
        return {
            "suite": [self.suite] * count,
            "level": [self.level] * count,
            "trial": [self.trial] * count,
            "phase": [phase] * count,
            "session": [self.session] * count,
        }

    def frames(self, rng: np.random.Generator) -> pd.DataFrame:
        count = max(1, int(self.fps * (self.seconds + self.warmup_seconds)))
        drawn = self.begin + np.arange(count) / self.fps + rng.normal(0, 0.0006, count)
        for number, pause in enumerate(self.freezes, start=1):
            at = self.begin + self.warmup_seconds + number * self.seconds / (len(self.freezes) + 1)
            drawn = drawn[(drawn < at) | (drawn > at + pause)]
        count = len(drawn)
        latency = self.latency * np.exp(rng.normal(0, self.spread, count))
        for number, outlier in enumerate(self.outliers):
            latency[-1 - number * 7] = outlier
        decoded = np.maximum.accumulate(drawn + latency)
        arrival = decoded - rng.uniform(0.002, 0.006, count)
        frame = pd.DataFrame(self.place(count))
        frame["phase"] = np.where(drawn < self.begin + self.warmup_seconds, "warmup", "steady")
        frame["arrival_unix_seconds"] = arrival
        frame["rtp_timestamp"] = (np.arange(count) * 1500) % 2**32
        frame["packets"] = rng.integers(4, 30, count)
        frame["size_bytes"] = frame["packets"] * 1150
        frame["key_frame"] = np.arange(count) % 600 == 0
        frame["complete"] = True
        frame["decoded_unix_seconds"] = decoded
        frame["marker_unix_seconds"] = drawn if self.markers else np.nan
        frame["marker_repeated"] = False
        frame["first_arrival_unix_seconds"] = arrival - rng.uniform(0, 0.001, count)
        frame["assembled_unix_seconds"] = arrival + rng.uniform(2e-5, 8e-5, count)
        if self.stamps:
            self._stamp(frame, rng)
        return frame

    def _stamp(self, frame: pd.DataFrame, rng: np.random.Generator) -> None:
        """What the desktop states: the capture of each frame, and of every tenth when it was encoded and sent."""
        drawn, arrival = frame["marker_unix_seconds"], frame["arrival_unix_seconds"]
        told = np.arange(len(frame)) % 10 == 0
        for name, share in (("capture", 0.2), ("encoded", 0.7), ("sent", 0.8)):
            stated = drawn + share * (arrival - drawn) * rng.uniform(0.9, 1.1, len(frame))
            frame[f"{name}_unix_seconds"] = stated if name == "capture" else stated.where(told)

    def server(self, rng: np.random.Generator) -> pd.DataFrame:
        """What the server states of itself once a second."""
        frame = pd.concat(
            [
                pd.DataFrame({"name": name, "value": value * rng.uniform(0.9, 1.2, int(self.seconds))})
                for name, value in STATED.items()
            ]
        )
        frame["unix_seconds"] = self.begin + self.warmup_seconds + frame.index
        return frame.assign(**{name: values[0] for name, values in self.place(1).items()})

    def network(self, rng: np.random.Generator) -> pd.DataFrame:
        count = max(2, int(self.seconds) + 1)
        frame = pd.DataFrame(self.place(count))
        frame["unix_seconds"] = self.begin + self.warmup_seconds + np.linspace(0, self.seconds, count)
        frame["packets_received"] = np.arange(count) * 960
        frame["packets_lost"] = np.arange(count) // 7
        frame["bytes_received"] = np.arange(count) * 1_104_000
        frame["jitter_seconds"] = rng.uniform(0.0004, 0.002, count)
        frame["nack_count"] = np.arange(count) // 7
        frame["pli_count"] = 1
        frame["audio_packets_received"] = np.arange(count) * 50
        frame["event_loop_lag_seconds"] = rng.uniform(0.0002, 0.004, count)
        frame["audio_packets_lost"] = np.arange(count) // 9
        frame["socket_drops"] = 0
        return frame

    def milestones(self, rng: np.random.Generator) -> pd.DataFrame:
        times = [self.begin - 2.5]
        for _, seconds in STEPS:
            times.append(times[-1] + seconds * rng.uniform(0.7, 1.6))
        frame = pd.DataFrame(self.place(len(times), "warmup"))
        frame["event"] = ["started", *(name for name, _ in STEPS)]
        frame["unix_seconds"] = times
        return frame

    def input_rows(self, rng: np.random.Generator) -> pd.DataFrame:
        frame = pd.DataFrame(self.place(self.inputs))
        frame["kind"] = ["key" if number % 2 else "click" for number in range(self.inputs)]
        sent = self.begin + self.warmup_seconds + np.linspace(0, self.seconds, self.inputs)
        photon = sent + self.latency * np.exp(rng.normal(0.35, 0.2, self.inputs))
        photon[::37] = np.nan
        frame["sent_unix_seconds"] = sent
        frame["photon_unix_seconds"] = photon
        frame["drawn_unix_seconds"] = sent + (photon - sent) * rng.uniform(0.1, 0.3, self.inputs)
        return frame


def resources(part: Part, sessions: Sequence[str], *, gpu: bool = False) -> pd.DataFrame:
    """CPU, memory and load of desktops, client and host over one part's window."""
    rng = np.random.default_rng(part.seed + 99)
    rows: list[dict[str, Any]] = []
    place = {"suite": part.suite, "level": part.level, "trial": part.trial, "phase": "steady"}
    for second in range(int(part.seconds) + 1):
        at = part.begin + part.warmup_seconds + second

        def add(session: str, resource: str, value: float, at: float = at) -> None:
            rows.append({**place, "session": session, "unix_seconds": at, "resource": resource, "value": value})

        for name in sessions:
            add(name, "cpu_cores", 0.38 + 0.06 * rng.standard_normal())
            add(name, "memory_bytes", 410e6 + 4e6 * rng.standard_normal())
        add("client", "cpu_cores", 0.2 * len(sessions) + 0.02 * rng.standard_normal())
        add("client", "memory_bytes", 190e6 + 1e6 * second)
        add("host", "cpu_cores", 0.62 * len(sessions) + 0.1)
        add("host", "memory_bytes", 2.1e9 + 0.4e9 * len(sessions))
        add("host", "load_average_1m", 1.1 * len(sessions))
        if gpu:
            add("gpu-0", "gpu_utilization_ratio", 0.31 + 0.05 * rng.standard_normal())
            add("gpu-0", "gpu_encoder_utilization_ratio", 0.18 + 0.03 * rng.standard_normal())
            add("gpu-0", "gpu_memory_bytes", 2.4e9)
    return pd.DataFrame(rows)


def check_rows(suite: str, checks: Iterable[Check]) -> list[dict[str, Any]]:
    return [
        {
            "suite": suite,
            "level": 1,
            "trial": 0,
            "phase": "steady",
            "session": "host",
            "name": check.name,
            "outcome": str(check.outcome),
            "finding": check.finding,
            "evidence": check.evidence,
            "remedy": check.remedy,
        }
        for check in checks
    ]


def fact_rows(suite: str, session: str, facts: dict[str, str]) -> list[dict[str, Any]]:
    place = {"suite": suite, "level": 1, "trial": 0, "phase": "steady", "session": session}
    return [{**place, "key": key, "value": value} for key, value in facts.items()]


FACTS = {
    "dialect": "selkies-2-webrtc",
    "stream.encoder": "x264enc",
    "stream.hardware": "False",
    "stream.codec": "H.264 High 4.2",
    "ice.pair": "host 127.0.0.1 udp ↔ host 127.0.0.1 udp",
    "video.codec": "H264 profile-level-id=42e01f",
}


def described(suite: str = "pipeline", **changes: Any) -> Run:
    """A run as the suites describe it."""
    known: dict[str, Any] = {
        "name": "",
        "suite": suite,
        "profile": "smoke",
        "target": "lab",
        "started_unix_seconds": BEGIN - 30,
        "parameters": {
            "stream_validation": {"steady_seconds": 20.0, "width": 1920, "height": 1080, "framerate": 60},
            "gpu_density": {"levels": [1, 2, 4], "trials": 2},
        },
        "context": {
            "target": "lab",
            "gpu": False,
            "dialect": "selkies-2-webrtc",
            "profile": "smoke",
            "encoder": "x264enc",
            "framerate": 60,
            "clock_bound_seconds": 0.0,
        },
        "host": {
            "cpu_model": "Example CPU @ 2.70GHz",
            "cpu_cores": 4,
            "cpu_cores_usable": 2.0,
            "memory_bytes": 16 * 2**30,
            "kernel": "6.1.0-18-amd64",
            "distribution": "Debian GNU/Linux 12 (bookworm)",
            "clock_source": "tsc",
            "virtualisation": "container, kvm guest",
            "gpu_state": "absent",
            "gpus": [],
            "load_average_1m": 0.42,
        },
        "versions": {"vdibench": "0.1.0", "python": "3.11.7", "aiortc": "1.16.0", "selkies": "2.1.0"},
        "git_commit": "0123456789abcdef0123456789abcdef01234567",
        "objectives": OBJECTIVES,
        **changes,
    }
    return Run(**known)


def judged(folder: RunFolder, suite: str, checks: Sequence[Check] = (), invalid: Sequence[str] = ()) -> None:
    """The real verdict of a suite, from what was written."""
    folder.flush()
    recording = Recording.open(folder.path)
    objectives = load(recording.run.objectives)
    context = recording.run.context
    found = None
    if suite == "gpu_density" and (by := criteria(objectives, suite, context)):
        rule = rule_of(recording.run.parameters.get(suite, {}))
        found = knee(recording.tables, by, suite=suite, framerate=context.get("framerate"), rule=rule)
    folder.write_verdict(
        evaluate(objectives, suite, recording.tables, context, knee=found, checks=checks, invalid_reasons=invalid)
    )


def ladder(
    folder: RunFolder, suite: str, levels: Sequence[int], *, trials: int = 1, seconds: float = 8.0, **how: Any
) -> None:
    """A suite with levels: latency grows with the number of sessions, and breaks beyond four."""
    begin = BEGIN + 60
    for level in levels:
        for trial in range(trials):
            names = [f"desktop-{number}" for number in range(level)]
            for number, name in enumerate(names):
                part = Part(
                    suite,
                    name,
                    level,
                    trial,
                    begin,
                    seconds=seconds,
                    latency=0.02 * (1 + 0.12 * level) * (2.4 if level > 4 and number % 2 else 1),
                    freezes=(0.4, 0.7) if level > 4 and number == 1 else (),
                    seed=level * 100 + trial * 10 + number,
                    **how,
                )
                part.fill(folder)
            folder.append("resources", resources(part, names))
            begin += seconds + 6


def searched_run(root: Path, name: str = "", *, knee: float = 6.2, largest: int = 8, **context: Any) -> Path:
    """A finished knee search whose latency rises as a queue's does; beside it a light desktop with neighbours."""
    suite = "gpu_density"
    parameters = {"framerate": 30, "search": "sequential", "trials": 6, "error_rate": 0.05}
    known = described(suite, name=name, parameters={suite: parameters}, objectives=SEARCHED_BY)
    run = dataclasses.replace(known, context={**known.context, "framerate": 30, **context})
    by = criteria(load(SEARCHED_BY), suite, run.context)
    chance = np.random.default_rng(3)
    search, begin = IntegerSearch(largest), BEGIN
    how: dict[str, Any] = {"seconds": 3.0, "warmup_seconds": 1.0, "fps": 30.0, "stamps": False}
    with RunFolder.create(root, run) as folder:
        while (level := search.next()) is not None:
            trial, names = search.trials(level), [f"desktop-{number}" for number in range(level)]
            late = 0.014 * (1 + 0.35 * level / max(0.1, knee - level)) * np.exp(chance.normal(0, 0.06))
            for name in names:
                own = late * np.exp(chance.normal(0, 0.05))
                part = Part(suite, name, level, trial, begin, latency=own, seed=int(chance.integers(10**9)), **how)
                part.fill(folder)
            folder.append("resources", resources(part, names, gpu=bool(context.get("gpu"))))
            folder.flush()
            search.add(level, measured_trial(Recording.open(folder.path).tables, by, level, trial, framerate=30))
            begin += 10
        for count in range(3):
            for trial in range(3):
                for number in range(count + 1):
                    session, late = f"desktop-{number}", 0.02 * (1 + count) if number == 0 else 0.05
                    seed = 100 * count + 10 * trial + number
                    Part(NEIGHBOURS, session, count + 1, trial, begin, latency=late, seed=seed, **how).fill(folder)
                begin += 10
        for number in range(3):
            told = {"neighbour.role": "neighbour" if number else "victim", "workload": "video" if number else "idle"}
            folder.append("facts", fact_rows(NEIGHBOURS, f"desktop-{number}", told))
        judged(folder, suite)
        folder.finish(RunState.FINISHED)
    return folder.path


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished knee search, to read."""
    return searched_run(tmp_path_factory.mktemp("searched"))


@pytest.fixture
def search_run() -> Callable[..., Path]:
    """Makes a finished knee search in a folder, with things in its context."""
    return searched_run


@pytest.fixture
def results(tmp_path: Path) -> Path:
    root = tmp_path / "results"
    root.mkdir()
    return root


def full_run(root: Path, *, levels: Sequence[int] = (1, 2, 4, 8), seconds: float = 8.0, gpu: bool = False) -> Path:
    """Every suite measured, one check failed."""
    with RunFolder.create(root, described()) as folder:
        folder.append("checks", check_rows("preflight", CHECKS[:2]))
        judged(folder, "preflight", CHECKS[:2])
        single = Part("stream_validation", seconds=30, freezes=(0.35,), outliers=(0.21,), inputs=80)
        single.fill(folder)
        folder.append("resources", resources(single, ["desktop-0"], gpu=gpu))
        folder.append("checks", check_rows("stream_validation", CHECKS))
        folder.append("facts", fact_rows("stream_validation", "desktop-0", FACTS))
        judged(folder, "stream_validation", CHECKS)
        ladder(folder, "latency_under_load", levels[:-1] or levels, seconds=seconds, inputs=12)
        judged(folder, "latency_under_load")
        ladder(folder, "gpu_density", levels, trials=2, seconds=seconds)
        judged(folder, "gpu_density")
        folder.update(
            phases=(
                Phase("set-up", 41.2, "virtual environment, system packages"),
                Phase("lab", 6.4),
                Phase("01_preflight", 8.1),
                Phase("02_stream_validation", 61.0),
                Phase("03_latency_under_load", 74.9),
                Phase("04_gpu_density", 143.6),
            )
        )
        folder.finish(RunState.FINISHED)
    return folder.path


PENDING = "stays Pending: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu"


def observed(session: PodSession, slow: float) -> Iterator[Observation]:
    """A pod on its way up, as a watch tells it.

    :param slow: how much longer than usual everything takes.
    """

    def seen(seconds: float, kind: str, name: str = session.pod, **rest: Any) -> Observation:
        at = session.begun_unix_seconds + slow * seconds
        return Observation(at, {"kind": kind, "metadata": {"name": name}, **rest})

    placed, ready = ({"type": one, "status": "True"} for one in ("PodScheduled", "Ready"))
    runs = [{"name": "desktop", "state": {"running": {}}}]
    yield seen(0.4, "PersistentVolumeClaim", session.home, status={"phase": "Bound"})
    yield seen(0.6, "Pod", status={"conditions": [placed]})
    for at, reason in ((1.1, "Pulling"), (1.9, "Pulled")):
        yield seen(at, "Event", "an event", involvedObject={"name": session.pod}, reason=reason)
    yield seen(2.3, "Pod", status={"conditions": [placed], "containerStatuses": runs})
    yield seen(4.5, "Pod", status={"conditions": [placed, ready], "containerStatuses": runs})


def pods_run(root: Path, *, pods: int = 9, slices: int = 8) -> Path:
    """Sessions on a cluster, those beyond its slices Pending; then one is watched. Written as the target writes it.

    Its instants are of now: when a session is given up is the clock's to say.
    """
    suite, now = "stream_validation", time.time()
    sessions, observations = [], []
    for number in range(pods):
        session = PodSession(
            f"vdibench-0a1b2c3d-{number}",
            Desktop(f"desktop-{number}", Endpoint(f"https://user-{number}.vdi.example.com")),
            objects=(),
            secrets=(),
            begun_unix_seconds=now - 40 + 0.2 * number,
            admitted_unix_seconds=now - 39.8 + 0.2 * number,
        )
        if number < slices:
            slow = 1 + 0.2 * number
            observations += observed(session, slow)
            session.routed_unix_seconds = session.begun_unix_seconds + 4.6 * slow
            session.look.reached = {
                step: session.begun_unix_seconds + (4.7 + 0.1 * place) * slow for place, (step, _) in enumerate(STEPS)
            }
        else:
            session.reason = PENDING
        sessions.append(session)
    opened = PodSessions(None, "0a1b2c3d", sessions)  # type: ignore[arg-type]  # nothing is asked of a cluster
    opened.observations = observations
    with RunFolder.create(root, described(suite, target="manifests", started_unix_seconds=now - 41)) as folder:
        opened.tell(Recorder(folder, Place(suite)))
        Part(suite, begin=now - 25, seconds=5).fill(folder)
        judged(folder, suite)
        folder.finish(RunState.FINISHED)
    return folder.path


@pytest.fixture(scope="session")
def on_pods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on a cluster whose ninth session stayed Pending, to read."""
    return pods_run(tmp_path_factory.mktemp("pods"))


@pytest.fixture
def pending() -> str:
    """Why that ninth session did not come up."""
    return PENDING


@pytest.fixture
def build_pods() -> Callable[..., Path]:
    """:func:`pods_run`."""
    return pods_run


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with everything in it, to read; a test that writes takes ``own_full``."""
    return full_run(tmp_path_factory.mktemp("full"))


@pytest.fixture
def own_full(full: Path, results: Path) -> Path:
    return Path(shutil.copytree(full, results / full.name))


@pytest.fixture
def make(results: Path) -> Callable[..., Path]:
    """A finished run of the given parts: ``make(parts, verdict_of=("stream_validation",))``."""

    def build(
        parts: Sequence[Part] = (),
        *,
        verdict_of: Sequence[str] = (),
        state: RunState = RunState.FINISHED,
        checks: Sequence[Check] = (),
        facts: dict[str, str] | None = None,
        resource_rows: pd.DataFrame | None = None,
        **run: Any,
    ) -> Path:
        with RunFolder.create(results, described(**run)) as folder:
            for part in parts:
                part.fill(folder)
            suite = parts[0].suite if parts else str(run.get("suite", "stream_validation"))
            if resource_rows is not None:
                folder.append("resources", resource_rows)
            if checks:
                folder.append("checks", check_rows(suite, checks))
            if facts:
                folder.append("facts", fact_rows(suite, "desktop-0", facts))
            for name in verdict_of:
                judged(folder, name, checks)
            folder.finish(state, error="the desktop went away" if state is not RunState.FINISHED else "")
        return folder.path

    return build


@pytest.fixture
def build() -> Callable[..., Path]:
    """:func:`full_run`."""
    return full_run


@pytest.fixture
def part() -> type[Part]:
    """:class:`Part`."""
    return Part


@pytest.fixture
def used() -> Callable[..., pd.DataFrame]:
    """:func:`resources`."""
    return resources


@pytest.fixture
def long_name() -> str:
    """A session name of 40 characters."""
    return LONG_NAME


@pytest.fixture
def described_run() -> Callable[..., Run]:
    """:func:`described`."""
    return described
