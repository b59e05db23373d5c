from __future__ import annotations

import json
import os
import platform

import av
import psutil

import vdibench
from vdibench.telemetry import host_facts, versions


def test_the_facts_of_the_host_are_those_of_this_machine_and_fit_into_json():
    facts = json.loads(json.dumps(host_facts()))
    assert facts["kernel"] == os.uname().release
    assert facts["memory_bytes"] == psutil.virtual_memory().total
    assert facts["cpu_cores"] == os.cpu_count()
    assert 0 < facts["cpu_cores_usable"] <= facts["cpu_cores"]
    assert facts["cpu_model"]
    assert facts["load_average_1m"] >= 0
    assert facts["clock_source"]
    assert platform.freedesktop_os_release()["PRETTY_NAME"] == facts["distribution"]
    assert facts["gpu_state"]


def test_what_cannot_be_found_out_is_left_out():
    assert all(value not in (None, "") for value in host_facts().values())


def test_versions_name_the_software_that_measures():
    found = versions()
    assert found["vdibench"] == vdibench.__version__
    assert found["python"] == platform.python_version()
    assert found["libavcodec"] == ".".join(map(str, av.library_versions["libavcodec"]))
    assert {"aiortc", "av", "numpy", "pandas", "psutil"} <= found.keys()
