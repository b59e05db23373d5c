"""Signatures of evidence: a DSSE envelope beside the statement, made and checked with securesystemslib.

Keys are PEM files: ed25519, ECDSA on a NIST curve, RSA from 2048 bits on. A password comes from the environment, never
from arguments, which every process of the machine can read.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import (  # type: ignore[attr-defined]  # exported, but not as mypy wants it said
    CryptoSigner,
    Signature,
    SSlibKey,
)

from vdibench.errors import EvidenceError, UsageError
from vdibench.graduation.digests import ENVELOPE_FILE, EVIDENCE_FILE

__all__ = ["PASSWORD_VARIABLE", "PAYLOAD_TYPE", "check", "check_payload", "key_id", "sign"]

PAYLOAD_TYPE = "application/vnd.in-toto+json"
PASSWORD_VARIABLE = "VDIBENCH_KEY_PASSWORD"

_LABEL = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_FEWEST_BITS = 2048
_SUPPORTED = "use an ed25519, ECDSA (NIST curve) or RSA key (2048 bits or more)"
_AGAIN = "sign the evidence again, or restore the chart from where it came"


def sign(payload: bytes, key: Path, password: str | None = None) -> bytes:
    """The content of ``evidence.dsse.json``.

    An ed25519 key gives the same bytes each time; ECDSA and RSA-PSS draw a random number for each signature, so that
    only the payload is the same.

    :param payload: content of ``evidence.json``.
    :param key: PEM file with a private key.
    :param password: of an encrypted key; of a plain one it is not asked.
    :raises UsageError: no such file, no private key, of an unsupported kind, no or a wrong password.
    """
    private = _private_key(key, password)
    signer = CryptoSigner(private, _public(private.public_key(), key))
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    envelope.sign(signer)
    return f"{json.dumps(envelope.to_dict(), indent=2, sort_keys=True)}\n".encode()


def check_payload(envelope: bytes, payload: bytes) -> None:
    """That an envelope is one, is of this payload and claims a signature; whose, and whether it is right, takes a key.

    :raises EvidenceError: it is not.
    """
    _opened(envelope, payload)


def check(envelope: bytes, payload: bytes, public_key: Path) -> None:
    """That the owner of a key signed exactly this payload.

    :param envelope: content of ``evidence.dsse.json``.
    :param payload: content of ``evidence.json``.
    :param public_key: PEM file with a public key.
    :raises EvidenceError: it is damaged, of another payload, not signed, signed by others, or altered since.
    :raises UsageError: no such file, no public key, or of an unsupported kind.
    """
    key = _public(_public_key(public_key), public_key)
    opened = _opened(envelope, payload)
    signed = opened.pae()
    for signature in opened.signatures.values():
        try:
            # By DSSE the key's identity in an envelope is a hint: what counts is whether the key verifies.
            key.verify_signature(Signature(key.keyid, signature.signature), signed)
        except UnverifiedSignatureError:
            continue
        return
    if key.keyid in opened.signatures:
        raise EvidenceError(f"the signature in {ENVELOPE_FILE} was altered, or what it signs", _AGAIN)
    others = ", ".join(sorted(str(name)[:12] for name in opened.signatures))
    raise EvidenceError(
        f"{ENVELOPE_FILE} is signed by another key ({others}) than {public_key} ({key.keyid[:12]})",
        "give the public key of who graduated it, or trust it not",
    )


def key_id(public: PublicKeyTypes) -> str:
    """SHA-256 of a public key's DER SubjectPublicKeyInfo, as ``openssl pkey -pubin -outform DER`` writes it."""
    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _opened(envelope: bytes, payload: bytes) -> Envelope:
    try:
        raw = json.loads(envelope)
        for signature in raw["signatures"]:
            signature.setdefault("keyid", "")  # optional by DSSE, required by the library
        opened = Envelope.from_dict(raw)
        said = opened.payload_type
        if not all(isinstance(one.keyid, str) for one in opened.signatures.values()):
            raise TypeError("a key's identity is no text")
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise EvidenceError(f"{ENVELOPE_FILE} is no DSSE envelope: {error or 'damaged'}", _AGAIN) from error
    if said != PAYLOAD_TYPE:
        raise EvidenceError(f"{ENVELOPE_FILE} is of {said!r} instead of {PAYLOAD_TYPE}", _AGAIN)
    if opened.payload != payload:
        raise EvidenceError(f"{ENVELOPE_FILE} is of something else than {EVIDENCE_FILE}", _AGAIN)
    if not opened.signatures:
        raise EvidenceError(f"{ENVELOPE_FILE} has no signature", _AGAIN)
    return opened


def _private_key(path: Path, password: str | None) -> PrivateKeyTypes:
    pem = _read(path)
    label = _label(pem)
    if "PUBLIC KEY" in label or label == "CERTIFICATE":
        raise UsageError(f"{path} is a public key", "sign with the private one")
    if label not in ("PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"):
        raise UsageError(
            f"{path} is no private key in PEM (PKCS #8)", "make one: openssl genpkey -algorithm ed25519 -out key.pem"
        )
    encrypted = b"ENCRYPTED" in pem
    if encrypted and not password:
        raise UsageError(f"the key {path} is encrypted", f"put its password into {PASSWORD_VARIABLE}")
    try:
        return load_pem_private_key(pem, password.encode() if encrypted and password else None)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        if encrypted:
            raise UsageError(
                f"the key {path} does not open with that password", f"put the right one into {PASSWORD_VARIABLE}"
            ) from error
        raise UsageError(f"the key {path} is damaged or of an unknown kind", _SUPPORTED) from error


def _public_key(path: Path) -> PublicKeyTypes:
    pem = _read(path)
    label = _label(pem)
    if "PRIVATE KEY" in label:
        raise UsageError(
            f"{path} is a private key", "give its public half: openssl pkey -in KEY -pubout; and keep the other to you"
        )
    if "PUBLIC KEY" not in label:
        raise UsageError(f"{path} is no public key in PEM", "make one: openssl pkey -in KEY -pubout -out public.pem")
    try:
        return load_pem_public_key(pem)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"the key {path} is damaged or of an unknown kind", _SUPPORTED) from error


def _public(public: PublicKeyTypes, path: Path) -> SSlibKey:
    if isinstance(public, RSAPublicKey) and public.key_size < _FEWEST_BITS:
        raise UsageError(f"the key {path} has {public.key_size} bits", _SUPPORTED)
    try:
        return SSlibKey.from_crypto(public, keyid=key_id(public))
    except ValueError as error:
        raise UsageError(f"the key {path} is of an unknown kind", _SUPPORTED) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the key {path}: {error.strerror}", "name a file that you may read") from error


def _label(pem: bytes) -> str:
    """What a PEM file says that it is; empty where it is none."""
    match = _LABEL.search(pem)
    return match[1].decode() if match else ""
