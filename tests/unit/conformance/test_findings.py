"""A judgement as checks and as a table."""

from __future__ import annotations

import dataclasses

from kubernetes import client

from vdibench.clusters import Cluster
from vdibench.conformance import NO_ENGINE, Expected, Judgement, Opening, Places, Source, Try, edges, judge
from vdibench.preflight import CLUSTER_CHECKS, ClusterContext, ClusterEvidence, judge_cluster
from vdibench.preflight.cluster_snapshot import ClusterSnapshot
from vdibench.records import Check, Outcome, worst
from vdibench.suites.conformance import conformance_checks, conformance_table, probed, with_judgement


def judged(places: Places, *, open_edges: tuple[str, ...] = (), policies: int = 6) -> Judgement:
    """As an engine would have it.

    :param open_edges: forbidden ones that answer all the same.
    """

    def said(name: str, source: Source, asker: Source, expected: Expected) -> str:
        shut = asker is source and expected is Expected.DENIED and name not in open_edges
        return "refused" if shut else "answered"

    found = {
        (edge.name, asker): [Try(said(edge.name, edge.source, asker, edge.expected), "said")]
        for edge in edges(places)
        for asker in edge.askers
    }
    return judge(edges(places), found, Opening(0.25, False, 5.0), policies=policies)


def engine(context: ClusterContext) -> Check:
    """What preflight makes of it."""
    [check] = [one for one in CLUSTER_CHECKS if one.name == "policy_engine"]
    [found] = judge_cluster(ClusterEvidence(context, ClusterSnapshot("v1.34.4")), [check])
    return found.check


def test_the_verdict_comes_first_and_an_edge_is_a_check(places: Places) -> None:
    found = judged(dataclasses.replace(places, internet=None))
    checks = conformance_checks(found)
    assert checks[0].name == "policies"
    assert checks[0].outcome is Outcome.PASS
    assert "a new session was open for 250 ms" in checks[0].evidence
    assert "exempt: node → session (10.42.0.7:8080/TCP): open" in checks[0].evidence
    assert checks[-1].name == "policies_absent"
    assert checks[-1].outcome is Outcome.NOT_APPLICABLE
    assert "internet: no address outside was named" in checks[-1].finding
    assert {check.name for check in checks[1:-1]} == {f"edge_{row.edge.name}" for row in found.rows if row.counts}
    assert worst(check.outcome for check in checks) is found.outcome


def test_checks_are_single_lines_and_passes_have_no_remedy(places: Places) -> None:
    for check in conformance_checks(judged(dataclasses.replace(places, coturn=""))):
        assert "\n" not in check.finding + check.evidence + check.remedy
        assert bool(check.remedy) == (check.outcome in (Outcome.FAIL, Outcome.NO_DATA)), check


def test_the_table_has_every_edge(places: Places) -> None:
    found = judged(dataclasses.replace(places, internet=None))
    table = conformance_table(found)
    assert list(table.columns) == ["edge", "expected", "found", "outcome", "note"]
    assert len(table) == len(found.rows)
    row = table[table["edge"] == "traefik → session (10.42.0.7:8080/TCP)"].iloc[0]
    assert row.to_list()[1:] == ["allowed", "answered 1 of 1", "PASS", "allow-traefik-to-session"]
    assert table[table["edge"] == "session → internet"].iloc[0]["found"] == "no data"
    assert set(table[table["expected"] == "exempt"]["outcome"]) == {"EXEMPT"}


def test_preflight_is_told_what_was_found(places: Places) -> None:
    found = engine(with_judgement(ClusterContext(), judged(places)))
    assert found.outcome is Outcome.PASS
    hole = engine(with_judgement(ClusterContext(), judged(places, open_edges=("session_to_session",))))
    assert hole.outcome is Outcome.FAIL
    assert "open, and should not be: session_to_session" in hole.finding
    every = tuple(edge.name for edge in edges(places))
    none = engine(with_judgement(ClusterContext(), judged(places, open_edges=every)))
    assert none.outcome is Outcome.FAIL
    assert "what a policy forbids gets through" in none.finding
    without = engine(with_judgement(ClusterContext(), judged(places, open_edges=every, policies=0)))
    assert without.outcome is Outcome.NO_DATA
    assert "there are no policies" in without.finding
    assert engine(ClusterContext()).outcome is Outcome.NO_DATA


def test_an_edge_that_cannot_be_tried_says_nothing_against_an_engine(places: Places) -> None:
    judgement = judged(dataclasses.replace(places, coturn=""))
    assert judgement.outcome is Outcome.NO_DATA
    assert engine(with_judgement(ClusterContext(), judgement)).outcome is Outcome.PASS


def test_a_later_judgement_takes_the_place_of_an_earlier(places: Places) -> None:
    every = tuple(edge.name for edge in edges(places))
    context = with_judgement(ClusterContext(replicas=4), judged(places, open_edges=every))
    assert context.policy_fault.startswith(NO_ENGINE)
    assert with_judgement(context, judged(places)) == ClusterContext(replicas=4, policy_enforced=True)


def test_a_probe_that_cannot_be_made_is_no_data_with_its_reason(tmp_path) -> None:
    configuration = client.Configuration(host="http://127.0.0.1:9")  # nobody
    configuration.proxy = None
    with client.ApiClient(configuration) as api:
        context = probed(Cluster("test", api, "v1.34.4", tmp_path / "none"), ClusterContext())
    assert context.policy_enforced is None
    found = engine(context)
    assert found.outcome is Outcome.NO_DATA
    assert "probed, and it cannot be told: " in found.finding
    assert context.policy_fault in found.finding
