"""Bad input: one line that names cause and remedy, the right exit code, and what was measured until then is kept."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest

from vdibench.lab import DesktopSpec, Lab, LabSpec
from vdibench.records import Display, Outcome
from vdibench.store import Recording, resolve

# Of the protocol tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "protocol"))

from free_ports import free_port

from .commands import await_steady, called, short_run, start, vdibench

pytestmark = pytest.mark.timeout(180)


def error_line(done: subprocess.CompletedProcess[str]) -> str:
    """The one error line; nothing of a traceback may stand around it."""
    lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert "Traceback" not in done.stderr, done.stderr
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("vdibench: error: ")
    return lines[0]


@pytest.fixture(scope="module")
def web_page() -> Iterator[str]:
    """A web server that is no desktop."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<html>hello</html>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def run_url(url: str, cwd: Path, *more: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    words = ("run", "02", "--without-notebooks", "--no-selftest", "--target", f"url:{url}", *more)
    return vdibench(*words, cwd=cwd, env=env)


def test_nothing_answers(tmp_path: Path) -> None:
    done = run_url(f"http://127.0.0.1:{free_port()}", tmp_path)
    assert done.returncode == 98
    assert re.search(r"nothing answers at .*: connection refused: check", error_line(done))
    assert done.stdout.splitlines()[-1].startswith("verdict: NO-DATA  results/")


def test_not_a_desktop(tmp_path: Path, web_page: str) -> None:
    done = run_url(web_page, tmp_path)
    assert done.returncode == 98
    assert "no Selkies desktop" in error_line(done)


def test_wrong_password(tmp_path: Path, lab: Lab) -> None:
    done = run_url(lab.desktops[0].endpoint.url, tmp_path, "--user", "lab", env={"VDIBENCH_PASSWORD": "not-it-at-all"})
    assert done.returncode == 2
    line = error_line(done)
    assert "refused user 'lab'" in line
    assert "VDIBENCH_PASSWORD" in line
    assert "not-it-at-all" not in done.stderr + done.stdout


def test_no_password(tmp_path: Path, lab: Lab) -> None:
    done = run_url(lab.desktops[0].endpoint.url, tmp_path)
    assert done.returncode == 2
    assert "wants a user and a password" in error_line(done)


def test_password_in_the_url(tmp_path: Path) -> None:
    done = run_url("http://me:secret-word@127.0.0.1:1", tmp_path)
    assert done.returncode == 2
    assert "the URL holds credentials" in error_line(done)
    assert "secret-word" not in done.stderr


def test_a_server_that_dies_in_mid_stream_keeps_what_was_measured(tmp_path: Path) -> None:
    with Lab.up(LabSpec(desktops=(DesktopSpec(display=Display(640, 360, 30)),)), owned=True) as lab:
        process = start(
            "run", "02", "--target", f"lab:{lab.name}", *short_run(steady_seconds="60.0"),
            cwd=tmp_path,
        )  # fmt: skip
        victim = next(part for part in lab.status().desktops[0].parts if part.name == "selkies")
        try:
            await_steady(tmp_path / "results", process)
            psutil.Process(victim.pid).kill()
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 98, err
    line = error_line(subprocess.CompletedProcess([], process.returncode, out, err))
    assert "desktop" in line
    recording = Recording.open(resolve(tmp_path / "results", "latest"))
    steady = recording.table("frames").query("phase == 'steady'")
    assert len(steady) > 20
    assert recording.verdict.outcome is Outcome.NO_DATA
    assert recording.path("report.html").exists()


CALLS = {
    "objective typo": (["run", "02", "--objectives", "{typo}"], "glass_to_glas_seconds", 2),
    "unknown parameter": (["run", "02", "-p", "widht", "640"], "unknown parameter 'widht'", 2),
    "parameter out of range": (["run", "02", "-p", "steady_seconds", "-1"], "give at least 1", 2),
    "parameter of the wrong type": (["run", "02", "-p", "width", "wide"], "parameter width is 'wide'", 2),
    "unknown notebook": (["run", "07_magic"], "unknown notebook '07_magic'", 2),
    "unknown profile": (["run", "--profile", "smok"], "no profile named 'smok'", 2),
    "unknown target": (["run", "--target", "cloud"], "unknown target 'cloud'", 2),
    "no such lab": (["run", "02", "--target", "lab:nowhere"], "there is no lab named 'nowhere'", 1),
    "unwritable results": (["run", "01", "--results", "/proc/vdibench"], "/proc/vdibench", 1),
    "results that are a file": (["run", "01", "--results", "{typo}"], "typo.yaml", 1),
    "graduation of no run": (["run", "05"], "there is no run in", 1),
    "graduation of what is still measured": (["run", "04", "05"], "graduates a run that has ended", 2),
    "graduation with a waiver of nothing": (["run", "05", "-p", "waive", "fps=slow"], "nothing that is required", 2),
    "graduate without a run": (["graduate"], "no run is named", 2),
    "no such run": (["verdict", "yesterday"], "there is no run 'yesterday'", 1),
    "prune without a limit": (["runs", "prune"], "nothing says which runs may go", 2),
}


@pytest.mark.parametrize("call", CALLS)
def test_call(call: str, tmp_path: Path) -> None:
    arguments, told, code = CALLS[call]
    typo = tmp_path / "typo.yaml"
    typo.write_text("schema: 1\nobjectives:\n  glass_to_glas_seconds: p(95) < 0.05\n")
    done = called(*(word.format(typo=typo) for word in arguments), cwd=tmp_path)
    line = error_line(done)
    assert told in line
    assert ": " in line.removeprefix("vdibench: error: "), "no remedy"
    assert done.returncode == code


STANDIN = Path(__file__).resolve().parents[1] / "protocol" / "standin.py"


@pytest.fixture
def standin() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A stand-in desktop of its own process, for faults that a real one does not produce on demand."""
    process = subprocess.Popen([sys.executable, str(STANDIN)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.communicate()


def test_a_desktop_that_never_sends_video(tmp_path: Path, standin: tuple[str, subprocess.Popen[str]]) -> None:
    url, process = standin
    assert process.stdin is not None
    process.stdin.write('{"video": false}\n')
    process.stdin.flush()
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "changed"
    done = run_url(url, tmp_path)
    assert done.returncode == 98
    assert "sends no video within 10 s: check" in error_line(done)
    recording = Recording.open(resolve(tmp_path / "results", "latest"))
    assert "channel_open" in set(recording.table("milestones").event)
