"""Asks the coturn of a cluster for relays, with credentials minted from its Secret as a session's are. Blocking I/O.

The secret is read from the API, used, and forgotten: no reading holds it, or what was minted with it.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import time
import uuid
from typing import Any

from vdibench.clusters import Cluster
from vdibench.lab.turn import mint
from vdibench.preflight.cluster_context import ClusterContext
from vdibench.preflight.cluster_readings import BindingReading, TurnReading
from vdibench.preflight.cluster_snapshot import ClusterSnapshot, name, namespace
from vdibench.preflight.contexts import TurnServer
from vdibench.preflight.stun import Transport, TurnProbe, TurnRefused, passage_seconds

__all__ = ["SecretUnread", "ask_binding", "minted", "read_turn_log", "read_turn_secret", "try_relay"]

_LIFETIME_SECONDS = 300
_TIMEOUT_SECONDS = 10
_LOG_BYTES = 8192
_TRANSPORTS: tuple[Transport, ...] = ("udp", "tcp")


class SecretUnread(Exception):
    """The secret that credentials are minted with cannot be had; says why, in one line."""


def read_turn_secret(cluster: Cluster, context: ClusterContext) -> str:
    """A secret of coturn: the first line of the Secret's file, which holds also while a new one is brought in.

    :raises SecretUnread: there is none, or this user may not read it.
    """
    from kubernetes import client

    what = f"Secret {context.turn_namespace}/{context.turn_secret_name}"
    core: Any = client.CoreV1Api(cluster.api)
    try:
        found = core.read_namespaced_secret(
            context.turn_secret_name, context.turn_namespace, _request_timeout=_TIMEOUT_SECONDS
        )
    except client.ApiException as error:
        raise SecretUnread(f"{what} cannot be read: {error.status} {error.reason}") from error
    try:
        lines = base64.b64decode((found.data or {})[context.turn_secret_key]).decode().split()
        return lines[0]
    except (KeyError, IndexError, binascii.Error, UnicodeDecodeError) as error:
        raise SecretUnread(f"{what} has no line in {context.turn_secret_key}") from error


def read_turn_log(cluster: Cluster, context: ClusterContext, snapshot: ClusterSnapshot) -> str:
    """The first lines of a coturn's log; empty where nobody may read it."""
    from kubernetes import client

    core: Any = client.CoreV1Api(cluster.api)
    for pod in snapshot.relays(context.turn_namespace):
        container = str(pod["spec"]["containers"][0]["name"])
        try:
            return str(
                core.read_namespaced_pod_log(
                    name(pod),
                    namespace(pod),
                    container=container,
                    limit_bytes=_LOG_BYTES,
                    _request_timeout=_TIMEOUT_SECONDS,
                )
            )
        except client.ApiException:
            continue  # the log is one of three places that a version stands in
    return ""


def minted(secret: str, host: str, port: int) -> TurnServer:
    """A server with credentials of a user that it has never seen, valid for five minutes."""
    user, password = mint(secret, f"preflight-{uuid.uuid4().hex[:8]}", int(time.time()) + _LIFETIME_SECONDS)
    return TurnServer(host, port, user, password)


def ask_binding(host: str, port: int, seconds: float) -> BindingReading:
    """One STUN binding by UDP.

    :param seconds: how long to wait for an answer, asking again meanwhile.
    """
    server = f"{host}:{port}"
    try:
        with TurnProbe(host, port, "", "", time.monotonic() + seconds) as probe:
            mapped_host, mapped_port = probe.bind()
            return BindingReading(server, f"{mapped_host}:{mapped_port}", probe.software)
    except (OSError, TurnRefused, KeyError) as error:
        return BindingReading(server, error=_words(error))


def try_relay(server: TurnServer, seconds: float) -> tuple[TurnReading, ...]:
    """Allocate, relay and be refused, by UDP and by TCP.

    :param seconds: time limit of each transport.
    """
    return tuple(_try(server, transport, seconds) for transport in _TRANSPORTS)


def _try(server: TurnServer, transport: Transport, seconds: float) -> TurnReading:
    where = f"{server.host}:{server.port}"
    deadline = time.monotonic() + seconds
    began = time.perf_counter()
    try:
        with _probe(server, server.password, deadline, transport) as probe:
            host, port = probe.allocate()
            allocation_seconds = time.perf_counter() - began
            passage, passage_error = _pass(server, probe, deadline, transport)
    except (OSError, TurnRefused, KeyError) as error:
        return TurnReading(where, transport, error=_words(error))
    return TurnReading(
        where,
        transport,
        relay=f"{host}:{port}",
        allocation_seconds=allocation_seconds,
        passage_seconds=passage,
        passage_error=passage_error,
        wrong_password=_answer_to_wrong_password(server, transport, seconds),
    )


def _pass(server: TurnServer, probe: TurnProbe, deadline: float, transport: Transport) -> tuple[float | None, str]:
    """Seconds of a datagram to a second allocation, or why there are none."""
    try:
        with _probe(server, server.password, deadline, transport) as other:
            other.allocate()
            return passage_seconds(probe, other, secrets.token_bytes(32)), ""
    except (OSError, TurnRefused, KeyError) as error:
        return None, _words(error)


def _answer_to_wrong_password(server: TurnServer, transport: Transport, seconds: float) -> str:
    try:
        with _probe(server, secrets.token_hex(16), time.monotonic() + seconds, transport) as probe:
            probe.allocate()
    except TurnRefused as error:
        return f"refused with {error}"
    except (OSError, KeyError) as error:
        return f"no answer ({_words(error)})"
    return "accepted"


def _probe(server: TurnServer, password: str, deadline: float, transport: Transport) -> TurnProbe:
    return TurnProbe(server.host, server.port, server.user, password, deadline, transport)


def _words(error: Exception) -> str:
    return f"refused with {error}" if isinstance(error, TurnRefused) else str(error) or type(error).__name__
