"""The certificates and kubeconfigs of a cluster lab. File I/O.

Elliptic-curve keys: a dozen of them are made in the time of one RSA key.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vdibench.lab.cluster.addresses import NODE, Addresses
from vdibench.lab.files import write_private

__all__ = ["KUBECONFIG", "wildcard", "write_pki"]

KUBECONFIG = "admin.kubeconfig"

_LIFETIME = datetime.timedelta(days=30)
_CLOCK_SLACK = datetime.timedelta(hours=1)
_CLIENT, _SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


@dataclass(frozen=True, slots=True)
class _Authority:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def write_pki(folder: Path, addresses: Addresses) -> None:
    """Write a ``.crt`` and ``.key`` for each authority, server and user, and ``sa.key`` and ``sa.pub``.

    Users of the API server have a ``.kubeconfig`` too. The authorities' keys are written as well: the
    controller manager signs with the first. All are readable by their user only.
    """
    authority = _authority("vdibench-lab")
    _write(folder / "ca", authority.key, authority.certificate)
    front = _authority("vdibench-lab-front-proxy")
    _write(folder / "front-proxy-ca", front.key, front.certificate)
    accounts = ec.generate_private_key(ec.SECP256R1())
    write_private(folder / "sa.key", _key_pem(accounts))
    public = accounts.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    write_private(folder / "sa.pub", public)

    service = "kubernetes.default.svc"
    api_names = ("localhost", "kubernetes", "kubernetes.default", service, f"{service}.cluster.local")
    api_addresses = ("127.0.0.1", addresses.node, addresses.kubernetes, addresses.link[1])
    _issue(folder / "apiserver", authority, "kube-apiserver", _SERVER, names=(*api_names, *api_addresses))
    _issue(folder / "front-proxy", front, "front-proxy-client", _CLIENT)
    # The API server's identity towards the kubelet, for logs and exec.
    _issue(folder / "apiserver-kubelet", authority, "kube-apiserver-kubelet-client", _CLIENT, group="system:masters")
    node = f"system:node:{NODE}"
    _issue(folder / "kubelet-server", authority, node, _SERVER, group="system:nodes", names=(NODE, addresses.node))
    users = {
        "admin": ("vdibench-lab-admin", "system:masters"),
        "controller-manager": ("system:kube-controller-manager", ""),
        "scheduler": ("system:kube-scheduler", ""),
        "proxy": ("system:kube-proxy", ""),
        "kubelet": (node, "system:nodes"),
    }
    for name, (user, group) in users.items():
        _issue(folder / name, authority, user, _CLIENT, group=group)
        write_private(folder / f"{name}.kubeconfig", _kubeconfig(folder, name, addresses))


def wildcard(domain: str) -> tuple[bytes, bytes, bytes]:
    """An authority, and a certificate with its key for all hosts of a domain (PEM). The authority's key is not kept."""
    authority = _authority("vdibench-lab-hosts")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domain)])
    builder = _builder(subject, authority.certificate.subject, key, authority.key)
    builder = builder.add_extension(x509.ExtendedKeyUsage([_SERVER]), critical=False)
    names = x509.SubjectAlternativeName([x509.DNSName(domain), x509.DNSName(f"*.{domain}")])
    certificate = builder.add_extension(names, critical=False).sign(authority.key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    return authority.certificate.public_bytes(pem), certificate.public_bytes(pem), _key_pem(key)


def _authority(name: str) -> _Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = _builder(subject, subject, key, key).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    return _Authority(key, builder.add_extension(usage, critical=True).sign(key, hashes.SHA256()))


def _issue(
    path: Path,
    authority: _Authority,
    user: str,
    usage: x509.ObjectIdentifier,
    *,
    group: str = "",
    names: Sequence[str] = (),
) -> None:
    """A certificate: Kubernetes reads the common name as the user, the organisation as its group."""
    key = ec.generate_private_key(ec.SECP256R1())
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []
    subject = x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, user)])
    builder = _builder(subject, authority.certificate.subject, key, authority.key)
    builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
    _write(path, key, builder.sign(authority.key, hashes.SHA256()))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SLACK)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    # Kubernetes reads the keys of service accounts in this format alone.
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _write(path: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    write_private(path.with_name(f"{path.name}.key"), _key_pem(key))
    write_private(path.with_name(f"{path.name}.crt"), certificate.public_bytes(serialization.Encoding.PEM))


def _kubeconfig(folder: Path, name: str, addresses: Addresses) -> str:
    cluster = {"server": addresses.api, "certificate-authority": str(folder / "ca.crt")}
    user = {"client-certificate": str(folder / f"{name}.crt"), "client-key": str(folder / f"{name}.key")}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": name}}],
        "current-context": "lab",
    }
    return json.dumps(document, indent=1)
