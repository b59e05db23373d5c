from __future__ import annotations

import base64
import hashlib
import hmac
import json

from vdibench.clusters.turn import LIFETIME_SECONDS, session_secrets, turn_access


def test_credentials_are_those_that_coturn_computes() -> None:
    access = turn_access("192.0.2.7", "secret", "vdibench-1-0", 1000.9)
    stun, relay = json.loads(access.rtc)["iceServers"]
    assert relay["username"] == f"{1000 + LIFETIME_SECONDS}:vdibench-1-0"
    digest = hmac.new(b"secret", relay["username"].encode(), hashlib.sha1).digest()
    assert relay["credential"] == access.credential == base64.b64encode(digest).decode()
    named = {url.partition(":")[2].partition("?")[0] for server in (stun, relay) for url in server["urls"]}
    assert named == {"192.0.2.7:3478"}, "no server but ours"
    assert access.credential not in repr(access)


def test_an_address_of_version_six_is_in_brackets() -> None:
    assert json.loads(turn_access("2001:db8::7", "s", "u", 0).rtc)["iceServers"][0]["urls"] == [
        "stun:[2001:db8::7]:3478"
    ]


def test_a_pod_finds_its_secrets() -> None:
    login, rtc = session_secrets("bob", "user", "pass", '{"iceServers": []}')
    assert (login["metadata"]["name"], rtc["metadata"]["name"]) == ("vdi-session-auth-bob", "vdi-session-rtc-bob")
    assert {key: base64.b64decode(value) for key, value in login["data"].items()} == {
        "username": b"user",
        "password": b"pass",
    }
    assert login["type"] == "kubernetes.io/basic-auth", "Traefik reads no other with two keys"
    assert "type" not in rtc
    assert base64.b64decode(rtc["data"]["rtc.json"]) == b'{"iceServers": []}'
    assert {one["metadata"]["namespace"] for one in (login, rtc)} == {"vdi-sessions"}
