"""What earlier passes wrote down in the status, and decisions rest on. Pure.

A status is written after the changes of a pass, and a write may be lost: what is here is found again from the world,
or costs no more than one more try.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from vdi_operator.api.objects import Object
from vdi_operator.api.reasons import Reason
from vdi_operator.core.instants import moment, number, unix
from vdi_operator.core.world import CheckResult

__all__ = ["Failure", "Idle", "Record", "Restart", "Stream"]

_Kind = TypeVar("_Kind", str, int, bool)
_REASONS = frozenset(reason.value for reason in Reason)


@dataclass(frozen=True, slots=True)
class Restart:
    """The last desktop of this start that ended by itself, or was refused.

    :param pod_uid: which it was, empty: none was made.
    :param released: the next one was asked for since.
    """

    reason: Reason
    message: str
    at_unix_seconds: float
    pod_uid: str = ""
    released: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the start was given up.

    :param generation: of the session that failed: another one is another wish.
    :param template: uid and generation of what it was made from: another one may be the remedy.
    """

    reason: Reason
    message: str
    at_unix_seconds: float
    generation: int
    template: str = ""


@dataclass(frozen=True, slots=True)
class Idle:
    """Why a session rests although its user wants it to run: nobody was at its desktop.

    :param since_unix_seconds: since when.
    :param generation, wake: of the session that was stopped: another one of either is a wish to have it back.
    """

    at_unix_seconds: float
    since_unix_seconds: float
    generation: int
    wake: str = ""


@dataclass(frozen=True, slots=True)
class Stream:
    """What the checker saw, and at which pod: after a restart of the operator no desktop in use is checked again."""

    pod_uid: str
    left_unix_seconds: float
    codec: str = ""
    encoder: str = ""
    hardware: bool | None = None
    transport: str = ""
    width: int = 0
    height: int = 0
    first_frame_seconds: float = 0.0

    @classmethod
    def seen(cls, check: CheckResult) -> Stream:
        """Of a check that succeeded."""
        return cls(
            pod_uid=check.pod_uid,
            left_unix_seconds=check.left_unix_seconds,
            # No longer than the schema lets them be: a status that is refused would say nothing at all.
            codec=check.codec[:64],
            encoder=check.encoder[:64],
            hardware=check.hardware,
            transport=check.transport[:128],
            width=check.width,
            height=check.height,
            first_frame_seconds=check.first_frame_seconds,
        )

    def __str__(self) -> str:
        picture = f"{self.width}x{self.height}" if self.width and self.height else ""
        return " ".join(filter(None, (self.codec or "a frame", picture, self.encoder and f"by {self.encoder}")))


@dataclass(frozen=True, slots=True)
class Record:
    """The part of a stored status that decisions rest on. Instants are Unix seconds.

    :param started: when the present start was wished for, None: none is on its way or done.
    :param milestones: when it came how far.
    :param attempts: desktops of this start that ended by themselves.
    :param pod_uid: the pod that was relied on.
    :param waited: when a wait for others ended, which no deadline counts.
    :param warned_of: the end of life that was warned of.
    :param active: when somebody was last at the desktop, as far as it was written down.
    :param idle: why the session rests, None: not because nobody was at it.
    :param warned_idle: the stop for want of activity that was warned of.
    :param conditions: by type, as stored.
    """

    started: float | None = None
    milestones: Mapping[str, float] = field(default_factory=dict)
    attempts: int = 0
    restart: Restart | None = None
    failure: Failure | None = None
    pod_uid: str = ""
    stream: Stream | None = None
    waited: float | None = None
    warned_of: float | None = None
    active: float | None = None
    idle: Idle | None = None
    warned_idle: float | None = None
    conditions: Mapping[str, Object] = field(default_factory=dict)

    @classmethod
    def of(cls, status: Mapping[str, Any]) -> Record:
        """From a stored status; what somebody else wrote into it and makes no sense counts as absent."""
        return cls(
            started=unix(status.get("startedAt")),
            milestones=dict(_instants(status.get("milestones"))),
            attempts=_typed(status.get("attempts"), int, 0),
            restart=_restart(status.get("restart")),
            failure=_failure(status.get("failure")),
            pod_uid=_typed(status.get("podUID"), str, ""),
            stream=_stream(status.get("stream")),
            waited=unix(status.get("waitedUntil")),
            warned_of=unix(status.get("warnedOfEnd")),
            active=unix(status.get("lastActivityTime")),
            idle=_idle(status.get("idle")),
            warned_idle=unix(status.get("warnedOfIdle")),
            conditions={str(one["type"]): one for one in _list(status.get("conditions")) if "type" in one},
        )

    def reason(self, kind: str) -> str:
        """Reason of a stored condition, empty: there is none."""
        return str(self.conditions.get(kind, {}).get("reason", ""))

    def waits_for(self, kind: str) -> str:
        """Reason of a stored condition that does not hold, empty: there is none, or it holds."""
        return self.reason(kind) if self.conditions.get(kind, {}).get("status") == "False" else ""

    def anew(self, begin: float) -> Record:
        """Of a start that begins at this instant."""
        return replace(
            self,
            started=begin,
            milestones={},
            attempts=0,
            restart=None,
            failure=None,
            pod_uid="",
            stream=None,
            waited=None,
            active=None,
            idle=None,
            warned_idle=None,
        )

    def at_rest(self) -> Record:
        """Of a session that no start belongs to."""
        return replace(self.anew(0.0), started=None, active=self.active)

    def documents(self) -> Object:
        """Fields of the status but for milestones and conditions; what is not there has no field."""
        found: Object = {}
        if self.started is not None:
            found["startedAt"] = moment(self.started)
        if self.attempts:
            found["attempts"] = self.attempts
        if self.restart is not None:
            found["restart"] = {
                "reason": self.restart.reason.value,
                "message": self.restart.message,
                "at": moment(self.restart.at_unix_seconds),
                **({"podUID": self.restart.pod_uid} if self.restart.pod_uid else {}),
                **({"released": True} if self.restart.released else {}),
            }
        if self.failure is not None:
            found["failure"] = {
                "reason": self.failure.reason.value,
                "message": self.failure.message,
                "at": moment(self.failure.at_unix_seconds),
                "generation": self.failure.generation,
                **({"template": self.failure.template} if self.failure.template else {}),
            }
        if self.pod_uid:
            found["podUID"] = self.pod_uid
        if self.stream is not None:
            found["stream"] = _of_stream(self.stream)
        if self.waited is not None:
            found["waitedUntil"] = moment(self.waited)
        if self.warned_of is not None:
            found["warnedOfEnd"] = moment(self.warned_of)
        found |= _of_idle(self)
        return found


