"""Credentials that a program hands out, as kubeconfigs of clouds and of OpenID Connect name it. Runs that program.

The protocol is client-go's (Kubernetes documentation, "Authentication", client-go credential plugins): the program is
told by ``KUBERNETES_EXEC_INFO`` and answers with an ``ExecCredential`` on its standard output. What it says holds until
its ``expirationTimestamp``, or until the API server refuses it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["NoCredential", "Program", "load_pair"]

_GROUP = "client.authentication.k8s.io/"
_VERSIONS = (f"{_GROUP}v1", f"{_GROUP}v1beta1")
_MODES = ("Never", "IfAvailable", "Always")
_INFO = "KUBERNETES_EXEC_INFO"
# Where a cluster of a kubeconfig keeps what its program is to be told.
_EXTENSION = f"{_GROUP}exec"
# A person may have to log in at a browser; a program that asks nobody has no excuse.
_ASKING_SECONDS, _RUNNING_SECONDS = 600.0, 60.0
# What ends so soon is fetched anew: a request takes its time.
_MARGIN_SECONDS = 5.0
_LONGEST_SAID = 300


class NoCredential(OSError):
    """The program gave none; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class _Credential:
    """What a program said.

    :param certificate, key: PEM, empty: none.
    :param ends_unix_seconds: infinite where it named no end.
    """

    token: str
    certificate: str
    key: str
    ends_unix_seconds: float


