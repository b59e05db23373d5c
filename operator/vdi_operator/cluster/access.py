"""Where the API server is and who asks: a pod's service account, or a context of a kubeconfig. Reads files."""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp.client_middlewares import ClientHandlerType

from vdi_operator import __version__

__all__ = ["Access", "Token", "from_kubeconfig", "in_cluster"]

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
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
    token: Token = field(default_factory=Token)

    def session(self) -> aiohttp.ClientSession:
        """A pool of connections; each request carries the token of its moment. The caller closes it."""

        async def authorise(request: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
            token = self.token.read()
            if token:
                request.headers["Authorization"] = f"Bearer {token}"
            return await handler(request)

        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self.tls if self.tls is not None else True, keepalive_timeout=60.0),
            headers={"User-Agent": f"vdi-operator/{__version__}"},
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(authorise,),
        )


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

    Certificates, tokens and token files are understood; programs and plug-ins that fetch tokens are not.

    :raises ValueError: the file is none, or has no such context.
    :raises OSError: it cannot be read.
    """
    document = yaml.safe_load(path.read_text())
    if not isinstance(document, dict):
        raise ValueError(f"{path}: not a kubeconfig")
    name = context or str(document.get("current-context") or "")
    chosen = _named(document, "contexts", name, path).get("context") or {}
    cluster = _named(document, "clusters", str(chosen.get("cluster", "")), path).get("cluster") or {}
    user = _named(document, "users", str(chosen.get("user", "")), path).get("user") or {}
    if "exec" in user or "auth-provider" in user:
        raise ValueError(f"{path}: the user of {name!r} gets its token by a program: give it a token or a certificate")
    server = str(cluster.get("server", "")).rstrip("/")
    token = Token(text=str(user.get("token") or ""))
    if not token.text and user.get("tokenFile"):
        token = Token(path=path.parent / str(user["tokenFile"]))
    tls = _tls(cluster, user, path.parent) if server.startswith("https://") else None
    return Access(server, tls, token)


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
        # Python's ssl reads certificates from files only; this one lives for a moment and is ours alone (0600).
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(base64.b64decode(user["client-certificate-data"]) + b"\n")
            pair.write(base64.b64decode(user["client-key-data"]))
            pair.flush()
            tls.load_cert_chain(pair.name)
    return tls
