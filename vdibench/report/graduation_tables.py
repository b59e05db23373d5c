"""Tables of a graduation: its findings, and what its evidence says. Pure: text cells, ready to show.

Evidence comes as the predicate of its statement, plain JSON types: what was read from a chart of another version is
shown as far as it is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from vdibench.records import Outcome
from vdibench.report import formats
from vdibench.slo import CHECK_PREFIX

__all__ = ["evidence_table", "evidenced_objectives_table", "evidenced_suites_table", "refusals_table", "sessions_text"]

_SHOWN_DIGITS = 12
_NAMED = 3  # of what was missed


def refusals_table(findings: Iterable[tuple[str, str, str]]) -> pd.DataFrame:
    """One row a finding: its kind, its cause and its remedy."""
    rows = [[formats.clean(cell) for cell in finding] for finding in findings]
    return pd.DataFrame(rows, columns=["finding", "cause", "remedy"])


def evidenced_suites_table(predicate: Mapping[str, Any]) -> pd.DataFrame:
    """One row a suite: its outcome, its reasons or what it missed, and where it was waived, why."""
    reasons = {str(one.get("what", "")): str(one.get("reason", "")) for one in _rows(predicate, "waivers")}
    rows = []
    for one in _rows(predicate, "suites"):
        name = str(one.get("name", ""))
        said = "; ".join(str(reason) for reason in one.get("reasons") or ()) or _missed(predicate, name)
        waived = one.get("waived") or reasons.get(name)
        if waived:
            said = f"waived: {reasons.get(name) or waived}"
        rows.append([formats.clean(name), _outcome(one.get("outcome")), formats.clean(said)])
    listed = {str(one.get("name", "")) for one in _rows(predicate, "suites")}
    rows.extend(
        [formats.clean(name), "", f"waived: {formats.clean(reason)}"]
        for name, reason in reasons.items()
        if name not in listed
    )
    return pd.DataFrame(rows, columns=["suite", "outcome", "reason"])


def _missed(predicate: Mapping[str, Any], suite: str) -> str:
    """What of a suite was missed, by name: a check of it may be waived where the suite is not."""
    names = [
        str(one.get("metric", "")).removeprefix(CHECK_PREFIX)
        for one in _rows(predicate, "objectives")
        if one.get("suite") == suite and one.get("outcome") == Outcome.FAIL
    ]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"missed: {', '.join(names[:_NAMED])}{more}" if names else ""


def evidenced_objectives_table(predicate: Mapping[str, Any]) -> pd.DataFrame:
    """One row an objective that applied; checks are left out."""
    rows = []
    for one in _rows(predicate, "objectives"):
        if one.get("outcome") == Outcome.NOT_APPLICABLE or str(one.get("metric", "")).startswith(CHECK_PREFIX):
            continue
        unit, samples = str(one.get("unit", "")), one.get("samples")
        rows.append(
            [
                formats.clean(one.get("suite", "")),
                formats.clean(one.get("metric", "")),
                formats.clean(one.get("expect", "")),
                formats.quantity(one.get("observed"), unit),
                formats.count(samples),
                _outcome(one.get("outcome")),
            ]
        )
    columns = ["suite", "objective", "expectation", "observed", "samples", "outcome"]
    return pd.DataFrame(rows, columns=columns)


def evidence_table(predicate: Mapping[str, Any]) -> pd.DataFrame:
    """What was run, on what, how many sessions that carries, and until when it counts."""
    run, hardware = _part(predicate, "run"), _part(predicate, "hardware")
    cluster, manifests, expires = (_part(predicate, name) for name in ("cluster", "manifests", "expires"))
    images = [
        f"{one.get('name', '')} ({str(one.get('digest') or 'no digest').removeprefix('sha256:')[:_SHOWN_DIGITS]})"
        for one in _rows(predicate, "images")
    ]
    facts = {
        "run": f"{run.get('name', '')}, verdict {predicate.get('verdict', '')}, ended {run.get('ended', '')}",
        "sessions": sessions_text(_part(predicate, "capacity")),
        "hardware": hardware.get("class", ""),
        "cluster": f"Kubernetes {cluster.get('kubernetes') or 'unknown'}",
        "manifests": f"{manifests.get('overlay', '')} on platform {manifests.get('platform', '')}",
        "images": ", ".join(images),
        "expires": expires.get("at", ""),
    }
    rows = [[name, formats.clean(value)] for name, value in facts.items()]
    return pd.DataFrame(rows, columns=["evidence", "value"])


def sessions_text(capacity: Mapping[str, Any]) -> str:
    """``8 a GPU; up to 9 may be good``, and what is known where no level was bad, or the next one was."""
    least, most = capacity.get("sessionsPerGPU"), capacity.get("upper")
    where = "host" if capacity.get("per") == "host" else "GPU"
    if not isinstance(least, int) or least < 1:
        return formats.NO_DATA
    if not isinstance(most, int):
        return f"{least} a {where}; no more were found to be too many"
    return f"{least} a {where}" + (f"; up to {most} may be good" if most > least else "; one more is too many")


def _rows(document: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = document.get(name)
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list | tuple) else []


def _part(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    return found if isinstance(found, Mapping) else {}


def _outcome(said: Any) -> str:
    try:
        return formats.outcome_word(Outcome(said))
    except ValueError:
        return formats.clean(said)
