"""A capacity plan from what somebody types: runs, users, a day, prices. Reads files; the sums are in ``analysis``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from vdibench.analysis.capacity import Measured, Plan, Template, Terms, allot, plan
from vdibench.analysis.occupancy import ALL_DAY, DayProfile, parse_day
from vdibench.analysis.prices import Cost, cost, parse_prices
from vdibench.analysis.scalability import Extrapolation
from vdibench.errors import ParameterError
from vdibench.suites.capacity_sources import beyond, open_measured
from vdibench.suites.profiles import notebooks_folder

__all__ = ["NotPerGpu", "PlanOptions", "Sizing", "make_plan", "run_argument"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_. -]*")
_SHARE = re.compile(r"(?P<number>\d*\.\d+|\d+(?:\.\d+)?(?P<percent>%))")
_LARGEST = 100_000_000  # users: more than that is a slip of the finger
_HEADROOM = 10


class NotPerGpu(ParameterError):
    """GPUs of a node were given, and a run says only what a whole host carries."""


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What is asked for, as it was typed.

    :param runs: ``[NAME=]RUN[:PART]``; the part is a share (0.6, 60%), a number of users (300) or left out.
    :param users: of all templates; None when every part is a number of users.
    :param day: profile of the day: the name of one in ``params/`` or a path; empty: everybody at once.
    :param headroom: more than the peak, as a share of it.
    :param gpus_per_node: ``N`` for all templates that were measured on one GPU, or ``NAME=N`` for one.
    :param max_sessions: ``N`` for all templates or ``NAME=N`` for one.
    :param prices: path of a price file; empty: no cost.
    :param gpu: product name that every run must have been measured on; empty: any.
    :param allow_running: also from a run that goes on, where the suite that searched has its verdict.
    :param logins_per_minute: of all users at the peak; None: as the day says.
    """

    runs: Sequence[str]
    results: Path
    users: int | None = None
    day: str = ""
    headroom: Fraction = Fraction(0)
    spare_nodes: int = 0
    gpus_per_node: Sequence[str] = ()
    max_sessions: Sequence[str] = ()
    prices: str = ""
    gpu: str = ""
    logins_per_minute: Fraction | None = None
    allow_synthetic: bool = False
    allow_running: bool = False
    extrapolate: bool = False


@dataclass(frozen=True, slots=True)
class Sizing:
    """A plan with what it costs, and what would lie beyond what was measured."""

    plan: Plan
    cost: Cost | None = None
    beyond: Mapping[str, Extrapolation] = field(default_factory=dict)


def make_plan(options: PlanOptions) -> Sizing:
    """Read the runs and files, and plan.

    :raises ParameterError: something that was typed, or a file, cannot be understood.
    :raises NotPerGpu: GPUs of a node were given, and nothing was measured on one GPU.
    :raises NoData: a run says nothing that can be planned from.
    :raises RunInvalid: a run's numbers must not be trusted.
    :raises StoreError: there is no such run.
    """
    if not options.runs:
        raise ParameterError("no run to plan from", "give --run RUN")
    if not 0 <= options.headroom <= _HEADROOM:
        raise ParameterError(f"headroom is {float(options.headroom):g}", f"give a share from 0 to {_HEADROOM}")
    asked = [run_argument(text) for text in options.runs]
    if len(asked) == 1 and "=" not in options.runs[0]:
        asked = [("desktops", *asked[0][1:])]
    names = [name for name, _, _ in asked]
    for name in names:
        if names.count(name) > 1:
            raise ParameterError(f"two templates are named {name!r}", "name them: --run office=RUN:0.6")
    users, shares = allot(options.users, [(name, part) for name, _, part in asked])
    if users > _LARGEST:
        raise ParameterError(f"{users:,} users", f"give at most {_LARGEST:,}")
    day = _day(options.day)
    prices = parse_prices(_read(Path(options.prices)), Path(options.prices).name) if options.prices else None
    in_node = _by_name("--gpus-per-node", options.gpus_per_node, names)
    at_most = _by_name("--max-sessions", options.max_sessions, names)
    templates = []
    further = {}
    for name, run, _ in asked:
        source, evidence = open_measured(
            options.results,
            run,
            gpu=options.gpu,
            allow_synthetic=options.allow_synthetic,
            allow_running=options.allow_running,
        )
        if name in _named(options.gpus_per_node) and source.unit != "GPU":
            raise _not_per_gpu(name, source)
        templates.append(Template(name, source, shares[name], in_node.get(name, 1), at_most.get(name)))
        if options.extrapolate:
            further[name] = beyond(evidence)
    if in_node and not any(one.measured.unit == "GPU" for one in templates):
        raise _not_per_gpu(templates[0].name, templates[0].measured)
    terms = Terms(users, options.headroom, options.spare_nodes, options.logins_per_minute)
    found = plan(templates, terms, day)
    return Sizing(found, cost(found, prices) if prices is not None else None, further)


