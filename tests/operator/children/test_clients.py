"""What desktops tell of their clients, in the words of each dialect."""

from __future__ import annotations

import pytest

from vdi_operator.api.template import Dialect
from vdi_operator.children.dialects import clients, clients_path, paths, unasked_paths

WEBRTC, WEBSOCKET, OLDER = Dialect.SELKIES_2_WEBRTC, Dialect.SELKIES_2_WEBSOCKET, Dialect.SELKIES_1_WEBRTC
PAGE = '{"id": "a1", "transport": "webrtc", "role": "controller", "slot": null, "rtt_ms": null}'
METRICS = """# HELP fps_hist Histogram of FPS observed by client
# TYPE fps_hist histogram
fps_hist_bucket{le="20.0"} 3.0
fps_hist_bucket{le="+Inf"} 12.0
fps_hist_count %s
fps_hist_sum 720.0
# HELP fps_hist_created Histogram of FPS observed by client
fps_hist_created 1.7e+09
"""


@pytest.mark.parametrize(
    ("dialect", "text", "count"),
    [
        (WEBRTC, '{"sessions": []}', 0.0),
        (WEBRTC, f'{{"sessions": [{PAGE}]}}', 1.0),
        (WEBSOCKET, f'{{"sessions": [{PAGE}, {PAGE}]}}', 2.0),
        (WEBRTC, "{}", None),
        (WEBRTC, "[]", None),
        (WEBRTC, '{"sessions": 3}', None),
        (OLDER, METRICS % "12.0", 12.0),
        (OLDER, METRICS % "0.0", 0.0),
        (OLDER, METRICS % "many", None),
        (OLDER, "<html>404</html>", None),
    ],
)
def test_an_answer(dialect: Dialect, text: str, count: float | None) -> None:
    assert clients(dialect, text) == count


def test_what_is_no_json_is_a_fault() -> None:
    with pytest.raises(ValueError):
        clients(WEBRTC, "<html>")


@pytest.mark.parametrize("dialect", Dialect)
def test_no_route_leads_there(dialect: Dialect) -> None:
    assert not [matcher for matcher in (*paths(dialect), *unasked_paths(dialect)) if clients_path(dialect) in matcher]
