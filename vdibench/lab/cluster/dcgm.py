"""A stand-in for NVIDIA's DCGM exporter: recorded text over HTTP, with values that move, and it says so.

One file that a pod runs with its own Python, so it takes nothing but the standard library until objects are asked for::

    python3 dcgm.py --recording FILE [--listen 127.0.0.1] [--port 9400] [--period 60]

It prints one line, the address of its ``/metrics``, and ends with SIGTERM. ``vdibench_replay_info`` and an annotation
of every object say that there is no GPU behind it.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import re
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = ["ANNOTATION", "EXPORTER", "NAMESPACE", "Replay", "ReplayServer", "main", "replay_objects"]

NAMESPACE = "gpu-operator"
EXPORTER = "nvidia-dcgm-exporter"
ANNOTATION = "vdibench.io/replay"

_SAMPLE = re.compile(r"([A-Za-z_:]\w*)(\{.*\})?\s+(\S+)\s*")
_USED, _FREE = "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE"
_MOVING = {
    "DCGM_FI_DEV_GPU_UTIL",
    "DCGM_FI_DEV_ENC_UTIL",
    "DCGM_FI_DEV_POWER_USAGE",
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE",
    "DCGM_FI_PROF_SM_ACTIVE",
    _USED,
}
_SWING = 0.2


class Replay:
    """What the recorded text says after a time. Pure.

    Values fall by a fifth and come back within a period, all of one instant together: copies of a value stay equal,
    used and free memory keep their sum, and none is above what was recorded.

    :param text: in the exporter's form.
    :param name: of the recording.
    """

    def __init__(self, text: str, name: str, *, period_seconds: float = 60.0) -> None:
        self._lines = [line for line in text.splitlines() if line.startswith(("# HELP ", "# TYPE ")) or _sample(line)]
        self._name = re.sub(r'[\\"\n]', "_", name)
        self._period_seconds = period_seconds
        self._used: dict[str, float] = {}
        for line in self._lines:
            if (found := _sample(line)) and found[1] == _USED:
                # Shares of pods stand beside the device's own, which is the largest.
                device = _device(found[2] or "")
                self._used[device] = max(float(found[3]), self._used.get(device, 0.0))

    def exposition(self, seconds: float) -> str:
        """The text to serve.

        :param seconds: since it began.
        """
        part = 1 - _SWING * (0.5 - 0.5 * math.cos(2 * math.pi * seconds / self._period_seconds))
        lines = [self._moved(line, part) for line in self._lines]
        lines += [
            "# HELP vdibench_replay_info Recorded text is served; there is no GPU behind it.",
            "# TYPE vdibench_replay_info gauge",
            f'vdibench_replay_info{{exporter="dcgm",recording="{self._name}"}} 1',
        ]
        return "\n".join(lines) + "\n"

    def _moved(self, line: str, part: float) -> str:
        found = _sample(line)
        if found is None:
            return line
        name, labels, text = found[1], found[2] or "", found[3]
        if name in _MOVING:
            value = float(text) * part
        elif name == _FREE:
            used = self._used.get(_device(labels), 0.0)
            value = float(text) + used - round(used * part)
        else:
            return line
        return f"{name}{labels} {value:.6f}" if "." in text else f"{name}{labels} {round(value)}"


class ReplayServer(ThreadingHTTPServer):
    """Serves a replay at ``/metrics``, and ``/health`` as the exporter does.

    :param port: 0 for any free one.
    """

    def __init__(self, replay: Replay, host: str = "127.0.0.1", port: int = 0) -> None:
        self.replay = replay
        self._host = host
        self.began = time.monotonic()
        super().__init__((host, port), _Handler)

    @property
    def url(self) -> str:
        """Of the metrics."""
        return f"http://{self._host}:{self.server_port}/metrics"


class _Handler(BaseHTTPRequestHandler):
    server: ReplayServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer one request."""
        if self.path == "/metrics":
            text = self.server.replay.exposition(time.monotonic() - self.server.began)
            self._answer(200, text, "text/plain; version=0.0.4; charset=utf-8")
        elif self.path == "/health":
            self._answer(200, "OK\n", "text/plain")
        else:
            self._answer(404, "there is /metrics\n", "text/plain")

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: a scrape every few seconds is no news."""

    def _answer(self, status: int, text: str, kind: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def replay_objects(recording: Path) -> list[dict[str, Any]]:
    """The replay as objects for a cluster lab, where Prometheus looks for the exporter; each says what it is.

    :param recording: file with text in the exporter's form.
    """
    # Imported here: the pod that runs this file has neither.
    import yaml

    from vdibench.lab.cluster.images import image_names

    program, text = Path(__file__).read_text(), recording.read_text()
    template = Path(__file__).with_name("addons") / "on-request" / "dcgm-replay.yaml"
    said = f"recorded text ({recording.name}) in the place of a GPU"
    digest = hashlib.sha256(f"{program}\0{text}".encode()).hexdigest()[:16]
    objects: list[dict[str, Any]] = list(yaml.safe_load_all(template.read_text()))
    for one in objects:
        one["metadata"].setdefault("annotations", {})[ANNOTATION] = said
        one["metadata"].setdefault("labels", {})["app.kubernetes.io/managed-by"] = "vdibench-lab"
        if one["kind"] == "ConfigMap":
            one["data"] = {"dcgm.py": program, "recording.prom": text}
        elif one["kind"] == "Deployment":
            pod = one["spec"]["template"]
            # Another recording is another pod.
            pod["metadata"]["annotations"] = {ANNOTATION: said, "vdibench.io/replay-digest": digest}
            (container,) = pod["spec"]["containers"]
            container["image"] = image_names()[container["image"]]
            container["command"].append(f"--name={recording.name}")
    return objects


def main() -> None:
    """Serve until told to end."""
    line = argparse.ArgumentParser(prog="dcgm-replay", description="Serve recorded text of a DCGM exporter.")
    line.add_argument("--recording", type=Path, required=True)
    line.add_argument("--name", default="", help="of the recording; by default its file's")
    line.add_argument("--listen", default="127.0.0.1")
    line.add_argument("--port", type=int, default=9400, help="0 for any free one")
    line.add_argument("--period", type=float, default=60.0, help="seconds in which the values come back")
    options = line.parse_args()
    name = options.name or options.recording.name
    replay = Replay(options.recording.read_text(), name, period_seconds=options.period)
    # The first process of a container is ended by no signal that it does not take.
    signal.signal(signal.SIGTERM, _end)
    with ReplayServer(replay, options.listen, options.port) as server:
        print(server.url, flush=True)
        server.serve_forever()


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _sample(line: str) -> re.Match[str] | None:
    return _SAMPLE.fullmatch(line)


def _device(labels: str) -> str:
    """A GPU, or an instance of one."""
    return " ".join(re.findall(r'(?:UUID|GPU_I_ID)="[^"]*"', labels))


if __name__ == "__main__":
    main()
