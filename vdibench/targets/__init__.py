"""Where desktops come from: a URL, or the lab on this machine."""

from vdibench.targets.address import TargetAddress, parse_target
from vdibench.targets.credentials import PASSWORD_VARIABLE, credentials
from vdibench.targets.opening import OpenTarget, Wanted, open_target

__all__ = [
    "PASSWORD_VARIABLE",
    "OpenTarget",
    "TargetAddress",
    "Wanted",
    "credentials",
    "open_target",
    "parse_target",
]
