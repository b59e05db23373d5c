"""A verdict as JUnit XML, one test case an objective: what continuous integration displays. Pure."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from vdibench.records import ObjectiveResult, Outcome, SuiteVerdict, Verdict

__all__ = ["junit_xml"]

_ELEMENT = {
    Outcome.FAIL: "failure",
    Outcome.NO_DATA: "error",
    Outcome.INVALID: "error",
    Outcome.NOT_APPLICABLE: "skipped",
}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(verdict: Verdict) -> bytes:
    """The XML document. No data and an invalid suite are errors, a missed objective is a failure.

    A suite without objectives, or one whose outcome its objectives do not explain, gets a case of its own named
    ``verdict``, so that no suite looks green by being empty.
    """
    root = ElementTree.Element("testsuites", name=_text(verdict.run))
    for suite in verdict.suites:
        _add_suite(root, suite)
    if not verdict.suites:
        _add_suite(root, SuiteVerdict("run", Outcome.NO_DATA, (), ("no suite reached a verdict",)))
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _add_suite(root: ElementTree.Element, suite: SuiteVerdict) -> None:
    element = ElementTree.SubElement(root, "testsuite", name=_text(suite.suite))
    counts = {"failure": 0, "error": 0, "skipped": 0}
    cases = 0
    for result in suite.objectives:
        case = ElementTree.SubElement(
            element, "testcase", classname=_text(suite.suite), name=_text(f"{result.metric}: {result.expect}")
        )
        cases += 1
        _add_result(case, result.outcome, _message(result), counts)
    explained = suite.outcome in {result.outcome for result in suite.objectives}
    if not explained or suite.outcome is Outcome.INVALID:
        case = ElementTree.SubElement(element, "testcase", classname=_text(suite.suite), name="verdict")
        cases += 1
        _add_result(case, suite.outcome, "; ".join(suite.reasons) or str(suite.outcome), counts)
    element.set("tests", str(cases))
    element.set("failures", str(counts["failure"]))
    element.set("errors", str(counts["error"]))
    element.set("skipped", str(counts["skipped"]))


def _add_result(case: ElementTree.Element, outcome: Outcome, message: str, counts: dict[str, int]) -> None:
    name = _ELEMENT.get(outcome)
    if name is not None:
        counts[name] += 1
        ElementTree.SubElement(case, name, message=_text(message), type=str(outcome))


def _message(result: ObjectiveResult) -> str:
    observed = "no value" if result.observed is None else f"{result.observed:g} {result.unit}"
    return f"{result.outcome}: {observed} from {result.samples} samples; {result.reason}"


def _text(text: str) -> str:
    return _NOT_XML.sub("�", text)
