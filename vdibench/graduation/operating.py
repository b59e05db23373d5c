"""What the operator makes of a template, by its own program, and what its chart lets it do. I/O; runs processes.

Nothing of the operator is imported: it is asked as a person would ask it, and asks no cluster itself.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from vdibench.errors import UsageError, VdibenchError
from vdibench.graduation.programs import Programs
from vdibench.lab.cluster.operating import NAMESPACE, RELEASE
from vdibench.lab.cluster.versions import KUBERNETES

__all__ = ["chart_role", "made"]

Object = dict[str, Any]

# Exit code of the operator's program for a file or a word that is not what it must be.
_REFUSED = 2
_ROLE = "vdi-operator"


def made(
    programs: Programs,
    template: Mapping[str, Any],
    *,
    user: str,
    domain: str,
    relay: str,
    settings: Mapping[str, Any],
) -> list[Object]:
    """What the operator makes for a session of that user, in the order of creation, without Secrets.

    :param template: the VDITemplate.
    :param relay: address of coturn's node; empty: none.
    :param settings: of the operator, as its chart writes them.
    :raises UsageError: the operator refuses template, user or settings.
    :raises VdibenchError: its program is not there or fails.
    """
    with tempfile.TemporaryDirectory(prefix="vdibench-render-") as place:
        file = Path(place, "settings.yaml")
        file.write_text(yaml.safe_dump({**settings, "domain": domain}, allow_unicode=True))
        words = ["render", "--template=-", f"--user={user}", f"--session={user}", f"--settings={file}", "--json"]
        text = _run(
            [str(programs.operator), *words, *([f"--relay={relay}"] if relay else [])],
            given=yaml.safe_dump(dict(template), allow_unicode=True),
        )
    return list(json.loads(text)["items"])


def chart_role(programs: Programs, chart: Path) -> Object:
    """The Role that a chart of the operator brings, with its own values.

    :raises UsageError: it brings none, or helm cannot make it.
    :raises VdibenchError: there is no helm.
    """
    command = [str(programs.helm), "template", RELEASE, str(chart), f"--namespace={NAMESPACE}"]
    # It asks no cluster, and as it is built for the lab it knows no version of its own.
    text = _run([*command, f"--kube-version={KUBERNETES}"], refusal=1)
    objects = [one for one in yaml.safe_load_all(text) if one]
    found = [one for one in objects if one["kind"] == "Role" and one["metadata"]["name"] == _ROLE]
    if len(found) != 1:
        raise UsageError(
            f"the chart {chart} brings {len(found)} Roles {_ROLE}, not one", "take the operator's chart as it is"
        )
    return dict(found[0])


def _run(command: Sequence[str], given: str = "", refusal: int = _REFUSED) -> str:
    """What a program prints.

    :param given: to its standard input.
    :param refusal: exit code by which it says that it was asked wrongly.
    :raises UsageError: it says so.
    :raises VdibenchError: it is not there, or fails otherwise.
    """
    what = " ".join((Path(command[0]).name, command[1]))
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    except OSError as error:
        raise VdibenchError(f"cannot run {command[0]}: {error.strerror}", "install it, or name another one") from error
    said = done.stderr.strip().removeprefix("Error: ")[-500:]
    if done.returncode == refusal:
        raise UsageError(f"{what} refuses: {said}", "mend what it names")
    if done.returncode:
        raise VdibenchError(f"{what} ended with status {done.returncode}: {said}", "see what it says")
    return done.stdout
