from __future__ import annotations

from base64 import urlsafe_b64decode
from urllib.parse import unquote

import pytest

from vdibench.selkies import token_cookies, token_protocols


@pytest.mark.parametrize("token", ["plain", "with space;and=signs", "ü/+", "a", "ab", "abc"])
def test_a_token_survives_its_carriers(token: str) -> None:
    (cookie,) = token_cookies(token).values()
    assert cookie.isascii()
    assert not set(cookie) & set(' ;=,"')
    assert unquote(cookie) == token
    first, carrier = token_protocols(token)
    assert first == "selkies"
    encoded = carrier.removeprefix("selkies.token.")
    assert "=" not in encoded
    assert urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode() == token


def test_without_a_token_nothing_is_carried() -> None:
    assert token_cookies("") == {}
    assert token_protocols("") == ()
