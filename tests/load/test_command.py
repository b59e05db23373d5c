"""``vdibench load`` as people call it."""

from __future__ import annotations

import json
import signal
import socket
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from commands import TRACE, LoadCommand, loaded, reasons, until

from vdibench.cli import cli
from vdibench.errors import UsageError
from vdibench.metrics import values
from vdibench.store import Recording


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--shape", "stairs:1@3s"], "steps:1,2,4,8@30s"),
        (["--shape", "steps:1@3d"], "no duration such as 30s"),
        (["--scenario", "ofice"], "office"),
        (["--users", "3"], "--run-time"),
        (["--run-time", "3m"], "--users"),
        (["--users", "3", "--run-time", "3m", "--shape", "soak:1@3s"], "leave one of them out"),
        (["--users", "3", "--run-time", "x"], "no duration"),
        (["--shape", "steps:1,4@3s", "--desktops", "3"], "there are 3 desktops"),
        (["--target", "url:http://127.0.0.1:9", "--shape", "steps:2@3s", "--scenario", "watch"], "one desktop"),
        (["--target", "url:http://127.0.0.1:9", "--shape", "steps:1@3s", "--scenario", "cad"], "a viewer may not"),
        (["--mode", "fast"], "meter, sampled"),
        (["--workers", "0"], "without workers"),
        (["--headless", "--web-port", "8099"], "leave one of them out"),
        (["--context", "prod"], "on no cluster of yours"),
        (["--expect-workers", "2"], "--master-bind"),
        (["--master-host", "10.0.0.1"], "--worker"),
        (["--worker"], "--master-host"),
        (["--worker", "--master-host", "127.0.0.1"], "which desktops"),
        (["-f", "no/such/locustfile.py"], "no locustfile"),
        (["-p", "shapes", "x"], "did you mean 'shape'"),
        (["-p", "relay_only", "true", "-p", "dialect", "selkies-2-websocket"], "goes through no relay"),
        (["--objectives", "none"], "no objectives named"),
        (["--profile", "none"], "no profile named"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(tmp_path: Path, arguments: list[str], said: str) -> None:
    results = tmp_path / "results"
    with pytest.raises(UsageError) as refusal:
        cli.main(["load", "--results", str(results), *arguments], prog_name="vdibench", standalone_mode=False)
    assert said in str(refusal.value)
    assert not results.exists(), "nothing was started"


def test_a_taken_port_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        arguments = ["--target", f"replay:{TRACE}", "--web-port", str(taken.getsockname()[1])]
        with pytest.raises(UsageError, match="Address already in use: choose another --web-port"):
            cli.main(
                ["load", "--results", str(tmp_path / "runs"), *arguments], prog_name="vdibench", standalone_mode=False
            )
    assert not (tmp_path / "runs").exists()


def test_a_load_from_its_start_to_its_verdict(tmp_path: Path) -> None:
    code, out, errors = loaded(
        tmp_path, "--scenario", "office", "--shape", "steps:1,3@7s", "--mode", "meter", "--workers", "2",
        "--csv", str(tmp_path / "locust"), "--html", str(tmp_path / "locust.html"), "--json",
    )  # fmt: skip
    document = json.loads(out)
    run = Path(document["run"])
    assert document["exit_code"] == code
    if code != 0:
        # A busy machine may make a verdict invalid, and nothing else.
        assert (code, document["verdict"]) == (97, "invalid"), errors
        assert all("late" in reason or "busy" in reason or "same time" in reason for reason in reasons(run))
    assert "3 of 3 show video" in errors
    recording = Recording.open(run)
    assert recording.run.context["synthetic"] is True
    assert {"mode": "meter", "scenario": "office"}.items() <= recording.run.context.items()
    assert "synthetic" in (run / "report.html").read_text().lower()
    tables = recording.tables
    requests = tables["requests"]
    assert set(requests["error"]) == {""}
    assert {"connect", "first frame", "watch"} <= set(requests["name"])
    assert set(tables["engine"]["session"]) == {"engine-0", "engine-1"}
    # The document's percentiles are those of the raw samples, not of anybody's histogram.
    stages = {stage["level"]: stage["metrics"] for stage in document["load"]["stages"]}
    assert set(stages) == {1, 3}
    raw = values("frames_per_second", tables, suite="load", level=3)
    assert stages[3]["frames_per_second"]["p(50)"] == pytest.approx(
        float(np.percentile(raw, 50, method="inverted_cdf"))
    )
    assert json.loads((run / "load.json").read_text()) == document["load"]
    assert max(second["sessions"] for second in document["load"]["seconds"]) == 3
    assert (tmp_path / "locust_stats.csv").read_text().count("first frame") == 1
    assert "first frame" in (tmp_path / "locust.html").read_text()


def test_an_interrupt_ends_everything_and_leaves_a_readable_run(tmp_path: Path) -> None:
    with LoadCommand(tmp_path, "--scenario", "watch", "--shape", "soak:2@10m", "--mode", "meter") as command:
        command.until("2 of 2 show video")
        family = command.family()
        assert len(family) >= 4, "replay, master, worker, engine"
        command.process.send_signal(signal.SIGINT)
        code, out, errors = command.end()
    assert code == 130
    assert "interrupted" in errors
    assert "verdict: NO-DATA" in out
    recording = Recording.open(command.run)
    assert str(recording.run.state) == "interrupted"
    assert len(recording.table("frames")) > 10
    until(lambda: not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family))


def test_an_own_locustfile_with_users_of_ours(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(
        "from locust import task\n"
        "from vdibench.load.scenario_users import IdleUser\n"
        "from vdibench.load.users import DesktopUser\n\n\n"
        "class Clicker(DesktopUser):\n"
        "    @task\n"
        "    def work(self):\n"
        "        self.click_at(10, 10)\n"
        "        self.watch(0.5)\n\n\n"
        "class Away(IdleUser):\n"
        "    pass\n"
    )
    code, out, errors = loaded(tmp_path / "runs", "-f", str(own), "--users", "2", "--run-time", "5s", "--mode", "meter")
    assert code in {0, 97}, errors
    (run,) = (tmp_path / "runs").glob("*-load-*")
    requests = Recording.open(run).table("requests")
    assert set(requests["error"]) == {""}
    assert {"click", "watch"} <= set(requests["name"])
    assert "verdict:" in out
