"""The programs that a graduation calls. Looks at files; builds what is nowhere, in minutes, and says so."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vdibench.errors import LabError, UsageError
from vdibench.lab.cluster.binaries import binaries
from vdibench.lab.cluster.versions import GO_MODULES

__all__ = ["Programs", "find_programs"]

# Program -> the lab's module that has it.
_MODULES = {"kubectl": "kubernetes", "helm": "helm"}


@dataclass(frozen=True, slots=True)
class Programs:
    """Where each of them is.

    :param kubectl: builds what ``manifests/`` say.
    :param helm: builds what the chart says.
    :param operator: ``vdi-operator``, which says what it would make of a template.
    """

    kubectl: Path
    helm: Path
    operator: Path


def find_programs(say: Callable[[str], None] = lambda line: None) -> Programs:
    """The machine's own, else those of the lab; the operator's is the one beside this Python, else the machine's.

    :param say: called with a line before something is built that the lab has not kept yet.
    :raises UsageError: one is nowhere and cannot be built.
    """
    return Programs(
        # Last what takes long: a missing operator is said at once.
        operator=_operator(),
        helm=_go_program("helm", say),
        kubectl=_go_program("kubectl", say),
    )


def _operator() -> Path:
    beside = Path(sys.executable).with_name("vdi-operator")
    if beside.is_file():
        return beside
    found = shutil.which("vdi-operator")
    if found is None:
        raise UsageError(
            "there is no vdi-operator, which says what it would make of a template",
            "install it beside vdibench: pip install ./operator in a checkout",
        )
    return Path(found)


def _go_program(name: str, say: Callable[[str], None]) -> Path:
    found = shutil.which(name)
    if found is not None:
        return Path(found)
    modules = tuple(module for module in GO_MODULES if module.name == _MODULES[name])
    try:
        return binaries(modules, say)[name]
    except LabError as error:
        raise UsageError(
            f"there is no {name}, and the lab's cannot be built ({error.cause})", f"install {name}"
        ) from error
