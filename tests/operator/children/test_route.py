"""The route, whole, for each dialect; and which paths its rule lets through."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import selkies

from vdi_operator.api.template import Dialect
from vdi_operator.children.dialects import paths, unasked_paths
from vdi_operator.children.route import route

from .samples import SETTINGS, metadata, session, template

FILES_1 = (
    r"PathRegexp(`^/((css|fonts|icons|js|lib)/([\w-][\w.-]*/)*)?[\w-][\w.-]*"
    r"\.(css|html|ico|js|json|png|svg|ttf|woff2?)$`)"
)
FILES_2 = (
    r"PathRegexp(`^/((assets|codecs|jsdb|src)/([\w-][\w.-]*/)*)?[\w-][\w.-]*\.(css|html|ico|js|json|png|svg|wasm)$`)"
)
STREAMS = {
    Dialect.SELKIES_1_WEBRTC: (FILES_1, "PathRegexp(`^/(health|turn|ws|webrtc/signalling)/?$`)"),
    Dialect.SELKIES_2_WEBRTC: (FILES_2, "PathRegexp(`^/api/(turn|websockets|ws|webrtc/signaling)/?$`)"),
    Dialect.SELKIES_2_WEBSOCKET: (FILES_2, "PathRegexp(`^/api/websockets/?$`)"),
}
CLOSED = [
    *("/api/metrics", "/api/sessions", "/api/sessions/7", "/api/switch", "/api/tokens", "/api/screenshot", "/metrics"),
    *(
        "/api/files/",
        "/api/files/a.js",
        "/api/upload",
        "/api/recording",
        "/api/apps/img/a.png",
        "/api",
        "//api/metrics",
    ),
    *("/assets/../api/metrics", "/%61pi/metrics", "/API/metrics", "/api/ws/../metrics", "/__init__.py"),
    # For the kubelet alone, or behind another question.
    *("/api/health", "/api/health/", "/api/status", "/api/status/"),
]
WEBSOCKET_ONLY = ["/api/turn", "/api/ws", "/api/ws/", "/api/webrtc/signaling", "/api/webrtc/signaling/"]


@pytest.mark.parametrize("dialect", list(Dialect))
def test_the_route_of_a_dialect(dialect: Dialect) -> None:
    files, streams = STREAMS[dialect]
    middlewares = [{"name": "vdi-rate-limit"}, {"name": "vdi-headers"}]
    services = [{"name": "vdi-session-service-cad-7", "port": 8080}]
    rules = [
        {
            "kind": "Rule",
            "match": f"Host(`cad-7.vdi.example.com`) && ( Path(`/`) || {files} || {streams})",
            "middlewares": middlewares,
            "services": services,
        }
    ]
    if dialect is not Dialect.SELKIES_1_WEBRTC:
        rules.append(
            {
                "kind": "Rule",
                "match": "Host(`cad-7.vdi.example.com`) && ( Path(`/api/status`))",
                "middlewares": [*middlewares, {"name": "vdi-session-auth-cad-7"}],
                "services": services,
            }
        )
    assert route(session(), template(dialect=dialect), SETTINGS) == {
        "apiVersion": "traefik.io/v1alpha1",
        "kind": "IngressRoute",
        "metadata": metadata("vdi-session-cad-7", "desktop"),
        "spec": {
            "entryPoints": ["websecure"],
            "routes": rules,
            "tls": {},
        },
    }


def test_host_entry_points_and_middlewares_are_the_sites() -> None:
    site = replace(SETTINGS, domain="vdi.test", entry_points=("a", "b"), middlewares=("sign-in",), port=8443)
    found = route(session(host="desk"), template(), site)["spec"]
    assert found["entryPoints"] == ["a", "b"]
    first, second = found["routes"]
    assert first["middlewares"] == [{"name": "sign-in"}]
    assert second["middlewares"] == [{"name": "sign-in"}, {"name": "vdi-session-auth-cad-7"}]
    for rule in (first, second):
        assert rule["match"].startswith("Host(`desk.vdi.test`) && (")


def lets_through(dialect: Dialect, path: str) -> bool:
    return _matches(paths(dialect), path)


def _matches(matchers: tuple[str, ...], path: str) -> bool:
    for matcher in matchers:
        part = re.fullmatch(r"(Path|PathRegexp)\(`([^`]+)`\)", matcher)
        assert part, f"{matcher} is no matcher that this test knows"
        kind, what = part.groups()
        if path == what if kind == "Path" else re.search(what, path):
            return True
    return False


@pytest.mark.parametrize("dialect", [Dialect.SELKIES_2_WEBRTC, Dialect.SELKIES_2_WEBSOCKET])
def test_every_file_of_the_page_gets_through(dialect: Dialect) -> None:
    web = Path(selkies.__file__).parent / "selkies_web"
    served = {".css", ".html", ".ico", ".js", ".json", ".png", ".svg", ".wasm"}
    files = [f"/{file.relative_to(web)}" for file in web.rglob("*") if file.suffix in served]
    assert len(files) > 10
    assert [path for path in files if not lets_through(dialect, path)] == []


@pytest.mark.parametrize("path", ["/", "/api/websockets", "/api/websockets/"])
def test_a_client_by_web_sockets_gets_through(path: str) -> None:
    assert lets_through(Dialect.SELKIES_2_WEBSOCKET, path)


@pytest.mark.parametrize("path", [*CLOSED, *WEBSOCKET_ONLY])
def test_nothing_else_gets_to_web_sockets(path: str) -> None:
    assert not lets_through(Dialect.SELKIES_2_WEBSOCKET, path)


@pytest.mark.parametrize("dialect", [Dialect.SELKIES_1_WEBRTC, Dialect.SELKIES_2_WEBRTC])
@pytest.mark.parametrize("path", CLOSED)
def test_nothing_else_gets_to_webrtc(dialect: Dialect, path: str) -> None:
    assert not lets_through(dialect, path)
    for needed in ("/ws", "/webrtc/signalling/") if dialect is Dialect.SELKIES_1_WEBRTC else WEBSOCKET_ONLY:
        assert lets_through(dialect, needed)


@pytest.mark.parametrize("dialect", [Dialect.SELKIES_2_WEBRTC, Dialect.SELKIES_2_WEBSOCKET])
def test_behind_the_proxys_question_is_what_selkies_tells_anybody_and_no_more(dialect: Dialect) -> None:
    assert _matches(unasked_paths(dialect), "/api/status")
    for path in ("/", "/api/health", "/api/status/", "/api/statuses", "/x/api/status", "/api/ws", "/index.html"):
        assert not _matches(unasked_paths(dialect), path)


def test_what_selkies_guards_by_itself_it_guards_in_its_own_words() -> None:
    """The list of what answers without a password, as the server's code has it: a new one fails here."""
    code = (Path(selkies.__file__).parent / "stream_server.py").read_text()
    (open_ones,) = re.findall(r"if path in \(([^)]*)\):\n\s+return await handler\(request\)", code)
    assert re.findall(r"/api/\w+", open_ones) == ["/api/status", "/api/health"]
    for dialect in (Dialect.SELKIES_2_WEBRTC, Dialect.SELKIES_2_WEBSOCKET):
        assert not any(lets_through(dialect, path) for path in ("/api/status", "/api/health"))
