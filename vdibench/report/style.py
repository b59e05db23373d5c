"""One look for every figure. No pyplot: a chart has no global state, so threads and kernels may draw at once.

Colours are Okabe and Ito's, which people with any colour vision tell apart; lines differ in marker or dash as well.
Charts are 900 CSS pixels wide and hold twice as many real ones.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image
from PIL.PngImagePlugin import PngInfo

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "GREY",
    "MARKERS",
    "ORANGE",
    "PALETTE",
    "PURPLE",
    "RED",
    "SKY",
    "WIDTH_PIXELS",
    "Chart",
    "chart",
    "legend",
    "legend_above",
    "limit_line",
    "wide_range",
]

BLUE, RED, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE, YELLOW, BLACK, GREY = "#56B4E9", "#CC79A7", "#F0E442", "#1b1f24", "#6a737d"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, YELLOW, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

WIDTH_PIXELS = 900
_DPI = 100
_DENSITY = 1.6
_COLOURS = 256
_SUBTITLE_WIDTH = 136
_SYNTHETIC, _SYNTHETIC_SENTENCE = (
    "synthetic load",
    "Synthetic load: a recorded trace was replayed, no desktop was measured.",
)
_INK, _EDGE, _GRID, _SOFT = "#444c56", "#8b949e", "#e1e4e8", "#57606a"


class Chart(Figure):
    """A matplotlib figure that knows what it says, and shows itself in a notebook without pyplot.

    :ivar heading: its title.
    :ivar caption: boundary, sample count and unit, in sentences.
    """

    heading: str = ""
    caption: str = ""

    def png(self) -> bytes:
        """The chart as PNG."""
        canvas, usual = self.canvas, self.dpi
        assert isinstance(canvas, FigureCanvasAgg)  # chart() gives it one
        self.dpi = _DPI * _DENSITY
        try:
            # Drawing lays out too: savefig draws twice, the first time only for the layout.
            canvas.draw()  # type: ignore[no-untyped-call]  # matplotlib leaves this canvas untyped
            # Few colours are in a chart: a palette makes the file a third as large, and looks the same.
            pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]  # as above
            drawn = Image.fromarray(pixels).convert("RGB")
        finally:
            self.dpi = usual
        told = PngInfo()
        told.add_itxt("Title", self.heading)
        told.add_itxt("Description", self.caption)
        buffer = io.BytesIO()
        small = drawn.quantize(_COLOURS, method=Image.Quantize.FASTOCTREE)
        small.save(buffer, format="PNG", pnginfo=told, dpi=(_DPI * _DENSITY,) * 2)
        return buffer.getvalue()

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        return self.png(), {"width": WIDTH_PIXELS}


def chart(
    heading: str,
    subtitle: str,
    caption: str,
    *,
    height: int = 380,
    ratios: Sequence[float] = (1.0,),
    synthetic: bool = False,
) -> tuple[Chart, list[Axes]]:
    """A :class:`Chart` with its heading, and one axes a ratio, from top to bottom, sharing the x axis.

    :param subtitle: boundary, sample count and what is not included, short.
    :param height: CSS pixels.
    :param synthetic: no desktop sent what is shown, but a replay of one.
    """
    if synthetic:
        subtitle, caption = f"{_SYNTHETIC} · {subtitle}", f"{caption} {_SYNTHETIC_SENTENCE}"
    lines = _wrapped(subtitle)
    # The heading is text of the figure, not of the axes: it starts at the left edge whatever the tick labels take.
    top = 1 - (47 + 15 * (len(lines) - 1)) / height
    figure = Chart(
        figsize=(WIDTH_PIXELS / _DPI, height / _DPI),
        dpi=_DPI,
        facecolor="white",
        layout=ConstrainedLayoutEngine(rect=(0.008, 0.012, 0.984, top - 0.012), hspace=0.06),
    )
    FigureCanvasAgg(figure)
    figure.text(0.012, 1 - 8 / height, heading, va="top", ha="left", fontsize=12, fontweight="bold", color=BLACK)
    figure.text(
        0.012, 1 - 28 / height, "\n".join(lines), va="top", ha="left", fontsize=9, color=_SOFT, linespacing=1.25
    )
    axes = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": list(ratios)})
    figure.heading = heading
    figure.caption = caption
    for one in axes[:, 0]:
        _dress(one)
    return figure, list(axes[:, 0])


def legend(axes: Axes, *, place: Literal["lower right", "upper right"] = "lower right", columns: int = 1) -> None:
    """The legend of one axes, over a nearly opaque ground."""
    axes.legend(
        loc=place, ncols=columns, fontsize=9, frameon=True, framealpha=0.92, edgecolor="#d0d7de", borderaxespad=0.4
    )


def legend_above(figure: Figure, panels: Sequence[Axes]) -> None:
    """One legend for all panels, between heading and axes, where it covers no sample and shifts no axes aside."""
    found: dict[str, Artist] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    if not found:
        return
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    left, bottom, width, height = engine.get()["rect"]
    columns = _columns(list(found))
    rows = -(-len(found) // columns)
    pixels = figure.get_figheight() * _DPI
    figure.legend(
        list(found.values()),
        list(found),
        loc="upper left",
        bbox_to_anchor=(0.006, bottom + height),
        ncols=columns,
        fontsize=9,
        frameon=False,
        borderaxespad=0.0,
        borderpad=0.2,
        handlelength=1.9,
        columnspacing=1.5,
    )
    engine.set(rect=(left, bottom, width, height - (rows * 17 + 6) / pixels))


def _columns(labels: Sequence[str]) -> int:
    """As many columns as fit: a label takes about 6.8 pixels a character beside its handle and the gap."""
    widths = [50 + 6.8 * len(label) for label in labels]
    for columns in range(len(labels), 1, -1):
        if sum(float(part.max()) for part in np.array_split(widths, columns)) < WIDTH_PIXELS - 20:
            return columns
    return 1


def limit_line(axes: Axes, value: float, label: str, *, vertical: bool = False, colour: str = RED) -> None:
    """The line of an objective, or in another colour of what was asked for."""
    draw = axes.axvline if vertical else axes.axhline
    draw(value, color=colour, linestyle=(0, (6, 3)), linewidth=1.5, label=label, zorder=1.5)


def wide_range(values: np.ndarray) -> bool:
    """Whether values spread so far that only a logarithmic axis shows both the usual and the worst."""
    good = values[np.isfinite(values) & (values > 0)]
    if len(good) < 2:
        return False
    return bool(good.max() > 12 * np.median(good))


def _wrapped(subtitle: str) -> list[str]:
    """The subtitle in lines, broken between its parts where that will do."""
    lines: list[str] = []
    for part in subtitle.split(" · "):
        if lines and len(lines[-1]) + 3 + len(part) <= _SUBTITLE_WIDTH:
            lines[-1] += f" · {part}"
        else:
            lines.extend(textwrap.wrap(part, _SUBTITLE_WIDTH) or [""])
    return lines


def _dress(axes: Axes) -> None:
    # Set on the axes and not through rcParams: those are global, and notebooks and threads share them.
    axes.set_axisbelow(True)
    axes.grid(True, color=_GRID, linewidth=0.8)
    axes.tick_params(labelsize=9.5, colors=_INK, which="both")
    axes.xaxis.label.set(color=BLACK, size=10)
    axes.yaxis.label.set(color=BLACK, size=10)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_EDGE)
