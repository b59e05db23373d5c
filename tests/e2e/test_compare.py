"""``vdibench compare`` from outside: exit codes, what is refused, and mistakes found before anything is read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vdibench.records import Outcome, Run, RunState, SuiteVerdict
from vdibench.store import RunFolder

from .commands import called, vdibench

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"
SUITE, G2G = "gpu_density", "glass_to_glass_seconds"


def made(root: Path, name: str, seed: int, *, added: float = 0.0, link: str = "direct", invalid: bool = False) -> Path:
    """A finished run of one level: two desktops, four trials, one second each."""
    random = np.random.default_rng(seed)
    context = {"target": "lab", "dialect": "selkies-2-webrtc", "link": link}
    with RunFolder.create(root, Run("", SUITE, "smoke", "lab", 1e9 + seed, context=context)) as folder:
        for trial in range(4):
            for number in range(2):
                drawn = 1e9 + 10 * trial + np.arange(30) / 30
                latency = 0.020 + random.normal(0, 0.001) + added + np.abs(random.normal(0, 0.003, 30))
                rows = pd.DataFrame({"marker_unix_seconds": drawn, "decoded_unix_seconds": drawn + latency})
                rows["arrival_unix_seconds"] = rows["decoded_unix_seconds"] - 0.002
                unknown = ("first_arrival", "assembled", "capture", "encoded", "sent")
                rows = rows.assign(**{f"{one}_unix_seconds": np.nan for one in unknown})
                rows = rows.assign(rtp_timestamp=0, packets=3, size_bytes=999, key_frame=False, complete=True)
                place = {"suite": SUITE, "level": 2, "trial": trial, "phase": "steady", "session": f"desktop-{number}"}
                folder.append("frames", rows.assign(marker_repeated=False, **place))
        folder.write_verdict(SuiteVerdict(SUITE, Outcome.INVALID if invalid else Outcome.PASS))
        folder.finish(RunState.FINISHED)
    return folder.path.rename(root / name)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with runs in its ``results``: equal, slow, over another link, invalid."""
    home = tmp_path_factory.mktemp("compare")
    root = home / "results"
    root.mkdir()
    for number in (1, 2, 3):
        made(root, f"base-{number}", number)
        made(root, f"slow-{number}", number + 10, added=0.010)
    made(root, "far", 20, link="4g")
    made(root, "wrong", 21, invalid=True)
    (root / "broken").mkdir()
    (root / "broken" / "run.json").write_text("{")
    return home


LIMIT = f"{G2G} p95 5%"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["base-1", "base-1", "--fail", LIMIT], 0, "PASS"),
        (["base-1", "base-2", "--fail", LIMIT], 0, "PASS"),
        (["base-1", "slow-1", "--fail", LIMIT], 99, "FAIL"),
        (["slow-1", "base-1", "--fail", LIMIT], 0, "PASS"),
        (["base-1", "slow-1", "--fail", f"{G2G} p95 +20ms"], 0, "PASS"),
        (["base-1", "slow-1"], 0, "worse"),
        (["base-1,base-2,base-3", "slow-1,slow-2,slow-3", "--fail", LIMIT], 99, "3 + 3 runs"),
        (["base-1", "base-2", "base-3", "--against", "slow-1", "slow-2", "slow-3", "--fail", LIMIT], 99, "3 + 3 runs"),
        (["base-1", "base-2", "--fail", "input_to_photon_seconds p95 5%"], 98, "NO DATA"),
        (["base-1", "far", "--varied", "link", "--fail", LIMIT], 0, "under test"),
        (["base-1", "far", "--allow-different", "link"], 0, "allowed"),
    ],
)
def test_exit_codes_and_what_they_say(home: Path, arguments: list[str], code: int, said: str) -> None:
    done = called("compare", *arguments, cwd=home)
    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["base-1", "far"], 97, "they differ in link: direct against 4g"),
        (["base-1", "wrong"], 97, "wrong is invalid"),
        (["base-1", str(REFERENCE)], 97, "they differ in"),
        (["base-1"], 2, "1 runs were named"),
        (["base-1", "base-2", "base-3"], 2, "3 runs were named"),
        (["base-1", "base-1", "--against", "slow-1"], 2, "stands twice"),
        (["base-1", "no-such-run"], 1, "there is no run 'no-such-run'"),
        (["base-1", "broken"], 1, "broken"),
        (["base-1", "base-2", "--varied", "link"], 2, "link is said to vary"),
        (["base-1", "base-2", "--allow-different", "lnik"], 2, "did you mean 'link'?"),
        (["no-such-run", "neither", "--fail", f"{G2G} p95 lots"], 2, "'lots' in"),
        (["no-such-run", "neither", "--fail", "glass_to_glas_seconds 5%"], 2, "did you mean"),
        (["no-such-run", "neither", "--metric", f"{G2G} max"], 2, "is not a statistic"),
        (["base-1", "base-2", "--html", "nowhere/page.html"], 1, "cannot write"),
    ],
)
def test_what_cannot_be_is_one_line(home: Path, arguments: list[str], code: int, said: str) -> None:
    done = called("compare", *arguments, cwd=home)
    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_against_needs_a_run(home: Path) -> None:
    done = called("compare", "base-1", "--against", "--json", cwd=home)
    assert done.returncode == 2
    assert "--against names no run" in done.stderr


def test_json_and_page(home: Path) -> None:
    done = vdibench("compare", "base-1", "slow-1", "--fail", LIMIT, "--json", "--html", "page.html", cwd=home)
    document = json.loads(done.stdout)
    assert (done.returncode, document["exit_code"], document["outcome"]) == (99, 99, "fail")
    (row,) = document["differences"]
    assert row["finding"] == "worse"
    assert row["delta"] == pytest.approx(0.010, abs=0.003)
    assert row["p_corrected"] < 0.01
    assert "glass_to_glass_seconds" in (home / "page.html").read_text()


def test_the_reference_does_not_differ_from_itself(tmp_path: Path) -> None:
    shutil.copytree(REFERENCE, tmp_path / "results" / "reference")
    done = vdibench("compare", "reference", "reference", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [row for row in json.loads(done.stdout)["differences"] if row["finding"] != "no data"]
    assert len(rows) > 100
    assert all(row["delta"] == 0 and row["p"] == 1 for row in rows)
