"""One user's desktop: whose it is, what each generation of Selkies is told, and which paths a route lets through."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import selkies
import yaml

from .kustomize import MANIFESTS, SESSIONS, Object, built, edited, only

SESSION = "overlays/k3s/session"
KUSTOMIZATION = f"{SESSION}/kustomization.yaml"
OLD_GENERATION = (
    (KUSTOMIZATION, "  - ../../../session/selkies-2\n", "  - ../../../session/selkies-1.6\n"),
    (KUSTOMIZATION, "  - ../../../session/metrics\n", "  - ../../../session/gstreamer-tracer\n"),
)
RULE = re.compile(r"Host\(`(?P<host>[^`]+)`\) && \( (?P<paths>.+)\)")
PATH = re.compile(r"(?P<kind>Path|PathRegexp)\(`(?P<what>[^`]+)`\)")


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """The same session with Selkies 1.6."""
    return edited(tmp_path_factory.mktemp("older"), SESSION, *OLD_GENERATION)


def container(items: list[Object]) -> dict[str, Any]:
    (found,) = only(items, "Pod")["spec"]["containers"]
    return dict(found)


def environment(items: list[Object]) -> dict[str, str | None]:
    return {one["name"]: one.get("value") for one in container(items)["env"]}


def lets_through(items: list[Object], path: str, number: int = 0) -> bool:
    """Whether a rule of the route does: the first one leads to what the desktop guards itself."""
    route = only(items, "IngressRoute")["spec"]["routes"][number]
    rule = RULE.fullmatch(route["match"])
    assert rule, route["match"]
    parts = [PATH.fullmatch(word.strip()) for word in re.split(r"\s\|\|\s", rule["paths"])]
    assert all(parts), "a word that this test does not know"
    return any(
        path == part["what"] if part["kind"] == "Path" else bool(re.search(part["what"], path))
        for part in parts
        if part
    )


@pytest.mark.parametrize("overlay", SESSIONS)
def test_the_pod_is_what_the_platform_asked_for(overlay: str) -> None:
    items = built(overlay)
    desktop = container(items)
    assert desktop["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert "cpu" not in desktop["resources"]["limits"]
    mounts = {mount["mountPath"]: mount["name"] for mount in desktop["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in only(items, "Pod")["spec"]["volumes"]}
    assert volumes[mounts["/dev/shm"]]["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Gi"}
    assert "optional" not in volumes[mounts["/run/rtc"]]["secret"], "without it a public relay is used in silence"
    (port,) = only(items, "Service")["spec"]["ports"]
    assert port["port"] == 8080


def test_everything_of_a_user_is_named_after_one_word(tmp_path: Path) -> None:
    settings = f"{SESSION}/settings.yaml"
    changes = (settings, "user: alice\n", "user: bob-7f3a\n"), (settings, "host: alice.vdi", "host: bob-7f3a.vdi")
    items = edited(tmp_path, SESSION, *changes)
    assert "alice" not in str(items)
    assert {item["kind"]: item["metadata"]["name"] for item in items} == {
        "Pod": "vdi-session-bob-7f3a",
        "Service": "vdi-session-service-bob-7f3a",
        "PersistentVolumeClaim": "vdi-home-bob-7f3a",
        "IngressRoute": "vdi-session-bob-7f3a",
        "Middleware": "vdi-session-auth-bob-7f3a",
        "PodMonitor": "vdi-session-bob-7f3a",
    }
    pod = only(items, "Pod")
    labels = pod["metadata"]["labels"]
    assert only(items, "Service")["spec"]["selector"].items() <= labels.items()
    assert only(items, "PodMonitor")["spec"]["selector"]["matchLabels"].items() <= labels.items()
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert volumes["home"]["persistentVolumeClaim"]["claimName"] == "vdi-home-bob-7f3a"
    assert volumes["rtc"]["secret"]["secretName"] == "vdi-session-rtc-bob-7f3a"
    for rule in only(items, "IngressRoute")["spec"]["routes"]:
        assert rule["match"].startswith("Host(`bob-7f3a.vdi.example.com`) && (")
        assert rule["services"] == [{"name": "vdi-session-service-bob-7f3a", "port": 8080}]
    assert only(items, "Middleware")["spec"]["basicAuth"]["secret"] == "vdi-session-auth-bob-7f3a"
    for item in items:
        assert item["metadata"]["labels"]["app.kubernetes.io/instance"] == "bob-7f3a"


def test_a_route_uses_the_middlewares_that_there_are() -> None:
    there = {o["metadata"]["name"] for o in built("overlays/k3s") if o["kind"] == "Middleware"}
    for overlay in SESSIONS:
        items = built(overlay)
        own = only(items, "Middleware")["metadata"]["name"]
        guarded, unguarded = only(items, "IngressRoute")["spec"]["routes"]
        assert {one["name"] for one in guarded["middlewares"]} <= there
        assert unguarded["middlewares"] == [*guarded["middlewares"], {"name": own}], "the proxy asks last"
        assert only(items, "IngressRoute")["spec"]["entryPoints"] == ["websecure"]


def test_each_generation_is_told_in_its_own_words(older: list[Object]) -> None:
    newer = environment(built(SESSION))
    assert (newer["SELKIES_MODE"], newer["SELKIES_ENCODER"]) == ("webrtc", "h264enc")
    assert (environment(older).get("SELKIES_MODE"), environment(older)["SELKIES_ENCODER"]) == (None, "nvh264enc")
    for found in (newer, environment(older)):
        assert found["SELKIES_TURN_HOST"] == found["SELKIES_STUN_HOST"] == "192.0.2.10"
        assert found["SELKIES_ENABLE_BASIC_AUTH"] == "true"
        assert found["SELKIES_RTC_CONFIG_JSON"] == "/run/user/rtc.json"
        assert found["SCREEN"] == "1920x1080"
        assert "video" in str(found["NVIDIA_DRIVER_CAPABILITIES"]).split(",")
        assert "NVIDIA_VISIBLE_DEVICES" not in found, "it would show every GPU of the node"
        # 2.x takes an empty value for its default.
        assert "" not in found.values()
    settings = (Path(selkies.__file__).parent / "settings.py").read_text()
    for name in newer:
        if name.startswith("SELKIES_"):
            assert f'"{name.removeprefix("SELKIES_").lower()}"' in settings, f"Selkies 2.x has no setting {name}"


def test_the_tracer_writes_into_the_pods_log(older: list[Object]) -> None:
    found = environment(older)
    assert found["GST_TRACERS"] == "latency(flags=pipeline+element)"
    assert found["GST_DEBUG"] == "GST_TRACER:7"
    assert "GST_DEBUG_FILE" not in found
    assert "GST_TRACERS" not in environment(built(SESSION))


def test_probes_ask_what_answers_without_a_password(older: list[Object]) -> None:
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container(built(SESSION))[kind]["httpGet"] == {"path": "/api/health", "port": "http"}
        assert container(older)[kind]["tcpSocket"] == {"port": "http"}
    patience = container(older)["livenessProbe"]
    assert patience["periodSeconds"] * patience["failureThreshold"] >= 60


def test_every_file_of_selkies_page_gets_through() -> None:
    web = Path(selkies.__file__).parent / "selkies_web"
    served = {".css", ".html", ".ico", ".js", ".json", ".png", ".svg", ".wasm"}
    files = [f"/{f.relative_to(web)}" for f in web.rglob("*") if f.suffix in served]
    assert len(files) > 10
    items = built(SESSION)
    assert [path for path in files if not lets_through(items, path)] == []


@pytest.mark.parametrize("path", ["/", "/api/turn", "/api/websockets", "/api/ws", "/api/webrtc/signaling/"])
def test_a_client_of_2_gets_through(path: str) -> None:
    assert lets_through(built(SESSION), path)


def test_the_proxy_asks_for_the_password_where_selkies_does_not(older: list[Object]) -> None:
    items = built(SESSION)
    assert lets_through(items, "/api/status", 1)
    for path in ("/", "/api/health", "/api/status/", "/api/ws"):
        assert not lets_through(items, path, 1)
    asks = only(items, "Middleware")["spec"]["basicAuth"]
    assert asks == {"secret": "vdi-session-auth-alice", "realm": "Selkies Restricted", "removeHeader": False}
    (template, _) = yaml.safe_load_all((MANIFESTS / "session" / "secrets.template.yaml").read_text())
    assert template["type"] == "kubernetes.io/basic-auth", "of two keys Traefik reads no other"
    # 1.6 asks everywhere.
    assert not [one for one in older if one["kind"] == "Middleware"]
    (rule,) = only(older, "IngressRoute")["spec"]["routes"]
    assert len(rule["middlewares"]) == 2


CLOSED = [
    *("/api/metrics", "/api/sessions", "/api/sessions/7", "/api/switch", "/api/tokens", "/api/screenshot", "/metrics"),
    *("/api/files/", "/api/files/a.png", "/api/files/a.js", "/api/upload", "/api/recording", "/api/apps/img/a.png"),
    *(
        "/api",
        "//api/metrics",
        "/x/../api/metrics",
        "/assets/../api/metrics",
        "/api/ws/../metrics",
        "/%61pi/metrics",
    ),
    *("/api/health", "/api/health/", "/api/status", "/api/status/"),
    *("/api/turn/metrics", "/API/metrics", "/assets/%2e%2e/api/files/a.js", "/__init__.py"),
]


@pytest.mark.parametrize("path", CLOSED)
def test_nothing_else_does(older: list[Object], path: str) -> None:
    # Traefik takes dots out of a path before it looks at it; nothing here relies on that.
    for items in (built(SESSION), older):
        assert not lets_through(items, path)


@pytest.mark.parametrize(
    "path", ["/", "/app.js", "/css/vuetify.min.css", "/lib/vue.min.js", "/turn", "/turn/", "/ws", "/ws/"]
)
def test_a_client_of_1_6_gets_through(older: list[Object], path: str) -> None:
    assert lets_through(older, path)
    assert lets_through(older, "/webrtc/signalling/")
    assert not lets_through(older, "/metrics")


def test_secrets_are_named_as_the_pods_name_them() -> None:
    text = (MANIFESTS / "session" / "secrets.template.yaml").read_text()
    assert "name: vdi-session-auth-${USER_SLUG}" in text
    assert "name: vdi-session-rtc-${USER_SLUG}" in text
    monitor = only(built(SESSION), "PodMonitor")["spec"]["podMetricsEndpoints"][0]["basicAuth"]
    assert monitor == {
        "username": {"name": "vdi-session-auth-alice", "key": "username"},
        "password": {"name": "vdi-session-auth-alice", "key": "password"},
    }


BY_WEB_SOCKETS = (
    KUSTOMIZATION,
    "  - ../../../session/per-user\n",
    "  - ../../../session/per-user\n  - ../../../session/selkies-2-websocket\n",
)


def test_by_web_sockets_nothing_is_left_of_the_relay(tmp_path: Path) -> None:
    items, webrtc = edited(tmp_path, SESSION, BY_WEB_SOCKETS), built(SESSION)
    desktop, other = container(items), container(webrtc)
    relay = ("SELKIES_TURN_", "SELKIES_STUN_")
    expected = {name: value for name, value in environment(webrtc).items() if not name.startswith(relay)}
    assert environment(items) == {**expected, "SELKIES_MODE": "websockets"}
    # kustomize puts first what was patched last; that would count only if a value named another variable.
    assert not [one["name"] for one in desktop["env"] if "$(" in one.get("value", "")]
    assert desktop["volumeMounts"] == [one for one in other["volumeMounts"] if one["name"] != "rtc"]
    volumes = only(webrtc, "Pod")["spec"]["volumes"]
    assert only(items, "Pod")["spec"]["volumes"] == [one for one in volumes if one["name"] != "rtc"]
    assert "192.0.2.10" not in str(items)
    same = [[one for one in found if one["kind"] not in ("Pod", "IngressRoute")] for found in (items, webrtc)]
    assert same[0] == same[1]


def test_by_web_sockets_one_socket_gets_through(tmp_path: Path) -> None:
    settings = f"{SESSION}/settings.yaml"
    items = edited(tmp_path, SESSION, BY_WEB_SOCKETS, (settings, "host: alice.vdi", "host: desk.vdi"))
    first, second = only(items, "IngressRoute")["spec"]["routes"]
    assert first["match"].startswith("Host(`desk.vdi.example.com`) && (")
    assert second == {
        **only(built(SESSION), "IngressRoute")["spec"]["routes"][1],
        "match": "Host(`desk.vdi.example.com`) && ( Path(`/api/status`))",
    }
    for path in ("/", "/index.html", "/api/websockets", "/api/websockets/"):
        assert lets_through(items, path)
    for path in (*CLOSED, "/api/turn", "/api/ws", "/api/webrtc/signaling/"):
        assert not lets_through(items, path)
