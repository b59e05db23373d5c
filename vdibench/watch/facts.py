"""What a connection says of itself, gathered from the client. I/O only where a clock bound is asked for."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

from vdibench import __version__
from vdibench.client import CandidatePair, DesktopSession
from vdibench.selkies.control import stream_info
from vdibench.targets.clock import is_here, peer_is_here
from vdibench.watch.gauge import Gauge
from vdibench.watch.reading import SessionFacts

__all__ = ["clock_bound_seconds", "nominal_frames_per_second", "session_facts"]


def session_facts(session: DesktopSession, gauge: Gauge, clock_bound: float | None) -> SessionFacts:
    """The facts as they stand now."""
    said, info = gauge.facts, stream_info(session.messages)
    size, sps, pair = session.picture.size, session.picture.sps, session.pair
    hardware = info.get("hardware")
    return SessionFacts(
        unix_seconds=time.time(),
        url=session.desktop.endpoint.url,
        role=str(session.options.role),
        dialect=said.get("dialect", ""),
        codec=session.connection.video_codec or None,
        profile=sps.profile if sps is not None else None,
        level=sps.level if sps is not None else None,
        encoder=_text(info.get("encoder")),
        encoder_setting=_text(_setting(session, "encoder").get("value")),
        encoder_reason=_text(info.get("encoder_reason")),
        hardware=hardware if isinstance(hardware, bool) else None,
        width=size[0] if size is not None else None,
        height=size[1] if size is not None else None,
        nominal_frames_per_second=nominal_frames_per_second(session),
        candidate_pair=str(pair) if pair is not None else None,
        relay="relay" in (pair.local_type, pair.remote_type) if pair is not None else None,
        session_ready_seconds=gauge.ready_seconds,
        clock_bound_seconds=clock_bound,
        version=__version__,
    )


def nominal_frames_per_second(session: DesktopSession) -> float | None:
    """The rate that the desktop is set to, as it last said."""
    changed = session.messages.get("system:videoFramerate")
    said: Any = changed.argument if changed is not None else _setting(session, "framerate").get("default")
    try:
        return float(said)
    except (TypeError, ValueError):
        return None


def clock_bound_seconds(url: str, pair: CandidatePair | None) -> float | None:
    """0 when the desktop runs on this host, None when the two clocks were never compared. Asks the resolver."""
    if not is_here(urlsplit(url).hostname or ""):
        return None
    if pair is not None and not peer_is_here(pair.remote_address):
        return None
    return 0.0


def _setting(session: DesktopSession, name: str) -> dict[str, Any]:
    message = session.messages.get("server_settings")
    settings = message.data.get("settings") if message is not None and isinstance(message.data, dict) else None
    setting = settings.get(name) if isinstance(settings, dict) else None
    return setting if isinstance(setting, dict) else {}


def _text(value: object) -> str | None:
    return str(value) if value else None
