"""Signatures: made and checked with keys of each kind, and every way in which they can be wrong."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from vdibench.errors import EvidenceError, UsageError
from vdibench.graduation.signing import PAYLOAD_TYPE, check, check_payload, sign

from .graduated_charts import key_pair

PAYLOAD = '{\n  "a": "ü"\n}\n'.encode()
KINDS: dict[str, Callable[[], Any]] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ecdsa-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa-2048": lambda: rsa.generate_private_key(65537, 2048),
}

Pair = tuple[Path, Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module", params=sorted(KINDS))
def pair(request: pytest.FixtureRequest, folder: Path) -> Pair:
    return key_pair(folder, request.param, KINDS[request.param]())


@pytest.fixture(scope="module")
def plain(folder: Path) -> Pair:
    return key_pair(folder, "plain")


@pytest.fixture(scope="module")
def other(folder: Path) -> Pair:
    return key_pair(folder, "other")


@pytest.fixture(scope="module")
def locked(folder: Path) -> Pair:
    return key_pair(folder, "locked", password="correct horse")


def changed(envelope: bytes, change: Callable[[Any], object]) -> bytes:
    document = json.loads(envelope)
    change(document)
    return json.dumps(document).encode()


def test_what_was_signed_is_checked_with_the_public_half(pair: Pair) -> None:
    private, public = pair
    check(sign(PAYLOAD, private), PAYLOAD, public)


def test_an_envelope_is_of_dsse_s_shape(plain: Pair) -> None:
    private, public = plain
    document = json.loads(sign(PAYLOAD, private))
    assert set(document) == {"payload", "payloadType", "signatures"}
    assert base64.b64decode(document["payload"]) == PAYLOAD
    assert document["payloadType"] == PAYLOAD_TYPE == "application/vnd.in-toto+json"
    (signature,) = document["signatures"]
    read = load_pem_public_key(public.read_bytes())
    der = read.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert signature["keyid"] == hashlib.sha256(der).hexdigest()


def test_what_is_signed_is_dsse_s_encoding_of_type_and_payload(plain: Pair) -> None:
    """By another library's word than the one that signed: any DSSE tool can check it."""
    private, public = plain
    (signature,) = json.loads(sign(PAYLOAD, private))["signatures"]
    encoded = b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(PAYLOAD), PAYLOAD)
    read = load_pem_public_key(public.read_bytes())
    assert isinstance(read, ed25519.Ed25519PublicKey)
    read.verify(base64.b64decode(signature["sig"]), encoded)


def test_ed25519_gives_the_same_bytes_each_time(plain: Pair) -> None:
    assert sign(PAYLOAD, plain[0]) == sign(PAYLOAD, plain[0])


def test_an_encrypted_key_opens_with_its_password(locked: Pair) -> None:
    private, public = locked
    check(sign(PAYLOAD, private, "correct horse"), PAYLOAD, public)


def test_a_plain_key_asks_for_no_password(plain: Pair) -> None:
    assert sign(PAYLOAD, plain[0], "of another key") == sign(PAYLOAD, plain[0])


@pytest.mark.parametrize("password", [None, ""])
def test_an_encrypted_key_without_a_password_is_said_to_be_one(locked: Pair, password: str | None) -> None:
    with pytest.raises(UsageError, match="is encrypted: put its password into VDIBENCH_KEY_PASSWORD"):
        sign(PAYLOAD, locked[0], password)


def test_a_wrong_password_is_said_and_not_shown(locked: Pair) -> None:
    with pytest.raises(UsageError, match="does not open with that password") as caught:
        sign(PAYLOAD, locked[0], "battery staple")
    assert "battery staple" not in str(caught.value)


def test_a_public_key_signs_nothing(plain: Pair) -> None:
    with pytest.raises(UsageError, match="is a public key: sign with the private one"):
        sign(PAYLOAD, plain[1])


def test_a_private_key_is_not_handed_out_to_check_with(plain: Pair) -> None:
    with pytest.raises(UsageError, match="is a private key: give its public half"):
        check(sign(PAYLOAD, plain[0]), PAYLOAD, plain[0])


@pytest.mark.parametrize("content", [b"", b"secret\n", b"\x00\xff", b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n"])
def test_what_is_no_pem_key_is_refused(tmp_path: Path, content: bytes, plain: Pair) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is no private key in PEM"):
        sign(PAYLOAD, path)
    with pytest.raises(UsageError, match=r"is (no public|a private) key"):
        check(sign(PAYLOAD, plain[0]), PAYLOAD, path)


@pytest.mark.parametrize("half", [0, 1])
def test_a_damaged_key_is_refused(tmp_path: Path, plain: Pair, half: int) -> None:
    lines = plain[half].read_text().splitlines()
    path = tmp_path / "key.pem"
    path.write_text("\n".join([lines[0], "AAAA" + lines[1][4:], lines[2], ""]))
    use = partial(sign, PAYLOAD, path) if half == 0 else partial(check, sign(PAYLOAD, plain[0]), PAYLOAD, path)
    with pytest.raises(UsageError, match="is damaged or of an unknown kind"):
        use()


def test_a_key_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the key .*none\.pem: No such file"):
        sign(PAYLOAD, tmp_path / "none.pem")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ec.generate_private_key(ec.SECP256K1()), "is of an unknown kind"),
        (ed448.Ed448PrivateKey.generate, "is of an unknown kind"),
        (lambda: rsa.generate_private_key(65537, 1024), "has 1024 bits"),
    ],
    ids=["secp256k1", "ed448", "rsa-1024"],
)
def test_a_weak_or_unknown_kind_of_key_is_refused(tmp_path: Path, make: Callable[[], Any], said: str) -> None:
    private, _ = key_pair(tmp_path, "odd", make())
    with pytest.raises(UsageError, match=rf"{said}: use an ed25519, ECDSA"):
        sign(PAYLOAD, private)


