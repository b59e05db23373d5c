"""What a pass knows of a session's surroundings. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from vdi_operator.api.objects import Object
from vdi_operator.api.reasons import Reason
from vdi_operator.core.decision import Queue
from vdi_operator.settings import Settings

__all__ = ["ActivityFact", "CheckResult", "LimitFact", "NodeFact", "SlotFact", "World"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What the frame checker found at one pod of the session.

    :param pod_uid: at which pod.
    :param ok: a frame was decoded.
    :param left_unix_seconds: when the checker had left.
    :param unreachable: the checker itself did not answer.
    :param attempts: checks of this pod until now, this one included.
    """

    pod_uid: str
    ok: bool
    left_unix_seconds: float
    message: str = ""
    codec: str = ""
    encoder: str = ""
    hardware: bool | None = None
    transport: str = ""
    width: int = 0
    height: int = 0
    first_frame_seconds: float = 0.0
    unreachable: bool = False
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class ActivityFact:
    """Whether anybody is at a desktop, as looks at it have shown.

    :param pod_uid: of that desktop.
    :param active_unix_seconds: the last moment at which somebody was there, or nobody could say that nobody was: a
        desktop that did not answer, or had not been looked at before.
    :param looked_unix_seconds: of the last look that found nobody; before the other one: none did since.
    """

    pod_uid: str
    active_unix_seconds: float
    looked_unix_seconds: float


@dataclass(frozen=True, slots=True)
class NodeFact:
    """A node, where the operator may read nodes."""

    name: str
    ready: bool = True
    schedulable: bool = True


@dataclass(frozen=True, slots=True)
class SlotFact:
    """How a session stands for a place on a GPU.

    :param admitted: it has one, or may have one now.
    :param gpus: all that are known, None: nobody knows how many there are, so everybody is let in.
    :param taken, places: of places as large as this session's, how many are held or for those who stand before it and
        may come in now, and how many there are.
    :param position: among those who have to wait, from 1; 0: it does not have to.
    :param waiting: how many have to wait, this one included where it does.
    """

    admitted: bool
    gpus: int | None = None
    taken: int = 0
    places: int = 0
    position: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class LimitFact:
    """How a session stands against the limits on sessions.

    :param reason: of the limit for which it has to wait, None: for none.
    :param most: how many that one lets have a desktop at once.
    :param taken: how many have one, or wait for a GPU, or stand before it and are let in now.
    :param position: among those who wait for the same limit, from 1.
    :param waiting: how many wait for it, this one included.
    :param names: some of those who have one, where they are the same user's.
    """

    reason: Reason | None = None
    most: int = 0
    taken: int = 0
    position: int = 0
    waiting: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class World:
    """A session's children as they are, and everything else that a decision needs.

    Objects are whole documents as the API server has them, None where there is none.

    :param now: Unix seconds of this pass, by a clock that does not jump.
    :param seen_unix_seconds: when this process first saw the session's present wish (creation or resume).
    :param login: the Middleware that asks for the password where the desktop does not.
    :param auth, rtc: Secrets; their data counts.
    :param events: Events about pod and home, oldest first.
    :param node: the pod's node, or, without a pod, the home's.
    :param host_holder: another, older session that has this session's host, empty: none.
    :param home_holder: another session of the user whose pod has the home mounted, empty: none.
    :param relay_addresses: where coturn is, all known.
    :param turn_secret: what it shares, empty: unknown.
    :param spare_password: random; used where a password has to be made.
    :param check: the last check of this session.
    :param refusal: what the API server said when it refused the last change (403 of a quota or of Pod Security, 422 …).
    :param refused: the kind of what that change was to make or to repair.
    :param slot: None: its template has no capacity, so nobody counts; or it waits for a limit before.
    :param limit: None: there is none.
    :param home_line: where it stands, or would stand, among those who wait for the node of their home; None: its home
        is bound to no node that is known, or it has one.
    :param activity: what looks at its desktop have shown, None: nobody has looked yet, or nobody is to.
    :param wall_unix_seconds: as the clock on the wall has it, None: as ``now``.
    """

    now: float
    settings: Settings
    seen_unix_seconds: float
    pod: Object | None = None
    service: Object | None = None
    route: Object | None = None
    policy: Object | None = None
    login: Object | None = None
    auth: Object | None = None
    rtc: Object | None = None
    home: Object | None = None
    events: tuple[Object, ...] = ()
    node: NodeFact | None = None
    host_holder: str = ""
    home_holder: str = ""
    relay_addresses: tuple[str, ...] = ()
    turn_secret: str = field(default="", repr=False)
    spare_password: str = field(default="", repr=False)
    check: CheckResult | None = None
    refusal: str = ""
    refused: str = ""
    slot: SlotFact | None = None
    limit: LimitFact | None = None
    home_line: Queue | None = None
    activity: ActivityFact | None = None
    wall_unix_seconds: float | None = None

    @property
    def wall(self) -> float:
        """Unix seconds by which what other hosts compare with their own clocks is dated and judged."""
        return self.now if self.wall_unix_seconds is None else self.wall_unix_seconds