def _of_stream(stream: Stream) -> Object:
    found: Object = {"podUID": stream.pod_uid, "leftAt": moment(stream.left_unix_seconds)}
    texts = {"codec": stream.codec, "encoder": stream.encoder, "transport": stream.transport}
    found |= {name: value for name, value in texts.items() if value}
    if stream.hardware is not None:
        found["hardware"] = stream.hardware
    found |= {name: value for name, value in {"width": stream.width, "height": stream.height}.items() if value}
    # To the millisecond: it is a figure for people.
    found["firstFrameSeconds"] = number(round(stream.first_frame_seconds * 1000) * 1000)
    return found


def _of_idle(record: Record) -> Object:
    found: Object = {}
    if record.active is not None:
        found["lastActivityTime"] = moment(record.active)
    if record.warned_idle is not None:
        found["warnedOfIdle"] = moment(record.warned_idle)
    if record.idle is not None:
        found["idle"] = {
            "at": moment(record.idle.at_unix_seconds),
            "since": moment(record.idle.since_unix_seconds),
            "generation": record.idle.generation,
            **({"wake": record.idle.wake} if record.idle.wake else {}),
        }
    return found


def _instants(value: object) -> Iterable[tuple[str, float]]:
    for name, text in (value if isinstance(value, dict) else {}).items():
        at = unix(text)
        if at is not None:
            yield str(name), at


def _restart(value: object) -> Restart | None:
    found = _reasoned(value)
    if found is None:
        return None
    document, reason, at = found
    return Restart(
        reason,
        _typed(document.get("message"), str, ""),
        at,
        _typed(document.get("podUID"), str, ""),
        _typed(document.get("released"), bool, False),
    )


def _failure(value: object) -> Failure | None:
    found = _reasoned(value)
    if found is None:
        return None
    document, reason, at = found
    return Failure(
        reason,
        _typed(document.get("message"), str, ""),
        at,
        _typed(document.get("generation"), int, 0),
        _typed(document.get("template"), str, ""),
    )


def _reasoned(value: object) -> tuple[Mapping[str, Any], Reason, float] | None:
    if not isinstance(value, dict):
        return None
    at, reason = unix(value.get("at")), value.get("reason")
    if at is None or not isinstance(reason, str) or reason not in _REASONS:
        return None
    return value, Reason(reason), at


def _idle(value: object) -> Idle | None:
    if not isinstance(value, dict):
        return None
    at, since = unix(value.get("at")), unix(value.get("since"))
    if at is None or since is None:
        return None
    return Idle(at, since, _typed(value.get("generation"), int, 0), _typed(value.get("wake"), str, ""))


def _stream(value: object) -> Stream | None:
    if not isinstance(value, dict):
        return None
    left, hardware, first = unix(value.get("leftAt")), value.get("hardware"), value.get("firstFrameSeconds")
    pod_uid = _typed(value.get("podUID"), str, "")
    if left is None or not pod_uid:
        return None
    return Stream(
        pod_uid=pod_uid,
        left_unix_seconds=left,
        codec=_typed(value.get("codec"), str, ""),
        encoder=_typed(value.get("encoder"), str, ""),
        hardware=hardware if isinstance(hardware, bool) else None,
        transport=_typed(value.get("transport"), str, ""),
        width=_typed(value.get("width"), int, 0),
        height=_typed(value.get("height"), int, 0),
        first_frame_seconds=float(first) if isinstance(first, int | float) else 0.0,
    )


def _list(value: object) -> list[Object]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _typed(value: object, kind: type[_Kind], default: _Kind) -> _Kind:
    return value if isinstance(value, kind) else default
