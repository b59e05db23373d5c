"""Our page beside Locust's: in a real browser, on a real load; and what a program reads from it."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

sys.path.insert(0, str(Path(__file__).parent))

from commands import LoadCommand, until
from free_ports import free_port

from vdibench.load import live
from vdibench.load.histograms import Distribution
from vdibench.load.kept import KEPT_SECONDS, KeptSeconds
from vdibench.load.messages import EngineSecond

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the page of a load that goes on."""
    port = free_port()
    results = tmp_path_factory.mktemp("web")
    arguments = ("--scenario", "watch", "--shape", "soak:3@10m", "--mode", "meter", "--web-port", str(port))
    with LoadCommand(results, *arguments) as command:
        command.until("3 of 3 show video")
        yield f"http://127.0.0.1:{port}"


def fetched(url: str, data: bytes | None = None) -> str:
    with urllib.request.urlopen(url, data=data, timeout=20) as answer:
        return str(answer.read().decode())


def state(page: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(fetched(f"{page}/vdibench/state"))
    return document


def browsed(url: str, tmp_path: Path, *arguments: str) -> str:
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    assert program, f"none of {', '.join(BROWSERS)} is installed: `make setup` installs it"
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    argv = [program, *ARGUMENTS, profile, "--virtual-time-budget=6000", *arguments, url]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True).stdout


def test_a_program_reads_the_state(page: str) -> None:
    until(lambda: state(page)["sessions"] == 3 and state(page)["frames_per_second"], 30)
    found = state(page)
    assert (found["users"], found["scenario"], found["mode"], found["synthetic"]) == (3, "watch", "meter", True)
    assert found["target"].startswith("replay:")
    assert 1 < found["frames_per_second"] < 40
    assert [engine["engine"] for engine in found["engines"]] == ["engine-0"]
    assert found["history"][-1]["sessions"] == 3
    assert not any(isinstance(value, float) and math.isnan(value) for value in found["engines"][0].values())


def test_prometheus_reads_the_metrics(page: str) -> None:
    families = {family.name: family for family in text_string_to_metric_families(fetched(f"{page}/vdibench/metrics"))}
    (sessions,) = families["vdibench_load_sessions"].samples
    assert sessions.value == 3
    assert "vdibench_load_engine_loop_lag_p99_seconds" in families
    labels = {name for family in families.values() for sample in family.samples for name in sample.labels}
    assert labels <= {"engine", "quantile"}


def test_the_page_in_a_browser(page: str, tmp_path: Path) -> None:
    shown = browsed(f"{page}/vdibench", tmp_path, "--dump-dom")
    assert 'data-state="live"' in shown
    assert re.search(r'<b id="sessions"[^>]*>3 / 3</b>', shown)
    assert re.search(r'<b id="fps"[^>]*>\d+\.\d</b>', shown)
    assert re.search(r'<b id="photon"[^>]*>no data</b>', shown), "nothing is decoded: nothing is made up"
    assert "<td>engine-0</td>" in shown
    assert 'id="synthetic" hidden' not in shown, "it says that a trace stands for desktops"
    assert shown.count("<path") >= 3
    outside = re.findall(r'(?:src|href)="([^"]+)"|url\(([^)]+)\)', fetched(f"{page}/vdibench"))
    assert outside == [("./", "")], "nothing comes from elsewhere"


@pytest.mark.parametrize("width", [1200, 400])
def test_the_picture_is_not_blank_and_fits(page: str, tmp_path: Path, width: int) -> None:
    from PIL import Image

    picture = tmp_path / "picture.png"
    browsed(f"{page}/vdibench", tmp_path, f"--window-size={width},1000", "--hide-scrollbars", f"--screenshot={picture}")
    pixels = np.asarray(Image.open(picture).convert("L")).astype(float)
    assert pixels.shape[0] == 1000
    ground = float(np.median(pixels))
    for top in range(0, 600, 150):
        stretch = pixels[top : top + 150]
        assert (abs(stretch - ground) > 5).mean() > 0.004, f"nothing to see from {top} to {top + 150}"


def test_locusts_own_page_leads_there_and_has_our_tab(page: str, tmp_path: Path) -> None:
    shown = browsed(f"{page}/?tab=vdibench", tmp_path, "--dump-dom")
    assert 'href="./vdibench"' in shown
    assert "Loop lag p99 (ms)" in shown
    assert "engine-0" in shown


