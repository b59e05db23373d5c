"""Stand in for a session: answer on its port, and watch how long a new pod is open.

One file, standard library only, Python 3.9 or later: it is run inside pods. Arguments: the port, or ADDRESS:PORT, and
the token that its answers hold; then, for one that watches, the address and port of another stand-in that it must not
reach, that one's token, and for how many seconds to try. ``GET /api/health`` answers at once, ``GET /opening`` when the
watch is over.
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import socketserver
import sys
import threading
import time
from typing import Any

__all__ = ["Server", "main", "reaches", "watch"]

TRY_SECONDS = 0.25
PAUSE_SECONDS = 0.02
WAIT_SECONDS = 60.0


class Server(http.server.ThreadingHTTPServer):
    """Answers for a session.

    :param port: 0 for a free one.
    """

    daemon_threads = True

    def __init__(self, port: int, token: str, host: str = "") -> None:
        super().__init__((host, port), Handler)
        self.token = token
        self.opening: dict[str, Any] = {}
        self.watched = threading.Event()

    def server_bind(self) -> None:
        """Without looking the own name up, which takes seconds where names are shut off."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "", int(self.server_address[1])


class Handler(http.server.BaseHTTPRequestHandler):
    """Two paths."""

    server: Server

    def do_GET(self) -> None:
        """Answer."""
        if self.path == "/api/health":
            self._answer(200, {"status": "ok", "token": self.server.token})
        elif self.path == "/opening":
            self.server.watched.wait(WAIT_SECONDS)
            self._answer(200, self.server.opening)
        else:
            self._answer(404, {})

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the pod's log is not read."""


def reaches(host: str, port: int, token: str, seconds: float = TRY_SECONDS) -> bool:
    """Whether another stand-in answers, and with its own token."""
    data = b""
    try:
        with socket.create_connection((host, port), seconds) as link:
            link.sendall(b"GET /api/health HTTP/1.0\r\n\r\n")
            while piece := link.recv(4096):
                data += piece
    except OSError:
        return False
    return token.encode() in data


def watch(host: str, port: int, token: str, seconds: float, began: float) -> dict[str, Any]:
    """Try again and again.

    :param began: on the monotonic clock, when this program started.
    :return: seconds from the start to the last answer (0: there was none), whether the last try was answered too.
    """
    last, answered, tries = 0.0, False, 0
    while time.monotonic() - began < seconds:
        answered = reaches(host, port, token)
        tries += 1
        if answered:
            last = time.monotonic() - began
        time.sleep(PAUSE_SECONDS)  # a policy comes within some 100 ms, and nothing tells
    return {"open_seconds": last, "still_open": answered, "watched_seconds": seconds, "tries": tries}


def main() -> None:
    """Serve until told to end."""
    began = time.monotonic()
    # The first process of a container gets no signal that it does not ask for.
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
    host, _, port = sys.argv[1].rpartition(":")
    server = Server(int(port), sys.argv[2], host)
    if len(sys.argv) > 3:
        avoided, its_port, its_token, seconds = sys.argv[3:7]

        def observe() -> None:
            server.opening = watch(avoided, int(its_port), its_token, float(seconds), began)
            server.watched.set()

        threading.Thread(target=observe, daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
