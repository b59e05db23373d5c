from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdibench.errors import ParameterError
from vdibench.lab import workloads
from vdibench.records import Desktop, Endpoint, Workload
from vdibench.suites.gpu_density import Parameters
from vdibench.targets import Wanted

ENDPOINT = Endpoint("http://127.0.0.1:1")


@given(st.lists(st.sampled_from(Workload), min_size=1, max_size=9), st.integers(0, 99))
def test_workloads_are_dealt_out_in_turn(chosen: list[Workload], index: int) -> None:
    found = workloads(" , ".join(chosen))
    assert found == tuple(chosen)
    wanted = Wanted(desktops=100, workloads=found)
    assert wanted.workload(index) is chosen[index % len(chosen)]
    assert wanted.workload(index + len(chosen)) is wanted.workload(index)


@pytest.mark.parametrize("text", ["", "film", "text,", "text;3d", "text,,idle"])
def test_what_names_no_workloads(text: str) -> None:
    with pytest.raises(ParameterError, match="text, window, video, 3d") as caught:
        Parameters(workload=text)
    assert repr(text) in caught.value.cause


@pytest.mark.parametrize(
    ("workload", "renderer", "shown"),
    [
        (None, "", ""),
        (Workload.TEXT, "", "text"),
        (Workload.SCENE, "llvmpipe (LLVM 15.0.6, 256 bits)", "3d (llvmpipe)"),
        (Workload.SCENE, "NVIDIA A10/PCIe/SSE2", "3d (NVIDIA A10)"),
    ],
)
def test_what_draws_is_said_with_what_is_drawn(workload: Workload | None, renderer: str, shown: str) -> None:
    assert Desktop("desktop-0", ENDPOINT, workload=workload, renderer=renderer).shows == shown
