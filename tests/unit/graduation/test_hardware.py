"""On what hardware a run was made, in words."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from vdibench.graduation.hardware import hardware_class, lab_evidence
from vdibench.records import Node

from .runs import described, subjects

RUN = described(1_760_000_000.0, host={"cpu_model": "AMD EPYC", "cpu_cores": 4, "cpu_cores_usable": 2.0})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "NVIDIA L4, driver 580.65.06"),
        ({"lab": True}, "lab: AMD EPYC, 2 cores, no GPU"),
        ({"nodes": ()}, "unknown"),
        ({"nodes": (Node("v1.31.4", system="Debian GNU/Linux 12"),)}, "Debian GNU/Linux 12, no GPU"),
        ({"nodes": (Node("v1.31.4", gpu="NVIDIA-A10-SHARED"),)}, "NVIDIA A10"),
        (
            {"nodes": (Node("v1.31.4", gpu="NVIDIA-L4", driver="580.1"), Node("v1.31.4", gpu="NVIDIA-A10"))},
            "NVIDIA A10 / NVIDIA L4, driver 580.1",
        ),
    ],
)
def test_a_class_names_what_desktops_ran_on(changes: dict[str, Any], words: str) -> None:
    assert hardware_class(RUN, subjects(**changes)) == words


def test_a_host_that_says_little_of_itself() -> None:
    assert hardware_class(dataclasses.replace(RUN, host={}), subjects(lab=True)) == "lab: unknown CPU, no GPU"


@pytest.mark.parametrize("target", ["lab", "lab:other", "replay:trace"])
def test_a_lab_without_pods_and_a_replay_are_no_evidence_either(target: str) -> None:
    run = dataclasses.replace(RUN, target=target, context={})
    assert lab_evidence(run, subjects())
    assert not lab_evidence(RUN, subjects())
