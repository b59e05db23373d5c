"""The connection of each dialect. Imports one only when a desktop speaks it."""

from __future__ import annotations

from vdibench.client.connection import Connection, ConnectionObserver
from vdibench.client.options import SessionOptions
from vdibench.records import Desktop
from vdibench.selkies import Dialect

__all__ = ["connection_for"]


def connection_for(
    dialect: Dialect, desktop: Desktop, options: SessionOptions, observer: ConnectionObserver
) -> Connection:
    """A connection that is not open yet."""
    if dialect is Dialect.SELKIES_2_WEBSOCKET:
        from vdibench.client.websocket import WebSocketConnection

        return WebSocketConnection(desktop, options, observer)
    if dialect is Dialect.SELKIES_1_WEBRTC:
        from vdibench.client.webrtc1 import LegacyWebRtcConnection

        return LegacyWebRtcConnection(desktop, options, observer)
    from vdibench.client.webrtc import WebRtcConnection

    return WebRtcConnection(desktop, options, observer)
