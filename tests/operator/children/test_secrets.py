"""The Secrets, whole; when a password is kept, and when credentials of the relay are minted anew."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vdi_operator.children.secrets import (
    auth_secret,
    next_mint,
    password,
    password_minted,
    password_since,
    rtc_secret,
    turn_expiry,
)
from vdi_operator.core.instants import moment

from .samples import MINTED, NOW, PASSWORD, RELAY, SETTINGS, Object, metadata, session, stored, texts, world

LIFE = SETTINGS.turn_lifetime_seconds
SHORT = replace(SETTINGS, turn_lifetime_seconds=600.0)


def minted(**changes: Any) -> Object:
    made = rtc_secret(session(), world(**changes))
    assert made is not None
    return made


def configuration(secret: Object) -> Object:
    return dict(json.loads(texts(secret)["rtc.json"]))


def with_configuration(secret: Object, change: Object) -> Object:
    return stored(rtc_json=json.dumps({**configuration(secret), **change}))


# The password.
def test_a_session_gets_the_spare_password() -> None:
    made = auth_secret(session(), world())
    assert {**made, "data": texts(made)} == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {**metadata("vdi-session-auth-cad-7", "credentials"), "annotations": MINTED},
        "type": "kubernetes.io/basic-auth",
        "data": {"username": "user", "password": PASSWORD},
    }
    assert password(made) == PASSWORD


def test_it_keeps_the_password_that_it_has() -> None:
    kept = auth_secret(session(), world(auth=stored(username="user", password="chosen-before")))
    assert texts(kept) == {"username": "user", "password": "chosen-before"}
    assert auth_secret(session(), world(auth=kept, spare_password="another-one")) == kept


def test_the_note_of_a_password_stays_as_long_as_the_password() -> None:
    first = auth_secret(session(), world())
    assert password_minted(first) == moment(NOW), "as every instant of the operator's is written"
    assert auth_secret(session(), world(auth=first, now=NOW + 60)) == first
    again = auth_secret(session(), world(auth={**first, "data": {}}, now=NOW + 0.000001))
    assert password_minted(again) == "2027-01-15T08:00:00.250001Z"


@pytest.mark.parametrize("said", [{}, {"annotations": None}, {"annotations": {next(iter(MINTED)): ""}}])
def test_a_password_that_nobody_noted_gets_no_note(said: Object) -> None:
    """A pod that runs has none to compare it with."""
    noteless = {**auth_secret(session(), world()), "metadata": said}
    assert password_minted(noteless) == ""
    assert "annotations" not in auth_secret(session(), world(auth=noteless, now=NOW + 60))["metadata"]
    assert password_minted(None) == ""


SINCE = {"vdibench.io/password-since": "2026-11-29T12:00:00Z"}


@pytest.mark.parametrize(
    ("kept", "noted"),
    [
        ({"type": "Opaque", "metadata": {"creationTimestamp": "2026-11-29T12:00:00Z"}}, SINCE),
        ({"metadata": {"creationTimestamp": "2026-11-29T12:00:00Z"}}, SINCE),
        ({"type": "kubernetes.io/basic-auth", "metadata": {"creationTimestamp": "2026-11-29T12:00:00Z"}}, None),
        # The second time, and ever after.
        (
            {
                "type": "kubernetes.io/basic-auth",
                "metadata": {"creationTimestamp": "2026-11-29T13:00:00Z", "annotations": SINCE},
            },
            SINCE,
        ),
        # One that has both notes keeps both.
        (
            {"type": "Opaque", "metadata": {"creationTimestamp": "2026-11-29T12:00:00Z", "annotations": MINTED}},
            {**MINTED, **SINCE},
        ),
    ],
)
def test_a_password_is_as_old_as_it_was_when_its_secret_gets_a_type(kept: Object, noted: Object | None) -> None:
    stored_one = {**stored(username="user", password="chosen-before"), **kept}
    made = auth_secret(session(), world(auth=stored_one))
    assert made["metadata"].get("annotations") == noted
    assert password_since(stored_one) == "2026-11-29T12:00:00Z"
    assert auth_secret(session(), world(auth={**stored_one, "data": {}}))["metadata"]["annotations"] == MINTED


@pytest.mark.parametrize(
    "unfit",
    [
        stored(username="user"),
        stored(username="user", password=""),
        stored(username="user", password="short"),
        stored(username="user", password="has a blank"),
        stored(username="user", password="ends-with-a-line\n"),
        stored(username="user", password="pässwörter"),
        stored(username="user", password="x" * 257),
        stored(username="root", password="chosen-before"),
        stored(password="chosen-before"),
        {"data": {"username": "dXNlcg==", "password": "no base64!"}},
        {"data": {"username": "dXNlcg==", "password": "/////w=="}},
        {"data": None},
        {},
    ],
)
def test_what_is_no_password_is_replaced(unfit: Object) -> None:
    assert password(unfit) is None
    assert texts(auth_secret(session(), world(auth=unfit))) == {"username": "user", "password": PASSWORD}


@pytest.mark.parametrize("spare", ["", "short", "has a blank in it"])
def test_no_desktop_is_without_a_password(spare: str) -> None:
    with pytest.raises(ValueError, match="spare password"):
        auth_secret(session(), world(spare_password=spare))
    kept = world(spare_password=spare, auth=stored(username="user", password="chosen-before"))
    assert password(auth_secret(session(), kept)) == "chosen-before"


# Credentials of the relay.
def test_the_configuration_names_our_relay_and_no_other_server() -> None:
    made = minted()
    user = "1800086400:cad-7"
    credential = base64.b64encode(hmac.new(b"north", user.encode(), hashlib.sha1).digest()).decode()
    assert {**made, "data": configuration(made)} == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata("vdi-session-rtc-cad-7", "credentials"),
        "data": {
            "lifetimeDuration": "86400s",
            "blockStatus": "NOT_BLOCKED",
            "iceTransportPolicy": "all",
            "iceServers": [
                {"urls": ["stun:192.0.2.10:3478"]},
                {
                    "urls": ["turn:192.0.2.10:3478?transport=udp", "turn:192.0.2.10:3478?transport=tcp"],
                    "username": user,
                    "credential": credential,
                },
            ],
        },
    }
    assert list(made["data"]) == ["rtc.json"]
    assert "north" not in texts(made)["rtc.json"], "whoever has the secret can mint for others"


def test_a_credential_is_the_one_of_a_known_vector() -> None:
    """HMAC-SHA1 of "1800086400:cad-7" with the key "north", computed by OpenSSL."""
    assert configuration(minted())["iceServers"][1]["credential"] == "9LBw24mwwjuCMkd+OOJO3ls66WI="


def test_every_relay_is_named_at_its_port() -> None:
    site = replace(SETTINGS, relay_port=5000)
    stun, turn = configuration(minted(relay_addresses=(RELAY, "2001:db8::7"), settings=site))["iceServers"]
    assert stun == {"urls": ["stun:192.0.2.10:5000", "stun:[2001:db8::7]:5000"]}
    assert turn["urls"] == [
        "turn:192.0.2.10:5000?transport=udp",
        "turn:192.0.2.10:5000?transport=tcp",
        "turn:[2001:db8::7]:5000?transport=udp",
        "turn:[2001:db8::7]:5000?transport=tcp",
    ]


@pytest.mark.parametrize("missing", [{"relay_addresses": ()}, {"turn_secret": ""}])
def test_without_relay_or_secret_there_is_nothing_to_mint(missing: dict[str, Any]) -> None:
    assert rtc_secret(session(), world(**missing)) is None
    assert rtc_secret(session(), world(**missing, rtc=minted())) is None


def test_a_session_is_told_apart_by_its_credential() -> None:
    one, other = (rtc_secret(session(name=name), world()) for name in ("a", "b"))
    assert one is not None
    assert other is not None
    assert configuration(one)["iceServers"][1]["username"] == "1800086400:a"
    assert configuration(one)["iceServers"][1]["credential"] != configuration(other)["iceServers"][1]["credential"]
    assert rtc_secret(session(name="b"), world(rtc=one)) == other, "another session's is not kept"


def test_half_of_its_life_is_what_a_credential_is_used_for() -> None:
    made = minted()
    assert turn_expiry(made) == 1_800_086_400.0
    assert next_mint(made, SETTINGS) == 1_800_043_200.0
    before, after = 1_800_043_199.9, 1_800_043_200.0
    assert minted(rtc=made, now=before) == made
    again = minted(rtc=made, now=after)
    assert turn_expiry(again) == after + LIFE


def test_a_credential_is_of_the_walls_time() -> None:
    wall = NOW + 3 * LIFE
    made = minted(wall_unix_seconds=wall)
    assert turn_expiry(made) == int(wall + LIFE)
    assert minted(rtc=made, wall_unix_seconds=wall + 60.0) == made
    stale = minted(rtc=minted(), wall_unix_seconds=wall)
    assert turn_expiry(stale) == int(wall + LIFE), "by now it has just been minted"


@pytest.mark.parametrize(
    "change",
    [
        {"turn_secret": "south"},
        {"relay_addresses": ("192.0.2.11",)},
        {"relay_addresses": (RELAY, "192.0.2.11")},
        {"settings": replace(SETTINGS, relay_port=5000)},
        {"settings": replace(SETTINGS, turn_lifetime_seconds=2 * LIFE)},
        {"settings": SHORT},
    ],
)
def test_a_changed_site_mints_anew(change: dict[str, Any]) -> None:
    made = minted()
    later = NOW + 60
    again = minted(rtc=made, now=later, **change)
    assert again == minted(now=later, **change)
    assert again != made


def test_the_order_of_relays_says_nothing() -> None:
    made = minted(relay_addresses=("192.0.2.11", RELAY))
    assert minted(rtc=made, now=NOW + 60, relay_addresses=(RELAY, "192.0.2.11")) == made


def test_a_stored_text_is_kept_as_it_is() -> None:
    spaced = stored(rtc_json=json.dumps(configuration(minted()), indent=4))
    assert minted(rtc=spaced, now=NOW + 60)["data"] == spaced["data"]


@pytest.mark.parametrize(
    "change",
    [
        {"iceTransportPolicy": "relay"},
        {"more": 1},
        {"iceServers": []},
        {"iceServers": None},
        {"iceServers": [{"urls": ["stun:203.0.113.5:3478"]}]},
        {"iceServers": [{"urls": "x", "username": "9999999999:cad-7"}]},
        {"iceServers": [{"username": "9999999999:cad-7"}]},
        {"iceServers": [{"urls": [1, "x"], "username": "9999999999:cad-7"}]},
        {"iceServers": [["username"]]},
        {"iceServers": ["username"]},
        {"iceServers": 7},
    ],
)
def test_what_was_changed_by_hand_is_minted_anew(change: Object) -> None:
    changed = with_configuration(minted(), change)
    assert minted(rtc=changed, now=NOW + 60) == minted(now=NOW + 60)


def test_an_expiry_that_nobody_minted_is_not_believed() -> None:
    document = configuration(minted())
    document["iceServers"][1]["username"] = "1900000000:cad-7"
    forged = stored(rtc_json=json.dumps(document))
    assert turn_expiry(forged) == 1_900_000_000.0
    assert minted(rtc=forged) == minted()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", "null", '"text"', "[" * 5000, '{"iceServers": [{"username": "soon:x"}]}']
)
def test_what_is_no_configuration_is_minted_anew(text: str) -> None:
    broken = stored(rtc_json=text)
    assert turn_expiry(broken) is None
    assert next_mint(broken, SETTINGS) is None
    assert minted(rtc=broken) == minted()


@settings(deadline=None)
@given(
    st.floats(1e9, 4e9),
    st.floats(60, 1e6),
    st.lists(st.floats(0, 1.2), max_size=12),
    st.lists(st.sampled_from(["north", "south"]), min_size=12, max_size=12),
)
def test_whoever_looks_often_enough_has_a_good_credential(
    start: float, life: float, steps: list[float], secrets: list[str]
) -> None:
    """Whatever the instants of the passes: what a pass leaves verifies, lasts, and is not minted twice."""
    site = replace(SETTINGS, turn_lifetime_seconds=life)
    now, made = start, minted(now=start, settings=site, turn_secret="north")
    before = "north"
    for step, secret in zip(steps, secrets, strict=False):
        now += step * life / 2
        found = minted(now=now, settings=site, turn_secret=secret, rtc=made)
        expiry, due, ended = turn_expiry(found), next_mint(found, site), next_mint(made, site)
        assert expiry is not None
        assert due is not None
        assert ended is not None
        assert expiry - now >= life / 2 - 1, "a new client has half of a life"
        assert expiry - now <= life + 1e-3
        assert due > now, "the next pass is not at once"
        assert (found == made) is (now < ended and secret == before)
        user, credential = (configuration(found)["iceServers"][1][key] for key in ("username", "credential"))
        digest = hmac.new(secret.encode(), user.encode(), hashlib.sha1).digest()
        assert base64.b64decode(credential) == digest
        assert minted(now=now, settings=site, turn_secret=secret, rtc=found) == found
        made, before = found, secret


@settings(deadline=None)
@given(st.one_of(st.binary(), st.text().map(str.encode)))
def test_no_stored_bytes_break_a_pass(data: bytes) -> None:
    encoded = base64.b64encode(data).decode()
    strange = {"data": dict.fromkeys(("username", "password", "rtc.json"), encoded)}
    assert minted(rtc=strange) == minted()
    assert texts(auth_secret(session(), world(auth=strange)))["password"] == PASSWORD


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.just("1900000000:cad-7")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["iceServers", "urls", "username", "credential"]), inner, max_size=4),
    ),
)


@settings(deadline=None)
@given(json_values)
def test_no_stored_document_breaks_a_pass(document: Any) -> None:
    assert minted(rtc=stored(rtc_json=json.dumps(document))) == minted()
