"""Figures for a sampler by way of a Prometheus, by real HTTP; Debian's own is in tests/cluster/test_prometheus.py."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from vdibench.errors import ProtocolViolation, TargetUnavailable, UsageError
from vdibench.records.gpus import ScrapedGpu, scraped_gpus
from vdibench.suites.parameters import DesktopParameters, RunParameters
from vdibench.suites.resources import open_gpu_metrics
from vdibench.telemetry import Sampler
from vdibench.telemetry.gpus import GpuFigure
from vdibench.telemetry.prometheus import TOKEN_FILE_VARIABLE, TOKEN_VARIABLE, Prometheus
from vdibench.telemetry.sampler import EARLIEST
from vdibench.telemetry.scraped import DcgmGpus

from .scraping import Scraping, Stage

MEBIBYTE = 1 << 20


def opened(stage: Stage, **options: Any) -> DcgmGpus:
    gpus = DcgmGpus(Prometheus(stage.url), **options)
    with gpus:
        pass
    return gpus


def test_a_figure_has_the_instant_of_its_scrape_by_our_clock(stage: Stage, scraping: Scraping) -> None:
    scraping.age = 3.0
    began = time.time()
    (figure,) = opened(stage, matchers='job="dcgm"').figures()
    ended = time.time()
    assert (figure.scope, figure.resource, figure.value) == ("gpu-0", "gpu_utilization_ratio", 0.6)
    assert figure.unix_seconds is not None
    # To half the request's time and the milliseconds of the interface.
    assert began - 3 - 0.01 <= figure.unix_seconds <= ended - 3 + 0.01
    queries = [parameters["query"] for path, parameters, _ in stage.asked if path == "/api/v1/query"]
    assert queries[1] == queries[0] + "[11s]"
    assert queries[0].startswith('{__name__=~"DCGM_FI_DEV_GPU_UTIL|')
    assert queries[0].endswith(',job="dcgm"}')


@pytest.mark.parametrize(
    ("age", "interval", "given", "there"),
    [
        (9.9, "5s", 0.0, True),
        (10.1, "5s", 0.0, False),
        (200.0, "5s", 0.0, False),
        (25.0, "15s", 0.0, True),
        (10.1, "", 15.0, True),
        (31.0, "", 15.0, False),
    ],
)
def test_a_value_older_than_two_scrapes_is_no_figure(
    stage: Stage, scraping: Scraping, age: float, interval: str, given: float, there: bool
) -> None:
    scraping.age, scraping.interval = age, interval
    gpus = opened(stage, scrape_interval_seconds=given)
    assert bool(gpus.figures()) is there
    assert ("older than two scrapes" in gpus.facts().get("telemetry.gpus.no_data", "")) is not there


def test_a_series_that_ended_is_no_figure_however_young(stage: Stage, scraping: Scraping) -> None:
    scraping.ended, scraping.health = True, "down"
    gpus = opened(stage)
    assert gpus.figures() == []
    assert gpus.facts()["telemetry.gpus.no_data"] == "Prometheus cannot scrape dcgm at n:9400: connection refused"
    scraping.health = "up"
    assert "no series of a DCGM exporter" in opened(stage).facts()["telemetry.gpus.no_data"]


def test_an_unknown_scrape_interval_is_a_reason_and_not_a_guess(stage: Stage, scraping: Scraping) -> None:
    scraping.interval = ""
    gpus = opened(stage)
    assert gpus.figures() == []
    assert "give the scrape interval" in gpus.facts()["telemetry.gpus.no_data"]


def test_what_cannot_be_is_named_with_its_reason(stage: Stage, scraping: Scraping) -> None:
    scraping.value = "2147483632"
    facts = opened(stage).facts()
    assert facts["telemetry.gpu-0.gpu_utilization_ratio"].startswith("no data 1 times, last because of a value that")
    assert facts["telemetry.gpus.no_data"] == "no figure that can be used"


def test_facts_say_where_figures_come_from(stage: Stage, scraping: Scraping) -> None:
    assert opened(stage).facts() == {
        "telemetry.gpus": "1",
        "telemetry.gpus.source": f"DCGM by Prometheus 2.42.0 at {stage.url}",
        "telemetry.gpus.scrape_interval_seconds": "5",
        "telemetry.gpu-0": "GPU-1 NVIDIA L4",
        "telemetry.gpu-0.model": "NVIDIA L4",
    }


def test_a_server_that_is_not_there_is_an_error_at_once(stage: Stage) -> None:
    with pytest.raises(ProtocolViolation), DcgmGpus(Prometheus(stage.url)):
        pass


def test_a_sampler_writes_each_scrape_once_at_its_own_instant(stage: Stage, scraping: Scraping) -> None:
    with DcgmGpus(Prometheus(stage.url), scrape_interval_seconds=6.0) as gpus:
        sampler = Sampler([], emit=lambda rows: None, gpus=gpus)
        first = [row for row in sampler.read() if row["session"] == "gpu-0"]
        again = [row for row in sampler.read() if row["session"] == "gpu-0"]
        (row,) = first
        assert (row["resource"], row["value"]) == ("gpu_utilization_ratio", 0.6)
        assert 0.9 < time.time() - row["unix_seconds"] < 5
        assert again == []
        assert sampler.facts()["telemetry.gpus"] == "1"
        # The stage says a second's age whenever it is asked, so each look is another scrape.
        deadline = time.monotonic() + 30
        later: list[GpuFigure] = []
        while not later and time.monotonic() < deadline:
            later = gpus.figures()
            time.sleep(0.05)  # the thread looks every three seconds, and tells nobody
        assert later
        assert later[0].unix_seconds is not None
        assert later[0].unix_seconds > row["unix_seconds"]


def test_a_server_that_goes_away_leaves_a_reason_and_no_figures(stage: Stage, scraping: Scraping) -> None:
    with DcgmGpus(Prometheus(stage.url), scrape_interval_seconds=1.0) as gpus:
        stage.answers["/api/v1/query"] = (503, b"", {})
        deadline = time.monotonic() + 30
        while "not ready" not in gpus.facts().get("telemetry.gpus.no_data", "") and time.monotonic() < deadline:
            time.sleep(0.05)  # the thread looks every half second, and tells nobody
        assert "not ready" in gpus.facts()["telemetry.gpus.no_data"]
        gpus.figures()
        assert gpus.figures() == []


# in the place of a measuring host's own GPUs


def test_the_device_and_its_frame_buffer_stand_in_the_facts(stage: Stage, scraping: Scraping) -> None:
    scraping.others = {"DCGM_FI_DEV_FB_USED": "1024", "DCGM_FI_DEV_FB_FREE": "21527"}
    gpus = opened(stage)
    assert scraped_gpus(gpus.facts().items()) == {
        "gpu-0": ScrapedGpu("gpu-0", "GPU-1 NVIDIA L4", "NVIDIA L4", 22551 * MEBIBYTE)
    }
    assert {one.resource for one in gpus.figures()} == {"gpu_utilization_ratio", "gpu_memory_bytes"}


def test_facts_of_a_host_s_own_gpus_are_of_none_that_was_scraped() -> None:
    assert scraped_gpus({"telemetry.gpus": "1", "telemetry.memory": "PSS"}.items()) is None


def test_since_when_the_first_figure_holds_is_unknown_and_a_sampler_says_so(stage: Stage, scraping: Scraping) -> None:
    gpus = opened(stage)
    rows = [row for row in Sampler([], emit=lambda rows: None, gpus=gpus).read() if EARLIEST in row]
    assert [(row["session"], row[EARLIEST]) for row in rows] == [("gpu-0", -math.inf)]


@pytest.fixture
def without_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (TOKEN_VARIABLE, TOKEN_FILE_VARIABLE):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("without_token")
def test_parameters_open_the_gpus_of_the_prometheus_that_they_name(stage: Stage, scraping: Scraping) -> None:
    with open_gpu_metrics(DesktopParameters(gpu_metrics=stage.url, gpu_matchers='job="dcgm"')) as gpus:
        assert gpus is not None
        assert [one.scope for one in gpus.figures()] == ["gpu-0"]
    assert stage.asked[1][1]["query"].endswith(',job="dcgm"}')
    for none in (DesktopParameters(), RunParameters()):
        with open_gpu_metrics(none) as gpus:
            assert gpus is None


@pytest.mark.usefixtures("without_token")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"gpu_metrics": "prometheus:9090"}, "no URL of a Prometheus: give it as in https://"),
        ({"gpu_metrics": "http://a:b@prometheus.example.com"}, "holds credentials"),
        ({"gpu_matchers": 'gpu="0"'}, "no Prometheus is named: name it in gpu_metrics"),
    ],
)
def test_parameters_that_cannot_be_are_refused_before_anything_is_asked(given: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        DesktopParameters(**given)
    assert caught.value.exit_code == 2


@pytest.mark.usefixtures("without_token")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ended": True}, "no GPU figures by way of http.*: Prometheus has no series of a DCGM"),
        ({"ended": True, "health": "down"}, "Prometheus cannot scrape dcgm at n:9400: connection"),
        ({"interval": ""}, "does not say how often it scrapes"),
        ({"age": 60.0}, "every value is older than two scrapes"),
        ({"value": "2147483632"}, "no figure that can be used: name in gpu_metrics"),
    ],
)
def test_a_prometheus_without_gpus_is_an_error(
    stage: Stage, scraping: Scraping, change: dict[str, Any], said: str
) -> None:
    vars(scraping).update(change)
    with (
        pytest.raises(TargetUnavailable, match=said) as caught,
        open_gpu_metrics(DesktopParameters(gpu_metrics=stage.url)),
    ):
        raise AssertionError("it opened")
    assert caught.value.exit_code == 98
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("without_token")
def test_what_is_no_prometheus_is_an_error(stage: Stage) -> None:
    with (
        pytest.raises(ProtocolViolation, match="give the address of Prometheus itself"),
        open_gpu_metrics(DesktopParameters(gpu_metrics=stage.url)),
    ):
        raise AssertionError("it opened")
