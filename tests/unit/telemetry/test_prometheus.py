"""What a Prometheus says and how it refuses, by real HTTP; Debian's own is in tests/cluster/test_prometheus.py."""

from __future__ import annotations

import math
import socket
import ssl
import threading
from pathlib import Path

import pytest

from vdibench.errors import AuthenticationError, ProtocolViolation, TargetUnavailable, UsageError
from vdibench.lab.certificates import AUTHORITY, CERTIFICATE, KEY, write_certificates
from vdibench.telemetry.prometheus import (
    CA_FILE_VARIABLE,
    TOKEN_FILE_VARIABLE,
    TOKEN_VARIABLE,
    Access,
    Prometheus,
    duration_seconds,
)

from .scraping import Stage, matrix, vector

NOW = 1_800_000_000.0


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
