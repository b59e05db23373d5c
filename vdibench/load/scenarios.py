"""What users do at their desktops: scenarios as rows of actions with pauses. Pure and seeded; seconds and pixels.

A scenario makes an endless row of actions from a source of random numbers, so that the same seed gives the same user
again. It knows nothing of Locust: :mod:`vdibench.load.scenario_users` performs what it says. Every pause is a look at
the desktop, so that a session that ends is noticed at once.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from vdibench.errors import ParameterError
from vdibench.records import Display, Workload

__all__ = [
    "SCENARIOS",
    "Action",
    "Click",
    "Drag",
    "Press",
    "Scenario",
    "Scroll",
    "TypeText",
    "Watch",
    "inputs_of",
    "pixels",
    "scenario",
    "seconds_of",
    "think",
]

# Between two things that a person does: half of the pauses are shorter than the geometric mean, 95 % inside.
THINK_SECONDS = (2.0, 20.0)
_VIDEO_THINK_SECONDS = (30.0, 120.0)
_CAD_THINK_SECONDS = (0.5, 4.0)
_LOOK_SECONDS = 5.0
_PRESS_SECONDS = (0.2, 0.5)

# What a person types: words that every keyboard has, without a modifier that a desktop might keep.
_TEXT = (
    "the report of last week says that we should order two more of them before the end of the month and ask "
    "everybody who was there what they think of it because nobody answered yet"
)
_WORDS = _TEXT.split()


@dataclass(frozen=True, slots=True)
class Watch:
    """Looks on for ``seconds``."""

    seconds: float


@dataclass(frozen=True, slots=True)
class TypeText:
    """Types ``text``."""

    text: str
    characters_per_second: float


@dataclass(frozen=True, slots=True)
class Press:
    """Presses a key or clicks, and waits until it is seen where that can be seen."""

    kind: str


@dataclass(frozen=True, slots=True)
class Click:
    """Clicks at a place: ratios of the picture's width and height."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Scroll:
    """Turns the wheel by ``steps``; negative ones go down the page."""

    steps: int


@dataclass(frozen=True, slots=True)
class Drag:
    """Moves the pointer along a path of ratios of the picture, with the button held."""

    path: tuple[tuple[float, float], ...]
    seconds: float


Action = Watch | TypeText | Press | Click | Scroll | Drag


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of user.

    :param workload: what the desks should show for it.
    :param inputs_per_minute: what its actions come to, on average: characters, clicks, notches and drags.
    :param actions: makes the row of actions; endless.
    """

    name: str
    summary: str
    workload: Workload
    inputs_per_minute: float
    actions: Callable[[random.Random], Iterator[Action]]

    @property
    def sends_input(self) -> bool:
        """Whether the desktop must be under control."""
        return self.inputs_per_minute > 0

    def of(self, desktop: str, seed: int = 0) -> Iterator[Action]:
        """The actions of the user of one desktop: the same in every run with the same seed."""
        return self.actions(random.Random(f"{self.name}:{desktop}:{seed}"))


def think(source: random.Random, shortest: float, longest: float) -> float:
    """A pause in seconds, log-normal as people's are: 95 % lie between the two, the rest is set to the nearer."""
    middle, spread = math.log(shortest * longest) / 2, math.log(longest / shortest) / 4
    return min(longest, max(shortest, source.lognormvariate(middle, spread)))


def _watching(source: random.Random) -> Iterator[Action]:
    while True:
        yield Watch(_LOOK_SECONDS)


def _pressing(source: random.Random) -> Iterator[Action]:
    """Presses a key, clicks; the pauses are random, so that events fall on every phase of the frame clock."""
    while True:
        for kind in ("key", "click"):
            yield Press(kind)
            yield Watch(source.uniform(*_PRESS_SECONDS))


def _office(source: random.Random) -> Iterator[Action]:
    """Writes a sentence or two, clicks, reads on."""
    while True:
        (kind,) = source.choices(("type", "click", "scroll"), (5, 3, 2))
        if kind == "type":
            words = source.choices(_WORDS, k=source.randint(4, 20))
            yield TypeText(" ".join(words) + ("\n" if source.random() < 0.2 else " "), source.uniform(4.0, 8.0))
        elif kind == "click":
            yield Press("click")
        else:
            yield Scroll(source.choice((-1, -1, -1, 1)) * source.randint(3, 10))
        yield Watch(think(source, *THINK_SECONDS))


