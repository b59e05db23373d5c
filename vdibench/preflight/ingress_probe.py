"""Where users reach Traefik, what a desktop's name leads to, and which certificate is shown there. Blocking I/O."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from vdibench.preflight.cluster_context import ClusterContext
from vdibench.preflight.cluster_readings import CertificateReading, NameReading
from vdibench.preflight.cluster_snapshot import ClusterSnapshot, Object, labels, name, node_addresses

__all__ = ["find_ingress", "read_certificate", "resolve"]

_TLS_PORT = 443


def find_ingress(context: ClusterContext, snapshot: ClusterSnapshot) -> tuple[tuple[str, ...], int]:
    """Addresses and port of Traefik as its Service has them, or as it was said. Pure.

    :return: no addresses where nobody knows them.
    """
    if context.ingress:
        host, separator, port = context.ingress.rpartition(":")
        if separator and port.isdigit() and (":" not in host or host.startswith("[")):
            return (host.strip("[]"),), int(port)
        return (context.ingress.strip("[]"),), _TLS_PORT
    for service in snapshot.within("Service", context.ingress_namespace):
        if labels(service).get("app.kubernetes.io/name") != "traefik" and name(service) != "traefik":
            continue
        entry = _entry(service)
        if entry is None:
            continue
        balancers = service.get("status", {}).get("loadBalancer", {}).get("ingress") or ()
        addresses = tuple(str(one.get("ip") or one.get("hostname") or "") for one in balancers)
        if addresses:
            return tuple(address for address in addresses if address), int(entry["port"])
        if entry.get("nodePort"):
            nodes = [address for node in snapshot.nodes for address in node_addresses(node, "ExternalIP", "InternalIP")]
            return tuple(dict.fromkeys(nodes)), int(entry["nodePort"])
    return (), _TLS_PORT


def resolve(host: str, seconds: float) -> NameReading:
    """The addresses of a name.

    :param seconds: how long to wait; the resolver itself knows no limit.
    """
    found: list[NameReading] = []

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host, _TLS_PORT, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            found.append(NameReading(host, error=f"no address: {error}"))
        else:
            found.append(NameReading(host, tuple(sorted({str(answer[4][0]) for answer in answers}))))

    thread = threading.Thread(target=ask, name="vdibench-resolve", daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else NameReading(host, error=f"no answer of the resolver within {seconds:g} s")


def read_certificate(address: str, port: int, host: str, authority: Path | None, seconds: float) -> CertificateReading:
    """What is shown for a host name at an address, and whether its chain verifies.

    :param authority: PEM file to trust instead of what this host trusts.
    """
    server = f"{address}:{port}"
    distrust = ""
    try:
        trusting = ssl.create_default_context(cafile=str(authority) if authority else None)
        try:
            shown = _shake(address, port, host, trusting, seconds)
        except ssl.SSLCertVerificationError as error:
            distrust = error.verify_message or str(error)
            blind = ssl.create_default_context()
            blind.check_hostname = False
            blind.verify_mode = ssl.CERT_NONE
            shown = _shake(address, port, host, blind, seconds)
        certificate = x509.load_der_x509_certificate(shown)
    except (OSError, ValueError) as error:
        return CertificateReading(server, host, error=str(error) or type(error).__name__)
    return CertificateReading(
        server,
        host,
        issuer=_called(certificate.issuer),
        names=_names(certificate),
        begins_unix_seconds=certificate.not_valid_before_utc.timestamp(),
        ends_unix_seconds=certificate.not_valid_after_utc.timestamp(),
        distrust=distrust,
    )


def _shake(address: str, port: int, host: str, context: ssl.SSLContext, seconds: float) -> bytes:
    with (
        socket.create_connection((address, port), timeout=seconds) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        return secured.getpeercert(binary_form=True) or b""


def _called(subject: x509.Name) -> str:
    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        if found := subject.get_attributes_for_oid(kind):
            return str(found[0].value)
    return subject.rfc4514_string()


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(extension.value.get_values_for_type(x509.DNSName))


def _entry(service: Object) -> Object | None:
    """Its port for TLS."""
    ports: list[Object] = list(service["spec"].get("ports") or ())
    return next((one for one in ports if one.get("name") == "websecure" or one.get("port") == _TLS_PORT), None)
