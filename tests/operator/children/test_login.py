"""The proxy's question, whole, and which dialects need it."""

from __future__ import annotations

import pytest

from vdi_operator.api.template import Dialect
from vdi_operator.children.login import login

from .samples import metadata, session, template


@pytest.mark.parametrize("dialect", [Dialect.SELKIES_2_WEBRTC, Dialect.SELKIES_2_WEBSOCKET])
def test_it_asks_for_the_sessions_password(dialect: Dialect) -> None:
    assert login(session(), template(dialect=dialect)) == {
        "apiVersion": "traefik.io/v1alpha1",
        "kind": "Middleware",
        "metadata": metadata("vdi-session-auth-cad-7", "desktop"),
        "spec": {
            "basicAuth": {"secret": "vdi-session-auth-cad-7", "realm": "Selkies Restricted", "removeHeader": False}
        },
    }


def test_a_desktop_that_always_asks_needs_none() -> None:
    assert login(session(), template(dialect=Dialect.SELKIES_1_WEBRTC)) is None
