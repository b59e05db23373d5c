"""What a pass decides. Pure values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from vdi_operator.api.objects import Object, Ref
from vdi_operator.api.reasons import Reason

__all__ = ["Blocked", "Change", "CheckWanted", "Decision", "Follow", "Notice", "Place", "Queue", "Verb"]


class Verb(StrEnum):
    """How a change is made."""

    CREATE = "create"  # POST
    APPLY = "apply"  # server-side apply, forced, field manager "vdi-operator"
    MERGE = "merge"  # merge patch that takes away what others added
    DELETE = "delete"  # with the uid as precondition


class Place(StrEnum):
    """What a session has, where somebody counts: of its user's limit, then of the namespace's, then of the GPUs.

    Whoever waits for one of them has what comes before it.
    """

    NONE = "none"  # it wants none, or cannot have a desktop anyway
    USER = "user"  # it waits for another one of its user's
    NAMESPACE = "namespace"  # it waits for another one of the namespace's
    WAITING = "waiting"  # for a GPU
    HELD = "held"  # from when it was let in, before there is a pod, and between two pods of a start


@dataclass(frozen=True, slots=True)
class Queue:
    """Where a session stands among those who wait for the same.

    :param position: from 1.
    :param waiting: how many there are, this one included.
    """

    position: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why nothing is made.

    :param ends: what runs has to end, too; else it goes on.
    :param queue: where it stands, where others wait for the same.
    """

    reason: Reason
    message: str
    ends: bool = False
    queue: Queue | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One request to the API server.

    :param body: of CREATE, APPLY and MERGE.
    :param uid: of DELETE: only that one.
    """

    verb: Verb
    ref: Ref
    body: Object = field(default_factory=dict, repr=False)
    uid: str = ""


@dataclass(frozen=True, slots=True)
class CheckWanted:
    """Ask the checker for a frame of this pod."""

    pod_uid: str
    host: str


@dataclass(frozen=True, slots=True)
class Follow:
    """Look now and then whether this pod's desktop has a client.

    :param after_unix_seconds: not before: the checker was still there.
    """

    pod_uid: str
    after_unix_seconds: float


@dataclass(frozen=True, slots=True)
class Notice:
    """An Event about the session."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What ought to be.

    :param objects: children that shall exist, whole, in the order of creation: the pod last.
    :param absent: children that shall not exist.
    :param status: the whole status.
    :param look_again_seconds: until time alone changes something, None: never.
    :param follow: whose clients are to be looked for from now on, None: nobody's.
    :param failure: counted once when it comes.
    :param place: to be kept before anybody else is decided on.
    :param home_node: for whose GPUs its pod waits, since its home is there; empty: for none's.
    :param tied_node: its pod waits until this node takes pods again, since its home is there; empty: for none.
    """

    objects: tuple[Object, ...] = ()
    absent: tuple[Ref, ...] = ()
    status: Object = field(default_factory=dict)
    look_again_seconds: float | None = None
    check: CheckWanted | None = None
    follow: Follow | None = None
    notices: tuple[Notice, ...] = ()
    failure: Reason | None = None
    place: Place = Place.NONE
    home_node: str = ""
    tied_node: str = ""
