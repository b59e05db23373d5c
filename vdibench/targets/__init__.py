"""Where desktops come from: a URL, or the lab on this machine."""

from vdibench.targets.address import FORMS, TargetAddress, parse_target
from vdibench.targets.clock import UNKNOWN_CLOCK_SECONDS, clock_bound_seconds, is_here, peer_is_here
from vdibench.targets.credentials import PASSWORD_VARIABLE, TOKEN_VARIABLE, credentials, password_from, session_token
from vdibench.targets.opening import OpenTarget, Wanted, open_target

__all__ = [
    "FORMS",
    "PASSWORD_VARIABLE",
    "TOKEN_VARIABLE",
    "UNKNOWN_CLOCK_SECONDS",
    "OpenTarget",
    "TargetAddress",
    "Wanted",
    "clock_bound_seconds",
    "credentials",
    "is_here",
    "open_target",
    "parse_target",
    "password_from",
    "peer_is_here",
    "session_token",
]
