"""A Prometheus to a test's liking: real HTTP, answers laid out beforehand."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

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
        self.answers[path] = success(data)


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


class Scraping:
    """A stage that plays a Prometheus with one exporter; its clock is ten seconds ahead.

    :ivar age: of the last scrape, whenever it is asked.
    :ivar others: of the device, metric to value, beside its use.
    """

    def __init__(self, stage: Stage) -> None:
        self.age = 1.0
        self.value = "60"
        self.others: dict[str, str] = {}
        self.ended = False
        self.interval = "5s"
        self.health = "up"
        stage.lay("/api/v1/status/buildinfo", {"version": "2.42.0"})
        stage.answers["/api/v1/query"] = self._query
        stage.answers["/api/v1/targets"] = lambda parameters: success(
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
        values = {UTIL["__name__"]: self.value, **self.others}
        series = [({**UTIL, "__name__": name}, value) for name, value in values.items()]
        if parameters["query"].endswith("s]"):
            seconds = int(parameters["query"].rpartition("[")[2].removesuffix("s]"))
            there = series if self.age <= seconds else []
            return success(matrix(*((labels, [(now - self.age, value)]) for labels, value in there)))
        return success(vector(*((labels, now, value) for labels, value in ([] if self.ended else series))))


def success(data: Any) -> Answer:
    return 200, json.dumps({"status": "success", "data": data}).encode(), {}


def vector(*points: tuple[dict[str, str], float, str]) -> dict[str, Any]:
    return {"resultType": "vector", "result": [{"metric": m, "value": [at, value]} for m, at, value in points]}


def matrix(*series: tuple[dict[str, str], list[tuple[float, str]]]) -> dict[str, Any]:
    return {"resultType": "matrix", "result": [{"metric": m, "values": values} for m, values in series]}
