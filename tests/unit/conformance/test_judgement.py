"""Edge × expected × found: which verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from vdibench.conformance import (
    NO_ENGINE,
    Edge,
    Expected,
    Judgement,
    Opening,
    Places,
    Source,
    Try,
    edges,
    judge,
)
from vdibench.conformance.judgement import NO_POLICIES
from vdibench.records import Outcome

Found = dict[tuple[str, Source], list[Try]]
OPTIONAL = {"metadata", "internet", "ssh", "exporter", "node_port"}


def seen(places: Places, of_source: Callable[[Edge], str], of_control: str = "answered") -> Found:
    """What probes found: by the edge from its source, one word from all controls."""
    found: Found = {}
    for edge in edges(places):
        for asker in edge.askers:
            word = of_source(edge) if asker is edge.source else of_control
            found[edge.name, asker] = [Try(word, f"said {word}")] * 3
    return found


def as_told(edge: Edge) -> str:
    """An engine that does what policies say."""
    return "refused" if edge.expected is Expected.DENIED else "answered"


def outcomes(judgement: Judgement) -> dict[str, Outcome]:
    return {row.edge.name: row.outcome for row in judgement.rows}


def test_an_engine_that_does_what_policies_say_passes(places: Places) -> None:
    found = judge(edges(places), seen(places, as_told), policies=6)
    assert found.outcome is Outcome.PASS
    assert found.enforced
    assert found.remedy == ""
    assert found.sentence == f"all {len([row for row in found.rows if row.counts])} edges are as the policies say"
    assert {row.edge.name for row in found.exempt} == {"node_to_session", "coturn_to_session"}
    assert {row.finding for row in found.exempt} == {"open"}


@pytest.mark.parametrize("word", ["refused", "timeout"])
def test_refused_and_silent_are_both_denied(places: Places, word: str) -> None:
    def told(edge: Edge) -> str:
        return word if edge.expected is Expected.DENIED else "answered"

    assert judge(edges(places), seen(places, told)).outcome is Outcome.PASS


def test_nothing_denied_means_that_no_engine_enforces(places: Places) -> None:
    found = judge(edges(places), seen(places, lambda edge: "answered"), policies=6)
    assert found.outcome is Outcome.FAIL
    assert found.sentence.startswith(NO_ENGINE)
    assert found.enforced is False
    assert found.remedy


def test_without_policies_it_is_not_the_engine_that_lacks(places: Places) -> None:
    found = judge(edges(places), seen(places, lambda edge: "answered"), policies=0)
    assert found.outcome is Outcome.FAIL
    assert found.sentence.startswith(NO_POLICIES)
    assert NO_ENGINE not in found.sentence
    assert found.enforced is None, "nobody was asked to deny anything"


def test_one_forbidden_edge_that_answers_once_fails(places: Places) -> None:
    answers = seen(places, as_told)
    answers["session_to_session", Source.SESSION] = [Try("refused"), Try("answered", "HTTP/1.0 200 OK"), Try("refused")]
    found = judge(edges(places), answers)
    assert found.outcome is Outcome.FAIL
    assert found.enforced
    assert found.sentence == "open, and should not be: session_to_session"
    row = next(row for row in found.rows if row.edge.name == "session_to_session")
    assert row.found == "refused 2 of 3, answered 1 of 3"


def test_one_allowed_edge_that_fails_once_fails(places: Places) -> None:
    answers = seen(places, as_told)
    answers["session_to_coturn_udp", Source.SESSION] = [Try("answered"), Try("timeout", "no answer"), Try("answered")]
    found = judge(edges(places), answers)
    assert found.outcome is Outcome.FAIL
    assert found.sentence == "not open, and should be: session_to_coturn_udp"
    row = next(row for row in found.rows if row.edge.name == "session_to_coturn_udp")
    assert row.finding == "no answer; from outsider it answers"


def test_an_allowed_edge_that_something_else_answers_fails(places: Places) -> None:
    answers = seen(places, as_told)
    answers["traefik_to_session", Source.TRAEFIK] = [Try("other", "HTTP/1.0 502")]
    assert outcomes(judge(edges(places), answers))["traefik_to_session"] is Outcome.FAIL


def test_silence_where_nobody_is_answered_proves_nothing(places: Places) -> None:
    found = judge(edges(places), seen(places, as_told, of_control="timeout"))
    assert found.outcome is Outcome.NO_DATA
    said = outcomes(found)
    assert said["session_to_session"] is Outcome.NO_DATA
    assert said["session_to_metadata"] is Outcome.NO_DATA
    assert said["session_to_coturn_udp"] is Outcome.PASS
    assert found.enforced is None


def test_what_a_cluster_need_not_have_is_no_data_and_no_fault(places: Places) -> None:
    answers = seen(places, as_told)
    for name in ("session_to_metadata", "session_to_internet", "session_to_ssh"):
        for source in (Source.OUTSIDER, Source.NODE):
            answers[name, source] = [Try("timeout")]
    found = judge(edges(places), answers)
    assert found.outcome is Outcome.PASS
    assert {row.edge.name for row in found.absent} == {"session_to_metadata", "session_to_internet", "session_to_ssh"}
    assert {row.outcome for row in found.absent} == {Outcome.NO_DATA}


def test_what_a_cluster_need_not_have_fails_all_the_same_when_it_answers(places: Places) -> None:
    answers = seen(places, as_told)
    answers["session_to_metadata", Source.SESSION] = [Try("answered", "HTTP/1.0 200 OK")]
    assert judge(edges(places), answers).outcome is Outcome.FAIL


def test_something_else_at_a_forbidden_edge_is_no_denial(places: Places) -> None:
    answers = seen(places, as_told)
    answers["session_to_outsider", Source.SESSION] = [Try("refused"), Try("other", "HTTP/1.0 403 from a proxy")]
    found = judge(edges(places), answers)
    assert outcomes(found)["session_to_outsider"] is Outcome.NO_DATA
    assert found.outcome is Outcome.NO_DATA
    assert found.sentence.startswith("1 of ")


def test_a_probe_that_does_not_run_is_no_data(places: Places) -> None:
    answers = seen(places, as_told)
    for name, source in list(answers):
        if source is Source.MONITORING:
            answers[name, source] = [Try("error", "python3 in pod p cannot be run")]
    found = judge(edges(places), answers)
    assert outcomes(found)["monitoring_to_session"] is Outcome.NO_DATA
    # Others prove the same.
    assert outcomes(found)["session_to_session"] is Outcome.PASS
    assert found.outcome is Outcome.NO_DATA


def test_nothing_at_all_never_passes(places: Places) -> None:
    assert judge(edges(places), {}).outcome is Outcome.NO_DATA
    assert judge((), {}).outcome is Outcome.NO_DATA


def test_what_is_missing_counts_when_every_cluster_has_it(places: Places) -> None:
    bare = dataclasses.replace(places, coturn="", internet=None)
    found = judge(edges(bare), seen(bare, as_told))
    assert found.outcome is Outcome.NO_DATA
    assert "session_to_coturn_udp" in found.sentence
    assert "session_to_internet" not in found.sentence


def test_exceptions_are_told_and_never_judged(places: Places) -> None:
    def shut(edge: Edge) -> str:
        return "timeout" if edge.expected is Expected.EXEMPT else as_told(edge)

    found = judge(edges(places), seen(places, shut))
    assert found.outcome is Outcome.PASS
    assert {row.finding for row in found.exempt} == {"shut"}


def test_the_opening_is_a_figure_of_its_own(places: Places) -> None:
    found = judge(edges(places), seen(places, as_told), Opening(0.61, False, 5.0))
    assert found.outcome is Outcome.PASS
    assert str(found.opening) == "a new session was open for 610 ms"


def test_only_what_a_cluster_may_lack_is_optional(places: Places) -> None:
    found = {edge.name.removeprefix("session_to_") for edge in edges(places) if not edge.required}
    assert found == OPTIONAL
