"""What must be alike before two runs may be compared. Pure; text values.

A run says of itself where, with what and of what it measured. Of that, the *checked* keys must agree on both sides, or
be named: as the thing under test, or as a difference that is accepted. What each suite's sessions were stands in the
run's context under :data:`CONDITIONS`. Everything that a suite was asked for counts too, also
parameters that this module has never heard of; left out are only those that say how long or for whom.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Any

from vdibench.errors import ParameterError, RunInvalid
from vdibench.records import Run

__all__ = ["CONDITIONS", "NOT_STATED", "Agreement", "Checked", "check", "noted", "refuse", "stated"]

# In a run's context: what sessions were, by suite; ``vdibench.suites.conditions`` writes it.
CONDITIONS = "conditions"
NOT_STATED = "not stated"

# Parameters of a suite that do not change what one of its numbers means: identity, access, and how much is measured.
_FREE = frozenset(
    {
        "target",
        "profile",
        "objectives",
        "user",
        "ca_file",
        "insecure",
        "gpu_metrics",
        "gpu_matchers",
        "tracer_log",
        "steady_seconds",
        "trials",
        "starts",
        "link_seconds",
        "picture_seconds",
        "click_seconds",
        "gpu",  # the run's own key
        "template",  # its desktops are what the other parameters say, or it is refused
        "dialect",
    }
)
# Parameters under the names that conditions have for them, so that one name accepts both.
_RENAMED = {"mode": "client_mode", "links": "link"}
# Keys of the run's context that are of the same kind.
_CONTEXT = {
    "target": "target_kind",
    "gpu": "gpu",
    "dialect": "dialect",
    "link": "link",
    "image": "image",
    "images": "images",
    "image_digest": "image_digest",
    "manifests": "manifests",
    "mode": "client_mode",
    "reception": "reception",
    "sharing": "sharing",
    "workload": "workload",
    "scenario": "scenario",
    "selkies": "selkies_in_desktop",
}
_NOTED = ("aiortc", "av", "locust", "python")


class Agreement(StrEnum):
    """What is said of a checked key."""

    SAME = "same"
    DIFFERENT = "different"
    ALLOWED = "allowed"
    VARIED = "under test"


@dataclass(frozen=True, slots=True)
class Checked:
    """One key of both sides.

    :param suite: the suite that it is a parameter of; empty for the run as a whole.
    :param base: what the base runs said, several answers with ``/`` between.
    """

    key: str
    suite: str
    base: str
    new: str
    agreement: Agreement

    @property
    def name(self) -> str:
        """The key, with its suite where it has one."""
        return f"{self.key} of {self.suite}" if self.suite else self.key


def stated(run: Run) -> dict[tuple[str, str], str]:
    """What a run says of each checked key: ``(key, suite)`` to text. What it does not say is left out."""
    host, context = run.host, run.context
    found: dict[tuple[str, str], str] = {
        ("synthetic", ""): _text(bool(context.get("synthetic", False))),
        ("cpu_model", ""): _text(host.get("cpu_model")),
        ("cpu_cores", ""): _text(host.get("cpu_cores_usable", host.get("cpu_cores"))),
        ("gpu_model", ""): _gpus(host),
        ("gpu_driver", ""): _text(host.get("gpu_driver")),
        ("vdibench", ""): _text(run.versions.get("vdibench")),
    }
    found |= {(name, ""): _text(context.get(key)) for key, name in _CONTEXT.items()}
    if run.target.partition(":")[0] == "lab":
        # Elsewhere it is what happens to be installed beside the client.
        found["selkies", ""] = _text(run.versions.get("selkies"))
    # What was found of a suite's sessions stands over what was asked for.
    for by_suite in (run.parameters, context.get(CONDITIONS)):
        for suite, values in by_suite.items() if isinstance(by_suite, Mapping) else ():
            if isinstance(values, Mapping):
                found |= {(_RENAMED.get(name, name), suite): _text(value) for name, value in values.items()}
    return {key: value for key, value in found.items() if value and not (key[1] and key[0] in _FREE)}


def check(
    base: Sequence[Mapping[tuple[str, str], str]],
    new: Sequence[Mapping[tuple[str, str], str]],
    suites: Collection[str],
    *,
    allowed: Iterable[str] = (),
    varied: Iterable[str] = (),
) -> tuple[Checked, ...]:
    """Hold what the runs of two sides state (:func:`stated`) against each other.

    :param suites: those that are compared; parameters of others do not count.
    :param allowed: keys that may differ.
    :param varied: keys that are under test: they must differ.
    :raises ParameterError: a key that no run states, or one that was to vary and does not.
    """
    keys = {key for one in (*base, *new) for key in one if not key[1] or key[1] in suites}
    names = sorted({name for name, _ in keys})
    permitted = dict.fromkeys(allowed, Agreement.ALLOWED) | dict.fromkeys(varied, Agreement.VARIED)
    for name in permitted:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
            raise ParameterError(f"no run states {name!r}", remedy)
    found = []
    for name, suite in sorted(keys, key=lambda key: (key[1], key[0])):
        # A run without that suite has no say in it.
        sides = [
            [one.get((name, suite), NOT_STATED) for one in side if not suite or any(suite == of for _, of in one)]
            for side in (base, new)
        ]
        before, after = (" / ".join(dict.fromkeys(side)) for side in sides)
        alike = len({*sides[0], *sides[1]}) == 1
        agreement = Agreement.SAME if alike else permitted.get(name, Agreement.DIFFERENT)
        found.append(Checked(name, suite, before, after, agreement))
    for name in varied:
        if all(one.base == one.new for one in found if one.key == name):
            value = next(one.base for one in found if one.key == name)
            raise ParameterError(f"{name} is said to vary and is {value!r} on both sides", "compare other runs")
    return tuple(found)


def refuse(checked: Iterable[Checked]) -> None:
    """Do not go on where sides differ in what nobody named.

    :raises RunInvalid: with everything that differs, base against new.
    """
    different = [one for one in checked if one.agreement is Agreement.DIFFERENT]
    if different:
        listed = "; ".join(f"{one.name}: {one.base} against {one.new}" for one in different)
        keys = " ".join(f"--allow-different {key}" for key in dict.fromkeys(one.key for one in different))
        raise RunInvalid(
            f"the runs cannot be compared, they differ in {listed}",
            f"name what is under test with --varied KEY, or accept it with {keys}",
        )


def noted(base: Sequence[Run], new: Sequence[Run]) -> tuple[str, ...]:
    """Differences that do not forbid a comparison and may explain one: software of the measuring side, one a line."""
    lines = []
    for name in _NOTED:
        sides = [sorted({run.versions.get(name, NOT_STATED) for run in side}) for side in (base, new)]
        if sides[0] != sides[1]:
            lines.append(f"{name} is {' / '.join(sides[0])} in base and {' / '.join(sides[1])} in new")
    kernels = [sorted({str(run.host.get("kernel", NOT_STATED)) for run in side}) for side in (base, new)]
    if kernels[0] != kernels[1]:
        lines.append(f"the kernel is {' / '.join(kernels[0])} in base and {' / '.join(kernels[1])} in new")
    return tuple(lines)


def _gpus(host: Mapping[str, Any]) -> str:
    gpus = host.get("gpus") or ()
    return ", ".join(sorted(str(gpu.get("name", "GPU")) for gpu in gpus if isinstance(gpu, Mapping))) or "none"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_text(item)}" for name, item in sorted(value.items()))
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    # An empty parameter is an answer too, an absent one is none.
    return "" if value is None else str(value) or "none"
