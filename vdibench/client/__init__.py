"""How one desktop is watched: connection, frame assembly, meter, decoder, marker reader, input → samples."""

from vdibench.client.http import DesktopHttp, open_http
from vdibench.client.input import InputKind
from vdibench.client.peer import CandidatePair
from vdibench.client.session import DesktopSession, SessionOptions
from vdibench.client.sink import FrameRecord, InputRecord, NetworkRecord, SampleSink

__all__ = [
    "CandidatePair",
    "DesktopHttp",
    "DesktopSession",
    "FrameRecord",
    "InputKind",
    "InputRecord",
    "NetworkRecord",
    "SampleSink",
    "SessionOptions",
    "open_http",
]
