"""The sessions as they are: fed by kopf's events, corrected by a list now and then. Asyncio.

kopf tells of what is deleted while it watches; what is deleted while it reconnects after a version that was too old it
does not. A list a minute finds that, too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from vdi_operator.api.objects import Object
from vdi_operator.api.reasons import FAILURES, ConditionType, Reason
from vdi_operator.api.session import OperatingMode
from vdi_operator.children import names
from vdi_operator.children.kinds import KINDS
from vdi_operator.cluster.kube import Client
from vdi_operator.cluster.stores import Entry, Store

__all__ = ["Known", "Sessions", "State"]

# Beside what was given up.
_RESTS = frozenset({Reason.IDLE, Reason.EXPIRED})


class State(StrEnum):
    """How a session is, for counting them."""

    STARTING = "starting"
    READY = "ready"
    SUSPENDED = "suspended"
    IDLE = "idle"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Known:
    """What sessions are looked for by; a document that is not as the schema wants it leaves a part empty.

    :param host: first label of the host.
    :param home: claim of the user's own home, whichever one the session wants.
    :param passed: its present generation had a pass already.
    :param generation: of its spec.
    :param rests: its last pass left it without a desktop and wanting none, although its user wants it to run.
    :param order: who has a shared host: whoever was admitted, then the older one. Creation times have whole seconds.
    """

    uid: str
    user: str
    host: str
    home: str
    template: str
    mode: str
    state: State
    passed: bool
    order: tuple[bool, str, str]
    generation: int = 0
    rests: bool = False


class Sessions(Store[Known]):
    """All sessions, and who shares what.

    :param wake: has a pass of a session: its name, whether it is urgent.
    """

    def __init__(self, wake: Callable[[str, bool], None]) -> None:
        super().__init__(KINDS["VDISession"], _known, self._wake_others)
        self._wake = wake
        # Sessions that were let in, by uid: their statuses say so a little later.
        self._admitted: dict[str, str] = {}
        self._users: defaultdict[str, set[str]] = defaultdict(set)
        self._hosts: defaultdict[str, set[str]] = defaultdict(set)
        self._homes: defaultdict[str, set[str]] = defaultdict(set)
        self._templates: defaultdict[str, set[str]] = defaultdict(set)

    def of_user(self, user: str) -> set[str]:
        """Names of a user's sessions."""
        return set(self._users.get(user, ()))

    def of_home(self, home: str) -> set[str]:
        """Names of the sessions whose home is this claim, or is the temporary one or the own one beside it."""
        return set(self._homes.get(names.own_home(home), ()))

    def of_template(self, template: str) -> set[str]:
        """Names of a template's sessions."""
        return set(self._templates.get(template, ()))

    def host_holder(self, name: str) -> str:
        """The oldest session with the host of this one, where that is another one; else empty."""
        entry = self.entry(name)
        if entry is None:
            return ""
        rivals = [(self._order(rival, other.facts), rival) for rival, other in self._sharing(entry.facts.host)]
        oldest = min(rivals, default=(entry.facts.order, name))[1]
        return "" if oldest == name else oldest

    def admit(self, name: str, uid: str, *, admitted: bool) -> None:
        """A session was let in, or is not any more; its status may be written later."""
        if admitted:
            self._admitted[name] = uid
        else:
            self._admitted.pop(name, None)

    async def look(self, client: Client, name: str) -> None:
        """Have one as the API server has it now: by a list, which the role allows, for the role may not get one.

        :raises ApiError: it cannot be listed.
        """
        known = self.entry(name)
        found = [one async for page, _ in client.pages(self.kind, fields=f"metadata.name={name}") for one in page]
        for one in found:
            self.put(one, quiet=True)
        if not found and known is not None:
            self.drop(name, known.uid)

    def states(self) -> Counter[State]:
        """How many are how."""
        return Counter(known.state for _, known in self.facts())

    def _sharing(self, host: str) -> list[tuple[str, Entry[Known]]]:
        found = ((name, self.entry(name)) for name in self._hosts.get(host, ()))
        return [(name, entry) for name, entry in found if entry is not None]

    def _order(self, name: str, known: Known) -> tuple[bool, str, str]:
        return (known.order[0] and self._admitted.get(name) != known.uid, *known.order[1:])

    def _expected(self, before: Entry[Known] | None, after: Known) -> bool:
        """Own requests write a status, and nothing else of a session."""
        return before is not None and (before.uid, before.facts.generation) == (after.uid, after.generation)

    def _note(self, name: str, before: Known | None, after: Known | None, quiet: bool) -> None:
        if after is None:
            self._admitted.pop(name, None)
        if before is not None:
            for index, key in self._places(before):
                index[key].discard(name)
                if not index[key]:
                    del index[key]
        if after is not None:
            for index, key in self._places(after):
                index[key].add(name)
        super()._note(name, before, after, quiet)

    def _places(self, known: Known) -> list[tuple[defaultdict[str, set[str]], str]]:
        return [
            (self._users, known.user),
            (self._hosts, known.host),
            (self._homes, known.home),
            (self._templates, known.template),
        ]

    def _wake_others(self, name: str, before: Known | None, after: Known | None) -> None:
        """A session's own pass, and passes of those that waited for what it had."""
        self._wake(name, after is not None and not after.passed)
        if before is None or (after is not None and after.uid == before.uid and after.mode == before.mode):
            return
        for other in self.of_user(before.user) | set(self._hosts.get(before.host, ())):
            if other != name:
                self._wake(other, False)


def _known(one: Object) -> Known:
    metadata, spec, status = one["metadata"], one.get("spec") or {}, one.get("status") or {}
    user, mode = str(spec.get("user", "")), str(spec.get("operatingMode", OperatingMode.RUNNING))
    return Known(
        uid=str(metadata.get("uid", "")),
        user=user,
        host=str(spec.get("host") or metadata["name"]),
        home=names.home_name(user),
        template=str((spec.get("templateRef") or {}).get("name", "")),
        mode=mode,
        state=_state(mode, status),
        passed=status.get("observedGeneration") == metadata.get("generation"),
        order=(
            _condition(status, ConditionType.ADMITTED).get("status") != "True",
            str(metadata.get("creationTimestamp", "")),
            str(metadata["name"]),
        ),
        generation=int(metadata.get("generation") or 0),
        rests="failure" in status or _condition(status, ConditionType.READY).get("reason") in _RESTS,
    )


def _state(mode: str, status: Object) -> State:
    if mode == OperatingMode.SUSPENDED:
        return State.SUSPENDED
    ready = _condition(status, ConditionType.READY)
    if ready.get("status") == "True":
        return State.READY
    if ready.get("reason") == Reason.IDLE:
        return State.IDLE
    return State.FAILED if ready.get("reason") in FAILURES else State.STARTING


def _condition(status: Object, wanted: ConditionType) -> Object:
    found: list[Object] = [one for one in status.get("conditions") or () if one.get("type") == wanted]
    return found[0] if found else {}
