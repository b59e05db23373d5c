"""The stand-in of a session, in this process and as the program that runs in a pod."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time

from vdibench.conformance.judgement import Opening
from vdibench.conformance.pods import STAND_IN_FILE
from vdibench.conformance.standin import Server, reaches, watch
from vdibench.lab.ports import PortLeases

from .servers import HOST, refusing, serving, silent


def test_it_is_reached_by_its_own_token_only() -> None:
    with serving(Server(0, "right", HOST)) as port:
        assert reaches(HOST, port, "right")
        assert not reaches(HOST, port, "wrong")
    with silent() as port:
        assert not reaches(HOST, port, "right")


def test_what_is_always_open_is_open_at_the_end() -> None:
    with serving(Server(0, "right", HOST)) as port:
        found = watch(HOST, port, "right", 0.3, time.monotonic())
    opening = Opening.from_json(found)
    assert opening.still_open
    assert 0 < opening.open_seconds <= 0.6
    assert str(opening) == "a new session was open for all of the 0.3 s watched"


def test_what_never_answers_was_never_open() -> None:
    with refusing() as port:
        found = watch(HOST, port, "right", 0.2, time.monotonic())
    assert found["tries"] > 1
    assert str(Opening.from_json(found)) == "a new session was never open"


def test_what_is_shut_meanwhile_was_open_until_then() -> None:
    server = Server(0, "right", HOST)

    def shut() -> None:
        server.shutdown()
        server.server_close()

    serve = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serve.start()
    timer = threading.Timer(0.4, shut)
    timer.start()
    found = watch(HOST, server.server_address[1], "right", 1.5, time.monotonic())
    timer.join()
    serve.join()
    assert not found["still_open"]
    assert 0 < found["open_seconds"] < 1.2
    assert "a new session was open for" in str(Opening.from_json(found))


def test_the_program_serves_watches_and_ends() -> None:
    leases = PortLeases()
    try:
        port = leases.lease()[0]
        with serving(Server(0, "avoided", HOST)) as avoided:
            words = [f"{HOST}:{port}", "own", HOST, str(avoided), "avoided", "0.5"]
            command = [sys.executable, "-I", "-c", STAND_IN_FILE.read_text(), *words]
            with subprocess.Popen(command) as process:
                try:
                    deadline = time.monotonic() + 20
                    while not reaches(HOST, port, "own"):
                        assert time.monotonic() < deadline
                        time.sleep(0.05)  # an interpreter starts; there is nothing of it to wait on
                    assert _get(port, "/opening")["still_open"] is True
                    assert _get(port, "/nothing") == {}
                finally:
                    process.terminate()
                assert process.wait(10) == 0
    finally:
        leases.close()


def _get(port: int, path: str) -> dict[str, object]:
    connection = http.client.HTTPConnection(HOST, port, timeout=20)
    try:
        connection.request("GET", path)
        found: dict[str, object] = json.loads(connection.getresponse().read())
        return found
    finally:
        connection.close()
