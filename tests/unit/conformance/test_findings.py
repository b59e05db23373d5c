"""A judgement as checks and as a table."""

from __future__ import annotations

import dataclasses

from vdibench.conformance import Expected, Judgement, Opening, Places, Try, edges, judge
from vdibench.records import Outcome, worst
from vdibench.suites.conformance import conformance_checks, conformance_table


def judged(places: Places) -> Judgement:
    found = {
        (edge.name, asker): [
            Try("refused" if asker is edge.source and edge.expected is Expected.DENIED else "answered", "said")
        ]
        for edge in edges(places)
        for asker in edge.askers
    }
    return judge(edges(places), found, Opening(0.25, False, 5.0), policies=6)


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
