"""Policy conformance as a suite's findings: edge × expected × found; and as what preflight of a cluster is told of it.

For notebook 02, ``vdibench conformance`` and ``vdibench preflight``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pandas as pd

from vdibench.clusters import Cluster
from vdibench.conformance import Expected, Judgement, Options, Platform, Row, check_policies
from vdibench.errors import VdibenchError
from vdibench.preflight import ClusterContext
from vdibench.records import Check, Outcome
from vdibench.report import outcome_word

__all__ = ["conformance_checks", "conformance_table", "policy_checks", "probed", "with_judgement"]


def policy_checks(
    cluster: Cluster, options: Options | None = None, say: Callable[[str], None] = lambda line: None
) -> list[Check]:
    """Probe every edge of a cluster's policies with pods of its own, which are gone afterwards; half a minute.

    :param say: called with a line per step, such as a measurement's ``progress.say``.
    :return: the verdict first, then one check an edge.
    :raises VdibenchError: the pods cannot be made, or the cluster does not answer.
    """
    return conformance_checks(check_policies(cluster, options, say))


def conformance_checks(judgement: Judgement) -> list[Check]:
    """A judgement as checks. Pure."""
    notes = [f"{len(judgement.rows)} edges"]
    if judgement.opening is not None:
        notes.append(str(judgement.opening))
    notes += [f"exempt: {row.edge}: {row.finding}" for row in judgement.exempt]
    first = Check("policies", judgement.outcome, judgement.sentence, "; ".join(notes), judgement.remedy)
    edges = [_check(row) for row in judgement.rows if row.counts]
    if not judgement.absent:
        return [first, *edges]
    absent = "; ".join(f"{row.edge.destination}: {row.finding}" for row in judgement.absent)
    return [first, *edges, Check("policies_absent", Outcome.NOT_APPLICABLE, f"no data of {absent}")]


def probed(cluster: Cluster, context: ClusterContext, say: Callable[[str], None] = lambda line: None) -> ClusterContext:
    """What preflight should know of a cluster, with what a probe of every edge found; half a minute.

    A probe that cannot be made is no error here: what it says then stands in the context.
    """
    platform = Platform(
        sessions=context.session_namespace, turn=context.turn_namespace, traefik=context.ingress_namespace
    )
    try:
        judgement = check_policies(cluster, Options(image=context.image, platform=platform), say)
    except VdibenchError as error:
        return dataclasses.replace(context, policy_enforced=None, policy_fault=str(error))
    say(judgement.sentence)
    return with_judgement(context, judgement)


def with_judgement(context: ClusterContext, judgement: Judgement) -> ClusterContext:
    """The same, from a judgement that there is already. Pure."""
    enforced = judgement.enforced
    # That an edge could not be tried says nothing against an engine that was seen at work.
    fault = judgement.sentence if enforced is None or judgement.outcome is Outcome.FAIL else ""
    return dataclasses.replace(context, policy_enforced=enforced, policy_fault=fault)


def conformance_table(judgement: Judgement) -> pd.DataFrame:
    """One row an edge, as text."""
    columns = ["edge", "expected", "found", "outcome", "note"]
    rows = [
        [
            str(row.edge),
            str(row.edge.expected),
            row.found or "no data",
            outcome_word(row.outcome) if row.edge.expected is not Expected.EXEMPT else "EXEMPT",
            "; ".join(part for part in (row.edge.why, row.finding) if part),
        ]
        for row in judgement.rows
    ]
    return pd.DataFrame(rows, columns=columns)


def _check(row: Row) -> Check:
    edge = row.edge
    found = row.found or "no data"
    finding = f"{edge}: should be {edge.expected}, found {found}"
    remedy = ""
    if row.outcome is Outcome.NO_DATA:
        remedy = "mend what it lacks, and check again"
    elif row.outcome is Outcome.FAIL:
        remedy = "see the check 'policies'"
    evidence = "; ".join(part for part in (edge.why, row.finding) if part)
    return Check(f"edge_{edge.name}", row.outcome, finding, evidence, remedy)
