"""How one desktop is watched: connection, frame assembly, meter, decoder, marker reader, input → samples."""

from vdibench.client.connection import CandidatePair, Counters
from vdibench.client.http import DesktopHttp, open_http
from vdibench.client.input import InputKind
from vdibench.client.mode import Mode
from vdibench.client.options import SessionOptions
from vdibench.client.route import Route
from vdibench.client.session import DesktopSession
from vdibench.client.sink import FrameRecord, InputRecord, NetworkRecord, SampleSink

__all__ = [
    "CandidatePair",
    "Counters",
    "DesktopHttp",
    "DesktopSession",
    "FrameRecord",
    "InputKind",
    "InputRecord",
    "Mode",
    "NetworkRecord",
    "Route",
    "SampleSink",
    "SessionOptions",
    "open_http",
]
