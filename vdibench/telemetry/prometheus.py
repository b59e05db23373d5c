"""The HTTP API of a Prometheus server: queries, targets, readiness. Blocking; beside an event loop, use a thread.

A series that ended gives no value (Prometheus marks it stale), and neither does NaN. Nothing goes through a proxy, and
no redirect is followed: a token must reach the server that it was given for, and no other.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import math
import os
import re
import ssl
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit

from vdibench.errors import AuthenticationError, ProtocolViolation, TargetUnavailable, UsageError, VdibenchError

__all__ = [
    "CA_FILE_VARIABLE",
    "TOKEN_FILE_VARIABLE",
    "TOKEN_VARIABLE",
    "Access",
    "Prometheus",
    "Sample",
    "ScrapeTarget",
    "Series",
    "duration_seconds",
]

TOKEN_VARIABLE = "VDIBENCH_PROMETHEUS_TOKEN"
TOKEN_FILE_VARIABLE = "VDIBENCH_PROMETHEUS_TOKEN_FILE"
CA_FILE_VARIABLE = "VDIBENCH_PROMETHEUS_CA_FILE"

T = TypeVar("T")

_LIMIT_BYTES = 16 << 20
_PART = re.compile(r"(\d+)(ms|s|m|h|d|w|y)", re.ASCII)
_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}


@dataclass(frozen=True, slots=True)
class Access:
    """How to get in.

    :param token: sent as ``Authorization: Bearer``; empty for none.
    :param ca_file: PEM file of the authority that vouches for the server; empty for the system's authorities.
    :raises UsageError: what cannot be a token.
    """

    token: str = field(default="", repr=False)
    ca_file: str = ""

    def __post_init__(self) -> None:
        if not self.token.isascii() or not self.token.isprintable() or " " in self.token:
            raise UsageError("the token for Prometheus holds what no token holds", "give the token alone")

    @classmethod
    def from_environment(cls) -> Self:
        """What :data:`TOKEN_FILE_VARIABLE` or :data:`TOKEN_VARIABLE` and :data:`CA_FILE_VARIABLE` say.

        :raises UsageError: a token file that cannot be read or is empty.
        """
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        if file := os.environ.get(TOKEN_FILE_VARIABLE, ""):
            try:
                token = Path(file).read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise UsageError(f"cannot read {TOKEN_FILE_VARIABLE} {file}: {error}", "check path and mode") from error
            if not token:
                raise UsageError(f"{TOKEN_FILE_VARIABLE} {file} is empty", "put the token into it")
        return cls(token, os.environ.get(CA_FILE_VARIABLE, ""))


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one series.

    :param labels: with the name as ``__name__``, where it has one.
    :param unix_seconds: by the server's clock; of a query, when it was evaluated, not when the value was scraped.
    """

    labels: Mapping[str, str]
    unix_seconds: float
    value: float


