"""Our page beside Locust's web page, on the master: what the engines measure, live. Runs inside Locust; HTTP server.

``/vdibench`` is the page, ``/vdibench/state`` the same as JSON, ``/vdibench/metrics`` for Prometheus. The page asks for
nothing outside this server. Locust's own page gets a link, and a tab with a row an engine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, jsonify, request

from vdibench.errors import StoreError
from vdibench.load import live
from vdibench.load.kept import KeptSeconds
from vdibench.load.roster import Roster
from vdibench.store import Recording

__all__ = ["add_pages", "exposition", "facts_of"]

_PAGE = Path(__file__).parent / "templates" / "live.html"
_LINK = (
    '<a href="./vdibench" style="position:fixed;right:16px;bottom:16px;z-index:2000;padding:8px 14px;border-radius:6px;'
    'background:#15803d;color:#fff;font:600 14px system-ui,sans-serif;text-decoration:none">vdibench: live picture</a>'
)
_TAB = {"title": "vdibench", "key": "vdibench"}
_COLUMNS = (
    ("engine", "Engine"),
    ("users", "Users"),
    ("sessions", "Sessions"),
    ("frames", "Frames/s"),
    ("cpu", "CPU (cores)"),
    ("worker", "Worker CPU (cores)"),
    ("lag", "Loop lag p99 (ms)"),
    ("drops", "Socket drops"),
    ("backlog", "Decoder backlog"),
)


def facts_of(roster: Roster) -> dict[str, Any]:
    """What the page says of a load besides: target, scenario, mode, and whether it is synthetic."""
    try:
        run = Recording.open(Path(roster.run)).run
    except StoreError:  # on another host than the run folder
        return {"scenario": roster.scenario, "mode": str(roster.mode), "target": "", "synthetic": False}
    synthetic = bool(run.context.get("synthetic"))
    return {"scenario": roster.scenario, "mode": str(roster.mode), "target": run.target, "synthetic": synthetic}


def add_pages(web_ui: Any, kept: KeptSeconds, facts: dict[str, Any], *, locked: bool = False) -> None:
    """Add them to Locust's web page.

    :param kept: what engines said, which goes on.
    :param facts: of :func:`facts_of`.
    :param locked: a driver says how many users there are: the page's own buttons for that do nothing.
    """
    pages, view = Blueprint("vdibench", __name__), live.View(kept)

    def page() -> Response:
        # Nothing from elsewhere, even if a desktop's name or a version of this page asked for it.
        policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
        return Response(
            _PAGE.read_text(encoding="utf-8"),
            mimetype="text/html",
            headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"},
        )

    def state() -> Response:
        return jsonify({**facts, **view.state(time.time())})

    def metrics() -> Response:
        text = exposition(view.figures(time.time()))
        return Response(text, mimetype="text/plain; version=0.0.4")

    for path, answer in (("", page), ("/state", state), ("/metrics", metrics)):
        pages.add_url_rule(f"/vdibench{path}", answer.__name__, web_ui.auth_required_if_enabled(answer))
    web_ui.app.register_blueprint(pages)
    if locked:
        web_ui.app.before_request(_refuse_buttons)
    web_ui.app.after_request(lambda response: _extended(response, view))
    columns = [{"key": key, "title": title} for key, title in _COLUMNS]
    web_ui.template_args = {
        **web_ui.template_args,
        "extended_tabs": [_TAB],
        "extended_tables": [{"key": _TAB["key"], "structure": columns}],
        "extended_csv_files": [],
    }


def _refuse_buttons() -> Response | None:
    if request.path not in {"/swarm", "/stop"}:
        return None
    said = {"success": False, "message": "the shape of this load says how many users there are; Ctrl-C ends it"}
    return Response(json.dumps(said), status=409, mimetype="application/json")


def _extended(response: Response, view: live.View) -> Response:
    """Locust's page with our link, and its statistics with our rows."""
    if request.path == "/" and response.mimetype == "text/html" and not response.direct_passthrough:
        response.set_data(response.get_data(as_text=True).replace("</body>", f"{_LINK}</body>"))
    elif request.path == "/stats/requests" and response.is_json:
        rows = [_row(engine) for engine in view.engines(time.time())]
        document = response.get_json()
        document["extended_stats"] = [{"key": _TAB["key"], "data": rows}]
        response.set_data(jsonify(document).get_data())
    return response


def _row(engine: dict[str, Any]) -> dict[str, Any]:
    def text(name: str, factor: float = 1.0, digits: int = 2) -> str:
        return "no data" if engine[name] is None else f"{factor * engine[name]:.{digits}f}"

    return {
        "engine": engine["engine"],
        "users": text("users", digits=0),
        "sessions": text("sessions", digits=0),
        "frames": text("frames", digits=0),
        "cpu": text("cpu_ratio"),
        "worker": text("worker_cpu_ratio"),
        "lag": text("loop_lag_p99_seconds", 1e3),
        "drops": text("socket_drops", digits=0),
        "backlog": text("backlog", digits=0),
    }


def exposition(state: dict[str, Any]) -> str:
    """The state as Prometheus reads it; what was not measured is absent. No label names a desktop or a host."""
    lines: list[str] = []

    def gauge(name: str, meaning: str, values: Sequence[tuple[str, float | None]]) -> None:
        known = [(labels, value) for labels, value in values if value is not None]
        if known:
            lines.append(f"# HELP vdibench_load_{name} {meaning}")
            lines.append(f"# TYPE vdibench_load_{name} gauge")
            lines.extend(f"vdibench_load_{name}{labels} {value:g}" for labels, value in known)

    gauge("users", "Users that there are.", [("", state["users"])])
    gauge("sessions", "Sessions that show video.", [("", state["sessions"])])
    gauge("frames_per_second", "Frames a second of each session.", [("", state["frames_per_second"])])
    gauge("freezes", "Freezes in the last ten seconds.", [("", state["freezes"])])
    for name, found in state["latencies"].items():
        gauge(
            name,
            f"{name} of the last ten seconds.",
            [(f'{{quantile="{percent / 100:g}"}}', found[f"p{percent}"]) for percent in (50, 95, 99)],
        )
    for name, meaning in (
        ("cpu_ratio", "Cores that the engine takes."),
        ("loop_lag_p99_seconds", "Delay of the engine's event loop, p99 of its last second."),
        ("socket_drops", "Datagrams dropped in the engine's last second."),
        ("backlog", "Frames that wait for a decoder."),
    ):
        gauge(
            f"engine_{name}",
            meaning,
            [(f'{{engine="{engine["engine"]}"}}', engine[name]) for engine in state["engines"]],
        )
    return "\n".join(lines) + "\n"
