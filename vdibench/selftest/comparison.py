"""What the client says of a delay against what the relay did: differences of medians with their intervals. Pure.

A window with a delay stands between two without, since the load of a host drifts: the mean of the medians of those two
is what is subtracted. The interval comes from a bootstrap in blocks, because neighbouring frames are no independent
samples, and holds half of the drift between the two windows besides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vdibench.records import Accuracy

__all__ = ["Shift", "counted", "delayed", "shift", "verdict"]

Values = npt.NDArray[np.float64]

RESAMPLES = 400
# Frames that share a phase of the screen's clock: a quarter of a second at 60 frames a second.
FRAME_BLOCK = 15
# Fewer say nothing of a median.
FEWEST = 10


@dataclass(frozen=True, slots=True)
class Shift:
    """A difference of medians with its 95 % interval."""

    value: float
    low: float
    high: float
    samples: int


def shift(within: Values, before: Values, after: Values, block: int = 1) -> Shift | None:
    """By how much ``within`` lies above the two windows around it; None with too few values.

    :param within: seconds, shape ``(n,)``, in order of time, like the others.
    :param block: neighbours that are drawn together.
    """
    if min(len(within), len(before), len(after)) < FEWEST:
        return None
    random = np.random.default_rng(len(within))
    middle = [_medians(part, block, random) for part in (within, before, after)]
    drawn = middle[0] - (middle[1] + middle[2]) / 2
    drift = abs(float(np.median(before)) - float(np.median(after))) / 2
    low, high = np.quantile(drawn, [0.025, 0.975])
    value = float(np.median(within)) - (float(np.median(before)) + float(np.median(after))) / 2
    return Shift(value, float(low) - drift, float(high) + drift, len(within))


def _medians(values: Values, block: int, random: np.random.Generator) -> Values:
    """Medians of resamples of ``values``, shape ``(RESAMPLES,)``."""
    block = min(block, len(values))
    starts = random.integers(0, len(values) - block + 1, (RESAMPLES, -(-len(values) // block)))
    drawn = values[(starts[:, :, None] + np.arange(block)).reshape(RESAMPLES, -1)]
    medians: Values = np.median(drawn, axis=1)
    return medians


def verdict(error: float, low: float, high: float, bound: float) -> bool | None:
    """Whether an error keeps its bound; None when the interval is too wide to say.

    Beyond the bound, that is an interval that reaches into it; within the bound, one that is wider than twice it.
    """
    if abs(error) > bound:
        return None if low <= bound and high >= -bound else False
    return None if high - low > 4 * bound else True


def delayed(metric: str, dialect: str, injected: float, found: Shift | None, bound: float) -> Accuracy:
    """The row of a latency. All figures are seconds."""
    if found is None:
        note = "too few samples in one of the windows"
        return Accuracy(metric, dialect, injected, None, None, "seconds", 0, bound, None, note=note)
    error, low, high = found.value - injected, found.low - injected, found.high - injected
    ok = verdict(error, low, high, bound)
    note = "the interval is too wide to say" if ok is None else ""
    return Accuracy(metric, dialect, injected, found.value, error, "seconds", found.samples, bound, ok, low, high, note)


def counted(
    metric: str, dialect: str, injected: float, measured: float | None, unit: str, samples: int, bound: float
) -> Accuracy:
    """The row of something that is counted: no interval. Nothing injected, or nothing counted, is no data."""
    if measured is None or injected <= 0:
        note = "nothing was counted" if measured is None else "nothing was injected"
        return Accuracy(metric, dialect, injected, measured, None, unit, samples, bound, None, note=note)
    error = measured - injected
    return Accuracy(metric, dialect, injected, measured, error, unit, samples, bound, abs(error) <= bound)
