"""Profiles and objective files: YAML beside the notebooks, checked before anything connects. Reads files only."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from vdibench.errors import ParameterError, UsageError
from vdibench.slo import Objectives, load

__all__ = ["Profile", "load_objectives", "load_profile", "notebooks_folder", "results_folder"]

PROFILE_SCHEMA = 1


def notebooks_folder() -> Path:
    """Where the notebooks are: beside the package in a checkout, inside it when installed.

    :raises UsageError: neither is there.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package.parent / "notebooks", package / "notebooks"):
        if (folder / "params").is_dir():
            return folder
    raise UsageError("the notebooks of vdibench are missing", "install it again")


def results_folder(text: str) -> Path:
    """The runs' folder: as given, but from a kernel that stands in the notebooks' folder, beside that folder."""
    path = Path(text)
    here = Path.cwd()
    if not path.is_absolute() and (here / "params").is_dir() and here == notebooks_folder():
        return here.parent / path
    return path


def load_objectives(name: str) -> Objectives:
    """Objectives by name (``params/objectives-<name>.yaml``) or by path.

    :raises ObjectiveError: a file that cannot be understood.
    """
    if "/" in name or name.endswith((".yaml", ".yml")):
        return load(Path(name))
    return load(_find("objectives", name))


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """Parameter values by notebook.

    :param shared: values for every suite that has the parameter.
    :param suites: values by suite name; they win over ``shared``.
    """

    name: str
    shared: Mapping[str, Any]
    suites: Mapping[str, Mapping[str, Any]]

    def values(self, suite: str, names: frozenset[str]) -> dict[str, Any]:
        """The values for ``suite``, whose parameters are ``names``."""
        return {key: value for key, value in self.shared.items() if key in names} | dict(self.suites.get(suite, {}))


def load_profile(name: str, suites: Mapping[str, frozenset[str]]) -> Profile:
    """A profile by name (``params/<name>.yaml``) or by path.

    :param suites: parameter names by suite, to refuse what no suite knows.
    :raises ParameterError: unknown profile, suite or parameter.
    """
    path = Path(name) if "/" in name or name.endswith((".yaml", ".yml")) else _find("profile", name)
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ParameterError(f"cannot read the profile {path.name}: {error}", "correct the file") from error
    if not isinstance(document, dict) or document.get("schema") != PROFILE_SCHEMA:
        raise ParameterError(f"{path.name} is no profile", f"start it with 'schema: {PROFILE_SCHEMA}'")
    shared, specific = document.get("shared") or {}, document.get("suites") or {}
    if not isinstance(shared, dict) or not _is_table(specific):
        raise ParameterError(f"{path.name} is no profile", "'shared' and each of 'suites' hold 'name: value' lines")
    _known(path.name, document, ("schema", "shared", "suites"), "key")
    _known(path.name, shared, tuple(sorted(set().union(*suites.values()))), "parameter")
    _known(path.name, specific, tuple(suites), "suite")
    for suite, values in specific.items():
        _known(f"{path.name}, {suite}", values or {}, tuple(sorted(suites[suite])), "parameter")
    return Profile(path.stem, shared, {suite: values or {} for suite, values in specific.items()})


def _is_table(found: object) -> bool:
    return isinstance(found, dict) and all(isinstance(values or {}, dict) for values in found.values())


def _known(where: str, found: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
    for name in found:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            remedy = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise ParameterError(f"{where}: unknown {what} {name!r}", remedy)


def _find(kind: str, name: str) -> Path:
    folder = notebooks_folder() / "params"
    prefix = "objectives-" if kind == "objectives" else ""
    path = folder / f"{prefix}{name}.yaml"
    if path.is_file():
        return path
    known = sorted(
        item.stem.removeprefix(prefix)
        for item in folder.glob(f"{prefix}*.yaml")
        if item.stem.startswith("objectives-") == bool(prefix)
    )
    raise ParameterError(f"no {kind} named {name!r}", f"known: {', '.join(known)}; or give a path to a YAML file")
