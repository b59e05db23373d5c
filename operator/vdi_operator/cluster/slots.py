"""The ledger of places on GPUs, kept for all workers. Asyncio, no I/O.

Passes run at the same time and end when they end, so each asks and has its answer written down without a pause in
between. Pods that are there hold their places whatever is written: after a restart they are what is known, and a pod
that goes holds its place until it is gone. Sessions that nobody has had a pass of yet stand in line from when they are
heard of, so that a younger one whose pass comes first does not overtake them.
"""

from __future__ import annotations

from fractions import Fraction

from vdi_operator.api.session import OperatingMode, Session
from vdi_operator.api.template import Template
from vdi_operator.children import names
from vdi_operator.cluster.caches import Caches
from vdi_operator.cluster.queue import WorkQueue
from vdi_operator.cluster.sessions import Known
from vdi_operator.core.decision import Place
from vdi_operator.core.instants import unix
from vdi_operator.core.slots import Book, Claim
from vdi_operator.core.world import SlotFact
from vdi_operator.settings import Settings

__all__ = ["Slots"]

# Before those who still wait are told their new positions, and how many of them a second: each costs a status.
_TOLD_SECONDS = 5.0
_TOLD_RATE = 50.0


class Slots:
    """Who has a place, and who waits. It wakes who is next when a place is free.

    :param caches: filled before the first question.
    """

    def __init__(self, settings: Settings, caches: Caches, queue: WorkQueue) -> None:
        self._settings = settings
        self._caches = caches
        self._queue = queue
        self._book = Book(self._share)
        # A template that is deleted or broken while its sessions run: they hold what they held.
        self._shares: dict[str, Fraction] = {}
        # Session -> its pod's name.
        self._pods: dict[str, str] = {}
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
        return max(Fraction(0), gpus - self._book.held() - self._book.wanted())

    def held(self) -> float:
        """Parts of GPUs that sessions hold."""
        return float(self._book.held())

    def waiting(self) -> int:
        """Sessions in line."""
        return self._book.waiting()

    def ask(self, session: Session, template: Template | None) -> SlotFact | None:
        """How a session stands, None: nobody counts. What follows from it is settled before anything is awaited."""
        if template is None or template.gpu is None or template.sessions_per_gpu is None:
            return None
        self._begin()
        gpus = self.gpus()
        if gpus is None:
            return SlotFact(admitted=True)
        claim = _claim(session)
        if self._there(names.pod_name(session)):
            self._book.hold(claim)
        return self._book.look(claim, gpus)

    def settle(self, session: Session, place: Place) -> None:
        """Write down what was decided, before anybody else asks."""
        self._begin()
        claim, pod = _claim(session), names.pod_name(session)
        if place is Place.HELD or self._there(pod):
            self._pods[session.name] = pod
            moved = self._book.hold(claim)
        elif place is Place.WAITING:
            moved = self._book.wait(claim)
        else:
            self._pods.pop(session.name, None)
            moved = self._book.leave(session.name)
        if moved:
            self._moved()

    def forget(self, name: str) -> None:
        """A session is gone. Its pod goes in its own time, and its end asks for a pass of that name again."""
        pod = self._pods.get(name)
        if pod is not None and self._there(pod):
            return
        self._pods.pop(name, None)
        if self._book.leave(name):
            self._moved()

    def give_way(self, name: str) -> None:
        """A session of which no pass succeeds must not keep those behind it waiting; what it holds it keeps."""
        if self._book.waits(name) and self._book.leave(name):
            self._moved()

    def _begin(self) -> None:
        """From what is there: pods hold, and whoever is to run and has none stands in line until its pass."""
        if self._begun:
            return
        self._begun = True
        templates: dict[str, str] = {}
        for name, _ in self._caches.templates.facts():
            entry = self._caches.templates.entry(name)
            if entry is not None:
                templates[entry.uid] = name
        for pod, facts in self._caches.pods.facts():
            if facts.session and not facts.ended:
                session = self._caches.sessions.entry(facts.session)
                template = session.facts.template if session is not None else ""
                self._pods[facts.session] = pod
                self._book.hold(Claim(0.0, facts.session, templates.get(facts.template, template)))
        for name, known in self._caches.sessions.facts():
            self._expect(name, known)

    def _heard(self, name: str) -> None:
        entry = self._caches.sessions.entry(name)
        if self._begun and entry is not None and not entry.facts.passed:
            self._expect(name, entry.facts)

    def _expect(self, name: str, known: Known) -> None:
        """Have a session in line before its pass says what it wants."""
        if known.mode != OperatingMode.RUNNING or self._book.holds(name) or self.gpus() is None:
            return
        if not self._share(known.template):
            return
        _, created, _ = known.order
        self._book.wait(Claim(unix(created) or 0.0, name, known.template))

    def _moved(self) -> None:
        """Somebody may be let in, and the others stand nearer."""
        if not self._begun or not self._book.waiting():
            return
        gpus, line = self.gpus(), self._book.line()
        admitted = len(line) if gpus is None else len(self._book.next(gpus))
        for name in line[:admitted]:
            self._queue.wake(name, urgent=True)
        pause = max(_TOLD_SECONDS, len(line) / _TOLD_RATE)
        for name in line[admitted:]:
            self._queue.wake(name, pause)

    def _share(self, template: str) -> Fraction:
        per = self._caches.per_gpu(template)
        if per is not None:
            self._shares[template] = Fraction(1, per) if per else Fraction(0)
        return self._shares.get(template, Fraction(0))

    def _there(self, pod: str) -> bool:
        """Whether a pod holds its place: it is there, and has not ended for good."""
        entry = self._caches.pods.entry(pod)
        return entry is not None and not entry.facts.ended


def _claim(session: Session) -> Claim:
    return Claim(session.created_unix_seconds, session.name, session.template)
