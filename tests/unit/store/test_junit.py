"""The JUnit file says what the verdict says, in the words that continuous integration knows."""

from __future__ import annotations

from xml.etree import ElementTree

from vdibench.records import ObjectiveResult, Outcome, SuiteVerdict, Verdict
from vdibench.store import junit_xml


def _result(outcome: Outcome, reason: str = "because") -> ObjectiveResult:
    return ObjectiveResult("jitter_seconds", f"max < 1 ({outcome})", outcome, 0.5, 3, 1.0, "seconds", reason)


def _parsed(*suites: SuiteVerdict) -> list[ElementTree.Element]:
    root = ElementTree.fromstring(junit_xml(Verdict("a-run", Outcome.PASS, suites)))
    assert root.tag == "testsuites"
    return list(root)


def test_each_outcome_has_its_element() -> None:
    [suite] = _parsed(SuiteVerdict("s", Outcome.FAIL, tuple(_result(outcome) for outcome in Outcome)))
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert cases == {
        "jitter_seconds: max < 1 (pass)": [],
        "jitter_seconds: max < 1 (fail)": ["failure"],
        "jitter_seconds: max < 1 (no data)": ["error"],
        "jitter_seconds: max < 1 (not applicable)": ["skipped"],
        "jitter_seconds: max < 1 (invalid)": ["error"],
    }
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5",
        "failures": "1",
        "errors": "2",
        "skipped": "1",
    }


def test_no_suite_looks_green_by_being_empty_or_invalid() -> None:
    for suite, message in (
        (SuiteVerdict("s", Outcome.NO_DATA, (), ("nothing applied",)), "nothing applied"),
        (SuiteVerdict("s", Outcome.INVALID, (_result(Outcome.PASS),), ("contended",)), "contended"),
        (SuiteVerdict("s", Outcome.NO_DATA, (_result(Outcome.NOT_APPLICABLE),)), "no data"),
    ):
        [parsed] = _parsed(suite)
        assert parsed.find("testcase[@name='verdict']/error").get("message") == message
        assert parsed.get("errors") == "1"
    [parsed] = _parsed()
    assert parsed.find("testcase/error").get("message") == "no suite reached a verdict"


def test_texts_are_escaped_and_cleaned() -> None:
    [suite] = _parsed(SuiteVerdict("s", Outcome.FAIL, (_result(Outcome.FAIL, 'a <b> & "c" \x1b[31m \ud800'),)))
    assert suite.find("testcase/failure").get("message").endswith('a <b> & "c" �[31m �')
