"""What stands in for desktops on played nodes, which run nothing: homes, and a checker that sees what is not there.

Whatever is measured with it is a figure of the operator and the cluster, never of a stream; results say so.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["STORAGE_CLASS", "PlayedChecker", "played_storage", "played_template", "played_volume"]

Object = dict[str, Any]

STORAGE_CLASS = "played"


def played_template(namespace: str, name: str = "played", **spec: Any) -> Object:
    """A VDITemplate whose desktops go to played nodes, whose taint has to be gone.

    :param spec: fields in the place of its own.
    """
    whole = {
        "image": "vdibench.local/desktop:2.1.0",
        "imagePullPolicy": "Never",
        "dialect": "selkies-2-webrtc",
        "hardwareEncoding": False,
        "gpu": {"resource": "nvidia.com/gpu", "runtimeClassName": "", "nodeSelector": {"vdibench.io/played": "true"}},
        "home": {"storageClassName": STORAGE_CLASS, "size": "1Gi"},
        **spec,
    }
    api = {"apiVersion": "vdibench.io/v1alpha1", "kind": "VDITemplate"}
    return {**api, "metadata": {"name": name, "namespace": namespace}, "spec": whole}


def played_storage(namespace: str, claims: Iterable[str]) -> list[Object]:
    """A storage class, and a volume for each of these claims: no provisioner could make one on a played node."""
    storage: Object = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": STORAGE_CLASS},
        "provisioner": "kubernetes.io/no-provisioner",
        "reclaimPolicy": "Retain",
        "volumeBindingMode": "Immediate",
    }
    return [storage, *(played_volume(namespace, claim) for claim in claims)]


def played_volume(namespace: str, claim: str) -> Object:
    """The volume of one claim, which nothing mounts."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"played-{claim}", "labels": {"vdibench.io/played": "true"}},
        "spec": {
            "storageClassName": STORAGE_CLASS,
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOncePod"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": f"/nonexistent/{claim}"},
            "claimRef": {"namespace": namespace, "name": claim},
        },
    }


class _Server(ThreadingHTTPServer):
    """With room for all who come at once."""

    request_queue_size = 128


class PlayedChecker:
    """Answers every check as if a frame had been decoded: played pods send none.

    A real HTTP server on loopback that speaks as the frame checker does, token included.

    :param token: that it wants.
    """

    def __init__(self, token: str = "") -> None:
        self.token = token
        self.asked: list[tuple[float, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
                refused = self.headers.get("Authorization") != f"Bearer {outer.token}"
                if self.path != "/v1/checks" or refused:
                    self.send_error(401 if refused else 404)
                    return
                outer.asked.append((time.time(), str(body["url"])))
                self._answer(outer.answer(body))

            def _answer(self, document: Object) -> None:
                data = json.dumps(document).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="played checker", daemon=True)

    @property
    def url(self) -> str:
        """Where it is."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def answer(self, asked: Object) -> Object:
        """What it says of a desktop; a test's may say otherwise."""
        return {
            "ok": True,
            "message": "played: nothing was looked at",
            "codec": "H264",
            "encoder": "played",
            "hardware": False,
            "transport": "played",
            "width": asked["width"],
            "height": asked["height"],
            "firstFrameSeconds": 0.0,
        }

    @contextmanager
    def serving(self) -> Iterator[PlayedChecker]:
        """While it answers."""
        self._thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
