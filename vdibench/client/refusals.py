"""Why a desktop cannot be reached or does not let us in: each cause as one of our errors, with a remedy. Pure."""

from __future__ import annotations

import ssl
from urllib.parse import urljoin

import aiohttp

from vdibench.errors import AuthenticationError, NotADesktop, TargetUnavailable, UsageError, VdibenchError
from vdibench.records import Endpoint
from vdibench.selkies import Detection, Dialect

__all__ = ["forbidden", "not_wanted", "unauthorised", "unreachable"]

_PLAIN_HTTP = "WRONG_VERSION_NUMBER"  # OpenSSL's name for an answer in clear text


def unauthorised(endpoint: Endpoint, *, token: bool) -> AuthenticationError:
    """HTTP 401.

    :param token: a session token is wanted, not a password.
    """
    if token and not endpoint.token:
        return AuthenticationError(
            f"{endpoint.url} is in secure mode and wants a session token", "set VDIBENCH_TOKEN or give --token-file"
        )
    if token:
        return AuthenticationError(
            f"{endpoint.url} refused the session token given",
            "set VDIBENCH_TOKEN or --token-file to one that its token table has",
        )
    if endpoint.credentials is None:
        return AuthenticationError(
            f"{endpoint.url} wants a user and a password",
            "give --user and set VDIBENCH_PASSWORD or --password-file",
        )
    return AuthenticationError(
        f"{endpoint.url} refused user {endpoint.credentials.user!r} and the password given",
        "check --user and VDIBENCH_PASSWORD or --password-file",
    )


def forbidden(endpoint: Endpoint) -> AuthenticationError:
    """HTTP 403: whoever we are, not here."""
    return AuthenticationError(
        f"{endpoint.url} does not let us in (HTTP 403)",
        "check that this user may use the desktop, and the access rules of what stands in front of it",
    )


def not_wanted(endpoint: Endpoint, detection: Detection, wanted: Dialect | None, elsewhere: str = "") -> NotADesktop:
    """No desktop, or one that speaks something else than ``wanted``.

    :param elsewhere: address on the same host at which a desktop does answer.
    """
    remedy = "check the URL; it must be the page of a Selkies desktop, its sub-folder included"
    if detection.dialect is not None:
        remedy = f"measure it as {detection.dialect}, or start it so that it speaks {wanted}"
    elif detection.starting:
        remedy = "wait until the desktop has started, or look at what stands in front of it (ingress, proxy)"
    elif elsewhere:
        remedy = f"a desktop answers at {elsewhere}: give that address"
    elif detection.location:
        remedy = f"give the address that it redirects to, {urljoin(endpoint.url + '/', detection.location)}"
    return NotADesktop(f"{endpoint.url} is {detection.statement}", remedy)


def unreachable(endpoint: Endpoint, error: BaseException) -> VdibenchError:
    """What aiohttp or the system raised."""
    url = endpoint.url
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return UsageError(f"{url!r} is not a URL", "give one such as https://desktop.example.com")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = error.certificate_error
        said = why.verify_message if isinstance(why, ssl.SSLCertVerificationError) else str(why)
        return TargetUnavailable(
            f"no trusted TLS connection to {url}: {said}",
            "give --ca-file for an own authority, or --insecure to accept any certificate",
        )
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        if _PLAIN_HTTP in str(error):
            return TargetUnavailable(f"{url} does not speak TLS", "give its address with http://")
        return TargetUnavailable(
            f"no TLS connection to {url}: {error.os_error}", "check its TLS versions and what stands in front of it"
        )
    if isinstance(error, TimeoutError):
        return TargetUnavailable(f"nothing answers at {url}: timed out", "check address, route and firewall")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return TargetUnavailable(f"the host of {url} has no address", "check the name and the DNS")
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error.strerror or str(error.os_error)
        if isinstance(error.os_error, ConnectionRefusedError):
            reason = "connection refused"
        return TargetUnavailable(f"nothing answers at {url}: {reason}", "check that the desktop runs, and its port")
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.ServerDisconnectedError):
        remedy = "check the URL" if url.startswith("https:") else "check the URL, and whether it wants https://"
        return NotADesktop(f"{url} does not speak HTTP as a desktop does: {error}", remedy)
    return TargetUnavailable(f"the connection to {url} broke: {error}", "check the desktop's log")
