"""What a run states of its sessions: asked for and found, written into its context by every suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from vdibench.analysis.metadata import CONDITIONS, stated
from vdibench.store import Recording
from vdibench.suites import gpu_density, load
from vdibench.suites.conditions import conditions
from vdibench.suites.measurement import Measurement
from vdibench.suites.preflight import Parameters as Preflight

Tables = Callable[..., dict[str, pd.DataFrame]]


def test_what_was_asked_for_and_what_was_found(tables: Tables) -> None:
    facts = tables(
        facts=[
            {"key": "stream.encoder", "value": "x264"},
            {"key": "stream.encoder", "value": "x264", "session": "desktop-1"},
            {"key": "video.codec", "value": "H264"},
            {"key": "picture.size", "value": "1280×720"},
            {"key": "picture.size", "value": "640×360", "phase": "probe"},
            {"key": "reception", "value": "native 0.1.0"},
            {"key": "reception", "value": "python", "session": "desktop-1"},
            {"key": "telemetry.gpus.source", "value": "DCGM", "session": "host"},
            {"key": "telemetry.gpu-0", "value": "GPU-1 NVIDIA L4", "session": "host"},
            {"key": "telemetry.gpu-0.model", "value": "NVIDIA L4", "session": "host"},
        ]
    )["facts"]
    parameters = gpu_density.Parameters(client_mode="meter", sharing="mps")
    assert conditions(parameters, facts) == {
        "client_mode": "meter",
        "link": "direct",
        "width": 1280,
        "height": 720,
        "framerate": 30,
        "workload": "text",
        "scenario": "watch",
        "sharing": "mps",
        "encoder": "x264",
        "codec": "H264",
        "picture_size": "1280×720",
        "reception": "native 0.1.0 / python",
        "gpu_model": "NVIDIA L4",
    }
    assert conditions(load.Parameters(mode="meter"), facts.iloc[:0])["client_mode"] == "meter"
    assert conditions(Preflight(), facts.iloc[:0]) == {}


def test_a_judged_suite_has_written_them(tmp_path: Path) -> None:
    measurement = Measurement("gpu_density", gpu_density.Parameters(results=str(tmp_path)))
    measurement.recorder.fact("desktop-0", "stream.encoder", "x264")
    measurement.judge()
    run = Recording.open(measurement.folder.path).run
    assert run.context[CONDITIONS]["gpu_density"]["encoder"] == "x264"
    told = stated(run)
    assert told["encoder", "gpu_density"] == "x264"
    assert told["client_mode", "gpu_density"] == "decode"
    assert told["link", "gpu_density"] == "direct"
    assert told["vdibench", ""] == run.versions["vdibench"]
