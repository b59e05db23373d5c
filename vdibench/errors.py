"""The one exception tree. Every message names a cause and a remedy and fits on one line.

::

    VdibenchError                     exit 1   something failed that is ours or the machine's
    ├── UsageError                    exit 2   the caller asked for something that cannot be
    │   ├── ParameterError                     unknown, missing or out-of-range parameter
    │   ├── ObjectiveError                     an objective file that cannot be understood
    │   └── AuthenticationError                the server wants other credentials
    ├── TargetUnavailable             exit 98  nothing could be measured: there is no data
    │   ├── NotADesktop                        something answers, but it is not a known desktop
    │   ├── ProtocolViolation                  the server left the protocol
    │   └── StreamLost                         the stream ended or stalled while it was watched
    │       ├── Disconnected                   … because a connection broke, and nobody said why
    │       └── TakenOver                      … because another client has the desktop now
    ├── LabError                      exit 1   the lab could not be brought up or taken down
    ├── LoadError                     exit 1   the load generator itself failed
    │   ├── EngineLost                         the process that hosts a worker's sessions is gone
    │   ├── WorkerLost                         a Locust worker is gone
    │   └── MasterLost                         the Locust master is gone
    ├── NoData                        exit 98  stored runs do not hold what was asked of them
    ├── StoreError                    exit 1   the results folder cannot be read or written
    ├── RunInvalid                    exit 97  the numbers exist but must not be trusted
    └── EvidenceError                 exit 99  evidence of a chart cannot be made, or proves something else
"""

from __future__ import annotations

__all__ = [
    "AuthenticationError",
    "Disconnected",
    "EngineLost",
    "EvidenceError",
    "LabError",
    "LoadError",
    "MasterLost",
    "NoData",
    "NotADesktop",
    "ObjectiveError",
    "ParameterError",
    "ProtocolViolation",
    "RunInvalid",
    "StoreError",
    "StreamLost",
    "TakenOver",
    "TargetUnavailable",
    "UsageError",
    "VdibenchError",
    "WorkerLost",
]


def _one_line(text: str) -> str:
    """Without line breaks and control characters: a server's words must not steer a terminal."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


class VdibenchError(Exception):
    """Root of the tree.

    :param cause: what is wrong, as a clause without a full stop, naming the thing concerned.
    :param remedy: what the reader can do about it, as an imperative without a full stop.
    """

    exit_code = 1

    def __init__(self, cause: str, remedy: str = "") -> None:
        self.cause = _one_line(cause)
        self.remedy = _one_line(remedy)
        super().__init__(f"{self.cause}: {self.remedy}" if self.remedy else self.cause)

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows (IPython's hook): the one line; a stack of ours helps nobody there."""
        return [f"{type(self).__name__}: {self}"]


class UsageError(VdibenchError):
    """The caller asked for something that cannot be."""

    exit_code = 2


class ParameterError(UsageError):
    """Unknown, missing or out-of-range parameter."""


class ObjectiveError(UsageError):
    """An objective file that cannot be understood."""


class AuthenticationError(UsageError):
    """The server wants other credentials."""


class TargetUnavailable(VdibenchError):
    """Nothing could be measured: there is no data."""

    exit_code = 98


class NotADesktop(TargetUnavailable):
    """Something answers, but it is not a known desktop."""


class ProtocolViolation(TargetUnavailable):
    """The server left the protocol."""


class StreamLost(TargetUnavailable):
    """The stream ended or stalled while it was watched."""


class Disconnected(StreamLost):
    """A connection broke without a word of why; whoever can ask the desktop should."""


class TakenOver(StreamLost):
    """Another client has the desktop now; to take it back would start a fight."""


class LabError(VdibenchError):
    """The lab could not be brought up or taken down."""


class LoadError(VdibenchError):
    """The load generator itself failed."""


class EngineLost(LoadError):
    """The process that hosts a worker's sessions is gone."""


class WorkerLost(LoadError):
    """A Locust worker is gone."""


class MasterLost(LoadError):
    """The Locust master is gone."""


class NoData(VdibenchError):
    """Stored runs do not hold what was asked of them."""

    exit_code = 98


class StoreError(VdibenchError):
    """The results folder cannot be read or written."""


class RunInvalid(VdibenchError):
    """The numbers exist but must not be trusted."""

    exit_code = 97


class EvidenceError(VdibenchError):
    """Evidence of a chart cannot be made, is damaged, or is not of what it stands beside."""

    exit_code = 99
