"""From what was seen of a session's objects to the phases of its start. Pure; instants are Unix seconds of our clock.

Stamps in the API are whole seconds of other clocks, so what counts is when a change reached us: a watch tells within
milliseconds. A step that nobody saw is unknown, and its time is in the next one that was seen: the phases always add up
to the whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["STEPS", "Observation", "Outlook", "Phases", "complaint", "in_order", "outlook", "session_phases"]

# In order. ``prepared``: the node has mounted the volumes and made the sandbox, so that only the image is missing.
STEPS = (
    "admitted",
    "home_bound",
    "scheduled",
    "prepared",
    "image",
    "container_started",
    "ready",
    "routed",
    "first_frame",
)

# Reasons for which a container waits and will go on to wait, until a person does something.
_HOPELESS = frozenset(
    {
        "ErrImageNeverPull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "CrashLoopBackOff",
    }
)


# Warnings that a good start brings too: a probe asks before anybody listens.
_PASSING = frozenset({"Unhealthy"})


@dataclass(frozen=True, slots=True)
class Observation:
    """An object as it was at an instant.

    :param unix_seconds: when it reached us.
    """

    unix_seconds: float
    one: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """``Pod``, ``PersistentVolumeClaim`` or ``Event``."""
        return str(self.one.get("kind", ""))

    @property
    def name(self) -> str:
        """Of the object; of an event, of the one that it is about."""
        if self.kind == "Event":
            return str(self.one.get("involvedObject", self.one.get("regarding", {})).get("name", ""))
        return str(self.one.get("metadata", {}).get("name", ""))


@dataclass(frozen=True, slots=True)
class Phases:
    """One start.

    :param begun_unix_seconds: when its first object was asked for.
    :param reached: instant of each step, None where it is unknown; in order, never backwards.
    """

    begun_unix_seconds: float
    reached: Mapping[str, float | None]

    @property
    def seconds(self) -> dict[str, float | None]:
        """How long each step took since the one before that is known."""
        before = self.begun_unix_seconds
        taken: dict[str, float | None] = {}
        for step, instant in self.reached.items():
            taken[step] = None if instant is None else instant - before
            before = before if instant is None else instant
        return taken

    @property
    def total_seconds(self) -> float:
        """From the beginning to the last step that is known."""
        return math.fsum(seconds for seconds in self.seconds.values() if seconds is not None)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a pod's latest state promises.

    :param ready: it serves.
    :param scheduled: it has a node.
    :param hopeless: it will not come up by itself.
    :param reason: why it is not ready, as a sentence without a full stop; empty where nothing says.
    """

    ready: bool = False
    scheduled: bool = False
    hopeless: bool = False
    reason: str = ""


def session_phases(
    pod: str,
    claim: str,
    observations: Iterable[Observation],
    *,
    begun_unix_seconds: float,
    admitted_unix_seconds: float | None = None,
    routed_unix_seconds: float | None = None,
    first_frame_unix_seconds: float | None = None,
) -> Phases:
    """The phases of one session's start.

    :param pod: name of its pod; ``claim`` of its home.
    :param observations: of all sessions, in any order.
    :param admitted_unix_seconds: when the API server had taken its pod.
    :param routed_unix_seconds: when its page first came through the proxy.
    :param first_frame_unix_seconds: when the client had decoded its first frame.
    """
    seen = sorted((one for one in observations if one.name in (pod, claim)), key=lambda one: one.unix_seconds)
    pods = [one for one in seen if one.kind == "Pod" and one.name == pod]
    events = [one for one in seen if one.kind == "Event" and one.name == pod]
    pulling, pulled = _event(events, "Pulling"), _event(events, "Pulled")
    found: dict[str, float | None] = {
        "admitted": admitted_unix_seconds,
        "home_bound": _first(
            one
            for one in seen
            if one.kind == "PersistentVolumeClaim" and one.one.get("status", {}).get("phase") == "Bound"
        ),
        "scheduled": _first(one for one in pods if outlook(one.one).scheduled),
        # An image that is there is found the moment it is looked for.
        "prepared": pulled if pulling is None else pulling,
        "image": pulled,
        "container_started": _first(one for one in pods if _running(one.one)),
        "ready": _first(one for one in pods if outlook(one.one).ready),
        "routed": routed_unix_seconds,
        "first_frame": first_frame_unix_seconds,
    }
    home, taken = found["home_bound"], found["admitted"]
    if home is not None and taken is not None:
        found["home_bound"] = max(home, taken)  # a home that was there before its pod takes no time
    return Phases(begun_unix_seconds, in_order(begun_unix_seconds, found))


