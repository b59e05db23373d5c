"""The page of any run: whole, self-contained, escaped, and clear about what is missing."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from vdibench.errors import StoreError
from vdibench.records import Check, Outcome, Phase, RunState
from vdibench.report import write_report
from vdibench.store import Recording, RunFolder

ANCHORS = [
    "measured",
    "objectives",
    "checks",
    "latency",
    "stages",
    "under-load",
    "pacing",
    "density",
    "ready",
    "network",
    "resources",
    "quality",
    "selftest",
    "phases",
    "settings",
]
VOID = {"meta", "img", "br", "link", "hr"}


class Page(HTMLParser):
    """What a reader of the page is given; complains of tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.section = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self.section = str(dict(attrs)["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and "style" not in self.open:
            where = self.section if "section" in self.open else ("header" if "header" in self.open else "")
            self.texts.setdefault(where, []).append(" ".join(data.split()))

    def said(self, section: str) -> str:
        return " ".join(self.texts.get(section, ()))

    @property
    def images(self) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == "img"]


def page(path: Path) -> Page:
    """Write and read the report; what holds for every report is checked here."""
    written = write_report(path)
    assert written == path / "report.html"
    text = written.read_text()
    found = Page(text)
    assert [attributes["id"] for tag, attributes in found.tags if tag == "section"] == ANCHORS
    for tag, attributes in found.tags:
        assert tag not in ("script", "link", "iframe", "object", "base"), tag
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            value = attributes.get(name) or ""
            assert value.startswith(("#", "data:image/png;base64,")) or not value, (tag, name, value[:80])
        assert not any(name.startswith("on") for name in attributes)
    assert "url(" not in text
    assert "@import" not in text
    for anchor in ANCHORS:
        assert found.said(anchor), f"section {anchor} is empty"
    figures = {file.read_bytes() for file in (path / "figures").glob("*.png")}
    shown = {base64.b64decode(str(image["src"]).partition(",")[2]) for image in found.images}
    assert figures == shown
    assert all(len(data) > 3000 for data in shown)
    assert all(image["alt"] for image in found.images)
    assert written.stat().st_size < 3_000_000
    assert " nan" not in text
    return found


@pytest.fixture(scope="module")
def full_page(full: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    return page(Path(shutil.copytree(full, tmp_path_factory.mktemp("page") / full.name)))


def test_full_run(full_page: Page) -> None:
    assert "FAIL" in full_page.said("header")
    assert "encoder_in_use did not pass" in full_page.said("header")
    assert len(full_page.images) >= 12
    assert "no GPU in this profile" in full_page.said("measured")
    assert "x264enc (software)" in full_page.said("measured")
    assert "1920×1080 at 60 /s" in full_page.said("measured")
    assert "p(95) < 50 ms" in full_page.said("objectives")
    assert "give the desktop a GPU" in full_page.said("checks")
    assert "display is not included" in full_page.said("latency")
    assert "Knee: 4 … 7." in full_page.said("density")
    assert "2 min 24 s" in full_page.said("phases")
    assert "glass_to_glass_seconds: p(95) < 0.050" in full_page.said("settings")
    assert "vdibench run --target lab --profile smoke" in full_page.said("settings")
    assert "No other run measured" in full_page.said("quality")


def test_figures_say_boundary_samples_and_unit(full_page: Page) -> None:
    captions = [str(image["alt"]) for image in full_page.images]
    for text in captions:
        assert re.search(r"\d[\d,]* (frames|events|intervals|seconds|starts?|readings|trials)\b", text), text
        assert re.search(r"\b(in ms|in seconds|in frames per second|per cent and milliseconds|cores)\b", text), text
    latency = [text for text in captions if text.startswith(("Glass-to-glass", "Input-to-photon", "Density"))]
    assert len(latency) >= 5
    assert all("display is not included" in text for text in latency)


def test_a_run_on_a_cluster_says_why_a_session_stayed_pending(on_pods: Path, pending: str, results: Path) -> None:
    found = page(Path(shutil.copytree(on_pods, results / on_pods.name)))
    ready = found.said("ready")
    assert "Never ready · stream_validation" in ready
    assert f"desktop-8 new pod admitted {pending}" in ready
    assert "1 of 9 starts" in ready
    everything = " ".join(found.said(anchor) for anchor in ANCHORS)
    assert "trial -1" not in everything + " ".join(str(image["alt"]) for image in found.images)


def test_nothing_measured(make: Callable[..., Path]) -> None:
    found = page(make(suite="stream_validation", parameters={}))
    assert found.images == []
    assert "NO DATA" in found.said("header")
    assert "No suite reached a verdict" in found.said("header")
    assert "no data is never a pass" in found.said("header")
    for anchor, why in {
        "checks": "none ended",
        "latency": "stream_validation left no sample",
        "under-load": "latency_under_load did not run",
        "density": "gpu_density did not run",
        "pacing": "stream_validation left no sample",
        "ready": "stream_validation left no sample",
        "network": "stream_validation left no sample",
        "resources": "stream_validation left no sample",
        "phases": "recorded no phase",
        "settings": "recorded no parameter",
    }.items():
        assert why in found.said(anchor), anchor


def test_only_checks(make: Callable[..., Path]) -> None:
    check = Check("ports", Outcome.PASS, "8 ports are free", "bind")
    found = page(make(suite="preflight", checks=[check], parameters={}))
    assert "8 ports are free" in found.said("checks")
    assert "no suite that measures it ran" in found.said("latency")
    assert found.images == []


@pytest.mark.parametrize(
    ("state", "word"), [(RunState.INTERRUPTED, "was interrupted"), (RunState.FAILED, "The run failed")]
)
def test_unfinished_run(make: Callable[..., Path], part: Callable[..., object], state: RunState, word: str) -> None:
    path = make([part("stream_validation", seconds=4)], verdict_of=("stream_validation",), state=state)
    found = page(path)
    assert word in found.said("header")
    assert "NO DATA" in found.said("header") or "FAIL" in found.said("header")
    assert "the desktop went away" in found.said("quality")
    assert len(found.images) >= 4


def test_crashed_run_without_verdict_or_whole_samples(make: Callable[..., Path], part: Callable[..., object]) -> None:
    path = make([part("stream_validation", seconds=4)])
    (path / "verdict.json").unlink()
    raw = json.loads((path / "run.json").read_text())
    raw |= {"state": "running", "pid": 2**22 + 1, "ended_unix_seconds": None}
    (path / "run.json").write_text(json.dumps(raw))
    damaged = next(iter(sorted((path / "samples").glob("network-*"))))
    damaged.write_bytes(damaged.read_bytes()[:40])
    found = page(path)
    assert "was interrupted" in found.said("header")
    assert f"{damaged.name} cannot be read" in found.said("quality")


def test_running_run(results: Path, described_run: Callable[..., object], part: Callable[..., object]) -> None:
    with RunFolder.create(results, described_run()) as folder:
        part("stream_validation", seconds=4).fill(folder)
        folder.flush()
        found = page(folder.path)
        assert "still going on" in found.said("header")
        folder.finish(RunState.FINISHED)


def test_folder_with_the_least_that_schema_1_asks_for(tmp_path: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    least = {
        "schema": 1,
        "name": "old",
        "suite": "stream_validation",
        "profile": "smoke",
        "target": "url:http://127.0.0.1:1",
        "started_unix_seconds": 1.7e9,
        "state": "finished",
    }
    (folder / "run.json").write_text(json.dumps(least))
    found = page(folder)
    assert "no data" in found.said("measured")
    assert "recorded no objective file" in found.said("settings")


def test_strange_values_in_the_run(make: Callable[..., Path]) -> None:
    path = make(
        parameters={"stream_validation": {"levels": [], "name": None, "on": True, "nested": {"a": [1, 2]}}, "odd": 3},
        context={"gpu": True, "framerate": "sixty", "clock_bound_seconds": 0.0004},
        host={"cpu_cores": 8, "gpus": [{"name": "H100"}, "not a mapping"], "memory_limit_bytes": 2**33},
        phases=(Phase("lab", float("nan"), ""),),
        contention=("20250101T000000Z-other-smoke",),
        objectives="not: [valid",
    )
    found = page(path)
    assert "INVALID" in found.said("header")
    assert "20250101T000000Z-other-smoke" in found.said("quality")
    assert "agree within 400 µs" in found.said("latency")
    assert "not: [valid" in found.said("settings")


def test_no_marker_says_why(make: Callable[..., Path], part: Callable[..., object]) -> None:
    found = page(make([part("stream_validation", seconds=4, markers=False)]))
    assert "needs the desk inside the desktop and is never estimated" in found.said("latency")


def test_only_warm_up_says_so(make: Callable[..., Path], part: Callable[..., object]) -> None:
    found = page(make([part("stream_validation", seconds=0.0, warmup_seconds=3)]))
    assert "came while warming up" in found.said("latency")


def test_text_from_outside_is_escaped(make: Callable[..., Path], part: Callable[..., object]) -> None:
    bad = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7*7 }}\x1b[31m"
    path = make(
        [part("stream_validation", bad, seconds=3)],
        checks=[Check("name" + bad, Outcome.FAIL, bad, bad, bad)],
        facts={"stream.encoder": bad, bad: bad},
        verdict_of=("stream_validation",),
        target=f"url:{bad}",
        parameters={bad: {bad: bad}},
        versions={bad: bad},
        phases=(Phase(bad, 1.0, bad),),
        contention=(bad,),
    )
    found = page(path)
    assert "<script>alert(1)</script>" in found.said("measured")
    assert "{{ 7*7 }}" in found.said("checks")
    text = (path / "report.html").read_text()
    assert "<script" not in text
    assert "\x1b" not in text


def test_long_names_are_kept_whole_in_tables(
    make: Callable[..., Path], part: Callable[..., object], long_name: str
) -> None:
    path = make([part("stream_validation", long_name, seconds=3)], facts={"k" * 80: "v" * 4000})
    assert "v" * 4000 in page(path).said("settings")


def test_written_again_leaves_no_figure_of_before(make: Callable[..., Path], part: Callable[..., object]) -> None:
    path = make([part("stream_validation", seconds=3)])
    page(path)
    (path / "figures" / "of-an-older-version.png").write_bytes(b"old")
    page(path)


def test_not_a_run_folder_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not a run folder"):
        write_report(tmp_path)


def test_large_run_is_small(results: Path, build: Callable[..., Path]) -> None:
    path = build(results, levels=(1, 4, 8), seconds=55.0)
    assert len(Recording.open(path).table("frames")) >= 100_000
    # What it costs to write is a benchmark's matter: benchmarks/report.py.
    written = write_report(path)
    assert written.stat().st_size < 3_000_000
