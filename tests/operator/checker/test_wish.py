"""What the checker may be asked, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from vdi_checker.wish import Foreign, Rules, Wish
from vdibench.selkies import Dialect

from .conftest import wanted

RULES = Rules(domains=("vdi.example.com",), longest_seconds=20.0)
URL = "https://alice.vdi.example.com/"


def test_a_request_is_read() -> None:
    wish = Wish.of(wanted(URL, bitrate=8_000_000, connect="10.0.0.7:443"), RULES)
    assert (wish.url, wish.host) == ("https://alice.vdi.example.com", "alice.vdi.example.com")
    assert (wish.connect, wish.dialect) == ("10.0.0.7:443", Dialect.SELKIES_2_WEBRTC)
    assert (wish.width, wish.height, wish.framerate, wish.bitrate) == (640, 360, 30, 8_000_000)
    assert "nobody-guesses-this" not in repr(wish)


def test_what_may_be_left_out() -> None:
    body = wanted(URL)
    for name in ("connect", "framerate", "timeoutSeconds"):
        del body[name]
    wish = Wish.of(body, RULES)
    assert (wish.connect, wish.framerate, wish.bitrate, wish.timeout_seconds) == ("", 0, 0, 20.0)


def test_nobody_gets_more_time_than_the_site_gives() -> None:
    assert Wish.of(wanted(URL, timeoutSeconds=600), RULES).timeout_seconds == 20.0
    assert Wish.of(wanted(URL, timeoutSeconds=3), RULES).timeout_seconds == 3.0


@pytest.mark.parametrize(
    "url",
    [
        "https://vdi.example.com.attacker.test/",
        "https://evilvdi.example.com/",
        "https://169.254.169.254/latest",
        "https://example.com/",
        "http://alice.vdi.example.com/",
    ],
)
def test_other_desktops_are_foreign(url: str) -> None:
    with pytest.raises(Foreign):
        Wish.of(wanted(url), RULES)


def test_plain_http_is_for_whoever_says_so() -> None:
    rules = Rules(domains=RULES.domains, plain=True)
    assert Wish.of(wanted("http://a.vdi.example.com:8080"), rules).url == "http://a.vdi.example.com:8080"


def test_only_named_addresses_take_the_place_of_the_hosts_own() -> None:
    rules = Rules(domains=RULES.domains, via=frozenset({"traefik.traefik.svc:443"}))
    assert Wish.of(wanted(URL, connect="traefik.traefik.svc:443"), rules).connect == "traefik.traefik.svc:443"
    with pytest.raises(Foreign, match="only traefik"):
        Wish.of(wanted(URL, connect="10.43.0.1:443"), rules)
    assert Wish.of(wanted(URL), rules).connect == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"url": "https://u:hidden@alice.vdi.example.com"}, "no credentials"),
        ({"url": "ftp://alice.vdi.example.com"}, "desktop's page"),
        ({"url": "https://alice.vdi.example.com/?token=hidden"}, "desktop's page"),
        ({"url": "https://alice.vdi.example.com:99999"}, "url is none"),
        ({"url": 7}, "url must be text"),
        ({"url": None}, "url is missing"),
        ({"connect": "traefik"}, "HOST:PORT"),
        ({"connect": "traefik:0"}, "HOST:PORT"),
        ({"connect": "a b:443"}, "HOST:PORT"),
        ({"dialect": "vnc"}, "dialect must be one of selkies-1-webrtc"),
        ({"width": 0}, "width must be a whole number"),
        ({"width": True}, "width must be a whole number"),
        ({"height": 1.5}, "height must be a whole number"),
        ({"framerate": -1}, "framerate must be"),
        ({"timeoutSeconds": 0}, "timeoutSeconds must be"),
        ({"timeoutSeconds": float("nan")}, "timeoutSeconds must be"),
        ({"password": None}, "password is missing"),
        ({"passwort": "hidden"}, "'passwort' is unknown"),
    ],
)
def test_what_is_no_request(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        Wish.of(wanted(URL) | changes, RULES)
    assert not isinstance(caught.value, Foreign)
    assert "hidden" not in str(caught.value)
    assert "nobody-guesses-this" not in str(caught.value)


@pytest.mark.parametrize("document", [None, [], "text", 7])
def test_only_objects_are_requests(document: object) -> None:
    with pytest.raises(ValueError, match="an object"):
        Wish.of(document, RULES)