def test_another_key_does_not_check(plain: Pair, other: Pair) -> None:
    with pytest.raises(EvidenceError, match="is signed by another key"):
        check(sign(PAYLOAD, other[0]), PAYLOAD, plain[1])


def test_a_borrowed_identity_does_not_check(plain: Pair, other: Pair) -> None:
    """The key's identity in an envelope is a hint that anybody can write."""
    (mine,) = json.loads(sign(PAYLOAD, plain[0]))["signatures"]
    envelope = changed(sign(PAYLOAD, other[0]), lambda one: one["signatures"][0].update(keyid=mine["keyid"]))
    with pytest.raises(EvidenceError, match="was altered"):
        check(envelope, PAYLOAD, plain[1])


@pytest.mark.parametrize("identity", ["", "of-another-tool", None])
def test_a_right_signature_counts_whatever_its_key_is_called(plain: Pair, identity: str | None) -> None:
    def rename(document: Any) -> None:
        del document["signatures"][0]["keyid"]
        if identity is not None:
            document["signatures"][0]["keyid"] = identity

    check(changed(sign(PAYLOAD, plain[0]), rename), PAYLOAD, plain[1])


def test_one_of_several_signatures_is_enough(plain: Pair, other: Pair) -> None:
    more = json.loads(sign(PAYLOAD, other[0]))["signatures"]
    envelope = changed(sign(PAYLOAD, plain[0]), lambda one: one["signatures"].extend(more))
    check(envelope, PAYLOAD, plain[1])
    check(envelope, PAYLOAD, other[1])


def test_any_bit_of_a_signature_counts(plain: Pair) -> None:
    envelope = sign(PAYLOAD, plain[0])
    signature = base64.b64decode(json.loads(envelope)["signatures"][0]["sig"])
    for place in range(len(signature)):
        flipped = bytearray(signature)
        flipped[place] ^= 1
        text = base64.b64encode(bytes(flipped)).decode()
        wrong = changed(envelope, lambda one, text=text: one["signatures"][0].update(sig=text))
        with pytest.raises(EvidenceError, match="was altered"):
            check(wrong, PAYLOAD, plain[1])


def test_a_signature_of_another_type_is_none_of_evidence(plain: Pair) -> None:
    wrong = changed(sign(PAYLOAD, plain[0]), lambda one: one.update(payloadType="application/json"))
    with pytest.raises(EvidenceError, match="is of 'application/json' instead of"):
        check(wrong, PAYLOAD, plain[1])


def test_an_envelope_of_another_payload_is_told_without_a_key(plain: Pair) -> None:
    envelope = sign(PAYLOAD, plain[0])
    check_payload(envelope, PAYLOAD)
    for attempt in (lambda: check_payload(envelope, PAYLOAD + b" "), lambda: check(envelope, b"", plain[1])):
        with pytest.raises(EvidenceError, match=r"is of something else than evidence\.json"):
            attempt()


def test_a_payload_that_was_exchanged_inside_does_not_check(plain: Pair) -> None:
    forged = b'{"a": "forged"}\n'
    text = base64.b64encode(forged).decode()
    envelope = changed(sign(PAYLOAD, plain[0]), lambda one: one.update(payload=text))
    check_payload(envelope, forged)
    with pytest.raises(EvidenceError, match="was altered, or what it signs"):
        check(envelope, forged, plain[1])


def test_an_envelope_without_a_signature_is_told_without_a_key(plain: Pair) -> None:
    bare = changed(sign(PAYLOAD, plain[0]), lambda one: one["signatures"].clear())
    with pytest.raises(EvidenceError, match="has no signature"):
        check_payload(bare, PAYLOAD)


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.pop("payload"),
        lambda one: one.pop("payloadType"),
        lambda one: one.pop("signatures"),
        lambda one: one.update(signatures={"a": 1}),
        lambda one: one.update(signatures=["a"]),
        lambda one: one.update(payload=7),
        lambda one: one.update(payload="!"),
        lambda one: one["signatures"][0].pop("sig"),
        lambda one: one["signatures"][0].update(sig="!"),
        lambda one: one["signatures"][0].update(keyid=["a"]),
        lambda one: one["signatures"][0].update(keyid=7),
        lambda one: one["signatures"].append(dict(one["signatures"][0])),
    ],
)
def test_what_is_no_envelope_is_refused(plain: Pair, change: Callable[[Any], object]) -> None:
    with pytest.raises(EvidenceError, match="is no DSSE envelope"):
        check(changed(sign(PAYLOAD, plain[0]), change), PAYLOAD, plain[1])


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_no_envelope(plain: Pair, data: bytes) -> None:
    with pytest.raises(EvidenceError, match="is no DSSE envelope"):
        check(data, PAYLOAD, plain[1])
