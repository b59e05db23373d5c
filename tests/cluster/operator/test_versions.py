"""Another version of the kinds: both served, objects stored anew by a person, a new operator, the old version gone.

Children are told of it in their owner's reference and nowhere else: the same objects, the same desktops.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vdi_operator import settings as site_settings
from vdi_operator.api.objects import VERSION as OLD
from vdi_operator.api.objects import Object
from vdi_operator.api.schema import definitions
from vdibench.lab.cluster.commands import ETCD_PORT
from vdibench.lab.cluster.operating import OperatorProcess, apply

from .site import DOMAIN, SESSIONS, Site

pytestmark = pytest.mark.timeout(1800)  # the first test of the folder builds a cluster

NEW = "v1alpha2"
NAMES = [f"version-{number}" for number in range(6)]
RESTS = NAMES[-1]

# Asks etcd, by its own HTTP, for all keys with a prefix.
LOOK = """
import base64, json, sys, urllib.request
def key(text): return base64.b64encode(text).decode()
body = json.dumps({"key": key(sys.argv[2].encode()), "range_end": key(sys.argv[2].encode()[:-1] + b"0")}).encode()
with urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/v3/kv/range", data=body, timeout=20) as answer:
    sys.stdout.write(answer.read().decode())
"""


def versions(*served: str, stored: str) -> list[Object]:
    """The definitions with these versions, of one schema: without a webhook nothing else is converted without loss."""
    made = []
    for one in definitions():
        (version,) = one["spec"]["versions"]
        each = [{**version, "name": name, "storage": name == stored} for name in served]
        made.append({**one, "spec": {**one["spec"], "versions": each}})
    return made


def recorded(site: Site) -> list[list[str]]:
    """``status.storedVersions`` of both definitions."""
    return [
        json.loads(
            site.kubectl(
                "get", f"customresourcedefinition/{one['metadata']['name']}", "-o", "jsonpath={.status.storedVersions}"
            )
        )
        for one in definitions()
    ]


def stored(site: Site) -> dict[str, str]:
    """Session -> the version that it lies in etcd as."""
    prefix = f"/registry/vdibench.io/vdisessions/{SESSIONS}/"
    line = site.cluster.inside([sys.executable, "-c", LOOK, str(ETCD_PORT), prefix])
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    found = [json.loads(base64.b64decode(one["value"])) for one in json.loads(done.stdout).get("kvs", ())]
    return {one["metadata"]["name"]: one["apiVersion"].partition("/")[2] for one in found}


def migrate(site: Site, *words: str) -> str:
    """What the command says."""
    line = [sys.executable, "-m", "vdi_operator", "migrate", f"--kubeconfig={site.cluster.kubeconfig}", *words]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def uids(site: Site) -> dict[tuple[str, str], str]:
    """Kind and name -> uid, of children and homes."""
    claims = {("PersistentVolumeClaim", name): one for name, one in site.all("PersistentVolumeClaim").items()}
    return {key: one["metadata"]["uid"] for key, one in (site.managed() | claims).items()}


def owners(site: Site) -> set[str]:
    """Versions by which children refer to their sessions."""
    return {
        owner["apiVersion"].partition("/")[2]
        for one in site.managed().values()
        for owner in one["metadata"]["ownerReferences"]
    }


@pytest.fixture
def crowd(site: Site, operator: OperatorProcess) -> Iterator[list[str]]:
    """Desktops that run, and one that rests; the kinds as they are shipped afterwards."""
    site.play(f"{name}@{DOMAIN}" for name in NAMES)
    for name in NAMES:
        site.create(site.wish(name, "played"))
    for name in NAMES:
        site.await_ready(name)
    site.merge("VDISession", RESTS, {"spec": {"operatingMode": "Suspended"}})
    site.until(lambda: site.get("Pod", f"vdi-session-{RESTS}") is None, "the end of a desktop")
    site.until(lambda: site.condition(RESTS).get("reason") == "Suspended", "its rest")
    yield NAMES
    operator.end()
    operator.environment = {}
    apply(site.cluster, versions(OLD, NEW, stored=OLD))
    migrate(site)
    # The collector cannot follow an owner of a version that is gone.
    operator.start()
    site.until(lambda: owners(site) <= {OLD}, "owners by the old version")
    apply(site.cluster, definitions())
    assert recorded(site) == [[OLD], [OLD]], "the way back is the same way"


def test_another_version_is_stored_and_no_child_is_touched(
    site: Site, operator: OperatorProcess, crowd: list[str], tmp_path: Path
) -> None:
    settings = site_settings.load(operator.log.with_name("settings.yaml"))
    running = [name for name in crowd if name != RESTS]
    before = uids(site)

    # The next release's definitions, beside the operator of this one.
    apply(site.cluster, versions(OLD, NEW, stored=NEW))
    site.until(lambda: recorded(site) == [[OLD, NEW], [OLD, NEW]], "the record of two versions")
    assert set(stored(site).values()) == {OLD}, "what nobody writes stays as it is"
    assert "nothing was written" in migrate(site, "--dry-run")
    assert set(stored(site).values()) == {OLD}
    said = migrate(site)
    assert f"all {len(crowd)} are stored as {NEW}" in said
    assert stored(site) == dict.fromkeys(crowd, NEW)
    assert recorded(site) == [[NEW], [NEW]]
    assert migrate(site).count(f"all are stored as {NEW}") == 2
    assert uids(site) == before
    assert [name for name in running if not site.ready(name)] == []

    # The next release's operator: every child refers to its owner anew, and is the one that it was.
    (tmp_path / "sitecustomize.py").write_text(
        f"import vdi_operator.api.objects as objects\nobjects.VERSION = {NEW!r}\n"
    )
    operator.environment = {"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    operator.end()
    operator.start()
    site.until(operator.ready, "the new operator's first list")
    # Of what rests Secrets, policy and middleware are left alone until it runs again.
    site.merge("VDISession", RESTS, {"spec": {"operatingMode": "Running"}})
    site.until(lambda: owners(site) == {NEW}, "owners by the new version")
    for name in crowd:
        site.await_ready(name)
    after = uids(site)
    assert {key: after.get(key) for key in before} == before
    new = {(kind, name) for kind, name in after.keys() - before.keys()}
    assert all(name.endswith(RESTS) for _, name in new), "nothing but the desktop that had rested"
    assert [key for key in operator.requests() if key[2] in ("403", "404", "422", "500")] == []

    # Then the old version may go, and a session that ends takes its children along.
    apply(site.cluster, versions(NEW, stored=NEW))

    def gone() -> bool:
        return OLD not in site.kubectl("get", "--raw", "/apis/vdibench.io")

    site.until(gone, "the end of the old version")
    # By its version: kubectl remembers the one that is gone.
    site.kubectl("-n", SESSIONS, "delete", f"vdisessions.{NEW}.vdibench.io", crowd[0], "--timeout=60s")
    site.until(
        lambda: not [name for _, name in site.managed() if name.endswith(crowd[0])], "the end of a session's children"
    )
    assert uids(site).keys() >= {key for key in before if not key[1].endswith(crowd[0])}
    # Both are served again, so that the tests' own requests find what they know.
    apply(site.cluster, versions(OLD, NEW, stored=NEW))
    site.until(lambda: not gone(), "the old version")
    for name in running[1:]:
        site.until(lambda name=name: site.ready(name), f"the desktop {name}")
        found = [one for one in site.wrong(name, settings) if ".apiVersion" not in one]
        assert found == [], "but for the version of its owner, which this test's builders write as before"
