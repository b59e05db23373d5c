"""Check of a TURN server: a real allocation, a datagram through it, and a refusal of wrong credentials.

Without a server at hand it starts coturn as a lab does, on loopback, for the moment of the check.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from vdibench.errors import LabError
from vdibench.lab.files import write_private
from vdibench.lab.ports import PortLeases
from vdibench.lab.turn import HOST, await_binding, mint, turn_configuration
from vdibench.preflight.contexts import HostContext, TurnServer
from vdibench.preflight.findings import failed, not_applicable, passed
from vdibench.preflight.stun import TurnProbe, TurnRefused
from vdibench.records import Check

__all__ = ["check_turn", "temporary_turn_server"]

_RELAYS = 8
_GRACE_SECONDS = 5.0


def check_turn(context: HostContext) -> Check:
    """The TURN server gives an allocation to good credentials, relays on this host, and refuses wrong ones."""
    deadline = time.monotonic() + context.check_seconds * 0.75
    if context.turn is not None:
        return _try(context.turn, deadline)
    if not context.lab:
        return not_applicable("turn", "no TURN server was given")
    if shutil.which("turnserver") is None:
        return failed("turn", "there is no turnserver", "PATH", "apt-get install coturn")
    try:
        with temporary_turn_server(deadline) as server:
            return _try(server, deadline)
    except LabError as error:
        return failed("turn", error.cause, "coturn started for this check", error.remedy)


@contextlib.contextmanager
def temporary_turn_server(deadline: float) -> Iterator[TurnServer]:
    """A coturn on loopback, with minted credentials, gone when the block ends.

    :param deadline: on the monotonic clock, for getting ready.
    :raises LabError: it does not get ready, or no ports are free.
    """
    leases = PortLeases()
    try:
        port, relays = leases.lease()[0], leases.lease(_RELAYS)
        secret = secrets.token_hex(24)
        with tempfile.TemporaryDirectory(prefix="vdibench-preflight-") as folder:
            directory = Path(folder)
            configuration = directory / "turn.conf"
            write_private(
                configuration, turn_configuration(port=port, relay=relays, secret=secret, directory=directory)
            )
            process = subprocess.Popen(
                ["turnserver", "-c", str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=directory,
                start_new_session=True,
            )
            try:
                _await(port, deadline, process)
                user, password = mint(secret, "preflight", int(time.time()) + 300)
                yield TurnServer(HOST, port, user, password)
            finally:
                _end(process)
    finally:
        leases.close()


def _await(port: int, deadline: float, process: subprocess.Popen[bytes]) -> None:
    try:
        # This thread is the check's own and has no event loop.
        asyncio.run(asyncio.wait_for(await_binding(port), max(0.1, deadline - time.monotonic())))
    except TimeoutError:
        status = process.poll()
        what = "does not answer" if status is None else f"ended with status {status}"
        raise LabError(f"turnserver {what}", "run it by hand: turnserver -n --log-file=stdout") from None


def _try(server: TurnServer, deadline: float) -> Check:
    where = f"{server.host}:{server.port}"
    remedy = f"check that a TURN server listens at {where} on UDP and shares the secret of these credentials"
    began = time.perf_counter()
    try:
        with TurnProbe(server.host, server.port, server.user, server.password, deadline) as probe:
            host, port = probe.allocate()
            seconds = time.perf_counter() - began
            finding = f"relay address {host}:{port} after {seconds * 1000:.1f} ms"
            if ipaddress.ip_address(host).is_loopback:
                passage = probe.relay(secrets.token_bytes(32))
                finding += f", a datagram through it takes {passage * 1000:.1f} ms"
    except TurnRefused as error:
        return failed("turn", f"{where} refuses: {error}", "TURN Allocate, CreatePermission", remedy)
    except OSError as error:
        return failed("turn", f"{where} gives no relay: {error}", "TURN Allocate over UDP", remedy)
    try:
        with TurnProbe(server.host, server.port, server.user, secrets.token_hex(16), deadline) as probe:
            probe.allocate()
    except TurnRefused as error:
        evidence = f"TURN Allocate at {where} with good and with wrong credentials"
        return passed("turn", f"{finding}; a wrong password is refused with {error}", evidence)
    except OSError as error:
        return failed("turn", f"{where} says nothing to a wrong password: {error}", "TURN Allocate over UDP", remedy)
    return failed(
        "turn",
        f"{where} relays for anybody: a wrong password got an allocation",
        "TURN Allocate with a random password",
        "make the server check credentials: use-auth-secret or lt-cred-mech in coturn",
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
