"""Every chart shows something, nothing in it overlaps, and there is no chart of nothing."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image

from vdibench import report
from vdibench.clusters import phases
from vdibench.records import RunState
from vdibench.report import Chart, session_charts
from vdibench.report.document import html
from vdibench.report.evidence import Evidence
from vdibench.report.run_tables import measured_table
from vdibench.store import Recording

SUITES = ("stream_validation", "latency_under_load", "gpu_density")
CHARTS: dict[str, Callable[..., Chart | None]] = {
    name: getattr(report, name)
    for name in (
        "glass_to_glass_distribution",
        "glass_to_glass_over_time",
        "latency_by_level",
        "input_to_photon",
        "latency_stages",
        "input_stages",
        "frame_intervals",
        "frame_rate",
        "session_ready_phases",
        "resources_over_time",
        "density_curve",
    )
}


def drawn(recording: Recording, suites: Sequence[str] = SUITES) -> Iterator[tuple[str, Chart]]:
    for suite in suites:
        for name, draw in CHARTS.items():
            if name == "density_curve" and suite != "gpu_density":
                continue
            if (chart := draw(recording, suite)) is not None:
                yield f"{name} of {suite}", chart


def words(chart: Chart) -> Iterator[tuple[str, Bbox]]:
    """Every text that can be seen, with its place in pixels."""
    renderer = chart.canvas.get_renderer()
    chart.draw(renderer)
    texts: list[Text] = [*chart.texts]
    for legend in chart.legends:
        texts.extend(legend.get_texts())
    for axes in chart.axes:
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        if (legend := axes.get_legend()) is not None:
            texts.extend(legend.get_texts())
        for axis, (low, high) in ((axes.xaxis, sorted(axes.get_xlim())), (axes.yaxis, sorted(axes.get_ylim()))):
            slack = 1e-6 * max(abs(low), abs(high))
            for tick in axis.get_major_ticks() + axis.get_minor_ticks():
                if low - slack <= tick.get_loc() <= high + slack and tick.label1.get_visible():
                    texts.append(tick.label1)
    for text in texts:
        if text.get_visible() and text.get_text().strip():
            yield text.get_text(), text.get_window_extent(renderer)


def assert_readable(name: str, chart: Chart) -> None:
    found = list(words(chart))
    assert len(found) >= 6, name
    width, height = chart.canvas.get_width_height()
    for text, box in found:
        assert box.x0 >= -0.5, (name, text, box)
        assert box.y0 >= -0.5, (name, text, box)
        assert box.x1 <= width + 0.5, (name, text, box)
        assert box.y1 <= height + 0.5, (name, text, box)
        assert box.height >= 9, (name, text, "too small to read at 900 pixels")
    for (one, first), (other, second) in combinations(found, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        down = min(first.y1, second.y1) - max(first.y0, second.y0)
        # Boxes of text hold the room for accents and descenders, which neighbours may share.
        assert across < 1 or down < 3, f"{name}: {one!r} overlaps {other!r} by {across:.0f}×{down:.0f} pixels"
    picture = np.asarray(chart.canvas.buffer_rgba())[..., :3].astype(float)
    body = picture[picture.shape[0] // 4 :]
    assert body.std() > 8, f"{name} shows nothing"
    assert len({tuple(pixel) for pixel in body[::7, ::7].reshape(-1, 3).astype(int)}) > 4, f"{name} shows no sample"
    assert chart.heading
    assert re.search(r"n = \d", chart.caption), f"{name}: the caption says no sample count"
    assert chart.caption.endswith(".")


def assert_all_readable(path: Path, expected: set[str] | None = None, suites: Sequence[str] = SUITES) -> None:
    seen = set()
    for name, chart in drawn(Recording.open(path), suites):
        assert_readable(name, chart)
        seen.add(name.partition(" ")[0])
    assert seen == (expected if expected is not None else set(CHARTS))


def test_full_run(full: Path) -> None:
    suites = ("stream_validation", "gpu_density")
    assert_all_readable(full, suites=suites)
    for name, chart in drawn(Recording.open(full), suites):
        if name.startswith(
            ("glass_to_glass", "latency_by_level", "density_curve", "input_to_photon", "latency_stages", "input_stages")
        ):
            subtitle = " ".join(text.get_text() for text in chart.texts)
            assert "display not included" in subtitle, name
            assert "display is not included" in chart.caption, name
            assert "n = " in subtitle, name


def test_eight_levels_and_a_gpu(results: Path, build: Callable[..., Path]) -> None:
    path = build(results, levels=range(1, 9), seconds=1.5, gpu=True)
    assert_all_readable(path, set(CHARTS) - {"input_to_photon", "input_stages"}, ["gpu_density"])
    chart = report.resources_over_time(Recording.open(path), "stream_validation")
    assert chart is not None
    assert_readable("resources with a GPU", chart)
    assert [axes.get_ylabel() for axes in chart.axes] == ["CPU (cores)", "memory (GiB)", "GPU (%)"]


def test_starts_of_pods_are_drawn_step_by_step(on_pods: Path) -> None:
    chart = report.session_ready_phases(Recording.open(on_pods), "stream_validation")
    assert chart is not None
    assert_readable("starts of pods", chart)
    (axes,) = chart.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [*(f"desktop-{number} · new pod" for number in range(9)), "desktop-0 · 1 session, trial 0"]
    (legend,) = chart.legends
    told = [text.get_text() for text in legend.get_texts()]
    assert set(told) >= {*phases.STEPS, "reachable", "failed"}
    # Neighbours on the way differ, for those who see colours and for those who do not.
    colours = {name: session_charts._STEPS[name] for name in told if name in session_charts._STEPS}
    assert len(colours) == len(told) - 1
    assert len(set(colours.values())) == len(colours)
    assert [text.get_text() for text in axes.texts].count("never ready") == 1
    assert "new pod" in chart.caption


def test_more_pods_than_bars(results: Path, build_pods: Callable[..., Path]) -> None:
    path = build_pods(results, pods=20, slices=19)
    chart = report.session_ready_phases(Recording.open(path), "stream_validation")
    assert chart is not None
    assert_readable("many pods", chart)
    labels = [label.get_text() for label in chart.axes[0].get_yticklabels()]
    assert len(labels) == 16
    assert "desktop-19 · new pod" in labels, "what never became ready is shown first of all"


@pytest.mark.parametrize("latency", [2e-5, 0.024, 3.0])
def test_latencies_of_any_size(make: Callable[..., Path], part: Callable[..., object], latency: float) -> None:
    assert_all_readable(
        make([part("stream_validation", latency=latency, seconds=5, inputs=9)], verdict_of=("stream_validation",)),
        set(CHARTS) - {"density_curve", "resources_over_time"},
    )


def test_huge_outlier_is_kept(make: Callable[..., Path], part: Callable[..., object]) -> None:
    path = make([part("stream_validation", seconds=6, outliers=(45.0,), inputs=40)], verdict_of=("stream_validation",))
    assert_all_readable(path, set(CHARTS) - {"density_curve", "resources_over_time"})
    chart = report.glass_to_glass_over_time(Recording.open(path), "stream_validation")
    assert chart is not None
    (axes,) = chart.axes
    assert axes.get_ylim()[1] >= 45_000
    assert axes.get_ylabel() == "glass-to-glass (ms)"
    assert axes.get_yscale() == "log"


def test_single_sample(make: Callable[..., Path], part: Callable[..., object]) -> None:
    path = make(
        [part("stream_validation", seconds=0.02, warmup_seconds=0, inputs=2)], verdict_of=("stream_validation",)
    )
    recording = Recording.open(path)
    assert len(recording.table("frames")) == 1
    seen = set()
    for name, chart in drawn(recording):
        seen.add(name.partition(" ")[0])
        if "frame_rate" not in name:
            assert_readable(name, chart)
    assert {"glass_to_glass_distribution", "glass_to_glass_over_time", "session_ready_phases"} <= seen
    assert "frame_intervals" not in seen


def test_hostile_and_long_names(make: Callable[..., Path], part: Callable[..., object], long_name: str) -> None:
    names = [long_name, "$\\frac{x}", "<script>alert(1)</script>", "_hidden", "日本語のデスクトップ"[:0] + "umlaut-ä-ö"]
    parts = [part("latency_under_load", name, 5, seconds=3, seed=seed) for seed, name in enumerate(names)]
    for name, chart in drawn(Recording.open(make(parts))):
        assert_readable(name, chart)


def test_nothing_measured_makes_no_chart(make: Callable[..., Path]) -> None:
    assert dict(drawn(Recording.open(make()))) == {}
    for suite in SUITES:
        for name, draw in CHARTS.items():
            assert draw({}, suite) is None, name


def test_frames_without_markers_make_no_latency_chart(make: Callable[..., Path], part: Callable[..., object]) -> None:
    recording = Recording.open(make([part("stream_validation", markers=False, seconds=4)]))
    seen = {name.partition(" ")[0] for name, _ in drawn(recording)}
    assert seen == {"frame_intervals", "frame_rate", "session_ready_phases", "latency_stages"}
    stages = report.latency_stages(recording, "stream_validation")
    assert stages is not None
    said = [text for text, _ in words(stages)]
    assert "no data: no marker was read" in said
    assert "time since the last packet arrived (ms)" in said
    assert_readable("stages without a marker", stages)


def test_not_a_number_everywhere_makes_no_chart(make: Callable[..., Path]) -> None:
    recording = Recording.open(make())
    place = {"suite": "stream_validation", "level": 1, "trial": 0, "phase": "steady", "session": "desktop-0"}
    frame = {column: float("nan") for column in recording.table("frames").columns if column.endswith("_unix_seconds")}
    rest = {
        "rtp_timestamp": 0,
        "packets": 1,
        "size_bytes": 1,
        "key_frame": False,
        "complete": False,
        "marker_repeated": False,
    }
    tables = {
        "frames": pd.DataFrame([{**place, **frame, **rest}] * 5),
        "inputs": pd.DataFrame(
            [{**place, "kind": "key", "sent_unix_seconds": 1.0, "photon_unix_seconds": float("nan")}] * 5
        ),
    }
    for name, draw in CHARTS.items():
        assert draw(tables, "stream_validation") is None, name
    assert report.input_table(tables, "stream_validation")["never seen"].tolist() == ["5 of 5"]


def test_freezes_are_seen(make: Callable[..., Path], part: Callable[..., object]) -> None:
    path = make([part("stream_validation", seconds=12, freezes=(0.5, 0.9), spread=0.02)])
    chart = report.glass_to_glass_over_time(Recording.open(path), "stream_validation")
    assert chart is not None
    (axes,) = chart.axes
    widths = sorted(patch.get_width() for patch in axes.patches)
    assert widths == pytest.approx([0.5, 0.9], abs=0.08)


def test_objective_is_drawn_where_it_was_judged(full: Path) -> None:
    chart = report.glass_to_glass_distribution(Recording.open(full), "stream_validation")
    assert chart is not None
    legend = chart.axes[1].get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert "objective p(95) < 50 ms" in labels
    bare = report.glass_to_glass_distribution(dict(Recording.open(full).tables), "stream_validation")
    assert bare is not None
    legend = bare.axes[1].get_legend()
    assert legend is not None
    assert not any("objective" in text.get_text() for text in legend.get_texts())


def test_chart_shows_itself_in_a_notebook(full: Path) -> None:
    chart = report.frame_rate(Recording.open(full), "stream_validation")
    assert chart is not None
    data, metadata = chart._repr_png_()
    picture = Image.open(io.BytesIO(data))
    assert picture.size[0] >= 900
    assert np.asarray(picture.convert("L")).std() > 8
    assert picture.text["Title"] == chart.heading
    assert metadata == {"width": 900}


def test_threads_draw_at_once(full: Path) -> None:
    recording = Recording.open(full)

    def draw(_: int) -> bytes:
        chart = report.glass_to_glass_distribution(recording, "stream_validation")
        assert chart is not None
        return chart.png()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(draw, range(8)))) == 1


def test_interrupted_run_is_drawn(make: Callable[..., Path], part: Callable[..., object]) -> None:
    path = make([part("stream_validation", seconds=3, inputs=4)], state=RunState.INTERRUPTED)
    assert_all_readable(path, set(CHARTS) - {"density_curve", "resources_over_time"})


def test_synthetic_load_is_said_in_every_chart_and_on_the_page(full: Path) -> None:
    recording = Recording.open(full)
    evidence = Evidence(recording)
    assert evidence.run is not None
    plain = {name: chart.caption for name, chart in drawn(evidence)}
    evidence.run = dataclasses.replace(evidence.run, context={**evidence.run.context, "synthetic": True})
    charts = dict(drawn(evidence))
    assert charts.keys() == plain.keys()
    for name, chart in charts.items():
        assert any(text.startswith("synthetic load · ") for text, _ in words(chart)), name
        assert chart.caption == f"{plain[name]} Synthetic load: a recorded trace was replayed, no desktop was measured."
        assert_readable(name, chart)
    assert "synthetic load" in html(evidence.run, recording.verdict, [], {})
    assert "synthetic load" not in html(recording.run, recording.verdict, [], {})
    rows = measured_table(evidence)
    assert rows["value"].str.contains("synthetic").any()


def test_a_search_is_drawn_in_the_order_of_its_trials(searched: Path, full: Path) -> None:
    chart, sweep = (report.density_curve(Recording.open(path)) for path in (searched, full))
    assert chart is not None
    assert sweep is not None
    assert_readable("a search", chart)
    assert len(chart.axes) == len(sweep.axes) + 1, "the trials of a sweep are in order anyway"
    order = chart.axes[-1]
    line = max(order.get_lines(), key=lambda one: len(one.get_xdata()))
    levels = [int(level) for level in line.get_xdata()]
    assert levels[:4] == [1, 2, 4, 8]
    assert levels != sorted(levels)
    assert [int(number) for number in line.get_ydata()] == list(range(1, len(levels) + 1))
    said = {text for text, _ in words(chart)}
    assert {"order of trials", "trial passed", "trial failed", "knee lies here"} <= said
