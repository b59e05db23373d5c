"""Checks of a host before anything is measured on it, each with finding, evidence and remedy."""

from vdibench.preflight.contexts import HostContext, TurnServer
from vdibench.preflight.host_checks import HOST_CHECKS, HostCheck, run_host_checks

__all__ = ["HOST_CHECKS", "HostCheck", "HostContext", "TurnServer", "run_host_checks"]
