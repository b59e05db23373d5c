"""What servers that play an API server have in common: how they say something, and how they are spoken to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kubernetes import client

from vdibench.clusters.api import Api
from vdibench.clusters.connection import Cluster

__all__ = ["Answering", "carries", "connected", "serving"]


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _say(self, status: int, document: Mapping[str, Any]) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def carries(one: Mapping[str, Any], selector: str) -> bool:
    """Whether an object has the label that a selector of one label asks for; empty asks for none."""
    key, _, value = selector.partition("=")
    labels = one["metadata"].get("labels", {})
    return not key or (key in labels and value in ("", labels[key]))


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[None]:
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield
        server.shutdown()
        thread.join()


@contextmanager
def connected(server: ThreadingHTTPServer, kubeconfig: Path) -> Iterator[Api]:
    configuration = client.Configuration()
    configuration.host = f"http://127.0.0.1:{server.server_port}"
    kept = client.ApiClient(configuration)
    yield Api(Cluster("test", kept, "v1.34.4", kubeconfig))
    kept.close()