@dataclass(slots=True)
class Program:
    """The program of a kubeconfig's user. May be used from several threads.

    :param command: a name that is looked for in PATH, or a path.
    :param version: of the answer that is asked for.
    :param environment: in addition to ours.
    :param hint: what to tell where it is not installed.
    :param mode: whether it may ask the person at the terminal: Never, IfAvailable or Always.
    :param cluster: told to it; None: it does not want to know.
    :param tls: into which its client certificates go; None: plain HTTP.
    :param clock: Unix seconds.
    """

    command: str
    version: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    hint: str = ""
    mode: str = "IfAvailable"
    cluster: Mapping[str, Any] | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    clock: Callable[[], float] = field(default=time.time, repr=False)
    _credential: _Credential | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def of(cls, found: object, cluster: Mapping[str, Any], folder: Path, tls: ssl.SSLContext | None = None) -> Program:
        """From a user's ``exec``.

        :param cluster: of the same context.
        :param folder: of the kubeconfig, where relative paths begin.
        :raises ValueError: it is not what it must be; the message names the field.
        :raises OSError: the cluster's authority cannot be read.
        """
        if not isinstance(found, dict):
            raise ValueError("exec is no mapping")
        command, version = str(found.get("command") or ""), str(found.get("apiVersion") or "")
        if not command:
            raise ValueError("exec.command is missing")
        if version not in _VERSIONS:
            raise ValueError(f"exec.apiVersion is {version!r}, known are {' and '.join(_VERSIONS)}: update the program")
        # v1 wants it said; what it says by default is that of v1beta1.
        mode = str(found.get("interactiveMode") or "IfAvailable")
        if mode not in _MODES:
            raise ValueError(f"exec.interactiveMode is {mode!r}, known are {', '.join(_MODES)}")
        if Path(command).name != command:
            command = str(folder / command)
        variables = [one for one in found.get("env") or () if isinstance(one, dict)]
        return cls(
            command,
            version,
            tuple(str(one) for one in found.get("args") or ()),
            {str(one.get("name")): str(one.get("value") or "") for one in variables},
            str(found.get("installHint") or "").strip(),
            mode,
            _told(cluster, folder) if found.get("provideClusterInfo") else None,
            tls,
        )

    @property
    def certified(self) -> bool:
        """Whether its last credential had a certificate."""
        return self._credential is not None and bool(self._credential.certificate)

    def read(self) -> str:
        """The bearer token of now, empty: it is a certificate alone. Blocks while the program runs.

        :raises NoCredential: the program gave none.
        """
        with self._lock:
            if not self._fresh():
                self._credential = self._asked()
                if self._credential.certificate and self.tls is not None:
                    _install(self.tls, self._credential, self.command)
            assert self._credential is not None
            return self._credential.token

    async def current(self) -> str:
        """As :meth:`read`, and the loop goes on meanwhile."""
        if self._fresh():
            credential = self._credential
            assert credential is not None
            return credential.token
        return await asyncio.to_thread(self.read)

    def refused(self, token: str) -> None:
        """The API server did not take it: the next request has the program asked again.

        :param token: which one, so that a newer one stays.
        """
        with self._lock:
            if self._credential is not None and self._credential.token == token:
                self._credential = None

    def _fresh(self) -> bool:
        return self._credential is not None and self.clock() < self._credential.ends_unix_seconds - _MARGIN_SECONDS

    def _asked(self) -> _Credential:
        """Run it.

        :raises NoCredential: whatever went wrong.
        """
        interactive = self.mode != "Never" and sys.stdin is not None and sys.stdin.isatty()
        if self.mode == "Always" and not interactive:
            raise NoCredential(f"{self.command} gives credentials at a terminal only: log in by hand first")
        spec: dict[str, Any] = {"interactive": interactive}
        if self.cluster is not None:
            spec["cluster"] = self.cluster
        info = {"apiVersion": self.version, "kind": "ExecCredential", "spec": spec}
        variables = {**os.environ, **self.environment, _INFO: json.dumps(info)}
        place = shutil.which(self.command, path=variables.get("PATH"))
        if place is None:
            hint = f": {' '.join(self.hint.split())}" if self.hint else ": install it"
            raise NoCredential(f"the program {self.command}, which gives the credentials, is not here{hint}")
        try:
            done = subprocess.run(
                [place, *self.arguments],
                env=variables,
                stdin=None if interactive else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=None if interactive else subprocess.PIPE,
                timeout=_ASKING_SECONDS if interactive else _RUNNING_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NoCredential(
                f"{self.command} gave no credential within {error.timeout:g} s: log in by hand"
            ) from None
        except OSError as error:
            raise NoCredential(f"{self.command} cannot be run: {error.strerror or error}") from error
        if done.returncode:
            said = (done.stderr or b"").decode(errors="replace").strip().splitlines()
            last = f": {said[-1].strip()[:_LONGEST_SAID]}" if said else ""
            raise NoCredential(
                f"{self.command} gave no credential and ended with {done.returncode}{last}: log in again"
            )
        try:
            return _credential(done.stdout, self.version)
        except ValueError as error:
            raise NoCredential(f"{self.command} gave no credential: {error}") from None


def load_pair(tls: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Have a client certificate and its key, both PEM.

    :raises OSError: they are none, or do not belong together (ssl.SSLError is one).
    """
    # Python's ssl reads certificates from files only; this one lives for a moment and is ours alone (0600).
    with tempfile.NamedTemporaryFile() as pair:
        pair.write(certificate + b"\n" + key)
        pair.flush()
        tls.load_cert_chain(pair.name)


def _install(tls: ssl.SSLContext, credential: _Credential, command: str) -> None:
    try:
        load_pair(tls, credential.certificate.encode(), credential.key.encode())
    except ssl.SSLError as error:
        raise NoCredential(f"{command} gave a certificate and a key that are no pair ({error.reason})") from None


def _credential(output: bytes, version: str) -> _Credential:
    """From a program's answer, which may be wrong in any way; no message has any of it but its version.

    :raises ValueError: it is none.
    """
    try:
        document = json.loads(output)
    except (ValueError, RecursionError):
        raise ValueError("its answer is no JSON") from None
    if not isinstance(document, dict) or document.get("kind") != "ExecCredential":
        raise ValueError("its answer is no ExecCredential")
    if document.get("apiVersion") != version:
        raise ValueError(f"its answer is of {document.get('apiVersion')!r}, the kubeconfig asks for {version}")
    status = document.get("status")
    if not isinstance(status, dict):
        raise ValueError("its answer has no status")
    names = ("token", "clientCertificateData", "clientKeyData")
    token, certificate, key = (value if isinstance(value := status.get(name), str) else "" for name in names)
    if bool(certificate) != bool(key):
        raise ValueError("its answer has a certificate without a key, or a key without a certificate")
    if not token and not certificate:
        raise ValueError("its answer has neither token nor certificate")
    return _Credential(token, certificate, key, _end(status.get("expirationTimestamp")))


def _end(text: object) -> float:
    """Of a credential, Unix seconds.

    :raises ValueError: it is no RFC 3339 instant.
    """
    if text is None:
        return float("inf")
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        raise ValueError("its answer's expirationTimestamp is no instant of RFC 3339") from None
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()


def _told(cluster: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What a program is told of the cluster, in the words of its kind.

    :raises OSError: the authority's file cannot be read.
    """
    words = ("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data", "proxy-url")
    told = {word: cluster[word] for word in (*words, "disable-compression") if cluster.get(word)}
    if cluster.get("certificate-authority") and "certificate-authority-data" not in told:
        read = (folder / str(cluster["certificate-authority"])).read_bytes()
        told["certificate-authority-data"] = base64.b64encode(read).decode()
    for one in cluster.get("extensions") or ():
        if isinstance(one, dict) and one.get("name") == _EXTENSION:
            told["config"] = one.get("extension")
    return told