@pytest.mark.parametrize(("path", "data"), [("swarm", b"user_count=9&spawn_rate=9"), ("stop", b"")])
def test_a_shape_is_not_changed_from_the_page(page: str, path: str, data: bytes) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        fetched(f"{page}/{path}", data)
    assert refusal.value.code == 409
    assert "the shape of this load says" in refusal.value.read().decode()
    refusal.value.close()
    assert state(page)["users"] == 3


# The state alone, without a load.


def second(engine: str, at: float, **changes: Any) -> EngineSecond:
    return EngineSecond(engine, at, **{"sessions": 2, "users": 2, "frames": 60, **changes})


def kept(seconds: Iterable[EngineSecond]) -> KeptSeconds:
    found = KeptSeconds()
    for one in seconds:
        found.append(one)
    return found


def test_engines_are_added_up_and_percentiles_merged() -> None:
    early, late = Distribution(), Distribution()
    early.add(np.full(100, 0.010))
    late.add(np.full(100, 0.100))
    name = "glass_to_glass_seconds"
    seconds = [
        second(engine, 1000.0 + at, histograms={name: found.text()}, loop_lag_p99_seconds=lag)
        for at in range(10)
        for engine, found, lag in (("engine-0", early, 0.001), ("engine-1", late, 0.004))
    ]
    found = live.View(kept(seconds)).state(1009.5)
    assert (found["users"], found["sessions"], found["freezes"]) == (4, 4, 0)
    assert found["frames_per_second"] == pytest.approx(30, rel=0.1)
    assert found["latencies"][name]["p50"] == pytest.approx(0.010, rel=0.002)
    assert found["latencies"][name]["p95"] == pytest.approx(0.100, rel=0.002)
    assert found["history"][-1]["loop_lag_p99_seconds"] == 0.004
    assert "p50 10 ms, p95 100 ms" in live.sentence(seconds, 1009.5)


def test_an_engine_that_is_silent_is_not_there() -> None:
    seconds = [second("engine-0", 1000.0), second("engine-1", 1009.0)]
    assert [engine["engine"] for engine in live.View(kept(seconds)).state(1010.0)["engines"]] == ["engine-1"]


def test_nothing_yet_is_no_data_and_no_error() -> None:
    found = live.View(kept([])).state(1000.0)
    assert (found["users"], found["sessions"], found["frames_per_second"]) == (0, 0, None)
    assert json.loads(json.dumps(found)) == found
    assert live.sentence([], 1000.0) == "0 of 0 show video"


def test_each_engine_keeps_its_own_seconds_and_totals_never_fall() -> None:
    engines, log, totals = 8, KeptSeconds(), []
    view = live.View(log)
    for at in range(2 * KEPT_SECONDS):
        for engine in range(engines):
            log.append(second(f"engine-{engine}", 1000.0 + at, freezes=1))
        if at % 100 == 99:
            totals.append(view.figures(1000.0 + at)["freezes_total"])
    assert totals == [engines * 100 * part for part in range(1, 2 * KEPT_SECONDS // 100 + 1)]
    assert [one.unix_seconds for one in log if one.engine == "engine-7"] == [
        1000.0 + at for at in range(KEPT_SECONDS, 2 * KEPT_SECONDS)
    ]
    assert len(view.state(1000.0 + 2 * KEPT_SECONDS)["history"]) == live.HISTORY_SECONDS - 1


def test_a_second_of_the_past_is_put_together_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    plain = live._row
    monkeypatch.setattr(live, "_row", lambda at, parts: made.append(at) or plain(at, parts))
    log = kept(second("engine-0", 1000.0 + at) for at in range(100))
    view = live.View(log)
    first = view.state(1099.5)
    assert len(made) == 100
    assert view.state(1099.5) == first
    assert len(made) == 100
    log.append(second("engine-1", 1099.2))
    log.append(second("engine-0", 1100.0))
    rows = view.state(1100.0)["history"]
    assert made[100:] == [1099, 1100], "one that another engine added to, and the new one"
    assert rows[-2]["sessions"] == 4
    assert rows[:-2] == first["history"][:-1]
