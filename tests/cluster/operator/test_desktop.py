"""One real desktop from a wish to its first frame, through Traefik, by the chart as a site installs it."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from vdi_operator.api.schema import MILESTONES
from vdi_operator.children.names import home_name
from vdibench.client import DesktopSession, SessionOptions
from vdibench.lab.cluster.prepared import manifests_folder
from vdibench.records import Credentials
from vdibench.selkies import Role
from vdibench.telemetry.prometheus import Prometheus

from .site import DOMAIN, OPERATOR, PORT, SESSIONS, Site

pytestmark = pytest.mark.timeout(1800)  # the first test builds a cluster and two images

CONDITIONS = ("Admitted", "HomeBound", "Scheduled", "PodReady", "RouteReady", "StreamReady", "Ready")
# Traefik asks at the status: Selkies would tell anybody.
STREAMS = ("/api/status", "/api/turn", "/api/websockets", "/api/ws", "/api/webrtc/signaling/")
CLOSED = (
    *("/metrics", "/api/metrics", "/api/sessions", "/api/switch", "/api/tokens", "/api/upload", "/api/files"),
    *("/files", "/api", "/api/", "/api/health/x", "/api/health/../metrics", "/api/turn/../sessions"),
    # Of these two the kubelet asks one, and nobody the other.
    *("/api/health", "/api/status/"),
    *("/.env", "/assets", "/assets/", "/index.php", "/src/../etc/passwd"),
)


class Sink:
    """Takes samples and keeps none."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


@pytest.fixture(scope="module")
def start(site: Site, release: str) -> tuple[float, float]:
    """When alice's wish was uttered and when she was told Ready, on this host's clock, which the operator shares."""
    wish = site.wish("alice")
    began = time.time()
    site.apply(wish)
    site.await_ready("alice")
    return began, time.time()


@pytest.fixture(scope="module")
def status(site: Site, start: tuple[float, float]) -> dict[str, Any]:
    return dict((site.get("VDISession", "alice") or {})["status"])


@pytest.fixture(scope="module")
def bob(site: Site, start: tuple[float, float]) -> str:
    """Another user, with a desktop of his own."""
    site.create(site.wish("bob"))
    site.await_ready("bob")
    return "bob"


def test_the_notes_say_what_to_do_and_nothing_is_missing(release: str) -> None:
    assert f"desktops of namespace {SESSIONS} below {DOMAIN}" in release
    assert "What is missing" not in release
    assert "templateRef: {name: desktop}" in release


def test_every_condition_holds_with_its_reason(site: Site, status: dict[str, Any]) -> None:
    found = {one["type"]: one for one in status["conditions"]}
    assert {kind: found[kind]["status"] for kind in CONDITIONS} == dict.fromkeys(CONDITIONS, "True"), found
    assert found["Ready"]["reason"] == "Published"
    assert found["StreamReady"]["reason"] == "FrameDecoded"
    # The template wants no hardware, and there is none.
    assert found["HardwareEncoding"]["reason"] == "SoftwareAsWanted"
    assert {one["observedGeneration"] for one in found.values()} == {1}
    assert status["url"] == f"https://alice.{DOMAIN}:{PORT}/"
    assert status["stream"]["codec"] == "H264"
    assert "relay" in status["stream"]["transport"]
    assert (status["stream"]["width"], status["stream"]["height"]) == (640, 360)
    columns = site.kubectl("-n", SESSIONS, "get", "vdisession", "alice", "--no-headers").split()
    assert columns[:4] == ["alice", "True", "Published", f"alice@{DOMAIN}"]
    assert status["url"] in columns


def test_phases_add_up_to_what_the_user_waited(start: tuple[float, float], status: dict[str, Any]) -> None:
    began, ready = start
    assert set(status["phases"]) == set(MILESTONES)
    assert all(seconds >= 0 for seconds in status["phases"].values())
    total = sum(status["phases"].values())
    assert total == pytest.approx(status["readyInSeconds"], rel=0.05)
    assert total == pytest.approx(ready - began, rel=0.05)


