"""``helm uninstall``: sessions, desktops and homes stay, and a new release takes them up."""

from __future__ import annotations

import pytest

from vdi_operator.api.schema import definitions
from vdi_operator.children.names import home_name

from .site import DOMAIN, OPERATOR, Site

pytestmark = pytest.mark.timeout(1800)  # alone it builds a cluster and two images


def test_an_uninstall_keeps_what_is_the_users(site: Site, release: str) -> None:
    site.create(site.wish("carol"))
    site.await_ready("carol")
    site.inside("carol", "echo kept > /home/user/kept")
    pod = (site.get("Pod", "vdi-session-carol") or {})["metadata"]["uid"]
    token = site.kubectl("-n", OPERATOR, "get", "secret/vdi-checker-token", "-o", "jsonpath={.data.token}")

    # An upgrade in between keeps the token that the two know each other by.
    values = site.helm("get", "values", "vdi", "-o", "json")
    site.install_again(values)
    after = site.kubectl("-n", OPERATOR, "get", "secret/vdi-checker-token", "-o", "jsonpath={.data.token}")
    assert after == token

    site.helm("uninstall", "vdi", "--wait", "--timeout=60s")
    for one in definitions():
        site.kubectl("get", f"customresourcedefinition/{one['metadata']['name']}")
    claim = site.get("PersistentVolumeClaim", home_name(f"carol@{DOMAIN}"))
    assert claim is not None
    assert "ownerReferences" not in claim["metadata"]
    assert (site.get("Pod", "vdi-session-carol") or {})["metadata"]["uid"] == pod, "the desktop runs on"
    assert site.ask("carol", "/", site.login("carol"))[0] == 200

    # Nothing holds a session up: it has no finalizer that would wait for an operator.
    site.delete("VDISession", "carol")
    site.until(lambda: site.get("VDISession", "carol") is None, "the end of the session", seconds=10.0)
    site.until(lambda: not site.managed(), "the end of its children")
    assert site.get("PersistentVolumeClaim", home_name(f"carol@{DOMAIN}")) is not None

    site.install({})
    site.create(site.wish("carol"))
    site.await_ready("carol")
    assert site.inside("carol", "cat /home/user/kept") == "kept\n"
