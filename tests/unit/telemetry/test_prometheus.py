"""What a Prometheus says and how it refuses, by real HTTP; Debian's own is in tests/cluster/test_prometheus.py."""

from __future__ import annotations

import json
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from vdibench.errors import AuthenticationError, ProtocolViolation, TargetUnavailable, UsageError
from vdibench.lab.certificates import AUTHORITY, CERTIFICATE, KEY, write_certificates
from vdibench.telemetry import Sampler
from vdibench.telemetry.gpus import GpuFigure
from vdibench.telemetry.prometheus import (
    CA_FILE_VARIABLE,
    TOKEN_FILE_VARIABLE,
    TOKEN_VARIABLE,
    Access,
    Prometheus,
    duration_seconds,
)
from vdibench.telemetry.scraped import DcgmGpus

NOW = 1_800_000_000.0
UTIL = {
    "__name__": "DCGM_FI_DEV_GPU_UTIL",
    "gpu": "0",
    "UUID": "GPU-1",
    "modelName": "NVIDIA L4",
    "job": "dcgm",
    "instance": "n:9400",
}
Answer = tuple[int, bytes, dict[str, str]]


class Stage(ThreadingHTTPServer):
    """Answers with what is laid out for a path; keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | Callable[[dict[str, str]], Answer]] = {}
        self.asked: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self.scheme = "http"
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    def lay(self, path: str, data: Any) -> None:
        self.answers[path] = (200, json.dumps({"status": "success", "data": data}).encode(), {})


class _Handler(BaseHTTPRequestHandler):
    server: Stage

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        parameters = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.server.asked.append((parts.path, parameters, dict(self.headers)))
        found = self.server.answers.get(parts.path, (404, b"404 page not found\n", {}))
        status, body, headers = found(parameters) if callable(found) else found
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def vector(*points: tuple[dict[str, str], float, str]) -> dict[str, Any]:
    return {"resultType": "vector", "result": [{"metric": m, "value": [at, value]} for m, at, value in points]}


def matrix(*series: tuple[dict[str, str], list[tuple[float, str]]]) -> dict[str, Any]:
    return {"resultType": "matrix", "result": [{"metric": m, "values": values} for m, values in series]}


# the client


def test_values_of_one_instant(stage: Stage) -> None:
    stage.lay("/api/v1/query", vector(({"a": "b"}, NOW, "1.5"), ({"a": "c"}, NOW, "NaN"), ({"a": "d"}, NOW, "+Inf")))
    first, last = Prometheus(stage.url).query("x", at=NOW)
    assert (first.labels, first.unix_seconds, first.value) == ({"a": "b"}, NOW, 1.5)
    assert last.value == math.inf
    assert stage.asked[0][:2] == ("/api/v1/query", {"query": "x", "time": "1800000000.000"})


def test_a_scalar_is_a_value_without_labels_and_nothing_is_nothing(stage: Stage) -> None:
    stage.lay("/api/v1/query", {"resultType": "scalar", "result": [NOW, "7"]})
    (one,) = Prometheus(stage.url).query("scalar(x)")
    assert (one.labels, one.value) == ({}, 7.0)
    stage.lay("/api/v1/query", vector())
    assert Prometheus(stage.url).query("absent") == ()
    assert "time" not in stage.asked[-1][1]


def test_values_over_a_time_have_no_point_where_there_is_no_value(stage: Stage) -> None:
    stage.lay("/api/v1/query_range", matrix(({"a": "b"}, [(1.0, "1"), (2.0, "NaN"), (3.0, "3")]), ({}, [(1.0, "NaN")])))
    (series,) = Prometheus(stage.url + "/").query_range("x", start=1, end=3, step_seconds=0.5)
    assert series.points == ((1.0, 1.0), (3.0, 3.0))
    assert stage.asked[0][1] == {"query": "x", "start": "1.000", "end": "3.000", "step": "0.500"}


def test_what_was_scraped_is_asked_for_by_a_range_at_an_instant(stage: Stage) -> None:
    stage.lay("/api/v1/query", matrix(({}, [(NOW - 1, "4")])))
    (series,) = Prometheus(stage.url).scraped('up{job="x"}', seconds=11, at=NOW)
    assert series.points == ((NOW - 1, 4.0),)
    assert stage.asked[0][1] == {"query": 'up{job="x"}[11s]', "time": "1800000000.000"}


@pytest.mark.parametrize("kind", ["matrix", "string", "streams"])
def test_another_kind_of_result_is_the_asker_s_mistake(stage: Stage, kind: str) -> None:
    stage.lay("/api/v1/query", {"resultType": kind, "result": []})
    with pytest.raises(UsageError, match=f"gives a {kind}"):
        Prometheus(stage.url).query("x[5m]")


def test_version_readiness_and_targets(stage: Stage) -> None:
    stage.lay("/prometheus/api/v1/status/buildinfo", {"version": "2.42.0"})
    labels = {"job": "dcgm", "instance": "n:9400"}
    target = {"labels": labels, "health": "down", "lastError": "refused", "scrapeInterval": "1m30s"}
    stage.lay("/prometheus/api/v1/targets", {"activeTargets": [target, {"labels": {}, "health": "up"}]})
    stage.answers["/prometheus/-/ready"] = (503, b"Service Unavailable", {})
    server = Prometheus(stage.url + "/prometheus")
    assert server.version() == "2.42.0"
    assert not server.ready()
    stage.answers["/prometheus/-/ready"] = (200, b"Prometheus Server is Ready.\n", {})
    assert server.ready()
    down, up = server.targets()
    assert (down.job, down.instance, down.healthy, down.error) == ("dcgm", "n:9400", False, "refused")
    assert down.interval_seconds == 90.0
    assert (up.healthy, up.interval_seconds) == (True, None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15s", 15.0), ("1m30s", 90.0), ("500ms", 0.5), ("1h", 3600.0), ("", None), ("15", None), ("15s ", None)],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        (400, '{"status":"error","errorType":"bad_data","error":"parse error"}', UsageError, r"refuses 'x\(': parse"),
        (422, '{"status":"error","errorType":"execution","error":"many-to-many"}', UsageError, "many-to-many"),
        (503, '{"status":"error","errorType":"timeout","error":"too slow"}', TargetUnavailable, "fails: too slow"),
        (500, '{"status":"error","errorType":"internal"}', TargetUnavailable, "does not say why"),
        (503, "Service Unavailable", TargetUnavailable, "not ready"),
        (401, "", AuthenticationError, f"HTTP 401.*{TOKEN_VARIABLE}"),
        (403, "Forbidden", AuthenticationError, "HTTP 403"),
        (302, "", UsageError, "leads elsewhere"),
        (404, "404 page not found", ProtocolViolation, "not as Prometheus does"),
        (200, "<html>a page</html>", ProtocolViolation, "address of Prometheus itself"),
        (200, "[]", ProtocolViolation, "not as"),
        (200, '{"status":"success","data":{"result":[{"metric":{}}, 5]}}', ProtocolViolation, "."),
        (200, '{"status":"success","data":{"result":[{"value":[1]}]}}', ProtocolViolation, "."),
        (200, '{"status":"success","data":null}', ProtocolViolation, "another form"),
        (200, "[" * 100_000, ProtocolViolation, "not as"),
    ],
)
def test_refusals_say_what_to_do_in_one_line(
    stage: Stage, status: int, body: str, error: type[Exception], said: str
) -> None:
    stage.answers["/api/v1/query"] = (status, body.encode(), {"Location": "http://127.0.0.1:1/elsewhere"})
    with pytest.raises(error, match=said) as caught:
        Prometheus(stage.url).query("x(")
    assert "\n" not in str(caught.value)
    assert ": " in str(caught.value)
    assert len(stage.asked) == 1


def test_nobody_there_and_nobody_who_answers() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        with pytest.raises(TargetUnavailable, match="does not answer: connection refused: check its address"):
            Prometheus(f"http://127.0.0.1:{unheard.getsockname()[1]}").ready()
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(TargetUnavailable, match=r"nothing within 0\.2 s"),
    ):
        Prometheus(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=0.2).ready()


@pytest.mark.parametrize(
    "url", ["", "prometheus", "ftp://a", "http://", "http://a:x", "http://a?b", "http://a#b", "http://[1"]
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(UsageError, match="no URL of a Prometheus"):
        Prometheus(url)


def test_credentials_in_a_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match="holds credentials") as caught:
        Prometheus("https://user:hunter2@prometheus.example.com")
    assert "hunter2" not in str(caught.value)


def test_the_token_goes_to_its_server_and_nowhere_else(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, " sesame \n")
    monkeypatch.delenv(TOKEN_FILE_VARIABLE, raising=False)
    # A proxy that is not there: it must not be asked.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    access = Access.from_environment()
    assert "sesame" not in repr(access)
    stage.lay("/api/v1/query", vector())
    Prometheus(stage.url, access).query("x")
    assert stage.asked[0][2]["Authorization"] == "Bearer sesame"
    with pytest.raises(UsageError, match=r"to prometheus\.example\.com unencrypted") as caught:
        Prometheus("http://prometheus.example.com", access)
    assert "sesame" not in str(caught.value)
    stage.answers["/api/v1/query"] = (307, b"", {"Location": f"{stage.url}/api/v1/elsewhere"})
    with pytest.raises(UsageError, match="leads elsewhere"):
        Prometheus(stage.url, access).query("x")
    assert [path for path, _, _ in stage.asked] == ["/api/v1/query"] * 2
    Prometheus(stage.url).ready()
    assert "Authorization" not in stage.asked[-1][2]


def test_a_token_s_file_goes_before_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "one")
    monkeypatch.setenv(TOKEN_FILE_VARIABLE, str(tmp_path / "token"))
    with pytest.raises(UsageError, match="cannot read"):
        Access.from_environment()
    (tmp_path / "token").write_text("\n")
    with pytest.raises(UsageError, match="is empty"):
        Access.from_environment()
    (tmp_path / "token").write_text("two\n")
    assert Access.from_environment().token == "two"
    with pytest.raises(UsageError, match="give the token alone"):
        Access("two words")


def test_tls_with_an_authority_of_one_s_own(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / CERTIFICATE, tmp_path / KEY)
    stage.socket = context.wrap_socket(stage.socket, server_side=True)
    stage.lay("/api/v1/status/buildinfo", {"version": "3.5.0"})
    plain, stage.scheme = stage.url, "https"
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    monkeypatch.delenv(TOKEN_FILE_VARIABLE, raising=False)
    monkeypatch.setenv(CA_FILE_VARIABLE, str(tmp_path / AUTHORITY))
    assert Prometheus(stage.url, Access.from_environment()).version() == "3.5.0"
    with pytest.raises(TargetUnavailable, match=f"no trusted TLS connection.*{CA_FILE_VARIABLE}"):
        Prometheus(stage.url).version()
    with pytest.raises(TargetUnavailable, match="does not answer"):
        Prometheus(plain).version()
    with pytest.raises(UsageError, match="cannot read the CA file"):
        Prometheus(stage.url, Access(ca_file=str(tmp_path / KEY)))


def test_tls_to_a_server_without_it() -> None:
    def answer() -> None:
        connection, _ = plain.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as plain:
        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(TargetUnavailable, match="does not speak TLS"):
            Prometheus(f"https://127.0.0.1:{plain.getsockname()[1]}").version()
        thread.join()


# figures for a sampler


class Scraping:
    """A stage that plays a Prometheus with one exporter; its clock is ten seconds ahead."""

    def __init__(self, stage: Stage) -> None:
        self.age = 1.0
        self.value = "60"
        self.ended = False
        self.interval = "5s"
        self.health = "up"
        stage.lay("/api/v1/status/buildinfo", {"version": "2.42.0"})
        stage.answers["/api/v1/query"] = self._query
        stage.answers["/api/v1/targets"] = lambda parameters: _success(
            {
                "activeTargets": [
                    {
                        "labels": {"job": "dcgm", "instance": "n:9400"},
                        "health": self.health,
                        "lastError": "connection refused",
                        "scrapeInterval": self.interval,
                    }
                ]
            }
        )

    def _query(self, parameters: dict[str, str]) -> Answer:
        now = float(parameters.get("time", time.time() + 10))
        if parameters["query"].endswith("s]"):
            seconds = int(parameters["query"].rpartition("[")[2].removesuffix("s]"))
            points = [(now - self.age, self.value)] if self.age <= seconds else []
            return _success(matrix((UTIL, points)) if points else matrix())
        return _success(vector() if self.ended else vector((UTIL, now, self.value)))


def _success(data: Any) -> Answer:
    return 200, json.dumps({"status": "success", "data": data}).encode(), {}


@pytest.fixture
def scraping(stage: Stage) -> Scraping:
    return Scraping(stage)


def opened(stage: Stage, **options: Any) -> DcgmGpus:
    gpus = DcgmGpus(Prometheus(stage.url), **options)
    with gpus:
        pass
    return gpus


def test_a_figure_has_the_instant_of_its_scrape_by_our_clock(stage: Stage, scraping: Scraping) -> None:
    scraping.age = 3.0
    began = time.time()
    (figure,) = opened(stage, matchers='job="dcgm"').figures()
    ended = time.time()
    assert (figure.scope, figure.resource, figure.value) == ("gpu-0", "gpu_utilization_ratio", 0.6)
    assert figure.unix_seconds is not None
    # To half the request's time and the milliseconds of the interface.
    assert began - 3 - 0.01 <= figure.unix_seconds <= ended - 3 + 0.01
    queries = [parameters["query"] for path, parameters, _ in stage.asked if path == "/api/v1/query"]
    assert queries[1] == queries[0] + "[11s]"
    assert queries[0].startswith('{__name__=~"DCGM_FI_DEV_GPU_UTIL|')
    assert queries[0].endswith(',job="dcgm"}')


@pytest.mark.parametrize(
    ("age", "interval", "given", "there"),
    [
        (9.9, "5s", 0.0, True),
        (10.1, "5s", 0.0, False),
        (200.0, "5s", 0.0, False),
        (25.0, "15s", 0.0, True),
        (10.1, "", 15.0, True),
        (31.0, "", 15.0, False),
    ],
)
def test_a_value_older_than_two_scrapes_is_no_figure(
    stage: Stage, scraping: Scraping, age: float, interval: str, given: float, there: bool
) -> None:
    scraping.age, scraping.interval = age, interval
    gpus = opened(stage, scrape_interval_seconds=given)
    assert bool(gpus.figures()) is there
    assert ("older than two scrapes" in gpus.facts().get("telemetry.gpus.no_data", "")) is not there


def test_a_series_that_ended_is_no_figure_however_young(stage: Stage, scraping: Scraping) -> None:
    scraping.ended, scraping.health = True, "down"
    gpus = opened(stage)
    assert gpus.figures() == []
    assert gpus.facts()["telemetry.gpus.no_data"] == "Prometheus cannot scrape dcgm at n:9400: connection refused"
    scraping.health = "up"
    assert "no series of a DCGM exporter" in opened(stage).facts()["telemetry.gpus.no_data"]


def test_an_unknown_scrape_interval_is_a_reason_and_not_a_guess(stage: Stage, scraping: Scraping) -> None:
    scraping.interval = ""
    gpus = opened(stage)
    assert gpus.figures() == []
    assert "give the scrape interval" in gpus.facts()["telemetry.gpus.no_data"]


def test_what_cannot_be_is_named_with_its_reason(stage: Stage, scraping: Scraping) -> None:
    scraping.value = "2147483632"
    facts = opened(stage).facts()
    assert facts["telemetry.gpu-0.gpu_utilization_ratio"].startswith("no data 1 times, last because of a value that")
    assert facts["telemetry.gpus.no_data"] == "no figure that can be used"


def test_facts_say_where_figures_come_from(stage: Stage, scraping: Scraping) -> None:
    assert opened(stage).facts() == {
        "telemetry.gpus": "1",
        "telemetry.gpus.source": f"DCGM by Prometheus 2.42.0 at {stage.url}",
        "telemetry.gpus.scrape_interval_seconds": "5",
        "telemetry.gpu-0": "GPU-1 NVIDIA L4",
    }


def test_a_server_that_is_not_there_is_an_error_at_once(stage: Stage) -> None:
    with pytest.raises(ProtocolViolation), DcgmGpus(Prometheus(stage.url)):
        pass


def test_a_sampler_writes_each_scrape_once_at_its_own_instant(stage: Stage, scraping: Scraping) -> None:
    with DcgmGpus(Prometheus(stage.url), scrape_interval_seconds=6.0) as gpus:
        sampler = Sampler([], emit=lambda rows: None, gpus=gpus)
        first = [row for row in sampler.read() if row["session"] == "gpu-0"]
        again = [row for row in sampler.read() if row["session"] == "gpu-0"]
        (row,) = first
        assert (row["resource"], row["value"]) == ("gpu_utilization_ratio", 0.6)
        assert 0.9 < time.time() - row["unix_seconds"] < 5
        assert again == []
        assert sampler.facts()["telemetry.gpus"] == "1"
        # The stage says a second's age whenever it is asked, so each look is another scrape.
        deadline = time.monotonic() + 30
        later: list[GpuFigure] = []
        while not later and time.monotonic() < deadline:
            later = gpus.figures()
            time.sleep(0.05)  # the thread looks every three seconds, and tells nobody
        assert later
        assert later[0].unix_seconds is not None
        assert later[0].unix_seconds > row["unix_seconds"]


def test_a_server_that_goes_away_leaves_a_reason_and_no_figures(stage: Stage, scraping: Scraping) -> None:
    with DcgmGpus(Prometheus(stage.url), scrape_interval_seconds=1.0) as gpus:
        stage.answers["/api/v1/query"] = (503, b"", {})
        deadline = time.monotonic() + 30
        while "not ready" not in gpus.facts().get("telemetry.gpus.no_data", "") and time.monotonic() < deadline:
            time.sleep(0.05)  # the thread looks every half second, and tells nobody
        assert "not ready" in gpus.facts()["telemetry.gpus.no_data"]
        gpus.figures()
        assert gpus.figures() == []
