"""The wire of Selkies desktops: sans-I/O codecs.

Nothing here opens a socket, sleeps or reads a clock: text and bytes go in, events and text come out. Today one
dialect is spoken, ``selkies-2-webrtc``; the others are recognised and named, so that nobody measures the wrong thing.
"""

from vdibench.selkies.control import (
    ControlMessage,
    Keysym,
    decode_control,
    key_down,
    key_heartbeat,
    key_up,
    pointer,
    pong,
    request_key_frame,
    resize_request,
    stats_subscription,
    wheel,
)
from vdibench.selkies.control_1 import resize_switch
from vdibench.selkies.detection import HEALTH_PATHS, SLOW_PATHS, Detection, Dialect, Probe, classify, next_path
from vdibench.selkies.ice_servers import IceServer, parse_rtc_configuration
from vdibench.selkies.keysyms import SHIFT, keysym_of, takes_shift
from vdibench.selkies.sdp import (
    Address,
    candidate_address,
    candidate_addresses,
    repair_offer,
    rewrite_candidate,
    rewrite_candidates,
    without_candidates,
)
from vdibench.selkies.signalling import (
    SIGNALLING_PATH,
    CandidateReceived,
    OfferReceived,
    PeerNotReady,
    Registered,
    Role,
    SessionGranted,
    Signalling,
    SignallingEvent,
    close_reason,
)
from vdibench.selkies.signalling_1 import (
    RTC_CONFIGURATION_PATH_1,
    SIGNALLING_PATH_1,
    ComplaintReceived,
    Leg,
    LegSignalling,
    leg_close_reason,
    leg_is_taken,
)
from vdibench.selkies.token import token_cookies, token_protocols

__all__ = [
    "HEALTH_PATHS",
    "RTC_CONFIGURATION_PATH_1",
    "SHIFT",
    "SIGNALLING_PATH",
    "SIGNALLING_PATH_1",
    "SLOW_PATHS",
    "Address",
    "CandidateReceived",
    "ComplaintReceived",
    "ControlMessage",
    "Detection",
    "Dialect",
    "IceServer",
    "Keysym",
    "Leg",
    "LegSignalling",
    "OfferReceived",
    "PeerNotReady",
    "Probe",
    "Registered",
    "Role",
    "SessionGranted",
    "Signalling",
    "SignallingEvent",
    "candidate_address",
    "candidate_addresses",
    "classify",
    "close_reason",
    "decode_control",
    "key_down",
    "key_heartbeat",
    "key_up",
    "keysym_of",
    "leg_close_reason",
    "leg_is_taken",
    "next_path",
    "parse_rtc_configuration",
    "pointer",
    "pong",
    "repair_offer",
    "request_key_frame",
    "resize_request",
    "resize_switch",
    "rewrite_candidate",
    "rewrite_candidates",
    "stats_subscription",
    "takes_shift",
    "token_cookies",
    "token_protocols",
    "wheel",
    "without_candidates",
]
