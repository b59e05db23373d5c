"""The ledger of limits, of places on GPUs, and of homes' nodes, kept for all workers. Asyncio, no I/O.

Passes run at the same time and end when they end, so each asks and has its answer written down without a pause in
between. Pods that are there hold their places whatever is written: after a restart they are what is known, and a pod
that goes holds its place until it is gone, also where its session is gone and another one has its name. Sessions that
nobody has had a pass of yet stand in line from when they are heard of, so that a younger one whose pass comes first
does not overtake them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction

from vdi_operator.api.objects import Object
from vdi_operator.api.reasons import Reason
from vdi_operator.api.session import OperatingMode, Session
from vdi_operator.api.template import Template
from vdi_operator.children import names
from vdi_operator.cluster.caches import Caches
from vdi_operator.cluster.desktops import PodFacts
from vdi_operator.cluster.queue import WorkQueue
from vdi_operator.cluster.sessions import Known
from vdi_operator.core import homes, pods
from vdi_operator.core.decision import Decision, Place, Queue
from vdi_operator.core.instants import unix
from vdi_operator.core.limits import Allowance
from vdi_operator.core.line import TOLD_RATE, Claim
from vdi_operator.core.slots import Book
from vdi_operator.core.world import LimitFact, SlotFact, World
from vdi_operator.settings import Settings

__all__ = ["Slots"]

# Before those who still wait are told their new positions.
_TOLD_SECONDS = 5.0


class Slots:
    """Who has a place, and who waits. It wakes who is next when a place is free.

    :param caches: filled before the first question.
    """

    def __init__(self, settings: Settings, caches: Caches, queue: WorkQueue) -> None:
        self._settings = settings
        self._caches = caches
        self._queue = queue
        # With a number of the site's own nobody knows where those GPUs are.
        self._book = Book(self._share, lambda: () if settings.gpus else caches.shut)
        self._users = Allowance()
        # Of the namespace's limit every session has one part.
        self._namespace = Book(lambda _: Fraction(1))
        self._homes = homes.Waiters()
        # A template that is deleted or broken while its sessions run: they hold what they held.
        self._shares: dict[str, Fraction] = {}
        # Session -> uid of the one that has, or waits for, what stands by that name.
        self._owners: dict[str, str] = {}
        # Names whose former sessions' pods hold places until they are gone.
        self._ending: set[str] = set()
        # Session whose pod can go nowhere else -> its home's node.
        self._tied: dict[str, str] = {}
        self._begun = False
        caches.gpus_changed = self._moved
        caches.session_changed = self._heard

    def gpus(self) -> int | None:
        """How many there are, None: nobody knows."""
        if self._settings.gpus:
            return self._settings.gpus
        return self._caches.gpus() if self._settings.read_nodes else None

    def known(self) -> float:
        """How many GPUs there are, for the metrics: NaN where nobody knows."""
        gpus = self.gpus()
        return float("nan") if gpus is None else float(gpus)

    def free(self) -> Fraction | None:
        """Parts of GPUs that nobody holds or waits for, None: nobody knows how many there are."""
        gpus = self.gpus()
        if gpus is None:
            return None
        self._begin()
        return max(Fraction(0), gpus - self._book.counted() - self._book.wanted())

    def held(self) -> float:
        """Parts of GPUs that sessions hold."""
        return float(self._book.held())

    def waiting(self) -> int:
        """Sessions in line for a GPU."""
        return self._book.waiting()

    def queues(self) -> Mapping[Reason, int]:
        """Sessions that wait for others, by reason."""
        return {
            Reason.USER_LIMIT_REACHED: self._users.waiting(),
            Reason.NAMESPACE_LIMIT_REACHED: self._namespace.waiting(),
            Reason.CAPACITY_REACHED: self._book.waiting(),
            Reason.HOME_NODE_FULL: len(self._homes),
        }

    def ask(self, session: Session, template: Template | None, world: World) -> World:
        """The world, with how a session stands. What follows from it is settled before anything is awaited."""
        world = replace(world, home_line=self._home_line(session, world))
        self._begin()
        self._tell_apart(session.name, session.uid)
        if template is None:
            return world
        claim = self._claim(session)
        if self._there(session):
            self._hold(claim, session.uid)
        limit = self._limit(claim)
        if limit is not None and limit.reason is not None:
            return replace(world, limit=limit)
        return replace(world, limit=limit, slot=self._slot(claim, template))

    def settle(self, session: Session, decision: Decision, world: World) -> None:
        """Write down what was decided, before anybody else asks."""
        self._begin()
        claim, place = self._claim(session), decision.place
        if decision.tied_node:
            self._tied[session.name] = decision.tied_node
        else:
            self._tied.pop(session.name, None)
        if place is Place.HELD or self._there(session):
            self._hold(claim, session.uid)
        else:
            self._stand(claim, session.uid, place)
        if decision.home_node:
            self._tell_later(self._homes.wait(decision.home_node, session.name, _made(world.pod)))
        else:
            self._tell_later(self._homes.leave(session.name))

    def forget(self, name: str) -> None:
        """A session is gone. Its pod goes in its own time, and its end asks for a pass of that name again."""
        self._tell_later(self._homes.leave(name))
        self._tell_apart(name, "")
        self._tied.pop(name, None)
        self._leave(name)

    def give_way(self, name: str) -> None:
        """A session of which no pass succeeds must not keep those behind it waiting; what it holds it keeps."""
        if self._users.waits(name):
            self._user_moved(self._users.leave(name))
        if self._namespace.waits(name) and self._namespace.leave(name):
            self._namespace_moved()
        if self._book.waits(name) and self._book.leave(name):
            self._moved()

    # what a session holds, and what it stands in line for

    def _limit(self, claim: Claim) -> LimitFact | None:
        per_user, per_namespace = self._settings.sessions_per_user, self._settings.sessions_per_namespace
        if not per_user and not per_namespace:
            return None
        found = self._users.look(claim, per_user) if per_user else LimitFact()
        if found.reason is not None or not per_namespace:
            return found
        slot = self._namespace.look(claim, per_namespace)
        if slot.admitted:
            return found
        reason = Reason.NAMESPACE_LIMIT_REACHED
        return LimitFact(reason, per_namespace, slot.taken, slot.position, slot.waiting)

    def _slot(self, claim: Claim, template: Template) -> SlotFact | None:
        if template.gpu is None or template.sessions_per_gpu is None:
            return None
        gpus = self.gpus()
        return SlotFact(admitted=True) if gpus is None else self._book.look(claim, gpus)

    def _home_line(self, session: Session, world: World) -> Queue | None:
        at = homes.node(world.home)
        if not at or world.pod is None or pods.node(world.pod):
            return None
        return self._homes.look(at, session.name, _made(world.pod))

    def _hold(self, claim: Claim, uid: str) -> None:
        """It has all that is counted, its part of a GPU where its pod is or has to be."""
        self._owners[claim.name] = uid
        if self._settings.sessions_per_user:
            self._users.hold(claim)
        if self._settings.sessions_per_namespace and self._namespace.hold(claim):
            self._namespace_moved()
        counts = bool(self._share(claim.template))
        if self._book.hold(claim, self._at(claim.name, uid)) if counts else self._book.leave(claim.name):
            self._moved()

    def _stand(self, claim: Claim, uid: str, place: Place) -> None:
        """It waits at one of the doors, and has what is before that one."""
        if place is Place.NONE:
            self._leave(claim.name)
            return
        self._owners[claim.name] = uid
        if self._settings.sessions_per_user:
            if place is Place.USER:
                self._user_moved(self._users.wait(claim))
            else:
                self._users.hold(claim)
        if self._settings.sessions_per_namespace:
            if place is Place.WAITING:
                freed = self._namespace.hold(claim)
            elif place is Place.NAMESPACE:
                freed = self._namespace.wait(claim)
            else:
                freed = self._namespace.leave(claim.name)
            if freed:
                self._namespace_moved()
        if self._book.wait(claim) if place is Place.WAITING else self._book.leave(claim.name):
            self._moved()

    def _leave(self, name: str) -> None:
        """It has nothing and wants nothing."""
        self._owners.pop(name, None)
        self._user_moved(self._users.leave(name))
        if self._namespace.leave(name):
            self._namespace_moved()
        if self._book.leave(name):
            self._moved()

    def _tell_apart(self, name: str, uid: str) -> None:
        """What stands by a name and is a former session's is not the present one's.

        Where that one's pod is there its places go with the pod, under a name that no session can have.

        :param uid: of the present one, empty: there is none.
        """
        pod, owner = self._pod(name), self._owners.get(name, uid)
        former = pod if pod is not None and not _owned(pod, uid) else None
        if former is not None and name not in self._ending:
            self._ending.add(name)
            if owner != uid and former.owner in ("", owner):
                self._users.rename(name, _ending(name))
                self._namespace.rename(name, _ending(name))
                self._book.rename(name, _ending(name))
            else:
                self._keep_ending(name, former)
        if owner != uid:
            self._leave(name)
        if former is None and name in self._ending:
            self._ending.discard(name)
            self._leave(_ending(name))

    def _keep_ending(self, name: str, pod: PodFacts) -> None:
        """Of a former session that this process has not known its pod alone says something."""
        claim = Claim(0.0, _ending(name), self._made_from(pod))
        if self._settings.sessions_per_namespace:
            self._namespace.hold(claim)
        if self._share(claim.template):
            self._book.hold(claim, pod.node)

    # before there was a pass

    def _begin(self) -> None:
        """From what is there: pods hold, and whoever is to run and has none stands in line until its pass."""
        if self._begun:
            return
        self._begun = True
        for pod, facts in self._caches.pods.facts():
            name = facts.session
            if facts.ended or pod != names.pod_of(name):
                continue
            session = self._caches.sessions.entry(name)
            if session is not None and _owned(facts, session.uid):
                known = session.facts
                self._hold(Claim(0.0, name, self._made_from(facts) or known.template, known.user), session.uid)
            else:
                self._tell_apart(name, session.uid if session is not None else "")
        for name, known in self._caches.sessions.facts():
            self._expect(name, known)

    def _heard(self, name: str) -> None:
        entry = self._caches.sessions.entry(name)
        if self._begun and entry is not None and not entry.facts.passed:
            self._expect(name, entry.facts)

    def _expect(self, name: str, known: Known) -> None:
        """Have a session in line before its pass says what it wants."""
        if known.mode != OperatingMode.RUNNING:
            return
        self._tell_apart(name, known.uid)
        if known.passed and known.rests:
            return  # woken or prolonged meanwhile, it stands in line from its own pass on
        _, created, _ = known.order
        priority = self._priority(known.template)
        claim = Claim(unix(created) or 0.0, name, known.template, known.user, priority)
        if self._settings.sessions_per_user and not self._users.holds(name):
            self._users.wait(claim)
        if self._settings.sessions_per_namespace and not self._namespace.holds(name):
            self._namespace.wait(claim)
        if not self._book.holds(name) and self.gpus() is not None and self._share(known.template):
            self._book.wait(claim)

    # who is woken

    def _moved(self) -> None:
        """Somebody may be let in, and the others stand nearer."""
        if self._begun and self._book.waiting():
            gpus, line = self.gpus(), self._book.line()
            self._wake(line if gpus is None else self._book.next(gpus), line)

    def _namespace_moved(self) -> None:
        if self._begun and self._namespace.waiting():
            self._wake(self._namespace.next(self._settings.sessions_per_namespace), self._namespace.line())

    def _user_moved(self, user: str) -> None:
        if self._begun and user:
            self._wake(self._users.next(user, self._settings.sessions_per_user), self._users.line(user))

    def _wake(self, entering: Iterable[str], line: list[str]) -> None:
        for name in entering:
            self._queue.wake(name, urgent=True)
        self._tell_later(line)

    def _tell_later(self, line: list[str]) -> None:
        """Whoever is woken sooner anyway stays so."""
        pause = max(_TOLD_SECONDS, len(line) / TOLD_RATE)
        for name in line:
            self._queue.wake(name, pause)

    # what is known

    def _claim(self, session: Session) -> Claim:
        template = session.template
        return Claim(session.created_unix_seconds, session.name, template, session.user, self._priority(template))

    def _priority(self, template: str) -> int:
        return self._settings.queue_priorities.get(self._caches.priority_class(template), 0)

    def _share(self, template: str) -> Fraction:
        per = self._caches.per_gpu(template)
        if per is not None:
            self._shares[template] = Fraction(1, per) if per else Fraction(0)
        return self._shares.get(template, Fraction(0))

    def _at(self, name: str, uid: str) -> str:
        """On which node a session has its place, empty: on none, or any will do."""
        pod = self._pod(name)
        if pod is None or not _owned(pod, uid):
            return ""
        return pod.node or self._tied.get(name, "")

    def _pod(self, name: str) -> PodFacts | None:
        """The pod that holds the places of a session of this name: it is there, and has not ended."""
        entry = self._caches.pods.entry(names.pod_of(name))
        return entry.facts if entry is not None and not entry.facts.ended else None

    def _there(self, session: Session) -> bool:
        pod = self._pod(session.name)
        return pod is not None and _owned(pod, session.uid)

    def _made_from(self, pod: PodFacts) -> str:
        """Name of the template that a pod was made from, empty: it is gone."""
        for name, _ in self._caches.templates.facts():
            entry = self._caches.templates.entry(name)
            if entry is not None and entry.uid == pod.template:
                return name
        return ""


def _ending(name: str) -> str:
    """What stands in the place of the name of a session that is gone; people read it, and no session can have it."""
    return f"{name} (ending)"


def _owned(pod: PodFacts, uid: str) -> bool:
    """Whether a pod is of the session with this uid, empty: there is none."""
    return bool(uid) and pod.owner in ("", uid)


def _made(pod: Object | None) -> float:
    """When a pod was made, 0: there is none."""
    return unix(pod["metadata"].get("creationTimestamp")) or 0.0 if pod is not None else 0.0