@dataclass(frozen=True, slots=True)
class Series:
    """One series over a time; ``points`` are pairs of Unix seconds by the server's clock and a value, in order."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class ScrapeTarget:
    """Something that the server scrapes.

    :param error: why the last scrape failed; empty when it did not.
    :param interval_seconds: from one scrape to the next; None when the server does not say.
    """

    job: str
    instance: str
    healthy: bool
    error: str = ""
    interval_seconds: float | None = None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like another."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> None:
        """No request follows from it."""


class Prometheus:
    """One server. Every method raises the same errors:

    ``AuthenticationError`` it wants another token; ``TargetUnavailable`` it does not answer or fails;
    ``ProtocolViolation`` what answers is no Prometheus.

    :param url: of its root, with a path where something serves it below one.
    :param timeout_seconds: of a connection, and of each wait for more of an answer.
    :raises UsageError: no such URL can be, the CA file cannot be read, or the token would go out unencrypted.
    """

    def __init__(self, url: str, access: Access | None = None, *, timeout_seconds: float = 5.0) -> None:
        access = access or Access()
        scheme, host = _checked(url)
        if access.token and scheme == "http" and not _is_loopback(host):
            raise UsageError(f"the token would go to {host} unencrypted", "give the server's https:// address")
        context = None
        if scheme == "https":
            try:
                context = ssl.create_default_context(cafile=access.ca_file or None)
            except OSError as error:
                raise UsageError(f"cannot read the CA file {access.ca_file}: {error}", "give a PEM file") from error
        self.url = url.rstrip("/")
        self._timeout = timeout_seconds
        self._headers = {"Accept": "application/json"}
        if access.token:
            self._headers["Authorization"] = f"Bearer {access.token}"
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), _NoRedirects(), urllib.request.HTTPSHandler(context=context)
        )

    def ready(self) -> bool:
        """Whether it takes queries; while it starts it answers and does not."""
        return self._get("/-/ready")[0] == 200

    def version(self) -> str:
        """Its version, as in ``2.42.0``."""
        data = self._data("/api/v1/status/buildinfo")
        return self._read(lambda: str(data["version"]))

    def targets(self) -> tuple[ScrapeTarget, ...]:
        """What it scrapes."""
        data = self._data("/api/v1/targets", {"state": "active"})
        return self._read(lambda: tuple(_target(one) for one in data["activeTargets"]))

    def query(self, expression: str, *, at: float | None = None) -> tuple[Sample, ...]:
        """The values of an expression at one instant; of a scalar, one without labels.

        :param at: Unix seconds by the server's clock; None for now.
        :raises UsageError: the server cannot make sense of it, or it gives no values of one instant.
        """
        parameters = {"query": expression} | ({} if at is None else {"time": f"{at:.3f}"})
        data = self._data("/api/v1/query", parameters)
        return self._read(lambda: _vector(data))

    def query_range(self, expression: str, *, start: float, end: float, step_seconds: float) -> tuple[Series, ...]:
        """The values of an expression at even steps; where it has none, a series has no point.

        :param start: Unix seconds by the server's clock, as ``end``.
        :raises UsageError: the server cannot make sense of it.
        """
        parameters = {"query": expression, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step_seconds:.3f}"}
        data = self._data("/api/v1/query_range", parameters)
        return self._read(lambda: _matrix(data))

    def scraped(self, selector: str, *, seconds: int, at: float) -> tuple[Series, ...]:
        """The values as they were scraped, at the instants of their scrapes.

        A series that ended is among them still: who wants only living ones asks :meth:`query` first.

        :param selector: as in ``up{job="x"}``.
        :param seconds: how far back.
        :raises UsageError: the server cannot make sense of it.
        """
        data = self._data("/api/v1/query", {"query": f"{selector}[{seconds}s]", "time": f"{at:.3f}"})
        return self._read(lambda: _matrix(data))

    def _data(self, path: str, parameters: Mapping[str, str] | None = None) -> Any:
        status, body = self._get(path, parameters or {})
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        if isinstance(document, dict) and document.get("status") == "success":
            return document.get("data")
        if isinstance(document, dict) and document.get("status") == "error":
            raise self._refusal(document, parameters or {})
        if status == 503:
            raise TargetUnavailable(f"Prometheus at {self.url} is not ready", "wait until it is, or look at its log")
        raise self._stranger(f"HTTP {status}")

    def _refusal(self, document: Mapping[str, Any], parameters: Mapping[str, str]) -> VdibenchError:
        said = str(document.get("error", "it does not say why"))
        if document.get("errorType") in ("bad_data", "execution"):
            return UsageError(
                f"Prometheus refuses {parameters.get('query', 'the request')!r}: {said}", "mend the query"
            )
        return TargetUnavailable(f"Prometheus at {self.url} fails: {said}", "look at its log")

    def _stranger(self, answer: str) -> ProtocolViolation:
        return ProtocolViolation(
            f"{self.url} answers, but not as Prometheus does ({answer})", "give the address of Prometheus itself"
        )

    def _read(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise self._stranger("another form of answer") from error

    def _get(self, path: str, parameters: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        address = f"{self.url}{path}" + (f"?{urlencode(parameters)}" if parameters else "")
        try:
            status, body = self._fetch(urllib.request.Request(address, headers=self._headers))
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise _unreachable(self.url, error, self._timeout) from error
        if status in (401, 403):
            raise AuthenticationError(
                f"Prometheus at {self.url} does not let us in (HTTP {status})",
                f"set {TOKEN_VARIABLE} or {TOKEN_FILE_VARIABLE} to a token that may read it",
            )
        if 300 <= status < 400:
            raise UsageError(f"{self.url} leads elsewhere (HTTP {status})", "give the address that it leads to")
        if len(body) >= _LIMIT_BYTES:
            raise TargetUnavailable(f"an answer of Prometheus is larger than {_LIMIT_BYTES >> 20} MiB", "ask for less")
        return status, body

    def _fetch(self, request: urllib.request.Request) -> tuple[int, bytes]:
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                return int(answer.status), bytes(answer.read(_LIMIT_BYTES))
        except HTTPError as refusal:
            with refusal:
                return refusal.code, bytes(refusal.read(_LIMIT_BYTES))


def duration_seconds(text: str) -> float | None:
    """A duration as Prometheus writes it, ``1m30s``; None for another text."""
    parts = _PART.findall(text)
    if not parts or "".join(count + unit for count, unit in parts) != text:
        return None
    return math.fsum(int(count) * _UNITS[unit] for count, unit in parts)


def _target(one: Mapping[str, Any]) -> ScrapeTarget:
    labels = one["labels"]
    return ScrapeTarget(
        job=str(labels.get("job", "")),
        instance=str(labels.get("instance", "")),
        healthy=one.get("health") == "up",
        error=str(one.get("lastError", "")),
        # Servers before 2.30 do not say it.
        interval_seconds=duration_seconds(str(one.get("scrapeInterval", ""))),
    )


def _vector(data: Mapping[str, Any]) -> tuple[Sample, ...]:
    kind, result = data["resultType"], data["result"]
    found: list[tuple[Any, Any]]
    if kind == "scalar":
        found = [({}, result)]
    elif kind == "vector":
        # A native histogram is no value.
        found = [(one["metric"], one["value"]) for one in result if "value" in one]
    else:
        raise UsageError(f"a query gives a {kind}, not values of one instant", "ask for an instant vector")
    samples = (Sample(dict(labels), float(instant), float(value)) for labels, (instant, value) in found)
    return tuple(sample for sample in samples if not math.isnan(sample.value))


def _matrix(data: Mapping[str, Any]) -> tuple[Series, ...]:
    if data["resultType"] != "matrix":
        raise UsageError(f"a query gives a {data['resultType']}, not values over a time", "ask for a range")
    found = []
    for one in data["result"]:
        points = tuple((float(instant), float(value)) for instant, value in one.get("values", ()))
        found.append(Series(dict(one["metric"]), tuple(point for point in points if not math.isnan(point[1]))))
    return tuple(series for series in found if series.points)


def _checked(url: str) -> tuple[str, str]:
    """Scheme and host of a URL that can be asked."""
    if "@" in url:
        raise UsageError("the URL of Prometheus holds credentials", f"take them out; {TOKEN_VARIABLE} takes a token")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise UsageError(f"{url!r} is no URL of a Prometheus", "give it as in https://prometheus.example.com")
    return parts.scheme, host


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unreachable(url: str, error: Exception, timeout_seconds: float) -> TargetUnavailable:
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return TargetUnavailable(
            f"no trusted TLS connection to Prometheus at {url}: {reason.verify_message}",
            f"name its authority's PEM file in {CA_FILE_VARIABLE}",
        )
    if isinstance(reason, ssl.SSLError):
        return TargetUnavailable(f"{url} does not speak TLS: {reason.reason}", "give its address with http://")
    if isinstance(reason, TimeoutError):
        said = f"nothing within {timeout_seconds:g} s"
    else:
        said = (reason.strerror if isinstance(reason, OSError) else None) or str(reason) or type(reason).__name__
    return TargetUnavailable(
        f"Prometheus at {url} does not answer: {said.lower()}", "check its address, and that this machine may reach it"
    )