async def test_the_users_client_decodes_a_frame(site: Site, start: tuple[float, float]) -> None:
    options = SessionOptions(role=Role.CONTROLLER, relay_only=True)
    async with DesktopSession(site.desktop("alice"), Sink(), options) as session:
        await session.first_frame()
        await session.watch(2.0)
        assert {server.host for server in session.ice_servers} == {site.cluster.node_address}, (
            "no server but the site's"
        )


def assets(site: Site) -> list[str]:
    """Files that the page asks for."""
    code, page = site.ask("alice", "/", site.login("alice"))
    assert code == 200
    found = re.findall(r'(?:src|href)="\.?/?((?:assets|src|codecs)/[\w./-]+\.(?:js|css))"', page)
    assert found, page[:500]
    return [f"/{path}" for path in found]


def test_no_path_answers_without_the_right_credential(site: Site, bob: str) -> None:
    alice, other = site.login("alice"), site.login(bob)
    assert alice.password != other.password
    bad = (None, Credentials(alice.user, "wrong"), Credentials(alice.user, ""), other, Credentials("", alice.password))
    for path in ("/", assets(site)[0], *STREAMS):
        for login in bad:
            code, text = site.ask("alice", path, login)
            assert code == 401, f"{path} answers {code} to {login}"
            assert "iceServers" not in text
        code, _ = site.ask("alice", path, alice)
        assert code not in (401, 403, 404), f"{path} answers {code} to its user"


def test_the_page_learns_its_mode(site: Site, bob: str) -> None:
    code, text = site.ask("alice", "/api/status", site.login("alice"))
    assert (code, json.loads(text)["current_mode"]) == (200, "webrtc")
    for path in ("/api/status", "/"):
        assert site.challenge("alice", path).startswith('Basic realm="Selkies Restricted"'), "a browser asks once"


def test_every_other_path_is_not_there(site: Site, start: tuple[float, float]) -> None:
    login = site.login("alice")
    found = {path: site.ask("alice", path, login)[0] for path in CLOSED}
    assert {path: code for path, code in found.items() if code not in (400, 404)} == {}
    assert site.ask("nobody", "/", login)[0] == 404


async def test_credentials_at_the_relay_are_replaced_while_it_streams(site: Site, start: tuple[float, float]) -> None:
    def user(servers: list[Any]) -> str:
        (found,) = {one["username"] for one in servers if "username" in one}
        return str(found)

    def handed() -> str:
        """As the desktop tells its clients."""
        _, text = site.ask("alice", "/api/turn", site.login("alice"))
        return user(json.loads(text)["iceServers"])

    # The kubelet takes its time: a desktop may be one behind its Secret.
    before = handed()
    options = SessionOptions(role=Role.CONTROLLER, relay_only=True)
    async with DesktopSession(site.desktop("alice"), Sink(), options) as session:
        await session.first_frame()
        # They live for a minute and are minted anew after half of it.
        await session.watch(45.0)
        after = user(site.rtc("alice")["iceServers"])
        assert int(after.partition(":")[0]) > int(before.partition(":")[0])
        await session.watch(5.0)
    status = (site.get("VDISession", "alice") or {})["status"]
    assert status["turnExpiresAt"]
    site.until(lambda: handed() != before, "the new credentials in the desktop")
    async with DesktopSession(site.desktop("alice"), Sink(), options) as session:
        await session.first_frame()
        assert {server.username for server in session.ice_servers if server.is_turn} != {before}


