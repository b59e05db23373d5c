"""Where the API server is and who asks: a pod's service account, or a context of a kubeconfig. Reads files.

A kubeconfig may name a program that hands credentials out: see :mod:`vdi_operator.cluster.programs`.
"""

from __future__ import annotations

import base64
import os
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp.client_middlewares import ClientHandlerType

from vdi_operator import __version__
from vdi_operator.cluster.errors import Unauthorized
from vdi_operator.cluster.programs import NoCredential, Program, load_pair

__all__ = ["Access", "Token", "from_kubeconfig", "in_cluster"]

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# At the same time, watches among them: each costs both sides a handshake, and more do not make an API server quicker.
_CONNECTIONS = 48
# How old a known token may be before its file is looked at again: kubelet writes a new one minutes before the old ends.
_LOOK_SECONDS = 1.0


@dataclass(slots=True)
class Token:
    """A bearer token from a file that kubelet replaces, or a fixed one.

    :param path: None: ``text`` holds for ever.
    """

    path: Path | None = None
    text: str = field(default="", repr=False)
    _stamp: tuple[int, int] = (0, 0)
    _looked: float = float("-inf")

    def read(self) -> str:
        """The present one, empty: there is none.

        :raises OSError: the file went away.
        """
        now = time.monotonic()
        if self.path is None or now - self._looked < _LOOK_SECONDS:
            return self.text
        self._looked = now
        found = self.path.stat()
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp != self._stamp:
            self.text, self._stamp = self.path.read_text().strip(), stamp
        return self.text


@dataclass(frozen=True, slots=True)
class Access:
    """A server and what it needs to know of us.

    :param server: as ``https://host:port``.
    :param tls: None: plain HTTP, which only a test's server speaks.
    """

    server: str
    tls: ssl.SSLContext | None = None
    token: Token | Program = field(default_factory=Token)

    def session(self) -> aiohttp.ClientSession:
        """A pool of connections; each request carries the token of its moment. The caller closes it.

        A request raises Unauthorized where a program gives no credential.
        """

        async def authorise(request: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
            token = await self._token()
            if token:
                request.headers["Authorization"] = f"Bearer {token}"
            response = await handler(request)
            if response.status == 401 and isinstance(self.token, Program):
                self.token.refused(token)
            return response

        if isinstance(self.token, Program) and self.token.certified:
            # A connection keeps the certificate that it began with, and that ends.
            kept: dict[str, Any] = {"force_close": True}
        else:
            kept = {"keepalive_timeout": 60.0}
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self.tls if self.tls is not None else True, limit=_CONNECTIONS, **kept),
            headers={"User-Agent": f"vdi-operator/{__version__}"},
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(authorise,),
        )

    async def _token(self) -> str:
        if isinstance(self.token, Token):
            return self.token.read()
        try:
            return await self.token.current()
        except NoCredential as error:
            raise Unauthorized("credential", 0, "NoCredential", str(error)) from error


def in_cluster(account: Path = _ACCOUNT) -> Access:
    """As the pod's service account.

    :raises ValueError: this is no pod, or it has no service account.
    """
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    token = account / "token"
    if not host or not token.exists():
        raise ValueError("this is no pod with a service account: give --kubeconfig FILE outside of a cluster")
    host = f"[{host}]" if ":" in host else host
    return Access(
        f"https://{host}:{port}", ssl.create_default_context(cafile=str(account / "ca.crt")), Token(path=token)
    )


def from_kubeconfig(path: Path, context: str = "") -> Access:
    """As a context of a file says, empty: its current one.

    Certificates, tokens, token files and programs are understood, and a program is run at once; where there is a
    token besides, that counts, as it does for kubectl.

    :raises ValueError: the file is none, or has no such context.
    :raises OSError: it cannot be read, or its program gives no credential.
    """
    document = yaml.safe_load(path.read_text())
    if not isinstance(document, dict):
        raise ValueError(f"{path}: not a kubeconfig")
    name = context or str(document.get("current-context") or "")
    chosen = _named(document, "contexts", name, path).get("context") or {}
    cluster = _named(document, "clusters", str(chosen.get("cluster", "")), path).get("cluster") or {}
    user = _named(document, "users", str(chosen.get("user", "")), path).get("user") or {}
    server = str(cluster.get("server", "")).rstrip("/")
    tls = _tls(cluster, user, path.parent) if server.startswith("https://") else None
    if user.get("token"):
        return Access(server, tls, Token(text=str(user["token"])))
    if user.get("tokenFile"):
        return Access(server, tls, Token(path=path.parent / str(user["tokenFile"])))
    if "exec" in user:
        try:
            program = Program.of(user["exec"], cluster, path.parent, tls)
        except ValueError as error:
            raise ValueError(f"{path}: the user of {name!r}: {error}") from error
        program.read()
        return Access(server, tls, program)
    if "auth-provider" in user:
        said = f"{path}: the user of {name!r} has an auth-provider, which Kubernetes 1.26 took away"
        raise ValueError(f"{said}: have your cloud's tool write the kubeconfig anew")
    return Access(server, tls)


def _named(document: Mapping[str, Any], key: str, name: str, path: Path) -> Mapping[str, Any]:
    for one in document.get(key) or ():
        if isinstance(one, dict) and one.get("name") == name:
            return one
    known = ", ".join(str(one.get("name")) for one in document.get(key) or () if isinstance(one, dict))
    raise ValueError(f"{path}: no {name!r} among its {key}, known are {known or 'none'}")


def _tls(cluster: Mapping[str, Any], user: Mapping[str, Any], folder: Path) -> ssl.SSLContext:
    authority = cluster.get("certificate-authority-data")
    tls = ssl.create_default_context(
        cadata=base64.b64decode(authority).decode() if authority else None,
        cafile=str(folder / cluster["certificate-authority"]) if cluster.get("certificate-authority") else None,
    )
    if cluster.get("insecure-skip-tls-verify"):
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    if user.get("client-certificate"):
        tls.load_cert_chain(folder / user["client-certificate"], folder / user["client-key"])
    elif user.get("client-certificate-data"):
        load_pair(tls, base64.b64decode(user["client-certificate-data"]), base64.b64decode(user["client-key-data"]))
    return tls
