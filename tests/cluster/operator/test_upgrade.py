"""``helm upgrade``: another image, other values, other definitions; desktops notice nothing."""

from __future__ import annotations

import json
import subprocess

import pytest

from vdi_operator.api.objects import Object
from vdi_operator.api.schema import definitions
from vdibench.lab.cluster.commands import CONTAINERD_SOCKET
from vdibench.lab.cluster.images import image_names

from .site import OPERATOR, Site

pytestmark = pytest.mark.timeout(1800)  # alone it builds a cluster and two images

TAG = "next"


def pods(site: Site) -> dict[str, Object]:
    """The operator's own, name -> pod."""
    words = ("-n", OPERATOR, "get", "pods", "-l", "app.kubernetes.io/name=vdi-operator", "-o", "json")
    return {one["metadata"]["name"]: one for one in json.loads(site.kubectl(*words))["items"]}


def again(site: Site, name: str) -> tuple[str, int]:
    """Uid of a session's pod, and how often its container was started anew."""
    pod = site.get("Pod", f"vdi-session-{name}")
    assert pod is not None
    return pod["metadata"]["uid"], sum(one["restartCount"] for one in pod["status"]["containerStatuses"])


def test_another_image_and_other_values(site: Site, release: str) -> None:
    site.create(site.wish("dora"))
    site.await_ready("dora")
    desktop, password, old = again(site, "dora"), site.login("dora"), set(pods(site))

    # The same image under another name: what an upgrade sees is the name.
    name = image_names()["operator"]
    other = f"{name.rpartition(':')[0]}:{TAG}"
    line = ["ctr", f"--address={CONTAINERD_SOCKET}", "--namespace=k8s.io", "images", "tag", "--force", name, other]
    subprocess.run(site.cluster.inside(line), env=site.cluster.environment(), check=True, capture_output=True)
    values = json.loads(site.helm("get", "values", "vdi", "-o", "json"))
    values["image"]["tag"] = TAG
    values["settings"]["warnSeconds"] = 300
    site.install_again(json.dumps(values))

    site.until(lambda: pods(site) and not old & set(pods(site)), "the new operator alone")
    assert {one["spec"]["containers"][0]["image"] for one in pods(site).values()} == {other}
    settings = site.kubectl("-n", OPERATOR, "get", "configmap/vdi-operator-settings", "-o", "json")
    assert "warnSeconds: 300" in json.loads(settings)["data"]["settings.yaml"]

    # It is at work: what is missing is made again, and a new session gets its desktop.
    site.delete("Service", "vdi-session-service-dora")
    site.until(lambda: site.get("Service", "vdi-session-service-dora") is not None, "the repair")
    site.await_ready("dora")
    assert (again(site, "dora"), site.login("dora")) == (desktop, password)
    # Traefik learns of the new Service when its watch says so.
    site.until(lambda: site.ask("dora", "/", password)[0] == 200, "the page")


def test_other_definitions(site: Site, release: str) -> None:
    """Helm leaves definitions alone after the first release; `vdi-operator crds` brings them up to date."""
    if site.get("VDISession", "dora") is None:
        site.create(site.wish("dora"))
    site.await_ready("dora")
    desktop = again(site, "dora")
    new = json.loads(json.dumps(definitions()))
    for one in new:
        (version,) = one["spec"]["versions"]
        version["schema"]["openAPIV3Schema"]["description"] = "As the next release has it."

    def refusal(*words: str) -> str:
        """What kubectl says of them, empty: it applies them."""
        done = subprocess.run(
            ["kubectl", "apply", "--server-side", *words, "-f", "-"],
            env=site.cluster.environment(),
            input=json.dumps({"apiVersion": "v1", "kind": "List", "items": new}),
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stderr if done.returncode else ""

    # Their fields are of whoever made them: on a site that is helm.
    assert refusal("--force-conflicts") == ""
    site.until(
        lambda: "As the next release has it." in site.kubectl("explain", "vdisession"), "the text of the next release"
    )
    site.install_again(site.helm("get", "values", "vdi", "-o", "json"))
    assert "As the next release has it." in site.kubectl("explain", "vdisession"), "helm does not take it back"
    assert (again(site, "dora"), site.ready("dora")) == (desktop, True)
    new = definitions()
    assert refusal("--force-conflicts") == ""