def outlook(pod: Mapping[str, Any]) -> Outlook:
    """What the state of a pod says of its future."""
    conditions = {one["type"]: one for one in _status(pod).get("conditions", ())}
    ready = conditions.get("Ready", {}).get("status") == "True"
    placed = conditions.get("PodScheduled", {})
    scheduled = placed.get("status") == "True" or bool(pod.get("spec", {}).get("nodeName"))
    if ready:
        return Outlook(ready=True, scheduled=True)
    if not scheduled:
        return Outlook(reason=_sentence(str(placed.get("message", ""))))
    if _status(pod).get("phase") in ("Failed", "Succeeded"):
        return Outlook(scheduled=True, hopeless=True, reason=_ended(pod) or "its pod has ended")
    for container in _containers(pod):
        waiting = container.get("state", {}).get("waiting", {})
        reason = str(waiting.get("reason", ""))
        if reason in _HOPELESS or "message" in waiting:
            said = ": ".join(filter(None, (reason, _sentence(str(waiting.get("message", ""))))))
            ended = _ended(pod)
            text = f"{said} ({ended})" if ended else said
            return Outlook(scheduled=True, hopeless=reason in _HOPELESS, reason=text)
    return Outlook(scheduled=True)


def complaint(names: Iterable[str], observations: Iterable[Observation]) -> str:
    """The latest warning about one of these objects, as a sentence without a full stop; empty where there is none.

    A pod whose home cannot be made says nothing itself: only an event of the claim does.
    """
    wanted, said = frozenset(names), ""
    for seen in observations:
        if seen.kind != "Event" or seen.name not in wanted or seen.one.get("type") != "Warning":
            continue
        if seen.one.get("reason") not in _PASSING:
            said = f"{seen.one.get('reason', '')}: {_sentence(str(seen.one.get('message', '')))}"
    return said


def in_order(begun: float, found: Mapping[str, float | None]) -> dict[str, float | None]:
    """The instants in order: what was told late cannot be later than the step that came after it.

    :param found: every step in its order, None where nobody saw it.
    """
    reached: dict[str, float | None] = {}
    ceiling = math.inf
    for step in reversed(tuple(found)):
        instant = found[step]
        if instant is not None:
            ceiling = min(ceiling, max(instant, begun))
            instant = ceiling
        reached[step] = instant
    return {step: reached[step] for step in found}


def _first(found: Iterable[Observation]) -> float | None:
    return next((one.unix_seconds for one in found), None)


def _event(events: Sequence[Observation], reason: str) -> float | None:
    return _first(one for one in events if one.one.get("reason") == reason)


def _status(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = pod.get("status", {})
    return found


def _containers(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    status = _status(pod)
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]


def _running(pod: Mapping[str, Any]) -> bool:
    own = _status(pod).get("containerStatuses", ())
    return bool(own) and all("running" in one.get("state", {}) for one in own)


def _ended(pod: Mapping[str, Any]) -> str:
    """How its container ended, where it did."""
    for container in _containers(pod):
        for state in ("state", "lastState"):
            ended = container.get(state, {}).get("terminated")
            if ended:
                said = str(ended.get("reason", "")) or "ended"
                return f"{container.get('name', 'container')}: {said}, exit status {ended.get('exitCode', '?')}"
    return ""


def _sentence(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
