"""From an exporter's text to figures: one by device and instant, whoever is named beside it."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from vdibench.errors import ProtocolViolation
from vdibench.lab.cluster.dcgm import Replay
from vdibench.telemetry.dcgm import FIELDS, DcgmReading, GpuDevice, Sampling, Scopes, parse, reading
from vdibench.telemetry.prometheus import Sample

ROOT = Path(__file__).resolve().parents[3]
RECORDINGS = ROOT / "tests" / "data" / "dcgm"
NOW = 1_800_000_000.0
MEBIBYTE = 1 << 20
L4 = {"gpu": "0", "UUID": "GPU-1", "modelName": "NVIDIA L4", "hostname": "n"}


def recorded(name: str) -> DcgmReading:
    return reading(parse((RECORDINGS / f"{name}.prom").read_text(), NOW))


def figures(found: DcgmReading) -> dict[tuple[str, str], float]:
    scopes = Scopes()
    return {(scopes.of(one.device), one.resource): one.value for one in found.figures}


def sample(name: str, value: float, at: float = NOW, **labels: str) -> Sample:
    return Sample({"__name__": name, **L4, **labels}, at, value)


def test_a_sliced_gpu_has_its_own_figures_and_its_pods_have_none() -> None:
    found = recorded("time-sliced")
    assert figures(found) == {
        ("gpu-0", "gpu_utilization_ratio"): 0.83,
        ("gpu-0", "gpu_encoder_utilization_ratio"): 0.41,
        ("gpu-0", "gpu_memory_bytes"): 5121 * MEBIBYTE,
        ("gpu-0", "gpu_power_watts"): 58.214,
        ("gpu-0", "gpu_engine_active_ratio"): 0.792,
        ("gpu-0", "gpu_sm_active_ratio"): 0.471,
    }
    assert found.refusals == ()
    assert "vdi-session" not in repr(found)


@pytest.mark.parametrize("name", ["repeated", "last-pod"])
def test_what_is_repeated_counts_once_and_the_pod_that_is_named_gets_nothing(name: str) -> None:
    found = recorded(name)
    assert figures(found)["gpu-0", "gpu_utilization_ratio"] == 0.72
    assert {one.device.uuid for one in found.figures} == {"GPU-0ddba11a-0000-4000-8000-000000000074"}
    assert len(found.figures) == len({one.resource for one in found.figures}) == 5
    assert "gpu-workload" not in repr(found)


def test_two_gpus_and_no_encoder_where_there_is_none() -> None:
    found = figures(recorded("two-gpus"))
    assert found["gpu-0", "gpu_utilization_ratio"] == 0.37
    assert found["gpu-1", "gpu_utilization_ratio"] == 0.96
    assert found["gpu-0", "gpu_encoder_utilization_ratio"] == 0.12
    assert ("gpu-1", "gpu_encoder_utilization_ratio") not in found
    assert found["gpu-1", "gpu_memory_bytes"] == 40960 * MEBIBYTE
    assert ("gpu-1", "gpu_sm_active_ratio") not in found


def test_instances_of_mig_stand_apart() -> None:
    assert figures(recorded("mig")) == {
        ("gpu-0", "gpu_memory_bytes"): 5700 * MEBIBYTE,
        ("gpu-0", "gpu_power_watts"): 71.33,
        ("gpu-0", "gpu_engine_active_ratio"): 0.244,
        ("gpu-0/1", "mig_memory_bytes"): 1980 * MEBIBYTE,
        ("gpu-0/1", "mig_engine_active_ratio"): 0.12,
        ("gpu-0/3", "mig_memory_bytes"): 3720 * MEBIBYTE,
        ("gpu-0/3", "mig_engine_active_ratio"): 0.611,
    }
    named = {one.device.instance: str(one.device) for one in recorded("mig").figures}
    assert named["3"] == "GPU-63bc0b91-0000-4000-8000-0000000000a3 NVIDIA A30, MIG 1g.6gb on node-d"


def test_copies_that_disagree_are_no_figure() -> None:
    copies = [sample("DCGM_FI_DEV_GPU_UTIL", 40, vgpu="0"), sample("DCGM_FI_DEV_GPU_UTIL", 43, vgpu="1")]
    found = reading([*copies, sample("DCGM_FI_DEV_FB_USED", 100, vgpu="0"), sample("DCGM_FI_DEV_FB_USED", 100)])
    assert figures(found) == {("gpu-0", "gpu_memory_bytes"): 100 * MEBIBYTE}
    (refusal,) = found.refusals
    assert refusal.resource == "gpu_utilization_ratio"
    assert refusal.reason == "2 values of one device at one instant, 40 to 43"


def test_the_device_s_own_value_counts_and_not_the_shares_beside_it() -> None:
    shares = [sample("DCGM_FI_DEV_GPU_UTIL", value, vgpu=str(value), pod=f"p{value}") for value in (20, 30, 10)]
    assert figures(reading([*shares, sample("DCGM_FI_DEV_GPU_UTIL", 61)])) == {("gpu-0", "gpu_utilization_ratio"): 0.61}


def test_of_several_instants_the_latest_counts() -> None:
    scraped_twice = [
        sample("DCGM_FI_DEV_GPU_UTIL", 10, NOW - 3, job="a"),
        sample("DCGM_FI_DEV_GPU_UTIL", 20, NOW, job="b"),
    ]
    (figure,) = reading(scraped_twice).figures
    assert (figure.value, figure.unix_seconds) == (0.2, NOW)


@pytest.mark.parametrize("name", FIELDS)
# DCGM's values for "there is none", a value below zero, and more than there can be.
@pytest.mark.parametrize("value", [2147483632.0, 9223372036854775792.0, 140737488355328.0, -1.0, float("inf")])
def test_what_cannot_be_is_no_figure(name: str, value: float) -> None:
    found = reading([sample(name, value)])
    assert found.figures == ()
    assert "cannot be" in found.refusals[0].reason


def test_no_value_no_device_and_no_interest_make_nothing() -> None:
    others = [
        sample("DCGM_FI_DEV_GPU_UTIL", float("nan")),
        sample("DCGM_FI_DEV_GPU_UTIL", 5, UUID=""),
        sample("DCGM_FI_DEV_GPU_TEMP", 50),
        Sample({"__name__": "up"}, NOW, 1),
        Sample({}, NOW, 1),
    ]
    assert reading(others) == DcgmReading()
    assert reading([]) == DcgmReading()


@pytest.mark.parametrize("spelling", ["Hostname", "hostname"])
def test_the_node_is_found_in_either_spelling(spelling: str) -> None:
    text = (RECORDINGS / "two-gpus.prom").read_text().replace("Hostname=", f"{spelling}=")
    assert {one.device.node for one in reading(parse(text, NOW)).figures} == {"node-c"}


def test_devices_keep_their_numbers_and_share_none() -> None:
    scopes = Scopes()
    first, second, third = (GpuDevice(uuid, index) for uuid, index in (("a", 0), ("b", 1), ("c", 0)))
    assert [scopes.of(one) for one in (first, second, third, second)] == ["gpu-0", "gpu-1", "gpu-2", "gpu-1"]
    assert scopes.of(GpuDevice("d")) == "gpu-3"
    assert scopes.of(GpuDevice("a", 0, "7")) == "gpu-0/7"
    assert len(scopes) == 4
    assert [name for name, _ in scopes] == ["gpu-0", "gpu-0/7", "gpu-1", "gpu-2", "gpu-3"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("time-sliced", {"gpu-0": 22551}),  # free memory is said of each slice, and is the device's
        ("two-gpus", {"gpu-0": 22553, "gpu-1": 81073}),
        ("mig", {"gpu-0": 24500, "gpu-0/1": 11880, "gpu-0/3": 5927}),
    ],
)
def test_a_frame_buffer_is_what_is_used_and_free(name: str, expected: dict[str, int]) -> None:
    scopes = Scopes()
    found = {scopes.of(device): size for device, size in recorded(name).frame_buffers}
    assert found == {scope: mebibytes * MEBIBYTE for scope, mebibytes in expected.items()}


def test_a_frame_buffer_of_two_instants_or_of_half_is_unknown() -> None:
    used, free = "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE"
    assert reading([sample(used, 100), sample(free, 900, NOW - 15)]).frame_buffers == ()
    assert reading([sample(used, 100)]).frame_buffers == ()
    assert reading([sample(free, 900)]) == DcgmReading()
    ((device, size),) = reading([sample(used, 100), sample(free, 900)]).frame_buffers
    assert (device.uuid, size) == ("GPU-1", 1000 * MEBIBYTE)


def scrape(sampling: Sampling, at: float, use: float, memory: float = 100, engine: float = 0.5) -> dict[str, float]:
    """What figures of a scrape say began no earlier, by resource."""
    values = {
        "DCGM_FI_DEV_GPU_UTIL": use,
        "DCGM_FI_DEV_FB_USED": memory,
        "DCGM_FI_PROF_GR_ENGINE_ACTIVE": engine,
    }
    figures = reading([sample(name, value, at) for name, value in values.items()]).figures
    sampling.add(figures)
    return {one.resource: sampling.earliest(one) for one in figures}


def test_a_sample_is_newer_than_the_last_scrape_that_showed_another() -> None:
    sampling = Sampling()
    known = [scrape(sampling, at, use) for at, use in ((10, 60), (15, 60), (20, 70), (25, 70), (30, 60), (30, 60))]
    assert [one["gpu_utilization_ratio"] for one in known] == [-math.inf, -math.inf, 15, 15, 25, 25]
    # Memory did not change; what was sampled with it did.
    assert [one["gpu_memory_bytes"] for one in known] == [one["gpu_utilization_ratio"] for one in known]
    # A mean goes back to the sample before.
    assert [one["gpu_engine_active_ratio"] for one in known] == [-math.inf] * 4 + [15, 15]


def test_what_a_scrape_left_out_is_of_nobody_knows_when() -> None:
    sampling = Sampling()
    scrape(sampling, 10, 60)
    scrape(sampling, 20, 70)
    (late,) = reading([sample("DCGM_FI_DEV_POWER_USAGE", 50, 15)]).figures
    sampling.add([late])
    assert sampling.earliest(late) == -math.inf
    # A field that comes for the first time is no change.
    (first,) = reading([sample("DCGM_FI_DEV_POWER_USAGE", 50, 30)]).figures
    sampling.add([first])
    assert sampling.earliest(first) == 10
    sampling.add([])
    assert sampling.earliest(first) == 10


@pytest.mark.parametrize(
    "text",
    [
        "DCGM_FI_DEV_GPU_UTIL{",
        'DCGM_FI_DEV_GPU_UTIL{gpu="0} 1',
        "<html><body>no</body></html>",
        "DCGM_FI_DEV_GPU_UTIL x",
        f"DCGM_FI_DEV_GPU_UTIL 1{'0' * 400}",
    ],
)
def test_what_is_no_exposition_is_refused(text: str) -> None:
    with pytest.raises(ProtocolViolation, match="cannot be read"):
        parse(text, NOW)


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDINGS.glob("*.prom")))
@pytest.mark.parametrize("seconds", [0.0, 7.3, 30.0, 1000.0])
def test_a_replay_moves_and_stays_one_that_can_be(name: str, seconds: float) -> None:
    text = (RECORDINGS / f"{name}.prom").read_text()
    replayed = Replay(text, f"{name}.prom").exposition(seconds)
    assert f'vdibench_replay_info{{exporter="dcgm",recording="{name}.prom"}} 1' in replayed.splitlines()
    before, now = figures(reading(parse(text, NOW))), figures(found := reading(parse(replayed, NOW)))
    assert found.refusals == ()
    assert now.keys() == before.keys()
    for key, value in now.items():
        slack = MEBIBYTE if before[key] > MEBIBYTE else 0.01  # rounded to a whole mebibyte or percent
        assert 0.8 * before[key] - slack <= value <= before[key]
    if seconds in (7.3, 30.0):
        assert now != before
    if seconds == 0.0:
        assert now == before
    assert _sums(replayed) == _sums(text)


def _sums(text: str) -> set[int]:
    """Used and free memory of each device and instance together."""
    memory: dict[tuple[str, ...], dict[str, int]] = {}
    for name, labels, value in re.findall(r"^DCGM_FI_DEV_FB_(USED|FREE)(\{.*\}) (\d+)$", text, re.MULTILINE):
        of = memory.setdefault(tuple(re.findall(r'(?:UUID|GPU_I_ID)="([^"]*)"', labels)), {})
        of[name] = max(of.get(name, 0), int(value))
    return {of["USED"] + of["FREE"] for of in memory.values()}


def test_the_reference_says_what_the_fields_are() -> None:
    page = (ROOT / "docs" / "reference" / "telemetry.md").read_text()
    section = page.partition("## From Prometheus")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (?:`(\w+)`|none) \| `(\w+)` \|", section, re.MULTILINE)
    assert {(field.resource, field.instance_resource, name) for name, field in FIELDS.items()} == set(rows)
