"""Manifests, the reference run, its evidence and the chart still agree: who changes one alone is told here.

``results/reference/evidence.json`` is what ``vdibench graduate reference`` wrote when the run was committed. A change
of the chart alone gives other evidence of the same run: VDIBENCH_GOLDEN=1 writes it anew. A change of what was measured
is refused, and wants a new run: ``make circle``.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from vdibench.graduation.checking import check_chart
from vdibench.graduation.findings import Required, Waiver
from vdibench.graduation.graduate import Request, graduate
from vdibench.graduation.refusal import Refused
from vdibench.graduation.statement import EVIDENCE_FILE
from vdibench.lab.cluster.operating import chart_folder
from vdibench.store import Recording

pytestmark = pytest.mark.timeout(300)  # the first test of all may have to build kubectl and helm
ROOT = Path(__file__).resolve().parents[3]
REFERENCE = ROOT / "results" / "reference"
EVIDENCE = REFERENCE / "evidence.json"
DAY = 86_400.0


def request_for(output: Path) -> Request:
    return Request(
        run=REFERENCE,
        output=output,
        allow_lab=True,
        # As benchmarks/circle.py has them.
        waivers=(
            Waiver(Required.PREFLIGHT, "a lab has no public DNS, and Debian's coturn"),
            Waiver(Required.POLICIES, "the kernel of a lab's host need not have what a policy engine is made of"),
        ),
    )


def soon() -> float:
    ended = Recording.open(REFERENCE).run.ended_unix_seconds
    assert ended is not None
    return ended + DAY


def test_the_reference_run_still_gives_the_evidence_that_is_committed(tmp_path: Path) -> None:
    made = graduate(request_for(tmp_path / "chart"), now=soon(), say=lambda line: None)
    found = (made.output / "graduated" / EVIDENCE_FILE).read_text()
    if os.environ.get("VDIBENCH_GOLDEN") == "1":
        EVIDENCE.write_text(found)
    assert found == EVIDENCE.read_text()
    assert check_chart(made.output, run=REFERENCE, now=soon()) == ()


def test_another_manifest_than_was_measured_is_refused(tmp_path: Path) -> None:
    manifests = shutil.copytree(ROOT / "manifests", tmp_path / "manifests")
    pod = manifests / "session" / "base" / "pod.yaml"
    text = pod.read_text()
    assert "allowPrivilegeEscalation: false" in text
    pod.write_text(text.replace("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true"))
    with pytest.raises(Refused) as refused:
        graduate(replace(request_for(tmp_path / "chart"), manifests=manifests), now=soon(), say=lambda line: None)
    assert any("allowPrivilegeEscalation" in finding.cause for finding in refused.value.findings)


def test_a_chart_that_changed_after_it_was_graduated_is_found(tmp_path: Path) -> None:
    made = graduate(request_for(tmp_path / "chart"), now=soon(), say=lambda line: None)
    values = made.output / "values.yaml"
    values.write_text(values.read_text() + "\n# by hand\n")
    assert any("values.yaml" in finding.cause for finding in check_chart(made.output, run=REFERENCE, now=soon()))
    assert chart_folder().is_dir(), "the operator's own chart is another one, and untouched"