def run_argument(text: str) -> tuple[str, str, Fraction | int | None]:
    """Name, run and part of ``[NAME=]RUN[:PART]``; without a name the template is called as the run's folder.

    :raises ParameterError: a part that is none, or no run.
    """
    head, equals, tail = text.partition("=")
    name, rest = (head, tail) if equals and _NAME.fullmatch(head) else ("", text)
    run, colon, last = rest.rpartition(":")
    part: Fraction | int | None = None
    if colon and not re.search(r"[/\\]", last):
        part = _part(last, text)
    else:
        run = rest
    if not run:
        raise ParameterError(f"{text!r} names no run", "write NAME=RUN:0.6, or only RUN")
    return name or Path(run).name, run, part


def _not_per_gpu(name: str, source: Measured) -> NotPerGpu:
    return NotPerGpu(
        f"run {source.run} of template {name!r} was measured on a whole host, so GPUs per node say nothing",
        "leave --gpus-per-node (in notebook 06 gpus_per_node) out: a node is a host like that one",
    )


def _named(values: Sequence[str]) -> frozenset[str]:
    """The templates that options of the form ``NAME=N`` name."""
    return frozenset(value.rpartition("=")[0] for value in values if "=" in value)


def _part(text: str, whole: str) -> Fraction | int:
    if text.isdecimal():
        return int(text)
    match = _SHARE.fullmatch(text)
    if match is None:
        raise ParameterError(f"{text!r} in {whole!r} is no part", "write a share (0.6, 60%) or a number of users (300)")
    share = Fraction(match["number"].removesuffix("%")) / (100 if match["percent"] else 1)
    if not 0 <= share <= 1:
        raise ParameterError(f"a share of {text} in {whole!r}", "write one from 0 to 1; users are whole numbers: 300")
    return share


def _by_name(option: str, values: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    """One whole number a template, from ``N`` and ``NAME=N``; what names a template wins."""
    found: dict[str, int] = {}
    own: dict[str, int] = {}
    for value in values:
        name, _, number = value.rpartition("=")
        if not number.isdecimal() or int(number) < 1:
            raise ParameterError(f"{option} {value!r} is no number", "write 4, or NAME=4 for one template")
        if name and name not in names:
            raise ParameterError(f"{option} {value!r}: there is no such template", f"there are: {', '.join(names)}")
        if name:
            own[name] = int(number)
        else:
            found.update(dict.fromkeys(names, int(number)))
    return found | own


def _day(text: str) -> DayProfile:
    if not text:
        return ALL_DAY
    path = Path(text)
    if not path.suffix and "/" not in text:
        folder = notebooks_folder() / "params"
        path = folder / f"day-{text}.csv"
        if not path.is_file():
            known = sorted(item.stem.removeprefix("day-") for item in folder.glob("day-*.csv"))
            raise ParameterError(f"no day named {text!r}", f"known: {', '.join(known)}; or give a path to a CSV file")
        return parse_day(_read(path), f"{path.name}, an example")
    return parse_day(_read(path), path.name)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ParameterError(f"cannot read {path}: {error.strerror}", "give the path of a file") from error
    except UnicodeDecodeError as error:
        raise ParameterError(f"{path} is not text", "save it as CSV or YAML in UTF-8") from error