def _cad(source: random.Random) -> Iterator[Action]:
    """Turns a part with the mouse most of the time, zooms, picks."""
    while True:
        centre = source.uniform(0.35, 0.65), source.uniform(0.35, 0.65)
        radius, begin, turn = source.uniform(0.05, 0.2), source.uniform(0, math.tau), source.uniform(-1.5, 1.5)
        seconds = source.uniform(1.0, 4.0)
        points = max(2, round(60 * seconds))
        yield Drag(
            tuple(
                (
                    centre[0] + radius * math.cos(begin + turn * math.tau * step / (points - 1)),
                    centre[1] + radius * math.sin(begin + turn * math.tau * step / (points - 1)),
                )
                for step in range(points)
            ),
            seconds,
        )
        if source.random() < 0.3:
            yield Scroll(source.choice((-1, 1)) * source.randint(1, 5))
        if source.random() < 0.3:
            yield Click(source.uniform(0.2, 0.8), source.uniform(0.2, 0.8))
        yield Watch(think(source, *_CAD_THINK_SECONDS))


def _video(source: random.Random) -> Iterator[Action]:
    """Watches; pauses or goes on now and then."""
    while True:
        yield Watch(think(source, *_VIDEO_THINK_SECONDS))
        yield Press("click")


def _scene(source: random.Random) -> Iterator[Action]:
    """Looks round in a scene that moves by itself."""
    while True:
        path = tuple((0.3 + 0.4 * step / 59, source.uniform(0.45, 0.55)) for step in range(60))
        yield Drag(path if source.random() < 0.5 else path[::-1], 1.0)
        yield Watch(think(source, *THINK_SECONDS))


def _table(*entries: Scenario) -> Mapping[str, Scenario]:
    return MappingProxyType({entry.name: entry for entry in entries})


SCENARIOS = _table(
    Scenario("watch", "no input at all: what density trials count", Workload.TEXT, 0.0, _watching),
    Scenario(
        "press", "a key, a click, one at a time: what input latency is taken from", Workload.TEXT, 133.0, _pressing
    ),
    Scenario("office", "types, clicks and reads, with pauses of 2 to 20 s", Workload.TEXT, 152.0, _office),
    Scenario("cad", "turns a part with the mouse, zooms and picks", Workload.WINDOW, 31.6, _cad),
    Scenario("video", "watches, and clicks every minute or two", Workload.VIDEO, 0.94, _video),
    Scenario("3d", "looks round in a scene", Workload.SCENE, 7.19, _scene),
    Scenario("idle", "nobody at the desk: connected, and nothing else", Workload.IDLE, 0.0, _watching),
)


def scenario(name: str) -> Scenario:
    """The scenario of that name.

    :raises ParameterError: there is none.
    """
    if name not in SCENARIOS:
        raise ParameterError(f"there is no scenario {name!r}", f"use one of {', '.join(SCENARIOS)}")
    return SCENARIOS[name]


def inputs_of(action: Action) -> int:
    """How many inputs an action is: a character, a click, a notch, a drag each."""
    if isinstance(action, TypeText):
        return len(action.text)
    if isinstance(action, Scroll):
        return abs(action.steps)
    return 0 if isinstance(action, Watch) else 1


def seconds_of(action: Action) -> float:
    """About how long it takes."""
    if isinstance(action, TypeText):
        return len(action.text) / action.characters_per_second
    if isinstance(action, Scroll):
        return 0.03 * abs(action.steps)
    return action.seconds if isinstance(action, Watch | Drag) else 0.1


def pixels(x: float, y: float, display: Display | None) -> tuple[int, int]:
    """A place of ratios in pixels, inside the picture; a desktop of unknown size counts as 640×360."""
    width, height = (display.width, display.height) if display is not None else (640, 360)
    return min(width - 1, max(0, round(x * width))), min(height - 1, max(0, round(y * height)))
