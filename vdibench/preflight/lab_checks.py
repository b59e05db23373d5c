"""Checks of what desktops on this host need: programs, ports and an X server that answers. Starts one X server."""

from __future__ import annotations

import os
import selectors
import shutil
import socket
import subprocess
import sys
import time
from importlib import metadata

from vdibench.errors import LabError, ParameterError
from vdibench.lab import DesktopSpec, LabSpec, missing
from vdibench.lab.ports import PortLeases
from vdibench.lab.turn import relay_ports
from vdibench.preflight.contexts import HostContext
from vdibench.preflight.findings import failed, not_applicable, passed
from vdibench.records import Check

__all__ = ["check_ports", "check_programs", "check_x_server"]

_ELSEWHERE = "the desktops run elsewhere"
_X_SETUP = b"l\0" + bytes([11, 0]) + bytes(8)
_X_SETUP_PREFIX_BYTES = 8
_X_GRACE_SECONDS = 5.0
_FILES_PER_DESKTOP = 16


def check_programs(context: HostContext) -> Check:
    """Every program and package of a desktop is installed."""
    if not context.lab:
        return not_applicable("programs", _ELSEWHERE)
    evidence = "PATH, package metadata, ldd of the native modules"
    lacking = missing(turn=context.turn is None)
    if lacking:
        packages = sorted({part.apt_package for part in lacking if part.apt_package})
        remedies = [f"apt-get install {' '.join(packages)}"] if packages else []
        remedies += dict.fromkeys(part.remedy for part in lacking if not part.apt_package)
        names = ", ".join(part.name for part in lacking)
        return failed("programs", f"missing: {names}", evidence, "; ".join(remedies))
    return passed("programs", f"X server, sound, TURN and selkies {metadata.version('selkies')} are there", evidence)


def check_ports(context: HostContext) -> Check:
    """The loopback ports that the planned lab leases are free, on TCP and UDP."""
    if not context.lab:
        return not_applicable("ports", _ELSEWHERE)
    wanted = relay_ports(context.desktops)
    evidence = "leases and test binds"
    # Every lease is an open file of the lab's supervisor, beside a few of each desktop.
    files, allowed = wanted + _FILES_PER_DESKTOP * (context.desktops + 1), _files_allowed()
    if files > allowed:
        finding = f"{wanted} relay ports need about {files} open files, {allowed} are allowed"
        return failed("ports", finding, "RLIMIT_NOFILE", f"raise the limit: ulimit -n {files * 2}")
    leases = PortLeases()
    try:
        LabSpec((DesktopSpec(context.display),) * context.desktops)
        single = [leases.lease()[0] for _ in range(context.desktops + 1)]
        block = leases.lease(wanted)
    except (LabError, ParameterError) as error:
        return failed("ports", error.cause, evidence, error.remedy)
    finally:
        leases.close()
    return passed(
        "ports",
        f"{len(single)} ports and a block of {wanted} for relays are free",
        f"leased {min(single)} to {max(single)} and {block.start} to {block.stop - 1} for a moment",
    )


def _files_allowed() -> int:
    # The standard module of that name exists on Unix only; so does a lab.
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def check_x_server(context: HostContext) -> Check:
    """An X server of the planned size starts and answers a connection set-up."""
    if not context.lab:
        return not_applicable("x_server", _ELSEWHERE)
    if shutil.which("Xvfb") is None:
        return failed("x_server", "there is no Xvfb", "PATH", "apt-get install xvfb")
    size = f"{context.display.width}x{context.display.height}x24"
    remedy = "run it by hand: Xvfb -displayfd 1"
    deadline = time.monotonic() + context.check_seconds * 0.75
    read_end, write_end = os.pipe()
    began = time.perf_counter()
    command = ["Xvfb", "-displayfd", str(write_end), "-screen", "0", size, "-nolisten", "tcp", "-noreset"]
    server = subprocess.Popen(
        command,
        pass_fds=(write_end,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(write_end)
    try:
        number = _read_line(read_end, deadline)
        if not number:
            return failed("x_server", f"Xvfb gave no display for {size}", _ended_words(server), remedy)
        release = _set_up(int(number), deadline)
        seconds = time.perf_counter() - began
        return passed(
            "x_server",
            f"{size} answers after {seconds:.2f} s",
            f"connection set-up on display :{number}, release {release}",
        )
    except OSError as error:
        return failed("x_server", "Xvfb started and did not answer a connection set-up", str(error), remedy)
    finally:
        os.close(read_end)
        _end(server)


def _set_up(number: int, deadline: float) -> int:
    """Connect as an X client does.

    :return: the server's release number.
    :raises OSError: no server, or it refused.
    """
    # Abstract sockets are Linux'; -nolisten local or a container without them leaves the file.
    for address in (f"\0/tmp/.X11-unix/X{number}", f"/tmp/.X11-unix/X{number}"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as display:
            display.settimeout(max(0.1, deadline - time.monotonic()))
            try:
                display.connect(address)
            except (ConnectionRefusedError, FileNotFoundError):
                continue
            display.sendall(_X_SETUP)
            prefix = _receive(display, _X_SETUP_PREFIX_BYTES)
            rest = _receive(display, int.from_bytes(prefix[6:8], "little") * 4)
            if prefix[0] != 1:
                raise ConnectionRefusedError(rest[: prefix[1]].decode("ascii", "replace"))
            return int.from_bytes(rest[0:4], "little")
    raise ConnectionRefusedError(f"no socket of display :{number}")


def _receive(display: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        part = display.recv(size - len(received))
        if not part:
            raise ConnectionResetError("the server closed the connection")
        received += part
    return received


def _read_line(descriptor: int, deadline: float) -> str:
    text = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while not text.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return ""
            part = os.read(descriptor, 64)
            if not part:
                return ""
            text += part
    return text.decode("ascii").strip()


def _ended_words(server: subprocess.Popen[bytes]) -> str:
    """What an X server that gave up said last."""
    server.terminate()
    assert server.stderr is not None
    lines = [line.strip() for line in server.stderr.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1] if lines else f"exit status {server.returncode}"


def _end(server: subprocess.Popen[bytes]) -> None:
    with server:
        server.terminate()
        try:
            server.wait(_X_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