def test_a_desktop_that_rests_keeps_its_home(site: Site, status: dict[str, Any], bob: str) -> None:
    site.inside("alice", "echo kept > /home/user/kept")
    site.merge("VDISession", "alice", {"spec": {"operatingMode": "Suspended"}})
    site.until(lambda: site.get("Pod", "vdi-session-alice") is None, "the end of alice's pod")
    site.until(lambda: site.condition("alice").get("reason") == "Suspended", "the reason")
    assert site.get("IngressRoute", "vdi-session-alice") is None
    site.until(lambda: site.ask("alice", "/", site.login("alice"))[0] == 404, "the end of alice's route")
    assert site.ready("bob"), "nobody else is touched"
    assert home_name(f"alice@{DOMAIN}") in site.all("PersistentVolumeClaim")
    assert "url" not in (site.get("VDISession", "alice") or {})["status"]

    site.merge("VDISession", "alice", {"spec": {"operatingMode": "Running"}})
    site.await_ready("alice")
    assert site.inside("alice", "cat /home/user/kept") == "kept\n"
    again = (site.get("VDISession", "alice") or {})["status"]
    assert again["url"] == status["url"]
    assert again["startedAt"] > status["startedAt"]
    assert again["podUID"] != status["podUID"]
    assert sum(again["phases"].values()) == pytest.approx(again["readyInSeconds"], rel=0.05)


@pytest.mark.usefixtures("start")
def test_every_query_of_the_operators_dashboard_has_data(site: Site) -> None:
    panels = json.loads((manifests_folder() / "observability" / "base" / "operator.json").read_text())["panels"]
    wanted = {f"{panel['title']} {one['refId']}": one["expr"] for panel in panels for one in panel["targets"]}
    pods = json.loads(
        site.kubectl("-n", "monitoring", "get", "pods", "-l", "app.kubernetes.io/name=prometheus", "-o", "json")
    )
    (pod,) = (pod for pod in pods["items"] if pod["status"]["phase"] == "Running")
    prometheus = Prometheus(f"http://{pod['status']['podIP']}:9090")

    def answered() -> bool:
        for title in [title for title, query in wanted.items() if prometheus.query(query)]:
            del wanted[title]
        return not wanted

    try:
        # A rate wants two scrapes, a rule two evaluations after them, and a start of after the first scrape.
        site.until(answered, "data", seconds=180.0)
    except AssertionError:
        targets = [(one.job, one.healthy, one.error) for one in prometheus.targets()]
        pytest.fail(f"no data for {wanted}; targets: {targets}")


def metrics(site: Site) -> str:
    """Of the operator's pod."""
    path = f"/api/v1/namespaces/{OPERATOR}/services/vdi-operator:8080/proxy/metrics"
    return site.kubectl("get", "--raw", path)


def test_nothing_was_refused_by_the_api_server(site: Site, bob: str) -> None:
    refused = re.findall(r'^vdi_api_requests_total\{code="40[13]".*$', metrics(site), flags=re.MULTILINE)
    assert refused == []


def test_no_password_is_in_a_log(site: Site, bob: str) -> None:
    said = ""
    for name in ("vdi-operator", "vdi-checker"):
        said += site.kubectl("-n", OPERATOR, "logs", f"deployment/{name}", "--tail=-1")
    said += site.kubectl("-n", SESSIONS, "get", "events", "-o", "json")
    assert "alice" in said
    for secret in (site.login("alice").password, site.login("bob").password, *_relay_passwords(site)):
        assert secret not in said


def _relay_passwords(site: Site) -> list[str]:
    servers = site.rtc("alice")["iceServers"]
    return [one["credential"] for one in servers if "credential" in one]


def test_it_stays_small_and_confined(site: Site, release: str) -> None:
    for name in ("vdi-operator", "vdi-checker"):
        where = ("-n", OPERATOR, "exec", f"deployment/{name}", "--")
        who = site.kubectl(*where, "/usr/bin/python3", "-c", "import os; print(os.getuid(), os.path.exists('/tmp'))")
        assert who.split() == ["65532", "True"]
        cannot = "open('/usr/written', 'w')"
        program = f"try:\n    {cannot}\nexcept OSError as error:\n    print(error.errno)"
        assert site.kubectl(*where, "/usr/bin/python3", "-c", program).strip() == "30", "the root is read-only"
