"""What a self-test does, and how long it takes. Pure; seconds and ratios."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vdibench.client import Mode
from vdibench.records import Display
from vdibench.selkies import Dialect

__all__ = ["FULL", "QUICK", "CostStep", "Plan", "with_engine"]

# A lab of one desktop, and a session through the relay until its first picture.
_DESKTOP_SECONDS = 5.0
# The source's own start, and of a client process its start, each session's connection and its end.
_SOURCE_SECONDS = 2.5
_CLIENT_SECONDS = 2.0
_CONNECT_SECONDS = 0.08
# Of a press and its pause, beside the delay on both ways.
_PRESS_SECONDS = 0.085
_DISPLAY = Display(1280, 720, 60)
_SUFFIX = {"off": "", "on": "-native", "decrypt": "-native-decrypt"}
# A desktop of its own, recorded for ten seconds, where there is no trace yet.
_TRACE_SECONDS = 18.0


@dataclass(frozen=True, slots=True)
class CostStep:
    """One mode with so many sessions at once.

    :param native: what reads: ``off`` Python, ``on`` the native receiver, ``decrypt`` the same and every packet is
        decrypted.
    """

    mode: Mode
    sessions: int
    native: str = "off"

    @property
    def name(self) -> str:
        """``meter``, ``meter-native``, ``meter-native-decrypt`` and so on."""
        return f"{self.mode}{_SUFFIX[self.native]}"


@dataclass(frozen=True, slots=True)
class Plan:
    """How a self-test is made.

    :param dialects: of the real desktops, one after the other.
    :param display: of those desktops.
    :param delays: seconds that packets are held, each between two windows without.
    :param window_seconds: length of a window.
    :param settle_seconds: after each change, before anything counts.
    :param presses: the least number of key presses and clicks in a window; both ways are delayed then. 0 for none.
    :param freezes: how many, of ``freeze_seconds``, one every ``freeze_period_seconds``.
    :param loss_ratio: share of packets lost over ``loss_seconds``.
    :param rate_ratio: of the source's own rate, let through for ``rate_seconds``; 0 seconds leaves it out.
    :param repeats: windows in all that may be repeated because something disturbed them.
    :param cost: modes to measure, for ``cost_seconds`` each, and ``floor_seconds`` each of the two floors; 0 leaves
        those out.
    :param many: modes of the native receiver to measure, ``many_repeats`` times each in turns with what C takes for the
        same packets, and then how exact the first one's arrivals are; the recorded picture of a desktop is sent then.
    """

    kind: str
    dialects: tuple[Dialect, ...]
    delays: tuple[float, ...]
    window_seconds: float
    presses: int
    freezes: int
    freeze_period_seconds: float
    loss_seconds: float
    rate_seconds: float
    cost: tuple[CostStep, ...]
    cost_seconds: float
    display: Display = _DISPLAY
    settle_seconds: float = 0.5
    freeze_seconds: float = 0.3
    loss_ratio: float = 0.01
    floor_seconds: float = 2.0  # a whole pass of the canned picture
    repeats: int = 4
    rate_ratio: float = 0.5
    many: tuple[CostStep, ...] = ()
    many_repeats: int = 0

    @property
    def windows(self) -> tuple[float, ...]:
        """Delays in order: one of nothing before, between and after."""
        return (0.0, *(delay for one in self.delays for delay in (one, 0.0)))

    def window_of(self, delay: float) -> float:
        """About how long a window with that delay lasts: until there were enough presses."""
        return max(self.window_seconds, self.presses * (_PRESS_SECONDS + 2 * delay))

    @property
    def dialect_seconds(self) -> float:
        """About how long one dialect takes."""
        settling = self.settle_seconds + max(self.delays)
        delays = sum(settling + self.window_of(delay) for delay in self.windows)
        freezes = 2 * self.settle_seconds + self.freezes * self.freeze_period_seconds
        return _DESKTOP_SECONDS + delays + freezes + self.loss_seconds + 2 * self.settle_seconds

    @property
    def cost_total_seconds(self) -> float:
        """About how long the cost takes."""
        steps = (*self.cost, *(step for step in (*self.many, *self.many) for _ in range(self.many_repeats)))
        connecting = sum(_CLIENT_SECONDS + _CONNECT_SECONDS * step.sessions for step in steps)
        rate = self.rate_seconds + _CLIENT_SECONDS if self.rate_seconds else 0.0
        return (
            _SOURCE_SECONDS
            + connecting
            + self.cost_seconds * len(steps)
            + (_TRACE_SECONDS if self.many else 0.0)
            + rate
            + (2 * (1 + self.floor_seconds) if self.floor_seconds else 0)
        )

    @property
    def seconds(self) -> float:
        """About how long all of it takes."""
        return len(self.dialects) * self.dialect_seconds + self.cost_total_seconds

    def lines(self) -> list[str]:
        """What will be done, for people."""
        held = ", ".join(f"{delay * 1e3:g}" for delay in self.delays)
        inputs = ", with key presses and clicks" if self.presses else ""
        freezes = f"{self.freezes} freezes of {self.freeze_seconds * 1e3:g} ms"
        loss = f"{self.loss_ratio:.0%} loss for {self.loss_seconds:g} s"
        found = [
            f"  {dialect}: packets held for {held} ms, {self.window_seconds:g} s each{inputs}; {freezes}; {loss}"
            for dialect in self.dialects
        ]
        cost = ", ".join(f"{step.name} × {step.sessions}" for step in (*self.cost, *self.many))
        return [*found, f"  cost: {cost}, {self.cost_seconds:g} s each"]


QUICK = Plan(
    kind="quick",
    dialects=(Dialect.SELKIES_2_WEBRTC,),
    delays=(0.020, 0.050),
    window_seconds=2.0,
    settle_seconds=0.3,
    presses=0,
    freezes=3,
    freeze_period_seconds=0.9,
    loss_seconds=2.0,
    rate_seconds=0.0,
    cost=(CostStep(Mode.DECODE, 1),),
    cost_seconds=1.5,
    floor_seconds=0.0,
)

FULL = Plan(
    kind="full",
    dialects=(Dialect.SELKIES_2_WEBRTC, Dialect.SELKIES_2_WEBSOCKET),
    delays=(0.020, 0.050, 0.100),
    window_seconds=12.0,
    presses=80,
    freezes=10,
    freeze_period_seconds=6.0,
    loss_seconds=20.0,
    rate_seconds=6.0,
    cost=(
        CostStep(Mode.METER, 10),
        CostStep(Mode.SAMPLED, 10),
        CostStep(Mode.DEPACKETISE, 10),
        CostStep(Mode.DECODE, 4),
    ),
    cost_seconds=6.0,
)

ENGINE_SESSIONS = 40

# The numbers of sessions that the targets are of.
_ENGINE_COST = (
    CostStep(Mode.METER, ENGINE_SESSIONS),
    CostStep(Mode.SAMPLED, 10),
    CostStep(Mode.DEPACKETISE, 10),
    CostStep(Mode.DECODE, 4),
)


def with_engine(plan: Plan) -> Plan:
    """The plan with every mode that has a target, as many sessions as it is of, and the native receiver beside C."""
    many = tuple(CostStep(Mode.METER, ENGINE_SESSIONS, native) for native in ("on", "decrypt"))
    return replace(plan, cost=_ENGINE_COST, many=many, many_repeats=5)
